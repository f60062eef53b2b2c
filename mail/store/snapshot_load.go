package store

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// snapshotTail is how many mod-sequences below a fresh load are looked for
	// in the journal: more writers than that are not at work in one mailbox.
	snapshotTail = 256
	// snapshotCertain is how old an entry is before which no writer is at work.
	snapshotCertain = 5 * time.Second
	// snapshotLag is how long the entries of one change take to become visible,
	// once the first of them is.
	snapshotLag = 500 * time.Millisecond
	// lateSlack is by how much the clocks of writers may differ.
	lateSlack = time.Minute
	// maxSnapshotDelta is how many journal entries are applied; beyond it a
	// fresh load is quicker.
	maxSnapshotDelta = 50_000
	snapshotBatch    = 10_000
)

// Snapshot gives the mailbox as it is now: all changes that were acknowledged
// before the call are in it, whichever process made them. Sessions of this
// process share it. It costs one read of the mailbox where nothing changed, a
// range of the journal where something did, and the scan of one index where it
// is not in memory; callers that come together share one such scan. Errors:
// CodeNoMailbox.
func (s *Store) Snapshot(ctx context.Context, user, mailbox mail.ID) (*Snapshot, error) {
	src := s.snapshots.source(mailbox)
	if err := src.take(ctx); err != nil {
		return nil, err
	}
	defer src.give()
	box, err := s.mailboxRecord(ctx, "read snapshot", key("_id", oid(mailbox), "user", oid(user)))
	if err != nil {
		if mail.IsCode(err, mail.CodeNoMailbox) {
			s.snapshots.forget(mailbox)
		}
		return nil, err
	}
	if err := s.catchUp(ctx, src, box); err != nil {
		return nil, err
	}
	s.snapshots.used(src, src.snap.Bytes())
	return src.snap, nil
}

// catchUp brings the source's snapshot to the state of the mailbox.
func (s *Store) catchUp(ctx context.Context, src *snapshotSource, box *mailboxRecord) error {
	now := s.now()
	lost := now.Sub(src.read) > journalTime-journalSlack
	if src.snap == nil || lost || src.snap.uidValidity != uint32(box.UIDValidity) { //nolint:gosec // 32 bits by RFC
		return s.loadSnapshot(ctx, src, box)
	}
	high := mail.ModSeq(box.ModifyIndex) //nolint:gosec // below 2^53
	if high == src.high && src.low == high && len(src.holes) == 0 {
		src.read = now
		return nil
	}
	late, err := s.lateEntries(ctx, src, box)
	if err != nil {
		return err
	}
	entries, err := s.snapshotJournal(ctx, box, key("$gt", number(int64(src.low)))) //nolint:gosec // below 2^53
	if err != nil {
		return err
	}
	if len(entries) > maxSnapshotDelta || len(late) > maxSnapshotDelta {
		return s.loadSnapshot(ctx, src, box)
	}
	src.high, src.read = max(src.high, high), now
	if err := s.applyEntries(ctx, src, box, slices.Concat(late, entries)); err != nil {
		return err
	}
	for i := range late {
		delete(src.holes, late[i].modseq())
	}
	src.expireHoles(now)
	src.stayOpen(slices.Concat(late, entries), now)
	return s.settle(ctx, src, box, entries, now)
}

// settle raises low over what is certain. Where the journal lacks something
// there, its writer died, or wrote no entry: the database is asked.
func (s *Store) settle(ctx context.Context, src *snapshotSource, box *mailboxRecord, entries []changeRecord, now time.Time) error {
	src.mark(now)
	done := src.settled(now)
	seen := modseqsOf(entries)
	var open []mail.ModSeq
	for m := src.low + 1; m <= done; m++ {
		if _, known := src.holes[m]; !known && !seen[m] && !s.isUnused(ctx, src.mailbox, m) {
			open = append(open, m)
		}
	}
	if len(open) > 0 {
		// A writer that is only slow writes its entry yet; it is looked for.
		for _, m := range open {
			src.holes[m] = now
		}
		if whole, err := s.askDatabase(ctx, src, box, done); err != nil || !whole {
			return err
		}
	}
	src.low = max(src.low, done)
	for soon := src.marked(now.Add(-snapshotLag)); src.low < soon && seen[src.low+1]; {
		src.low++
	}
	if src.low == src.high {
		s.noteOthers(ctx, box)
	}
	dense := src.low
	for dense < src.high && seen[dense+1] {
		dense++
	}
	// Only a copy may be changed: others read the snapshot.
	if snap := *src.snap; snap.modseq != dense {
		snap.modseq = max(snap.modseq, dense)
		src.snap = &snap
	}
	return nil
}

// noteOthers keeps in the mailbox that all writers that do not sign are done, so
// that the next load need not wait for them. Nothing rests on its success.
func (s *Store) noteOthers(ctx context.Context, box *mailboxRecord) {
	if box.others() == box.Eider.Others {
		return
	}
	_, err := s.boxHints.UpdateOne(ctx, key("_id", box.ID, "user", box.User, "modifyIndex", number(box.ModifyIndex)),
		key("$set", key("eider.others", number(box.others()))))
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "note that a mailbox is at rest", slog.String("mailbox", mail.ID(box.ID).String()), slog.Any("err", err))
	}
}

func (r *changeRecord) modseq() mail.ModSeq { return mail.ModSeq(r.ModSeq) } //nolint:gosec // never negative

func modseqsOf(entries []changeRecord) map[mail.ModSeq]bool {
	seen := make(map[mail.ModSeq]bool, len(entries))
	for i := range entries {
		seen[entries[i].modseq()] = true
	}
	return seen
}

// stayOpen keeps looking for entries of the mod-sequences of WildDuck's: it
// changes any number of messages under one, and writes entries as it goes.
func (src *snapshotSource) stayOpen(entries []changeRecord, now time.Time) {
	for i := range entries {
		if e := &entries[i]; e.Calm == nil && now.Sub(e.Created) < crashWindow {
			src.holes[e.modseq()] = now
		}
	}
}

// lateEntries reads what came to the journal after it had been given up, or
// under a mod-sequence that may not be all there.
func (s *Store) lateEntries(ctx context.Context, src *snapshotSource, box *mailboxRecord) ([]changeRecord, error) {
	if len(src.holes) == 0 {
		return nil, nil
	}
	list := make(bson.A, 0, len(src.holes))
	for m := range src.holes {
		list = append(list, number(int64(m))) //nolint:gosec // below 2^53
	}
	// They came since the journal was read last, give or take what clocks differ.
	since := startOf(src.read.Add(-lateSlack))
	return s.readEntries(ctx, key("user", box.User, "_id", key("$gt", oid(since)), "mailbox", box.ID, "modseq", key("$in", list)),
		options.Find().SetHint(indexJournal))
}

// isUnused reports a mod-sequence for which no entry will come.
func (s *Store) isUnused(ctx context.Context, mailbox mail.ID, modseq mail.ModSeq) bool {
	_, unused, err := s.sig.Get(ctx, unusedKey(mailbox, modseq))
	return err == nil && unused
}

// askDatabase takes the messages changed between low and done from the
// database, and the number of all for what was removed. It reports false when
// it had to load anew.
func (s *Store) askDatabase(ctx context.Context, src *snapshotSource, box *mailboxRecord, done mail.ModSeq) (bool, error) {
	const op = "look for changes without a journal entry"
	cur, err := s.messages.Find(ctx, key("mailbox", box.ID, "modseq", key("$gt", number(int64(src.low)), "$lte", number(int64(done)))), //nolint:gosec // below 2^53
		options.Find().SetProjection(snapshotProjection).SetHint(indexSnapshot).SetLimit(maxSnapshotDelta+1))
	if err != nil {
		return false, fail(op, err)
	}
	l := &snapshotLoad{s: s, src: src, box: box, tables: src.tables}
	if err := l.read(ctx, cur); err != nil {
		return false, err
	}
	n, err := s.messages.CountDocuments(ctx, key("mailbox", box.ID), options.Count().SetHint(indexUID))
	if err != nil {
		return false, fail(op, err)
	}
	src.change(l.rows, box)
	if len(l.rows) > maxSnapshotDelta || int(n) != src.snap.rows {
		return false, s.loadSnapshot(ctx, src, box)
	}
	return true, nil
}

// snapshotJournal reads the entries of a mailbox with these mod-sequences.
func (s *Store) snapshotJournal(ctx context.Context, box *mailboxRecord, modseqs bson.D) ([]changeRecord, error) {
	return s.readEntries(ctx, key("mailbox", box.ID, "modseq", modseqs, "user", box.User), options.Find().SetSort(key("modseq", 1)))
}

func (s *Store) readEntries(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) ([]changeRecord, error) {
	const op = "read journal of a mailbox"
	cur, err := s.journal.Find(ctx, filter,
		o.SetLimit(maxSnapshotDelta+1).SetBatchSize(maxSnapshotDelta+1).
			SetProjection(key("command", 1, "modseq", 1, "uid", 1, "flags", 1, "thread", 1, "created", 1, "eiderCalm", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var out []changeRecord
	return out, fail(op, cur.All(ctx, &out))
}

// applyEntries makes the snapshot that follows from the journal. Entries that
// were applied before change nothing: a row keeps the newest of what is said
// about it, and a message that is new is read as it is now.
func (s *Store) applyEntries(ctx context.Context, src *snapshotSource, box *mailboxRecord, entries []changeRecord) error {
	edits := map[mail.UID]snapshotEdit{}
	read := map[mail.UID]bool{}
	for i := range entries {
		e := &entries[i]
		uid := mail.UID(e.UID) //nolint:gosec // 32 bits by RFC
		if uid == 0 {
			continue
		}
		have, known := edits[uid]
		if !known {
			have.row, known = src.snap.find(uid)
		}
		switch mail.Command(e.Command) {
		case mail.CommandExpunge:
			delete(read, uid)
			if known {
				edits[uid] = snapshotEdit{gone: true}
			}
		case mail.CommandExists:
			if !known || have.gone {
				read[uid] = true
			}
		case mail.CommandFetch:
			switch {
			case !known || have.gone || uint64(e.ModSeq) <= have.row.modseq: //nolint:gosec // never negative
			case !e.exact():
				read[uid] = true
			default:
				have.row.modseq, have.row.set = uint64(e.ModSeq), src.tables.flags(flagsOf(e.Flags)) //nolint:gosec // never negative
				if id := rawID(e.Thread); !id.IsZero() {
					src.tables.thread(&have.row, id)
				}
				edits[uid] = have
			}
		case mail.CommandCreate, mail.CommandRename, mail.CommandDelete:
		}
	}
	l := &snapshotLoad{s: s, src: src, box: box, tables: src.tables}
	if err := l.readUIDs(ctx, read); err != nil {
		return err
	}
	for _, r := range l.rows {
		edits[mail.UID(r.uid)] = snapshotEdit{row: r} //nolint:gosec // read from one
	}
	src.edit(edits, box)
	return nil
}

// edit makes the next snapshot; where nothing changed it stays the same one.
func (src *snapshotSource) edit(edits map[mail.UID]snapshotEdit, box *mailboxRecord) {
	if len(edits) > 0 || src.snap.uidNext < mail.UID(max(box.UIDNext, 0)) { //nolint:gosec // 32 bits by RFC
		src.snap = src.snap.edited(edits, box, src.tables)
	}
}

// change puts rows into the snapshot, where they are newer.
func (src *snapshotSource) change(rows []snapshotRow, box *mailboxRecord) {
	edits := map[mail.UID]snapshotEdit{}
	for _, r := range rows {
		uid := mail.UID(r.uid) //nolint:gosec // read from one
		if have, ok := src.snap.find(uid); !ok || have.modseq < r.modseq {
			edits[uid] = snapshotEdit{row: r}
		}
	}
	src.edit(edits, box)
}

// loadSnapshot reads the whole mailbox from the index.
func (s *Store) loadSnapshot(ctx context.Context, src *snapshotSource, box *mailboxRecord) error {
	start := s.now()
	l := &snapshotLoad{s: s, src: src, box: box, tables: newSnapshotTables()}
	if err := l.all(ctx); err != nil {
		return err
	}
	src.tables, src.snap = l.tables, newSnapshot(box, l.rows, l.tables)
	src.high, src.read, src.marks = mail.ModSeq(box.ModifyIndex), start, nil //nolint:gosec // below 2^53
	var err error
	if src.low, err = s.certainLow(ctx, box, src.high); err != nil {
		src.snap = nil
		return err
	}
	src.snap.modseq = src.high
	if src.low == src.high {
		s.noteOthers(ctx, box)
		return nil
	}
	src.marks = append(src.marks, snapshotMark{start, src.high})
	entries, err := s.snapshotJournal(ctx, box, key("$gt", number(int64(src.low)))) //nolint:gosec // below 2^53
	if err == nil {
		err = s.applyEntries(ctx, src, box, entries)
	}
	if err != nil {
		src.snap = nil
		return err
	}
	src.snap.modseq = src.certain(entries, box.atRest(start), s.now())
	return nil
}

// certainLow is a mod-sequence below high up to which all writers are done: the
// nearest one with an old entry, out of some.
func (s *Store) certainLow(ctx context.Context, box *mailboxRecord, high mail.ModSeq) (mail.ModSeq, error) {
	for back := mail.ModSeq(0); back <= snapshotTail && back < high; back = 2*back + 1 {
		var e changeRecord
		err := s.journal.FindOne(ctx, key("mailbox", box.ID, "modseq", number(int64(high-back)), "user", box.User), //nolint:gosec // below 2^53
			options.FindOne().SetProjection(key("created", 1))).Decode(&e)
		if err != nil && !isNone(err) {
			return 0, fail("read journal of a mailbox", err)
		}
		if err == nil && s.now().Sub(e.Created) > snapshotCertain {
			return high - back, nil
		}
	}
	return high - min(high, snapshotTail), nil
}

// certain is the mod-sequence up to which a fresh load holds all. An old entry
// tells that the writers before it are done. Where the journal says nothing, a
// writer that does not sign may be between its numbers and its message, unless
// the mailbox is known to be at rest.
func (src *snapshotSource) certain(entries []changeRecord, atRest bool, now time.Time) mail.ModSeq {
	seen := modseqsOf(entries)
	sure, young := src.low, false
	for i := range entries {
		if now.Sub(entries[i].Created) > gapWait {
			sure = max(sure, entries[i].modseq())
		} else {
			young = true
		}
	}
	if atRest && !young {
		return src.high
	}
	for seen[sure+1] {
		sure++
	}
	return sure
}

// snapshotLoad reads rows for a snapshot.
type snapshotLoad struct {
	s      *Store
	src    *snapshotSource
	box    *mailboxRecord
	tables *snapshotTables
	rows   []snapshotRow
	// stale lists the rows whose state field was not fresh.
	stale []int
}

// snapshotProjection takes what indexSnapshot holds, so that no message is read.
var snapshotProjection = bson.D{
	{Key: "_id", Value: 0},
	{Key: "uid", Value: 1},
	{Key: "modseq", Value: 1},
	{Key: stateFieldName, Value: 1},
	{Key: "idate", Value: 1},
	{Key: "size", Value: 1},
	{Key: "thread", Value: 1},
}

func (l *snapshotLoad) all(ctx context.Context) error {
	cur, err := l.s.messages.Find(ctx, key("mailbox", l.box.ID), options.Find().SetProjection(snapshotProjection).
		SetSort(key("uid", 1)).SetHint(indexSnapshot).SetBatchSize(snapshotBatch))
	if err != nil {
		return fail("load snapshot", err)
	}
	return l.read(ctx, cur)
}

// readUIDs reads some messages; those that are gone are left out.
func (l *snapshotLoad) readUIDs(ctx context.Context, uids map[mail.UID]bool) error {
	if len(uids) == 0 {
		return nil
	}
	list := make([]mail.UID, 0, len(uids))
	for uid := range uids {
		list = append(list, uid)
	}
	slices.Sort(list)
	for part := range slices.Chunk(list, rowBatch) {
		cur, err := l.s.messages.Find(ctx, key("mailbox", l.box.ID, "uid", key("$in", uidArray(part))),
			options.Find().SetProjection(snapshotProjection).SetSort(key("uid", 1)).SetHint(indexSnapshot))
		if err != nil {
			return fail("read messages for a snapshot", err)
		}
		if err := l.read(ctx, cur); err != nil {
			return err
		}
	}
	return nil
}

func (l *snapshotLoad) read(ctx context.Context, cur *mongo.Cursor) error {
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		l.row(cur.Current)
	}
	if err := cur.Err(); err != nil {
		return fail("read snapshot", err)
	}
	return l.readStale(ctx)
}

func (l *snapshotLoad) row(raw bson.Raw) {
	r := snapshotRow{
		uid: uint64(rawNumber(raw.Lookup("uid"))), modseq: uint64(rawNumber(raw.Lookup("modseq"))), //nolint:gosec // never negative
		size: uint64(max(rawNumber(raw.Lookup("size")), 0)),
		date: uint64(rawTime(raw.Lookup("idate")).Unix() + dateBias), //nolint:gosec // biased
	}
	l.tables.thread(&r, rawID(raw.Lookup("thread")))
	state, fresh := freshState(raw.Lookup(stateFieldName), mail.ID(l.box.ID), mail.ModSeq(r.modseq))
	if fresh {
		r.set = l.tables.set(state)
	}
	// A message that changes while the index is read may show twice.
	if n := len(l.rows); n > 0 && l.rows[n-1].uid == r.uid {
		if k := len(l.stale); k > 0 && l.stale[k-1] == n-1 {
			l.stale = l.stale[:k-1]
		}
		l.rows = l.rows[:n-1]
	}
	if !fresh {
		l.stale = append(l.stale, len(l.rows))
	}
	l.rows = append(l.rows, r)
}

// readStale reads the flags of the rows that the field did not tell, and
// writes the field, so that the next load need not.
func (l *snapshotLoad) readStale(ctx context.Context) error {
	const op = "read flags for a snapshot"
	for part := range slices.Chunk(l.stale, rowBatch) {
		uids := make([]mail.UID, len(part))
		place := make(map[mail.UID]int, len(part))
		for i, at := range part {
			uids[i] = mail.UID(l.rows[at].uid) //nolint:gosec // read from one
			place[uids[i]] = at
		}
		rows, err := l.s.states(ctx, mail.ID(l.box.ID), uids)
		if err != nil {
			return err
		}
		for i := range rows {
			r := &l.rows[place[rows[i].uid()]]
			r.set, r.modseq = l.tables.flags(flagsOf(rows[i].Flags)), uint64(rows[i].modseq())
		}
		if err := l.s.writeStates(ctx, mail.ID(l.box.ID), rows); err != nil {
			l.s.log.LogAttrs(ctx, slog.LevelDebug, op, slog.String("mailbox", mail.ID(l.box.ID).String()), slog.Any("err", err))
		}
	}
	l.stale = nil
	return nil
}

// writeStates writes the state fields of messages that did not change
// meanwhile. It changes nothing that a client can see.
func (s *Store) writeStates(ctx context.Context, mailbox mail.ID, rows []stateRecord) error {
	if len(rows) == 0 {
		return nil
	}
	models := make([]mongo.WriteModel, len(rows))
	for i := range rows {
		models[i] = mongo.NewUpdateOneModel().SetFilter(rows[i].guard(mailbox)).
			SetUpdate(key("$set", bson.D{stateSet(mailbox, rows[i].modseq(), flagsOf(rows[i].Flags))}))
	}
	_, err := s.hints.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	return fail("write state fields", err)
}
