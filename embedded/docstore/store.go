package docstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// The file is SQLite's, marked as ours by the application id ("Eidr") and the
// user version, which is the format version.
const applicationID = 0x45696472

// migrations bring an older file to the format of this version: the first one
// from format 1 to 2, and so on. Each runs once, in a transaction of its own that
// also raises the file's version. A change of schema is a change here.
var migrations []func(*conn) error

// formatVersion is what this version reads and writes.
func formatVersion() int64 { return int64(len(migrations)) + 1 }

// The tables: documents by record number, whose upper bits are the collection;
// index entries by key, whose first four bytes are the index. See catalog.go.
var schema = []string{
	`CREATE TABLE colls(id INTEGER PRIMARY KEY, db TEXT NOT NULL, name TEXT NOT NULL, options BLOB NOT NULL, uuid BLOB NOT NULL,
	 n INTEGER NOT NULL, size INTEGER NOT NULL, UNIQUE(db, name))`,
	`CREATE TABLE indexes(id INTEGER PRIMARY KEY, coll INTEGER NOT NULL, spec BLOB NOT NULL, multikey INTEGER NOT NULL)`,
	`CREATE TABLE docs(r INTEGER PRIMARY KEY, v BLOB NOT NULL)`,
	`CREATE TABLE ix(k BLOB NOT NULL, r INTEGER NOT NULL, t BLOB, PRIMARY KEY(k, r)) WITHOUT ROWID`,
	fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
}

// Errors of Open, each a sentence for the person who starts the program.
var (
	ErrInUse   = errors.New("the store is in use by another process")
	ErrForeign = errors.New("the file is not an Eider store")
	ErrNewer   = errors.New("the store was written by a newer version of Eider; start that version, or restore a backup")
	ErrDamaged = errors.New("the file is damaged; restore a backup with `eider restore`, or give another folder")
)

// lockStore takes the store for this process. The lock is SQLite's exclusive lock
// on a small database beside the store: it works wherever SQLite does, and the
// system gives it back when the process ends, however that happens.
func lockStore(path string) (*conn, error) {
	c, err := openConn(path+".lock", "busy_timeout = 0", "journal_mode = MEMORY")
	if err == nil {
		if err = c.exec("BEGIN EXCLUSIVE"); err == nil {
			return c, nil
		}
		_ = c.close()
	}
	if lite.Is(err, lite.Busy) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if lite.Is(err, lite.NotADB, lite.Corrupt) {
		return nil, fmt.Errorf("%s.lock is not the lock of a store: remove it", path)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// openStore opens the connection that writes. It makes the tables in a new file,
// brings an older one up to date, and refuses one that is not ours, too new or
// damaged.
func openStore(path string) (*conn, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	c, err := openConn(path, "busy_timeout = 10000")
	if err != nil {
		return nil, damaged(path, err)
	}
	err = prepareStore(c, path)
	if err == nil {
		err = c.GatherLog()
	}
	if err != nil {
		_ = c.close()
		return nil, damaged(path, err)
	}
	return c, nil
}

// damaged says which file it is that SQLite cannot make sense of.
func damaged(path string, err error) error {
	if lite.Is(err, lite.Corrupt, lite.NotADB) {
		return fmt.Errorf("%s: %w (%w)", path, ErrDamaged, err)
	}
	return err
}

// The places in SQLite's file header that are looked at before SQLite is.
const (
	headerSize      = 100
	headerPageSize  = 16 // two bytes; 1 means 65536
	headerPageCount = 28 // four bytes
)

// checkFile looks at the file before SQLite touches it: its first bytes, and
// whether it was cut. Where there is a log the file may be short of pages that are
// in the log.
func checkFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator's own path
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, headerSize)
	n, err := io.ReadFull(f, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil
	case n < len(sqliteMagic) || string(head[:len(sqliteMagic)]) != sqliteMagic:
		return fmt.Errorf("%s: %w", path, ErrForeign)
	case err != nil:
		return fmt.Errorf("%s: %w", path, ErrDamaged)
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return nil
	}
	size := int64(binary.BigEndian.Uint16(head[headerPageSize:]))
	if size == 1 {
		size = 1 << 16
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	if pages := int64(binary.BigEndian.Uint32(head[headerPageCount:])); info.Size() < pages*size {
		return fmt.Errorf("%s: %w (it has %d bytes of %d)", path, ErrDamaged, info.Size(), pages*size)
	}
	return nil
}

const sqliteMagic = "SQLite format 3\x00"

func prepareStore(c *conn, path string) error {
	version, err := fileVersion(c, path)
	if err != nil {
		return err
	}
	for _, p := range []string{"journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 0", "cache_size = -16384", "journal_size_limit = 67108864", "temp_store = MEMORY"} {
		if err := c.exec("PRAGMA " + p); err != nil {
			return err
		}
	}
	if version > 0 {
		return migrate(c, version)
	}
	err = inTransaction(c, func() error {
		for _, s := range schema {
			if err := c.exec(s); err != nil {
				return err
			}
		}
		return setVersion(c, formatVersion())
	})
	if err != nil {
		return err
	}
	return syncFolders(path)
}

// fileVersion is the format of a file that is ours; 0 for one that is new.
func fileVersion(c *conn, path string) (int64, error) {
	id, _, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	tables, _, err := c.number("SELECT count(*) FROM sqlite_master")
	if err != nil {
		return 0, err
	}
	if id == 0 && tables == 0 {
		return 0, nil
	}
	version, _, err := c.number("PRAGMA user_version")
	switch {
	case err != nil:
		return 0, err
	case id != applicationID || version < 1:
		return 0, fmt.Errorf("%s: %w", path, ErrForeign)
	case version > formatVersion():
		return 0, fmt.Errorf("%s: %w", path, ErrNewer)
	default:
		return version, nil
	}
}

// migrate brings a file of a version to the current one.
func migrate(c *conn, version int64) error {
	for ; version < formatVersion(); version++ {
		err := inTransaction(c, func() error {
			if err := migrations[version-1](c); err != nil {
				return err
			}
			return setVersion(c, version+1)
		})
		if err != nil {
			return fmt.Errorf("bringing the store from format %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}

func setVersion(c *conn, version int64) error {
	return c.exec(fmt.Sprintf("PRAGMA user_version = %d", version))
}

// syncFolders makes the entry of a new file durable, and that of a folder that may
// be new too. SQLite does so for the log only.
func syncFolders(path string) error {
	if runtime.GOOS == "windows" {
		return nil // has no such call, and needs none
	}
	dir := filepath.Dir(path)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncFile(d); err != nil && !errors.Is(err, os.ErrPermission) { // a parent may be one that only root reads
			return fmt.Errorf("making %s durable: %w", d, err)
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func inTransaction(c *conn, f func() error) error {
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil {
		_ = c.exec("ROLLBACK")
	}
	return err
}

// openReader opens a connection of the pool for reads.
func openReader(path string) (*conn, error) {
	return openConn(path, "busy_timeout = 10000", "query_only = ON", "cache_size = -16384", "temp_store = MEMORY")
}
