package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// shortly is how long a test waits for a server that is away.
const shortly = 300 * time.Millisecond

// These tests wait for connections to be made anew more than they work, so they
// run beside each other.

// A replica set whose answer is lost: the driver asks again with the same
// number, and the write is done once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env, proxy := storetest.Proxied(t, "rs0")
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	fill(t, s, u.ID, in, 4)
	all := store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{1, 2, 3}}
	for _, c := range []struct {
		command, collection string
		run                 func() error
	}{
		{"insert", "messages", func() error {
			_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: fileMessage(9, "new")})
			return err
		}},
		{"insert", "attachments.chunks", func() error {
			_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: fileMessage(10, "newer")})
			return err
		}},
		{"update", "users", func() error {
			_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: textMessage(11)})
			return err
		}},
		{"findAndModify", "mailboxes", func() error {
			_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: textMessage(12)})
			return err
		}},
		{"update", "messages", func() error {
			_, err := s.StoreFlags(ctx, all, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}})
			return err
		}},
		{"insert", "messages", func() error { _, err := s.Copy(ctx, all, trash); return err }},
		{"update", "messages", func() error { _, err := s.Move(ctx, all, trash, store.MoveOptions{}); return err }},
		{"delete", "messages", func() error {
			_, err := s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{4}}, store.ExpungeOptions{})
			return err
		}},
		{"insert", "mailboxes", func() error { _, err := s.CreateMailbox(ctx, u.ID, "New", mail.UseNone); return err }},
	} {
		broken := proxy.Broken()
		proxy.LoseAnswer(c.command, c.collection)
		err := c.run()
		if mail.IsCode(err, mail.CodeUnavailable) {
			// Something beside the broken write found its connection closed: it
			// had not gone out, and all was given back.
			err = c.run()
		}
		if err != nil {
			t.Errorf("%s of %s: %v", c.command, c.collection, err)
		}
		if proxy.Broken() == broken {
			t.Errorf("%s of %s was not met", c.command, c.collection)
		}
	}
	if got := must(s.Mailbox(ctx, u.ID, in))(t).Total; got != 4 {
		t.Errorf("%d messages in INBOX, want 4", got)
	}
	if got := must(s.Mailbox(ctx, u.ID, trash))(t).Total; got != 6 {
		t.Errorf("%d messages in Trash, want 6", got)
	}
	wantClean(t, s, u.ID)
}

// The primary steps down, the disk is full: "try again", and what was taken
// for the message is given back where it is certain that it is not stored.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env, proxy := storetest.Proxied(t, "")
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	in := inbox(t, s, u.ID).ID
	put := func(n int) error {
		_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: fileMessage(n, "content")})
		return err
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	stored := 1
	for _, c := range []struct {
		name string
		code int
		// certain: the answer says that nothing was done.
		certain bool
	}{
		{"full disk", 14031, true},
		{"not the primary", 10107, true},
		{"stepped down", 189, false},
		{"interrupted by a change of the primary", 11602, false},
		{"not replicated in time", 64, false},
	} {
		proxy.Refuse("insert", "messages", c.code)
		wantCode(t, put(stored), mail.CodeUnavailable)
		r := must(s.Verify(ctx, u.ID))(t)
		if r.OK() != c.certain {
			t.Errorf("%s: %+v", c.name, r.Problems)
		}
		if !c.certain {
			must(s.Recover(ctx))(t)
		}
		wantClean(t, s, u.ID)
		if err := put(stored); err != nil {
			t.Errorf("%s: the next one: %v", c.name, err)
		}
		stored++
	}
	for _, c := range []struct{ command, collection string }{
		{"findAndModify", "mailboxes"}, {"update", "users"}, {"update", "attachments.files"},
	} {
		proxy.Refuse(c.command, c.collection, 14031)
		wantCode(t, put(stored), mail.CodeUnavailable)
		wantClean(t, s, u.ID)
	}
	sel := store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{1}}
	proxy.Refuse("update", "messages", 10107)
	_, err := s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}})
	wantCode(t, err, mail.CodeUnavailable)
	proxy.Refuse("delete", "messages", 14031)
	_, err = s.Expunge(ctx, sel, store.ExpungeOptions{})
	wantCode(t, err, mail.CodeUnavailable)
	if got := must(s.Mailbox(ctx, u.ID, in))(t).Total; got != stored {
		t.Errorf("%d messages, want %d", got, stored)
	}
	wantClean(t, s, u.ID)
}

// Connections break at any moment under several writers: what was acknowledged
// is there, everything else was answered with "try again", and repair leaves no
// difference.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	for _, set := range []string{"", "rs0"} {
		t.Run("set "+set, func(t *testing.T) {
			t.Parallel()
			if set == "" && os.Getenv("EIDER_TEST_MONGO") != "" {
				t.Skip("the server there is what it is")
			}
			env, proxy := storetest.Proxied(t, set)
			one, two := env.Open(nil), env.Open(nil)
			u := newUser(t, one, "ann")
			in, trash := inbox(t, one, u.ID).ID, byUse(t, one, u.ID, mail.UseTrash).ID
			proxy.BreakEvery(60)
			var mu sync.Mutex
			stored := map[mail.ID]bool{}
			var wg sync.WaitGroup
			for w := range 4 {
				s := []*store.Store{one, two}[w%2]
				wg.Go(func() {
					for n := range 8 {
						got, err := brokenRound(s, u.ID, in, trash, w*100+n)
						for _, err := range err {
							if !mail.IsCode(err, mail.CodeUnavailable) {
								t.Errorf("writer %d: %v", w, err)
							}
						}
						mu.Lock()
						for _, id := range got {
							stored[id] = true
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			proxy.BreakEvery(0)
			if proxy.Broken() == 0 {
				t.Fatal("nothing was broken")
			}
			ctx := context.Background()
			eventually(t, "a connection", func() bool { return one.Ping(ctx) == nil })
			have := map[mail.ID]bool{}
			for _, box := range []mail.ID{in, trash} {
				for _, uid := range must(one.UIDs(ctx, u.ID, box, 0, store.ListFilter{}, 0))(t) {
					have[must(one.Row(ctx, u.ID, box, uid))(t).ID] = true
				}
			}
			for id := range stored {
				if !have[id] {
					t.Errorf("an acknowledged message is gone: %v", id)
				}
			}
			must(one.Recover(ctx))(t)
			must(one.Recover(ctx))(t)
			wantClean(t, one, u.ID)
			t.Logf("%d broken, %d acknowledged, %d there", proxy.Broken(), len(stored), len(have))
		})
	}
}

// brokenRound stores a message, marks and moves it; it gives what was
// acknowledged to be there, and the failures.
func brokenRound(s *store.Store, user, in, trash mail.ID, n int) (ids []mail.ID, failures []error) {
	ctx := context.Background()
	note := func(err error) bool {
		if err != nil {
			failures = append(failures, err)
		}
		return err == nil
	}
	got, err := s.Append(ctx, store.Append{User: user, Mailbox: in, Message: fileMessage(n, fmt.Sprint("content ", n%3))})
	if !note(err) {
		return nil, failures
	}
	ids = append(ids, got.ID)
	sel := store.Selection{User: user, Mailbox: in, UIDs: []mail.UID{got.UID}}
	_, err = s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}})
	note(err)
	switch n % 3 {
	case 0:
		_, err = s.Move(ctx, sel, trash, store.MoveOptions{})
		note(err)
	case 1:
		copies, err := s.Copy(ctx, sel, trash)
		note(err)
		for _, c := range copies {
			ids = append(ids, c.ID)
		}
	}
	return ids, failures
}

// The database goes away and comes back: writes say "try again" meanwhile, and
// a reader of changes goes on where it was.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env, proxy := storetest.Proxied(t, "rs0")
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	feed := s.Follow(u.ID, must(s.LastChange(ctx, u.ID))(t))
	first := appendTo(t, s, u.ID, mail.ID{}, textMessage(1))
	proxy.Away(true)
	short, cancel := context.WithTimeout(ctx, shortly)
	_, err := s.Append(short, store.Append{User: u.ID, Message: textMessage(2)})
	wantCode(t, err, mail.CodeUnavailable)
	_, _, err = feed.Next(short)
	wantCode(t, err, mail.CodeUnavailable)
	cancel()
	proxy.Away(false)
	eventually(t, "a connection", func() bool { return s.Ping(ctx) == nil })
	second := appendTo(t, s, u.ID, mail.ID{}, textMessage(3))
	var told []mail.ID
	for {
		changes, complete, err := feed.Next(ctx)
		if err != nil || !complete {
			t.Fatal(complete, err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			told = append(told, c.Message)
		}
	}
	if len(told) != 2 || told[0] != first.ID || told[1] != second.ID {
		t.Errorf("told %v, want %v and %v", told, first.ID, second.ID)
	}
	wantClean(t, s, u.ID)
}

// Redis dies and comes back empty: mail is taken and read all the while, the
// counters are right at every moment, and readers learn by the journal.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	redis := storetest.StartRedis(t)
	env := storetest.New(t)
	sig := must(signal.NewRedis(ctx, redis.URI(), slog.New(slog.DiscardHandler)))(t)
	t.Cleanup(func() { _ = sig.Close() })
	s := env.Open(func(o *store.Options) { o.Signal, o.Notify, o.Log = sig, nil, slog.New(slog.DiscardHandler) })
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	feed := s.Follow(u.ID, must(s.LastChange(ctx, u.ID))(t))
	want, changes := 0, 0
	look := func(when string) {
		t.Helper()
		b := must(s.Mailbox(ctx, u.ID, in))(t)
		if b.Total != want || b.Unseen != want {
			t.Errorf("%s: %d messages, %d unseen, want %d", when, b.Total, b.Unseen, want)
		}
		for {
			list, complete, err := feed.Next(ctx)
			if err != nil || !complete {
				t.Fatal(complete, err)
			}
			if changes += len(list); len(list) == 0 {
				break
			}
		}
	}
	work := func(when string) {
		t.Helper()
		for n := range 4 {
			appendTo(t, s, u.ID, in, fileMessage(n, "content"))
		}
		uids := must(s.UIDs(ctx, u.ID, in, 0, store.ListFilter{}, 0))(t)
		must(s.Move(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: uids[:1]}, trash, store.MoveOptions{}))(t)
		want += 3
		look(when)
	}
	work("with Redis")
	redis.Kill()
	work("without Redis")
	_, err := s.Sweep(ctx)
	wantCode(t, err, mail.CodeConflict)
	redis.Start()
	eventually(t, "Redis", func() bool { return sig.Ping(ctx) == nil })
	look("with an empty Redis")
	work("with Redis again")
	if changes != 3*(4+2) {
		t.Errorf("%d changes were told, want 18", changes)
	}
	wantClean(t, s, u.ID)
}
