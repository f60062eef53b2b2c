package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// clock is a store's time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func withClock(env *storetest.Env) (*store.Store, *clock) {
	c := &clock{t: time.Now()}
	return env.Open(func(o *store.Options) { o.Now = c.now }), c
}

func TestRestore(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	one, two := env.Open(nil), env.Open(nil)
	u := newUser(t, one, "ann")
	in := inbox(t, one, u.ID).ID
	got := appendTo(t, one, u.ID, in, fileMessage(1, "content"), mail.FlagFlagged, mail.FlagDeleted)
	must(one.Expunge(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{got.UID}}, store.ExpungeOptions{Archive: true}))(t)
	list := must(one.Archived(ctx, u.ID, mail.ID{}, 0))(t)
	if len(list) != 1 || list[0].ID != got.ID || list[0].Subject != "file 1" || time.Until(list[0].Expires) < 24*24*time.Hour {
		t.Fatalf("archived %+v", list)
	}
	// Several restore it at once: it comes back once.
	var wg sync.WaitGroup
	var mu sync.Mutex
	restored := 0
	for i := range 6 {
		s := []*store.Store{one, two}[i%2]
		wg.Go(func() {
			_, err := s.Restore(ctx, u.ID, got.ID, mail.ID{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				restored++
			} else if !mail.IsCode(err, mail.CodeNoMessage) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if restored != 1 {
		t.Errorf("restored %d times", restored)
	}
	uids := must(one.UIDs(ctx, u.ID, in, 0, store.ListFilter{}, 0))(t)
	if len(uids) != 1 || uids[0] <= got.UID {
		t.Fatalf("uids %v", uids)
	}
	row := must(one.Row(ctx, u.ID, in, uids[0]))(t)
	if row.ID != got.ID || row.Has(mail.FlagDeleted) || !row.Has(mail.FlagFlagged) {
		t.Errorf("row %+v", row)
	}
	if n := count(t, env, "archived"); n != 0 {
		t.Errorf("%d archived documents", n)
	}
	_, err := one.Restore(ctx, u.ID, got.ID, mail.ID{})
	wantCode(t, err, mail.CodeNoMessage)
	wantClean(t, one, u.ID)
}

// A message whose mailbox is gone goes to INBOX; a day's deletions go to a
// mailbox of their own.
func TestRestoreTask(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	works(t, s)
	u := newUser(t, s, "ann")
	box := must(s.CreateMailbox(ctx, u.ID, "Old", mail.UseNone))(t)
	fill(t, s, u.ID, box.ID, 30)
	start := time.Now()
	if err := s.DeleteMailbox(ctx, u.ID, box.ID); err != nil {
		t.Fatal(err)
	}
	first := must(s.Archived(ctx, u.ID, mail.ID{}, 1))(t)[0]
	if back := must(s.Restore(ctx, u.ID, first.ID, mail.ID{}))(t); back.Path != mail.Inbox {
		t.Errorf("restored to %q", back.Path)
	}
	task := must(s.StartRestore(ctx, u.ID, start.Add(-time.Minute), time.Now().Add(time.Minute)))(t)
	eventually(t, "the end of the task", func() bool { return !must(s.TaskWaits(ctx, task))(t) })
	path := "Restored (" + time.Now().UTC().Format(time.DateOnly) + ")"
	if got := must(s.MailboxByPath(ctx, u.ID, path))(t); got.Total != 29 {
		t.Errorf("%d restored", got.Total)
	}
	wantClean(t, s, u.ID)
	// The task that clears a mailbox.
	task = must(s.StartClear(ctx, u.ID, must(s.MailboxByPath(ctx, u.ID, path))(t).ID, false))(t)
	eventually(t, "the end of clearing", func() bool { return !must(s.TaskWaits(ctx, task))(t) })
	if got := must(s.Archived(ctx, u.ID, mail.ID{}, 0))(t); len(got) != 0 {
		t.Errorf("%d archived without being asked", len(got))
	}
	wantClean(t, s, u.ID)
}

// Retention archives, the archive ends, and contents go a day after.
func TestSweep(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, now := withClock(env)
	u := newUser(t, s, "ann")
	trash, in := byUse(t, s, u.ID, mail.UseTrash).ID, inbox(t, s, u.ID).ID
	fill(t, s, u.ID, trash, 12)
	appendTo(t, s, u.ID, in, fileMessage(1, "content"))
	sweep := func() store.Swept { t.Helper(); return must(s.Sweep(ctx))(t) }
	if got := sweep(); got != (store.Swept{}) {
		t.Errorf("at once: %+v", got)
	}
	now.add(31 * 24 * time.Hour)
	if got := sweep(); got != (store.Swept{Expired: 12}) {
		t.Errorf("after a month: %+v", got)
	}
	wantClean(t, s, u.ID)
	now.add(26 * 24 * time.Hour)
	if got := sweep(); got != (store.Swept{Purged: 12}) {
		t.Errorf("after the archive's time: %+v", got)
	}
	wantClean(t, s, u.ID)
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{1}}, store.ExpungeOptions{}))(t)
	now.add(25 * time.Hour)
	if got := sweep(); got != (store.Swept{Contents: 1}) {
		t.Errorf("a day after the last use: %+v", got)
	}
	if files, chunks := count(t, env, "attachments.files"), count(t, env, "attachments.chunks"); files+chunks != 0 {
		t.Errorf("%d files, %d chunks", files, chunks)
	}
	// The content can come again.
	appendTo(t, s, u.ID, in, fileMessage(2, "content"))
	wantClean(t, s, u.ID)
}

// Another process that sweeps keeps this one out.
func TestSweepLocked(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	lock := must(env.Signal.Lock(ctx, "wildduck:gc_expired", time.Minute))(t)
	_, err := s.Sweep(ctx)
	wantCode(t, err, mail.CodeConflict)
	if err := lock.Release(ctx); err != nil {
		t.Fatal(err)
	}
	must(s.Sweep(ctx))(t)
}

// A message that landed while its mailbox was deleted is archived by the sweep.
func TestSweepOrphans(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	box := must(s.CreateMailbox(ctx, u.ID, "Old", mail.UseNone))(t)
	appendTo(t, s, u.ID, box.ID, fileMessage(1, "content"))
	id := bson.D{{Key: "_id", Value: bson.ObjectID(box.ID)}}
	if _, err := env.Collection(t, "mailboxes").DeleteOne(ctx, id); err != nil {
		t.Fatal(err)
	}
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "exp", Value: true}, {Key: "rdate", Value: time.Now().Add(-time.Hour).UnixMilli()}}}}
	if _, err := env.Collection(t, "messages").UpdateMany(ctx, bson.D{{Key: "mailbox", Value: bson.ObjectID(box.ID)}}, set); err != nil {
		t.Fatal(err)
	}
	if got := must(s.Sweep(ctx))(t); got.Expired != 1 {
		t.Errorf("%+v", got)
	}
	if got := must(s.Archived(ctx, u.ID, mail.ID{}, 0))(t); len(got) != 1 {
		t.Errorf("archived %+v", got)
	}
	wantClean(t, s, u.ID)
}

// A task of a process that died is done by another.
func TestTaskOfTheDead(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	newUser(t, s, "ann")
	task := must(s.StartQuota(ctx))(t)
	lock := mail.NewID()
	_, err := env.Collection(t, "tasks").UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.ObjectID(task)}}, bson.D{{Key: "$set", Value: bson.D{
		{Key: "locked", Value: bson.Binary{Data: lock[:]}}, {Key: "status", Value: "processing"}, {Key: "lockedUntil", Value: time.Now().Add(-time.Second)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	works(t, s)
	eventually(t, "the end of the task", func() bool { return !must(s.TaskWaits(ctx, task))(t) })
}
