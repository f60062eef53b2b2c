package store

import (
	"context"
	"log/slog"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
)

// analysers are lent out: their tables are worth keeping.
var analysers = sync.Pool{New: func() any { return new(search.Analyser) }}

func termsOf(c *search.Content) []string {
	a, _ := analysers.Get().(*search.Analyser)
	defer analysers.Put(a)
	return a.Terms(c)
}

// termsUnderWay is the writing of one message's terms beside its delivery.
type termsUnderWay struct {
	done sync.WaitGroup
	err  error
}

// startTerms analyses a message and stores its terms, while the delivery does
// what else comes before the message itself.
func (s *Store) startTerms(ctx context.Context, n *newMessage, m *message.Message) *termsUnderWay {
	w := &termsUnderWay{}
	if s.deferTerms {
		return w
	}
	w.done.Go(func() {
		c, err := newContent(m)
		if err != nil {
			w.err = err
			return
		}
		record := termRecord{
			ID: oid(n.root), User: oid(n.user), Kind: kindMessage, Date: n.idate, Data: encodeMessageTerms(m.Size, termsOf(&c)),
		}
		w.err = insertEncoded(ctx, s.terms, record.doc())
	})
	return w
}

// wait tells whether the terms are stored. Without them the message is still
// delivered: it is then one that the index has to be caught up with.
func (w *termsUnderWay) wait(ctx context.Context, log *slog.Logger, root mail.ID) bool {
	w.done.Wait()
	if w.err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "words of a message not indexed yet", slog.String("message", root.String()), slog.Any("err", w.err))
	}
	return w.err == nil
}

// dropTerms takes back the terms of messages that did not come into being.
func (s *Store) dropTerms(ctx context.Context, user mail.ID, roots ...mail.ID) {
	if _, err := s.terms.DeleteMany(ctx, key("_id", key("$in", oids(roots)), "user", oid(user), "k", kindMessage)); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "stray words of a message", slog.String("user", user.String()), slog.Any("err", err))
	}
}

// forgetTerms removes what the index has of messages that were deleted for good.
// Their roots may live on in copies. What is in a segment already goes when that
// is written anew, which is noted; until then no search shows it.
func (s *Store) forgetTerms(ctx context.Context, user mail.ID, roots []mail.ID) {
	if len(roots) == 0 {
		return
	}
	alive, err := s.aliveRoots(ctx, user, roots)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "words of deleted messages", slog.String("user", user.String()), slog.Any("err", err))
		return
	}
	var dead []mail.ID
	for _, r := range roots {
		if !alive[r] {
			dead = append(dead, r)
		}
	}
	if len(dead) == 0 {
		return
	}
	s.dropTerms(ctx, user, dead...)
	s.keepTerms(ctx, user, dead)
	_, err = s.terms.UpdateOne(ctx, key("_id", oid(user), "user", oid(user)), bson.D{
		{Key: "$inc", Value: key("dead", len(dead), "gen", 1)}, {Key: "$min", Value: key("gone", s.now())},
	})
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "note deleted messages for the index", slog.String("user", user.String()), slog.Any("err", err))
	}
	s.worker.nudge(user)
}

// keepTerms indexes anew those of the roots that have a message. A message that
// is copied while it is deleted may lose its words after the deletion has looked
// for copies and before the copy is there. The deletion calls this once the words
// are gone, the copy once it is stored, so whoever is last mends it.
func (s *Store) keepTerms(ctx context.Context, user mail.ID, roots []mail.ID) {
	const op = "look for copies of deleted messages"
	cur, err := s.messages.Find(ctx, key("user", oid(user), "root", key("$in", oids(roots))), options.Find().
		SetProjection(key("_id", 0, "root", 1, "mailbox", 1, "uid", 1)).SetHint(indexRoot))
	var rows []struct {
		Root    bson.ObjectID `bson:"root"`
		Mailbox bson.ObjectID `bson:"mailbox"`
		UID     int64         `bson:"uid"`
	}
	if err == nil {
		err = cur.All(ctx, &rows)
	}
	done := map[bson.ObjectID]bool{}
	for i := range rows {
		if r := &rows[i]; err == nil && !done[r.Root] {
			done[r.Root] = true
			err = s.addTerms(ctx, user, r.Mailbox, []unseenRow{{Root: r.Root, UID: r.UID}})
		}
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, op, slog.String("user", user.String()), slog.Any("err", err))
	}
}

// aliveRoots tells which roots have a message, in a mailbox or in the archive.
func (s *Store) aliveRoots(ctx context.Context, user mail.ID, roots []mail.ID) (map[mail.ID]bool, error) {
	out := make(map[mail.ID]bool, len(roots))
	for _, c := range []*mongo.Collection{s.messages, s.archived} {
		missing := make([]mail.ID, 0, len(roots))
		for _, r := range roots {
			if !out[r] {
				missing = append(missing, r)
			}
		}
		if len(missing) == 0 {
			break
		}
		cur, err := c.Find(ctx, key("user", oid(user), "root", key("$in", oids(missing))), options.Find().
			SetProjection(key("_id", 0, "root", 1)).SetHint(indexRoot).SetBatchSize(int32(len(missing)))) //nolint:gosec // few
		if err != nil {
			return nil, fail("look for messages of the index", err)
		}
		var rows []struct {
			Root bson.ObjectID `bson:"root"`
		}
		if err := cur.All(ctx, &rows); err != nil {
			return nil, fail("look for messages of the index", err)
		}
		for i := range rows {
			out[mail.ID(rows[i].Root)] = true
		}
	}
	return out, nil
}
