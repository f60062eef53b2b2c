package store

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

const (
	// searchRounds bounds how often a search begins anew because segments were
	// merged under it.
	searchRounds = 10
	// inlineTerms is how many messages of others one search adds to the index
	// before it answers.
	inlineTerms = 32
	// partsAtOnce is how many segments are asked at the same time.
	partsAtOnce = 4
)

// Search finds messages. Conditions on texts are answered by the term index,
// what the index cannot decide by the messages themselves; conditions on the
// state of messages alone by the indexes of lists. CodeInvalid for a page with
// two keys.
func (s *Store) Search(ctx context.Context, o Search) (Found, error) {
	const op = "search messages"
	if o.Limit <= 0 {
		o.Limit = defaultPage
	}
	o.Limit = min(o.Limit, MaxPage)
	if o.Before != nil && o.After != nil {
		return Found{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "page"}
	}
	if o.Query == nil {
		o.Query = search.And{}
	}
	q, err := s.newSearch(ctx, o)
	if err != nil {
		return Found{}, err
	}
	for range searchRounds {
		out, err := q.page(ctx)
		out.Calls = 1
		if errors.Is(err, errMoved) {
			continue
		}
		if err == nil && o.ThreadCounts {
			err = s.fillThreadCounts(ctx, o.User, out.Messages)
		}
		return out, fail(op, err)
	}
	return Found{}, &mail.Error{Code: mail.CodeConflict, Op: op}
}

// SearchThrough searches on, up to a number of calls, until the page is full or
// nothing is left. Only then, or after the last call, may a page be short.
func (s *Store) SearchThrough(ctx context.Context, o Search, calls int) (Found, error) {
	limit := min(o.Limit, MaxPage)
	if limit <= 0 {
		limit = defaultPage
	}
	older := o.Before != nil || (o.After == nil && !o.OldestFirst)
	out, err := s.Search(ctx, o)
	for range calls - 1 {
		ahead := out.ahead(older)
		if err != nil || *ahead == nil || len(out.Messages) >= limit {
			break
		}
		o.Count, o.Limit, o.Before, o.After = false, limit-len(out.Messages), nil, *ahead
		if older {
			o.Before, o.After = *ahead, nil
		}
		var more Found
		if more, err = s.Search(ctx, o); err != nil {
			break
		}
		*ahead = *more.ahead(older)
		out.Calls++
		out.Indexing = out.Indexing || more.Indexing
		if older == o.OldestFirst {
			out.Messages = append(more.Messages, out.Messages...)
		} else {
			out.Messages = append(out.Messages, more.Messages...)
		}
	}
	return out, err
}

// ahead is where a search in a direction goes on.
func (f *Found) ahead(older bool) **SearchKey {
	if older {
		return &f.Older
	}
	return &f.Newer
}

// searching is one search under way.
type searching struct {
	s     *Store
	o     Search
	boxes map[mail.ID]*mailboxRecord
	// place is the part of the query that says where, as mailboxes.
	place  searchPlace
	tree   *searchTree
	leaves int
	// texts: some condition is on what messages say, so that the index answers.
	texts    bool
	indexing bool
	budget   int
	// wanted is how many messages the page still takes.
	wanted int
}

func (s *Store) newSearch(ctx context.Context, o Search) (*searching, error) {
	boxes, err := s.searchBoxes(ctx, o.User)
	if err != nil {
		return nil, err
	}
	q := &searching{s: s, o: o, boxes: make(map[mail.ID]*mailboxRecord, len(boxes))}
	for i := range boxes {
		q.boxes[mail.ID(boxes[i].ID)] = &boxes[i]
	}
	query := search.Simplify(o.Query)
	q.tree = compileSearch(query, &q.leaves)
	q.place = q.placeOf(query)
	search.Walk(query, func(k search.Query, _ bool) {
		switch k.(type) {
		case search.Text, search.Header, search.Encrypted, search.Size:
			q.texts = true
		}
	})
	if q.texts {
		_, q.indexing, err = s.catchUpTerms(ctx, o.User, boxes, inlineTerms)
		if q.indexing {
			s.worker.nudge(o.User)
		}
	}
	return q, err
}

// searchPlace is what must hold for a message to be found at all, so that lists
// can be narrowed by it.
type searchPlace struct {
	// boxes are the mailboxes, nil for all; hidden are some that are not searched.
	boxes                     map[mail.ID]bool
	unseen, flagged, attached bool
	thread                    mail.ID
}

// placeOf reads the conditions that stand alone or in an And at the top.
func (q *searching) placeOf(query search.Query) (p searchPlace) {
	list, ok := query.(search.And)
	if !ok {
		list = search.And{query}
	}
	for _, k := range list {
		switch k := k.(type) {
		case search.In, search.Searchable:
			q.narrow(&p, k)
		case search.Or:
			if allPlaces(k) {
				q.narrow(&p, k)
			}
		case search.Not:
			switch inner := k.Query.(type) {
			case search.In:
				q.narrow(&p, k)
			case search.Flag:
				p.unseen = p.unseen || mail.HasFlag([]mail.Flag{inner.Flag}, mail.FlagSeen)
			}
		case search.Flag:
			p.flagged = p.flagged || mail.HasFlag([]mail.Flag{k.Flag}, mail.FlagFlagged)
		case search.Attached:
			p.attached = true
		case search.Thread:
			p.thread = k.ID
		}
	}
	return p
}

func allPlaces(list search.Or) bool {
	return !slices.ContainsFunc(list, func(k search.Query) bool { _, ok := k.(search.In); return !ok })
}

// narrow leaves the mailboxes for which a condition can hold.
func (q *searching) narrow(p *searchPlace, k search.Query) {
	left := map[mail.ID]bool{}
	for id, box := range q.boxes {
		it := search.Item{Mailbox: id, Use: box.use(), Path: box.Path}
		if (p.boxes == nil || p.boxes[id]) && search.Eval(k, it.State) != search.No {
			left[id] = true
		}
	}
	p.boxes = left
}

// empty: there is no mailbox where something could be found.
func (p *searchPlace) empty() bool { return p.boxes != nil && len(p.boxes) == 0 }

// only is the one mailbox of the search.
func (p *searchPlace) only() (id mail.ID, ok bool) {
	if len(p.boxes) != 1 {
		return id, false
	}
	for id = range p.boxes {
	}
	return id, true
}

// mailboxIDs are those of the search, in a settled order.
func (q *searching) mailboxIDs() bson.A {
	ids := make([]mail.ID, 0, len(q.boxes))
	for id := range q.boxes {
		if q.place.boxes == nil || q.place.boxes[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
	out := make(bson.A, len(ids))
	for i := range ids {
		out[i] = oid(ids[i])
	}
	return out
}

// searchBudget is what one call may cost (Options.SearchBudget): about one for each message of the index
// that is looked up, with the weights below for reading rows, texts and whole
// messages; bytesPerCost bytes of texts cost one more.
const (
	searchBudget = 20_000
	rowCost      = 4
	textCost     = 20
	wholeCost    = 100
	bytesPerCost = 256
	countBudget  = 4_000
)

// searchSource gives messages in the order of the listing, each once.
type searchSource interface {
	// next gives the next messages that meet the query. end is how far it has come;
	// nil when nothing is left.
	next(ctx context.Context) (hits []searchHit, end *SearchKey, err error)
	// estimate is about how many there are.
	estimate(ctx context.Context) (int, error)
}

// searchHit is a message that meets the query.
type searchHit struct {
	key SearchKey
	row mail.Message
}

func (q *searching) page(ctx context.Context) (out Found, err error) {
	out.Indexing = q.indexing
	if q.place.empty() {
		return out, nil
	}
	older := q.o.Before != nil || (q.o.After == nil && !q.o.OldestFirst)
	from := q.o.Before
	if from == nil {
		from = q.o.After
	}
	q.budget = q.s.budget
	src, err := q.source(ctx, from, older)
	if err != nil {
		return out, err
	}
	hits, ahead, err := q.collect(ctx, src, q.o.Limit)
	if err != nil {
		return out, err
	}
	behind := from
	if behind != nil && len(hits) > 0 {
		behind = &hits[0].key
	}
	out.Older, out.Newer = ahead, behind
	if !older {
		out.Older, out.Newer = behind, ahead
	}
	out.Messages = make([]mail.Message, len(hits))
	for i := range hits {
		out.Messages[i] = hits[i].row
	}
	if older == q.o.OldestFirst {
		slices.Reverse(out.Messages)
	}
	if q.o.Count {
		err = q.count(ctx, &out)
	}
	out.Indexing = q.indexing
	return out, err
}

// collect takes up to limit messages. ahead is where the next ones begin, nil
// when there are none.
func (q *searching) collect(ctx context.Context, src searchSource, limit int) (hits []searchHit, ahead *SearchKey, err error) {
	for {
		q.wanted = limit + 1 - len(hits)
		more, end, err := src.next(ctx)
		if err != nil {
			return nil, nil, err
		}
		hits = append(hits, more...)
		switch {
		case len(hits) > limit:
			return hits[:limit], &hits[limit-1].key, nil
		case end == nil || q.budget <= 0:
			return hits, end, nil
		}
	}
}

// count counts from the beginning, for a while; beyond that it estimates.
func (q *searching) count(ctx context.Context, out *Found) error {
	q.budget = countBudget
	src, err := q.source(ctx, nil, true)
	if err != nil {
		return err
	}
	hits, ahead, err := q.collect(ctx, src, countBudget)
	if err != nil {
		return err
	}
	if out.Total = len(hits); ahead == nil {
		return nil
	}
	about, err := src.estimate(ctx)
	out.Total, out.Estimated = max(out.Total, about), true
	return err
}

// source chooses how to search. What needs no text is listed; where the state of
// messages leaves only a few, these are read; else the term index answers.
func (q *searching) source(ctx context.Context, from *SearchKey, older bool) (searchSource, error) {
	if !q.texts {
		return &listSource{q: q, from: from, older: older}, nil
	}
	few, err := q.fewRows(ctx)
	if err != nil {
		return nil, err
	}
	if few {
		return &fewSource{q: q, from: from, older: older}, nil
	}
	src := &indexSource{q: q, from: from, older: older}
	return src, src.open(ctx)
}
