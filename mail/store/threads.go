package store

import (
	"context"
	"hash/fnv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// threadOf finds the conversation of a message by its references and its
// normalised subject, or founds a new one (schema 6.1).
func (s *Store) threadOf(ctx context.Context, user mail.ID, m *message.Message) (mail.ID, error) {
	const op = "find thread"
	if len(m.ThreadRefs) == 0 {
		return s.newThread(ctx, user, m)
	}
	// Two messages of one new conversation that arrive together must not found
	// it twice.
	h := fnv.New32a()
	_, _ = h.Write(user[:])
	_, _ = h.Write([]byte(m.ThreadSubject))
	lock := &s.threadLocks[h.Sum32()%uint32(len(s.threadLocks))]
	lock.Lock()
	defer lock.Unlock()

	refs := textArray(m.ThreadRefs)
	var found struct {
		ID bson.ObjectID `bson:"_id"`
	}
	// Most messages found a conversation, and a look costs less than an update
	// that finds nothing.
	filter := key("user", oid(user), "ids", key("$in", refs), "subject", text(m.ThreadSubject))
	err := s.threads.FindOne(ctx, filter, options.FindOne().SetProjection(key("_id", 1))).Decode(&found)
	if isNone(err) {
		return s.newThread(ctx, user, m)
	}
	if err != nil {
		return mail.ID{}, fail(op, err)
	}
	_, err = s.threads.UpdateOne(ctx, key("_id", found.ID), bson.D{
		{Key: "$addToSet", Value: key("ids", key("$each", refs))},
		{Key: "$set", Value: key("updated", s.now())},
	})
	return mail.ID(found.ID), fail(op, err)
}

func (s *Store) newThread(ctx context.Context, user mail.ID, m *message.Message) (mail.ID, error) {
	id := mail.NewIDAt(s.now())
	_, err := s.threads.InsertOne(ctx, bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "user", Value: oid(user)},
		{Key: "subject", Value: text(m.ThreadSubject)},
		{Key: "ids", Value: textArray(m.ThreadRefs)},
		{Key: "updated", Value: s.now()},
	})
	return id, fail("found thread", err)
}
