package store

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// gone is the number of a message that is not taken over.
const goneDoc = ^uint32(0)

// termSource gives terms in order, each with the numbers that its messages will
// have in the new segment.
type termSource interface {
	// next goes to the next term; false at the end.
	next(ctx context.Context) (bool, error)
	term() string
	// numbers appends the term's messages.
	numbers(to []uint32) ([]uint32, error)
	close(ctx context.Context) error
}

// messageSource is one message that is in no segment yet.
type messageSource struct {
	terms  []string
	at     int
	number uint32
}

func (m *messageSource) next(context.Context) (bool, error) {
	m.at++
	return m.at <= len(m.terms), nil
}

func (m *messageSource) term() string                          { return m.terms[m.at-1] }
func (m *messageSource) numbers(to []uint32) ([]uint32, error) { return append(to, m.number), nil }
func (m *messageSource) close(context.Context) error           { return nil }

// segmentSource reads a segment from its beginning to its end. It holds one block
// of the dictionary and the postings of one term.
type segmentSource struct {
	g       *segment
	renamed []uint32
	dict    *mongo.Cursor
	post    *mongo.Cursor
	block   termReader
	current []byte
	name    string // current
	entry   termEntry
	data    []byte // postings that were read and not used
	list    []byte
}

func (g *segment) source(ctx context.Context, renamed []uint32) (*segmentSource, error) {
	open := func(kind byte) (*mongo.Cursor, error) {
		base := g.key(kind)
		return g.s.terms.Find(ctx, key("user", g.user, "k", key("$gte", base, "$lt", base+highest)),
			options.Find().SetSort(key("k", 1)).SetHint(indexTerms).SetBatchSize(32).SetProjection(key("_id", 0, "d", 1)))
	}
	dict, err := open('d')
	if err != nil {
		return nil, fail("read dictionary", err)
	}
	post, err := open(g.segmentRecord.postings())
	if err != nil {
		return nil, fail("read postings", errors.Join(err, dict.Close(ctx)))
	}
	return &segmentSource{g: g, renamed: renamed, dict: dict, post: post}, nil
}

func dataOf(raw bson.Raw) []byte { return rawBytes(raw.Lookup("d")) }

func (m *segmentSource) next(ctx context.Context) (bool, error) {
	if len(m.block.b) == 0 {
		if !m.dict.Next(ctx) {
			return false, fail("read dictionary", m.dict.Err())
		}
		data, err := unpack(dataOf(m.dict.Current))
		if err != nil {
			return false, err
		}
		m.block = termReader{b: data}
		m.block.number() // the offset; postings are read in order here
		m.current = m.current[:0]
	}
	m.current = m.block.term(m.current)
	m.name = string(m.current)
	m.entry = m.block.entry(0)
	if m.block.bad {
		return false, errTerms
	}
	for uint64(len(m.data)) < m.entry.length {
		if !m.post.Next(ctx) {
			return false, fail("read postings", errors.Join(m.post.Err(), errMoved))
		}
		data, err := unpack(dataOf(m.post.Current))
		if err != nil {
			return false, err
		}
		m.data = append(append([]byte(nil), m.data...), data...)
	}
	m.list, m.data = m.data[:m.entry.length], m.data[m.entry.length:]
	return true, nil
}

func (m *segmentSource) term() string { return m.name }

func (m *segmentSource) numbers(to []uint32) ([]uint32, error) {
	err := eachPosting(m.list, m.g.Form, m.entry.count, m.g.N, func(i uint32) {
		if n := m.renamed[i]; n != goneDoc {
			to = append(to, n)
		}
	})
	return to, err
}

func (m *segmentSource) close(ctx context.Context) error {
	return errors.Join(m.dict.Close(ctx), m.post.Close(ctx))
}

// sourceHeap is a binary heap with the source of the lowest term on top. It keeps
// the terms beside the sources: a merge compares several of them for each one that
// it writes.
type sourceHeap []struct {
	term   string
	source termSource
}

// add puts a source at its term into the heap; one without a term is closed.
func (h *sourceHeap) add(ctx context.Context, x termSource) error {
	ok, err := x.next(ctx)
	if err != nil || !ok {
		return errors.Join(err, x.close(ctx))
	}
	*h = append(*h, struct {
		term   string
		source termSource
	}{x.term(), x})
	for i := len(*h) - 1; i > 0 && (*h)[i].term < (*h)[(i-1)/2].term; i = (i - 1) / 2 {
		(*h)[i], (*h)[(i-1)/2] = (*h)[(i-1)/2], (*h)[i]
	}
	return nil
}

// next takes the source on top to its next term, or out.
func (h *sourceHeap) next(ctx context.Context) error {
	list := *h
	x := list[0].source
	ok, err := x.next(ctx)
	if err != nil {
		return err
	}
	if ok {
		list[0].term = x.term()
	} else {
		last := len(list) - 1
		list[0] = list[last]
		list = list[:last]
		*h = list
		err = x.close(ctx)
	}
	for i := 0; ; {
		least := 2*i + 1
		if least >= len(list) {
			return err
		}
		if least+1 < len(list) && list[least+1].term < list[least].term {
			least++
		}
		if list[i].term <= list[least].term {
			return err
		}
		list[i], list[least] = list[least], list[i]
		i = least
	}
}
