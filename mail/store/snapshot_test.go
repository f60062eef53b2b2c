package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// After any operations of two processes, a snapshot that followed them equals
// one that is loaded by a process that just started.
func TestSnapshotFollows(t *testing.T) {
	ctx := context.Background()
	rounds(t, "12")
	rapid.Check(t, func(rt *rapid.T) {
		env := storetest.New(t)
		a, b := env.Open(nil), env.Open(nil)
		u := newUser(t, a, "ann")
		boxes := []mail.ID{inbox(t, a, u.ID).ID, byUse(t, a, u.ID, mail.UseTrash).ID}
		for step := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			var both sync.WaitGroup
			for _, s := range []*store.Store{a, b} {
				act := drawAct(rt, step)
				both.Go(func() { act(ctx, s, u.ID, boxes) })
				if rapid.Bool().Draw(rt, "read") {
					both.Go(func() { _, _ = s.Snapshot(ctx, u.ID, boxes[0]) })
				}
			}
			both.Wait()
		}
		fresh := env.Open(nil)
		for _, box := range boxes {
			want := must(fresh.Snapshot(ctx, u.ID, box))(t)
			rows := must(fresh.Mailbox(ctx, u.ID, box))(t)
			if total, unseen := want.Counts(); total != rows.Total || unseen != rows.Unseen {
				rt.Fatalf("a fresh load has %d messages, %d unseen; the mailbox %d, %d", total, unseen, rows.Total, rows.Unseen)
			}
			for i, s := range []*store.Store{a, b} {
				if have := must(s.Snapshot(ctx, u.ID, box))(t); !have.Equal(want) {
					rt.Fatalf("process %d: %s\nwant %s", i, outlineOf(have), outlineOf(want))
				}
			}
		}
	})
}

type act func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID)

func drawAct(rt *rapid.T, step int) act {
	from, to := rapid.IntRange(0, 1).Draw(rt, "from"), rapid.IntRange(0, 1).Draw(rt, "to")
	uids := rapid.SliceOfN(rapid.Uint32Range(1, 30), 1, 5).Draw(rt, "uids")
	flag := rapid.SampledFrom([]mail.Flag{mail.FlagSeen, mail.FlagFlagged, "$x", "$y"}).Draw(rt, "flag")
	sel := func(user mail.ID, boxes []mail.ID) store.Selection {
		out := store.Selection{User: user, Mailbox: boxes[from]}
		for _, u := range uids {
			out.UIDs = append(out.UIDs, mail.UID(u))
		}
		return out
	}
	// Errors are others' doing: what they moved or removed is gone.
	return rapid.SampledFrom([]act{
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.Append(ctx, store.Append{User: user, Mailbox: boxes[to], Message: textMessage(step)})
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.Append(ctx, store.Append{User: user, Mailbox: boxes[from], Message: textMessage(step), Flags: []mail.Flag{flag}})
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.StoreFlags(ctx, sel(user, boxes), store.FlagChange{Add: []mail.Flag{flag}})
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.StoreFlags(ctx, sel(user, boxes), store.FlagChange{Remove: []mail.Flag{flag}})
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.Move(ctx, sel(user, boxes), boxes[to], store.MoveOptions{})
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.Copy(ctx, sel(user, boxes), boxes[to])
		},
		func(ctx context.Context, s *store.Store, user mail.ID, boxes []mail.ID) {
			_, _ = s.Expunge(ctx, sel(user, boxes), store.ExpungeOptions{})
		},
	}).Draw(rt, "act")
}

func outlineOf(s *store.Snapshot) string {
	var b strings.Builder
	for _, r := range s.Rows(0, s.Len()) {
		fmt.Fprintf(&b, "%d@%d%v ", r.UID, r.ModSeq, r.Flags)
	}
	return b.String()
}

// Callers that come together share one load, which reads only the index; what
// follows reads only the mailbox.
func TestSnapshotLoadsOnce(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	var loads atomic.Int64
	var mu sync.Mutex
	var load bson.Raw
	sent := map[int64]bool{}
	s := env.Open(func(o *store.Options) {
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if e.CommandName == "find" && e.Command.Lookup("hint", "thread").Type != 0 {
				mu.Lock()
				defer mu.Unlock()
				sent[e.RequestID] = true
				load = append(bson.Raw{}, e.Command...)
			}
		})
		// Only what was answered counts: on a machine that is so busy that the
		// driver takes the server for dead, it asks again.
		o.Monitor.Succeeded = func(_ context.Context, e *event.CommandSucceededEvent) {
			mu.Lock()
			defer mu.Unlock()
			if sent[e.RequestID] {
				loads.Add(1)
			}
		}
	})
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	for i := range 20 {
		appendTo(t, s, u.ID, box, textMessage(i), "$kw")
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if snap, err := s.Snapshot(ctx, u.ID, box); err != nil || snap.Len() != 20 {
				t.Errorf("snapshot of %v (%v)", snap, err)
			}
		})
	}
	wg.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
	plan := must(env.Explain(ctx, "wildduck", strip(load)))(t)
	if text := plan.String(); !strings.Contains(text, "PROJECTION_COVERED") || strings.Contains(text, "FETCH") {
		t.Errorf("the load reads messages: %s", text)
	}
	first := must(s.Snapshot(ctx, u.ID, box))(t)
	if must(s.Snapshot(ctx, u.ID, box))(t) != first {
		t.Error("another snapshot although nothing changed")
	}
	wantCode(t, fails(s.Snapshot(ctx, mail.NewID(), box)), mail.CodeNoMailbox)
}

func fails[T any](_ T, err error) error { return err }

// WildDuck changes flags and leaves Eider's field alone: the snapshot reads the
// flags, and the field is right afterwards.
func TestSnapshotDistrustsStaleFields(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	for i := range 5 {
		appendTo(t, s, u.ID, box, textMessage(i))
	}
	messages := env.Collection(t, "messages")
	oidOf := func(id mail.ID) bson.ObjectID { return bson.ObjectID(id) }
	mustUpdate(t, messages, bson.M{"uid": 2}, bson.M{"$set": bson.M{"flags": bson.A{`\Seen`, "$wd"}, "unseen": false, "modseq": 9}})
	mustUpdate(t, messages, bson.M{"uid": 3}, bson.M{"$unset": bson.M{"eiderF": 1}})
	mustUpdate(t, env.Collection(t, "mailboxes"), bson.M{"_id": oidOf(box)}, bson.M{"$set": bson.M{"modifyIndex": 9}})
	for range 2 {
		snap := must(env.Open(nil).Snapshot(ctx, u.ID, box))(t)
		if r := snap.Row(1); r.ModSeq != 9 || len(r.Flags) != 2 || !mail.HasFlag(r.Flags, "$wd") {
			t.Errorf("row %+v", r)
		}
		if snap.Len() != 5 {
			t.Errorf("%d rows", snap.Len())
		}
	}
	if n := must(messages.CountDocuments(ctx, bson.M{"eiderF": bson.M{"$exists": false}}))(t); n != 0 {
		t.Errorf("%d fields were not written", n)
	}
}

// A writer that dies before it writes its journal entry leaves changes that the
// snapshot finds once the writer cannot live any more.
func TestSnapshotFindsWhatTheJournalLacks(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	var ahead atomic.Int64
	s := env.Open(func(o *store.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	for i := range 6 {
		appendTo(t, s, u.ID, box, textMessage(i))
	}
	before := must(s.Snapshot(ctx, u.ID, box))(t)
	journal := env.Collection(t, "journal")
	appendTo(t, s, u.ID, box, textMessage(7))
	must(s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{2}}, store.FlagChange{Add: []mail.Flag{"$late"}}))(t)
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3}}, store.ExpungeOptions{}))(t)
	must(journal.DeleteMany(ctx, bson.M{"modseq": bson.M{"$gt": before.ModSeq()}}))(t)
	ahead.Store(int64(time.Second))
	if snap := must(s.Snapshot(ctx, u.ID, box))(t); snap.ModSeq() != before.ModSeq() {
		t.Errorf("claims mod-sequence %d without having seen the changes after %d", snap.ModSeq(), before.ModSeq())
	}
	ahead.Store(int64(5 * time.Second))
	snap := must(s.Snapshot(ctx, u.ID, box))(t)
	if want := must(env.Open(nil).Snapshot(ctx, u.ID, box))(t); !snap.Equal(want) || snap.ModSeq() != before.ModSeq()+3 {
		t.Errorf("at %d: %s\nwant %s", snap.ModSeq(), outlineOf(snap), outlineOf(want))
	}
	// The cursor is older than the journal: what it forgot is loaded anew.
	must(s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{1}}, store.FlagChange{Add: []mail.Flag{"$old"}}))(t)
	must(journal.DeleteMany(ctx, bson.M{}))(t)
	ahead.Store(int64(4 * time.Hour))
	if !mail.HasFlag(must(s.Snapshot(ctx, u.ID, box))(t).Row(0).Flags, "$old") {
		t.Error("a change that the journal forgot is missing")
	}
}

// The cache keeps to its limit and gives right answers beyond it.
func TestSnapshotCacheIsBounded(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	var loads atomic.Int64
	s := env.Open(func(o *store.Options) {
		o.SnapshotBytes = 3000
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if e.CommandName == "find" && e.Command.Lookup("hint", "thread").Type != 0 {
				loads.Add(1)
			}
		})
	})
	u := newUser(t, s, "ann")
	var boxes []mail.ID
	for i := range 12 {
		boxes = append(boxes, must(s.CreateMailbox(ctx, u.ID, fmt.Sprintf("box %d", i), ""))(t).ID)
		appendTo(t, s, u.ID, boxes[i], textMessage(i))
	}
	for range 2 {
		for _, box := range boxes {
			if snap := must(s.Snapshot(ctx, u.ID, box))(t); snap.Len() != 1 {
				t.Errorf("%d rows", snap.Len())
			}
		}
	}
	if n := loads.Load(); n < 20 {
		t.Errorf("%d loads: twelve mailboxes stayed in 3,000 bytes", n)
	}
	loads.Store(0)
	for range 3 {
		must(s.Snapshot(ctx, u.ID, boxes[11]))(t)
	}
	if n := loads.Load(); n != 0 {
		t.Errorf("%d loads of the mailbox used last", n)
	}
}

func mustUpdate(t testing.TB, c *mongo.Collection, filter, update bson.M) {
	t.Helper()
	if res, err := c.UpdateMany(context.Background(), filter, update); err != nil || res.MatchedCount == 0 {
		t.Fatalf("update %v: %+v (%v)", filter, res, err)
	}
}

// WildDuck that dies between the flags and their mod-sequence leaves a field
// that looks fresh; Repair mends it.
func TestRepairMendsFlagsWithoutModSeq(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	appendTo(t, s, u.ID, box, textMessage(1), "$kw")
	mustUpdate(t, env.Collection(t, "messages"), bson.M{"user": bson.ObjectID(u.ID)},
		bson.M{"$addToSet": bson.M{"flags": `\Flagged`}, "$set": bson.M{"flagged": true}})
	if r := must(s.Repair(ctx, u.ID))(t); len(r.Problems) != 1 || r.Problems[0].Kind != store.ProblemOwnFields {
		t.Errorf("problems %+v", r.Problems)
	}
	if r := must(env.Open(nil).Snapshot(ctx, u.ID, box))(t).Row(0); !mail.HasFlag(r.Flags, mail.FlagFlagged) || len(r.Flags) != 2 {
		t.Errorf("row %+v", r)
	}
	wantClean(t, s, u.ID)
}
