package docstore

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A command that is one statement on many documents does them in steps, jobs of the
// writer among others: no other command waits for all of it. Which documents match
// is then looked up beside the writer, each is looked at again when its turn comes,
// and none is changed twice. Documents that come to match meanwhile may be left out,
// as in MongoDB, whose commands on many documents are not atomic either.
const (
	manyStep  = 50        // documents of a job
	manyBytes = 256 << 10 // of documents, but at least one
	manyLook  = 2000      // entries and documents that a job goes through to find them
)

// makeWay waits, before a step, until no other command waits for the disk: what the
// step writes would be synced with it.
func (e *Engine) makeWay() {
	if free := e.writer.sync.free(); free != nil {
		select {
		case <-free:
		case <-e.closing:
		}
	}
}

// many is a statement that goes on in steps.
type many struct {
	*statementOf
	done map[int64]struct{} // by the first job
}

// some finds the record numbers of matching documents. Of a statement that may go
// on in steps it finds no more than one job can do; whole tells that there are no
// others.
func (s *search) some(t *tx, coll *collection, bounded bool) (list []int64, whole bool, err error) {
	p, err := choose(coll, &s.wish)
	if err != nil {
		return nil, false, err
	}
	sc := &scan{q: s.q, p: p, m: s.wish.m, inside: true}
	if bounded {
		sc.most = manyLook
	}
	size := 0
	whole, err = sc.run(t.c, func(r int64, doc bson.Raw) (verdict, error) {
		list = append(list, r)
		if size += len(doc); bounded && (len(list) == manyStep || size >= manyBytes) {
			return stopAfter, nil
		}
		return goOn, nil
	})
	if errors.Is(err, errLooked) {
		whole, err = false, nil
	}
	return list, whole, err
}

// matching finds the record numbers of all matching documents, beside the writer.
func (s *search) matching() (list []int64, err error) {
	for {
		list = list[:0]
		coll := s.q.e.catalog.Load().colls[s.ns]
		if coll == nil {
			return nil, nil
		}
		p, err := choose(coll, &s.wish)
		if err != nil {
			return nil, err
		}
		sc := &scan{q: s.q, p: p, m: s.wish.m}
		err = s.q.e.read(func(c *conn) error {
			_, err := sc.run(c, func(r int64, _ bson.Raw) (verdict, error) {
				list = append(list, r)
				return goOn, nil
			})
			return err
		})
		if !errors.Is(err, errStale) {
			return list, err
		}
	}
}

// rest does what the first job of a command left, and makes it durable.
func (m *many) rest(res *writeResult, one func(t *tx, coll *collection, r int64, doc bson.Raw) error) error {
	list, err := m.matching()
	if err != nil {
		return m.ended(res, err)
	}
	for len(list) > 0 && err == nil && len(res.errs) == 0 {
		m.q.e.makeWay()
		left := 0
		was := *res
		err = m.q.e.writer.writePlain(false, func(t *tx) (err error) {
			*res = was
			left, err = m.step(t, list, one)
			if err != nil && isRefusal(err) {
				res.errs, err = append(res.errs, writeError{0, err}), nil
			}
			return err
		})
		list = list[left:]
	}
	return m.ended(res, err)
}

// ended makes durable what was done, also when the command failed.
func (m *many) ended(res *writeResult, err error) error {
	if err != nil && isRefusal(err) {
		res.errs, err = append(res.errs, writeError{0, err}), nil
	}
	return errors.Join(err, m.q.e.writer.write(m.q.durable, func(*tx) error { return nil }))
}

// step does some of the records and tells how many.
func (m *many) step(t *tx, list []int64, one func(t *tx, coll *collection, r int64, doc bson.Raw) error) (n int, err error) {
	coll := t.cat.colls[m.ns]
	if coll == nil {
		return len(list), nil
	}
	low, high := coll.records()
	size := 0
	for ; n < min(manyStep, len(list)) && size < manyBytes; n++ {
		r := list[n]
		if _, done := m.done[r]; done || r < low || r >= high {
			continue
		}
		doc, err := t.document(r)
		if err != nil {
			return n, err
		}
		if doc == nil {
			continue
		}
		size += len(doc)
		if ok, _, err := m.wish.m.Test(doc); err != nil || !ok {
			if err != nil {
				return n, err
			}
			continue
		}
		if err := one(t, t.cat.colls[m.ns], r, doc); err != nil {
			return n, err
		}
	}
	return n, nil
}
