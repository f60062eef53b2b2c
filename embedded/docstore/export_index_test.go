package docstore

import (
	"bytes"
	"database/sql/driver"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Making counts the indexes that are being made.
func (e *Engine) Making() (n int) {
	for _, coll := range e.catalog.Load().colls {
		n += len(coll.making)
	}
	return n
}

// LeftOver counts the indexes and collections that are no more but have something in the file.
func (e *Engine) LeftOver() (n int, err error) {
	err = e.writer.write(false, func(t *tx) error {
		ids, err := leftOver(t.c)
		n = len(ids.indexes) + len(ids.colls)
		return err
	})
	return n, err
}

// CheckIndexes compares every entry of every index with the documents.
func (e *Engine) CheckIndexes() error {
	return e.writer.write(false, func(t *tx) error {
		want := map[string]string{}
		for _, coll := range t.cat.colls {
			low, high := coll.records()
			n := int64(0)
			err := t.c.each("SELECT r, v FROM docs WHERE r >= ? AND r < ?", func(row []driver.Value) (bool, error) {
				n++
				for _, ix := range coll.indexes {
					keys, err := ix.keys(bson.Raw(blob(row[1])))
					if err != nil {
						return false, err
					}
					if keys.Multikey&^ix.multikey != 0 {
						return false, fmt.Errorf("%s %s is not marked multikey", coll.ns, ix.name)
					}
					for _, k := range keys.Entries {
						want[fmt.Sprintf("%x %d", k.Key, integer(row[0]))] = string(k.Hints)
					}
				}
				return true, nil
			}, low, high)
			if err != nil {
				return err
			}
			if have := coll.stats.count.Load() + t.writer.deltas[coll.stats].count; have != n {
				return fmt.Errorf("%s has %d documents and counts %d", coll.ns, n, have)
			}
		}
		err := t.c.each("SELECT k, r, t FROM ix", func(row []driver.Value) (bool, error) {
			k := fmt.Sprintf("%x %d", blob(row[0]), integer(row[1]))
			hints, ok := want[k]
			if !ok || !bytes.Equal([]byte(hints), blob(row[2])) {
				return false, fmt.Errorf("entry %s %x, want %t %x", k, blob(row[2]), ok, hints)
			}
			delete(want, k)
			return true, nil
		})
		if err == nil && len(want) > 0 {
			err = fmt.Errorf("%d entries are missing", len(want))
		}
		return err
	})
}

// EmptyLog moves all of the log into the file; busy if a reader needs it.
func EmptyLog(path string) (busy bool, err error) {
	c, err := openConn(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.close() }()
	n, _, err := c.number("PRAGMA wal_checkpoint(TRUNCATE)")
	return n != 0, err
}
