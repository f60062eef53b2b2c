// Package lite is as much of SQLite's C interface as the store needs, on the
// library that modernc.org/sqlite translates to Go. Its driver for database/sql
// makes a slice of every value, names and types of the columns with every query,
// and C memory with every argument; a look-up that answers in microseconds spends
// half of them on that. Here a statement is prepared once, keeps the memory of its
// arguments, and shows the columns of a row in place.
package lite

import (
	"errors"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Conn is a connection. It belongs to one goroutine at a time, and so do its
// statements.
type Conn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*Stmt
	log   *gatherer // nil: SQLite writes its log itself
}

// Error is an error of SQLite with its extended result code.
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("SQLite: %s (%d)", e.Message, e.Code) }

// Is tells if err is an error of SQLite with one of these primary result codes;
// with any code if none is given.
func Is(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code&0xFF == c {
			return true
		}
	}
	return len(codes) == 0
}

// Primary result codes that callers tell apart.
const (
	Busy    = sqlite3.SQLITE_BUSY
	Corrupt = sqlite3.SQLITE_CORRUPT
	Full    = sqlite3.SQLITE_FULL
	IOErr   = sqlite3.SQLITE_IOERR
	NotADB  = sqlite3.SQLITE_NOTADB
)

// Open opens the database that a file URI names, or makes it. The connection has
// no lock of its own.
func Open(uri string) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS(), stmts: map[string]*Stmt{}}
	name, err := libc.CString(uri)
	if err != nil {
		c.tls.Close()
		return nil, fmt.Errorf("opening a database: %w", err)
	}
	defer libc.Xfree(c.tls, name)
	out := c.malloc(8)
	defer libc.Xfree(c.tls, out)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out,
		sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|sqlite3.SQLITE_OPEN_NOMUTEX|sqlite3.SQLITE_OPEN_URI, 0)
	c.db = *word(out)
	if rc == sqlite3.SQLITE_OK {
		rc = sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	}
	if rc != sqlite3.SQLITE_OK {
		return nil, errors.Join(c.failed(rc), c.Close())
	}
	return c, nil
}

// Close ends the connection and its statements.
func (c *Conn) Close() error {
	for _, s := range c.stmts {
		s.close()
	}
	clear(c.stmts)
	var err error
	if rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		err = c.failed(rc)
	}
	if c.log != nil && err == nil {
		c.log.free(c.tls)
	}
	c.tls.Close()
	return err
}

// Prepare gives the statement of a text. It is made at the first call and kept;
// while it runs, the same text must not be run again.
func (c *Conn) Prepare(text string) (*Stmt, error) {
	if s := c.stmts[text]; s != nil {
		return s, nil
	}
	sql, err := libc.CString(text)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	defer libc.Xfree(c.tls, sql)
	out := c.malloc(8)
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, sql, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, 0); rc != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("preparing a statement: %w", c.failed(rc))
	}
	s := &Stmt{c: c, handle: *word(out)}
	s.args = make([]memory, sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.handle))
	c.stmts[text] = s
	return s, nil
}

// Written is how many pages the connection has written since the last call, into the
// log where there is one.
func (c *Conn) Written() int64 {
	out := c.malloc(16)
	defer libc.Xfree(c.tls, out)
	now := (*int32)(at(out))
	*now = 0
	sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, out, out+8, 1)
	return int64(*now)
}

// Changes is how many rows the connection has changed since it was opened.
func (c *Conn) Changes() int64 { return sqlite3.Xsqlite3_total_changes64(c.tls, c.db) }

func (c *Conn) failed(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == rc {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &Error{Code: int(rc), Message: text}
}

// malloc takes C memory; none left is the end of the program, as it is in Go.
func (c *Conn) malloc(n int) uintptr {
	p := libc.Xmalloc(c.tls, libc.Tsize_t(n)) //nolint:gosec // a length
	if p == 0 {
		panic("lite: out of memory")
	}
	return p
}

// at makes a pointer of an address in C memory, which Go neither moves nor frees.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) } //nolint:gosec // see above

func word(p uintptr) *uintptr { return (*uintptr)(at(p)) }

func bytesAt(p uintptr, n int) []byte {
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(p)), n) //nolint:gosec // SQLite says how long it is
}
