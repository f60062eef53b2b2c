package docstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// Verify checks a store that no process has open: the file's own structure, that
// every index has exactly the entries that its documents give, and the counters.
// The error names the first fault. It reads everything.
func Verify(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	if err := checkFile(path); err != nil {
		return err
	}
	c, err := openConn(path, "busy_timeout = 0", "cache_size = -65536")
	if err != nil {
		return damaged(path, err)
	}
	return damaged(path, errors.Join(verify(c, path), c.close()))
}

func verify(c *conn, path string) error {
	version, err := fileVersion(c, path)
	if err != nil {
		return err
	}
	if version == 0 {
		return fmt.Errorf("%s: %w", path, ErrForeign)
	}
	if err := verifyPages(c, path); err != nil {
		return err
	}
	if version < formatVersion() {
		return nil // what an older format holds is looked at once it is brought up to date
	}
	return verifyDocuments(c, path)
}

// verifyPages is SQLite's own check.
func verifyPages(c *conn, path string) error {
	row, err := c.one("PRAGMA integrity_check(1)")
	if err != nil {
		return err
	}
	if said, _ := row[0].(string); said != "ok" {
		return fmt.Errorf("%s: %w (%s)", path, ErrDamaged, said)
	}
	return nil
}

// verifyDocuments compares documents, index entries and counters, inside one
// snapshot.
func verifyDocuments(c *conn, path string) error {
	if err := c.exec("BEGIN"); err != nil {
		return err
	}
	err := compareAll(c)
	if errors.Is(err, errDiffers) {
		err = fmt.Errorf("%s: %w (%w)", path, ErrDamaged, err)
	}
	return errors.Join(err, c.exec("ROLLBACK"))
}

// errDiffers marks what verifyDocuments found.
var errDiffers = errors.New("the indexes do not fit the documents")

func compareAll(c *conn) error {
	cat, err := loadCatalog(c)
	if err != nil {
		return err
	}
	var documents int64
	for _, coll := range cat.colls {
		n, err := compareCollection(c, coll)
		if err != nil {
			return err
		}
		documents += n
	}
	dropped, err := leftOver(c)
	if err != nil {
		return err
	}
	for _, id := range dropped.colls { // and not freed yet
		low, high := (&collection{id: id}).records()
		n, _, err := c.number("SELECT count(*) FROM docs WHERE r >= ? AND r < ?", low, high)
		if err != nil {
			return err
		}
		documents += n
	}
	all, _, err := c.number("SELECT count(*) FROM docs")
	if err != nil {
		return err
	}
	if all != documents {
		return fmt.Errorf("%w: %d documents belong to no collection", errDiffers, all-documents)
	}
	return nil
}

// compareCollection gives the number of documents.
func compareCollection(c *conn, coll *collection) (count int64, err error) {
	low, high := coll.records()
	entries := make([]int64, len(coll.indexes))
	var size int64
	err = c.rows("SELECT r, v FROM docs WHERE r >= ? AND r < ?", func(s *lite.Stmt) (bool, error) {
		r, doc := s.Int(0), append([]byte(nil), s.Bytes(1)...)
		count++
		size += int64(len(doc))
		for i, ix := range coll.indexes {
			n, err := compareKeys(c, coll, ix, r, doc)
			if err != nil {
				return false, err
			}
			entries[i] += n
		}
		return true, nil
	}, low, high)
	if err != nil {
		return 0, err
	}
	if count != coll.stats.count.Load() || size != coll.stats.size.Load() {
		return 0, fmt.Errorf("%w: %s has %d documents of %d bytes, and its counters say %d of %d",
			errDiffers, coll.ns, count, size, coll.stats.count.Load(), coll.stats.size.Load())
	}
	for i, ix := range coll.indexes {
		has, _, err := c.number("SELECT count(*) FROM ix WHERE k >= ? AND k < ?", ix.prefix(), after(ix.prefix()))
		if err != nil {
			return 0, err
		}
		if has != entries[i] {
			return 0, fmt.Errorf("%w: %s has %d entries in %s and should have %d", errDiffers, coll.ns, has, ix.name, entries[i])
		}
	}
	return count, nil
}

// compareKeys looks the entries of a document up and gives their number.
func compareKeys(c *conn, coll *collection, ix *indexDef, r int64, doc []byte) (int64, error) {
	keys, err := ix.keys(doc)
	if err != nil {
		return 0, fmt.Errorf("%w: %s, record %d: %w", errDiffers, coll.ns, r, err)
	}
	for _, e := range keys.Entries {
		_, ok, err := c.number("SELECT 1 FROM ix WHERE k = ? AND r = ?", e.Key, driver.Value(r))
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("%w: %s, record %d is not in %s", errDiffers, coll.ns, r, ix.name)
		}
	}
	return int64(len(keys.Entries)), nil
}

// after is the least key behind all that begin with a prefix.
func after(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			break
		}
	}
	return out
}
