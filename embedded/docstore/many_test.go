package docstore_test

import (
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

func countOf(t *testing.T, c *mongo.Collection, f bson.D) int64 {
	t.Helper()
	return must(c.CountDocuments(t.Context(), f))(t)
}

// TestManyInSteps updates and deletes many documents with one command, by an index
// that the update changes, by a scan, and by an $or.
func TestManyInSteps(t *testing.T) {
	const n = 6000
	ctx := t.Context()
	e, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, n)
	if err := createIndex(c, bson.D{{Key: "u", Value: 1}}, options.Index()); err != nil {
		t.Fatal(err)
	}
	more := bson.D{{Key: "$inc", Value: bson.D{{Key: "u", Value: 100_000}, {Key: "times", Value: 1}}}}
	for i, f := range []bson.D{
		{{Key: "u", Value: bson.D{{Key: "$gte", Value: 0}}}}, // each moves on along the index
		{},
		{{Key: "pad", Value: bson.D{{Key: "$exists", Value: true}}}},
		{{Key: "$or", Value: bson.A{bson.D{{Key: "u", Value: bson.D{{Key: "$gte", Value: 0}}}}, bson.D{{Key: "_id", Value: 1}}}}},
	} {
		res := must(c.UpdateMany(ctx, f, more))(t)
		if res.MatchedCount != n || res.ModifiedCount != n {
			t.Fatalf("%v: %+v", f, res)
		}
		if got := countOf(t, c, bson.D{{Key: "times", Value: i + 1}}); got != n {
			t.Fatalf("%v: %d were changed once", f, got)
		}
	}
	none := bson.D{{Key: "pad", Value: "none has it"}}
	if res := must(c.UpdateMany(ctx, none, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}))(t); res.MatchedCount != 0 {
		t.Fatalf("%+v", res)
	}
	res := must(c.UpdateMany(ctx, none, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}, options.UpdateMany().SetUpsert(true)))(t)
	if res.UpsertedCount != 1 || countOf(t, c, none) != 1 {
		t.Fatalf("%+v", res)
	}
	if res := must(c.DeleteMany(ctx, bson.D{{Key: "a", Value: bson.D{{Key: "$lt", Value: 50}}}}))(t); res.DeletedCount != n/2 {
		t.Fatalf("%d deleted", res.DeletedCount)
	}
	if got := countOf(t, c, bson.D{}); got != n/2+1 {
		t.Fatalf("%d left", got)
	}
	if res := must(c.DeleteMany(ctx, bson.D{}))(t); res.DeletedCount != n/2+1 {
		t.Fatalf("%d deleted", res.DeletedCount)
	}
	if err := e.CheckIndexes(); err != nil {
		t.Error(err)
	}
}

// TestManyStops at the first document that cannot be changed; those before it are.
func TestManyStops(t *testing.T) {
	const n = 3000
	ctx := t.Context()
	_, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, n)
	if err := createIndex(c, bson.D{{Key: "x", Value: 1}}, options.Index().SetUnique(true).SetSparse(true)); err != nil {
		t.Fatal(err)
	}
	must(c.UpdateOne(ctx, bson.D{{Key: "_id", Value: 2500}}, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: "2499"}}}}))(t)
	_, err := c.UpdateMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 2600}}}}, mongo.Pipeline{
		{{Key: "$set", Value: bson.D{{Key: "x", Value: bson.D{{Key: "$cond", Value: bson.A{bson.D{{Key: "$eq", Value: bson.A{"$_id", 2499}}}, "2499", "$_id"}}}}}}},
	})
	if !mongo.IsDuplicateKeyError(err) {
		t.Fatal(err)
	}
	if got := countOf(t, c, bson.D{{Key: "x", Value: bson.D{{Key: "$exists", Value: true}}}}); got != 2500 { // 0 to 2498, and 2500
		t.Errorf("%d have been changed", got)
	}
}

// TestManyLetsOthersIn: a delete of many documents is seen half done, and others
// write meanwhile.
func TestManyLetsOthersIn(t *testing.T) {
	const n = 20_000
	ctx := t.Context()
	_, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	c := client.Database("d").Collection("c")
	fill(t, c, n)
	ended := make(chan error, 1)
	go func() {
		_, err := c.DeleteMany(ctx, bson.D{})
		ended <- err
	}()
	until(t, "a part of it", func() bool {
		left := must(c.EstimatedDocumentCount(ctx))(t)
		return left < n || len(ended) > 0
	})
	must(c.Database().Collection("other").InsertOne(ctx, bson.D{}))(t)
	if len(ended) > 0 {
		t.Error("the whole delete was one job")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestDropInSteps drops a filled collection: it is gone at once, its name is free,
// and its space is freed behind the scenes, after a restart too.
func TestDropInSteps(t *testing.T) {
	const n = 10_000
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "store.db")
	e, client := open(t, path)
	c := client.Database("d").Collection("c")
	for range 2 {
		fill(t, c, n)
		if err := createIndex(c, bson.D{{Key: "a", Value: 1}, {Key: "pad", Value: 1}}, options.Index()); err != nil {
			t.Fatal(err)
		}
		if err := c.Drop(ctx); err != nil {
			t.Fatal(err)
		}
		if got := countOf(t, c, bson.D{}); got != 0 {
			t.Fatalf("%d documents after the drop", got)
		}
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}}))(t)
		if got := countOf(t, c, bson.D{}); got != 1 {
			t.Fatalf("%d documents of the next collection", got)
		}
		if err := c.Drop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, c, n)
	if err := c.Database().Drop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := docstore.Verify(path); err != nil { // with what is not freed yet
		t.Fatal(err)
	}
	e, client = open(t, path)
	c = client.Database("d").Collection("c")
	fill(t, c, 10)
	until(t, "all freed", func() bool { left, err := e.LeftOver(); return left == 0 && err == nil })
	if err := e.CheckIndexes(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := docstore.Verify(path); err != nil {
		t.Fatal(err)
	}
}
