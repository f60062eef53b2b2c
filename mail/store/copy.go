package store

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Copy copies messages to another mailbox of the account (or to the same).
// CodeOverQuota when the account has no room for all of them; those of earlier
// steps are then copied.
//
// Order: attachment references, quota, UIDs and mod-sequence, copies, the mark
// on the sources, journal, a second look at the sources' conversations. A crash before the copies leaves references and
// quota too high, never too low.
func (s *Store) Copy(ctx context.Context, sel Selection, to mail.ID) ([]Moved, error) {
	const op = "copy messages"
	_, uids, err := s.selected(ctx, op, sel)
	if err != nil {
		return nil, err
	}
	target, err := s.mailboxRecord(ctx, op, key("_id", oid(to), "user", oid(sel.User)))
	if err != nil {
		return nil, err
	}
	var out []Moved
	for batch := range slices.Chunk(uids, copyBatch) {
		part := sel
		part.UIDs = batch
		moved, err := s.copyBatch(ctx, part, target, copyOptions{})
		out = append(out, moved...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// copyRecord is what copying reads beside the raw document.
type copyRecord struct {
	raw bson.Raw
	stateRecord
	magic  int
	hashes [][32]byte
}

func readCopy(raw bson.Raw) (copyRecord, error) {
	c := copyRecord{raw: raw}
	if err := bson.Unmarshal(raw, &c.stateRecord); err != nil {
		return c, fail("decode message", err)
	}
	c.magic = int(rawNumber(raw.Lookup("magic")))
	c.hashes = treeHashes(raw.Lookup("mimeTree", "attachmentMap"))
	return c, nil
}

// treeHashes lists the contents of a message, each once.
func treeHashes(v bson.RawValue) [][32]byte {
	seen := map[[32]byte]bool{}
	var out [][32]byte
	for _, b := range readHashes(v) {
		if len(b) != 32 {
			continue
		}
		h := [32]byte(b)
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	return out
}

func (s *Store) wholeDocs(ctx context.Context, mailbox mail.ID, uids []mail.UID) ([]copyRecord, error) {
	const op = "read messages to copy"
	cur, err := s.messages.Find(ctx, key("mailbox", oid(mailbox), "uid", key("$in", uidArray(uids))), options.Find().SetSort(key("uid", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var raws []bson.Raw
	if err := cur.All(ctx, &raws); err != nil {
		return nil, fail(op, err)
	}
	out := make([]copyRecord, len(raws))
	for i, raw := range raws {
		if out[i], err = readCopy(raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// copyOptions are for a copy that may have been made before.
type copyOptions struct {
	// id gives the copy's id from the source's, nil for a new one.
	id func(source bson.ObjectID) mail.ID
	// again leaves out messages whose copy is there.
	again bool
}

// uncopied leaves out messages whose copy is there.
func (s *Store) uncopied(ctx context.Context, docs []copyRecord, o copyOptions) ([]copyRecord, error) {
	if !o.again {
		return docs, nil
	}
	const op = "look for copies"
	ids := make(bson.A, len(docs))
	for i := range docs {
		ids[i] = oid(o.id(docs[i].ID))
	}
	cur, err := s.messages.Find(ctx, key("_id", key("$in", ids)), options.Find().SetProjection(key("_id", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []stateRecord
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	return slices.DeleteFunc(docs, func(d copyRecord) bool {
		return slices.ContainsFunc(rows, func(r stateRecord) bool { return mail.ID(r.ID) == o.id(d.ID) })
	}), nil
}

func (s *Store) copyBatch(ctx context.Context, sel Selection, target *mailboxRecord, o copyOptions) ([]Moved, error) {
	const op = "copy messages"
	docs, err := s.wholeDocs(ctx, sel.Mailbox, sel.UIDs)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	if docs, err = s.uncopied(ctx, docs, o); err != nil || len(docs) == 0 {
		return nil, err
	}
	size := int64(0)
	for i := range docs {
		size += docs[i].Size
	}
	if err := s.takeQuota(ctx, op, sel.User, size, true); err != nil {
		return nil, err
	}
	moved, err := s.insertCopies(ctx, sel, target, docs, o)
	if undoable(err) {
		undo, cancel := after(ctx)
		defer cancel()
		s.giveQuota(undo, sel.User, size)
	}
	return moved, err
}

func (s *Store) insertCopies(ctx context.Context, sel Selection, target *mailboxRecord, docs []copyRecord, o copyOptions) (moved []Moved, err error) {
	const op = "copy messages"
	to := mail.ID(target.ID)
	for i := range docs {
		if err := s.referAll(ctx, &docs[i]); err != nil {
			undo, cancel := after(ctx)
			defer cancel()
			s.unreferAll(undo, docs[:i])
			return nil, err
		}
	}
	defer func() {
		if undoable(err) {
			undo, cancel := after(ctx)
			defer cancel()
			s.unreferAll(undo, docs)
		}
	}()
	s.writing(ctx, to)
	got, err := s.allocate(ctx, op, sel.User, to, len(docs))
	if err != nil {
		return nil, err
	}
	copies := make([]any, len(docs))
	entries := make([]entry, len(docs))
	ids := make([]mail.ID, len(docs))
	unseen := 0
	for i := range docs {
		d := &docs[i]
		if ids[i] = mail.NewIDAt(s.now()); o.id != nil {
			ids[i] = o.id(d.ID)
		}
		uid := got.uid + mail.UID(i) // checked by allocate
		copies[i] = s.copyDoc(d, target, ids[i], uid, got.modseq)
		isUnseen := !mail.HasFlag(flagsOf(d.Flags), mail.FlagSeen)
		unseen += count(isUnseen)
		entries[i] = entry{
			mailbox: to, command: mail.CommandExists, modseq: got.modseq, uid: uid, message: ids[i], thread: mail.ID(d.Thread),
			unseen: isUnseen, idate: rawTime(d.IDate), junk: count(target.use() == mail.UseJunk), ignore: sel.Ignore, calm: got.calm,
		}
		moved = append(moved, Moved{From: d.uid(), To: uid, ID: ids[i]})
	}
	if err := s.insertAll(ctx, to, copies, ids, got.uid); err != nil {
		s.unused(context.WithoutCancel(ctx), to, got.modseq)
		return nil, err
	}
	rest, cancel := after(ctx)
	defer cancel()
	s.copied(rest, sel, docs)
	s.adjust(rest, to, len(docs), unseen)
	s.recordAfter(rest, sel.User, entries...)
	s.followSources(rest, sel, docs)
	return moved, nil
}

// insertAll inserts the copies, or none: what a failure has left of them is
// removed, by their UIDs from first on, which nobody else was given. Where that
// cannot be known the error is uncertain.
func (s *Store) insertAll(ctx context.Context, to mail.ID, copies []any, ids []mail.ID, first mail.UID) error {
	const op = "insert copies"
	decide, cancel := after(ctx)
	defer cancel()
	_, err := s.messages.InsertMany(decide, copies)
	if err == nil {
		return nil
	}
	if !definite(err) {
		return uncertain{fail(op, err)}
	}
	ours := key("_id", key("$in", oids(ids)), "mailbox", oid(to), "uid", key("$gte", number(int64(first)), "$lt", number(int64(first)+int64(len(ids)))))
	if _, undo := s.messages.DeleteMany(decide, ours); undo != nil {
		s.log.LogAttrs(decide, slog.LevelError, "undo of a failed copy failed", slog.String("mailbox", to.String()), slog.Any("err", undo))
		return uncertain{fail(op, err)}
	}
	return fail(op, err)
}

func (s *Store) referAll(ctx context.Context, d *copyRecord) error {
	for i, h := range d.hashes {
		if _, err := s.referTo(ctx, h, 1, d.magic); err != nil {
			undo, cancel := after(ctx)
			defer cancel()
			s.releaseBlobs(undo, d.hashes[:i], d.magic)
			return err
		}
	}
	return nil
}

func (s *Store) unreferAll(ctx context.Context, docs []copyRecord) {
	for i := range docs {
		s.releaseBlobs(ctx, docs[i].hashes, docs[i].magic)
	}
}

// copied marks the sources: the copy keeps the message, so that deleting the
// source need not archive it (schema 3.4).
func (s *Store) copied(ctx context.Context, sel Selection, docs []copyRecord) {
	uids := make([]mail.UID, len(docs))
	for i := range docs {
		uids[i] = docs[i].uid()
	}
	_, err := s.messages.UpdateMany(ctx, key("mailbox", oid(sel.Mailbox), "uid", key("$in", uidArray(uids))), key("$set", key("copied", true)))
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "mark copied messages", slog.String("user", sel.User.String()), slog.Any("err", err))
	}
}

// copyDoc is the source's document with what a copy has of its own. Top-level
// values go over as they are, undecoded.
func (s *Store) copyDoc(d *copyRecord, target *mailboxRecord, id mail.ID, uid mail.UID, modseq mail.ModSeq) bson.D {
	out := without(d.raw, "_id", "mailbox", "uid", "modseq", "junk", "copied", "meta", stateFieldName, "exp", "rdate", "retention", "retentionTime")
	out = append(bson.D{{Key: "_id", Value: oid(id)}}, out...)
	out = append(out, target.stayIn(s.now())...)
	out = append(out, bson.E{Key: "meta", Value: copiedMeta(d.raw.Lookup("meta"), s.now())})
	wasJunk, _ := d.raw.Lookup("junk").BooleanOK()
	if use := target.use(); use == mail.UseJunk || (use == mail.UseTrash && wasJunk) {
		out = append(out, bson.E{Key: "junk", Value: true})
	}
	return append(out,
		stateSet(mail.ID(target.ID), modseq, flagsOf(d.Flags)),
		bson.E{Key: "mailbox", Value: target.ID},
		bson.E{Key: "uid", Value: number(int64(uid))},
		bson.E{Key: "modseq", Value: number(int64(modseq))}, //nolint:gosec // below 2^53
	)
}

// copiedMeta adds WildDuck's event of a copy.
func copiedMeta(v bson.RawValue, now time.Time) bson.D {
	doc, _ := v.DocumentOK()
	out := without(doc, "events")
	events := bson.A{}
	if list, ok := doc.Lookup("events").ArrayOK(); ok {
		if values, err := list.Values(); err == nil {
			for _, e := range values {
				events = append(events, e)
			}
		}
	}
	return append(out, bson.E{Key: "events", Value: append(events, bson.D{{Key: "action", Value: "IMAPCOPY"}, {Key: "time", Value: now}})})
}

// without is a document's top-level fields but for some.
func without(doc bson.Raw, names ...string) bson.D {
	elements, err := doc.Elements()
	if err != nil {
		return bson.D{}
	}
	out := make(bson.D, 0, len(elements)+4)
	for _, e := range elements {
		if name := e.Key(); !slices.Contains(names, name) {
			out = append(out, bson.E{Key: name, Value: e.Value()})
		}
	}
	return out
}
