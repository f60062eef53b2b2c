package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

const (
	// fewRows is how many messages are rather read than looked up.
	fewRows = 300
	// listStep is how many rows of a list are read at once at most.
	listStep = 250
)

// filter is the part of the query that an index of lists answers.
func (q *searching) filter() (filter bson.D, hint any) {
	if !q.place.thread.IsZero() {
		return key("user", oid(q.o.User), "thread", oid(q.place.thread)), indexConversation
	}
	f := ListFilter{Unseen: q.place.unseen, Flagged: q.place.flagged, Attachments: q.place.attached}
	filter = f.filter(mail.ID{})
	filter[0].Value = key("$in", q.mailboxIDs())
	return filter, f.index()
}

// item is a row for the conditions on its state.
func (q *searching) item(m *mail.Message) (*search.Item, bool) {
	box, ok := q.boxes[m.Mailbox]
	if !ok {
		return nil, false
	}
	it := &search.Item{
		ID: m.ID, Mailbox: m.Mailbox, Thread: m.Thread, Use: box.use(), Path: box.Path, UID: m.UID, ModSeq: m.ModSeq, Flags: m.Flags,
		Internal: m.InternalDate, Sent: m.Date, Size: m.Size,
	}
	it.Attached = m.HasAttachments
	return it, true
}

// state judges a condition by the row alone.
func state(it *search.Item, k search.Query) search.Tri {
	if _, ok := k.(search.Attached); ok {
		return search.Truth(it.Attached)
	}
	return it.State(k)
}

// listSource answers queries without texts from the lists of mailboxes.
type listSource struct {
	q     *searching
	from  *SearchKey
	older bool
}

func (l *listSource) next(ctx context.Context) (hits []searchHit, end *SearchKey, err error) {
	filter, hint := l.q.filter()
	if l.from != nil {
		filter = beyond(filter, Key{Date: l.from.Date, ID: l.from.ID}, l.older)
	}
	limit := min(l.q.o.Limit+1, listStep)
	rows, err := l.q.s.pageRows(ctx, filter, hint, l.older, limit)
	if err != nil {
		return nil, nil, err
	}
	l.q.budget -= rowCost * len(rows)
	for i := range rows {
		if it, ok := l.q.item(&rows[i]); ok && l.q.tree.judge(func(t *searchTree) search.Tri { return state(it, t.q) }) == search.Yes {
			hits = append(hits, searchHit{SearchKey{Date: rows[i].InternalDate, ID: rows[i].ID}, rows[i]})
		}
	}
	if len(rows) < limit {
		return hits, nil, nil
	}
	last := &rows[len(rows)-1]
	l.from = &SearchKey{Date: last.InternalDate, ID: last.ID}
	return hits, l.from, nil
}

func (l *listSource) estimate(ctx context.Context) (int, error) {
	filter, hint := l.q.filter()
	n, err := l.q.s.messages.CountDocuments(ctx, filter, options.Count().SetHint(hint))
	return int(n), fail("count messages of a search", err)
}

// fewRows tells whether the state of messages leaves so few that reading them all
// is the fastest.
func (q *searching) fewRows(ctx context.Context) (bool, error) {
	if _, single := q.place.only(); !single && !q.place.unseen && !q.place.flagged && q.place.thread.IsZero() {
		return false, nil
	}
	filter, hint := q.filter()
	n, err := q.s.messages.CountDocuments(ctx, filter, options.Count().SetHint(hint).SetLimit(fewRows+1))
	return err == nil && n <= fewRows, fail("count messages of a search", err)
}

// rootedRow is a row with the id of its first storing.
type rootedRow struct {
	Row  rowRecord     `bson:",inline"`
	Root bson.ObjectID `bson:"root"`
}

func (r *rootedRow) root() mail.ID {
	if r.Root.IsZero() {
		return mail.ID(r.Row.ID)
	}
	return mail.ID(r.Root)
}

var rootedProjection = append(slices.Clone(rowProjection), bson.E{Key: "root", Value: 1})

func (s *Store) rootedRows(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) ([]rootedRow, error) {
	const op = "read message rows"
	cur, err := s.messages.Find(ctx, filter, o.SetProjection(rootedProjection))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []rootedRow
	return rows, fail(op, cur.All(ctx, &rows))
}

// fewSource reads all messages that their state leaves, and their texts.
type fewSource struct {
	q      *searching
	from   *SearchKey
	older  bool
	loaded bool
	rows   []searchHit
}

const fewStep = 32

func (f *fewSource) load(ctx context.Context) error {
	filter, hint := f.q.filter()
	rows, err := f.q.s.rootedRows(ctx, filter, options.Find().SetHint(hint).SetLimit(2*fewRows))
	if err != nil {
		return err
	}
	for i := range rows {
		m := rows[i].Row.row()
		k := SearchKey{Date: m.InternalDate, Root: rows[i].root(), ID: m.ID}
		if f.from == nil || f.from.before(k, f.older) {
			f.rows = append(f.rows, searchHit{k, m})
		}
	}
	slices.SortFunc(f.rows, func(a, b searchHit) int {
		if a.key.before(b.key, f.older) {
			return -1
		}
		return 1
	})
	f.loaded = true
	return nil
}

func (f *fewSource) next(ctx context.Context) (hits []searchHit, end *SearchKey, err error) {
	if !f.loaded {
		if err := f.load(ctx); err != nil {
			return nil, nil, err
		}
	}
	step := f.rows[:min(fewStep, len(f.rows))]
	hits, done, err := f.q.decide(ctx, step, func(int, *searchTree) search.Tri { return search.Maybe })
	f.rows = f.rows[done:]
	if len(f.rows) == 0 || err != nil {
		return hits, nil, err
	}
	return hits, &step[done-1].key, nil
}

func (f *fewSource) estimate(context.Context) (int, error) { return len(f.rows), nil }

// before tells whether a key comes before another one in a listing.
func (k SearchKey) before(o SearchKey, newestFirst bool) bool {
	order := k.Date.Compare(o.Date)
	if order == 0 {
		order = slices.Compare(k.Root[:], o.Root[:])
	}
	if order == 0 {
		order = slices.Compare(k.ID[:], o.ID[:])
	}
	if newestFirst {
		return order > 0
	}
	return order < 0
}
