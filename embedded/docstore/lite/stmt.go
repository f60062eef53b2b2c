package lite

import (
	"database/sql/driver"
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Stmt is a prepared statement: Bind, Step until it says false, Reset.
type Stmt struct {
	c      *Conn
	handle uintptr
	args   []memory
}

// memory is C memory of an argument, kept from call to call.
type memory struct {
	p    uintptr
	size int
}

// keptArgument bounds what an argument keeps when the statement is reset.
const keptArgument = 64 << 10

// Bind sets the arguments: nil, int64, string or []byte each. SQLite gets copies.
func (s *Stmt) Bind(args ...driver.Value) error {
	if len(args) != len(s.args) {
		return fmt.Errorf("a statement with %d parameters got %d arguments", len(s.args), len(args))
	}
	for i, a := range args {
		var rc int32
		switch v := a.(type) {
		case int64:
			rc = sqlite3.Xsqlite3_bind_int64(s.c.tls, s.handle, int32(i+1), v)
		case []byte:
			if v != nil {
				rc = s.bindBytes(i, v)
				break
			}
			rc = sqlite3.Xsqlite3_bind_null(s.c.tls, s.handle, int32(i+1))
		case string:
			n := s.fill(i, []byte(v))
			rc = sqlite3.Xsqlite3_bind_text(s.c.tls, s.handle, int32(i+1), s.args[i].p, n, 0)
		case nil:
			rc = sqlite3.Xsqlite3_bind_null(s.c.tls, s.handle, int32(i+1))
		default:
			return fmt.Errorf("an argument of type %T", a)
		}
		if rc != sqlite3.SQLITE_OK {
			return s.c.failed(rc)
		}
	}
	return nil
}

func (s *Stmt) bindBytes(i int, v []byte) int32 {
	n := s.fill(i, v)
	return sqlite3.Xsqlite3_bind_blob(s.c.tls, s.handle, int32(i+1), s.args[i].p, n, 0) //nolint:gosec // few
}

// fill copies an argument to C memory.
func (s *Stmt) fill(i int, v []byte) int32 {
	m := &s.args[i]
	if m.size < max(len(v), 1) {
		s.free(i)
		m.size = max(64, len(v)+len(v)/4)
		m.p = s.c.malloc(m.size)
	}
	copy(bytesAt(m.p, m.size), v)
	return int32(len(v)) //nolint:gosec // a document is at most 16 MB
}

func (s *Stmt) free(i int) {
	if s.args[i].p != 0 {
		libc.Xfree(s.c.tls, s.args[i].p)
		s.args[i] = memory{}
	}
}

// Step runs to the next row; false at the end.
func (s *Stmt) Step() (bool, error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.handle); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.failed(rc)
	}
}

// Reset ends the run. The columns of its last row are gone.
func (s *Stmt) Reset() {
	// Its result is the error of the last Step once more.
	sqlite3.Xsqlite3_reset(s.c.tls, s.handle)
	for i := range s.args {
		if s.args[i].size > keptArgument {
			sqlite3.Xsqlite3_bind_null(s.c.tls, s.handle, int32(i+1))
			s.free(i)
		}
	}
}

// Run runs a statement to its end.
func (s *Stmt) Run(args ...driver.Value) error {
	err := s.Bind(args...)
	for more := err == nil; more && err == nil; {
		more, err = s.Step()
	}
	s.Reset()
	return err
}

// Columns is the number of columns of a row.
func (s *Stmt) Columns() int { return int(sqlite3.Xsqlite3_column_count(s.c.tls, s.handle)) }

// Int is an integer column; 0 for NULL.
func (s *Stmt) Int(i int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.handle, int32(i)) //nolint:gosec // few
}

// Bytes is a blob or text column in place: it is gone with the next Step or
// Reset. Nil for NULL and for nothing.
func (s *Stmt) Bytes(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.handle, int32(i))       //nolint:gosec // few
	n := int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.handle, int32(i))) //nolint:gosec // few
	return bytesAt(p, n)
}

// Value is a copy of a column: nil, int64, float64, string or []byte.
func (s *Stmt) Value(i int) any {
	switch sqlite3.Xsqlite3_column_type(s.c.tls, s.handle, int32(i)) { //nolint:gosec // few
	case sqlite3.SQLITE_INTEGER:
		return s.Int(i)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(s.c.tls, s.handle, int32(i)) //nolint:gosec // few
	case sqlite3.SQLITE_TEXT:
		return string(s.Bytes(i))
	case sqlite3.SQLITE_BLOB:
		return append(make([]byte, 0, 1), s.Bytes(i)...)
	default:
		return nil
	}
}

func (s *Stmt) close() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.handle)
	for i := range s.args {
		s.free(i)
	}
}
