package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// journalTime is how long entries stay: the TTL of journal_autoexpire.
	journalTime = 3 * time.Hour
	// journalSlack is how much earlier a cursor counts as too old: the TTL
	// monitor and clocks are not exact.
	journalSlack = 10 * time.Minute
	// gapWait is how long a reader holds back entries behind a missing
	// mod-sequence before it takes it that none will come.
	gapWait  = 2 * time.Second
	gapPause = 10 * time.Millisecond
	// maxChanges bounds what one call of Changes returns.
	maxChanges = 1000
	// afterTime is what the steps after a durable change may take.
	afterTime = 15 * time.Second
)

// entry is a journal row to be written (schema 6.2).
type entry struct {
	mailbox         mail.ID
	command         mail.Command
	modseq          mail.ModSeq
	uid             mail.UID
	message, thread mail.ID
	unseen          bool
	unseenChange    bool
	flags           []mail.Flag
	idate           time.Time
	junk            int
	path            string
	ignore          string
	// calm: when modseq was allocated, the writers of those before it were done. Readers need not look for it then.
	calm bool
}

func (e *entry) doc(id mail.ID, user mail.ID, now time.Time) bson.D {
	d := bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "user", Value: oid(user)},
		{Key: "mailbox", Value: oid(e.mailbox)},
		{Key: "command", Value: string(e.command)},
		{Key: "created", Value: now},
	}
	add := func(name string, v any) { d = append(d, bson.E{Key: name, Value: v}) }
	if e.modseq > 0 {
		add("modseq", number(int64(e.modseq))) //nolint:gosec // below 2^53
	}
	if e.uid > 0 {
		add("uid", number(int64(e.uid)))
		add("message", oid(e.message))
		add("thread", oid(e.thread))
	}
	switch e.command {
	case mail.CommandExists:
		add("unseen", e.unseen)
		add("idate", e.idate)
		if e.junk != 0 {
			add("junk", e.junk)
		}
	case mail.CommandExpunge:
		add("unseen", e.unseen)
	case mail.CommandFetch:
		add("flags", flagArray(e.flags))
		add("unseenChange", e.unseenChange)
	case mail.CommandCreate, mail.CommandRename, mail.CommandDelete:
		add("path", e.path)
	}
	if e.ignore != "" {
		add("ignore", e.ignore)
	}
	// The field is also a signature: what an entry with it says is so.
	add("eiderCalm", e.calm)
	return d
}

// after is a context for the steps behind a durable change: they are to be
// done even when the client has gone.
func after(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), afterTime)
}

// record writes journal entries and publishes. Within one process the ids of
// an account's entries become visible in rising order, so that a reader's
// cursor passes none of them by.
func (s *Store) record(ctx context.Context, user mail.ID, entries ...entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := s.writeJournal(ctx, user, entries); err != nil {
		return fail("write journal", err)
	}
	if err := s.hub.Changed(ctx, user); err != nil {
		// The journal has it; readers look there again by themselves.
		s.log.LogAttrs(ctx, slog.LevelWarn, "publish change", slog.String("user", user.String()), slog.Any("err", err))
	}
	return nil
}

func (s *Store) writeJournal(ctx context.Context, user mail.ID, entries []entry) error {
	lock := &s.journalLocks[int(user[11])%len(s.journalLocks)]
	lock.Lock()
	defer lock.Unlock()
	now := s.now()
	docs := make([]any, len(entries))
	for i := range entries {
		// The id's time is the real one: the order of ids must not depend on a
		// clock that a test sets.
		doc, err := encode(make([]byte, 0, 256), entries[i].doc(mail.NewID(), user, now))
		if err != nil {
			return err
		}
		docs[i] = bson.Raw(doc)
	}
	_, err := s.journal.InsertMany(ctx, docs, options.InsertMany().SetOrdered(true))
	return err
}

// recordAfter is record for a change that is durable already: a failure is
// logged, because the change stands and must be acknowledged.
func (s *Store) recordAfter(ctx context.Context, user mail.ID, entries ...entry) {
	if err := s.record(ctx, user, entries...); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "a change is stored, but not in the journal", slog.String("user", user.String()), slog.Any("err", err))
	}
}

// changeRecord is a document of journal as it is read.
type changeRecord struct {
	ID           bson.ObjectID `bson:"_id"`
	User         bson.ObjectID `bson:"user"`
	Mailbox      bson.RawValue `bson:"mailbox"`
	Command      string        `bson:"command"`
	ModSeq       int64         `bson:"modseq"`
	UID          int64         `bson:"uid"`
	Message      bson.RawValue `bson:"message"`
	Thread       bson.RawValue `bson:"thread"`
	Unseen       bool          `bson:"unseen"`
	UnseenChange bool          `bson:"unseenChange"`
	Flags        []string      `bson:"flags"`
	IDate        time.Time     `bson:"idate"`
	Path         bson.RawValue `bson:"path"`
	Junk         int64         `bson:"junk"`
	Ignore       bson.RawValue `bson:"ignore"`
	Created      time.Time     `bson:"created"`
	// Calm is ours: the mailbox had been at rest before this change. WildDuck's
	// entries have no such field.
	Calm *bool `bson:"eiderCalm"`
}

func (r *changeRecord) calm() bool { return r.Calm != nil && *r.Calm }

// exact reports that the flags are those that the message had. WildDuck notes
// what it meant to write, also where another writer was faster.
func (r *changeRecord) exact() bool { return r.Calm != nil && r.Flags != nil }

func (r *changeRecord) change() mail.Change {
	return mail.Change{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Mailbox: rawID(r.Mailbox), Command: mail.Command(r.Command),
		ModSeq: mail.ModSeq(r.ModSeq), UID: mail.UID(r.UID), Message: rawID(r.Message), Thread: rawID(r.Thread), //nolint:gosec // bounded by RFC
		Unseen: r.Unseen, UnseenChange: r.UnseenChange, Flags: flagsOf(r.Flags), InternalDate: r.IDate.UTC(),
		Path: rawString(r.Path), Junk: int(r.Junk), Ignore: rawString(r.Ignore), Created: r.Created.UTC(),
	}
}

// Changes lists the changes of an account after the journal entry since,
// oldest first, at most limit (0 or more than 1000 for 1000). complete is
// false when entries after since may have expired: the reader must load its
// view anew and go on from LastChange.
//
// Gap rule: mod-sequences of a mailbox are dense, so a missing one means that
// its writer is not done yet. Changes waits for it, for two seconds at most,
// and then takes it that the writer has died. Writers in other processes may
// still write an entry whose id is lower than one already returned; Follow
// takes care of those.
func (s *Store) Changes(ctx context.Context, user, since mail.ID, limit int) (changes []mail.Change, complete bool, err error) {
	if since.IsZero() || since.Time().Before(time.Now().Add(journalSlack-journalTime)) {
		return nil, false, nil
	}
	var waited *changeRecord
	for {
		records, err := s.readJournal(ctx, user, since, limit)
		if err != nil {
			return nil, false, err
		}
		behind, err := s.behindGap(ctx, records)
		if err != nil {
			return nil, false, err
		}
		if behind == nil {
			s.noteWaited(ctx, waited)
			return changesOf(records), true, nil
		}
		waited = behind
		if err := pause(ctx, gapPause); err != nil {
			return nil, false, err
		}
	}
}

func changesOf(records []changeRecord) []mail.Change {
	out := make([]mail.Change, len(records))
	for i := range records {
		out[i] = records[i].change()
	}
	return out
}

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fail("wait", ctx.Err())
	}
}

func (s *Store) readJournal(ctx context.Context, user, since mail.ID, limit int) ([]changeRecord, error) {
	if limit <= 0 || limit > maxChanges {
		limit = maxChanges
	}
	cur, err := s.journal.Find(ctx, key("user", oid(user), "_id", key("$gt", oid(since))),
		options.Find().SetSort(key("_id", 1)).SetLimit(int64(limit)))
	if err != nil {
		return nil, fail("read journal", err)
	}
	var records []changeRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail("read journal", err)
	}
	return records, nil
}

// noteWaited keeps in the mailbox that the writers before an entry, which was
// waited for, are done, where it is the last: the next reader need not wait.
func (s *Store) noteWaited(ctx context.Context, waited *changeRecord) {
	if waited == nil {
		return
	}
	box, err := s.mailboxRecord(ctx, "note that a mailbox is at rest", key("_id", waited.Mailbox, "user", waited.User))
	if err == nil && box.ModifyIndex == waited.ModSeq {
		s.noteOthers(ctx, box)
	}
}

// behindGap gives an entry that some writer before it is not done yet for, nil
// where there is none.
func (s *Store) behindGap(ctx context.Context, list []changeRecord) (*changeRecord, error) {
	last := map[bson.ObjectID]int64{}
	for i := range list {
		c := &list[i]
		mailbox, ok := c.Mailbox.ObjectIDOK()
		if c.ModSeq <= 1 || !ok {
			continue
		}
		known, seen := last[mailbox]
		last[mailbox] = max(known, c.ModSeq)
		if c.calm() || (seen && c.ModSeq <= known+1) || s.now().Sub(c.Created) > gapWait {
			continue
		}
		before, err := s.journalHas(ctx, mailbox, c.ModSeq-1)
		switch {
		case err != nil:
			return nil, err
		case !before:
			return c, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// journalHas reports that the entry is there, or that none will come.
func (s *Store) journalHas(ctx context.Context, mailbox bson.ObjectID, modseq int64) (bool, error) {
	err := s.journal.FindOne(ctx, key("mailbox", mailbox, "modseq", number(modseq)),
		options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		_, unused, err := s.sig.Get(ctx, unusedKey(mail.ID(mailbox), mail.ModSeq(modseq))) //nolint:gosec // never negative
		// Without signals the reader waits, which is safe.
		return err == nil && unused, nil
	}
	return err == nil, fail("read journal", err)
}

// LastChange is the cursor from which Changes gives what happens from now on.
func (s *Store) LastChange(ctx context.Context, user mail.ID) (mail.ID, error) {
	var r changeRecord
	err := s.journal.FindOne(ctx, key("user", oid(user)), options.FindOne().SetSort(key("_id", -1)).SetProjection(key("_id", 1))).Decode(&r)
	if err != nil && !isNone(err) {
		return mail.ID{}, fail("read journal", err)
	}
	id := mail.ID(r.ID)
	if err == nil && time.Since(id.Time()) < time.Hour {
		return id, nil
	}
	// Nothing lately: a cursor that is young and before everything to come.
	return startOf(time.Now().Add(-gapWait)), nil
}

func isNone(err error) bool { return errors.Is(err, mongo.ErrNoDocuments) }
