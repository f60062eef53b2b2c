package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// works runs the store's background work until the test ends.
func works(t testing.TB, s *store.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Work(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition, with a deadline that a slow machine keeps.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come about", what)
		case <-tick.C:
		}
	}
}

func ended(t testing.TB, s *store.Store, j store.Job) store.Job {
	t.Helper()
	eventually(t, "the end of "+string(j.Kind), func() bool {
		j = must(s.BulkJob(context.Background(), j.User, j.ID))(t)
		return j.State.Ended()
	})
	return j
}

func fill(t testing.TB, s *store.Store, user, box mail.ID, n int) {
	t.Helper()
	for i := range n {
		appendTo(t, s, user, box, fileMessage(i, "content"))
	}
}

func TestBulk(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	works(t, s)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	const n = 70
	fill(t, s, u.ID, in, n)
	run := func(b store.Bulk) store.Job {
		t.Helper()
		b.User = u.ID
		return ended(t, s, must(s.StartBulk(ctx, b))(t))
	}
	list := func(box mail.ID, f store.ListFilter) []mail.UID { return must(s.UIDs(ctx, u.ID, box, 0, f, 0))(t) }

	if j := run(store.Bulk{Mailbox: in, Kind: store.BulkFlags, UIDs: []mail.UID{9, 3, 4, 5, 400}, Change: store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}}); j.State != store.JobDone || j.Total != 5 || j.Done != 5 {
		t.Errorf("flags: %+v", j)
	}
	if got := list(in, store.ListFilter{Unseen: true}); len(got) != n-4 || slices.Contains(got, 4) {
		t.Errorf("unseen: %v", got)
	}
	if j := run(store.Bulk{Mailbox: in, Kind: store.BulkCopy, Target: trash}); j.State != store.JobDone || j.Done != n {
		t.Errorf("copy: %+v", j)
	}
	if got := list(trash, store.ListFilter{}); len(got) != n {
		t.Errorf("copied %d", len(got))
	}
	if j := run(store.Bulk{Mailbox: in, Kind: store.BulkMove, Target: trash, Filter: store.ListFilter{Unseen: true}, Change: store.FlagChange{Add: []mail.Flag{"$moved"}}}); j.State != store.JobDone || j.Total != n-4 {
		t.Errorf("move: %+v", j)
	}
	if got := list(in, store.ListFilter{}); !slices.Equal(got, []mail.UID{3, 4, 5, 9}) {
		t.Errorf("left: %v", got)
	}
	if j := run(store.Bulk{Mailbox: trash, Kind: store.BulkExpunge, Archive: true}); j.State != store.JobDone || j.Done != n+n-4 {
		t.Errorf("expunge: %+v", j)
	}
	if got := must(s.Mailbox(ctx, u.ID, trash))(t).Total; got != 0 {
		t.Errorf("%d left", got)
	}
	if jobs := must(s.BulkJobs(ctx, u.ID))(t); len(jobs) != 4 || jobs[0].Kind != store.BulkExpunge {
		t.Errorf("jobs %+v", jobs)
	}
	wantClean(t, s, u.ID)
}

// Deleting a large mailbox frees its name at once.
func TestBulkDeletesMailbox(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	box := must(s.CreateMailbox(ctx, u.ID, "Old/Lists", mail.UseNone))(t)
	fill(t, s, u.ID, box.ID, 60)
	_, err := s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: inbox(t, s, u.ID).ID, Kind: store.BulkDelete})
	wantCode(t, err, mail.CodeForbidden)
	j := must(s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: box.ID, Kind: store.BulkDelete}))(t)
	works(t, s)
	if j = ended(t, s, j); j.State != store.JobDone || j.Done != 60 {
		t.Errorf("job %+v", j)
	}
	_, err = s.Mailbox(ctx, u.ID, box.ID)
	wantCode(t, err, mail.CodeNoMailbox)
	must(s.CreateMailbox(ctx, u.ID, "Old/Lists", mail.UseNone))(t)
	if got := must(s.Archived(ctx, u.ID, mail.ID{}, 100))(t); len(got) != 60 {
		t.Errorf("%d archived", len(got))
	}
	wantClean(t, s, u.ID)
}

// A process dies after a step and before it kept how far it was: another goes
// on, and nothing is done twice.
func TestBulkResumes(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	fill(t, s, u.ID, in, 55)
	j := must(s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: in, Kind: store.BulkCopy, Target: trash}))(t)
	stop := works(t, s)
	ended(t, s, j)
	stop()
	// As if several checkpoints had not been written, and the lease had ended.
	_, err := env.Collection(t, "eider_jobs").UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.ObjectID(j.ID)}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "state", Value: "active"}, {Key: "cursor", Value: 25}, {Key: "done", Value: 25}, {Key: "lock", Value: bson.NewObjectID()}, {Key: "lockedUntil", Value: time.Now().Add(-time.Second)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	works(t, env.Open(nil))
	if j = ended(t, s, j); j.State != store.JobDone || j.Done != 55 {
		t.Errorf("job %+v", j)
	}
	if got := must(s.Mailbox(ctx, u.ID, trash))(t).Total; got != 55 {
		t.Errorf("%d copies of 55", got)
	}
	wantClean(t, s, u.ID)
}

func TestBulkCancelled(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	fill(t, s, u.ID, in, 120)
	waiting := must(s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: in, Kind: store.BulkMove, Target: trash}))(t)
	if err := s.CancelBulk(ctx, u.ID, waiting.ID); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	j := must(s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: in, Kind: store.BulkMove, Target: trash}))(t)
	eventually(t, "the first step", func() bool {
		j = must(s.BulkJob(ctx, u.ID, j.ID))(t)
		return j.Done > 0
	})
	err := s.CancelBulk(ctx, u.ID, j.ID)
	j = ended(t, s, j)
	left := must(s.Mailbox(ctx, u.ID, in))(t).Total
	if err == nil && (j.State != store.JobCancelled || left == 0) && j.State != store.JobDone {
		t.Errorf("job %+v, %d left", j, left)
	}
	if moved := must(s.Mailbox(ctx, u.ID, trash))(t).Total; moved+left != 120 {
		t.Errorf("%d moved, %d left", moved, left)
	}
	wantCode(t, s.CancelBulk(ctx, u.ID, j.ID), mail.CodeConflict)
	wantCode(t, s.CancelBulk(ctx, u.ID, mail.NewID()), mail.CodeNotFound)
	wantClean(t, s, u.ID)
}

// A job that cannot be done says so and ends.
func TestBulkFails(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	in := inbox(t, s, u.ID).ID
	fill(t, s, u.ID, in, 3)
	box := must(s.CreateMailbox(ctx, u.ID, "Away", mail.UseNone))(t)
	j := must(s.StartBulk(ctx, store.Bulk{User: u.ID, Mailbox: in, Kind: store.BulkMove, Target: box.ID}))(t)
	if err := s.DeleteMailbox(ctx, u.ID, box.ID); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	if j = ended(t, s, j); j.State != store.JobFailed || j.Failure != mail.CodeNoMailbox.String() {
		t.Errorf("job %+v", j)
	}
	for _, b := range []store.Bulk{
		{User: u.ID, Mailbox: in, Kind: "dance"},
		{User: u.ID, Mailbox: in, Kind: store.BulkMove, Target: in},
		{User: u.ID, Mailbox: in, Kind: store.BulkFlags, UIDs: make([]mail.UID, store.MaxBulk+1)},
	} {
		_, err := s.StartBulk(ctx, b)
		wantCode(t, err, mail.CodeInvalid)
	}
	wantClean(t, s, u.ID)
}
