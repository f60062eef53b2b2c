package docstore

import (
	"database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// conn is one SQLite connection with its prepared statements. It belongs to one
// goroutine at a time.
type conn struct{ *lite.Conn }

func openConn(path string, pragmas ...string) (*conn, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("path of the store: %w", err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs // a Windows drive
	}
	db, err := lite.Open((&url.URL{Scheme: "file", Path: abs}).String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	c := &conn{db}
	for _, p := range pragmas {
		if err := c.exec("PRAGMA " + p); err != nil {
			_ = c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) close() error { return c.Close() }

func (c *conn) exec(sql string, args ...driver.Value) error {
	s, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	return s.Run(args...)
}

// rows calls f for every row until it returns false. The columns that f reads
// from the statement are gone with the next row. The same SQL text must not run
// again inside f.
func (c *conn) rows(sql string, f func(s *lite.Stmt) (bool, error), args ...driver.Value) error {
	s, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Reset()
	if err := s.Bind(args...); err != nil {
		return err
	}
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		if more, err = f(s); err != nil || !more {
			return err
		}
	}
}

// each is rows with the row's values as copies.
func (c *conn) each(sql string, f func(row []driver.Value) (bool, error), args ...driver.Value) error {
	var row []driver.Value
	return c.rows(sql, func(s *lite.Stmt) (bool, error) {
		if row == nil {
			row = make([]driver.Value, s.Columns())
		}
		for i := range row {
			row[i] = s.Value(i)
		}
		return f(row)
	}, args...)
}

// one reads a single row; nil if there is none.
func (c *conn) one(sql string, args ...driver.Value) (row []driver.Value, err error) {
	err = c.each(sql, func(r []driver.Value) (bool, error) {
		row = r
		return false, nil
	}, args...)
	return row, err
}

// number reads a single integer; false if there is no row or it is NULL.
func (c *conn) number(sql string, args ...driver.Value) (int64, bool, error) {
	row, err := c.one(sql, args...)
	if err != nil || row == nil {
		return 0, false, err
	}
	n, ok := row[0].(int64)
	return n, ok, nil
}

func blob(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

func integer(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}
