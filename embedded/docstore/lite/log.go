package lite

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite writes its write-ahead log a frame at a time, in two calls of the system:
// 24 bytes of header, then the page. In a commit of some dozen pages they cost more
// than all the rest. A gatherer stands between SQLite and the log's file, keeps
// what is appended, and writes it at once when the frame comes that commits, or
// when SQLite does anything else with the file. SQLite publishes a commit after
// that frame's page has been written, so nobody looks for what is still kept.
type gatherer struct {
	under   *sqlite3.Tsqlite3_io_methods // of the system
	methods uintptr                      // ours, in C memory
	kept    []any                        // the functions in methods: the collector does not look there
	mem     uintptr                      // gatherLimit bytes
	have    int                          // bytes in mem
	next    int64                        // the offset behind all that was written or is kept
	commits bool                         // the last header is of a frame that commits
}

// gatherLimit bounds what is kept. Of one write SQLite's own file system looks at
// the lower 17 bits of the length, so no write is longer than gatherWrite.
const (
	gatherLimit = 1 << 20
	gatherWrite = 1 << 16
)

// frameHeader is the length of a frame's header; at frameCommit it has four bytes
// that are not zero if the frame commits.
const (
	frameHeader = 24
	frameCommit = 4
)

type (
	ioClose    = func(tls *libc.TLS, file uintptr) int32
	ioTransfer = func(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32
	ioTruncate = func(tls *libc.TLS, file uintptr, size int64) int32
	ioSync     = func(tls *libc.TLS, file uintptr, flags int32) int32
	ioSize     = func(tls *libc.TLS, file, out uintptr) int32
)

// GatherLog makes the connection, whose database has a write-ahead log, write each
// transaction into it at once. It is for one that writes with synchronous = NORMAL.
func (c *Conn) GatherLog() error {
	name, err := libc.CString("main")
	if err != nil {
		return fmt.Errorf("finding the log: %w", err)
	}
	defer libc.Xfree(c.tls, name)
	out := c.malloc(8)
	defer libc.Xfree(c.tls, out)
	*word(out) = 0
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, name, sqlite3.SQLITE_FCNTL_JOURNAL_POINTER, out); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("finding the log: %w", c.failed(rc))
	}
	file := (*sqlite3.Tsqlite3_file)(at(*word(out)))
	if file == nil || file.FpMethods == 0 {
		return fmt.Errorf("finding the log: %w", c.failed(sqlite3.SQLITE_MISUSE))
	}
	g := &gatherer{under: (*sqlite3.Tsqlite3_io_methods)(at(file.FpMethods)), next: -1}
	g.mem = c.malloc(gatherLimit)
	g.methods = c.malloc(int(unsafe.Sizeof(*g.under)))
	m := (*sqlite3.Tsqlite3_io_methods)(at(g.methods))
	*m = *g.under
	m.FxClose = pointer(g, g.close)
	m.FxRead = pointer(g, g.read)
	m.FxWrite = pointer(g, g.write)
	m.FxTruncate = pointer(g, g.truncate)
	m.FxSync = pointer(g, g.sync)
	m.FxFileSize = pointer(g, g.size)
	file.FpMethods = g.methods
	c.log = g
	return nil
}

// pointer is a Go function as the translated C calls it.
func pointer[F any](g *gatherer, f F) uintptr {
	p := &f
	g.kept = append(g.kept, p)
	return *(*uintptr)(unsafe.Pointer(p)) //nolint:gosec // a function's value is a pointer
}

// function is what the translated C would call.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) } //nolint:gosec // the reverse of pointer

// free gives the memory back, once the file is closed.
func (g *gatherer) free(tls *libc.TLS) {
	libc.Xfree(tls, g.mem)
	libc.Xfree(tls, g.methods)
}

// flush writes what is kept. If that fails it is gone, as the transaction is.
func (g *gatherer) flush(tls *libc.TLS, file uintptr) int32 {
	have := g.have
	g.have = 0
	for done := 0; done < have; {
		n := min(gatherWrite, have-done)
		rc := function[ioTransfer](g.under.FxWrite)(tls, file, g.mem+uintptr(done), int32(n), g.next-int64(have-done)) //nolint:gosec // at most gatherWrite
		if rc != sqlite3.SQLITE_OK {
			g.next = -1
			return rc
		}
		done += n
	}
	return sqlite3.SQLITE_OK
}

func (g *gatherer) write(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32 {
	appends, last := at == g.next, g.commits
	g.commits = n == frameHeader && binary.BigEndian.Uint32(bytesAt(buf, frameHeader)[frameCommit:]) != 0
	if !appends || g.have+int(n) > gatherLimit {
		if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	g.next = at + int64(n)
	if !appends || n > gatherLimit { // the log's header, or a frame that is written once more
		return function[ioTransfer](g.under.FxWrite)(tls, file, buf, n, at)
	}
	copy(bytesAt(g.mem, gatherLimit)[g.have:], bytesAt(buf, int(n)))
	g.have += int(n)
	if last {
		return g.flush(tls, file)
	}
	return sqlite3.SQLITE_OK
}

func (g *gatherer) read(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32 {
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[ioTransfer](g.under.FxRead)(tls, file, buf, n, at)
}

func (g *gatherer) truncate(tls *libc.TLS, file uintptr, size int64) int32 {
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[ioTruncate](g.under.FxTruncate)(tls, file, size)
}

func (g *gatherer) sync(tls *libc.TLS, file uintptr, flags int32) int32 {
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[ioSync](g.under.FxSync)(tls, file, flags)
}

func (g *gatherer) size(tls *libc.TLS, file, out uintptr) int32 {
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[ioSize](g.under.FxFileSize)(tls, file, out)
}

func (g *gatherer) close(tls *libc.TLS, file uintptr) int32 {
	rc := g.flush(tls, file)
	if closed := function[ioClose](g.under.FxClose)(tls, file); closed != sqlite3.SQLITE_OK {
		return closed
	}
	return rc
}
