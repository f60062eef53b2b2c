package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

const (
	// patterns is how many of a mailbox's messages are copied in turn.
	patterns = 1000
	// insertStep is how many are inserted at once, multiplyAge how long ago the
	// copies came: longer than a journal lasts, of which they have none.
	insertStep  = 250
	multiplyAge = 7 * 24 * time.Hour
)

var errNoPatterns = errors.New("the mailbox has no messages to multiply")

// Multiply fills a mailbox with n more messages like those that are in it: the
// same documents under ids, UIDs, mod-sequences, dates and conversations of
// their own. It is much faster than n deliveries, for what is measured at a
// size. The copies are not in the term index, though they say so. The database must
// not be in use; o says where it is.
func Multiply(ctx context.Context, o store.Options, user, mailbox mail.ID, n int) (err error) {
	client, err := mongo.Connect(options.Client().ApplyURI(o.URI).SetDialer(o.Dialer))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	name := o.Database
	if name == "" {
		name = "wildduck"
	}
	m := &multiplier{db: client.Database(name), user: bson.ObjectID(user), mailbox: bson.ObjectID(mailbox)}
	if err := m.begin(ctx); err != nil {
		return err
	}
	for done := 0; done < n; done += insertStep {
		if err := m.step(ctx, min(insertStep, n-done)); err != nil {
			return err
		}
	}
	_, err = m.db.Collection("mailboxes").UpdateByID(ctx, m.mailbox, bson.D{{Key: "$set", Value: bson.D{{Key: "uidNext", Value: m.uid}, {Key: "modifyIndex", Value: m.modseq}}}})
	if err == nil {
		_, err = m.db.Collection("users").UpdateByID(ctx, m.user, bson.D{{Key: "$inc", Value: bson.D{{Key: "storageUsed", Value: m.bytes}}}})
	}
	return err
}

type multiplier struct {
	db            *mongo.Database
	user, mailbox bson.ObjectID
	patterns      []bson.Raw
	// threads are those of this round through the patterns, by the pattern's.
	threads             map[bson.ObjectID]bson.ObjectID
	next                int
	uid, modseq, number int64
	bytes               int64
	at                  time.Time
}

func (m *multiplier) begin(ctx context.Context) error {
	var box struct {
		UIDNext     int64 `bson:"uidNext"`
		ModifyIndex int64 `bson:"modifyIndex"`
	}
	if err := m.db.Collection("mailboxes").FindOne(ctx, bson.D{{Key: "_id", Value: m.mailbox}}).Decode(&box); err != nil {
		return err
	}
	m.uid, m.modseq, m.at = box.UIDNext, box.ModifyIndex, time.Now().Add(-multiplyAge)
	m.number = m.uid
	cur, err := m.db.Collection("messages").Find(ctx, bson.D{{Key: "mailbox", Value: m.mailbox}}, options.Find().SetLimit(patterns))
	if err != nil {
		return err
	}
	if err := cur.All(ctx, &m.patterns); err != nil {
		return err
	}
	if len(m.patterns) == 0 {
		return errNoPatterns
	}
	return nil
}

func (m *multiplier) step(ctx context.Context, n int) error {
	messages, threads := make([]any, 0, n), make([]any, 0, n)
	for range n {
		if m.next%len(m.patterns) == 0 {
			m.threads = map[bson.ObjectID]bson.ObjectID{}
		}
		pattern := m.patterns[m.next%len(m.patterns)]
		m.next++
		m.number++
		m.at = m.at.Add(10 * time.Millisecond)
		id, _ := pattern.Lookup("thread").ObjectIDOK()
		thread, known := m.threads[id]
		if !known {
			thread = bson.ObjectID(mail.NewIDAt(m.at))
			m.threads[id] = thread
			subject, _ := pattern.Lookup("subject").StringValueOK()
			threads = append(threads, bson.D{
				{Key: "_id", Value: thread},
				{Key: "user", Value: m.user},
				{Key: "subject", Value: subject},
				{Key: "ids", Value: bson.A{thread.Hex()}},
				{Key: "updated", Value: m.at},
			})
		}
		doc, err := m.copy(pattern, thread)
		if err != nil {
			return err
		}
		messages = append(messages, doc)
	}
	if len(threads) > 0 {
		if _, err := m.db.Collection("threads").InsertMany(ctx, threads); err != nil {
			return err
		}
	}
	_, err := m.db.Collection("messages").InsertMany(ctx, messages)
	return err
}

// copy is a pattern with what a message has of its own.
func (m *multiplier) copy(pattern bson.Raw, thread bson.ObjectID) (bson.D, error) {
	elements, err := pattern.Elements()
	if err != nil {
		return nil, err
	}
	uid := m.uid
	m.uid, m.modseq = m.uid+1, m.modseq+1
	size, _ := pattern.Lookup("size").AsInt64OK()
	m.bytes += size
	id := bson.ObjectID(mail.NewIDAt(m.at))
	own := map[string]any{
		"_id": id, "root": id, "thread": thread, "idate": m.at, "uid": uid, "modseq": m.modseq,
		"msgid": fmt.Sprintf("<%d@copy.example>", m.number), "eiderF": m.state(pattern.Lookup("eiderF")),
	}
	doc := make(bson.D, 0, len(elements))
	for _, e := range elements {
		if v, ok := own[e.Key()]; ok {
			doc = append(doc, bson.E{Key: e.Key(), Value: v})
			continue
		}
		doc = append(doc, bson.E{Key: e.Key(), Value: e.Value()})
	}
	return doc, nil
}

// state is the scalar of flags with its check renewed (mail/store/record_own.go).
func (m *multiplier) state(v bson.RawValue) any {
	_, have, ok := v.BinaryOK()
	if !ok || len(have) < 9 {
		return v
	}
	h := fnv.New64a()
	_, _ = h.Write(m.mailbox[:])
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(m.modseq))) //nolint:gosec // not negative
	out := append([]byte{}, have...)
	binary.BigEndian.PutUint64(out[1:], h.Sum64())
	return bson.Binary{Data: out}
}
