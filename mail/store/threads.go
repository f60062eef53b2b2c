package store

import (
	"context"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

const (
	// maxJoined is how many conversations one message may join.
	maxJoined = 10
	// maxParents is how many references are looked for among the messages; the
	// last ones are the nearest.
	maxParents = 10
)

// threadOf finds the conversation of a message by its references and its
// normalised subject, or founds a new one (schema 6.1).
//
// WildDuck forgets a conversation after 180 days without a message. Then the
// messages themselves are looked for, by their Message-ID. A message that
// belongs to several conversations, because it is the parent that both lacked,
// makes them one: the oldest.
func (s *Store) threadOf(ctx context.Context, user mail.ID, m *message.Message) (mail.ID, error) {
	if len(m.ThreadRefs) == 0 {
		return s.newThread(ctx, user, m)
	}
	// Two messages of one new conversation that arrive together must not found
	// it twice.
	h := fnv.New32a()
	_, _ = h.Write(user[:])
	_, _ = h.Write([]byte(m.ThreadSubject))
	lock := &s.threadLocks[h.Sum32()%uint32(len(s.threadLocks))]
	lock.Lock()
	defer lock.Unlock()

	found, err := s.knownThreads(ctx, user, m.ThreadSubject, textArray(m.ThreadRefs))
	if err != nil {
		return mail.ID{}, err
	}
	if len(found) == 0 {
		if found, err = s.parentThreads(ctx, user, m); err != nil {
			return mail.ID{}, err
		}
	}
	if len(found) == 0 {
		return s.newThread(ctx, user, m)
	}
	if err := s.joinThread(ctx, user, found[0], m.ThreadSubject, textArray(m.ThreadRefs)); err != nil {
		return mail.ID{}, err
	}
	if len(found) > 1 {
		// The message has its conversation. What does not work now is tried again
		// with the next one, and by Repair.
		rest, cancel := after(ctx)
		defer cancel()
		if err := s.mergeThreads(rest, user, found[0], found[1:]); err != nil {
			s.log.LogAttrs(rest, slog.LevelWarn, "merge conversations", slog.String("user", user.String()), slog.Any("err", err))
		}
	}
	return found[0], nil
}

// knownThreads lists the conversations that have one of the references, oldest
// first.
func (s *Store) knownThreads(ctx context.Context, user mail.ID, subject string, refs bson.A) ([]mail.ID, error) {
	const op = "find thread"
	// Most messages found a conversation, and a look costs less than an update
	// that finds nothing.
	cur, err := s.threads.Find(ctx, key("user", oid(user), "ids", key("$in", refs), "subject", text(subject)),
		options.Find().SetProjection(key("_id", 1)).SetLimit(maxJoined))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []stateRecord
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	var out []mail.ID
	for i := range rows {
		out = append(out, mail.ID(rows[i].ID))
	}
	return oldestFirst(out), nil
}

func oldestFirst(ids []mail.ID) []mail.ID {
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// parentThreads lists the conversations of the messages that this one answers,
// where they have the same subject.
func (s *Store) parentThreads(ctx context.Context, user mail.ID, m *message.Message) ([]mail.ID, error) {
	const op = "find parents"
	var parents []string
	for _, id := range append(slices.Clone(m.References), m.InReplyTo) {
		if id != "" && id != m.MessageID {
			parents = append(parents, id)
		}
	}
	if len(parents) == 0 {
		return nil, nil
	}
	parents = parents[max(0, len(parents)-maxParents):]
	cur, err := s.messages.Find(ctx, key("user", oid(user), "msgid", key("$in", textArray(parents))),
		options.Find().SetProjection(key("thread", 1, "subject", 1)).SetHint(indexMessageID).SetLimit(10*maxParents))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []struct {
		Thread  bson.ObjectID `bson:"thread"`
		Subject string        `bson:"subject"`
	}
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	var out []mail.ID
	for i := range rows {
		if id := mail.ID(rows[i].Thread); !id.IsZero() && message.ThreadSubject(rows[i].Subject) == m.ThreadSubject {
			out = append(out, id)
		}
	}
	out = oldestFirst(out)
	return out[:min(len(out), maxJoined)], nil
}

// joinThread adds references to a conversation, and makes its document anew
// where it was forgotten.
func (s *Store) joinThread(ctx context.Context, user, thread mail.ID, subject string, refs bson.A) error {
	_, err := s.threads.UpdateOne(ctx, key("_id", oid(thread), "user", oid(user)), bson.D{
		{Key: "$addToSet", Value: key("ids", key("$each", refs))},
		{Key: "$set", Value: key("updated", s.now())},
		{Key: "$setOnInsert", Value: key("subject", text(subject))},
	}, options.UpdateOne().SetUpsert(true))
	return fail("join conversation", err)
}

// settleThread is called once a message is stored: what another process did to
// its conversation meanwhile is found and finished. Two processes may have
// founded it at once, or one may have merged it away before the message was
// there to be moved. Each writes its references before it looks, and stores its
// message before it looks here, so the later of the two sees the other. It
// gives the conversation that the message has in the end; what fails here is
// tried again with the next message of the conversation, and by Repair.
// A process that is alone on its database need not look where it has merged
// nothing meanwhile: threadLocks keep it from founding one twice.
func (s *Store) settleThread(ctx context.Context, user, own mail.ID, subject string, refs []string) (mail.ID, error) {
	if len(refs) == 0 {
		return own, nil
	}
	for range maxRounds {
		found, err := s.knownThreads(ctx, user, subject, textArray(refs))
		if err != nil {
			return own, err
		}
		if found = oldestFirst(append(found, own)); len(found) == 1 {
			return own, nil
		}
		if err := s.mergeThreads(ctx, user, found[0], found[1:]); err != nil {
			return own, err
		}
		own = found[0]
	}
	return own, &mail.Error{Code: mail.CodeConflict, Op: "settle conversation"}
}

// merges counts the merges of this process.
type merges struct{ begun, ended atomic.Int64 }

// mergeMark is a moment in the course of merges; -1 where one is under way.
type mergeMark int64

func (s *Store) mergesNow() mergeMark {
	ended := s.merges.ended.Load()
	if begun := s.merges.begun.Load(); begun == ended {
		return mergeMark(begun)
	}
	return -1
}

// mergedSince reports that a merge may have gone on since the mark was taken.
func (s *Store) mergedSince(mark mergeMark) bool {
	return mark < 0 || s.merges.begun.Load() != int64(mark)
}

// mergeThreads makes several conversations one.
//
// Order, for each of the others: its references, its messages, its document. A
// crash before the last leaves two conversations that share a reference; the
// next message that has it, or Repair, merges them again.
func (s *Store) mergeThreads(ctx context.Context, user, into mail.ID, others []mail.ID) error {
	s.merges.begun.Add(1)
	defer s.merges.ended.Add(1)
	for _, from := range others {
		if err := s.mergeThread(ctx, user, into, from); err != nil {
			return err
		}
	}
	return nil
}

// mergeThread merges one. Its document goes only while it says what was read of
// it, so that no reference is lost that somebody adds meanwhile.
func (s *Store) mergeThread(ctx context.Context, user, into, from mail.ID) error {
	const op = "merge conversations"
	for range maxRounds {
		var doc struct {
			IDs     []string `bson:"ids"`
			Subject string   `bson:"subject"`
		}
		own := key("_id", oid(from), "user", oid(user))
		err := s.threads.FindOne(ctx, own, options.FindOne().SetProjection(key("ids", 1, "subject", 1))).Decode(&doc)
		if isNone(err) {
			return s.moveThread(ctx, user, from, into)
		}
		if err != nil {
			return fail(op, err)
		}
		refs := stringArray(doc.IDs)
		if err := s.joinThread(ctx, user, into, doc.Subject, refs); err != nil {
			return err
		}
		if err := s.moveThread(ctx, user, from, into); err != nil {
			return err
		}
		res, err := s.threads.DeleteOne(ctx, append(own, bson.E{Key: "ids", Value: refs}))
		if err != nil {
			return fail(op, err)
		}
		if res.DeletedCount > 0 {
			return nil
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}

// moveThread gives the messages of a conversation to another.
func (s *Store) moveThread(ctx context.Context, user, from, into mail.ID) error {
	const op = "move messages to another conversation"
	for range maxRounds {
		cur, err := s.messages.Find(ctx, key("user", oid(user), "thread", oid(from)),
			options.Find().SetProjection(verifyProjection).SetHint(indexConversation).SetLimit(rowBatch))
		if err != nil {
			return fail(op, err)
		}
		var rows []verifyRecord
		if err := cur.All(ctx, &rows); err != nil {
			return fail(op, err)
		}
		if len(rows) == 0 {
			return nil
		}
		boxes := map[mail.ID][]*stateRecord{}
		for i := range rows {
			box := mail.ID(rows[i].Mailbox)
			boxes[box] = append(boxes[box], &rows[i].State)
		}
		for box, list := range boxes {
			if err := s.moveThreadIn(ctx, user, box, into, list); err != nil {
				return err
			}
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}

// moveThreadIn changes the conversation of messages of one mailbox. It is a
// change like that of a flag, so that snapshots and lists learn of it.
func (s *Store) moveThreadIn(ctx context.Context, user, mailbox, into mail.ID, rows []*stateRecord) error {
	const op = "move messages to another conversation"
	got, err := s.allocate(ctx, op, user, mailbox, 0)
	if mail.IsCode(err, mail.CodeNoMailbox) {
		// Orphans have no mailbox whose readers could be told.
		ids := make(bson.A, len(rows))
		for i, r := range rows {
			ids[i] = r.ID
		}
		_, err := s.messages.UpdateMany(ctx, key("_id", key("$in", ids), "mailbox", oid(mailbox)), key("$set", key("thread", oid(into))))
		return fail(op, err)
	}
	if err != nil {
		return err
	}
	models := make([]mongo.WriteModel, len(rows))
	uids := make([]mail.UID, len(rows))
	for i, r := range rows {
		uids[i] = r.uid()
		set := append(stateOf(mailbox, got.modseq, flagsOf(r.Flags)), bson.E{Key: "thread", Value: oid(into)})
		models[i] = mongo.NewUpdateOneModel().SetFilter(r.guard(mailbox)).SetUpdate(key("$set", set))
	}
	if _, err := s.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return fail(op, err)
	}
	done, err := s.landed(ctx, mailbox, uids, got.modseq)
	if err != nil {
		return err
	}
	var entries []entry
	for _, r := range rows {
		if done[r.uid()] {
			entries = append(entries, entry{
				mailbox: mailbox, command: mail.CommandFetch, modseq: got.modseq, uid: r.uid(), message: mail.ID(r.ID),
				thread: into, flags: flagsOf(r.Flags), calm: got.calm,
			})
		}
	}
	if len(entries) == 0 {
		s.unused(ctx, mailbox, got.modseq)
	}
	s.recordAfter(ctx, user, entries...)
	return nil
}

func (s *Store) newThread(ctx context.Context, user mail.ID, m *message.Message) (mail.ID, error) {
	id := mail.NewIDAt(s.now())
	err := insertEncoded(ctx, s.threads, bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "user", Value: oid(user)},
		{Key: "subject", Value: text(m.ThreadSubject)},
		{Key: "ids", Value: textArray(m.ThreadRefs)},
		{Key: "updated", Value: s.now()},
	})
	return id, fail("found thread", err)
}

// conversations looks for those that should be one: they share a reference and
// the subject.
func (c *check) conversations(ctx context.Context) error {
	const op = "verify conversations"
	cur, err := c.s.threads.Find(ctx, key("user", c.user.ID),
		options.Find().SetProjection(key("ids", 1, "subject", 1)).SetHint(key("user", 1, "ids", 1)))
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	var batch []threadKeys
	for cur.Next(ctx) {
		refs, _ := cur.Current.Lookup("ids").ArrayOK()
		k := threadKeys{thread: rawID(cur.Current.Lookup("_id")), subject: rawString(cur.Current.Lookup("subject"))}
		if k.refs = rawStrings(bson.RawValue{Type: bson.TypeArray, Value: refs}); len(k.refs) > 0 {
			batch = append(batch, k)
		}
		if len(batch) == refsBatch {
			if err := c.splits(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := cur.Err(); err != nil {
		return fail(op, err)
	}
	return c.splits(ctx, batch)
}

// splits tells of the conversations that share a reference and the subject with
// a younger one.
func (c *check) splits(ctx context.Context, batch []threadKeys) error {
	others, err := (&threadCheck{check: c}).withRefs(ctx, batch)
	if err != nil {
		return err
	}
	user := mail.ID(c.user.ID)
	for i := range batch {
		all := oldestFirst(others[i])
		if len(all) < 2 || all[0] != batch[i].thread {
			continue // the oldest one tells
		}
		p := Problem{Kind: ProblemThreads, Want: all[0].String(), Have: all[1].String()}
		if err := c.add(ctx, p, func(ctx context.Context) error { return c.s.mergeThreads(ctx, user, all[0], all[1:]) }); err != nil {
			return err
		}
	}
	return nil
}
