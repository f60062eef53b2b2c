package store

import (
	"context"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

const (
	// threadTime is how long a conversation's document stays after its last
	// message: the TTL of thread_autoexpire. threadSlack is how much earlier it
	// counts as gone: the TTL monitor and clocks are not exact.
	threadTime  = 180 * 24 * time.Hour
	threadSlack = 24 * time.Hour
	// refsBatch is how many messages' references are looked for in one query.
	refsBatch = 50
)

// threadKeys are what a stored message finds its conversation by.
type threadKeys struct {
	id, root, thread mail.ID
	subject          string
	refs             []string
}

var threadKeysProjection = key("root", 1, "thread", 1, "subject", 1, "mimeTree.parsedHeader.message-id", 1,
	"mimeTree.parsedHeader.in-reply-to", 1, "mimeTree.parsedHeader.thread-index", 1, "mimeTree.parsedHeader.references", 1)

func readThreadKeys(raw bson.Raw) threadKeys {
	return threadKeys{
		id: rawID(raw.Lookup("_id")), root: rawID(raw.Lookup("root")), thread: rawID(raw.Lookup("thread")),
		subject: message.ThreadSubject(rawString(raw.Lookup("subject"))),
		refs:    message.ThreadRefs(readParsedHeader(raw.Lookup("mimeTree", "parsedHeader"))),
	}
}

// settleStored is settleThread for a message that was stored from another's
// document, which may have named a conversation that is merged away by now.
func (s *Store) settleStored(ctx context.Context, user mail.ID, k threadKeys) mail.ID {
	thread, err := s.settleThread(ctx, user, k.thread, k.subject, k.refs)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "settle conversation", slog.String("user", user.String()), slog.Any("err", err))
	}
	return thread
}

// followSources is called once copies are stored: the conversation that they
// took from their sources may have been merged away meanwhile. A merge looks
// for messages until it finds none, so either it saw a copy, or the source was
// moved to the other conversation before the copy was there. A source that was
// deleted for good may have taken its words along (keepTerms).
func (s *Store) followSources(ctx context.Context, sel Selection, docs []copyRecord) {
	uids := make([]mail.UID, len(docs))
	for i := range docs {
		uids[i] = docs[i].uid()
	}
	rows, err := s.states(ctx, sel.Mailbox, uids)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "settle conversations of copies", slog.String("user", sel.User.String()), slog.Any("err", err))
		return
	}
	now := make(map[bson.ObjectID]bson.ObjectID, len(rows))
	for i := range rows {
		now[rows[i].ID] = rows[i].Thread
	}
	merged := map[bson.ObjectID]bool{}
	var gone []mail.ID
	for i := range docs {
		was := docs[i].Thread
		is, there := now[docs[i].ID]
		switch {
		case !there:
			s.settleStored(ctx, sel.User, readThreadKeys(docs[i].raw))
			gone = append(gone, rawID(docs[i].raw.Lookup("root")))
		case is != was && !merged[was]:
			merged[was] = true
			if err := s.moveThread(ctx, sel.User, mail.ID(was), mail.ID(is)); err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "settle conversations of copies", slog.String("user", sel.User.String()), slog.Any("err", err))
			}
		}
	}
	if len(gone) > 0 {
		s.keepTerms(ctx, sel.User, gone)
	}
}

// threadCheck looks whether the conversations of messages are there. The
// messages come by conversation.
type threadCheck struct {
	*check
	batch []mail.ID
}

// add notes a message's conversation.
func (c *threadCheck) add(ctx context.Context, thread mail.ID) error {
	if n := len(c.batch); n == 0 || c.batch[n-1] != thread {
		c.batch = append(c.batch, thread)
	}
	if len(c.batch) < rowBatch {
		return nil
	}
	return c.flush(ctx)
}

// flush judges the conversations noted. One without a document is right where
// WildDuck's 180 days are over and no other has the references of its messages.
func (c *threadCheck) flush(ctx context.Context) error {
	lost, err := c.lost(ctx, c.batch)
	c.batch = c.batch[:0]
	if err != nil || len(lost) == 0 {
		return err
	}
	suspects, err := c.suspects(ctx, lost)
	if err != nil || len(suspects) == 0 {
		return err
	}
	if c.o.live {
		// Who is just merging them, or storing into them, is soon done.
		if err := pause(ctx, gapWait); err != nil {
			return err
		}
		if lost, err = c.lost(ctx, lost); err != nil || len(lost) == 0 {
			return err
		}
		if suspects, err = c.suspects(ctx, lost); err != nil {
			return err
		}
	}
	for _, x := range suspects {
		if err := c.report(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// lost gives those of the conversations that have no document.
func (c *threadCheck) lost(ctx context.Context, threads []mail.ID) ([]mail.ID, error) {
	if len(threads) == 0 {
		return nil, nil
	}
	rows, err := all[stateRecord](ctx, "verify conversations", c.s.threads, key("user", c.user.ID, "_id", key("$in", oids(threads))),
		options.Find().SetProjection(key("_id", 1)).SetHint(indexID).SetBatchSize(rowBatch))
	if err != nil {
		return nil, err
	}
	there := make(map[mail.ID]bool, len(rows))
	for i := range rows {
		there[mail.ID(rows[i].ID)] = true
	}
	var out []mail.ID
	for _, id := range threads {
		if !there[id] {
			out = append(out, id)
		}
	}
	return out, nil
}

// suspect is a conversation without a document that ought to have one, or to be
// one with others.
type suspect struct {
	thread  mail.ID
	subject string
	// others have references of its messages.
	others []mail.ID
	// refs are those of its messages that are too young to be forgotten.
	refs []string
}

// suspects looks at the messages of conversations that have no document.
func (c *threadCheck) suspects(ctx context.Context, threads []mail.ID) ([]*suspect, error) {
	const op = "verify conversations"
	cur, err := c.s.messages.Find(ctx, key("user", c.user.ID, "thread", key("$in", oids(threads))),
		options.Find().SetProjection(threadKeysProjection).SetHint(indexConversation).SetBatchSize(refsBatch))
	if err != nil {
		return nil, fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	found := map[mail.ID]*suspect{}
	var out []*suspect
	judge := func(batch []threadKeys) error {
		others, err := c.withRefs(ctx, batch)
		if err != nil {
			return err
		}
		for i := range batch {
			if x := c.suspect(&batch[i], others[i], found); x != nil {
				out = append(out, x)
			}
		}
		return nil
	}
	var batch []threadKeys
	for cur.Next(ctx) {
		if k := readThreadKeys(cur.Current); len(k.refs) > 0 {
			batch = append(batch, k)
		}
		if len(batch) == refsBatch {
			if err := judge(batch); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	if err := cur.Err(); err != nil {
		return nil, fail(op, err)
	}
	return out, judge(batch)
}

// suspect judges one message; it gives its conversation when that is new.
func (c *threadCheck) suspect(k *threadKeys, others []mail.ID, found map[mail.ID]*suspect) *suspect {
	young := c.s.now().Sub(k.root.Time()) < threadTime-threadSlack
	if len(others) == 0 && !young {
		return nil
	}
	x, known := found[k.thread]
	if !known {
		x = &suspect{thread: k.thread, subject: k.subject}
		found[k.thread] = x
	}
	x.others = append(x.others, others...)
	x.refs = append(x.refs, k.refs...)
	if known {
		return nil
	}
	return x
}

// withRefs gives, for each message, the other conversations that have one of
// its references and its subject.
func (c *threadCheck) withRefs(ctx context.Context, batch []threadKeys) ([][]mail.ID, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var refs []string
	for i := range batch {
		refs = append(refs, batch[i].refs...)
	}
	type threadDoc struct {
		ID      bson.ObjectID `bson:"_id"`
		Subject string        `bson:"subject"`
		IDs     []string      `bson:"ids"`
	}
	rows, err := all[threadDoc](ctx, "verify conversations", c.s.threads, key("user", c.user.ID, "ids", key("$in", textArray(refs))),
		options.Find().SetProjection(key("subject", 1, "ids", 1)))
	if err != nil {
		return nil, err
	}
	type place struct{ ref, subject string }
	at := map[place][]mail.ID{}
	for i := range rows {
		for _, ref := range rows[i].IDs {
			p := place{ref, rows[i].Subject}
			at[p] = append(at[p], mail.ID(rows[i].ID))
		}
	}
	out := make([][]mail.ID, len(batch))
	for i := range batch {
		for _, ref := range batch[i].refs {
			out[i] = append(out[i], at[place{ref, text(batch[i].subject)}]...)
		}
	}
	return out, nil
}

// report tells of a conversation that lacks its document, or that another one
// has the references of.
func (c *threadCheck) report(ctx context.Context, x *suspect) error {
	user := mail.ID(c.user.ID)
	if all := oldestFirst(append(x.others, x.thread)); len(all) > 1 {
		p := Problem{Kind: ProblemThreads, Want: all[0].String(), Have: all[1].String()}
		return c.check.add(ctx, p, func(ctx context.Context) error { return c.s.mergeThreads(ctx, user, all[0], all[1:]) })
	}
	p := Problem{Kind: ProblemThreadLost, Want: x.thread.String()}
	return c.check.add(ctx, p, func(ctx context.Context) error {
		return c.s.joinThread(ctx, user, x.thread, x.subject, textArray(x.refs))
	})
}
