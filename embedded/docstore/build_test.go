package docstore_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// fill inserts documents {_id: i, a: …, b: …, pad}.
func fill(t testing.TB, c *mongo.Collection, n int) {
	t.Helper()
	var docs []any
	for i := range n {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: i % 100}, {Key: "u", Value: i}, {Key: "pad", Value: "some words to fill the row"}})
		if len(docs) == 1000 || i == n-1 {
			must(c.InsertMany(t.Context(), docs))(t)
			docs = docs[:0]
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for: %s", what)
		}
	}
}

func createIndex(c *mongo.Collection, keys bson.D, o *options.IndexOptionsBuilder) error {
	_, err := c.Indexes().CreateOne(context.Background(), mongo.IndexModel{Keys: keys, Options: o})
	return err
}

// mutate changes random documents until it is told to stop.
func mutate(t *testing.T, c *mongo.Collection, seed uint64, n int, stop <-chan struct{}) (writes int) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return writes
		default:
		}
		id := r.IntN(n)
		var err error
		switch r.IntN(6) {
		case 0:
			_, err = c.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
		case 1:
			_, err = c.InsertOne(ctx, bson.D{{Key: "_id", Value: int(seed)*1_000_000 + i}, {Key: "a", Value: bson.A{r.IntN(100), r.IntN(100)}}, {Key: "u", Value: int(seed)*1_000_000 + i}})
		case 2:
			_, err = c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: bson.A{r.IntN(100), "x"}}}}})
		case 3:
			_, err = c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$unset", Value: bson.D{{Key: "a", Value: 1}}}})
		case 4:
			_, err = c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: int64(r.IntN(100))}}}})
		default:
			_, err = c.ReplaceOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "a", Value: r.Float64()}, {Key: "u", Value: id}})
		}
		if err != nil {
			t.Error(err)
			return writes
		}
		writes++
	}
}

// TestIndexBuildOnline adds indexes to a filled collection while it is read and
// written, and compares them with the documents afterwards.
func TestIndexBuildOnline(t *testing.T) {
	const n = 8000
	ctx := t.Context()
	e, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, n)
	before := must(c.Indexes().ListSpecifications(ctx))(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var during atomic.Int64 // reads and writes that were answered while a build was under way
	for w := range 3 {
		wg.Go(func() { during.Add(int64(mutate(t, c, uint64(w+1), n, stop))) })
	}
	var seen atomic.Bool
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if e.Making() == 0 {
				continue
			}
			// What is under way answers no query and shows in no list.
			list, err := c.Indexes().ListSpecifications(ctx)
			if err != nil || (len(list) != len(before) && e.Making() > 0 && len(list) != len(before)+3) {
				t.Errorf("%d indexes, %v", len(list), err)
			}
			var doc bson.Raw
			if err := c.FindOne(ctx, bson.D{{Key: "a", Value: 7}}).Decode(&doc); err != nil {
				t.Error(err)
			}
			seen.Store(true)
		}
	})
	models := []mongo.IndexModel{
		{Keys: bson.D{{Key: "a", Value: 1}}},
		{Keys: bson.D{{Key: "u", Value: -1}, {Key: "_id", Value: 1}}, Options: options.Index().SetUnique(true)},
		{Keys: bson.D{{Key: "a", Value: -1}, {Key: "pad", Value: 1}}, Options: options.Index().SetPartialFilterExpression(bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: 50}}}})},
	}
	must(c.Indexes().CreateMany(ctx, models))(t)
	// The same once more, while it is made and when it is there, is no error.
	var again sync.WaitGroup
	for range 3 {
		again.Go(func() {
			if err := createIndex(c, bson.D{{Key: "pad", Value: 1}, {Key: "a", Value: 1}}, options.Index()); err != nil {
				t.Error(err)
			}
		})
	}
	again.Wait()
	close(stop)
	wg.Wait()
	if during.Load() == 0 || !seen.Load() {
		t.Errorf("%d writes, read %t", during.Load(), seen.Load())
	}
	if list := must(c.Indexes().ListSpecifications(ctx))(t); len(list) != len(before)+4 {
		t.Errorf("%d indexes", len(list))
	}
	if err := e.CheckIndexes(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{7, "x", nil, bson.D{{Key: "$gt", Value: 50}}} {
		f := bson.D{{Key: "a", Value: v}}
		with := must(c.CountDocuments(ctx, f, options.Count().SetHint("a_1")))(t)
		without := must(c.CountDocuments(ctx, f, options.Count().SetHint(bson.D{{Key: "$natural", Value: 1}})))(t)
		if with != without {
			t.Errorf("%v: %d by the index, %d by a scan", f, with, without)
		}
	}
}

// TestIndexBuildFails leaves nothing of an index that cannot be.
func TestIndexBuildFails(t *testing.T) {
	ctx := t.Context()
	e, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, 5000)
	unique := options.Index().SetUnique(true)
	gone := func(t *testing.T) {
		t.Helper()
		if n := e.Making(); n != 0 {
			t.Errorf("%d under way", n)
		}
		if n := must(e.LeftOver())(t); n != 0 {
			t.Errorf("%d left over", n)
		}
		if err := e.CheckIndexes(); err != nil {
			t.Error(err)
		}
	}
	t.Run("many twice", func(t *testing.T) {
		if err := createIndex(c, bson.D{{Key: "a", Value: 1}}, unique); !mongo.IsDuplicateKeyError(err) {
			t.Fatal(err)
		}
		gone(t)
	})
	t.Run("one twice", func(t *testing.T) {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "u", Value: 4000}}))(t)
		err := createIndex(c, bson.D{{Key: "u", Value: 1}}, unique)
		var ce mongo.CommandError
		if !mongo.IsDuplicateKeyError(err) || !asCommand(err, &ce) || ce.Raw.Lookup("keyPattern", "u").AsInt64() != 1 || ce.Raw.Lookup("keyValue", "u").AsInt64() != 4000 {
			t.Fatalf("%v, %s", err, ce.Raw)
		}
		gone(t)
		must(c.DeleteOne(ctx, bson.D{{Key: "_id", Value: "x"}}))(t)
		if err := createIndex(c, bson.D{{Key: "u", Value: 1}}, unique); err != nil {
			t.Fatal(err)
		}
		gone(t)
	})
	t.Run("two arrays", func(t *testing.T) {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "u", Value: "x"}, {Key: "a", Value: bson.A{1}}, {Key: "b", Value: bson.A{1}}}))(t)
		err := createIndex(c, bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 1}}, options.Index())
		var ce mongo.CommandError
		if !asCommand(err, &ce) || ce.Code != 171 {
			t.Fatal(err)
		}
		gone(t)
	})
	t.Run("dropped meanwhile", func(t *testing.T) {
		for _, drop := range []func() error{
			func() error { return c.Indexes().DropAll(ctx) },
			func() error { return c.Indexes().DropOne(ctx, "pad_1") },
			func() error { return c.Drop(ctx) },
		} {
			got := make(chan error, 1)
			go func() { got <- createIndex(c, bson.D{{Key: "pad", Value: 1}}, options.Index()) }()
			until(t, "a build", func() bool { return e.Making() > 0 || len(got) > 0 })
			if err := drop(); err != nil && len(got) == 0 {
				t.Fatal(err)
			}
			var ce mongo.CommandError
			if err := <-got; err != nil && (!asCommand(err, &ce) || ce.Code != 276) {
				t.Fatal(err)
			}
			_ = c.Indexes().DropOne(ctx, "pad_1") // if the build was faster
			until(t, "its end", func() bool { n, err := e.LeftOver(); return n == 0 && err == nil })
			gone(t)
		}
	})
}

func asCommand(err error, ce *mongo.CommandError) bool {
	if e, ok := err.(mongo.CommandError); ok { //nolint:errorlint // the driver returns it bare
		*ce = e
		return true
	}
	return false
}

// TestIndexBuildTwiceForAWhile: a key that two documents have while a unique index
// is made refuses neither the writes nor the index, if it is gone in the end.
func TestIndexBuildTwiceForAWhile(t *testing.T) {
	ctx := t.Context()
	e, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, 4000)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: "twice"}, {Key: "u", Value: i % 4000}})
			if mongo.IsDuplicateKeyError(err) { // the index is there
				return
			}
			if err == nil {
				_, err = c.DeleteOne(ctx, bson.D{{Key: "_id", Value: "twice"}})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	err := createIndex(c, bson.D{{Key: "u", Value: 1}}, options.Index().SetUnique(true))
	close(stop)
	wg.Wait()
	// The build ends between an insert and its delete, or it does not.
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		t.Fatal(err)
	}
	if err := e.CheckIndexes(); err != nil {
		t.Fatal(err)
	}
}

// TestIndexBuildInterrupted closes the store while an index is made: it is not
// there afterwards, and neither are its entries.
func TestIndexBuildInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	e, client := open(t, path)
	c := client.Database("d").Collection("c")
	fill(t, c, 8000)
	got := make(chan error, 1)
	go func() { got <- createIndex(c, bson.D{{Key: "a", Value: 1}, {Key: "pad", Value: 1}}, options.Index()) }()
	until(t, "a build", func() bool { return e.Making() > 0 || len(got) > 0 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	made := <-got == nil
	e, client = open(t, path)
	c = client.Database("d").Collection("c")
	until(t, "nothing left over", func() bool { n, err := e.LeftOver(); return n == 0 && err == nil })
	if err := e.CheckIndexes(); err != nil {
		t.Fatal(err)
	}
	list := must(c.Indexes().ListSpecifications(t.Context()))(t)
	if want := map[bool]int{true: 2, false: 1}[made]; len(list) != want {
		t.Fatalf("%d indexes, want %d", len(list), want)
	}
	if err := createIndex(c, bson.D{{Key: "a", Value: 1}, {Key: "pad", Value: 1}}, options.Index()); err != nil {
		t.Fatal(err)
	}
	if err := e.CheckIndexes(); err != nil {
		t.Fatal(err)
	}
}
