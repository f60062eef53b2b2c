package store

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// termsBatch is how many messages are looked up in the index at once.
	termsBatch = 500
	// termsLooks is how often an index is looked at again that others change.
	termsLooks = 5
)

// termsCheck compares the term index with an account's messages. It holds twelve
// bytes for each message of the index.
type termsCheck struct {
	check *check
	index *indexRecord
	// known are the messages that the index names, sorted.
	known []mail.ID
	// rows are messages that it did not name when it was looked at.
	rows  []verifyRecord
	found bool
	added int
}

// begin looks through the index by itself: whether all of it can be read, and
// whether what it has of deleted messages is on its way out.
func (c *termsCheck) begin(ctx context.Context) error {
	if !c.check.o.words {
		return nil
	}
	for look := range termsLooks {
		again, err := c.look(ctx, c.check.o.live && look < 2)
		if err != nil || !again {
			return err
		}
	}
	return c.check.o.found(Problem{Kind: ProblemBusy, User: mail.ID(c.check.user.ID), Want: ProblemSearchDamaged})
}

// look is begin once. again: others, or a repair, changed the index meanwhile.
// patient gives a deletion time to come to its end.
func (c *termsCheck) look(ctx context.Context, patient bool) (again bool, err error) {
	s, user := c.check.s, mail.ID(c.check.user.ID)
	if c.index, err = s.readIndex(ctx, user); err != nil {
		return false, err
	}
	c.known = c.known[:0]
	dead := 0
	for _, x := range c.index.Segments {
		rows, err := s.openSegment(user, x).whole(ctx)
		if errors.Is(err, errMoved) || errors.Is(err, errTerms) {
			if now, err := s.readIndex(ctx, user); err != nil || now.Gen != c.index.Gen {
				return true, err
			}
			p := Problem{Kind: ProblemSearchDamaged, Have: x.ID.Hex()}
			if err := c.add(ctx, p, func(ctx context.Context) error { return s.dropSegment(ctx, user, x) }); err != nil || c.check.o.repair {
				return true, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		n, err := c.dead(ctx, rows)
		if err != nil {
			return false, err
		}
		dead += len(n)
		for i := range rows {
			c.known = append(c.known, rows[i].root)
		}
	}
	if dead > 0 && (c.index.Gone == nil || int64(dead) > c.index.Dead) {
		if patient {
			return true, nil
		}
		p := Problem{Kind: ProblemSearchDead, Want: strconv.Itoa(dead), Have: strconv.FormatInt(c.index.Dead, 10)}
		if err := c.add(ctx, p, func(ctx context.Context) error { return s.noteDead(ctx, c.index, dead) }); err != nil {
			return false, err
		}
	}
	return false, c.fresh(ctx)
}

// fresh looks at the messages that are in no segment yet.
func (c *termsCheck) fresh(ctx context.Context) error {
	const op = "verify term index"
	s, user := c.check.s, mail.ID(c.check.user.ID)
	cur, err := s.terms.Find(ctx, key("user", oid(user), "k", kindMessage), options.Find().SetHint(indexTerms).SetBatchSize(64))
	if err != nil {
		return fail(op, err)
	}
	var rows []termDoc
	for err == nil && cur.Next(ctx) {
		var r termRecord
		if err = cur.Decode(&r); err != nil {
			break
		}
		root := mail.ID(r.ID)
		if _, _, damage := decodeMessageTerms(r.Data); damage != nil {
			err = c.add(ctx, Problem{Kind: ProblemSearchDamaged, Have: root.String()}, func(ctx context.Context) error {
				s.dropTerms(ctx, user, root)
				return nil
			})
			continue
		}
		rows = append(rows, termDoc{root: root})
		c.known = append(c.known, root)
	}
	if err := errors.Join(err, cur.Err(), cur.Close(ctx)); err != nil {
		return fail(op, err)
	}
	slices.SortFunc(c.known, compareIDs)
	strays, err := c.dead(ctx, rows)
	for _, root := range strays {
		if err == nil {
			err = c.add(ctx, Problem{Kind: ProblemSearchStray, Have: root.String()}, func(ctx context.Context) error {
				s.dropTerms(ctx, user, root)
				return nil
			})
		}
	}
	return err
}

func compareIDs(a, b mail.ID) int { return slices.Compare(a[:], b[:]) }

// dead are the messages of an index that are gone, but for those that are perhaps
// only being delivered.
func (c *termsCheck) dead(ctx context.Context, rows []termDoc) (out []mail.ID, err error) {
	now := c.check.s.now()
	for batch := range slices.Chunk(rows, termsBatch) {
		roots := make([]mail.ID, len(batch))
		for i := range batch {
			roots[i] = batch[i].root
		}
		alive, err := c.check.s.aliveRoots(ctx, mail.ID(c.check.user.ID), roots)
		if err != nil {
			return nil, err
		}
		for _, r := range roots {
			if !alive[r] && !inFlight(r, now) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// whole reads all of a segment and gives its table.
func (g *segment) whole(ctx context.Context) ([]termDoc, error) {
	rows, err := g.table(ctx)
	if err != nil {
		return nil, err
	}
	same := make([]uint32, len(rows))
	for i := range same {
		same[i] = uint32(i)
	}
	x, err := g.source(ctx, same)
	if err != nil {
		return nil, err
	}
	var list []uint32
	for more := true; more && err == nil; {
		if more, err = x.next(ctx); more && err == nil {
			list, err = x.numbers(list[:0])
		}
	}
	return rows, errors.Join(err, x.close(ctx))
}

// dropSegment takes a segment out of the list. Its messages are then missing.
func (s *Store) dropSegment(ctx context.Context, user mail.ID, x segmentRecord) error {
	for {
		r, err := s.readIndex(ctx, user)
		if err != nil {
			return err
		}
		rest := slices.DeleteFunc(slices.Clone(r.Segments), func(o segmentRecord) bool { return o.ID == x.ID })
		done, err := s.changeIndex(ctx, r, key("segs", segmentArray(rest)))
		if err != nil {
			return err
		}
		if done {
			s.removeSegment(ctx, user, x.ID)
			return nil
		}
	}
}

// noteDead sets how many messages of the segments are gone, if nobody has changed
// the list meanwhile.
func (s *Store) noteDead(ctx context.Context, r *indexRecord, dead int) error {
	gone := s.now()
	if r.Gone != nil {
		gone = *r.Gone
	}
	_, err := s.changeIndex(ctx, r, key("dead", int64(dead), "gone", gone))
	return err
}

func (c *termsCheck) add(ctx context.Context, p Problem, mend func(context.Context) error) error {
	c.found = true
	return c.check.add(ctx, p, mend)
}

// message looks whether the index has a message. One that its writer has not
// indexed is added by the next search, as long as none has come beyond it.
func (c *termsCheck) message(ctx context.Context, r *verifyRecord) error {
	if !c.check.o.words || r.Eider.Terms == 0 && r.State.UID > c.index.seen(r.Mailbox) {
		return nil
	}
	if _, ok := slices.BinarySearchFunc(c.known, r.root(), compareIDs); ok {
		return nil
	}
	if c.rows = append(c.rows, *r); len(c.rows) < termsBatch {
		return nil
	}
	return c.flush(ctx)
}

func (r *verifyRecord) root() mail.ID {
	if r.Root.IsZero() {
		return mail.ID(r.State.ID)
	}
	return mail.ID(r.Root)
}

// flush looks again for messages that were missing, and reports them.
func (c *termsCheck) flush(ctx context.Context) error {
	if len(c.rows) == 0 {
		return nil
	}
	rows := c.rows
	c.rows = nil
	missing, err := c.missing(ctx, rows)
	if err != nil || len(missing) == 0 {
		return err
	}
	left := map[mail.ID]bool{}
	if c.check.o.repair {
		if err := c.take(ctx, missing); err != nil {
			return err
		}
		rest, err := c.missing(ctx, missing)
		if err != nil {
			return err
		}
		for i := range rest {
			left[rest[i].root()] = true
		}
	}
	for i := range missing {
		r := &missing[i]
		c.found = true
		err := c.check.o.found(Problem{
			Kind: ProblemSearchMissing, User: mail.ID(c.check.user.ID), Mailbox: mail.ID(r.Mailbox), Message: mail.ID(r.State.ID),
			Mended: c.check.o.repair && !left[r.root()],
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// missing are the rows whose messages are still there and in no part of the index.
func (c *termsCheck) missing(ctx context.Context, rows []verifyRecord) (out []verifyRecord, err error) {
	s, user := c.check.s, mail.ID(c.check.user.ID)
	roots := make([]mail.ID, len(rows))
	for i := range rows {
		roots[i] = rows[i].root()
	}
	fresh, err := all[termRecord](ctx, "verify term index", s.terms, key("_id", key("$in", oids(roots)), "user", oid(user), "k", kindMessage),
		options.Find().SetProjection(key("_id", 1)))
	if err != nil {
		return nil, err
	}
	has := make(map[mail.ID]bool, len(fresh))
	for i := range fresh {
		has[mail.ID(fresh[i].ID)] = true
	}
	if err := c.reload(ctx); err != nil {
		return nil, err
	}
	alive, err := s.aliveRoots(ctx, user, roots)
	for i := range rows {
		root := rows[i].root()
		if _, ok := slices.BinarySearchFunc(c.known, root, compareIDs); !ok && !has[root] && alive[root] {
			out = append(out, rows[i])
		}
	}
	return out, err
}

// reload reads the tables anew where segments have been merged since.
func (c *termsCheck) reload(ctx context.Context) error {
	s, user := c.check.s, mail.ID(c.check.user.ID)
	for range termsLooks {
		r, err := s.readIndex(ctx, user)
		if err != nil || r.Gen == c.index.Gen {
			return err
		}
		known := c.known[:0:0]
		for _, x := range r.Segments {
			var rows []termDoc
			if rows, err = s.openSegment(user, x).table(ctx); err != nil {
				break
			}
			for i := range rows {
				known = append(known, rows[i].root)
			}
		}
		if errors.Is(err, errMoved) || errors.Is(err, errTerms) {
			continue
		}
		if err != nil {
			return err
		}
		slices.SortFunc(known, compareIDs)
		c.index, c.known = r, known
		return nil
	}
	return nil // what is in a damaged segment counts as missing
}

// take gives messages to the index, and makes segments of many.
func (c *termsCheck) take(ctx context.Context, rows []verifyRecord) error {
	s, user := c.check.s, mail.ID(c.check.user.ID)
	boxes := map[bson.ObjectID][]unseenRow{}
	for i := range rows {
		r := &rows[i]
		boxes[r.Mailbox] = append(boxes[r.Mailbox], unseenRow{ID: r.State.ID, Root: r.Root, UID: r.State.UID})
	}
	for box, list := range boxes {
		if err := s.addTerms(ctx, user, box, list); err != nil {
			return err
		}
	}
	if c.added += len(rows); c.added < freshMost {
		return nil
	}
	c.added = 0
	_, err := s.indexAccount(ctx, ctx, user, false)
	return err
}

// end brings a repaired index into its shape, and removes the words of deleted
// messages.
func (c *termsCheck) end(ctx context.Context) error {
	if err := c.flush(ctx); err != nil || !c.found || !c.check.o.repair {
		return err
	}
	_, err := c.check.s.IndexTerms(ctx, mail.ID(c.check.user.ID))
	return err
}
