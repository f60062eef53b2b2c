package docstore

import (
	"bytes"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/lite"
)

// An index of a filled collection is made beside everything else. While it is
// under way, every write keeps its entries, those of documents that the build has
// not come to yet as well; no query uses it and no list shows it. The build goes
// through the documents in steps, each a job of the writer among others. What
// would violate the index, a key twice or two arrays in one document, is noted
// and looked at again at the end, as MongoDB does: a write is not refused for an
// index that is not there yet.
//
// On the disk the index is known by the negative number of its collection. Rows
// like that are no index; at the next start their entries are removed.

const (
	buildInline  = 1000    // a collection that never had more documents is not worth steps
	buildStep    = 256     // documents
	buildBytes   = 1 << 20 // of documents, but at least one
	purgeStep    = 500     // entries
	codeAborted  = 276
	maxTwice     = 1000 // keys that a build notes
	nameAborted  = "IndexBuildAborted"
	sqlBuildStep = "SELECT r, v FROM docs WHERE r > ? AND r < ? ORDER BY r"
	sqlIgnoreKey = "INSERT OR IGNORE INTO ix(k, r, t) VALUES(?, ?, ?)"
)

// underway is the state of one index that is being made. It is the writer's.
type underway struct {
	by    *builder
	twice map[string]struct{} // keys that two records had at some time
	many  bool                // there were more of them
	odd   map[int64]struct{}  // records that had no valid keys at some time
}

// note remembers a key that two records have.
func (u *underway) note(key []byte) {
	if u.many = u.many || len(u.twice) >= maxTwice; !u.many {
		u.twice[string(key)] = struct{}{}
	}
}

// kept are the indexes that a write has to keep: those that are, and those to be.
func (c *collection) kept() []*indexDef {
	if len(c.making) == 0 {
		return c.indexes
	}
	return slices.Concat(c.indexes, c.making)
}

// keysOf are the keys of a document that is written. An index under way has none
// for a document that it cannot hold.
func (t *tx) keysOf(ix *indexDef, r int64, doc bson.Raw) (index.Keys, error) {
	keys, err := ix.keys(doc)
	if err != nil && ix.underway != nil && isRefusal(err) {
		ix.underway.odd[r] = struct{}{}
		return index.Keys{}, nil
	}
	return keys, err
}

// builder makes indexes of one collection.
type builder struct {
	e    *Engine
	q    *request
	ns   namespace
	coll int64
	n    int           // indexes
	at   int64         // the last record
	end  int64         // records from here on were inserted with their entries
	done chan struct{} // closed when they are indexes, or will never be
}

// begin puts the indexes into the catalog as being made.
func (b *builder) begin(t *tx, coll *collection, list []*indexDef) error {
	b.coll, b.n = coll.id, len(list)
	b.at, _ = coll.records()
	b.end = b.at + coll.stats.next
	next := *coll
	next.making = slices.Clip(next.making)
	cat := t.cat.clone()
	for _, spec := range list {
		ix := *spec
		ix.id = cat.nextID
		cat.nextID++
		ix.underway = &underway{by: b, twice: map[string]struct{}{}, odd: map[int64]struct{}{}}
		next.making = append(next.making, &ix)
		if err := t.c.exec("INSERT INTO indexes(id, coll, spec, multikey) VALUES(?, ?, ?, 0)", ix.id, -coll.id, []byte(ix.spec)); err != nil {
			return err
		}
	}
	cat.colls[coll.ns] = &next
	t.cat = cat
	return nil
}

// run goes through the documents and makes the indexes part of the collection, or
// takes them away again.
func (b *builder) run() error {
	defer close(b.done)
	err := b.steps()
	if err == nil {
		err = b.e.writer.write(b.q.durable, b.finish)
	}
	if err != nil {
		b.abandon()
	}
	return err
}

func (b *builder) steps() error {
	for done := false; !done; {
		err := b.e.writer.write(false, func(t *tx) (err error) {
			done, err = b.step(t)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// current gives the collection and the indexes, or the error that one is gone.
func (b *builder) current(t *tx) (coll *collection, making []*indexDef, err error) {
	coll = t.cat.colls[b.ns]
	if coll == nil || coll.id != b.coll {
		return nil, nil, refuse(codeAborted, nameAborted, "Index build aborted: collection "+b.ns.String()+" was dropped")
	}
	for _, ix := range coll.making {
		if ix.underway.by == b {
			making = append(making, ix)
		}
	}
	if len(making) < b.n {
		return nil, nil, refuse(codeAborted, nameAborted, "Index build aborted: the index was dropped")
	}
	return coll, making, nil
}

// step takes some documents.
func (b *builder) step(t *tx) (done bool, err error) {
	coll, making, err := b.current(t)
	if err != nil {
		return false, err
	}
	all := make([]index.Keys, len(coll.indexes)+len(coll.making))
	at, n, size := b.at, 0, 0
	done = true
	err = t.c.rows(sqlBuildStep, func(row *lite.Stmt) (bool, error) {
		if err := b.q.alive(); err != nil {
			return false, err
		}
		at = row.Int(0)
		doc := bson.Raw(row.Bytes(1))
		n++
		size += len(doc)
		for _, ix := range making {
			keys, err := t.keysOf(ix, at, doc)
			if err != nil {
				return false, err
			}
			if err := t.addMissing(coll, ix, keys.Entries, at, doc); err != nil {
				return false, err
			}
			all[len(coll.indexes)+slices.Index(coll.making, ix)].Multikey |= keys.Multikey
		}
		done = n < buildStep && size < buildBytes
		return done, nil
	}, b.at, b.end)
	if err == nil {
		b.at = at
		err = t.markMultikey(coll, all)
	}
	return done, err
}

// addMissing adds the entries of a document that no write has added meanwhile.
func (t *tx) addMissing(coll *collection, ix *indexDef, entries []index.Entry, r int64, doc bson.Raw) error {
	if err := t.free(coll, ix, entries, r, doc); err != nil {
		return err
	}
	for _, e := range entries {
		if err := t.addKey(sqlIgnoreKey, e, r); err != nil {
			return err
		}
	}
	return nil
}

// finish looks again at what was noted and puts the indexes in their place.
func (b *builder) finish(t *tx) error {
	coll, making, err := b.current(t)
	if err != nil {
		return err
	}
	for _, ix := range making {
		if err := t.verify(coll, ix); err != nil {
			return err
		}
	}
	next := *coll
	next.making = nil
	for _, ix := range coll.making {
		if !slices.Contains(making, ix) {
			next.making = append(next.making, ix)
		}
	}
	next.indexes = slices.Clip(next.indexes)
	for _, ix := range making {
		made := *ix
		made.underway = nil
		next.indexes = append(next.indexes, &made)
		if err := t.c.exec("UPDATE indexes SET coll = ? WHERE id = ?", coll.id, ix.id); err != nil {
			return err
		}
	}
	t.replace(&next)
	return nil
}

// verify makes sure that an index holds every document and, if it is unique, no
// key twice.
func (t *tx) verify(coll *collection, ix *indexDef) error {
	for r := range ix.underway.odd {
		doc, err := t.document(r)
		if err == nil && doc != nil {
			_, err = ix.keys(doc)
		}
		if err != nil {
			return err
		}
	}
	if ix.underway.many {
		return t.verifyAll(coll, ix)
	}
	for key := range ix.underway.twice {
		if err := t.verifyKey(coll, ix, []byte(key)); err != nil {
			return err
		}
	}
	return nil
}

// verifyKey makes sure that one record at most has a key.
func (t *tx) verifyKey(coll *collection, ix *indexDef, key []byte) error {
	rows := make([]int64, 0, 2)
	err := t.c.rows(sqlFindKey, func(row *lite.Stmt) (bool, error) {
		rows = append(rows, row.Int(0))
		return true, nil
	}, key)
	if err != nil || len(rows) < 2 {
		return err
	}
	doc, err := t.document(rows[1])
	if err != nil {
		return err
	}
	return ix.duplicate(coll, index.Entry{Key: key}, doc)
}

// verifyAll looks for any key of an index that two records have.
func (t *tx) verifyAll(coll *collection, ix *indexDef) error {
	var key []byte
	low := ix.prefix()
	err := t.c.rows("SELECT k FROM ix WHERE k >= ? AND k < ? GROUP BY k HAVING count(*) > 1 LIMIT 1", func(row *lite.Stmt) (bool, error) {
		key = bytes.Clone(row.Bytes(0))
		return false, nil
	}, low, index.Successor(low))
	if err != nil || key == nil {
		return err
	}
	return t.verifyKey(coll, ix, key)
}

// duplicate is the error of a key that another record has.
func (ix *indexDef) duplicate(coll *collection, e index.Entry, doc bson.Raw) error {
	return &duplicateError{ns: coll.ns, name: ix.name, keyPattern: ix.key, keyValue: keyValue(ix, e, doc)}
}

// abandon takes indexes away that failed. What it cannot remove now is removed at
// the next start.
func (b *builder) abandon() {
	var gone []int64
	err := b.e.writer.write(false, func(t *tx) error {
		gone = gone[:0]
		coll := t.cat.colls[b.ns]
		if coll == nil || coll.id != b.coll {
			return nil // dropped with all that it had
		}
		next := *coll
		next.making = nil
		for _, ix := range coll.making {
			if ix.underway.by == b {
				gone = append(gone, ix.id)
			} else {
				next.making = append(next.making, ix)
			}
		}
		t.replace(&next)
		return nil
	})
	if err == nil {
		_ = b.e.purge(gone)
	}
}

// bury takes an index away, whole or under way. Its entries are purge's.
func (t *tx) bury(ix *indexDef) error {
	return t.c.exec("UPDATE indexes SET coll = -abs(coll) WHERE id = ?", ix.id)
}

// purge removes the entries of indexes that are no more, in steps. What it does not
// come to is left to the next start.
func (e *Engine) purge(ids []int64) error {
	return e.inSteps(ids, func(t *tx, id int64) (bool, error) { return t.purgeSome(id) })
}

func (t *tx) purgeSome(id int64) (done bool, err error) {
	low := (&indexDef{id: id}).prefix()
	high := index.Successor(low)
	err = t.c.rows("SELECT k, r FROM ix WHERE k >= ? AND k < ? ORDER BY k, r LIMIT 1 OFFSET ?", func(row *lite.Stmt) (bool, error) {
		high = bytes.Clone(row.Bytes(0))
		return false, t.c.exec("DELETE FROM ix WHERE k >= ? AND (k, r) < (?, ?)", low, high, row.Int(1))
	}, low, high, int64(purgeStep))
	if err != nil || len(high) > len(low) { // a key is longer than the prefix: there are more
		return false, err
	}
	if err := t.c.exec("DELETE FROM ix WHERE k >= ? AND k < ?", low, high); err != nil {
		return false, err
	}
	return true, t.c.exec("DELETE FROM indexes WHERE id = ?", id)
}
