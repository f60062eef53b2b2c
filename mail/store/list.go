package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	defaultPage   = 50
	defaultThread = 100
)

func (f ListFilter) filter(mailbox mail.ID) bson.D {
	d := key("mailbox", oid(mailbox))
	if f.Unseen {
		d = append(d, bson.E{Key: "unseen", Value: true})
	}
	if f.Flagged {
		d = append(d, bson.E{Key: "flagged", Value: true})
	}
	if f.Attachments {
		d = append(d, bson.E{Key: "ha", Value: true})
	}
	return d
}

// index is the hint of a filtered page: the rarest condition first.
func (f ListFilter) index() any {
	switch {
	case f.Flagged:
		return indexPageFlagged
	case f.Attachments:
		return indexPageAttachments
	case f.Unseen:
		return indexPageUnseen
	}
	return indexPage
}

// beyond narrows a filter to rows on one side of a key. The range of idate
// bounds the index; the alternatives only sort out rows of the same instant.
func beyond(d bson.D, k Key, older bool) bson.D {
	edge, strict := "$gte", "$gt"
	if older {
		edge, strict = "$lte", "$lt"
	}
	return append(slices.Clone(d),
		bson.E{Key: "idate", Value: key(edge, k.Date)},
		bson.E{Key: "$or", Value: bson.A{key("idate", key(strict, k.Date)), key("_id", key(strict, oid(k.ID)))}})
}

// Messages reads one page of a mailbox. Rows never repeat and are never
// skipped, however the mailbox changes between pages: a page starts at a key,
// not at a count.
func (s *Store) Messages(ctx context.Context, l List) (Page, error) {
	const op = "list messages"
	if l.Limit <= 0 {
		l.Limit = defaultPage
	}
	l.Limit = min(l.Limit, MaxPage)
	if l.Before != nil && l.After != nil {
		return Page{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "page"}
	}
	if _, err := s.mailboxRecord(ctx, op, key("_id", oid(l.Mailbox), "user", oid(l.User))); err != nil {
		return Page{}, err
	}
	base := l.Filter.filter(l.Mailbox)
	// Rows are read away from the key: to older ones from Before and for the
	// newest page, to newer ones from After and for the oldest page.
	older := l.Before != nil || (l.After == nil && !l.OldestFirst)
	filter, k := base, l.Before
	if k == nil {
		k = l.After
	}
	if k != nil {
		filter = beyond(base, *k, older)
	}
	rows, err := s.pageRows(ctx, filter, l.Filter.index(), older, l.Limit+1)
	if err != nil {
		return Page{}, err
	}
	more := len(rows) > l.Limit
	rows = rows[:min(len(rows), l.Limit)]
	behind, err := s.anyBehind(ctx, base, l.Filter.index(), k, older)
	if err != nil {
		return Page{}, err
	}
	page := Page{Messages: rows, Older: more, Newer: behind}
	if !older {
		page.Older, page.Newer = behind, more
	}
	if older == l.OldestFirst {
		slices.Reverse(page.Messages)
	}
	if l.ThreadCounts {
		return page, s.fillThreadCounts(ctx, l.User, page.Messages)
	}
	return page, nil
}

func (s *Store) pageRows(ctx context.Context, filter bson.D, index any, newestFirst bool, limit int) ([]mail.Message, error) {
	direction := 1
	if newestFirst {
		direction = -1
	}
	return s.rows(ctx, filter, options.Find().SetSort(key("idate", direction, "_id", direction)).
		SetLimit(int64(limit)).SetProjection(rowProjection).SetHint(index))
}

func (s *Store) rows(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) ([]mail.Message, error) {
	const op = "read message rows"
	cur, err := s.messages.Find(ctx, filter, o)
	if err != nil {
		return nil, fail(op, err)
	}
	var records []rowRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]mail.Message, len(records))
	for i := range records {
		out[i] = records[i].row()
	}
	return out, nil
}

// anyBehind tells whether there are rows on the other side of the page: at the
// key itself or beyond it. Without a key there are none.
func (s *Store) anyBehind(ctx context.Context, base bson.D, index any, k *Key, older bool) (bool, error) {
	if k == nil {
		return false, nil
	}
	edge := "$lte"
	if older {
		edge = "$gte"
	}
	filter := append(slices.Clone(base),
		bson.E{Key: "idate", Value: key(edge, k.Date)},
		bson.E{Key: "$or", Value: bson.A{
			key("idate", key(map[bool]string{true: "$gt", false: "$lt"}[older], k.Date)), key("_id", key(edge, oid(k.ID))),
		}})
	err := s.messages.FindOne(ctx, filter, options.FindOne().SetProjection(key("_id", 1)).SetHint(index)).Err()
	if isNone(err) {
		return false, nil
	}
	return err == nil, fail("look beside the page", err)
}

// maxCounted bounds the rows that a page's conversation counts may read. A
// conversation beyond it shows a number that is too low, never a slow page.
const maxCounted = 5000

// fillThreadCounts counts each row's conversation, in one query that the index
// answers by itself.
func (s *Store) fillThreadCounts(ctx context.Context, user mail.ID, rows []mail.Message) error {
	const op = "count conversations"
	threads := make([]mail.ID, 0, len(rows))
	for i := range rows {
		if !slices.Contains(threads, rows[i].Thread) {
			threads = append(threads, rows[i].Thread)
		}
	}
	if len(threads) == 0 {
		return nil
	}
	cur, err := s.messages.Find(ctx, key("user", oid(user), "thread", key("$in", oids(threads))), options.Find().
		SetProjection(key("_id", 0, "thread", 1)).SetHint(indexConversation).SetLimit(maxCounted).SetBatchSize(maxCounted))
	if err != nil {
		return fail(op, err)
	}
	var members []struct {
		Thread bson.ObjectID `bson:"thread"`
	}
	if err := cur.All(ctx, &members); err != nil {
		return fail(op, err)
	}
	counts := make(map[mail.ID]int, len(threads))
	for i := range members {
		counts[mail.ID(members[i].Thread)]++
	}
	for i := range rows {
		rows[i].ThreadCount = counts[rows[i].Thread]
	}
	return nil
}

// Row reads one row. CodeNoMessage.
func (s *Store) Row(ctx context.Context, user, mailbox mail.ID, uid mail.UID) (mail.Message, error) {
	rows, err := s.Rows(ctx, Selection{User: user, Mailbox: mailbox, UIDs: []mail.UID{uid}})
	if err != nil {
		return mail.Message{}, err
	}
	if len(rows) == 0 {
		return mail.Message{}, &mail.Error{Code: mail.CodeNoMessage, Op: "read message row"}
	}
	return rows[0], nil
}

// Rows reads the rows of a selection, at most MaxPage, by rising UID. Those
// that are gone are left out.
func (s *Store) Rows(ctx context.Context, sel Selection) ([]mail.Message, error) {
	if len(sel.UIDs) == 0 {
		return nil, nil
	}
	if len(sel.UIDs) > MaxPage {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "read message rows", Field: "uids", Reason: "many"}
	}
	return s.rows(ctx, key("mailbox", oid(sel.Mailbox), "uid", key("$in", uidArray(sel.UIDs)), "user", oid(sel.User)),
		options.Find().SetSort(key("uid", 1)).SetProjection(rowProjection).SetHint(indexUID))
}

// UIDs lists UIDs of a mailbox above after, rising, at most limit (0 or more
// than MaxSelection for MaxSelection). Flags are read from the mailbox's
// Snapshot.
func (s *Store) UIDs(ctx context.Context, user, mailbox mail.ID, after mail.UID, f ListFilter, limit int) ([]mail.UID, error) {
	if limit <= 0 || limit > MaxSelection {
		limit = MaxSelection
	}
	if f.Attachments {
		if _, err := s.mailboxRecord(ctx, "list uids", key("_id", oid(mailbox), "user", oid(user))); err != nil {
			return nil, err
		}
		return s.uids(ctx, mailbox, after, f, limit)
	}
	snap, err := s.Snapshot(ctx, user, mailbox)
	if err != nil {
		return nil, err
	}
	return snap.UIDs(after, f, limit), nil
}

func (s *Store) uids(ctx context.Context, mailbox mail.ID, after mail.UID, f ListFilter, limit int) ([]mail.UID, error) {
	const op = "list uids"
	filter := append(f.filter(mailbox), bson.E{Key: "uid", Value: key("$gt", number(int64(after)))})
	cur, err := s.messages.Find(ctx, filter, options.Find().SetSort(key("uid", 1)).SetLimit(int64(limit)).
		SetProjection(key("uid", 1, "_id", 0)).SetHint(indexUID))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []stateRecord
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	out := make([]mail.UID, len(rows))
	for i := range rows {
		out[i] = rows[i].uid()
	}
	return out, nil
}

// Thread reads a conversation, oldest first, from all mailboxes but Trash and
// Junk (unless asked). The newest are kept when there are more than the limit.
func (s *Store) Thread(ctx context.Context, user, thread mail.ID, o ThreadOptions) ([]mail.Message, error) {
	if o.Limit <= 0 {
		o.Limit = defaultThread
	}
	o.Limit = min(o.Limit, MaxPage)
	filter := key("user", oid(user), "thread", oid(thread))
	if !o.TrashAndJunk {
		hidden, err := s.hiddenMailboxes(ctx, user, o.Include)
		if err != nil {
			return nil, err
		}
		if len(hidden) > 0 {
			filter = append(filter, bson.E{Key: "mailbox", Value: key("$nin", hidden)})
		}
	}
	rows, err := s.rows(ctx, filter, options.Find().SetSort(key("idate", -1, "_id", -1)).SetLimit(int64(o.Limit)).
		SetProjection(rowProjection).SetHint(indexConversation))
	slices.Reverse(rows)
	return rows, err
}

// hiddenMailboxes are Trash and Junk, but for include.
func (s *Store) hiddenMailboxes(ctx context.Context, user, include mail.ID) (bson.A, error) {
	const op = "find trash and junk"
	cur, err := s.mailboxes.Find(ctx,
		key("user", oid(user), "specialUse", key("$in", bson.A{string(mail.UseTrash), string(mail.UseJunk)})),
		options.Find().SetProjection(key("_id", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []mailboxRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	var out bson.A
	for i := range records {
		if mail.ID(records[i].ID) != include {
			out = append(out, records[i].ID)
		}
	}
	return out, nil
}
