package docstore

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/query"
)

// verdict is what becomes of a scan after a document.
type verdict uint8

const (
	goOn      verdict = iota
	stopAfter         // the document was taken; go on behind it next time
	stopAt            // the document was not taken; begin with it next time
)

// errStale tells that the plan was made from a catalog that the data has left
// behind; a new plan has to be made.
var errStale = errors.New("the plan is out of date")

// errLooked tells that a scan has looked at as much as it may.
var errLooked = errors.New("the scan has looked at enough")

// looks counts.
func (s *scan) looks() error {
	if s.most > 0 && s.keys+s.docs >= s.most {
		return errLooked
	}
	return nil
}

// scan runs a plan. Between two runs it holds nothing but its position.
type scan struct {
	q      *request
	p      *plan
	m      *query.Matcher
	inside bool // runs in the writer, which sees its own catalog

	branch  int // of p.branches
	sub     *scan
	rng     int    // the range it is in
	key     []byte // the last entry taken; empty: none of this range
	record  int64
	streams []stream // of a merge
	resumed bool

	keys, docs int64 // examined
	most       int64 // of both together; 0: no bound
	checked    bool
	made       []byte // the memory of synthetic
	answer     bool   // the document is projected already
}

// take gets a document of a scan. The document lies in SQLite's memory and is gone
// when take returns: what is kept is a copy.
type take func(r int64, doc bson.Raw) (verdict, error)

// run feeds the matching documents to f, from the position on. done tells that
// there are no more.
func (s *scan) run(c *conn, f take) (done bool, err error) {
	defer func() { s.resumed = true }()
	s.checked = s.inside || s.resumed
	switch {
	case s.p.branches != nil:
		return s.runBranches(c, f)
	case s.p.ix == nil:
		return s.runAll(c, f)
	case s.p.merge:
		return s.runMerge(c, f)
	default:
		return s.runRanges(c, f)
	}
}

// matches applies the filter, unless the plan's ranges say it all.
func (s *scan) matches(doc bson.Raw) (bool, error) {
	if s.p.exact {
		return true, nil
	}
	ok, _, err := s.m.Test(doc)
	return ok, err
}

// offer hands a document to f if it matches.
func (s *scan) offer(r int64, doc bson.Raw, f take) (verdict, error) {
	ok, err := s.matches(doc)
	if err != nil || !ok {
		return goOn, err
	}
	return f(r, doc)
}

// current makes sure, once the first row has fixed what the connection sees, that
// the index of the plan is still what it was. See visible.
func (s *scan) current() error {
	if s.checked {
		return nil
	}
	s.checked = true
	now := s.q.e.catalog.Load().colls[s.p.coll.ns]
	if now == s.p.coll {
		return nil
	}
	if now == nil || now.id != s.p.coll.id {
		return errStale
	}
	if ix := now.index(s.p.ix.name); ix == nil || ix.id != s.p.ix.id || ix.multikey != s.p.ix.multikey {
		return errStale
	}
	return nil
}

const (
	sqlAll        = "SELECT r, v FROM docs WHERE r > ? AND r < ? ORDER BY r"
	sqlAllReverse = "SELECT r, v FROM docs WHERE r > ? AND r < ? ORDER BY r DESC"
	sqlDoc        = "SELECT v FROM docs WHERE r = ?"
)

func (s *scan) runAll(c *conn, f take) (done bool, err error) {
	low, high := s.p.coll.records()
	sql := sqlAll
	if s.p.reverse {
		sql = sqlAllReverse
		if s.record != 0 {
			high = s.record
		}
	} else {
		low = max(low, s.record)
	}
	done = true
	err = c.rows(sql, func(row *lite.Stmt) (bool, error) {
		if err := s.q.alive(); err != nil {
			return false, err
		}
		if err := s.looks(); err != nil {
			return false, err
		}
		s.docs++
		r := row.Int(0)
		v, err := s.offer(r, row.Bytes(1), f)
		if err != nil {
			return false, err
		}
		if v != stopAt {
			s.record = r
		}
		done = v == goOn
		return done, nil
	}, low, high)
	return done, err
}

// rangeSQL is the statement that reads a range of an index: fresh, or behind an
// entry, in either direction, with the documents or the keys alone.
func rangeSQL(behind, reverse, keysOnly bool) string {
	sql := "SELECT ix.k, ix.r, ix.t, docs.v FROM ix CROSS JOIN docs ON docs.r = ix.r"
	if keysOnly {
		sql = "SELECT ix.k, ix.r, ix.t FROM ix"
	}
	switch {
	case !behind && !reverse:
		return sql + " WHERE ix.k >= ? AND ix.k < ? ORDER BY ix.k, ix.r"
	case !behind:
		return sql + " WHERE ix.k >= ? AND ix.k < ? ORDER BY ix.k DESC, ix.r DESC"
	case !reverse:
		return sql + " WHERE (ix.k, ix.r) > (?, ?) AND ix.k < ? ORDER BY ix.k, ix.r"
	default:
		return sql + " WHERE ix.k >= ? AND (ix.k, ix.r) < (?, ?) ORDER BY ix.k DESC, ix.r DESC"
	}
}

// rangeSQLs are the eight statements, by behind + 2×reverse + 4×keysOnly.
var rangeSQLs = func() (out [8]string) {
	for i := range out {
		out[i] = rangeSQL(i&1 != 0, i&2 != 0, i&4 != 0)
	}
	return out
}()

// rangeQuery is a range's statement and its arguments.
func rangeQuery(r keyRange, key []byte, record int64, reverse, keysOnly bool) (string, []driver.Value) {
	i := 0
	args := []driver.Value{r.low, r.high}
	if len(key) > 0 {
		i = 1
		args = []driver.Value{key, record, r.high}
	}
	if reverse {
		i |= 2
		if len(key) > 0 {
			args = []driver.Value{r.low, key, record}
		}
	}
	if keysOnly {
		i |= 4
	}
	return rangeSQLs[i], args
}

// runRanges reads the ranges one after the other.
func (s *scan) runRanges(c *conn, f take) (done bool, err error) {
	for ; s.rng < len(s.p.ranges); s.rng++ {
		at := s.rng
		if s.p.reverse {
			at = len(s.p.ranges) - 1 - at
		}
		sql, args := rangeQuery(s.p.ranges[at], s.key, s.record, s.p.reverse, s.p.covered)
		more := true
		err = c.rows(sql, func(row *lite.Stmt) (bool, error) {
			if err := s.current(); err != nil {
				return false, err
			}
			e := entry{row.Bytes(0), row.Bytes(2), row.Int(1)}
			var doc bson.Raw
			if !s.p.covered {
				doc = row.Bytes(3)
			}
			v, err := s.entry(c, e, doc, f)
			if err == nil && v != stopAt {
				s.key, s.record = append(s.key[:0], e.key...), e.r
			}
			more = v == goOn
			return more, err
		}, args...)
		if err != nil || !more {
			return false, err
		}
		s.key, s.record = s.key[:0], 0
	}
	return true, nil
}

// entry is an entry of an index.
type entry struct {
	key, hints []byte
	r          int64
}

// entry handles one entry of an index. Without the document it is made from the
// key if the plan is covered, or else read.
func (s *scan) entry(c *conn, e entry, doc bson.Raw, f take) (v verdict, err error) {
	if err := s.q.alive(); err != nil {
		return goOn, err
	}
	if err := s.looks(); err != nil {
		return goOn, err
	}
	s.keys++
	if s.p.covered {
		doc = s.synthetic(e)
		if s.answer = s.p.direct && doc != nil; doc != nil {
			return s.offer(e.r, doc, f)
		}
	}
	if doc != nil {
		return s.whole(e, doc, f)
	}
	err = c.rows(sqlDoc, func(row *lite.Stmt) (bool, error) {
		v, err = s.whole(e, row.Bytes(0), f)
		return false, err
	}, e.r)
	return v, err
}

// whole handles an entry with its document.
func (s *scan) whole(e entry, doc bson.Raw, f take) (verdict, error) {
	s.docs++
	if again, err := s.again(e.key, doc); again || err != nil {
		return goOn, err
	}
	return s.offer(e.r, doc, f)
}

// synthetic makes the part of a document that a key holds; nil if it does not
// hold it whole.
func (s *scan) synthetic(e entry) bson.Raw {
	i, b := bsoncore.AppendDocumentStart(s.made[:0])
	b, ok := index.AppendElements(b, e.key[4:], s.p.ix.fields, e.hints, s.p.needed)
	s.made = b
	if !ok {
		return nil
	}
	s.made, _ = bsoncore.AppendDocumentEnd(b, i)
	return s.made
}

// again tells if a document with several keys in the plan's ranges comes up for a
// key that is not its first one.
func (s *scan) again(key []byte, doc bson.Raw) (bool, error) {
	if s.p.ix.multikey == 0 {
		return false, nil
	}
	keys, err := s.p.ix.keys(doc)
	if err != nil {
		return false, err
	}
	entries := keys.Entries
	if s.p.reverse {
		slices.Reverse(entries)
	}
	for _, e := range entries {
		if inRanges(s.p.ranges, e.Key) {
			return !bytes.Equal(e.Key, key), nil
		}
	}
	return false, nil
}

func inRanges(ranges []keyRange, key []byte) bool {
	i, found := slices.BinarySearchFunc(ranges, key, func(r keyRange, k []byte) int { return bytes.Compare(r.low, k) })
	if found {
		return true
	}
	return i > 0 && bytes.Compare(key, ranges[i-1].high) < 0
}

// runBranches answers an $or. Each branch gives the documents that it matches and
// no earlier branch does.
func (s *scan) runBranches(c *conn, f take) (done bool, err error) {
	for ; s.branch < len(s.p.branches); s.branch++ {
		if s.sub == nil {
			s.sub = &scan{q: s.q, p: s.p.branches[s.branch], m: s.m, inside: s.inside, resumed: s.resumed, most: s.most}
		}
		s.sub.q = s.q
		earlier, own := s.p.own[:s.branch], s.p.own[s.branch]
		keys, docs := s.sub.keys, s.sub.docs
		done, err = s.sub.run(c, func(r int64, doc bson.Raw) (verdict, error) {
			if !own.Match(doc) || slices.ContainsFunc(earlier, func(m *query.Matcher) bool { return m.Match(doc) }) {
				return goOn, nil
			}
			return f(r, doc)
		})
		s.keys += s.sub.keys - keys
		s.docs += s.sub.docs - docs
		if err != nil || !done {
			return false, err
		}
		s.sub = nil
	}
	return true, nil
}
