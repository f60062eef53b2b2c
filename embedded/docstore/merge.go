package docstore

import (
	"bytes"
	"container/heap"
	"errors"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// mergeChunk is how many entries of each range a merge reads at a time.
const (
	mergeChunk = 32
	mergeLimit = " LIMIT 32"
)

// stream is one range of a merge.
type stream struct {
	rng    keyRange
	offset int // where the order's part of a key begins
	key    []byte
	record int64 // the position: the last entry taken
	buf    []entry
	ended  bool // nothing behind buf
}

func (st *stream) order() []byte { return st.buf[0].key[st.offset:] }

// fill reads the next entries.
func (st *stream) fill(c *conn, reverse bool) error {
	if len(st.buf) > 0 || st.ended {
		return nil
	}
	sql, args := rangeQuery(st.rng, st.key, st.record, reverse, true)
	err := c.rows(sql+mergeLimit, func(row *lite.Stmt) (bool, error) {
		st.buf = append(st.buf, entry{bytes.Clone(row.Bytes(0)), bytes.Clone(row.Bytes(2)), row.Int(1)})
		return true, nil
	}, args...)
	st.ended = len(st.buf) < mergeChunk
	return err
}

// pile is a heap of streams by their next entry.
type pile struct {
	streams []*stream
	reverse bool
}

func (p *pile) Len() int { return len(p.streams) }
func (p *pile) Less(i, j int) bool {
	c := bytes.Compare(p.streams[i].order(), p.streams[j].order())
	if p.reverse {
		return c > 0
	}
	return c < 0
}
func (p *pile) Swap(i, j int) { p.streams[i], p.streams[j] = p.streams[j], p.streams[i] }
func (p *pile) Push(x any) {
	if st, ok := x.(*stream); ok {
		p.streams = append(p.streams, st)
	}
}

func (p *pile) Pop() any {
	last := p.streams[len(p.streams)-1]
	p.streams = p.streams[:len(p.streams)-1]
	return last
}

// runMerge reads all ranges at once in the order of what follows their fixed
// parts. It needs one view of the data for many statements.
func (s *scan) runMerge(c *conn, f take) (done bool, err error) {
	if !s.inside {
		if err := c.exec("BEGIN"); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, c.exec("COMMIT")) }()
	}
	if s.streams == nil {
		for _, r := range s.p.ranges {
			s.streams = append(s.streams, stream{rng: r, offset: r.ends[s.p.fixed]})
		}
	}
	p := &pile{reverse: s.p.reverse}
	for i := range s.streams {
		st := &s.streams[i]
		st.buf, st.ended = nil, false // of an earlier view
		if err := st.fill(c, s.p.reverse); err != nil {
			return false, err
		}
		if err := s.current(); err != nil {
			return false, err
		}
		if len(st.buf) > 0 {
			p.streams = append(p.streams, st)
		}
	}
	heap.Init(p)
	for p.Len() > 0 {
		v, err := s.mergeStep(c, p, f)
		if err != nil || v != goOn {
			return false, err
		}
	}
	return true, nil
}

// mergeStep takes the smallest entry of all.
func (s *scan) mergeStep(c *conn, p *pile, f take) (verdict, error) {
	st := p.streams[0]
	e := st.buf[0]
	v, err := s.entry(c, e, nil, f)
	if err != nil || v == stopAt {
		return v, err
	}
	st.key, st.record, st.buf = e.key, e.r, st.buf[1:]
	if err := st.fill(c, s.p.reverse); err != nil {
		return v, err
	}
	if len(st.buf) == 0 {
		heap.Pop(p)
	} else {
		heap.Fix(p, 0)
	}
	return v, nil
}
