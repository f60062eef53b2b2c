package store_test

import (
	"context"
	"errors"
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

// flag stars a message, as WildDuck's STORE does: the document first, then the
// mod-sequence, which it raises with $max, then the journal.
func (d *duck) flag(ctx context.Context, user, mailbox mail.ID, uid mail.UID) error {
	where := doc("mailbox", bson.ObjectID(mailbox), "uid", int64(uid))
	_, modseq, err := d.allocate(ctx, mailbox, doc("modifyIndex", 1))
	if err != nil {
		return err
	}
	var after struct {
		ID     bson.ObjectID `bson:"_id"`
		Thread bson.ObjectID `bson:"thread"`
		Flags  []string      `bson:"flags"`
	}
	err = d.messages.FindOneAndUpdate(ctx, where,
		doc("$addToSet", doc("flags", `\Flagged`), "$set", doc("flagged", true), "$max", doc("modseq", modseq)),
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(doc("thread", 1, "flags", 1))).Decode(&after)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = d.journal.InsertOne(ctx, doc("command", "FETCH", "uid", int64(uid), "flags", after.Flags, "message", after.ID, "unseenChange", false, "thread", after.Thread,
		"user", bson.ObjectID(user), "mailbox", bson.ObjectID(mailbox), "modseq", modseq, "created", time.Now()))
	return err
}
