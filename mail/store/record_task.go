package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// archivedRecord is what is read of a document of archived (schema 3.3).
type archivedRecord struct {
	ID       bson.ObjectID `bson:"_id"`
	Mailbox  bson.ObjectID `bson:"mailbox"`
	Thread   bson.RawValue `bson:"thread"`
	Subject  string        `bson:"subject"`
	Size     int64         `bson:"size"`
	IDate    bson.RawValue `bson:"idate"`
	Archived bson.RawValue `bson:"archived"`
	RDate    float64       `bson:"rdate"`
	Meta     struct {
		From string `bson:"from"`
	} `bson:"meta"`
}

func (r *archivedRecord) message() ArchivedMessage {
	return ArchivedMessage{
		ID: mail.ID(r.ID), Mailbox: mail.ID(r.Mailbox), Thread: rawID(r.Thread), Subject: r.Subject, From: r.Meta.From,
		Size: r.Size, InternalDate: rawTime(r.IDate), Archived: rawTime(r.Archived), Expires: time.UnixMilli(int64(r.RDate)).UTC(),
	}
}

// expiredRecord is a message whose time is over.
type expiredRecord struct {
	ID          bson.ObjectID `bson:"_id"`
	User        bson.ObjectID `bson:"user"`
	Mailbox     bson.ObjectID `bson:"mailbox"`
	UID         int64         `bson:"uid"`
	UserDeleted bool          `bson:"userDeleted"`
}

// taskRecord is a document of tasks.
type taskRecord struct {
	ID          bson.ObjectID `bson:"_id"`
	Task        string        `bson:"task"`
	Status      string        `bson:"status"`
	LockedUntil time.Time     `bson:"lockedUntil"`
	Data        bson.Raw      `bson:"data"`
	// raw is the whole document: the oldest tasks have no data of their own.
	raw bson.Raw
}

// field reads one value of a task's data.
func (t *taskRecord) field(name string) bson.RawValue {
	if t.Data != nil {
		return t.Data.Lookup(name)
	}
	return t.raw.Lookup(name)
}
