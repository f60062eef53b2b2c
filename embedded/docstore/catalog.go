package docstore

import (
	"crypto/rand"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/query"
)

// A record number is the collection's id and a counter; the order of the numbers
// of a collection is the natural order, that of insertion.
const recordBits = 40

// namespace names a collection.
type namespace struct{ db, name string }

func (n namespace) String() string { return n.db + "." + n.name }

// catalog is what collections and indexes there are. It is immutable: the writer
// makes a new one and readers take the current one.
type catalog struct {
	colls  map[namespace]*collection
	nextID int64 // the next collection's or index's id; never used twice
}

// collection is immutable but for its counters.
type collection struct {
	id      int64
	ns      namespace
	options bson.Raw // as given to create
	uuid    []byte
	indexes []*indexDef // the first is _id_
	making  []*indexDef // those under way, see build.go
	stats   *stats
}

// stats are the counters of a collection. Readers see what is committed.
type stats struct {
	count, size atomic.Int64
	next        int64 // the next record's counter; only the writer's
}

func (c *collection) records() (low, high int64) {
	return c.id << recordBits, (c.id + 1) << recordBits
}

func (c *collection) index(name string) *indexDef {
	for _, ix := range c.indexes {
		if ix.name == name {
			return ix
		}
	}
	return nil
}

// indexDef is an index; immutable.
type indexDef struct {
	id       int64
	name     string
	spec     bson.Raw // as listIndexes shows it
	key      bson.Raw
	fields   []index.Field
	unique   bool
	sparse   bool
	hashed   bool // keys are equal exactly when the values are, but have no order
	numeric  bool // a path has a numeric component; such an index is only kept, not used
	partial  *query.Matcher
	filter   bson.Raw  // the partial filter as given
	ttl      int64     // seconds; -1 for none
	multikey uint64    // bit i: some document has an array on the path of field i
	underway *underway // nil: it is whole
}

func (ix *indexDef) prefix() []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(ix.id)) //nolint:gosec // ids are counted up from one
}

// keys are the index's keys of a document, with the index's prefix.
func (ix *indexDef) keys(doc bson.Raw) (index.Keys, error) {
	if ix.partial != nil && !ix.partial.Match(doc) {
		return index.Keys{}, nil
	}
	keys, err := index.Extract(doc, ix.fields)
	if err != nil {
		return keys, err
	}
	if ix.hashed && keys.Multikey != 0 {
		return keys, refuse(16766, "Location16766", "hashed indexes do not currently support array values")
	}
	if ix.sparse && keys.Missing {
		return index.Keys{}, nil
	}
	prefix := ix.prefix()
	for i, e := range keys.Entries {
		keys.Entries[i].Key = append(slices.Clip(prefix), e.Key...)
	}
	return keys, nil
}

func (c *catalog) clone() *catalog {
	out := &catalog{colls: make(map[namespace]*collection, len(c.colls)+1), nextID: c.nextID}
	for k, v := range c.colls {
		out.colls[k] = v
	}
	return out
}

// loadCatalog reads the catalog at start.
func loadCatalog(c *conn) (*catalog, error) {
	cat := &catalog{colls: map[namespace]*collection{}, nextID: 1}
	byID := map[int64]*collection{}
	err := c.each("SELECT id, db, name, options, uuid, n, size FROM colls", func(row []driver.Value) (bool, error) {
		db, _ := row[1].(string)
		name, _ := row[2].(string)
		coll := &collection{id: integer(row[0]), ns: namespace{db, name}, options: blob(row[3]), uuid: blob(row[4]), stats: &stats{}}
		coll.stats.count.Store(integer(row[5]))
		coll.stats.size.Store(integer(row[6]))
		cat.colls[coll.ns], byID[coll.id] = coll, coll
		cat.nextID = max(cat.nextID, coll.id+1)
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the collections: %w", err)
	}
	err = c.each("SELECT id, coll, spec, multikey FROM indexes ORDER BY id", func(row []driver.Value) (bool, error) {
		ix, err := parseIndex(blob(row[2]))
		if err != nil {
			return false, err
		}
		ix.id, ix.multikey = integer(row[0]), uint64(integer(row[3])) //nolint:gosec // bits
		cat.nextID = max(cat.nextID, ix.id+1)
		if coll := byID[integer(row[1])]; coll != nil {
			coll.indexes = append(coll.indexes, ix)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the indexes: %w", err)
	}
	for _, coll := range cat.colls {
		low, high := coll.records()
		last, ok, err := c.number("SELECT max(r) FROM docs WHERE r >= ? AND r < ?", low, high)
		if err != nil {
			return nil, err
		}
		if ok {
			coll.stats.next = last - low
		}
		coll.stats.next++
	}
	return cat, nil
}

func newUUID() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return b
}

// visible is the catalog that readers may have while the change from old to next
// is being committed: nothing new yet, nothing any more that is going, and the
// new multikey marks. A reader that took an older one notices, see scan.
func visible(old, next *catalog) *catalog {
	out := &catalog{colls: make(map[namespace]*collection, len(next.colls)), nextID: next.nextID}
	for ns, coll := range next.colls {
		was := old.colls[ns]
		switch {
		case was == coll:
			out.colls[ns] = coll
		case was == nil || was.id != coll.id: // new: readers find it once it is committed
		default:
			mid := *coll
			mid.indexes = nil
			for _, ix := range coll.indexes {
				if was.index(ix.name) != nil && was.index(ix.name).id == ix.id {
					mid.indexes = append(mid.indexes, ix)
				}
			}
			if len(mid.indexes) == len(coll.indexes) {
				out.colls[ns] = coll
			} else {
				out.colls[ns] = &mid
			}
		}
	}
	return out
}
