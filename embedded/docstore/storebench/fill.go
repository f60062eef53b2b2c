package storebench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

const (
	accounts   = 10
	perMailbox = 1000
	bigMailbox = 10_000 // of the one mailbox that stands beside the others
)

// Identifiers are made from numbers, so that both ways of asking know them.
func objectID(kind byte, n int) bson.ObjectID {
	var id bson.ObjectID
	id[0] = kind
	binary.BigEndian.PutUint64(id[4:], uint64(n)) //nolint:gosec // counted up from zero
	return id
}

func messageID(n int) bson.ObjectID  { return objectID('m', n) }
func mailboxID(n int) bson.ObjectID  { return objectID('b', n) }
func accountID(n int) bson.ObjectID  { return objectID('a', n) }
func threadID(n int) bson.ObjectID   { return objectID('t', n) }
func uidOf(n int) int                { return n%perMailbox + 1 }
func (s *store) mailboxOf(n int) int { return n / perMailbox }
func (s *store) mailboxes() int      { return s.n / perMailbox }
func (s *store) total() int          { return s.n + bigMailbox }

// place gives mailbox and UID of a message. Those behind n are in the big one.
func (s *store) place(n int) (mailbox, uid int) {
	if n >= s.n {
		return s.mailboxes(), n - s.n + 1
	}
	return s.mailboxOf(n), uidOf(n)
}

func threadOf(n int) int { return n / 4 }

const arrived = 1_700_000_000_000

var filler = func() []byte {
	b := make([]byte, 2<<10)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}()

// message is a document of the size and the shape of a message's row: 3.4 kB.
func message(n, mailbox, uid int) bson.D {
	text := func(n int) bson.Binary { return bson.Binary{Data: filler[:n]} }
	return bson.D{
		{Key: "_id", Value: messageID(n)},
		{Key: "mailbox", Value: mailboxID(mailbox)},
		{Key: "user", Value: accountID(mailbox % accounts)},
		{Key: "uid", Value: uid},
		{Key: "modseq", Value: int64(uid) + 7},
		{Key: "idate", Value: bson.DateTime(arrived + int64(uid)*60_000)},
		{Key: "hdate", Value: bson.DateTime(arrived + int64(uid)*60_000 - 5000)},
		{Key: "thread", Value: threadID(threadOf(n))},
		{Key: "unseen", Value: uid%10 == 0},
		{Key: "flagged", Value: uid%50 == 0},
		{Key: "undeleted", Value: true},
		{Key: "draft", Value: false},
		{Key: "answered", Value: uid%7 == 0},
		{Key: "flags", Value: bson.A{"\\Seen"}},
		{Key: "size", Value: int64(5000 + uid)},
		{Key: "subject", Value: "A subject of the length that subjects have"},
		{Key: "msgid", Value: fmt.Sprintf("<%d@example.com>", n)},
		{Key: "intro", Value: "The first words of the message, as the list shows them to the reader."},
		{Key: "from", Value: bson.D{{Key: "name", Value: "A Sender"}, {Key: "address", Value: "sender@example.com"}}},
		{Key: "headers", Value: text(1024)},
		{Key: "mimeTree", Value: text(1600)},
	}
}

// indexKeys are the indexes of the messages beside that of _id: by UID with all
// that a list of flags shows, by date, the unseen, by modification, by thread.
var indexKeys = []bson.D{
	{{Key: "mailbox", Value: 1}, {Key: "uid", Value: 1}, {Key: "modseq", Value: 1}, {Key: "unseen", Value: 1}, {Key: "flagged", Value: 1}, {Key: "undeleted", Value: 1}, {Key: "draft", Value: 1}, {Key: "answered", Value: 1}},
	{{Key: "mailbox", Value: 1}, {Key: "idate", Value: -1}, {Key: "_id", Value: -1}},
	{{Key: "mailbox", Value: 1}, {Key: "unseen", Value: 1}},
	{{Key: "mailbox", Value: 1}, {Key: "modseq", Value: 1}, {Key: "uid", Value: 1}},
	{{Key: "user", Value: 1}, {Key: "thread", Value: 1}},
}

// fill inserts the messages in an order that mixes the mailboxes, as mail arrives.
func (s *store) fill(ctx context.Context) error {
	for _, keys := range indexKeys {
		if _, err := s.c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys}); err != nil {
			return fmt.Errorf("making an index: %w", err)
		}
	}
	fast := s.c.Database().Collection(s.c.Name(), options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1}))
	order := rand.New(rand.NewPCG(1, 2)).Perm(s.total()) //nolint:gosec // the same order every time
	docs := make([]any, 0, 500)
	for i, n := range order {
		mailbox, uid := s.place(n)
		docs = append(docs, message(n, mailbox, uid))
		if len(docs) < cap(docs) && i < len(order)-1 {
			continue
		}
		if _, err := fast.InsertMany(ctx, docs); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
		docs = docs[:0]
	}
	counter := bson.D{{Key: "_id", Value: mailboxID(0)}, {Key: "uidNext", Value: int64(1)}, {Key: "modifyIndex", Value: int64(1)}}
	if _, err := s.c.Database().Collection("mailboxes").InsertOne(ctx, counter); err != nil {
		return fmt.Errorf("inserting: %w", err)
	}
	return nil
}
