package docstore

import (
	"bytes"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/project"
	"github.com/eidermail/eider/embedded/docstore/query"
)

var findCommand = command{
	fields: map[string]kind{
		"filter": kindDoc, "sort": kindDoc, "projection": kindDoc, "hint": kindAny, "skip": kindCount, "limit": kindCount,
		"batchSize": kindCount, "singleBatch": kindBool, "allowDiskUse": kindBool, "noCursorTimeout": kindBool,
		"let": kindDoc, "allowPartialResults": kindBool, "returnKey": kindBool, "showRecordId": kindBool,
		"tailable": kindBool, "awaitData": kindBool, "oplogReplay": kindBool,
	},
	only: map[string]int32{
		"tailable": 2, "awaitData": 2, "returnKey": 2, "showRecordId": 2, "oplogReplay": 2, "noCursorTimeout": 2, "let": 2,
	},
	reads: true, stable: true,
	run: runFind,
}

// search is what find, count, findAndModify and the rest share: the filter and how
// to go through its documents.
type search struct {
	q     *request
	ns    namespace
	wish  wish
	proj  *project.Projection
	skip  int64
	limit int64 // noLimit for none
}

// newSearch compiles filter, sort and projection, each of which may be nil.
func newSearch(q *request, ns namespace, filter, sort, projection bson.Raw, hint bson.RawValue) (*search, error) {
	s := &search{q: q, ns: ns, limit: noLimit}
	if err := checkHint(hint); err != nil {
		return nil, err
	}
	m, err := query.Compile(filter)
	if err != nil {
		return nil, err
	}
	s.wish = wish{m: m, filter: filter, hint: hint}
	if len(sort) > 5 {
		if s.wish.sort, err = compileSort(sort); err != nil {
			return nil, err
		}
	}
	if len(projection) > 5 {
		if s.proj, err = project.Compile(projection, m); err != nil {
			return nil, err
		}
		s.wish.fields, s.wish.only = s.proj.Fields()
		s.wish.reads = s.wish.only
	}
	return s, nil
}

func runFind(q *request) (bson.Raw, error) {
	s, err := findSearch(q)
	if err != nil {
		return nil, err
	}
	size := q.int("batchSize", defaultBatch)
	for {
		src, err := s.source()
		if err != nil {
			if errors.Is(err, errStale) {
				continue
			}
			return nil, err
		}
		out, err := q.cursorReply(s.ns, src, size, q.flag("singleBatch"))
		if errors.Is(err, errStale) {
			continue // the catalog changed; make a new plan
		}
		return out, err
	}
}

func findSearch(q *request) (*search, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(q, ns, q.doc("filter"), q.doc("sort"), q.doc("projection"), q.fields["hint"])
	if err != nil {
		return nil, err
	}
	s.skip = q.int("skip", 0)
	if n := q.int("limit", 0); n > 0 {
		s.limit = n
	}
	return s, nil
}

// source plans the search and makes what its cursor reads from.
func (s *search) source() (source, error) {
	coll := s.q.e.catalog.Load().colls[s.ns]
	if coll == nil {
		return &listSource{}, nil
	}
	p, err := choose(coll, &s.wish)
	if err != nil {
		return nil, err
	}
	sc := &scan{q: s.q, p: p, m: s.wish.m}
	if p.sorted {
		return &findSource{scan: sc, proj: s.proj, skip: s.skip, limit: s.limit}, nil
	}
	var docs []bson.Raw
	err = s.q.e.read(func(c *conn) error {
		docs, err = s.sorted(c, sc)
		return err
	})
	return &listSource{docs: docs}, err
}

// sorted runs a scan to its end and sorts what it gives.
func (s *search) sorted(c *conn, sc *scan) ([]bson.Raw, error) {
	keep := int64(noLimit)
	if s.limit < noLimit-s.skip {
		keep = s.limit + s.skip
	}
	so := &sorter{spec: s.wish.sort, limit: keep}
	_, err := sc.run(c, func(r int64, doc bson.Raw) (verdict, error) {
		return goOn, so.add(doc, func() (bson.Raw, error) {
			if s.proj == nil || sc.answer {
				return bytes.Clone(doc), nil
			}
			kept, err := s.proj.Apply(doc)
			return bytes.Clone(kept), err
		}, r)
	})
	if err != nil {
		return nil, err
	}
	items := so.done()
	items = items[min(int64(len(items)), s.skip):]
	docs := make([]bson.Raw, len(items))
	for i, it := range items {
		docs[i] = it.doc
	}
	return docs, nil
}

// each feeds all documents of the search to f, in its order if it has one. It is
// for commands that answer with something else than the documents. What f keeps of
// a document has to be a copy, see take.
func (s *search) each(f func(doc bson.Raw) (bool, error)) error {
	for {
		err := s.tryEach(f)
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

func (s *search) tryEach(f func(doc bson.Raw) (bool, error)) error {
	coll := s.q.e.catalog.Load().colls[s.ns]
	if coll == nil {
		return nil
	}
	p, err := choose(coll, &s.wish)
	if err != nil {
		return err
	}
	sc := &scan{q: s.q, p: p, m: s.wish.m}
	return s.q.e.read(func(c *conn) error {
		_, err := sc.run(c, func(_ int64, doc bson.Raw) (verdict, error) {
			more, err := f(doc)
			if !more {
				return stopAfter, err
			}
			return goOn, err
		})
		return err
	})
}

var countCommand = command{
	fields: map[string]kind{"query": kindDoc, "skip": kindCount, "limit": kindNumber, "hint": kindAny},
	reads:  true, stable: true,
	run: runCount,
}

func runCount(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(q, ns, q.doc("query"), nil, nil, q.fields["hint"])
	if err != nil {
		return nil, err
	}
	limit := q.int("limit", 0)
	if limit < 0 {
		limit = -limit
	}
	n, err := s.count(q.int("skip", 0), limit)
	if err != nil {
		return nil, err
	}
	return reply(func(b []byte) []byte { return appendCount(b, n) }), nil
}

// appendCount writes a count as int32 while it fits, as MongoDB does.
func appendCount(b []byte, n int64) []byte {
	if n > 1<<31-1 {
		return bsoncore.AppendInt64Element(b, "n", n)
	}
	return bsoncore.AppendInt32Element(b, "n", int32(n)) //nolint:gosec // checked above
}

// count counts the matching documents behind skip, at most limit (0: all).
func (s *search) count(skip, limit int64) (int64, error) {
	s.wish.only, s.wish.reads = true, true
	n, ok, err := s.quickCount(skip, limit)
	if err != nil {
		return 0, err
	}
	if !ok {
		stop := int64(noLimit)
		if limit > 0 && limit < noLimit-skip {
			stop = limit + skip
		}
		n = 0
		err = s.each(func(bson.Raw) (bool, error) {
			n++
			return n < stop, nil
		})
	}
	n = max(0, n-skip)
	if limit > 0 {
		n = min(n, limit)
	}
	return n, err
}

// quickCount counts without looking at single documents, if that is possible, at
// least as far as skip and limit (0: all) go.
func (s *search) quickCount(skip, limit int64) (n int64, ok bool, err error) {
	coll := s.q.e.catalog.Load().colls[s.ns]
	if coll == nil {
		return 0, true, nil
	}
	if s.wish.m.Empty() && s.wish.hint.Type == 0 {
		return coll.stats.count.Load(), true, nil
	}
	p, err := choose(coll, &s.wish)
	if err != nil || !p.exact || p.ix == nil || len(p.ranges) > 100 {
		return 0, false, err
	}
	stop := int64(noLimit)
	if limit > 0 && limit < noLimit-skip {
		stop = limit + skip
	}
	err = s.q.e.read(func(c *conn) error {
		for i := 0; i < len(p.ranges) && n < stop; i++ {
			r := p.ranges[i]
			got, _, err := c.number("SELECT count(*) FROM (SELECT 1 FROM ix WHERE k >= ? AND k < ? LIMIT ?)", r.low, r.high, stop-n)
			if err != nil {
				return err
			}
			n += got
		}
		return nil
	})
	if now := s.q.e.catalog.Load().colls[s.ns]; now != coll { // see scan.current
		return 0, false, err
	}
	return n, true, err
}

var distinctCommand = command{
	fields:   map[string]kind{"key": kindString, "query": kindDoc, "hint": kindAny},
	required: []string{"key"},
	reads:    true,
	run:      runDistinct,
}

func runDistinct(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(q, ns, q.doc("query"), nil, nil, q.fields["hint"])
	if err != nil {
		return nil, err
	}
	d := newDistinct(q.str("key"))
	if err := s.each(func(doc bson.Raw) (bool, error) { return true, d.add(doc) }); err != nil {
		return nil, err
	}
	return reply(func(b []byte) []byte {
		i, b := bsoncore.AppendArrayElementStart(b, "values")
		for n, v := range d.values {
			b = appendValue(b, itoa(n), v)
		}
		b, _ = bsoncore.AppendArrayEnd(b, i)
		return b
	}), nil
}
