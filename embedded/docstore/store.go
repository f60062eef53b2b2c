package docstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// The file is SQLite's, marked as ours by the application id ("Eidr") and the
// user version, which is the format version.
const (
	applicationID = 0x45696472
	formatVersion = 1
)

// The tables: documents by record number, whose upper bits are the collection;
// index entries by key, whose first four bytes are the index. See catalog.go.
var schema = []string{
	`CREATE TABLE colls(id INTEGER PRIMARY KEY, db TEXT NOT NULL, name TEXT NOT NULL, options BLOB NOT NULL, uuid BLOB NOT NULL,
	 n INTEGER NOT NULL, size INTEGER NOT NULL, UNIQUE(db, name))`,
	`CREATE TABLE indexes(id INTEGER PRIMARY KEY, coll INTEGER NOT NULL, spec BLOB NOT NULL, multikey INTEGER NOT NULL)`,
	`CREATE TABLE docs(r INTEGER PRIMARY KEY, v BLOB NOT NULL)`,
	`CREATE TABLE ix(k BLOB NOT NULL, r INTEGER NOT NULL, t BLOB, PRIMARY KEY(k, r)) WITHOUT ROWID`,
	fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
	fmt.Sprintf(`PRAGMA user_version = %d`, formatVersion),
}

// Errors of Open, each a sentence for the person who starts the program.
var (
	ErrInUse   = errors.New("the store is in use by another process")
	ErrForeign = errors.New("the file is not an Eider store")
	ErrNewer   = errors.New("the store was written by a newer version of Eider; start that version, or restore a backup")
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
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// openStore opens the connection that writes. It makes the tables in a new file
// and refuses a file that is not ours or too new.
func openStore(path string) (*conn, error) {
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	c, err := openConn(path, "busy_timeout = 10000")
	if err != nil {
		return nil, err
	}
	if err := prepareStore(c, path); err != nil {
		_ = c.close()
		return nil, err
	}
	return c, nil
}

// checkHeader looks at the file's first bytes before SQLite touches it.
func checkHeader(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator's own path
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return nil
	}
	if !bytes.Equal(head, []byte("SQLite format 3\x00")) {
		return fmt.Errorf("%s: %w", path, ErrForeign)
	}
	return nil
}

func prepareStore(c *conn, path string) error {
	id, _, err := c.number("PRAGMA application_id")
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrForeign, err)
	}
	tables, _, err := c.number("SELECT count(*) FROM sqlite_master")
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrForeign, err)
	}
	fresh := id == 0 && tables == 0
	if !fresh && id != applicationID {
		return fmt.Errorf("%s: %w", path, ErrForeign)
	}
	version, _, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	if version > formatVersion {
		return fmt.Errorf("%s: %w", path, ErrNewer)
	}
	for _, p := range []string{"journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 12000", "cache_size = -16384", "journal_size_limit = 67108864", "temp_store = MEMORY"} {
		if err := c.exec("PRAGMA " + p); err != nil {
			return err
		}
	}
	if !fresh {
		return nil
	}
	return inTransaction(c, func() error {
		for _, s := range schema {
			if err := c.exec(s); err != nil {
				return err
			}
		}
		return nil
	})
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
	return openConn(path, "busy_timeout = 10000", "query_only = ON", "cache_size = -8192", "temp_store = MEMORY")
}
