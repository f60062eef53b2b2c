package store_test

import (
	"context"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Each change of WildDuck's with one of Eider's between its steps: what a
// snapshot says, one that lived through it and a fresh one, is what the message
// has.
func TestWildDuckAndEiderInterleave(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	wild := newDuck(t, env)
	for name, change := range map[string]func(context.Context, mail.ID, mail.ID, mail.UID, func()) error{
		"store": wild.store, "read": wild.read, "update": wild.update,
	} {
		u := newUser(t, s, name)
		box := inbox(t, s, u.ID).ID
		appendTo(t, s, u.ID, box, textMessage(1))
		must(s.Snapshot(ctx, u.ID, box))(t)
		err := change(ctx, u.ID, box, 1, func() {
			must(s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{1}}, store.FlagChange{Add: []mail.Flag{"$ours"}}))(t)
		})
		if err != nil {
			t.Fatal(name, err)
		}
		row := must(s.Row(ctx, u.ID, box, 1))(t)
		for _, s := range []*store.Store{s, env.Open(nil)} {
			got := must(s.Snapshot(ctx, u.ID, box))(t).Row(0)
			if !sameSet(got.Flags, row.Flags) || got.ModSeq != row.ModSeq || !mail.HasFlag(got.Flags, "$ours") {
				t.Errorf("%s: the snapshot says %+v of %v at %d", name, got, row.Flags, row.ModSeq)
			}
		}
		wantClean(t, s, u.ID)
	}
}

func sameSet(a, b []mail.Flag) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// WildDuck's FETCH writes \Seen before it takes a mod-sequence. A change of
// Eider's that had read the message before must not undo it.
func TestFlagsWithoutModSeqSurvive(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	wild := newDuck(t, env)
	var between func()
	s := env.Open(func(o *store.Options) {
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if between != nil && e.CommandName == "update" && e.Command.Lookup("update").StringValue() == "messages" {
				run := between
				between = nil
				run()
			}
		})
	})
	u := newUser(t, s, "ann")
	box, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	for n, change := range []func(uid mail.UID) error{
		func(uid mail.UID) error {
			_, err := s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{uid}}, store.FlagChange{Add: []mail.Flag{"$ours"}})
			return err
		},
		func(uid mail.UID) error {
			_, err := s.Move(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{uid}}, trash, store.MoveOptions{})
			return err
		},
	} {
		got := appendTo(t, s, u.ID, box, textMessage(n))
		between = func() {
			mustUpdate(t, wild.messages, bson.M{"_id": bson.ObjectID(got.ID)}, bson.M{"$addToSet": bson.M{"flags": `\Seen`}, "$set": bson.M{"unseen": false}})
		}
		if err := change(got.UID); err != nil || between != nil {
			t.Fatal(n, err)
		}
		row := duckRow{ID: bson.ObjectID(got.ID), UID: int64(got.UID), Thread: bson.ObjectID(got.Thread), Flags: []string{`\Seen`}}
		if err := wild.raise(ctx, u.ID, box, &row, true); err != nil {
			t.Fatal(err)
		}
		m := must(s.MessageByID(ctx, u.ID, got.ID))(t)
		if !m.Has(mail.FlagSeen) {
			t.Errorf("change %d took \\Seen away: %v", n, m.Flags)
		}
	}
	wantClean(t, s, u.ID)
}

// A STORE of WildDuck's over many messages has one mod-sequence and writes its
// journal as it goes. A snapshot that saw the first of it sees the last.
func TestSnapshotSeesLongStoreToItsEnd(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, clock := withClock(env)
	wild := newDuck(t, env)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	var rows []duckRow
	for i := range 4 {
		got := appendTo(t, s, u.ID, box, textMessage(i))
		rows = append(rows, duckRow{ID: bson.ObjectID(got.ID), UID: int64(got.UID), Thread: bson.ObjectID(got.Thread), Flags: []string{`\Flagged`}})
	}
	must(s.Snapshot(ctx, u.ID, box))(t)
	_, modseq, err := wild.allocate(ctx, box, doc("modifyIndex", 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		mustUpdate(t, wild.messages, bson.M{"_id": rows[i].ID}, bson.M{"$set": bson.M{"flags": rows[i].Flags, "flagged": true, "modseq": modseq}})
		if err := wild.tell(ctx, u.ID, box, &rows[i], modseq, false); err != nil {
			t.Fatal(err)
		}
		clock.add(10e9)
		snap := must(s.Snapshot(ctx, u.ID, box))(t)
		for at := range snap.Len() {
			if has := mail.HasFlag(snap.Row(at).Flags, mail.FlagFlagged); has != (at <= i) {
				t.Errorf("after %d messages, message %d is flagged: %v", i+1, at+1, has)
			}
		}
		if i == 0 {
			// Others go on meanwhile.
			appendTo(t, s, u.ID, box, textMessage(9))
		}
	}
}

// WildDuck is between its numbers and its message, and Eider at rest: the
// HIGHESTMODSEQ of a fresh snapshot leaves room for the message.
func TestHighestModSeqWaitsForWildDuck(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, clock := withClock(env)
	wild := newDuck(t, env)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	appendTo(t, s, u.ID, box, textMessage(1))
	fresh := func() mail.ModSeq {
		t.Helper()
		return must(env.Open(func(o *store.Options) { o.Now = clock.now }).Snapshot(ctx, u.ID, box))(t).ModSeq()
	}
	clock.add(60e9)
	if got := fresh(); got != 1 {
		t.Fatalf("at rest: %d", got)
	}
	// The journal has forgotten all, as after a quiet day.
	must(wild.journal.DeleteMany(ctx, bson.M{}))(t)
	if got := fresh(); got != 1 {
		t.Errorf("at rest, without a journal: %d", got)
	}
	if _, _, err := wild.allocate(ctx, box, doc("modifyIndex", 1)); err != nil {
		t.Fatal(err)
	}
	clock.add(60e9)
	if got := fresh(); got > 1 {
		t.Errorf("WildDuck is not done, and HIGHESTMODSEQ is %d", got)
	}
	// Somebody who watches gives it up, and keeps that for all.
	snap := must(s.Snapshot(ctx, u.ID, box))(t)
	clock.add(10e9)
	if got := must(s.Snapshot(ctx, u.ID, box))(t).ModSeq(); got != 2 || snap.ModSeq() > 1 {
		t.Errorf("first %d, then %d", snap.ModSeq(), got)
	}
	if got := fresh(); got != 2 {
		t.Errorf("known to be done: %d", got)
	}
}
