package docstore

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// Sizes of indexes are estimated: all entries of all indexes lie in one table, and
// to add them up is to read them. statsSample entries at either end of an index tell
// how long one is; of an index that has not one entry a document, as many as
// statsCount are counted.
const (
	statsSample = 200
	statsCount  = 20_000
	entryMore   = 12   // bytes that SQLite takes for an entry beside it
	pageFilled  = 0.75 // of an index that grows in the middle
)

// usage is what a collection takes, in bytes.
type usage struct {
	count, size int64
	indexes     []indexUsage
	indexSize   int64
}

type indexUsage struct {
	name string
	size int64
}

// usage measures a collection.
func (e *Engine) usage(coll *collection) (u usage, err error) {
	u.count, u.size = coll.stats.count.Load(), coll.stats.size.Load()
	err = e.read(func(c *conn) error {
		for _, ix := range coll.indexes {
			size, err := indexSize(c, ix, u.count)
			if err != nil {
				return err
			}
			u.indexes = append(u.indexes, indexUsage{ix.name, size})
			u.indexSize += size
		}
		return nil
	})
	return u, err
}

// indexSize estimates the bytes of an index of a collection of so many documents.
func indexSize(c *conn, ix *indexDef, docs int64) (int64, error) {
	low := ix.prefix()
	high := index.Successor(low)
	var n, sum int64
	for _, order := range []string{"k, r", "k DESC, r DESC"} {
		err := c.rows("SELECT k, t FROM ix WHERE k >= ? AND k < ? ORDER BY "+order+" LIMIT ?", func(row *lite.Stmt) (bool, error) {
			n++
			sum += int64(len(row.Bytes(0)) + len(row.Bytes(1)))
			return true, nil
		}, low, high, int64(statsSample))
		if err != nil || n == 0 {
			return 0, err
		}
	}
	entries := docs
	if ix.multikey != 0 || ix.sparse || ix.partial != nil || docs <= statsCount {
		counted, _, err := c.number("SELECT count(*) FROM (SELECT 1 FROM ix WHERE k >= ? AND k < ? LIMIT ?)", low, high, int64(statsCount))
		if err != nil {
			return 0, err
		}
		if counted < statsCount {
			entries = counted
		}
	}
	return int64(float64(entries) * (float64(sum)/float64(n) + entryMore) / pageFilled), nil
}

// scaled is the scale of a command or a stage.
func scaled(v int64) (int64, error) {
	if v < 1 {
		return 0, refuse(51024, "Location51024", "BSON field 'scale' value must be >= 1, actual value '"+itoa(int(v))+"'")
	}
	return v, nil
}

// append appends the fields of a collection's storage.
func (u *usage) append(b []byte, scale int64) []byte {
	b = bsoncore.AppendInt64Element(b, "size", u.size/scale)
	b = bsoncore.AppendInt64Element(b, "count", u.count)
	if u.count > 0 {
		b = bsoncore.AppendInt64Element(b, "avgObjSize", u.size/u.count)
	}
	b = bsoncore.AppendInt64Element(b, "storageSize", u.size/scale)
	b = bsoncore.AppendInt64Element(b, "freeStorageSize", 0)
	b = bsoncore.AppendBooleanElement(b, "capped", false)
	b = bsoncore.AppendInt32Element(b, "nindexes", int32(len(u.indexes))) //nolint:gosec // at most 64
	b = bsoncore.AppendInt64Element(b, "totalIndexSize", u.indexSize/scale)
	b = bsoncore.AppendInt64Element(b, "totalSize", (u.size+u.indexSize)/scale)
	i, b := bsoncore.AppendDocumentElementStart(b, "indexSizes")
	for _, ix := range u.indexes {
		b = bsoncore.AppendInt64Element(b, ix.name, ix.size/scale)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return bsoncore.AppendInt32Element(b, "scaleFactor", int32(min(scale, math.MaxInt32))) //nolint:gosec // just bounded
}

func runCollStats(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	scale, err := scaled(q.int("scale", 1))
	if err != nil {
		return nil, err
	}
	var u usage
	if coll := q.e.catalog.Load().colls[ns]; coll != nil {
		if u, err = q.e.usage(coll); err != nil {
			return nil, err
		}
	}
	return reply(func(b []byte) []byte {
		return u.append(bsoncore.AppendStringElement(b, "ns", ns.String()), scale)
	}), nil
}

func runDBStats(q *request) (bson.Raw, error) {
	scale, err := scaled(q.int("scale", 1))
	if err != nil {
		return nil, err
	}
	var sum usage
	colls := q.e.collections(q.db)
	for _, coll := range colls {
		u, err := q.e.usage(coll)
		if err != nil {
			return nil, err
		}
		sum.count += u.count
		sum.size += u.size
		sum.indexSize += u.indexSize
		sum.indexes = append(sum.indexes, u.indexes...)
	}
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendStringElement(b, "db", q.db)
		b = bsoncore.AppendInt64Element(b, "collections", int64(len(colls)))
		b = bsoncore.AppendInt64Element(b, "views", 0)
		b = bsoncore.AppendInt64Element(b, "objects", sum.count)
		b = bsoncore.AppendDoubleElement(b, "avgObjSize", float64(sum.size)/float64(max(sum.count, 1)))
		b = bsoncore.AppendDoubleElement(b, "dataSize", float64(sum.size)/float64(scale))
		b = bsoncore.AppendDoubleElement(b, "storageSize", float64(sum.size)/float64(scale))
		b = bsoncore.AppendInt64Element(b, "indexes", int64(len(sum.indexes)))
		b = bsoncore.AppendDoubleElement(b, "indexSize", float64(sum.indexSize)/float64(scale))
		b = bsoncore.AppendDoubleElement(b, "totalSize", float64(sum.size+sum.indexSize)/float64(scale))
		return bsoncore.AppendInt64Element(b, "scaleFactor", scale)
	}), nil
}

// statsPipeline runs a pipeline that begins with $collStats; ok is false for any
// other.
func (q *request) statsPipeline(ns namespace, stages []bson.Raw) (docs []bson.Raw, ok bool, err error) {
	if len(stages) == 0 {
		return nil, false, nil
	}
	t, name, v, rest, _ := value.Next(value.Inside(stages[0]))
	if string(name) != expr.CollStats || len(rest) > 0 {
		return nil, false, nil
	}
	p, err := expr.CompilePipeline(stages[1:])
	if err != nil {
		return nil, true, err
	}
	one, err := q.collStats(ns, bson.RawValue{Type: t, Value: v})
	if err != nil {
		return nil, true, err
	}
	vars := expr.Vars{"NOW": value.OfDate(q.e.now().UnixMilli())}
	docs, err = collect(p.RunVars(func(yield func(bson.Raw, error) bool) { yield(one, nil) }, vars))
	return docs, true, err
}

// collStats is the document of a $collStats.
func (q *request) collStats(ns namespace, spec bson.RawValue) (bson.Raw, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, value.FailedToParse("$collStats must take a nested object but found: $collStats: %s", spec.String())
	}
	storage, count, scale := false, false, int64(1)
	err := eachField("$collStats", spec, func(key string, v bson.RawValue) error {
		switch key {
		case "storageStats":
			storage = true
			return eachField("$collStats.storageStats", v, func(key string, v bson.RawValue) (err error) {
				if key != "scale" {
					return unknownField("$collStats.storageStats", key)
				}
				if err := kindNumber.check("$collStats.storageStats", key, v); err != nil {
					return err
				}
				n, _ := value.Whole(v)
				scale, err = scaled(n)
				return err
			})
		case "count":
			count = true
			return eachField("$collStats.count", v, func(key string, _ bson.RawValue) error { return unknownField("$collStats.count", key) })
		default:
			return unknownField("$collStats", key)
		}
	})
	if err != nil {
		return nil, err
	}
	coll := q.e.catalog.Load().colls[ns]
	if coll == nil {
		return nil, noCollection(ns)
	}
	u, err := q.e.usage(coll)
	if err != nil {
		return nil, err
	}
	i, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendStringElement(b, "ns", ns.String())
	b = bsoncore.AppendDateTimeElement(b, "localTime", q.e.now().UnixMilli())
	if storage {
		n, d := bsoncore.AppendDocumentElementStart(b, "storageStats")
		d = u.append(d, scale)
		b, _ = bsoncore.AppendDocumentEnd(d, n)
	}
	if count {
		b = bsoncore.AppendInt64Element(b, "count", u.count)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b, nil
}
