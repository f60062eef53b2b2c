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

// Deletion is an account on its way out.
type Deletion struct {
	// Task removes what the account owns, from After on.
	Task  mail.ID
	After time.Time
}

// DeletedUser is an account that can still be restored.
type DeletedUser struct {
	ID          mail.ID
	Username    string
	Tags        []string
	StorageUsed int64
	Deleted     time.Time
	// Addresses are those that nobody else has taken since.
	Addresses []string
}

// DeleteUser takes an account out of service: nobody can sign in, no mail
// arrives. Until after (zero for now) RestoreUser brings it back; from then on
// a task removes what it owns. Deleting twice gives the same task.
//
// Order: copy in deletedusers, the user, addresses, task, sessions. The second
// decides. A crash before it leaves a copy beside a live account, which the
// next deletion replaces; one after it is finished by Work.
func (s *Store) DeleteUser(ctx context.Context, id mail.ID, at time.Time) (Deletion, error) {
	const op = "delete user"
	at = maxTime(at, s.now())
	raw, err := s.users.FindOne(ctx, key("_id", oid(id))).Raw()
	switch {
	case isNone(err):
		if err := s.deletedUsers.FindOne(ctx, key("_id", oid(id))).Err(); err != nil {
			return Deletion{}, missing(op, mail.CodeNoUser, err)
		}
	case err != nil:
		return Deletion{}, fail(op, err)
	default:
		if err := s.moveToDeleted(ctx, id, raw, at); err != nil {
			return Deletion{}, err
		}
	}
	rest, cancel := after(ctx)
	defer cancel()
	s.forgetLimits(rest, id)
	s.noteFeatures(rest, id, featuresOf(raw), nil)
	s.logout(rest, id, "Account deleted")
	return s.finishDeletion(rest, id, at)
}

// featuresOf are the feature flags of a user's document, none of no document.
func featuresOf(user bson.Raw) map[string]bool {
	doc, _ := user.Lookup("featureFlags").DocumentOK()
	elements, err := doc.Elements()
	out := map[string]bool{}
	for i := 0; err == nil && i < len(elements); i++ {
		out[elements[i].Key()], _ = elements[i].Value().BooleanOK()
	}
	return out
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Store) moveToDeleted(ctx context.Context, id mail.ID, user bson.Raw, at time.Time) error {
	const op = "delete user"
	addresses, err := all[bson.Raw](ctx, op, s.addresses, key("user", oid(id)), options.Find().SetLimit(maxAddresses))
	if err != nil {
		return err
	}
	doc := append(without(user, "deleteInfo"), bson.E{Key: "deleteInfo", Value: key(
		"deletedAt", s.now(), "mainAddress", rawString(user.Lookup("address")), "addresses", addresses, "eiderAfter", at,
	)})
	if _, err := s.deletedUsers.ReplaceOne(ctx, key("_id", oid(id)), doc, options.Replace().SetUpsert(true)); err != nil {
		return fail(op, err)
	}
	_, err = s.users.DeleteOne(ctx, key("_id", oid(id)))
	return fail(op, err)
}

// finishDeletion does what follows once the user's document is away. It may be
// done again at any time.
func (s *Store) finishDeletion(ctx context.Context, id mail.ID, at time.Time) (Deletion, error) {
	const op = "delete user"
	for _, c := range []*mongo.Collection{s.addresses, s.sessions, s.tokens} {
		if _, err := c.DeleteMany(ctx, key("user", oid(id))); err != nil {
			return Deletion{}, fail(op, err)
		}
	}
	t, err := s.deletionTask(ctx, id)
	if err != nil {
		return Deletion{}, err
	}
	if t != nil {
		if t.Status == "delayed" {
			_, err = s.tasks.UpdateOne(ctx, key("_id", t.ID, "status", "delayed"), key("$set", key("lockedUntil", at)))
		} else {
			at = t.LockedUntil.UTC()
		}
		return Deletion{Task: mail.ID(t.ID), After: at}, fail(op, err)
	}
	task, err := s.addTask(ctx, TaskUserDelete, key("user", oid(id)), at)
	return Deletion{Task: task, After: at}, err
}

// deletionTask finds the task that removes what an account owns, in WildDuck's
// new form or in its old one; nil when there is none.
func (s *Store) deletionTask(ctx context.Context, id mail.ID) (*taskRecord, error) {
	var t taskRecord
	err := s.tasks.FindOne(ctx, key("task", string(TaskUserDelete),
		"$or", bson.A{key("data.user", oid(id)), key("user", oid(id))})).Decode(&t)
	if isNone(err) {
		return nil, nil //nolint:nilnil // no task is an answer
	}
	return &t, fail("find deletion task", err)
}

// deletionGrace is how old a deletion is before Work takes it that the process
// that began it has died.
const deletionGrace = 10 * time.Minute

// finishDeletions finishes deletions that a crash cut short: accounts in
// deletedusers, and nowhere else, without a task.
func (s *Store) finishDeletions(ctx context.Context) error {
	const op = "list deleted accounts"
	for last := (bson.ObjectID{}); ; {
		rows, err := all[deletedRecord](ctx, op, s.deletedUsers, key("_id", key("$gt", last)),
			options.Find().SetSort(key("_id", 1)).SetLimit(sweepStep).SetProjection(key("deleteInfo.deletedAt", 1, "deleteInfo.eiderAfter", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			last = rows[i].ID
			if s.now().Sub(rows[i].Info.DeletedAt) < deletionGrace {
				continue
			}
			if err := s.resumeDeletion(ctx, &rows[i]); err != nil {
				return err
			}
		}
	}
}

// halfMadeSpan is how long after their creation accounts are looked at that a
// crash left half made.
const halfMadeSpan = 24 * time.Hour

// dropHalfMade removes accounts whose creation a crash cut short: they are not
// activated, and hold their name only.
func (s *Store) dropHalfMade(ctx context.Context) error {
	now := s.now()
	rows, err := all[deletedRecord](ctx, "list accounts half made", s.users,
		key("created", key("$gt", now.Add(-halfMadeSpan), "$lt", now.Add(-deletionGrace)), "activated", false, "disabled", true, "address", "", "password", ""),
		options.Find().SetSort(key("created", -1)).SetLimit(sweepStep).SetProjection(key("_id", 1)))
	for i := range rows {
		s.undoUser(ctx, mail.ID(rows[i].ID))
	}
	return err
}

func (s *Store) resumeDeletion(ctx context.Context, r *deletedRecord) error {
	id := mail.ID(r.ID)
	t, err := s.deletionTask(ctx, id)
	if err != nil || t != nil {
		return err
	}
	err = s.users.FindOne(ctx, key("_id", r.ID), options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		_, err = s.finishDeletion(ctx, id, maxTime(r.Info.After, s.now()))
		return err
	}
	return fail("look for account", err)
}

// DeletedUser tells what RestoreUser would bring back. CodeNoUser.
func (s *Store) DeletedUser(ctx context.Context, id mail.ID) (DeletedUser, error) {
	r, _, err := s.deletedRecord(ctx, id)
	if err != nil {
		return DeletedUser{}, err
	}
	out := DeletedUser{ID: id, Username: r.Username, Tags: r.Tags, StorageUsed: max(r.StorageUsed, 0), Deleted: r.Info.DeletedAt.UTC()}
	for _, raw := range r.Info.Addresses {
		owner, err := s.addressByView(ctx, "look for address", rawString(raw.Lookup("addrview")))
		if err != nil {
			return DeletedUser{}, err
		}
		if owner == nil || rawID(owner.User) == id {
			out.Addresses = append(out.Addresses, rawString(raw.Lookup("address")))
		}
	}
	return out, nil
}

func (s *Store) deletedRecord(ctx context.Context, id mail.ID) (*deletedRecord, bson.Raw, error) {
	const op = "read deleted account"
	raw, err := s.deletedUsers.FindOne(ctx, key("_id", oid(id))).Raw()
	if err != nil {
		return nil, nil, missing(op, mail.CodeNoUser, err)
	}
	var r deletedRecord
	return &r, raw, fail(op, bson.Unmarshal(raw, &r))
}

// RestoreUser brings a deleted account back, with those of its addresses that
// are still free; it gives them, the main one first. CodeNoUser when it is not
// among the deleted, CodeConflict when its removal has begun, CodeExists when
// its name is taken.
//
// Order: the task, the user without an address, the addresses, the main one,
// the copy in deletedusers. A crash leaves a copy without a task, which can be
// restored again, or a live account, whose addresses the same call completes.
func (s *Store) RestoreUser(ctx context.Context, id mail.ID) ([]string, error) {
	const op = "restore user"
	r, raw, err := s.deletedRecord(ctx, id)
	if err != nil {
		return nil, err
	}
	t, err := s.deletionTask(ctx, id)
	if err != nil {
		return nil, err
	}
	if t != nil {
		res, err := s.tasks.DeleteOne(ctx, key("_id", t.ID, "status", "delayed"))
		if err != nil {
			return nil, fail(op, err)
		}
		if res.DeletedCount == 0 {
			return nil, &mail.Error{Code: mail.CodeConflict, Op: op}
		}
	}
	user := append(without(raw, "deleteInfo", "address"), bson.E{Key: "address", Value: ""})
	s.noteFeatures(ctx, id, nil, featuresOf(raw))
	if _, err := s.users.InsertOne(ctx, user); err != nil && !s.sameUser(ctx, id, err) {
		return nil, fail(op, err)
	}
	rest, cancel := after(ctx)
	defer cancel()
	back, err := s.restoreAddresses(rest, id, r)
	if err != nil {
		return nil, err
	}
	_, err = s.deletedUsers.DeleteOne(rest, key("_id", oid(id)))
	return back, fail(op, err)
}

// sameUser reports that an insert failed because the account is there already.
func (s *Store) sameUser(ctx context.Context, id mail.ID, err error) bool {
	if !mongo.IsDuplicateKeyError(err) {
		return false
	}
	_, err = s.User(ctx, id)
	return err == nil
}

func (s *Store) restoreAddresses(ctx context.Context, id mail.ID, r *deletedRecord) ([]string, error) {
	const op = "restore addresses"
	var back []string
	for _, raw := range r.Info.Addresses {
		_, err := s.addresses.InsertOne(ctx, raw)
		if mongo.IsDuplicateKeyError(err) {
			owner, err := s.addressByView(ctx, op, rawString(raw.Lookup("addrview")))
			if err != nil {
				return back, err
			}
			if owner == nil || rawID(owner.User) != id {
				s.log.LogAttrs(ctx, slog.LevelInfo, "an address of a restored account has another owner", slog.String("user", id.String()))
				continue
			}
		} else if err != nil {
			return back, fail(op, err)
		}
		address := rawString(raw.Lookup("address"))
		back = append(back, address)
		if address == r.Info.MainAddress {
			last := len(back) - 1
			back[0], back[last] = back[last], back[0]
		}
		if err := s.rememberDomain(ctx, domainOf(address)); err != nil {
			return back, err
		}
	}
	if len(back) == 0 {
		return nil, nil
	}
	_, err := s.users.UpdateOne(ctx, key("_id", oid(id)), key("$set", key("address", back[0])))
	return back, fail(op, err)
}

// deleteOwned removes what a deleted account owns, in short steps, in WildDuck's
// order. Messages are given to the sweep, which removes them in two weeks.
// Each step may be done again.
func (s *Store) deleteOwned(ctx context.Context, id mail.ID) error {
	const op = "remove what a deleted account owns"
	err := s.users.FindOne(ctx, key("_id", oid(id)), options.FindOne().SetProjection(key("_id", 1))).Err()
	if err == nil {
		// It was restored: it keeps everything.
		return nil
	}
	if !isNone(err) {
		return fail(op, err)
	}
	boxes, err := all[mailboxRecord](ctx, op, s.mailboxes, key("user", oid(id)), options.Find().SetProjection(key("_id", 1)))
	if err != nil {
		return err
	}
	owned := []*mongo.Collection{
		s.mailboxes, s.asps, s.mcpTokens, s.filters, s.autoreplies, s.jobs, s.sessions, s.tokens, s.webhooks, s.addresses,
	}
	for _, c := range owned {
		if _, err := c.DeleteMany(ctx, key("user", oid(id))); err != nil {
			return fail(op, err)
		}
	}
	for i := range boxes {
		s.dropCounters(ctx, mail.ID(boxes[i].ID))
	}
	if err := s.deletePeople(ctx, id); err != nil {
		return err
	}
	if err := s.DropTerms(ctx, id); err != nil {
		return err
	}
	if err := s.expireOwned(ctx, id); err != nil {
		return err
	}
	_, err = s.deletedUsers.DeleteOne(ctx, key("_id", oid(id)))
	return fail(op, err)
}

func (s *Store) deletePeople(ctx context.Context, id mail.ID) error {
	const op = "remove known people"
	for steps := newPace(); ; {
		rows, err := all[mailboxRecord](ctx, op, s.addressRegister, key("user", oid(id)),
			options.Find().SetLimit(int64(steps.begin())).SetProjection(key("_id", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		if _, err := s.addressRegister.DeleteMany(ctx, key("_id", key("$in", recordIDs(rows)))); err != nil {
			return fail(op, err)
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}

func recordIDs(rows []mailboxRecord) bson.A {
	out := make(bson.A, len(rows))
	for i := range rows {
		out[i] = rows[i].ID
	}
	return out
}

// expireOwned marks the messages of a deleted account.
func (s *Store) expireOwned(ctx context.Context, id mail.ID) error {
	const op = "mark messages of a deleted account"
	rdate := s.now().Add(deletedRetention).UnixMilli()
	thread := bson.ObjectID{}
	for steps := newPace(); ; {
		rows, err := all[ownedRecord](ctx, op, s.messages, key("user", oid(id), "thread", key("$gte", thread), "userDeleted", key("$ne", true)),
			options.Find().SetSort(key("thread", 1)).SetHint(indexConversation).SetLimit(int64(steps.begin())).
				SetProjection(key("mailbox", 1, "uid", 1, "thread", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		models := make([]mongo.WriteModel, len(rows))
		for i := range rows {
			thread = rows[i].Thread
			models[i] = mongo.NewUpdateOneModel().
				SetFilter(key("_id", rows[i].ID, "mailbox", rows[i].Mailbox, "uid", number(rows[i].UID))).
				SetUpdate(key("$set", key("exp", true, "rdate", rdate, "userDeleted", true)))
		}
		if _, err := s.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
			return fail(op, err)
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}
