package docstore

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// disk stands between SQLite and the files of one folder: a VFS that does as the
// system's does, remembers what was synced, and fails when told to. While it is
// there, every connection that is opened goes through it.
type disk struct {
	dir     string
	tls     *libc.TLS
	vfs     uintptr // ours
	under   *sqlite3.Tsqlite3_vfs
	methods map[uintptr]uintptr // the system's methods of a file
	made    map[uintptr]uintptr // ours for the system's

	mu     sync.Mutex // every write and sync holds it: what is seen under it is one moment
	names  map[uintptr]string
	synced map[string][]byte
	full   bool
}

// kept are the functions whose addresses C memory holds, where the collector does
// not see them.
var kept []any

func fp[F any](f F) uintptr {
	kept = append(kept, &f)
	return *(*uintptr)(unsafe.Pointer(&f))
}

func call[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }

func ptr[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// newDisk puts a disk under the connections opened from now on, until the test ends.
func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{dir: dir, tls: libc.NewTLS(), methods: map[uintptr]uintptr{}, made: map[uintptr]uintptr{}, names: map[uintptr]string{}, synced: map[string][]byte{}}
	base := sqlite3.Xsqlite3_vfs_find(d.tls, 0)
	d.under = ptr[sqlite3.Tsqlite3_vfs](base)
	d.vfs = libc.Xmalloc(d.tls, libc.Tsize_t(unsafe.Sizeof(*d.under)))
	over := ptr[sqlite3.Tsqlite3_vfs](d.vfs)
	*over = *d.under
	name, err := libc.CString("disk")
	if err != nil {
		t.Fatal(err)
	}
	over.FzName, over.FpNext = name, 0
	over.FxOpen = fp(d.open)
	if rc := sqlite3.Xsqlite3_vfs_register(d.tls, d.vfs, 1); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	t.Cleanup(func() {
		// The memory stays: a connection that was not closed still points to it.
		sqlite3.Xsqlite3_vfs_unregister(d.tls, d.vfs)
		sqlite3.Xsqlite3_vfs_register(d.tls, base, 1)
		d.tls.Close()
	})
	return d
}

type (
	openFunc  = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	writeFunc = func(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32
	truncFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc  = func(tls *libc.TLS, file uintptr, flags int32) int32
)

func (d *disk) open(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	rc := call[openFunc](d.under.FxOpen)(tls, vfs, name, file, flags, out)
	path := libc.GoString(name)
	if rc != sqlite3.SQLITE_OK || filepath.Dir(path) != d.dir || strings.HasSuffix(path, ".lock") {
		return rc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := ptr[sqlite3.Tsqlite3_file](file)
	ours := d.made[f.FpMethods]
	if ours == 0 {
		theirs := ptr[sqlite3.Tsqlite3_io_methods](f.FpMethods)
		ours = libc.Xmalloc(d.tls, libc.Tsize_t(unsafe.Sizeof(*theirs)))
		m := ptr[sqlite3.Tsqlite3_io_methods](ours)
		*m = *theirs
		m.FxWrite, m.FxTruncate, m.FxSync = fp(d.write), fp(d.truncate), fp(d.sync)
		d.made[f.FpMethods] = ours
	}
	d.methods[file], f.FpMethods = f.FpMethods, ours
	d.names[file] = path
	return rc
}

func (d *disk) theirs(file uintptr) *sqlite3.Tsqlite3_io_methods {
	return ptr[sqlite3.Tsqlite3_io_methods](d.methods[file])
}

func (d *disk) write(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return sqlite3.SQLITE_FULL
	}
	return call[writeFunc](d.theirs(file).FxWrite)(tls, file, buf, n, at)
}

func (d *disk) truncate(tls *libc.TLS, file uintptr, size int64) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return call[truncFunc](d.theirs(file).FxTruncate)(tls, file, size)
}

func (d *disk) sync(tls *libc.TLS, file uintptr, flags int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rc := call[syncFunc](d.theirs(file).FxSync)(tls, file, flags); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return d.note(d.names[file])
}

// note remembers that a file is on the disk as it is now.
func (d *disk) note(path string) int32 {
	b, err := os.ReadFile(path)
	if err != nil {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	d.synced[path] = b
	return sqlite3.SQLITE_OK
}

// fsync is what the engine itself calls.
func (d *disk) fsync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := f.Sync(); err != nil {
		return err
	}
	if d.note(f.Name()) != sqlite3.SQLITE_OK {
		return os.ErrInvalid
	}
	return nil
}

// cut writes to a folder what a power cut at this moment may leave: what was
// synced, and of everything written since, each block or not, as chance has it.
func (d *disk) cut(t *testing.T, to string, chance *rand.Rand) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(d.dir, "store.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !strings.HasSuffix(path, ".db") && !strings.HasSuffix(path, "-wal") {
			continue // the lock and the shared memory mean nothing after a start
		}
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		left := mix(d.synced[path], now, chance)
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), left, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const block = 512

// mix makes what is left of a file: its synced content with some blocks of the
// later one, and a length between the two.
func mix(synced, now []byte, chance *rand.Rand) []byte {
	most := max(len(synced), len(now))
	least := min(len(synced), len(now))
	out := make([]byte, most)
	copy(out, synced)
	share := chance.Float64() // of the blocks that had got to the disk
	for at := 0; at < len(now); at += block {
		end := min(at+block, len(now))
		if same := end <= len(synced) && bytes.Equal(synced[at:end], now[at:end]); !same && chance.Float64() < share {
			copy(out[at:end], now[at:end])
		}
	}
	return out[:least+chance.IntN(most-least+1)]
}
