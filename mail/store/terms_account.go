package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// termsLock is how long one process works on an account's index before
	// another may try. Two at once lose work, nothing else.
	termsLock = 5 * time.Minute
	// purgeAfter is how long words of deleted messages may stay in a segment.
	purgeAfter = time.Hour
	// orphanTermsAge is how old blocks are that a crash left.
	orphanTermsAge = time.Hour
	// deleteStep is how many blocks are removed at once.
	deleteStep = 32
)

// Indexed is what IndexTerms did.
type Indexed struct {
	// Added are messages that others wrote and the index did not have, Merged
	// segments that were written, Dropped messages that were gone.
	Added, Merged, Dropped int
}

// IndexTerms brings an account's term index up to date: it adds what others
// wrote, merges segments, brings those of earlier versions up to date, and removes
// the words of deleted messages, those too that could wait. It works in bounded steps and may be ended at any time. The
// store calls it by itself; nobody has to.
func (s *Store) IndexTerms(ctx context.Context, user mail.ID) (Indexed, error) {
	return s.indexAccount(ctx, ctx, user, true)
}

// indexAccount waits for its turn as long as wait says.
func (s *Store) indexAccount(ctx, wait context.Context, user mail.ID, purge bool) (out Indexed, err error) {
	lock, err := s.sig.Lock(wait, "eider_terms:"+user.String(), termsLock)
	switch {
	case wait.Err() != nil:
		return out, fail("wait for the term index", wait.Err())
	case err == nil:
		defer func() {
			free, cancel := after(ctx)
			defer cancel()
			if err := lock.Release(free); err != nil {
				s.log.LogAttrs(free, slog.LevelDebug, "lock of a term index", slog.Any("err", err))
			}
		}()
	} // Signals away: the list of segments is guarded by itself.
	boxes, err := s.searchBoxes(ctx, user)
	if err != nil {
		return out, err
	}
	for more := true; more && err == nil; {
		var n int
		n, more, err = s.catchUpTerms(ctx, user, boxes, freshBatch)
		out.Added += n
		if err == nil {
			err = s.mergeFresh(ctx, user, &out)
		}
	}
	if err == nil {
		err = s.mergeLevels(ctx, user, &out)
	}
	for more := true; more && err == nil; {
		if more, err = s.addPairs(ctx, user, &out); more && !purge {
			s.worker.nudge(user) // others wait as well
			break
		}
	}
	if err == nil {
		err = s.purgeTerms(ctx, user, purge, &out)
	}
	if err == nil {
		err = s.removeOrphans(ctx, user)
	}
	if errors.Is(err, errMoved) {
		return out, nil // another process was at it, and has done what this one would have
	}
	return out, err
}

// mergeFresh makes a segment of the new messages once there are enough.
func (s *Store) mergeFresh(ctx context.Context, user mail.ID, out *Indexed) error {
	for {
		fresh, err := s.freshMessages(ctx, user, freshMost)
		if err != nil || len(fresh) < s.freshBatch {
			return err
		}
		if err := s.merged(ctx, &merge{s: s, user: user, fresh: fresh, level: levelOf(len(fresh))}, out); err != nil {
			return err
		}
		if err := s.mergeLevels(ctx, user, out); err != nil {
			return err
		}
	}
}

// levelOf is how often a segment of so many messages would have been merged.
func levelOf(n int) int {
	level := 0
	for ; n >= freshBatch*fanOut; n /= fanOut {
		level++
	}
	return level
}

func (s *Store) merged(ctx context.Context, m *merge, out *Indexed) error {
	if err := m.run(ctx); err != nil {
		return err
	}
	out.Merged++
	out.Dropped += m.dropped
	return nil
}

// mergeLevels merges the segments of a level that has too many of them.
func (s *Store) mergeLevels(ctx context.Context, user mail.ID, out *Indexed) error {
	for {
		r, err := s.readIndex(ctx, user)
		if err != nil {
			return err
		}
		levels := map[int][]*segment{}
		lowest := -1
		for _, x := range r.Segments {
			if levels[x.Level] = append(levels[x.Level], s.openSegment(user, x)); len(levels[x.Level]) >= fanOut && (lowest < 0 || x.Level < lowest) {
				lowest = x.Level
			}
		}
		if lowest < 0 {
			return nil
		}
		if err := s.merged(ctx, &merge{s: s, user: user, old: levels[lowest], level: lowest + 1}, out); err != nil {
			return err
		}
	}
}

// purgeTerms writes segments anew that have messages which were deleted: when they are
// many, or the first of them went some time ago.
func (s *Store) purgeTerms(ctx context.Context, user mail.ID, now bool, out *Indexed) error {
	r, err := s.readIndex(ctx, user)
	if err != nil || r.Gone == nil {
		return err
	}
	many := r.Dead*20 >= int64(r.messages())
	if !now && !many && s.now().Sub(*r.Gone) < purgeAfter {
		return nil
	}
	stays := false
	for _, x := range r.Segments {
		g := s.openSegment(user, x)
		dead, young, err := s.hasDead(ctx, user, g)
		if err != nil {
			return err
		}
		stays = stays || young
		if dead {
			if err := s.merged(ctx, &merge{s: s, user: user, old: []*segment{g}, level: x.Level}, out); err != nil {
				return err
			}
		}
	}
	if stays {
		return nil
	}
	// Messages that went meanwhile have moved the time: then it stays.
	_, err = s.terms.UpdateOne(ctx, key("_id", r.ID, "user", r.User, "dead", r.Dead), key("$unset", key("gone", "", "dead", "")))
	return fail("note purge of term index", err)
}

// hasDead tells whether messages of a segment are gone: dead, those that a merge
// leaves out; young, those that it takes along, because they are as new as what is
// just being delivered.
func (s *Store) hasDead(ctx context.Context, user mail.ID, g *segment) (dead, young bool, err error) {
	rows, err := g.table(ctx)
	if err != nil {
		return false, false, err
	}
	now := s.now()
	for batch := range slices.Chunk(rows, 500) {
		roots := make([]mail.ID, len(batch))
		for i := range batch {
			roots[i] = batch[i].root
		}
		alive, err := s.aliveRoots(ctx, user, roots)
		if err != nil {
			return false, false, err
		}
		for _, r := range roots {
			dead = dead || !alive[r] && !inFlight(r, now)
			young = young || !alive[r] && inFlight(r, now)
		}
	}
	return dead, young, nil
}

// removeSegment removes the blocks of a segment, step by step.
func (s *Store) removeSegment(ctx context.Context, user mail.ID, id bson.ObjectID) {
	base := "s" + id.Hex()
	for {
		ids, err := s.blockIDs(ctx, user, base)
		if err == nil && len(ids) > 0 {
			_, err = s.terms.DeleteMany(ctx, key("_id", key("$in", ids), "user", oid(user)))
		}
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "old part of a term index stays for now", slog.String("user", user.String()), slog.Any("err", err))
		}
		if err != nil || len(ids) < deleteStep {
			return
		}
	}
}

func (s *Store) blockIDs(ctx context.Context, user mail.ID, base string) ([]bson.ObjectID, error) {
	cur, err := s.terms.Find(ctx, key("user", oid(user), "k", key("$gte", base, "$lt", base+highest)),
		options.Find().SetProjection(key("_id", 1)).SetHint(indexTerms).SetLimit(deleteStep))
	if err != nil {
		return nil, err
	}
	var rows []struct {
		ID bson.ObjectID `bson:"_id"`
	}
	if err := cur.All(ctx, &rows); err != nil {
		return nil, err
	}
	ids := make([]bson.ObjectID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids, nil
}

// removeOrphans removes blocks of segments that are in no list and so old that
// nobody is writing them.
func (s *Store) removeOrphans(ctx context.Context, user mail.ID) error {
	r, err := s.readIndex(ctx, user)
	if err != nil {
		return err
	}
	for at := "s"; ; {
		var first struct {
			Kind string `bson:"k"`
		}
		err := s.terms.FindOne(ctx, key("user", oid(user), "k", key("$gt", at, "$lt", "t")),
			options.FindOne().SetSort(key("k", 1)).SetHint(indexTerms).SetProjection(key("_id", 0, "k", 1))).Decode(&first)
		if isNone(err) || len(first.Kind) < 25 {
			return nil
		}
		if err != nil {
			return fail("look for parts of a term index", err)
		}
		id, err := bson.ObjectIDFromHex(first.Kind[1:25])
		if err != nil {
			return fail("look for parts of a term index", errTerms)
		}
		listed := slices.ContainsFunc(r.Segments, func(x segmentRecord) bool { return x.ID == id })
		if !listed && s.now().Sub(id.Timestamp()) > orphanTermsAge {
			s.removeSegment(ctx, user, id)
		}
		at = first.Kind[:25] + highest
	}
}

// DropTerms removes all that the term index has of an account, step by step: for
// an account that is deleted.
func (s *Store) DropTerms(ctx context.Context, user mail.ID) error {
	for {
		ids, err := s.blockIDs(ctx, user, "")
		if err != nil {
			return fail("remove term index", err)
		}
		if len(ids) == 0 {
			return nil
		}
		if _, err := s.terms.DeleteMany(ctx, key("_id", key("$in", ids), "user", oid(user))); err != nil {
			return fail("remove term index", err)
		}
	}
}

// TermsSize is the bytes of an account's term index.
func (s *Store) TermsSize(ctx context.Context, user mail.ID) (int64, error) {
	const op = "measure term index"
	cur, err := s.terms.Find(ctx, key("user", oid(user)), options.Find().SetHint(indexTerms).SetBatchSize(256))
	if err != nil {
		return 0, fail(op, err)
	}
	size := int64(0)
	for cur.Next(ctx) {
		size += int64(len(cur.Current))
	}
	return size, fail(op, errors.Join(cur.Err(), cur.Close(ctx)))
}
