package store

import (
	"context"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

// writeStep is how many bytes of blocks are inserted at once: little enough that
// a delivery that waits for them does not notice.
const writeStep = 512 << 10

// pairsTerm has the messages whose pairs are in the segment.
var pairsTerm = search.MakeTerm(search.PairsToken, search.PairPlaces[0])

// segmentWriter writes a new segment. Nobody reads it before it is in the list.
type segmentWriter struct {
	s    *Store
	user bson.ObjectID
	segmentRecord
	ids     func() mail.ID
	pending []any
	size    int

	dict        []byte
	first, last string
	post        []byte
	blocks      int
	offset      uint64
}

func (s *Store) newSegment(user mail.ID, n int) *segmentWriter {
	ids := func() mail.ID { return mail.NewIDAt(s.now()) }
	return &segmentWriter{s: s, user: oid(user), segmentRecord: segmentRecord{ID: oid(ids()), N: n, Form: ricePostings}, ids: ids}
}

func (w *segmentWriter) put(ctx context.Context, k string, data []byte) error {
	data = pack(data)
	w.pending = append(w.pending, termRecord{ID: oid(w.ids()), User: w.user, Kind: k, Data: data})
	if w.size += len(data); w.size < writeStep {
		return nil
	}
	return w.flush(ctx)
}

func (w *segmentWriter) flush(ctx context.Context) error {
	if len(w.pending) == 0 {
		return nil
	}
	_, err := w.s.terms.InsertMany(ctx, w.pending)
	w.pending, w.size = w.pending[:0], 0
	return fail("write term index", err)
}

// table writes the rows of the messages, newest first.
func (w *segmentWriter) table(ctx context.Context, docs []termDoc) error {
	for from := 0; from < len(docs); from += tableBlock {
		rows := docs[from:min(from+tableBlock, len(docs))]
		var data []byte
		before := &termDoc{}
		for i := range rows {
			data = appendDoc(data, before, &rows[i])
			before = &rows[i]
		}
		if err := w.put(ctx, w.block('t', from/tableBlock), data); err != nil {
			return err
		}
	}
	return nil
}

// term writes a term with its messages, which rise.
func (w *segmentWriter) term(ctx context.Context, term string, list []uint32) error {
	if len(w.dict) >= dictionaryBlock {
		if err := w.endDictionary(ctx); err != nil {
			return err
		}
	}
	if len(w.dict) == 0 {
		w.dict = binary.AppendUvarint(w.dict, w.offset)
		w.first, w.last = term, ""
	}
	if term == pairsTerm {
		w.Paired = len(list)
	}
	before := len(w.post)
	w.post = encodePostings(w.post, list, w.N)
	length := uint64(len(w.post) - before) //nolint:gosec // not negative
	w.dict = appendTerm(w.dict, w.last, term)
	w.dict = appendEntry(w.dict, len(list), length)
	w.last = term
	w.offset += length
	for len(w.post) >= postingsBlock {
		if err := w.endPostings(ctx, postingsBlock); err != nil {
			return err
		}
	}
	return nil
}

func (w *segmentWriter) endDictionary(ctx context.Context) error {
	if len(w.dict) == 0 {
		return nil
	}
	err := w.put(ctx, w.key('d')+w.first, w.dict)
	w.dict = nil
	return err
}

func (w *segmentWriter) endPostings(ctx context.Context, n int) error {
	block := append([]byte(nil), w.post[:n]...)
	w.post = append(w.post[:0], w.post[n:]...)
	err := w.put(ctx, w.block(w.postings(), w.blocks), block)
	w.blocks++
	return err
}

func (w *segmentWriter) finish(ctx context.Context) error {
	if len(w.post) > 0 {
		if err := w.endPostings(ctx, len(w.post)); err != nil {
			return err
		}
	}
	if err := w.endDictionary(ctx); err != nil {
		return err
	}
	return w.flush(ctx)
}
