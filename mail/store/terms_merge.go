package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// freshBatch is how many messages are gathered before they become a segment,
	// freshMost how many one segment is made of at the first time.
	freshBatch = 64
	freshMost  = 512
	// fanOut segments of one level become one of the next.
	fanOut = 8
	// freshBytes bounds the terms that are held for one new segment.
	freshBytes = 64 << 20
)

// freshMessage is a message that is in no segment yet.
type freshMessage struct {
	termDoc
	terms []string
}

// freshMessages reads them, oldest delivery first.
func (s *Store) freshMessages(ctx context.Context, user mail.ID, limit int) ([]freshMessage, error) {
	const op = "read new messages of the index"
	cur, err := s.terms.Find(ctx, key("user", oid(user), "k", kindMessage),
		options.Find().SetLimit(int64(limit)).SetHint(indexTerms).SetBatchSize(128))
	if err != nil {
		return nil, fail(op, err)
	}
	var out []freshMessage
	size := 0
	for size < freshBytes && cur.Next(ctx) {
		var r termRecord
		if err = cur.Decode(&r); err != nil {
			break
		}
		f := freshMessage{termDoc: termDoc{root: mail.ID(r.ID), date: r.Date.UnixMilli()}}
		if f.size, f.terms, err = decodeMessageTerms(r.Data); err != nil {
			break
		}
		size += len(r.Data)
		out = append(out, f)
	}
	return out, fail(op, errors.Join(err, cur.Err(), cur.Close(ctx)))
}

// merge is one new segment made of others and of new messages.
type merge struct {
	s     *Store
	user  mail.ID
	fresh []freshMessage
	old   []*segment
	level int
	// pairs are some that the messages of the one old segment lack.
	pairs map[string][]uint32
	// dropped counts messages that were gone.
	dropped int
}

// input is a message on its way into the new segment.
type input struct {
	termDoc
	from  int // of old, or -1
	index int
}

// run writes the new segment, puts it in the list in place of its parts and
// removes these. Until it is in the list nothing reads it, and what a crash
// leaves of it is removed by the next run.
func (m *merge) run(ctx context.Context) error {
	docs, renamed, err := m.rename(ctx)
	if err != nil {
		return err
	}
	w := m.s.newSegment(m.user, len(docs))
	w.Level = m.level
	if len(docs) > 0 {
		if err := m.write(ctx, w, docs, renamed); err != nil {
			m.s.removeSegment(context.WithoutCancel(ctx), m.user, w.ID)
			return err
		}
	}
	if err := m.commit(ctx, w); err != nil {
		m.s.removeSegment(context.WithoutCancel(ctx), m.user, w.ID)
		return err
	}
	m.clean(ctx)
	return nil
}

// rename decides which messages go over and which number each gets: newest
// first. renamed has the numbers by part; the new messages are the last part.
func (m *merge) rename(ctx context.Context) (docs []termDoc, renamed [][]uint32, err error) {
	var all []input
	renamed = make([][]uint32, len(m.old)+1)
	for i, g := range m.old {
		rows, err := g.table(ctx)
		if err != nil {
			return nil, nil, err
		}
		renamed[i] = make([]uint32, len(rows))
		for k := range rows {
			all = append(all, input{rows[k], i, k})
		}
	}
	last := len(m.old)
	renamed[last] = make([]uint32, len(m.fresh))
	for k := range m.fresh {
		all = append(all, input{m.fresh[k].termDoc, last, k})
	}
	alive, err := m.alive(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(all, func(a, b input) int {
		if a.date != b.date {
			return cmp.Compare(b.date, a.date)
		}
		return slices.Compare(b.root[:], a.root[:])
	})
	for i := range all {
		n := goneDoc
		switch a := &all[i]; {
		case !alive[a.root]:
			m.dropped++
		case len(docs) > 0 && docs[len(docs)-1].root == a.root:
			// The same message from two parts: a crash, or two who caught up.
			n = uint32(len(docs) - 1) //nolint:gosec // below the messages of an account
		default:
			n = uint32(len(docs)) //nolint:gosec // below the messages of an account
			docs = append(docs, a.termDoc)
		}
		renamed[all[i].from][all[i].index] = n
	}
	return docs, renamed, nil
}

// alive leaves out messages that were deleted, but for those that are perhaps
// only being delivered.
func (m *merge) alive(ctx context.Context, all []input) (map[mail.ID]bool, error) {
	alive := make(map[mail.ID]bool, len(all))
	now := m.s.now()
	for batch := range slices.Chunk(all, 500) {
		roots := make([]mail.ID, len(batch))
		for i := range batch {
			roots[i] = batch[i].root
		}
		some, err := m.s.aliveRoots(ctx, m.user, roots)
		if err != nil {
			return nil, err
		}
		for _, r := range roots {
			alive[r] = some[r] || inFlight(r, now)
		}
	}
	return alive, nil
}

func (m *merge) write(ctx context.Context, w *segmentWriter, docs []termDoc, renamed [][]uint32) (err error) {
	if err := w.table(ctx, docs); err != nil {
		return err
	}
	sources := make(sourceHeap, 0, len(m.old)+len(m.fresh)+1)
	defer func() {
		for _, x := range sources {
			err = errors.Join(err, x.source.close(context.WithoutCancel(ctx)))
		}
	}()
	for i, g := range m.old {
		x, err := g.source(ctx, renamed[i])
		if err == nil {
			err = sources.add(ctx, x)
		}
		if err != nil {
			return err
		}
	}
	if m.pairs != nil {
		if err := sources.add(ctx, newPairsSource(m.pairs, renamed[0])); err != nil {
			return err
		}
	}
	for i := range m.fresh {
		if n := renamed[len(m.old)][i]; n != goneDoc {
			if err := sources.add(ctx, &messageSource{terms: m.fresh[i].terms, number: n}); err != nil {
				return err
			}
		}
	}
	return m.terms(ctx, w, &sources)
}

// terms goes through all sources at once, term by term.
func (m *merge) terms(ctx context.Context, w *segmentWriter, sources *sourceHeap) (err error) {
	var list []uint32
	var marks bitmap
	for len(*sources) > 0 {
		term := (*sources)[0].term
		list = list[:0]
		parts := 0
		for len(*sources) > 0 && (*sources)[0].term == term {
			if list, err = (*sources)[0].source.numbers(list); err != nil {
				return err
			}
			parts++
			if err := sources.next(ctx); err != nil {
				return err
			}
		}
		if parts > 1 {
			list, marks = sortNumbers(list, marks, w.N)
		}
		if len(list) > 0 {
			if err := w.term(ctx, term, list); err != nil {
				return err
			}
		}
	}
	return w.finish(ctx)
}

// sortNumbers sorts numbers below n and takes repetitions out.
func sortNumbers(list []uint32, marks bitmap, n int) ([]uint32, bitmap) {
	if 64*len(list) < n {
		slices.Sort(list)
		return slices.Compact(list), marks
	}
	if len(marks) == 0 {
		marks = newBitmap(n)
	}
	for _, i := range list {
		marks.set(i)
	}
	list = list[:0]
	for i := marks.next(0, false); i >= 0; i = marks.next(i+1, false) {
		list = append(list, uint32(i)) //nolint:gosec // below n
	}
	clear(marks)
	return list, marks
}

// commit puts the new segment in the place of its parts. It is the one write that
// decides.
func (m *merge) commit(ctx context.Context, w *segmentWriter) error {
	const op = "commit term index"
	for range maxRounds {
		r, err := m.s.readIndex(ctx, m.user)
		if err != nil {
			return err
		}
		var list []segmentRecord
		for _, x := range r.Segments {
			if !slices.ContainsFunc(m.old, func(g *segment) bool { return g.ID == x.ID }) {
				list = append(list, x)
			}
		}
		if len(list)+len(m.old) != len(r.Segments) {
			return errMoved // somebody else merged the parts
		}
		if w.N > 0 {
			list = append(list, w.segmentRecord)
		}
		done, err := m.s.changeIndex(ctx, r, bson.D{{Key: "segs", Value: segmentArray(list)}})
		if err != nil || done {
			return err
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}

func segmentArray(list []segmentRecord) []segmentRecord {
	if list == nil {
		return []segmentRecord{}
	}
	return list
}

// changeIndex sets fields of the list as it was read; false when somebody else
// has changed it meanwhile.
func (s *Store) changeIndex(ctx context.Context, r *indexRecord, set bson.D) (bool, error) {
	res, err := s.terms.UpdateOne(ctx, key("_id", r.ID, "user", r.User, "gen", r.Gen),
		bson.D{{Key: "$set", Value: append(set, bson.E{Key: "k", Value: kindIndex})}, {Key: "$inc", Value: key("gen", int64(1))}},
		options.UpdateOne().SetUpsert(r.Gen == 0))
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, fail("change term index", err)
	}
	return res.MatchedCount+res.UpsertedCount > 0, nil
}

// clean removes the parts. They are harmless where that fails: nothing reads the
// old segments, and a new message that is still there is the same as in the
// segment.
func (m *merge) clean(ctx context.Context) {
	rest, cancel := after(ctx)
	defer cancel()
	roots := make([]mail.ID, len(m.fresh))
	for i := range m.fresh {
		roots[i] = m.fresh[i].root
	}
	for batch := range slices.Chunk(roots, freshBatch) {
		m.s.dropTerms(rest, m.user, batch...)
	}
	for _, g := range m.old {
		m.s.removeSegment(rest, m.user, g.ID)
	}
}
