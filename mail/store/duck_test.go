package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store/storetest"
)

// duck writes to the database in WildDuck's steps: used storage, numbers by
// findAndModify, document, counters, journal. It knows nothing of our fields.
type duck struct {
	users, mailboxes, messages, journal *mongo.Collection
	sig                                 signal.Signal
}

func newDuck(t *testing.T, env *storetest.Env) *duck {
	return &duck{
		users: env.Collection(t, "users"), mailboxes: env.Collection(t, "mailboxes"), messages: env.Collection(t, "messages"),
		journal: env.Collection(t, "journal"), sig: env.Signal,
	}
}

func doc(parts ...any) bson.D {
	var d bson.D
	for i := 0; i+1 < len(parts); i += 2 {
		d = append(d, bson.E{Key: parts[i].(string), Value: parts[i+1]})
	}
	return d
}

// allocate gives the numbers before the update, as WildDuck asks for them.
func (d *duck) allocate(ctx context.Context, mailbox mail.ID, inc bson.D) (uid, modseq int64, err error) {
	var before struct {
		UIDNext     int64 `bson:"uidNext"`
		ModifyIndex int64 `bson:"modifyIndex"`
	}
	err = d.mailboxes.FindOneAndUpdate(ctx, doc("_id", bson.ObjectID(mailbox)), doc("$inc", inc),
		options.FindOneAndUpdate().SetProjection(doc("uidNext", 1, "modifyIndex", 1))).Decode(&before)
	return before.UIDNext, before.ModifyIndex + 1, err
}

func (d *duck) append(ctx context.Context, user, mailbox mail.ID) (mail.UID, mail.ID, error) {
	const size = 700
	now, id := time.Now(), mail.NewID()
	if _, err := d.users.UpdateOne(ctx, doc("_id", bson.ObjectID(user)), doc("$inc", doc("storageUsed", size))); err != nil {
		return 0, id, err
	}
	uid, modseq, err := d.allocate(ctx, mailbox, doc("uidNext", 1, "modifyIndex", 1))
	if err != nil {
		return 0, id, err
	}
	thread := bson.NewObjectID()
	_, err = d.messages.InsertOne(ctx, doc("_id", bson.ObjectID(id), "root", bson.ObjectID(id), "v", "1.0", "exp", false, "rdate", now.UnixMilli(),
		"user", bson.ObjectID(user), "mailbox", bson.ObjectID(mailbox), "uid", uid, "modseq", modseq, "idate", now, "hdate", now,
		"flags", bson.A{}, "unseen", true, "undeleted", true, "flagged", false, "draft", false, "searchable", true,
		"size", size, "meta", doc("source", "MX"), "headers", bson.A{}, "mimeTree", doc("header", bson.A{}, "parsedHeader", bson.D{}, "size", size),
		"envelope", bson.A{}, "bodystructure", bson.A{}, "msgid", "<duck@example.com>", "subject", "duck", "thread", thread, "magic", 7))
	if err != nil {
		return 0, id, err
	}
	if err := d.count(ctx, mailbox, 1, 1); err != nil {
		return 0, id, err
	}
	_, err = d.journal.InsertOne(ctx, doc("command", "EXISTS", "uid", uid, "message", bson.ObjectID(id), "unseen", true, "idate", now, "thread", thread,
		"user", bson.ObjectID(user), "mailbox", bson.ObjectID(mailbox), "modseq", modseq, "created", time.Now()))
	return mail.UID(uid), id, err
}

func (d *duck) count(ctx context.Context, mailbox mail.ID, total, unseen int64) error {
	if err := d.sig.Adjust(ctx, "total:"+mailbox.String(), total, time.Hour); err != nil {
		return err
	}
	return d.sig.Adjust(ctx, "unseen:"+mailbox.String(), unseen, time.Hour)
}

// duckRow is what WildDuck reads of a message that it changes.
type duckRow struct {
	ID     bson.ObjectID `bson:"_id"`
	UID    int64         `bson:"uid"`
	Thread bson.ObjectID `bson:"thread"`
	Flags  []string      `bson:"flags"`
}

var duckFields = doc("uid", 1, "thread", 1, "flags", 1)

// store is STORE +FLAGS (\Flagged) of IMAP: it reads the message, takes a
// mod-sequence, and changes the message if that has a lower one. The journal
// tells of the change in any case.
func (d *duck) store(ctx context.Context, user, mailbox mail.ID, uid mail.UID, between func()) error {
	var row duckRow
	err := d.messages.FindOne(ctx, doc("mailbox", bson.ObjectID(mailbox), "uid", int64(uid)), options.FindOne().SetProjection(duckFields)).Decode(&row)
	if err != nil {
		return gone(err)
	}
	_, modseq, err := d.allocate(ctx, mailbox, doc("modifyIndex", 1))
	if err != nil {
		return err
	}
	between()
	_, err = d.messages.UpdateOne(ctx, doc("_id", row.ID, "mailbox", bson.ObjectID(mailbox), "uid", row.UID, "modseq", doc("$lt", modseq)),
		doc("$addToSet", doc("flags", doc("$each", bson.A{`\Flagged`})), "$set", doc("flagged", true, "modseq", modseq)))
	if err != nil {
		return err
	}
	if !slices.Contains(row.Flags, `\Flagged`) {
		row.Flags = append(row.Flags, `\Flagged`)
	}
	return d.tell(ctx, user, mailbox, &row, modseq, false)
}

// read is a FETCH of the body: \Seen first, its mod-sequence behind it.
func (d *duck) read(ctx context.Context, user, mailbox mail.ID, uid mail.UID, between func()) error {
	var row duckRow
	err := d.messages.FindOneAndUpdate(ctx, doc("mailbox", bson.ObjectID(mailbox), "uid", int64(uid)),
		doc("$addToSet", doc("flags", `\Seen`), "$set", doc("unseen", false)),
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(duckFields)).Decode(&row)
	if err != nil {
		return gone(err)
	}
	between()
	return d.raise(ctx, user, mailbox, &row, true)
}

// update is the REST API's: one mod-sequence, which the message is given even
// where it has a higher one, and another one behind it.
func (d *duck) update(ctx context.Context, user, mailbox mail.ID, uid mail.UID, between func()) error {
	_, modseq, err := d.allocate(ctx, mailbox, doc("modifyIndex", 1))
	if err != nil {
		return err
	}
	between()
	var row duckRow
	err = d.messages.FindOneAndUpdate(ctx, doc("mailbox", bson.ObjectID(mailbox), "uid", int64(uid)),
		doc("$addToSet", doc("flags", doc("$each", bson.A{`\Flagged`})), "$set", doc("flagged", true, "modseq", modseq)),
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(duckFields)).Decode(&row)
	if err != nil {
		return gone(err)
	}
	return d.raise(ctx, user, mailbox, &row, false)
}

// raise is what WildDuck does for entries that have no mod-sequence yet.
func (d *duck) raise(ctx context.Context, user, mailbox mail.ID, row *duckRow, unseenChange bool) error {
	_, modseq, err := d.allocate(ctx, mailbox, doc("modifyIndex", 1))
	if err != nil {
		return err
	}
	if _, err := d.messages.UpdateMany(ctx, doc("_id", doc("$in", bson.A{row.ID}), "mailbox", bson.ObjectID(mailbox)), doc("$max", doc("modseq", modseq))); err != nil {
		return err
	}
	return d.tell(ctx, user, mailbox, row, modseq, unseenChange)
}

// tell writes the journal and drops the counter of unseen messages.
func (d *duck) tell(ctx context.Context, user, mailbox mail.ID, row *duckRow, modseq int64, unseenChange bool) error {
	_, err := d.journal.InsertOne(ctx, doc("command", "FETCH", "uid", row.UID, "flags", row.Flags, "message", row.ID, "unseenChange", unseenChange,
		"thread", row.Thread, "user", bson.ObjectID(user), "mailbox", bson.ObjectID(mailbox), "modseq", modseq, "created", time.Now()))
	if err == nil && unseenChange {
		err = d.sig.Delete(ctx, "unseen:"+mailbox.String())
	}
	return err
}

// gone makes a message that is no longer there no error.
func gone(err error) error {
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	return err
}
