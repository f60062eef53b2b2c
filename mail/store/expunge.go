package store

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
)

// archiveTime is how long archived messages can be restored (schema 3.3).
const archiveTime = 25 * 24 * time.Hour

// Expunge removes messages and tells which, by rising UID. With Archive they
// can be restored for 25 days, but for drafts and for sources of a copy.
//
// Order for each message: archived document, deletion, and only then quota
// and attachment references. The deletion decides who of several actors
// removed the message. A crash leaves an archived document too many or quota
// and references too high, never too low.
func (s *Store) Expunge(ctx context.Context, sel Selection, o ExpungeOptions) ([]mail.UID, error) {
	return s.expunge(ctx, sel, o)
}

func (s *Store) expunge(ctx context.Context, sel Selection, o ExpungeOptions) ([]mail.UID, error) {
	_, uids, err := s.selected(ctx, "expunge messages", sel)
	if err != nil {
		return nil, err
	}
	var out []mail.UID
	for batch := range slices.Chunk(uids, rowBatch) {
		done, err := s.expungeBatch(ctx, sel, batch, o)
		out = append(out, done...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s *Store) expungeBatch(ctx context.Context, sel Selection, uids []mail.UID, o ExpungeOptions) ([]mail.UID, error) {
	const op = "expunge messages"
	rows, err := s.states(ctx, sel.Mailbox, uids)
	if err != nil {
		return nil, err
	}
	if o.OnlyDeleted {
		rows = slices.DeleteFunc(rows, func(r stateRecord) bool { return !mail.HasFlag(flagsOf(r.Flags), mail.FlagDeleted) })
	}
	if len(rows) == 0 {
		return nil, nil
	}
	s.writing(ctx, sel.Mailbox)
	got, err := s.allocate(ctx, op, sel.User, sel.Mailbox, 0)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var gone []*removed
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range rows {
		group.Go(func() error {
			r, err := s.remove(work, sel.Mailbox, rows[i].uid(), o)
			if r != nil {
				mu.Lock()
				gone = append(gone, r)
				mu.Unlock()
			}
			return err
		})
	}
	err = group.Wait()
	rest, cancel := after(ctx)
	defer cancel()
	return s.expunged(rest, sel, gone, &got), err
}

// removed is a message that this actor deleted.
type removed struct {
	state stateRecord
	root  mail.ID
	// archived: it can come back, so search keeps its words.
	archived bool
}

// removeProjection is what removal without an archive reads.
var removeProjection = append(slices.Clone(stateProjection),
	bson.E{Key: "root", Value: 1}, bson.E{Key: "magic", Value: 1}, bson.E{Key: "draft", Value: 1}, bson.E{Key: "copied", Value: 1},
	bson.E{Key: "mimeTree.attachmentMap", Value: 1})

// remove deletes one message. It gives nil when somebody else did, or moved it.
func (s *Store) remove(ctx context.Context, mailbox mail.ID, uid mail.UID, o ExpungeOptions) (*removed, error) {
	const op = "expunge message"
	for range maxRounds {
		find := options.FindOne()
		if !o.Archive {
			find.SetProjection(removeProjection)
		}
		raw, err := s.messages.FindOne(ctx, key("mailbox", oid(mailbox), "uid", number(int64(uid))), find).Raw()
		if isNone(err) {
			return nil, nil //nolint:nilnil // gone already
		}
		if err != nil {
			return nil, fail(op, err)
		}
		doc, err := readCopy(raw)
		if err != nil {
			return nil, err
		}
		if o.OnlyDeleted && !mail.HasFlag(flagsOf(doc.Flags), mail.FlagDeleted) {
			return nil, nil //nolint:nilnil // it lost \Deleted meanwhile
		}
		done, err := s.removeDoc(ctx, mailbox, &doc, o)
		if err != nil {
			return nil, err
		}
		if done {
			return &removed{state: doc.stateRecord, root: rawID(raw.Lookup("root")), archived: doc.archives(o)}, nil
		}
	}
	return nil, &mail.Error{Code: mail.CodeConflict, Op: op}
}

// removeDoc archives and deletes a message in the state that was read; it
// reports false when the state has changed. The state counts, because the
// counter of unseen messages follows it.
//
// Several actors may try at once, some with an archive and some without. The
// deletion decides who did it; the archived document must follow that one. So
// each actor signs the document that it inserts, inserts only where there is
// none, and takes back what it signed when somebody else deleted the message.
// Who deleted it puts the document in its place, or removes any.
func (s *Store) removeDoc(ctx context.Context, mailbox mail.ID, doc *copyRecord, o ExpungeOptions) (bool, error) {
	const op = "expunge message"
	var archive *archiving
	if doc.archives(o) {
		archive = s.newArchiving(doc)
		if err := archive.insert(ctx); err != nil {
			return false, err
		}
	}
	res, err := s.messages.DeleteOne(ctx, doc.guard(mailbox))
	rest, cancel := after(ctx)
	defer cancel()
	if err != nil {
		// Whether it was deleted is not known: the archived document stays, and
		// VerifyAttachments finds it beside its message.
		return false, fail(op, err)
	}
	if res.DeletedCount == 0 {
		if archive != nil {
			archive.takeBack(rest)
		}
		return false, nil
	}
	if archive != nil {
		archive.keep(rest)
		return true, nil
	}
	if _, err := s.archived.DeleteOne(rest, key("_id", doc.ID)); err != nil {
		s.log.LogAttrs(rest, slog.LevelError, "stray archived document", slog.String("message", mail.ID(doc.ID).String()), slog.Any("err", err))
	}
	s.releaseBlobs(rest, doc.hashes, doc.magic)
	return true, nil
}

// archives tells whether a message is kept in the archive when it is deleted.
func (d *copyRecord) archives(o ExpungeOptions) bool {
	draft, _ := d.raw.Lookup("draft").BooleanOK()
	copied, _ := d.raw.Lookup("copied").BooleanOK()
	return o.Archive && (!draft || o.drafts) && !copied
}

// archiving is one actor's attempt to archive one message.
type archiving struct {
	s        *Store
	id       bson.ObjectID
	sign     bson.ObjectID
	doc      bson.D
	inserted bool
}

func (s *Store) newArchiving(doc *copyRecord) *archiving {
	now, sign := s.now(), oid(mail.NewID())
	return &archiving{s: s, id: doc.ID, sign: sign, doc: append(without(doc.raw, "exp", "rdate", "archived", "eiderBy"),
		bson.E{Key: "archived", Value: now},
		bson.E{Key: "exp", Value: true},
		bson.E{Key: "rdate", Value: now.Add(archiveTime).UnixMilli()},
		bson.E{Key: "eiderBy", Value: sign},
	)}
}

func (a *archiving) insert(ctx context.Context) error {
	_, err := a.s.archived.InsertOne(ctx, a.doc)
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	a.inserted = err == nil
	return fail("archive message", err)
}

// keep makes sure that the archived document is this actor's, and takes the
// signature off: from now on the message may be restored.
func (a *archiving) keep(ctx context.Context) {
	if a.inserted {
		res, err := a.s.archived.UpdateOne(ctx, key("_id", a.id, "eiderBy", a.sign), key("$unset", key("eiderBy", "")))
		if err == nil && res.MatchedCount > 0 {
			return
		}
	}
	done := slices.DeleteFunc(slices.Clone(a.doc), func(e bson.E) bool { return e.Key == "eiderBy" })
	if _, err := a.s.archived.ReplaceOne(ctx, key("_id", a.id), done, options.Replace().SetUpsert(true)); err != nil {
		a.s.log.LogAttrs(ctx, slog.LevelError, "message deleted, but not archived", slog.String("message", mail.ID(a.id).String()), slog.Any("err", err))
	}
}

// takeBack removes what this actor inserted.
func (a *archiving) takeBack(ctx context.Context) {
	if !a.inserted {
		return
	}
	if _, err := a.s.archived.DeleteOne(ctx, key("_id", a.id, "eiderBy", a.sign)); err != nil {
		a.s.log.LogAttrs(ctx, slog.LevelError, "archived document of a message that stays", slog.String("message", mail.ID(a.id).String()), slog.Any("err", err))
	}
}

// expunged does what follows the durable deletions.
func (s *Store) expunged(ctx context.Context, sel Selection, gone []*removed, got *allocation) []mail.UID {
	if len(gone) == 0 {
		s.unused(ctx, sel.Mailbox, got.modseq)
		return nil
	}
	slices.SortFunc(gone, func(a, b *removed) int { return int(a.state.UID - b.state.UID) })
	entries := make([]entry, len(gone))
	uids := make([]mail.UID, len(gone))
	size, unseen := int64(0), 0
	var roots []mail.ID
	for i, r := range gone {
		if !r.archived {
			roots = append(roots, r.root)
		}
		isUnseen := !mail.HasFlag(flagsOf(r.state.Flags), mail.FlagSeen)
		size += r.state.Size
		unseen += count(isUnseen)
		uids[i] = r.state.uid()
		entries[i] = entry{
			mailbox: sel.Mailbox, command: mail.CommandExpunge, modseq: got.modseq, uid: uids[i], message: mail.ID(r.state.ID),
			thread: mail.ID(r.state.Thread), unseen: isUnseen, ignore: sel.Ignore, calm: got.calm,
		}
	}
	s.giveQuota(ctx, sel.User, size)
	s.adjust(ctx, sel.Mailbox, -len(gone), -unseen)
	s.recordAfter(ctx, sel.User, entries...)
	s.forgetTerms(ctx, sel.User, roots)
	return uids
}
