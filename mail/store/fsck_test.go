package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// broken is an account whose data a test damages.
type broken struct {
	env  *storetest.Env
	user mail.User
	box  mail.ID
}

func (b *broken) set(t *testing.T, collection string, filter, set bson.M) {
	t.Helper()
	mustUpdate(t, b.env.Collection(t, collection), filter, bson.M{"$set": set})
}

// Each kind of damage is reported by its name, mended, and gone.
func TestFsckMendsEachDamage(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		kind  string
		wreck func(t *testing.T, b *broken)
		stays bool
	}{
		"used storage": {kind: store.ProblemQuota, wreck: func(t *testing.T, b *broken) {
			b.set(t, "users", bson.M{"_id": bson.ObjectID(b.user.ID)}, bson.M{"storageUsed": 1, "eider.at": long})
		}},
		"total":  {kind: store.ProblemTotal, wreck: func(t *testing.T, b *broken) { b.counter(t, "total:") }},
		"unseen": {kind: store.ProblemUnseen, wreck: func(t *testing.T, b *broken) { b.counter(t, "unseen:") }},
		"next UID": {kind: store.ProblemUIDNext, wreck: func(t *testing.T, b *broken) {
			b.set(t, "mailboxes", bson.M{"_id": bson.ObjectID(b.box)}, bson.M{"uidNext": 2})
		}},
		"mod-sequence": {kind: store.ProblemModSeq, wreck: func(t *testing.T, b *broken) {
			b.set(t, "mailboxes", bson.M{"_id": bson.ObjectID(b.box)}, bson.M{"modifyIndex": 2})
		}},
		"two messages of one UID": {kind: store.ProblemDuplicateUID, wreck: func(t *testing.T, b *broken) {
			b.set(t, "messages", bson.M{"uid": 2}, bson.M{"uid": 3})
		}},
		"no mailbox": {kind: store.ProblemOrphan, wreck: func(t *testing.T, b *broken) {
			b.set(t, "messages", bson.M{"uid": 2}, bson.M{"mailbox": bson.NewObjectID()})
		}},
		"field beside the flags": {kind: store.ProblemBooleans, wreck: func(t *testing.T, b *broken) {
			b.set(t, "messages", bson.M{"uid": 2}, bson.M{"flagged": true})
		}},
		"own field": {kind: store.ProblemOwnFields, wreck: func(t *testing.T, b *broken) {
			b.set(t, "messages", bson.M{"uid": 2}, bson.M{"flags": bson.A{"$other"}})
		}},
		"journal": {kind: store.ProblemJournal, wreck: func(t *testing.T, b *broken) {
			must(b.env.Collection(t, "journal").DeleteMany(context.Background(), bson.M{"uid": 2}))(t)
		}},
		"reference too many": {kind: store.ProblemReferences, wreck: func(t *testing.T, b *broken) {
			b.set(t, "attachments.files", bson.M{}, bson.M{"metadata.c": 99, "metadata.cu": long})
		}},
		"reference too few": {kind: store.ProblemReferences, wreck: func(t *testing.T, b *broken) {
			b.set(t, "attachments.files", bson.M{}, bson.M{"metadata.c": 1, "metadata.cu": long})
		}},
		"archived and alive": {kind: store.ProblemArchived, wreck: func(t *testing.T, b *broken) {
			doc := must(b.env.Collection(t, "messages").FindOne(context.Background(), bson.M{"uid": 2}).Raw())(t)
			var d bson.M
			if err := bson.Unmarshal(doc, &d); err != nil {
				t.Fatal(err)
			}
			d["archived"] = long
			must(b.env.Collection(t, "archived").InsertOne(context.Background(), d))(t)
		}},
		"content gone": {kind: store.ProblemMissingAttachment, stays: true, wreck: func(t *testing.T, b *broken) {
			must(b.env.Collection(t, "attachments.chunks").DeleteMany(context.Background(), bson.M{}))(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := storetest.New(t)
			s := env.Open(nil)
			b := &broken{env: env, user: newUser(t, s, "ann")}
			for i := range 4 {
				b.box = appendTo(t, s, b.user.ID, mail.ID{}, fileMessage(i, "x")).Mailbox
			}
			must(s.Mailboxes(context.Background(), b.user.ID))(t)
			// What lies a minute back is judged.
			s = env.Open(func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(time.Hour) } })
			if kinds := check(t, s, store.Fsck{}); len(kinds) != 0 {
				t.Fatalf("an undamaged account: %v", kinds)
			}
			c.wreck(t, b)
			if kinds := check(t, s, store.Fsck{}); kinds[c.kind] == 0 {
				t.Fatalf("%s is not reported: %v", c.kind, kinds)
			}
			if kinds := check(t, s, store.Fsck{Repair: true}); kinds[c.kind] == 0 {
				t.Fatalf("%s is not reported: %v", c.kind, kinds)
			}
			kinds := check(t, s, store.Fsck{})
			if c.stays != (kinds[c.kind] > 0) || (!c.stays && len(kinds) > 0) {
				t.Errorf("after repair: %v", kinds)
			}
		})
	}
}

func (b *broken) counter(t *testing.T, prefix string) {
	t.Helper()
	ctx := context.Background()
	if err := b.env.Signal.Set(ctx, prefix+b.box.String(), "77", time.Hour); err != nil {
		t.Fatal(err)
	}
	// Nobody has written to the mailbox lately.
	if err := b.env.Signal.Delete(ctx, "eider_writing:"+b.box.String()); err != nil {
		t.Fatal(err)
	}
}

// check runs a check and counts the kinds of what it found.
func check(t *testing.T, s *store.Store, f store.Fsck) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	res := must(s.Fsck(context.Background(), f, func(e store.FsckEvent) error {
		if e.Problem != nil {
			kinds[e.Problem.Kind]++
			if e.Problem.Mended != (f.Repair && e.Problem.Kind != store.ProblemMissingAttachment) {
				t.Errorf("repair %v: %+v", f.Repair, e.Problem)
			}
		}
		return nil
	}))(t)
	if n := int(res.Problems); n != total(kinds) {
		t.Errorf("%d problems, told %v", n, kinds)
	}
	return kinds
}

func total(kinds map[string]int) (n int) {
	for _, k := range kinds {
		n += k
	}
	return n
}

// A check that was interrupted goes on where it stopped and adds up to what
// one run finds.
func TestFsckResumes(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	const accounts = 5
	for i := range accounts {
		u := newUser(t, s, fmt.Sprintf("user%d", i))
		appendTo(t, s, u.ID, mail.ID{}, fileMessage(i, "x"))
	}
	b := &broken{env: env}
	b.set(t, "messages", bson.M{}, bson.M{"flagged": true})
	stop := errors.New("stop")
	for _, at := range []int64{2, 3, 5} {
		_, err := s.Fsck(ctx, store.Fsck{}, func(e store.FsckEvent) error {
			if e.Phase == store.FsckAccounts && e.Done == at && e.Problem == nil && !e.Resumed {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Fatalf("ended with %v", err)
		}
	}
	var seen, resumed int
	res := must(s.Fsck(ctx, store.Fsck{}, func(e store.FsckEvent) error {
		if e.Resumed {
			resumed++
		} else if e.Phase == store.FsckAccounts && e.Problem == nil {
			seen++
		}
		return nil
	}))(t)
	if resumed != 1 || seen > 1 {
		t.Errorf("went on %d times and looked at %d accounts again", resumed, seen)
	}
	if want := (store.FsckResult{Accounts: accounts, Messages: accounts, Problems: accounts, Bytes: res.Bytes}); res != want {
		t.Errorf("result %+v, want %+v", res, want)
	}
	again := must(s.Fsck(ctx, store.Fsck{}, func(e store.FsckEvent) error {
		if e.Resumed {
			t.Error("goes on with a check that had ended")
		}
		return nil
	}))(t)
	if again != res {
		t.Errorf("a new run: %+v, want %+v", again, res)
	}
}

// Beside writers a check finds nothing, and a repair breaks nothing.
func TestFsckBesideWriters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	one, two := storetest.OpenPair(t)
	u := newUser(t, one, "ann")
	trash := byUse(t, one, u.ID, mail.UseTrash).ID
	box := inbox(t, one, u.ID).ID
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for n := range 60 {
				got, err := one.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: fileMessage(i*1000+n, fmt.Sprint("content ", n%3))})
				if err != nil {
					t.Error(err)
					return
				}
				sel := store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{got.UID}}
				switch n % 4 {
				case 0:
					_, err = one.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen, "$kw"}})
				case 1:
					_, err = one.Move(ctx, sel, trash, store.MoveOptions{})
				case 2:
					_, err = one.Copy(ctx, sel, trash)
				default:
					_, err = one.Expunge(ctx, sel, store.ExpungeOptions{Archive: n%8 == 3})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	_, err := two.Fsck(ctx, store.Fsck{Repair: true}, func(e store.FsckEvent) error {
		if e.Problem != nil && e.Problem.Kind != store.ProblemBusy {
			t.Errorf("found %+v", e.Problem)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	wantClean(t, one, u.ID)
}
