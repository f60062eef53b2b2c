package store

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// Append stores a message. When it returns without an error the message is
// durable. Errors: CodeTooBig, CodeNoUser, CodeNoMailbox, CodeOverQuota with
// CheckQuota.
//
// Order: quota and thread, attachments and their references with the words for
// search beside them, UID and mod-sequence, message, journal. The message's insert decides. A crash before it
// leaves references and quota too high and a UID unused, never too low.
func (s *Store) Append(ctx context.Context, a Append) (Appended, error) {
	if err := checkAppend(&a); err != nil {
		return Appended{}, err
	}
	box, err := s.target(ctx, &a)
	if err != nil {
		return Appended{}, err
	}
	merges := s.mergesNow()
	thread, err := s.prepare(ctx, &a)
	if err != nil {
		return Appended{}, err
	}
	n := &newMessage{
		thread: thread, merges: merges, user: a.User, flags: cleanFlags(a.Flags), idate: a.InternalDate,
		magic: rand.IntN(1 << 16), now: s.now(), //nolint:gosec // WildDuck's check sum, no secret
	}
	out, err := s.appendTo(ctx, &a, n, box)
	if undoable(err) {
		undo, cancel := after(ctx)
		defer cancel()
		s.giveQuota(undo, a.User, a.Message.Size)
	}
	return out, err
}

// prepare takes the storage and finds the conversation, at the same time:
// neither needs the other, and a delivery waits for the slower one only.
func (s *Store) prepare(ctx context.Context, a *Append) (thread mail.ID, err error) {
	var quota, find error
	var both sync.WaitGroup
	both.Go(func() { quota = s.takeQuota(ctx, "append message", a.User, a.Message.Size, a.CheckQuota) })
	thread, find = s.threadOf(ctx, a.User, a.Message)
	both.Wait()
	if quota == nil && find != nil {
		undo, cancel := after(ctx)
		defer cancel()
		s.giveQuota(undo, a.User, a.Message.Size)
	}
	if quota != nil {
		return thread, quota
	}
	return thread, find
}

func checkAppend(a *Append) error {
	const op = "append message"
	switch {
	case a.Message == nil || a.Message.Root == nil:
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "message", Reason: "empty"}
	case a.Message.Size > MaxMessageSize:
		return &mail.Error{Code: mail.CodeTooBig, Op: op}
	case a.Draft != nil && len(a.Draft.Data) > maxDraftData:
		return &mail.Error{Code: mail.CodeTooBig, Op: op, Field: "draft"}
	}
	return nil
}

// target says which mailbox it is: by id, by path, by use, else INBOX. Of an id
// and of INBOX it is left to the allocation of the UID to find that there is
// none, which spares each delivery a look.
func (s *Store) target(ctx context.Context, a *Append) (filter bson.D, err error) {
	const op = "find mailbox to append to"
	user := oid(a.User)
	switch {
	case !a.Mailbox.IsZero():
		return key("_id", oid(a.Mailbox), "user", user), nil
	case a.Path != "":
		path, err := cleanPath(a.Path)
		if err != nil {
			return nil, &mail.Error{Code: mail.CodeNoMailbox, Op: op, Err: err}
		}
		filter = key("user", user, "path", path)
	case a.Use != mail.UseNone:
		filter = key("user", user, "specialUse", string(a.Use))
	}
	inbox := key("user", user, "path", mail.Inbox)
	if filter == nil {
		return inbox, nil
	}
	box, err := s.mailboxRecord(ctx, op, filter)
	switch {
	case err == nil:
		return key("_id", box.ID, "user", user), nil
	case a.Path == "" && mail.IsCode(err, mail.CodeNoMailbox):
		return inbox, nil
	}
	return nil, err
}

// takeQuota adds to the account's used storage. With check it refuses what
// does not fit; the condition and the addition are one atomic update where
// the account has an own limit, and nearly so otherwise.
func (s *Store) takeQuota(ctx context.Context, op string, user mail.ID, size int64, check bool) error {
	filter := key("_id", oid(user))
	if check {
		var u userRecord
		if err := s.users.FindOne(ctx, filter).Decode(&u); err != nil {
			return missing(op, mail.CodeNoUser, err)
		}
		quota := u.Quota
		if quota <= 0 {
			quota = s.quota
		}
		if max(u.StorageUsed, 0)+size > quota {
			return &mail.Error{Code: mail.CodeOverQuota, Op: op}
		}
		filter = append(filter, bson.E{Key: "storageUsed", Value: key("$lte", quota-size)})
	}
	// The time is a sign of life for Recover.
	res, err := s.usage.UpdateOne(ctx, filter, key("$inc", key("storageUsed", number(size)), "$set", key("eider.at", s.now())))
	switch {
	case err != nil:
		return fail(op, err)
	case res.MatchedCount == 0 && check:
		return &mail.Error{Code: mail.CodeOverQuota, Op: op}
	case res.MatchedCount == 0:
		return &mail.Error{Code: mail.CodeNoUser, Op: op}
	}
	return nil
}

// giveQuota takes from the account's used storage. A failure leaves it too
// high; Verify finds that.
func (s *Store) giveQuota(ctx context.Context, user mail.ID, size int64) {
	if size == 0 {
		return
	}
	if _, err := s.usage.UpdateOne(ctx, key("_id", oid(user)), key("$inc", key("storageUsed", number(-size)))); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "used storage not given back", slog.String("user", user.String()), slog.Any("err", err))
	}
}

func (s *Store) appendTo(ctx context.Context, a *Append, n *newMessage, box bson.D) (Appended, error) {
	at := s.now()
	if n.id = mail.NewIDAt(at); n.idate.IsZero() {
		n.idate = at
	}
	n.root = n.id
	n.terms = s.startTerms(ctx, n, a.Message)
	defer n.terms.done.Wait()
	blobs := a.Message.Blobs()
	first, err := s.keepBlobs(ctx, blobs, n.magic)
	if err != nil {
		return Appended{}, err
	}
	n.contentHashes = first
	n.hashes = make(map[string][32]byte, len(blobs))
	for i := range blobs {
		n.hashes[blobs[i].ID] = blobs[i].Hash
	}
	out, err := s.insertMessage(ctx, a, n, box)
	if undoable(err) {
		undo, cancel := after(ctx)
		defer cancel()
		s.releaseBlobs(undo, blobHashes(blobs), n.magic)
		n.terms.done.Wait()
		s.dropTerms(undo, n.user, n.root)
	}
	return out, err
}

func (s *Store) insertMessage(ctx context.Context, a *Append, n *newMessage, box bson.D) (Appended, error) {
	const op = "insert message"
	got, err := s.allocateIn(ctx, op, box, 1)
	if err != nil {
		return Appended{}, err
	}
	n.placed(&got, s.now())
	s.writing(ctx, n.mailbox)
	n.indexed = n.terms.wait(ctx, s.log, n.root) && !s.deferTerms
	// A client that goes away now must not leave it open whether the message
	// is stored.
	decide, cancel := after(ctx)
	defer cancel()
	err = s.noteFlags(ctx, got.mailbox, n.flags)
	if err == nil {
		err = insertEncoded(decide, s.messages, messageDoc(n, a))
	}
	if err != nil {
		if !definite(err) {
			return Appended{}, uncertain{fail(op, err)}
		}
		s.unused(decide, n.mailbox, n.modseq)
		return Appended{}, fail(op, err)
	}
	s.appended(ctx, a, n, &got)
	return Appended{
		Mailbox: n.mailbox, ID: n.id, Thread: n.thread, Path: got.mailbox.Path, SpecialUse: got.mailbox.use(),
		UID: n.uid, UIDValidity: uint32(got.mailbox.UIDValidity), ModSeq: n.modseq, Size: a.Message.Size, //nolint:gosec // 32 bits by RFC
	}, nil
}

// appended does what follows the durable insert.
func (s *Store) appended(ctx context.Context, a *Append, n *newMessage, got *allocation) {
	rest, cancel := after(ctx)
	defer cancel()
	if n.indexed {
		s.worker.delivered(n.user)
	}
	unseen := !mail.HasFlag(n.flags, mail.FlagSeen)
	s.adjust(rest, n.mailbox, 1, count(unseen))
	var people sync.WaitGroup
	if !a.SkipAddressRegister {
		if unmet := s.unmet(a.User, got.mailbox.use(), a.Message); len(unmet) > 0 {
			people.Go(func() { s.registerPeople(rest, a.User, unmet) })
		}
	}
	s.recordAfter(rest, a.User, entry{
		mailbox: n.mailbox, command: mail.CommandExists, modseq: n.modseq, uid: n.uid, message: n.id, thread: n.thread,
		unseen: unseen, idate: n.idate, junk: count(n.junk), ignore: a.Ignore, calm: got.calm,
	})
	people.Wait()
	var err error
	if s.alone && !s.mergedSince(n.merges) {
		return
	}
	if n.thread, err = s.settleThread(rest, a.User, n.thread, a.Message.ThreadSubject, a.Message.ThreadRefs); err != nil {
		s.log.LogAttrs(rest, slog.LevelWarn, "settle conversation", slog.String("user", a.User.String()), slog.Any("err", err))
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// cleanFlags drops what is no flag and what is there twice, and refuses to
// store \Recent, which no client may set (RFC 9051 2.3.2).
func cleanFlags(flags []mail.Flag) []mail.Flag {
	out := make([]mail.Flag, 0, len(flags))
	for _, f := range flags {
		f = mail.Flag(strings.TrimSpace(text(string(f))))
		if f == "" || strings.EqualFold(string(f), `\Recent`) || mail.HasFlag(out, f) {
			continue
		}
		out = append(out, canonicalFlag(f))
	}
	return out
}

var systemFlags = []mail.Flag{mail.FlagSeen, mail.FlagAnswered, mail.FlagFlagged, mail.FlagDeleted, mail.FlagDraft}

// canonicalFlag gives system flags their usual case.
func canonicalFlag(f mail.Flag) mail.Flag {
	for _, known := range systemFlags {
		if strings.EqualFold(string(known), string(f)) {
			return known
		}
	}
	return f
}

// noteFlags keeps the list of keywords that a mailbox has seen. It stops
// growing at WildDuck's limit; the messages still carry the keyword.
func (s *Store) noteFlags(ctx context.Context, box *mailboxRecord, flags []mail.Flag) error {
	var fresh bson.A
	known := len(box.Flags)
	for _, f := range flags {
		if strings.HasPrefix(string(f), `\`) || slices.Contains(box.Flags, string(f)) || known >= maxFlags-len(systemFlags) {
			continue
		}
		known++
		fresh = append(fresh, string(f))
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err := s.mailboxes.UpdateOne(ctx, key("_id", box.ID), key("$addToSet", key("flags", key("$each", fresh))))
	return fail("note keywords", err)
}
