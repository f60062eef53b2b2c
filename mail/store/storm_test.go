package store_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Bulk operations of two processes over the same mailboxes, while mail
// arrives: every message is there once, and all numbers are right.
func TestBulkStorm(t *testing.T) {
	ctx := context.Background()
	one, two := storetest.OpenPair(t)
	works(t, one)
	works(t, two)
	u := newUser(t, one, "ann")
	in, trash := inbox(t, one, u.ID).ID, byUse(t, one, u.ID, mail.UseTrash).ID
	var mu sync.Mutex
	want := map[mail.ID]bool{}
	put := func(s *store.Store, n int) {
		got := appendTo(t, s, u.ID, in, fileMessage(n, "content"))
		mu.Lock()
		defer mu.Unlock()
		want[got.ID] = true
	}
	for n := range 60 {
		put(one, n)
	}
	var jobs []store.Job
	for i, b := range []store.Bulk{
		{Mailbox: in, Kind: store.BulkMove, Target: trash},
		{Mailbox: in, Kind: store.BulkFlags, Change: store.FlagChange{Add: []mail.Flag{mail.FlagSeen, "$one"}}},
		{Mailbox: trash, Kind: store.BulkMove, Target: in},
		{Mailbox: in, Kind: store.BulkMove, Target: trash, Change: store.FlagChange{Add: []mail.Flag{"$two"}}},
		{Mailbox: trash, Kind: store.BulkFlags, Change: store.FlagChange{Set: []mail.Flag{mail.FlagFlagged}}},
	} {
		b.User = u.ID
		jobs = append(jobs, must([]*store.Store{one, two}[i%2].StartBulk(ctx, b))(t))
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for n := range 15 {
				put([]*store.Store{one, two}[w], 1000*w+n)
			}
		})
	}
	wg.Wait()
	for _, j := range jobs {
		if j = ended(t, one, j); j.State != store.JobDone {
			t.Errorf("job %+v", j)
		}
	}
	have := map[mail.ID]int{}
	for _, box := range []mail.ID{in, trash} {
		for _, uid := range must(one.UIDs(ctx, u.ID, box, 0, store.ListFilter{}, 0))(t) {
			have[must(two.Row(ctx, u.ID, box, uid))(t).ID]++
		}
	}
	for id := range want {
		if have[id] != 1 {
			t.Errorf("message %v is there %d times", id, have[id])
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d messages, want %d", len(have), len(want))
	}
	wantClean(t, two, u.ID)
}

// tree is what an account's mailboxes are to be.
type tree map[string]mail.ID

func (m tree) rename(from, to string) bool {
	if _, taken := m[to]; taken || strings.HasPrefix(to, from+"/") {
		return false
	}
	below := map[string]string{}
	for path := range m {
		if path == from || strings.HasPrefix(path, from+"/") {
			below[path] = to + strings.TrimPrefix(path, from)
		}
	}
	for _, target := range below {
		if _, taken := m[target]; taken {
			return false
		}
	}
	for path, target := range below {
		m[target] = m[path]
		delete(m, path)
	}
	return true
}

// Mailboxes made, renamed, subscribed and deleted through two processes are
// those of a simple tree, and the journal tells of each change.
func TestMailboxModel(t *testing.T) {
	rounds(t, "12")
	one, two := storetest.OpenPair(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		n++
		u := newUser(t, one, "user"+string(rune('a'+n%26))+string(rune('a'+n/26)))
		want, told := tree{}, tree{}
		for _, b := range must(one.Mailboxes(ctx, u.ID))(t) {
			want[b.Path], told[b.Path] = b.ID, b.ID
		}
		feed := one.Follow(u.ID, must(one.LastChange(ctx, u.ID))(t))
		path := rapid.SampledFrom([]string{"A", "B", "A/x", "A/x/y", "B/x", "C", "A/z"})
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			s := rapid.SampledFrom([]*store.Store{one, two}).Draw(rt, "process")
			from, to := path.Draw(rt, "from"), path.Draw(rt, "to")
			id, there := want[from]
			switch rapid.IntRange(0, 3).Draw(rt, "operation") {
			case 0:
				b, err := s.CreateMailbox(ctx, u.ID, from, mail.UseNone)
				if there != mail.IsCode(err, mail.CodeExists) || !there && err != nil {
					rt.Fatalf("create %s: %v", from, err)
				}
				if !there {
					want[from] = b.ID
					appendTo(t, s, u.ID, b.ID, textMessage(n))
				}
			case 1:
				if !there || from == to {
					continue
				}
				before := maps.Clone(want)
				_, err := s.RenameMailbox(ctx, u.ID, id, to)
				if ok := want.rename(from, to); ok != (err == nil) {
					rt.Fatalf("rename %s to %s in %v: %v", from, to, slices.Sorted(maps.Keys(before)), err)
				}
			case 2:
				if there {
					delete(want, from)
					if err := s.DeleteMailbox(ctx, u.ID, id); err != nil {
						rt.Fatal(err)
					}
				}
			case 3:
				if there {
					on := rapid.Bool().Draw(rt, "on")
					if err := s.SubscribeMailbox(ctx, u.ID, id, on); err != nil || must(one.Mailbox(ctx, u.ID, id))(t).Subscribed != on {
						rt.Fatal(err)
					}
				}
			}
		}
		have := tree{}
		for _, b := range must(two.Mailboxes(ctx, u.ID))(t) {
			have[b.Path] = b.ID
			if b.Total != 0 && b.Total != 1 {
				rt.Fatalf("%s holds %d", b.Path, b.Total)
			}
		}
		if !maps.Equal(have, want) {
			rt.Fatalf("mailboxes %v, want %v", have, want)
		}
		replay(ctx, rt, feed, told)
		if !maps.Equal(told, want) {
			rt.Fatalf("the journal tells %v, want %v", told, want)
		}
		wantClean(t, two, u.ID)
	})
}

// A child's new path is taken: nothing is renamed.
func TestRenameOntoChild(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	for _, path := range []string{"A", "A/x", "B/x"} {
		must(s.CreateMailbox(ctx, u.ID, path, mail.UseNone))(t)
	}
	_, err := s.RenameMailbox(ctx, u.ID, must(s.MailboxByPath(ctx, u.ID, "A"))(t).ID, "B")
	wantCode(t, err, mail.CodeExists)
	for _, path := range []string{"A", "A/x", "B/x"} {
		must(s.MailboxByPath(ctx, u.ID, path))(t)
	}
}

// replay applies the journal's changes of mailboxes.
func replay(ctx context.Context, rt *rapid.T, feed *store.Feed, to tree) {
	for {
		changes, complete, err := feed.Next(ctx)
		if err != nil || !complete {
			rt.Fatal(complete, err)
		}
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			switch c.Command {
			case mail.CommandCreate:
				to[c.Path] = c.Mailbox
			case mail.CommandRename, mail.CommandDelete:
				maps.DeleteFunc(to, func(_ string, id mail.ID) bool { return id == c.Mailbox })
				if c.Command == mail.CommandRename {
					to[c.Path] = c.Mailbox
				}
			case mail.CommandExists, mail.CommandExpunge, mail.CommandFetch:
				// Not of mailboxes.
			}
		}
	}
}
