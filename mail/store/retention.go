package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// retentionFields are the fields that WildDuck 1.51.1 keeps of a message's time
// in a mailbox: since when it counts (retentionTime), how long (retention, 0 for
// ever), and what follows, exp and rdate; in milliseconds. Where nothing removes
// the message there is no rdate.
func retentionFields(retention, since int64) bson.D {
	d := bson.D{
		{Key: "exp", Value: retention > 0},
		{Key: "retention", Value: number(retention)},
		{Key: "retentionTime", Value: since},
	}
	if retention > 0 {
		d = append(d, bson.E{Key: "rdate", Value: since + retention})
	}
	return d
}

// applyRetention is the task that follows a change of a mailbox's retention: its
// messages get what is theirs from when they came in. WildDuck counts changes
// (retentionCounter) in the mailbox and in the task, and raises the task's while
// it runs; then all is done again.
func (s *Store) applyRetention(ctx context.Context, t *taskRecord) error {
	const op = "apply retention of a mailbox"
	user, mailbox := rawID(t.field("user")), rawID(t.field("mailbox"))
	for {
		box, err := s.mailboxRecord(ctx, op, key("_id", oid(mailbox), "user", oid(user)))
		if mail.IsCode(err, mail.CodeNoMailbox) {
			return nil
		}
		if err != nil {
			return err
		}
		counter, err := s.retentionCounter(ctx, t)
		if err != nil {
			return err
		}
		if err := s.retainAll(ctx, box); err != nil {
			return err
		}
		now, err := s.retentionCounter(ctx, t)
		if err != nil || now <= counter {
			return err
		}
	}
}

func (s *Store) retentionCounter(ctx context.Context, t *taskRecord) (int64, error) {
	raw, err := s.tasks.FindOne(ctx, key("_id", t.ID), options.FindOne().SetProjection(key("data.retentionCounter", 1))).Raw()
	if err != nil && !isNone(err) {
		return 0, fail("read task", err)
	}
	return rawNumber(raw.Lookup("data", "retentionCounter")), nil
}

// retainedRecord is what applying a retention reads of a message.
type retainedRecord struct {
	ID   bson.ObjectID `bson:"_id"`
	UID  int64         `bson:"uid"`
	Time bson.RawValue `bson:"retentionTime"`
}

// retainAll sets the fields of all messages of a mailbox, in short steps.
func (s *Store) retainAll(ctx context.Context, box *mailboxRecord) error {
	const op = "apply retention of a mailbox"
	last := int64(0)
	for steps := newPace(); ; {
		rows, err := all[retainedRecord](ctx, op, s.messages, key("mailbox", box.ID, "uid", key("$gt", number(last)), "user", box.User),
			options.Find().SetSort(key("uid", 1)).SetHint(indexUID).SetLimit(int64(steps.begin())).SetProjection(key("uid", 1, "retentionTime", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		models := make([]mongo.WriteModel, len(rows))
		for i := range rows {
			last = rows[i].UID
			since := rawNumber(rows[i].Time)
			if since == 0 {
				since = rows[i].ID.Timestamp().UnixMilli()
			}
			models[i] = mongo.NewUpdateOneModel().SetFilter(key("_id", rows[i].ID, "mailbox", box.ID, "uid", number(rows[i].UID))).
				SetUpdate(retentionUpdate(box.Retention, since))
		}
		if _, err := s.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
			return fail(op, err)
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}

func retentionUpdate(retention, since int64) bson.D {
	update := key("$set", retentionFields(retention, since))
	if retention <= 0 {
		update = append(update, bson.E{Key: "$unset", Value: key("rdate", "")})
	}
	return update
}

// stayIn is retentionFields of a message that comes into a mailbox now.
func (m *mailboxRecord) stayIn(now time.Time) bson.D {
	return retentionFields(max(m.Retention, 0), now.UnixMilli())
}
