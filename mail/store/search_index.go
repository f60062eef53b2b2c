package store

import (
	"context"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

const (
	// freshRead is how many new messages one search looks through.
	freshRead = 2048
	// candidateStep is how many messages of the index are looked up at once, and
	// candidateLeast how many at least.
	candidateStep, candidateLeast = 128, 16
	// skipWeight messages that the index excludes by itself cost as much as one
	// that is looked up.
	skipWeight = 32
	// textStep is how many texts are read before it is asked whether they are enough,
	// bodyStep how many whole messages.
	textStep, bodyStep = 32, 8
	// lotsAtOnce lots of texts or of rows are read at the same time.
	lotsAtOnce, lotOfTexts, lotOfRows = 4, 8, 16
)

// indexSource answers from the term index.
type indexSource struct {
	q     *searching
	from  *SearchKey
	older bool
	parts []*partSearch
	last  mail.ID
	seen  bool
	skips int
	state *stateDates
}

// partSearch is the search in one part of the index.
type partSearch struct {
	searchPart
	leaves []leafBits
	upper  bitmap
	at     int // the next candidate, or -1
	head   *termDoc
}

// candidate is a message that may meet the query.
type candidate struct {
	termDoc
	part   *partSearch
	number int
}

// open asks every part. New messages are read before the list of segments: one
// that leaves the first is in the second by then.
func (x *indexSource) open(ctx context.Context) error {
	s, user := x.q.s, x.q.o.User
	fresh, err := s.freshMessages(ctx, user, freshRead)
	if err != nil {
		return err
	}
	if len(fresh) >= s.freshBatch {
		s.worker.nudge(user)
		x.q.indexing = x.q.indexing || len(fresh) >= freshRead
	}
	r, err := s.readIndex(ctx, user)
	if err != nil {
		return err
	}
	x.parts = append(x.parts, &partSearch{searchPart: newFreshPart(fresh)})
	if slices.ContainsFunc(r.Segments, func(g segmentRecord) bool { return g.Paired < g.N }) {
		s.worker.nudge(user)
	}
	for _, g := range r.Segments {
		x.parts = append(x.parts, &partSearch{searchPart: s.openSegment(user, g)})
	}
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for _, p := range x.parts {
		group.Go(func() (err error) {
			p.leaves = make([]leafBits, x.q.leaves)
			_, p.upper, err = x.q.tree.bits(work, p, p.leaves)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := x.stands(ctx, r); err != nil {
		return err
	}
	x.state = x.q.stateDates(x.older)
	for _, p := range x.parts {
		if err := p.begin(ctx, x.from, x.older); err != nil {
			return err
		}
	}
	return nil
}

// stands makes sure that no segment was removed while it was asked: what is not
// found of it would look like what does not match.
func (x *indexSource) stands(ctx context.Context, before *indexRecord) error {
	now, err := x.q.s.readIndex(ctx, x.q.o.User)
	if err != nil || now.Gen == before.Gen {
		return err
	}
	for _, g := range before.Segments {
		if !slices.ContainsFunc(now.Segments, func(o segmentRecord) bool { return o.ID == g.ID }) {
			return errMoved
		}
	}
	return nil
}

// begin goes to the first candidate behind the key, or at it: copies of one
// message share its place.
func (p *partSearch) begin(ctx context.Context, from *SearchKey, older bool) (err error) {
	p.at = 0
	if !older {
		p.at = p.size() - 1
	}
	if from == nil {
		return p.settle(ctx, older)
	}
	date := from.Date.UnixMilli()
	if older {
		p.at, err = p.since(ctx, date)
	} else if p.at, err = p.since(ctx, date-1); err == nil {
		p.at--
	}
	if err != nil {
		return err
	}
	for {
		if err := p.settle(ctx, older); err != nil || p.at < 0 || p.head.date != date {
			return err
		}
		if order := slices.Compare(p.head.root[:], from.Root[:]); order == 0 || (order < 0) == older {
			return nil
		}
		p.step(older)
	}
}

func (p *partSearch) step(older bool) {
	if older {
		p.at++
	} else {
		p.at--
	}
}

// settle goes on to the next candidate, if this number is none.
func (p *partSearch) settle(ctx context.Context, older bool) (err error) {
	if p.at < 0 || p.at >= p.size() {
		p.at = -1
		return nil
	}
	if p.at = p.upper.next(p.at, !older); p.at < 0 {
		return nil
	}
	p.head, err = p.doc(ctx, p.at)
	return err
}

// candidate takes the next message of all parts; false at the end.
func (x *indexSource) candidate(ctx context.Context) (c candidate, ok bool, err error) {
	for {
		var best *partSearch
		for _, p := range x.parts {
			if p.at >= 0 && (best == nil || p.head.newer(best.head) == x.older) {
				best = p
			}
		}
		if best == nil {
			return c, false, nil
		}
		c = candidate{termDoc: *best.head, part: best, number: best.at}
		best.step(x.older)
		if err := best.settle(ctx, x.older); err != nil {
			return c, false, err
		}
		if x.seen && c.root == x.last {
			continue // the same message in two parts
		}
		x.last, x.seen = c.root, true
		may := x.q.tree.judge(func(t *searchTree) search.Tri { return c.leaf(t) }) != search.No
		if may && x.state != nil {
			may, err = x.state.has(ctx, c.date)
		}
		if may || err != nil {
			return c, err == nil, err
		}
		if x.skips++; x.skips%skipWeight == 0 {
			x.q.budget--
		}
		if x.q.budget <= 0 {
			return c, false, nil
		}
	}
}

// leaf is what the index knows of a condition on this message.
func (c *candidate) leaf(t *searchTree) search.Tri {
	if z, ok := t.q.(search.Size); ok {
		return search.Truth(c.size >= z.Min && (z.Max == 0 || c.size <= z.Max))
	}
	return c.part.leaves[t.leaf].of(c.number)
}

func (x *indexSource) next(ctx context.Context) (hits []searchHit, end *SearchKey, err error) {
	want := min(max(x.q.o.Limit+1, candidateLeast), candidateStep)
	batch := make([]candidate, 0, want)
	more := true
	for len(batch) < want && more {
		c, ok, err := x.candidate(ctx)
		if err != nil {
			return nil, nil, err
		}
		if more = ok; ok {
			batch = append(batch, c)
		} else if x.q.budget <= 0 && !c.root.IsZero() {
			end = &SearchKey{Date: c.time(), Root: c.root}
		}
	}
	x.q.budget -= len(batch)
	hits, reached, err := x.resolve(ctx, batch)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case reached != nil:
		end = reached
	case more:
		last := &batch[len(batch)-1]
		end = &SearchKey{Date: last.time(), Root: last.root, ID: lastID(x.older)}
	}
	return hits, end, nil
}

// lastID comes behind every id of a listing.
func lastID(older bool) (id mail.ID) {
	if !older {
		for i := range id {
			id[i] = 0xff
		}
	}
	return id
}

// resolve finds the messages that candidates stand for, with their copies.
// reached is how far it came, if not to the end.
func (x *indexSource) resolve(ctx context.Context, batch []candidate) (kept []searchHit, reached *SearchKey, err error) {
	if len(batch) == 0 {
		return nil, nil, nil
	}
	places := make(map[mail.ID]*candidate, len(batch))
	roots := make([]mail.ID, len(batch))
	for i := range batch {
		places[batch[i].root] = &batch[i]
		roots[i] = batch[i].root
	}
	rows, err := x.rows(ctx, roots)
	if err != nil {
		return nil, nil, err
	}
	x.q.budget -= rowCost * len(rows)
	hits := make([]searchHit, 0, len(rows))
	for i := range rows {
		m := rows[i].Row.row()
		c := places[rows[i].root()]
		k := SearchKey{Date: c.time(), Root: c.root, ID: m.ID}
		if x.from == nil || x.from.before(k, x.older) {
			hits = append(hits, searchHit{k, m})
		}
	}
	slices.SortFunc(hits, func(a, b searchHit) int {
		if a.key.before(b.key, x.older) {
			return -1
		}
		return 1
	})
	kept, done, err := x.q.decide(ctx, hits, func(i int, t *searchTree) search.Tri { return places[hits[i].key.Root].leaf(t) })
	if err == nil && done < len(hits) {
		reached = &hits[done-1].key
	}
	return kept, reached, err
}

// rows reads the messages of some roots, in lots side by side.
func (x *indexSource) rows(ctx context.Context, roots []mail.ID) (rows []rootedRow, err error) {
	filter := key("user", oid(x.q.o.User))
	if box, ok := x.q.place.only(); ok {
		filter = append(filter, bson.E{Key: "mailbox", Value: oid(box)})
	}
	var mu sync.Mutex
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(lotsAtOnce)
	for lot := range slices.Chunk(roots, lotOfRows) {
		group.Go(func() error {
			mine := append(slices.Clone(filter), bson.E{Key: "root", Value: key("$in", oids(lot))})
			some, err := x.q.s.rootedRows(work, mine, options.Find().SetHint(indexRoot).SetBatchSize(candidateStep))
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, some...)
			return err
		})
	}
	return rows, group.Wait()
}

func (x *indexSource) estimate(context.Context) (int, error) {
	n := 0
	for _, p := range x.parts {
		n += p.upper.count()
	}
	return n, nil
}
