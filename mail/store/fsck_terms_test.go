package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// wreckedTerms is an account whose term index a test damages: six messages in
// segments of two, and one in none.
type wreckedTerms struct {
	broken
	s    *store.Store
	uids []mail.UID
}

func newWreckedTerms(t *testing.T) *wreckedTerms {
	t.Helper()
	ctx := context.Background()
	b := &wreckedTerms{broken: broken{env: storetest.New(t)}}
	b.s = b.env.Open(func(o *store.Options) { o.FreshTerms = 2 })
	b.user = newUser(t, b.s, "ann")
	for i := range 7 {
		a := appendTo(t, b.s, b.user.ID, mail.ID{}, letterOf(fmt.Sprintf("m%d", i), "text/plain", "green apple"))
		b.box, b.uids = a.Mailbox, append(b.uids, a.UID)
		if i == 5 {
			must(b.s.IndexTerms(ctx, b.user.ID))(t)
		}
	}
	must(b.s.Mailboxes(ctx, b.user.ID))(t)
	return b
}

// later is the store an hour on, when nothing is under way any more.
func (b *wreckedTerms) later() *store.Store {
	return b.env.Open(func(o *store.Options) {
		o.FreshTerms, o.Now = 2, func() time.Time { return time.Now().Add(time.Hour) }
	})
}

func (b *wreckedTerms) remove(t *testing.T, filter bson.M) {
	t.Helper()
	if res := must(b.env.Collection(t, "eider_terms").DeleteMany(context.Background(), filter))(t); res.DeletedCount == 0 {
		t.Fatalf("nothing in the index is %v", filter)
	}
}

// Each kind of damage to the term index is reported by its name, mended, and gone:
// every message is found again.
func TestFsckMendsTheTermIndex(t *testing.T) {
	isBlock := func(kind string) bson.M { return bson.M{"k": bson.M{"$regex": "^s[0-9a-f]{24}" + kind}} }
	for name, c := range map[string]struct {
		kind  string
		wreck func(t *testing.T, b *wreckedTerms)
	}{
		"a message is missing": {store.ProblemSearchMissing, func(t *testing.T, b *wreckedTerms) { b.remove(t, bson.M{"k": "m"}) }},
		"all of it is gone":    {store.ProblemSearchMissing, func(t *testing.T, b *wreckedTerms) { b.remove(t, bson.M{}) }},
		"postings are gone":    {store.ProblemSearchDamaged, func(t *testing.T, b *wreckedTerms) { b.remove(t, isBlock("r")) }},
		"a table is gone":      {store.ProblemSearchDamaged, func(t *testing.T, b *wreckedTerms) { b.remove(t, isBlock("t")) }},
		"a block is nonsense": {store.ProblemSearchDamaged, func(t *testing.T, b *wreckedTerms) {
			b.set(t, "eider_terms", isBlock("d"), bson.M{"d": []byte("nonsense")})
		}},
		"new words are nonsense": {store.ProblemSearchDamaged, func(t *testing.T, b *wreckedTerms) {
			b.set(t, "eider_terms", bson.M{"k": "m"}, bson.M{"d": []byte{0xff}})
		}},
		"words of no message": {store.ProblemSearchStray, func(t *testing.T, b *wreckedTerms) {
			terms := b.env.Collection(t, "eider_terms")
			var d bson.M
			if err := terms.FindOne(context.Background(), bson.M{"k": "m"}).Decode(&d); err != nil {
				t.Fatal(err)
			}
			d["_id"] = bson.NewObjectIDFromTimestamp(time.Now().Add(-time.Hour))
			must(terms.InsertOne(context.Background(), d))(t)
		}},
		"a deletion was not noted": {store.ProblemSearchDead, func(t *testing.T, b *wreckedTerms) {
			must(b.s.Expunge(context.Background(), store.Selection{User: b.user.ID, Mailbox: b.box, UIDs: b.uids[:2]}, store.ExpungeOptions{}))(t)
			b.uids = b.uids[2:]
			mustUpdate(t, b.env.Collection(t, "eider_terms"), bson.M{"k": "i"}, bson.M{"$unset": bson.M{"gone": "", "dead": ""}})
		}},
		"too few deletions were noted": {store.ProblemSearchDead, func(t *testing.T, b *wreckedTerms) {
			must(b.s.Expunge(context.Background(), store.Selection{User: b.user.ID, Mailbox: b.box, UIDs: b.uids[:2]}, store.ExpungeOptions{}))(t)
			b.uids = b.uids[2:]
			b.set(t, "eider_terms", bson.M{"k": "i"}, bson.M{"dead": 1})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newWreckedTerms(t)
			s := b.later()
			if kinds := check(t, s, store.Fsck{}); len(kinds) != 0 {
				t.Fatalf("an undamaged account: %v", kinds)
			}
			c.wreck(t, b)
			for _, f := range []store.Fsck{{}, {User: b.user.ID}, {Repair: true}} {
				if kinds := check(t, s, f); kinds[c.kind] == 0 {
					t.Fatalf("%s is not reported: %v", c.kind, kinds)
				}
			}
			if kinds := check(t, s, store.Fsck{}); len(kinds) > 0 {
				t.Errorf("after repair: %v", kinds)
			}
			wantFinds(t, s, b.user.ID, map[string]int{`"green apple"`: len(b.uids), "apple -green": 0, "subject:m6": 1})
		})
	}
}

// What will be added by itself, and what is removed by itself, is no damage.
func TestFsckKnowsWhatTheIndexDoesByItself(t *testing.T) {
	ctx := context.Background()
	b := newWreckedTerms(t)
	other := b.env.Open(func(o *store.Options) { o.DeferTerms = true })
	appendTo(t, other, b.user.ID, b.box, letterOf("of another", "text/plain", "green apple"))
	must(b.s.Expunge(ctx, store.Selection{User: b.user.ID, Mailbox: b.box, UIDs: b.uids[:1]}, store.ExpungeOptions{}))(t)
	must(b.s.Expunge(ctx, store.Selection{User: b.user.ID, Mailbox: b.box, UIDs: b.uids[1:2]}, store.ExpungeOptions{Archive: true}))(t)
	if kinds := check(t, b.later(), store.Fsck{}); len(kinds) > 0 {
		t.Errorf("reported: %v", kinds)
	}
}
