package store_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// earlierIndex is an account as it was before an index had pairs and postings in
// Rice's code: its messages, and all its documents of eider_terms.
type earlierIndex struct {
	Letters []struct {
		Raw, Root string
		// Minute is when the message came, after the beginning of March.
		Minute  int
		Content search.Content
		Sent    time.Time
	}
	Terms [][]byte
}

func readEarlierIndex(t *testing.T) (out earlierIndex) {
	t.Helper()
	f := must(os.Open("testdata/terms_before_pairs.json.gz"))(t)
	defer func() { _ = f.Close() }()
	if err := json.NewDecoder(must(gzip.NewReader(f))(t)).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// take puts an earlier index into an account.
func (x *earlierIndex) take(t *testing.T, env *storetest.Env, name string) *searchWorld {
	t.Helper()
	ctx := context.Background()
	writer := env.Open(func(o *store.Options) { o.DeferTerms = true })
	w := newSearchWorld(t, writer, name)
	box := inbox(t, writer, w.user).ID
	messages, terms := env.Collection(t, "messages"), env.Collection(t, "eider_terms")
	for _, l := range x.Letters {
		it := search.Item{Content: l.Content, Sent: l.Sent, Size: int64(len(l.Raw)), Internal: time.Date(2026, 3, 1, 0, l.Minute, 0, 0, time.UTC)}
		a := must(writer.Append(ctx, store.Append{User: w.user, Mailbox: box, Message: message.Parse([]byte(l.Raw)), InternalDate: it.Internal}))(t)
		root := must(bson.ObjectIDFromHex(l.Root))(t)
		must(messages.UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.ObjectID(a.ID)}}, bson.D{{Key: "$set", Value: bson.D{{Key: "root", Value: root}, {Key: "eider.terms", Value: 1}}}}))(t)
		w.put(a.ID, it, box, a.UID)
	}
	for _, raw := range x.Terms {
		var d bson.M
		if err := bson.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		d["user"] = bson.ObjectID(w.user)
		if d["k"] == "i" {
			d["_id"], d["seen"] = d["user"], bson.A{bson.D{{Key: "m", Value: bson.ObjectID(box)}, {Key: "u", Value: int64(len(x.Letters))}}}
		}
		must(terms.InsertOne(ctx, d))(t)
	}
	w.s = env.Open(func(o *store.Options) { o.FreshTerms = 64 })
	return w
}

// paired counts an account's messages in segments, and those whose pairs are there.
func paired(t *testing.T, env *storetest.Env, user mail.ID) (all, pairs int) {
	t.Helper()
	var r struct {
		Segs []struct {
			N int `bson:"n"`
			P int `bson:"p"`
		} `bson:"segs"`
	}
	if err := env.Collection(t, "eider_terms").FindOne(context.Background(), bson.D{{Key: "_id", Value: bson.ObjectID(user)}}).Decode(&r); err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Segs {
		all += g.N
		pairs += g.P
	}
	return all, pairs
}

// TestEarlierIndex: an index of an earlier version gives the same answers, beside
// new messages, and is brought up to date.
func TestEarlierIndex(t *testing.T) {
	env := storetest.New(t)
	earlier := readEarlierIndex(t)
	w := earlier.take(t, env, "earlier")
	r := rand.New(rand.NewPCG(5, 5))
	ctx := context.Background()
	ask := func() {
		t.Helper()
		for range 30 {
			w.check(t, anyCondition(r, 2, w.boxes), 40, false)
			w.check(t, w.anyPhrase(r), 40, false)
		}
	}
	// While another one works on the account nobody brings it up to date.
	lock := must(env.Signal.Lock(ctx, "eider_terms:"+w.user.String(), 10*time.Minute))(t)
	if all, pairs := paired(t, env, w.user); all == 0 || pairs != 0 {
		t.Fatalf("%d messages in segments, %d with pairs: this is no earlier index", all, pairs)
	}
	ask()
	for n := range 10 {
		w.append(t, r, n)
	}
	ask()
	if _, pairs := paired(t, env, w.user); pairs != 0 {
		t.Fatal("the index was brought up to date under the test")
	}
	if err := lock.Release(ctx); err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		w.append(t, r, n)
	}
	must(w.s.IndexTerms(ctx, w.user))(t)
	if all, pairs := paired(t, env, w.user); all < len(earlier.Letters) || pairs != all {
		t.Errorf("%d messages in segments, %d with pairs", all, pairs)
	}
	ask()
}
