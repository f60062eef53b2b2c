package store_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// retained is what a message's document says of its time.
type retained struct {
	Exp       bool   `bson:"exp"`
	Retention int64  `bson:"retention"`
	Time      int64  `bson:"retentionTime"`
	RDate     *int64 `bson:"rdate"`
}

func retainedOf(t *testing.T, env *storetest.Env, id mail.ID) (r retained) {
	t.Helper()
	if err := env.Collection(t, "messages").FindOne(context.Background(), bson.M{"_id": bson.ObjectID(id)}).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A message's time in a mailbox counts from when it came in, in WildDuck's
// fields, and WildDuck's task that follows a change of a mailbox's retention is
// done by Eider too: from then on, not from when the message was made.
func TestRetentionCountsFromArrival(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, clock := withClock(env)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash)
	month := (30 * 24 * time.Hour).Milliseconds()
	start := clock.now()
	moved, copied := appendTo(t, s, u.ID, in, textMessage(1)), appendTo(t, s, u.ID, in, textMessage(2))
	if r := retainedOf(t, env, moved.ID); r.Exp || r.Retention != 0 || r.RDate != nil || r.Time < start.UnixMilli() {
		t.Errorf("in INBOX: %+v", r)
	}
	clock.add(100 * 24 * time.Hour)
	at := clock.now().UnixMilli()
	sel := func(uid mail.UID) store.Selection {
		return store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{uid}}
	}
	must(s.Move(ctx, sel(moved.UID), trash.ID, store.MoveOptions{}))(t)
	made := must(s.Copy(ctx, sel(copied.UID), trash.ID))(t)
	for _, id := range []mail.ID{moved.ID, made[0].ID} {
		if r := retainedOf(t, env, id); !r.Exp || r.Retention != month || r.Time < at || r.RDate == nil || *r.RDate != r.Time+month {
			t.Errorf("in Trash: %+v", r)
		}
	}
	// The administrator gives Trash ten days more, with WildDuck's API.
	longer := month + (10 * 24 * time.Hour).Milliseconds()
	mustUpdate(t, env.Collection(t, "mailboxes"), bson.M{"_id": bson.ObjectID(trash.ID)}, bson.M{"$set": bson.M{"retention": longer}, "$inc": bson.M{"retentionCounter": 1}})
	task := bson.NewObjectID()
	must(env.Collection(t, "tasks").InsertOne(ctx, bson.M{
		"_id": task, "task": "mailbox-retention", "locked": false, "lockedUntil": time.Now(), "status": "waiting",
		"created": time.Now(), "data": bson.M{"user": bson.ObjectID(u.ID), "mailbox": bson.ObjectID(trash.ID), "retentionCounter": 1},
	}))(t)
	works(t, s)
	eventually(t, "the end of the task", func() bool { return !must(s.TaskWaits(ctx, mail.ID(task)))(t) })
	for _, id := range []mail.ID{moved.ID, made[0].ID} {
		if r := retainedOf(t, env, id); !r.Exp || r.Retention != longer || *r.RDate != r.Time+longer {
			t.Errorf("after the change: %+v", r)
		}
	}
	// The sweep takes them when that time is over, and not before.
	clock.add(35 * 24 * time.Hour)
	if swept := must(s.Sweep(ctx))(t); swept.Expired != 0 {
		t.Errorf("swept %+v", swept)
	}
	clock.add(6 * 24 * time.Hour)
	if swept := must(s.Sweep(ctx))(t); swept.Expired != 2 {
		t.Errorf("swept %+v", swept)
	}
	// Back from the archive it stays for ever again.
	back := must(s.Restore(ctx, u.ID, moved.ID, in))(t)
	if r := retainedOf(t, env, back.ID); r.Exp || r.Retention != 0 || r.RDate != nil || r.Time != clock.now().UnixMilli() {
		t.Errorf("restored: %+v", r)
	}
	wantClean(t, s, u.ID)
}

// The sets of accounts that have a feature are WildDuck's, and so are the
// tokens of its MCP server: they follow an account's changes and its end.
func TestFeaturesAndTokensFollowTheAccount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := storetest.StartRedis(t)
	sig := must(signal.NewRedis(ctx, server.URI(), slog.New(slog.DiscardHandler)))(t)
	t.Cleanup(func() { _ = sig.Close() })
	client := redis.NewClient(must(redis.ParseURL(server.URI()))(t))
	t.Cleanup(func() { _ = client.Close() })
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Signal, o.Notify = sig, nil })
	u := must(s.CreateUser(ctx, store.NewUser{Username: "ann" + mail.NewID().String(), FeatureFlags: map[string]bool{"indexing": true}}))(t)
	want := func(when string, in bool) {
		t.Helper()
		if got := client.SIsMember(ctx, "feature:indexing", u.ID.String()).Val(); got != in {
			t.Errorf("%s: member %v", when, got)
		}
	}
	set := func(on bool) {
		must(s.EditUser(ctx, u.ID, func(a *store.Account) error { a.FeatureFlags = map[string]bool{"indexing": on}; return nil }))(t)
	}
	want("made", true)
	set(false)
	want("switched off", false)
	set(true)
	want("switched on", true)
	if n := must(env.Collection(t, "tasks").CountDocuments(ctx, bson.M{"task": "user-indexing", "data.user": bson.ObjectID(u.ID)}))(t); n != 2 {
		t.Errorf("%d tasks for WildDuck", n)
	}
	tokens := env.Collection(t, "mcptokens")
	must(tokens.InsertOne(ctx, bson.M{"user": bson.ObjectID(u.ID), "hash": u.ID.String(), "created": time.Now()}))(t)
	must(s.DeleteUser(ctx, u.ID, time.Now().Add(time.Hour)))(t)
	want("deleted", false)
	must(s.RestoreUser(ctx, u.ID))(t)
	want("restored", true)
	if n := must(tokens.CountDocuments(ctx, bson.M{"user": bson.ObjectID(u.ID)}))(t); n != 1 {
		t.Errorf("%d tokens of a restored account", n)
	}
	d := must(s.DeleteUser(ctx, u.ID, time.Time{}))(t)
	works(t, s)
	eventually(t, "the end of an account", func() bool { return !must(s.TaskWaits(ctx, d.Task))(t) })
	if n := must(tokens.CountDocuments(ctx, bson.M{"user": bson.ObjectID(u.ID)}))(t); n != 0 {
		t.Errorf("%d tokens of a deleted account", n)
	}
	want("gone", false)
}
