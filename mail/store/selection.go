package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// rowBatch is how many messages one step of StoreFlags, Move and Expunge
	// handles, copyBatch how many whole documents Copy holds.
	rowBatch  = 500
	copyBatch = 25
	// maxRounds bounds how often a change is tried again because others
	// changed the same messages.
	maxRounds = 50
	// workers is how many single-message steps run at the same time.
	workers = 8
)

// selected opens a selection: the mailbox is the user's, the UIDs are sorted,
// without repetition, and not too many.
func (s *Store) selected(ctx context.Context, op string, sel Selection) (*mailboxRecord, []mail.UID, error) {
	if len(sel.UIDs) > MaxSelection {
		return nil, nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "uids", Reason: "many"}
	}
	box, err := s.mailboxRecord(ctx, op, key("_id", oid(sel.Mailbox), "user", oid(sel.User)))
	if err != nil {
		return nil, nil, err
	}
	uids := slices.Clone(sel.UIDs)
	slices.Sort(uids)
	return box, slices.Compact(uids), nil
}

func uidArray(uids []mail.UID) bson.A {
	out := make(bson.A, len(uids))
	for i, u := range uids {
		out[i] = number(int64(u))
	}
	return out
}

// stateRecord is what changing a message needs to know of it.
type stateRecord struct {
	ID     bson.ObjectID `bson:"_id"`
	Thread bson.ObjectID `bson:"thread"`
	UID    int64         `bson:"uid"`
	ModSeq int64         `bson:"modseq"`
	Flags  []string      `bson:"flags"`
	IDate  bson.RawValue `bson:"idate"`
	Size   int64         `bson:"size"`
	Unseen bool          `bson:"unseen"`
}

var stateProjection = bson.D{
	{Key: "thread", Value: 1},
	{Key: "uid", Value: 1},
	{Key: "modseq", Value: 1},
	{Key: "flags", Value: 1},
	{Key: "idate", Value: 1},
	{Key: "size", Value: 1},
	{Key: "unseen", Value: 1},
}

func (r *stateRecord) uid() mail.UID       { return mail.UID(r.UID) }       //nolint:gosec // 32 bits by RFC
func (r *stateRecord) modseq() mail.ModSeq { return mail.ModSeq(r.ModSeq) } //nolint:gosec // never negative

// states reads the state of messages, by rising UID; those that are gone are
// left out.
func (s *Store) states(ctx context.Context, mailbox mail.ID, uids []mail.UID) ([]stateRecord, error) {
	const op = "read messages"
	cur, err := s.messages.Find(ctx, key("mailbox", oid(mailbox), "uid", key("$in", uidArray(uids))),
		options.Find().SetProjection(stateProjection).SetSort(key("uid", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []stateRecord
	return rows, fail(op, cur.All(ctx, &rows))
}

// landed tells which of the UIDs carry the mod-sequence. A mod-sequence is
// allocated for one operation only, so these are the ones that it changed.
func (s *Store) landed(ctx context.Context, mailbox mail.ID, uids []mail.UID, modseq mail.ModSeq) (map[mail.UID]bool, error) {
	const op = "read changed messages"
	cur, err := s.messages.Find(ctx,
		key("mailbox", oid(mailbox), "uid", key("$in", uidArray(uids)), "modseq", number(int64(modseq))), //nolint:gosec // below 2^53
		options.Find().SetProjection(key("uid", 1, "_id", 0)).SetHint(indexUID))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []stateRecord
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	out := make(map[mail.UID]bool, len(rows))
	for i := range rows {
		out[rows[i].uid()] = true
	}
	return out, nil
}
