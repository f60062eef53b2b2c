package docstore_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// TestRefuses is rule one: what is not served is an error with MongoDB's code.
func TestRefuses(t *testing.T) {
	db := fresh(t)
	insert := func(more ...bson.E) bson.D {
		return append(bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{}}}}, more...)
	}
	find := func(more ...bson.E) bson.D { return append(bson.D{{Key: "find", Value: "c"}}, more...) }
	createIndex := func(more ...bson.E) bson.D {
		return bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{append(bson.D{{Key: "name", Value: "x"}}, more...)}}}
	}
	key := bson.E{Key: "key", Value: bson.D{{Key: "a", Value: 1}}}
	for name, c := range map[string]struct {
		command bson.D
		code    int
	}{
		"unknown command":         {bson.D{{Key: "mapReduce", Value: "c"}}, 59},
		"login":                   {bson.D{{Key: "saslStart", Value: 1}}, 59},
		"transaction":             {insert(bson.E{Key: "txnNumber", Value: int64(1)}, bson.E{Key: "startTransaction", Value: true}, bson.E{Key: "autocommit", Value: false}), 20},
		"two nodes":               {insert(bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: 2}}}), 2},
		"tagged write concern":    {insert(bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "dc"}}}), 2},
		"snapshot":                {find(bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "snapshot"}}}), 123},
		"collation":               {find(bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}}}), 40415},
		"tailable":                {find(bson.E{Key: "tailable", Value: true}), 2},
		"write concern of a read": {find(bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}), 72},
		"text index":              {createIndex(bson.E{Key: "key", Value: bson.D{{Key: "a", Value: "text"}}}), 67},
		"collation of an index":   {createIndex(key, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}}}), 197},
		"hidden index":            {createIndex(key, bson.E{Key: "hidden", Value: true}), 197},
		"unique hashed":           {createIndex(bson.E{Key: "key", Value: bson.D{{Key: "a", Value: "hashed"}}}, bson.E{Key: "unique", Value: true}), 16764},
		"validator":               {bson.D{{Key: "create", Value: "v"}, {Key: "validator", Value: bson.D{}}}, 40415},
		"capped":                  {bson.D{{Key: "create", Value: "v"}, {Key: "capped", Value: true}}, 72},
		"other engine":            {bson.D{{Key: "create", Value: "v"}, {Key: "storageEngine", Value: bson.D{{Key: "other", Value: bson.D{}}}}}, 72},
		"bad namespace":           {bson.D{{Key: "find", Value: "$c"}}, 73},
	} {
		t.Run(name, func(t *testing.T) {
			err := db.RunCommand(t.Context(), c.command).Err()
			var se mongo.ServerError
			if !errors.As(err, &se) || !se.HasErrorCode(c.code) {
				t.Fatalf("want code %d: %v", c.code, err)
			}
		})
	}
	err := db.RunCommand(t.Context(), bson.D{{Key: "create", Value: "v"}, {Key: "storageEngine", Value: bson.D{{Key: "wiredTiger", Value: bson.D{{Key: "configString", Value: "block_compressor=zlib"}}}}}}).Err()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLargeDocuments(t *testing.T) {
	ctx := t.Context()
	c := fresh(t).Collection("c")
	big := bytes.Repeat([]byte("x"), 7<<20)
	for i := range 5 {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "b", Value: big}}))(t)
	}
	cur := must(c.Find(ctx, bson.D{}))(t) // more than one batch of 16 MiB
	n := 0
	for cur.Next(ctx) {
		n++
		if _, b := cur.Current.Lookup("b").Binary(); len(b) != len(big) {
			t.Fatalf("%d bytes", len(b))
		}
	}
	if cur.Err() != nil || n != 5 {
		t.Fatalf("%d documents, %v", n, cur.Err())
	}
	_, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: 1}}, mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "c", Value: "$b"}, {Key: "d", Value: "$b"}}}}})
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorCode(17419) {
		t.Fatalf("%v", err)
	}
}

func TestSortMemoryIsBounded(t *testing.T) {
	ctx := t.Context()
	c := fresh(t).Collection("c")
	big := bytes.Repeat([]byte("x"), 10<<20)
	for i := range 11 {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: -i}, {Key: "b", Value: big}}))(t)
	}
	sorted := options.Find().SetSort(bson.D{{Key: "n", Value: 1}})
	_, err := c.Find(ctx, bson.D{}, sorted)
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorCode(292) {
		t.Fatalf("%v", err)
	}
	var docs []bson.Raw
	cur := must(c.Find(ctx, bson.D{}, sorted.SetLimit(2)))(t)
	if err := cur.All(ctx, &docs); err != nil || len(docs) != 2 || docs[0].Lookup("_id").Int32() != 10 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
}

func TestIdleCursorsExpire(t *testing.T) {
	ctx := t.Context()
	now := time.Now()
	var mu sync.Mutex
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "store.db"), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, e)
	defer func() {
		_ = client.Disconnect(ctx)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := client.Database("d").Collection("c")
	must(c.InsertMany(ctx, []any{bson.D{}, bson.D{}, bson.D{}}))(t)
	must(c.Find(ctx, bson.D{}, options.Find().SetBatchSize(1)))(t)
	if e.ExpireCursors(); e.OpenCursors() != 1 {
		t.Fatalf("%d open", e.OpenCursors())
	}
	mu.Lock()
	now = now.Add(11 * time.Minute)
	mu.Unlock()
	if e.ExpireCursors(); e.OpenCursors() != 0 {
		t.Fatalf("%d open", e.OpenCursors())
	}
}

func TestMaxTime(t *testing.T) {
	ctx := t.Context()
	db := fresh(t)
	docs := make([]any, 6_000)
	for i := range docs {
		docs[i] = bson.D{{Key: "n", Value: i}}
	}
	must(db.Collection("c").InsertMany(ctx, docs))(t)
	err := db.RunCommand(ctx, bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: bson.D{{Key: "x", Value: 1}}}, {Key: "maxTimeMS", Value: 1}}).Err()
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorCode(50) {
		t.Fatalf("%v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	e, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	if err := e.PanicInWriter(); err == nil {
		t.Fatal("no error")
	}
	must(client.Database("d").Collection("c").InsertOne(t.Context(), bson.D{}))(t) // it goes on
}
