package docstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// conn is one SQLite connection with its prepared statements. It belongs to one
// goroutine at a time. It goes past database/sql, whose locks and conversions cost
// more than a point look-up.
type conn struct {
	db    driver.Conn
	stmts map[string]statement
	args  []driver.NamedValue
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// background is what statements run under. A context that can end would cost a
// goroutine a statement; scans look at their own deadline between rows instead.
var background = context.Background()

func openConn(path string, pragmas ...string) (*conn, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("path of the store: %w", err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs // a Windows drive
	}
	dsn := (&url.URL{Scheme: "file", Path: abs}).String()
	db, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	c := &conn{db: db, stmts: map[string]statement{}}
	for _, p := range pragmas {
		if err := c.exec("PRAGMA " + p); err != nil {
			_ = c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	return c.db.Close()
}

func (c *conn) prepare(sql string) (statement, error) {
	if s, ok := c.stmts[sql]; ok {
		return s, nil
	}
	ds, err := c.db.Prepare(sql)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	s, ok := ds.(statement)
	if !ok {
		return nil, errors.New("the SQLite driver lacks statement contexts")
	}
	c.stmts[sql] = s
	return s, nil
}

func (c *conn) bind(args []driver.Value) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

func (c *conn) exec(sql string, args ...driver.Value) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	if _, err := s.ExecContext(background, c.bind(args)); err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	return nil
}

// each calls f for every row until it returns false. The row's blobs are f's to
// keep. The same SQL text must not run again inside f.
func (c *conn) each(sql string, f func(row []driver.Value) (bool, error), args ...driver.Value) (err error) {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(background, c.bind(args))
	if err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	defer func() {
		if e := rows.Close(); e != nil && err == nil {
			err = fmt.Errorf("SQLite: %w", e)
		}
	}()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("SQLite: %w", err)
		}
		more, err := f(row)
		if err != nil || !more {
			return err
		}
	}
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
