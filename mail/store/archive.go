package store

import (
	"context"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// ArchivedMessage is a deleted message that can be restored.
type ArchivedMessage struct {
	// ID is the message's, which restoring keeps.
	ID, Mailbox, Thread mail.ID
	Subject             string
	From                string
	Size                int64
	InternalDate        time.Time
	// Archived is when it was deleted, Expires when it is gone for good.
	Archived, Expires time.Time
}

var archivedProjection = key("mailbox", 1, "thread", 1, "subject", 1, "size", 1, "idate", 1, "archived", 1, "rdate", 1, "meta.from", 1)

// Archived lists an account's archived messages, newest id first, before an id
// (zero for the newest), at most limit (0 or more than MaxPage for 50).
func (s *Store) Archived(ctx context.Context, user, before mail.ID, limit int) ([]ArchivedMessage, error) {
	const op = "list archived messages"
	if limit <= 0 || limit > MaxPage {
		limit = defaultPage
	}
	filter := key("user", oid(user))
	if !before.IsZero() {
		filter = append(filter, bson.E{Key: "_id", Value: key("$lt", oid(before))})
	}
	records, err := all[archivedRecord](ctx, op, s.archived, filter,
		options.Find().SetSort(key("_id", -1)).SetLimit(int64(limit)).SetProjection(archivedProjection))
	out := make([]ArchivedMessage, len(records))
	for i := range records {
		out[i] = records[i].message()
	}
	return out, err
}

// all reads a whole result.
func all[T any](ctx context.Context, op string, c *mongo.Collection, filter any, o *options.FindOptionsBuilder) ([]T, error) {
	cur, err := c.Find(ctx, filter, o)
	if err != nil {
		return nil, fail(op, err)
	}
	var out []T
	return out, fail(op, cur.All(ctx, &out))
}

// Restore brings an archived message back: into the mailbox to, or when that is
// zero into the one it was deleted from, or INBOX when that is gone. It keeps
// its id, gets a new UID and loses \Deleted. CodeNoMessage when it is not
// archived (yet, or any more), CodeNoMailbox for a mailbox of another account.
//
// Order: hold it against the purge, quota, UID and mod-sequence, the message,
// the archived document. Its attachment references pass from one to the other.
// The id is the same, so of two actors one inserts, and a crash before the last
// step leaves the twin that VerifyAttachments removes.
func (s *Store) Restore(ctx context.Context, user, id, to mail.ID) (Appended, error) {
	const op = "restore message"
	now := s.now()
	raw, err := s.archived.FindOneAndUpdate(ctx, append(key("user", oid(user)), s.settledArchive(id)...),
		key("$max", key("rdate", now.Add(restoreHold).UnixMilli())), options.FindOneAndUpdate().SetReturnDocument(options.After)).Raw()
	if err != nil {
		return Appended{}, missing(op, mail.CodeNoMessage, err)
	}
	doc, err := readCopy(raw)
	if err != nil {
		return Appended{}, err
	}
	box, err := s.restoreTarget(ctx, op, user, rawID(raw.Lookup("mailbox")), to)
	if err != nil {
		return Appended{}, err
	}
	if err := s.takeQuota(ctx, op, user, doc.Size, false); err != nil {
		return Appended{}, err
	}
	out, err := s.insertRestored(ctx, user, &doc, box)
	if undoable(err) {
		undo, cancel := after(ctx)
		defer cancel()
		s.giveQuota(undo, user, doc.Size)
	}
	return out, err
}

// settledArchive matches the archived document of a message that nobody is
// just deleting: it bears no signature any more, or the one of an actor that is
// dead. Restored earlier, the message would lose its document or its references
// to the deletion that is under way.
func (s *Store) settledArchive(id mail.ID) bson.D {
	return bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "$or", Value: bson.A{key("eiderBy", key("$exists", false)), key("archived", key("$lt", s.now().Add(-crashWindow)))}},
	}
}

// restoreHold keeps a message that is being restored from being purged.
const restoreHold = time.Hour

func (s *Store) restoreTarget(ctx context.Context, op string, user, was, to mail.ID) (*mailboxRecord, error) {
	if !to.IsZero() {
		return s.mailboxRecord(ctx, op, key("_id", oid(to), "user", oid(user)))
	}
	box, err := s.mailboxRecord(ctx, op, key("_id", oid(was), "user", oid(user)))
	if err == nil && !box.Hidden || err != nil && !mail.IsCode(err, mail.CodeNoMailbox) {
		return box, err
	}
	return s.mailboxRecord(ctx, op, key("user", oid(user), "path", mail.Inbox))
}

func (s *Store) insertRestored(ctx context.Context, user mail.ID, doc *copyRecord, box *mailboxRecord) (Appended, error) {
	const op = "restore message"
	mailbox := mail.ID(box.ID)
	s.writing(ctx, mailbox)
	got, err := s.allocate(ctx, op, user, mailbox, 1)
	if err != nil {
		return Appended{}, err
	}
	flags := mail.WithoutFlag(flagsOf(doc.Flags), mail.FlagDeleted)
	decide, cancel := after(ctx)
	defer cancel()
	if _, err := s.messages.InsertOne(decide, s.restoredDoc(doc, box, &got, flags)); err != nil {
		if !definite(err) {
			return Appended{}, uncertain{fail(op, err)}
		}
		s.unused(decide, mailbox, got.modseq)
		if mongo.IsDuplicateKeyError(err) {
			// It lives: another actor restored it, or one did before a crash.
			s.dropTwin(decide, mail.ID(doc.ID))
			return Appended{}, &mail.Error{Code: mail.CodeNoMessage, Op: op, Err: err}
		}
		return Appended{}, fail(op, err)
	}
	s.dropTwin(decide, mail.ID(doc.ID))
	unseen := !mail.HasFlag(flags, mail.FlagSeen)
	s.adjust(decide, mailbox, 1, count(unseen))
	s.recordAfter(decide, user, entry{
		mailbox: mailbox, command: mail.CommandExists, modseq: got.modseq, uid: got.uid, message: mail.ID(doc.ID), thread: mail.ID(doc.Thread),
		unseen: unseen, idate: rawTime(doc.IDate), junk: count(box.use() == mail.UseJunk), calm: got.calm,
	})
	// Its conversation may have been merged away while it lay in the archive.
	thread := s.settleStored(decide, user, readThreadKeys(doc.raw))
	return Appended{
		Mailbox: mailbox, ID: mail.ID(doc.ID), Thread: thread, Path: box.Path, SpecialUse: box.use(),
		UID: got.uid, UIDValidity: uint32(box.UIDValidity), ModSeq: got.modseq, Size: doc.Size, //nolint:gosec // 32 bits by RFC
	}, nil
}

// dropTwin removes the archived document of a message that lives.
func (s *Store) dropTwin(ctx context.Context, id mail.ID) {
	if _, err := s.archived.DeleteOne(ctx, s.settledArchive(id)); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "archived document of a restored message", slog.String("message", id.String()), slog.Any("err", err))
	}
}

// restoredDoc is the archived document as a message again.
func (s *Store) restoredDoc(doc *copyRecord, box *mailboxRecord, got *allocation, flags []mail.Flag) bson.D {
	out := without(doc.raw, "archived", "exp", "rdate", "retention", "retentionTime", "eiderBy", "mailbox", "uid", "modseq", "junk", stateFieldName, "searchable",
		"flags", "unseen", "flagged", "undeleted", "draft", "userDeleted", "copied")
	out = append(out, flagFields(flags)...)
	out = append(out,
		stateSet(mail.ID(box.ID), got.modseq, flags),
		bson.E{Key: "mailbox", Value: box.ID},
		bson.E{Key: "uid", Value: number(int64(got.uid))},
		bson.E{Key: "modseq", Value: number(int64(got.modseq))}, //nolint:gosec // below 2^53
	)
	out = append(out, box.stayIn(s.now())...)
	if box.use() == mail.UseJunk {
		out = append(out, bson.E{Key: "junk", Value: true})
	}
	return out
}

// purge removes an archived message for good: the document, then its
// attachment references. A crash between leaves references too high.
func (s *Store) purge(ctx context.Context, raw bson.Raw, now time.Time) error {
	id, _ := raw.Lookup("_id").ObjectIDOK()
	res, err := s.archived.DeleteOne(ctx, key("_id", id, "exp", true, "rdate", key("$lte", now.UnixMilli())))
	if err != nil || res.DeletedCount == 0 {
		return fail("purge archived message", err)
	}
	rest, cancel := after(ctx)
	defer cancel()
	s.releaseBlobs(rest, treeHashes(raw.Lookup("mimeTree", "attachmentMap")), int(rawNumber(raw.Lookup("magic"))))
	s.forgetTerms(rest, rawID(raw.Lookup("user")), []mail.ID{rawID(raw.Lookup("root"))})
	return nil
}
