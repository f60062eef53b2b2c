package docstore_test

import (
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// TestCursorHoldsNoTransaction: between two batches no cursor keeps the log from
// being emptied, and each goes on behind what it gave, whatever happened meanwhile.
func TestCursorHoldsNoTransaction(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "store.db")
	_, client := open(t, path)
	c := client.Database("d").Collection("c")
	docs := make([]any, 300)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "g", Value: i % 3}, {Key: "n", Value: i}}
	}
	must(c.InsertMany(ctx, docs))(t)
	if err := createIndex(c, bson.D{{Key: "g", Value: 1}, {Key: "n", Value: 1}}, options.Index()); err != nil {
		t.Fatal(err)
	}
	in := bson.D{{Key: "g", Value: bson.D{{Key: "$in", Value: bson.A{0, 1, 2}}}}}
	up, down := bson.D{{Key: "n", Value: 1}}, bson.D{{Key: "n", Value: -1}}
	for name, q := range map[string]struct {
		filter, sort bson.D
		hint         any
	}{
		"scan":           {bson.D{}, nil, nil},
		"index":          {bson.D{{Key: "g", Value: bson.D{{Key: "$gte", Value: 0}}}}, nil, nil},
		"merge":          {in, up, nil},
		"merge, reverse": {in, down, nil},
		"or":             {bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "g", Value: 1}}, bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: 0}}}}}}}, nil, nil},
		"sorted":         {bson.D{}, down, nil},
		"reverse":        {bson.D{}, bson.D{{Key: "_id", Value: -1}}, "_id_"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options.Find().SetBatchSize(7).SetHint(q.hint)
			if q.sort != nil {
				o.SetSort(q.sort)
			}
			cur := must(c.Find(ctx, q.filter, o))(t)
			seen := map[int]bool{}
			for cur.Next(ctx) {
				id := int(cur.Current.Lookup("_id").AsInt64())
				if seen[id] {
					t.Fatalf("%d comes twice", id)
				}
				seen[id] = true
				if len(seen)%70 != 0 {
					continue
				}
				must(c.UpdateMany(ctx, bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "seen", Value: 1}}}}))(t)
				if busy := must(docstore.EmptyLog(path))(t); busy {
					t.Fatalf("after %d documents the log is in use", len(seen))
				}
			}
			if cur.Err() != nil || len(seen) != len(docs) {
				t.Fatalf("%d documents, %v", len(seen), cur.Err())
			}
		})
	}
}
