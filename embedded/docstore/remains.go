package docstore

import (
	"context"
	"errors"
	"log/slog"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// What was dropped, or was being made when the program ended, is freed in steps,
// jobs of the writer among others, so that no command waits for it. On the disk an
// index that is none has the negative number of its collection; the documents of a
// collection that is no more are known by that too, and are freed before its
// indexes are. What one run does not come to is left to the next one's start.

const (
	freeStep  = 100       // documents
	freeBytes = 512 << 10 // of documents, but at least one
)

// remains is what has to be freed: the documents of collections, by id, and indexes.
type remains struct{ colls, indexes []int64 }

func (r *remains) add(o remains) {
	r.colls = append(r.colls, o.colls...)
	r.indexes = append(r.indexes, o.indexes...)
}

func remainsOf(coll *collection) remains {
	r := remains{colls: []int64{coll.id}}
	for _, ix := range coll.kept() {
		r.indexes = append(r.indexes, ix.id)
	}
	return r
}

// leftOver is what the last run did not come to.
func leftOver(c *conn) (r remains, err error) {
	err = c.rows("SELECT id FROM indexes WHERE coll < 0", func(row *lite.Stmt) (bool, error) {
		r.indexes = append(r.indexes, row.Int(0))
		return true, nil
	})
	if err != nil {
		return r, err
	}
	err = c.rows("SELECT DISTINCT -coll FROM indexes WHERE coll < 0 AND -coll NOT IN (SELECT id FROM colls)", func(row *lite.Stmt) (bool, error) {
		r.colls = append(r.colls, row.Int(0))
		return true, nil
	})
	return r, err
}

// Remains counts the collections and indexes that were dropped and are not freed
// yet.
func (e *Engine) Remains() (n int, err error) {
	err = e.read(func(c *conn) error {
		r, err := leftOver(c)
		n = len(r.colls) + len(r.indexes)
		return err
	})
	return n, err
}

// clearLater frees in the background. The command that calls it is being served, so
// that the store is not closed yet.
func (e *Engine) clearLater(r remains) {
	e.serving.Add(1)
	go e.clear(r)
}

// clear frees.
func (e *Engine) clear(r remains) {
	defer e.serving.Done()
	err := e.freeDocuments(r.colls)
	if err == nil {
		err = e.purge(r.indexes)
	}
	if err != nil && !errors.Is(err, errClosed) {
		e.log.LogAttrs(context.Background(), slog.LevelError, "store_purge_failed", slog.String("error", err.Error()))
	}
}

// freeDocuments removes the documents of collections that are no more.
func (e *Engine) freeDocuments(colls []int64) error {
	return e.inSteps(colls, func(t *tx, id int64) (bool, error) { return t.freeSome(id) })
}

// inSteps does one thing after the other, each in as many jobs of the writer as it
// takes until one says that it is done.
func (e *Engine) inSteps(ids []int64, step func(*tx, int64) (done bool, err error)) error {
	for _, id := range ids {
		for done := false; !done; {
			select {
			case <-e.closing:
				return errClosed
			default:
			}
			e.makeWay()
			err := e.writer.write(false, func(t *tx) (err error) {
				done, err = step(t, id)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// freeSome removes some documents of a collection that is no more.
func (t *tx) freeSome(coll int64) (done bool, err error) {
	low, high := (&collection{id: coll}).records()
	last, n, size := int64(0), 0, int64(0)
	err = t.c.rows("SELECT r, length(v) FROM docs WHERE r >= ? AND r < ? ORDER BY r", func(row *lite.Stmt) (bool, error) {
		last = row.Int(0)
		n++
		size += row.Int(1)
		return n < freeStep && size < freeBytes, nil
	}, low, high)
	if err != nil || n == 0 {
		return true, err
	}
	return false, t.c.exec("DELETE FROM docs WHERE r >= ? AND r <= ?", low, last)
}
