package docstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/eidermail/eider/embedded/docstore"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		child(path)
		return
	}
	if path := os.Getenv(builderPath); path != "" {
		builder(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens a store and a driver on it, both closed with the test.
func open(t testing.TB, path string) (*docstore.Engine, *mongo.Client) {
	t.Helper()
	e, err := docstore.Open(context.Background(), docstore.Options{Path: path, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, e)
	t.Cleanup(func() {
		_ = c.Disconnect(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, c
}

func connect(t testing.TB, e *docstore.Engine) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(e).SetServerMonitoringMode("poll"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

func fresh(t testing.TB) *mongo.Database {
	t.Helper()
	_, c := open(t, filepath.Join(t.TempDir(), "store.db"))
	return c.Database("test")
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestRoundTrip(t *testing.T) {
	ctx := t.Context()
	db := fresh(t)
	c := db.Collection("messages")
	_, err := c.Indexes().CreateMany(ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: 1}}, Options: options.Index().SetName("by_uid").SetUnique(true)},
		{Keys: bson.D{{Key: "mailbox", Value: 1}, {Key: "idate", Value: -1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "mailbox", Value: i % 2}, {Key: "uid", Value: int64(i)}, {Key: "idate", Value: bson.DateTime(1000 - i)}}))(t)
	}
	var got []struct {
		ID int `bson:"_id"`
	}
	cur := must(c.Find(ctx, bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: bson.D{{Key: "$gt", Value: 10}}}}, options.Find().SetSort(bson.D{{Key: "uid", Value: -1}}).SetLimit(3)))(t)
	if err := cur.All(ctx, &got); err != nil || len(got) != 3 || got[0].ID != 19 || got[2].ID != 15 {
		t.Fatalf("%v %v", got, err)
	}
	res := must(c.UpdateOne(ctx, bson.D{{Key: "_id", Value: 3}}, bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: true}}}}))(t)
	if res.ModifiedCount != 1 {
		t.Fatalf("%+v", res)
	}
	var doc bson.M
	err = c.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 3}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "uid", Value: 100}}}}, options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(bson.D{{Key: "uid", Value: 1}})).Decode(&doc)
	if err != nil || doc["uid"] != int64(103) || len(doc) != 2 {
		t.Fatalf("%v %v", doc, err)
	}
	_, err = c.InsertOne(ctx, bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: 5}})
	if !mongo.IsDuplicateKeyError(err) {
		t.Fatalf("%v", err)
	}
	if n := must(c.CountDocuments(ctx, bson.D{{Key: "mailbox", Value: 0}}))(t); n != 10 {
		t.Fatalf("%d", n)
	}
	if n := must(c.DeleteMany(ctx, bson.D{{Key: "mailbox", Value: 0}}))(t); n.DeletedCount != 10 {
		t.Fatalf("%+v", n)
	}
	if n := must(c.EstimatedDocumentCount(ctx))(t); n != 10 {
		t.Fatalf("%d", n)
	}
}

func TestGridFS(t *testing.T) {
	ctx := t.Context()
	bucket := fresh(t).GridFSBucket()
	data := bytes.Repeat([]byte("attachment"), 200_000)
	id := must(bucket.UploadFromStream(ctx, "a.bin", bytes.NewReader(data)))(t)
	down := must(bucket.OpenDownloadStream(ctx, id))(t)
	got, err := io.ReadAll(down)
	_ = down.Close()
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := bucket.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.OpenDownloadStream(ctx, id); !errors.Is(err, mongo.ErrFileNotFound) {
		t.Fatalf("%v", err)
	}
}

func TestIncrementsAreAtomic(t *testing.T) {
	ctx := t.Context()
	c := soon(fresh(t), "counters")
	must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 0}}))(t)
	var wg sync.WaitGroup
	var seen sync.Map
	for range 16 {
		wg.Go(func() {
			for range 1000 {
				var d struct{ N int }
				err := c.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&d)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(d.N, true); twice {
					t.Errorf("%d was given twice", d.N)
				}
			}
		})
	}
	wg.Wait()
	var d struct{ N int }
	if err := c.FindOne(ctx, bson.D{}).Decode(&d); err != nil || d.N != 16_000 {
		t.Fatalf("%d of 16000, %v", d.N, err)
	}
}

func TestUniqueUnderConcurrency(t *testing.T) {
	ctx := t.Context()
	c := fresh(t).Collection("users")
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true)}))(t)
	var wg sync.WaitGroup
	var won atomic.Int32
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				_, err := c.InsertOne(ctx, bson.D{{Key: "name", Value: i}, {Key: "by", Value: w}})
				switch {
				case err == nil:
					won.Add(1)
				case !mongo.IsDuplicateKeyError(err):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := must(c.CountDocuments(ctx, bson.D{}))(t); n != 20 || won.Load() != 20 {
		t.Fatalf("%d documents, %d inserts", n, won.Load())
	}
}

func TestCursors(t *testing.T) {
	ctx := t.Context()
	db := fresh(t)
	c := db.Collection("c")
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "g", Value: 1}, {Key: "n", Value: 1}}}))(t)
	docs := make([]any, 1000)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "g", Value: i % 3}, {Key: "n", Value: i / 10}}
	}
	must(c.InsertMany(ctx, docs))(t)
	for name, o := range map[string]struct {
		filter bson.D
		opts   *options.FindOptionsBuilder
		want   int
	}{
		"all":      {bson.D{}, options.Find().SetBatchSize(7), 1000},
		"index":    {bson.D{{Key: "g", Value: 1}}, options.Find().SetBatchSize(10).SetSort(bson.D{{Key: "n", Value: -1}}), 333},
		"merge":    {bson.D{{Key: "g", Value: bson.D{{Key: "$in", Value: bson.A{0, 2}}}}}, options.Find().SetBatchSize(9).SetSort(bson.D{{Key: "n", Value: 1}}), 667},
		"or":       {bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "g", Value: 1}}, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 10}}}}}}}, options.Find().SetBatchSize(5), 340},
		"sorted":   {bson.D{}, options.Find().SetBatchSize(100).SetSort(bson.D{{Key: "x", Value: 1}}), 1000},
		"limit":    {bson.D{{Key: "g", Value: 1}}, options.Find().SetBatchSize(10).SetLimit(35).SetSkip(3), 35},
		"covered":  {bson.D{{Key: "g", Value: 1}}, options.Find().SetBatchSize(10).SetProjection(bson.D{{Key: "n", Value: 1}, {Key: "g", Value: 1}, {Key: "_id", Value: 0}}), 333},
		"no batch": {bson.D{}, options.Find().SetBatchSize(0), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			cur := must(c.Find(ctx, o.filter, o.opts))(t)
			seen := map[int]bool{}
			n := 0
			for cur.Next(ctx) {
				n++
				if id, ok := cur.Current.Lookup("_id").AsInt64OK(); ok {
					seen[int(id)] = true
				}
			}
			if cur.Err() != nil || n != o.want || (name != "covered" && len(seen) != n) {
				t.Fatalf("%d documents, %d different, want %d: %v", n, len(seen), o.want, cur.Err())
			}
		})
	}
	t.Run("dropped index", func(t *testing.T) {
		cur := must(c.Find(ctx, bson.D{{Key: "g", Value: 1}}, options.Find().SetBatchSize(10)))(t)
		if err := c.Indexes().DropAll(ctx); err != nil {
			t.Fatal(err)
		}
		n := 0
		for cur.Next(ctx) {
			n++
		}
		var se mongo.ServerError
		if !errors.As(cur.Err(), &se) || !se.HasErrorCode(175) || n == 333 {
			t.Fatalf("%d documents, %v", n, cur.Err())
		}
	})
	t.Run("closed", func(t *testing.T) {
		cur := must(c.Find(ctx, bson.D{}, options.Find().SetBatchSize(10)))(t)
		id := cur.ID()
		if err := cur.Close(ctx); err != nil {
			t.Fatal(err)
		}
		err := db.RunCommand(ctx, bson.D{{Key: "getMore", Value: id}, {Key: "collection", Value: "c"}}).Err()
		var se mongo.ServerError
		if !errors.As(err, &se) || !se.HasErrorCode(43) {
			t.Fatalf("%v", err)
		}
	})
}

func TestReopen(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "a store 100%#&.db")
	e, err := docstore.Open(ctx, docstore.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, e)
	c := client.Database("d").Collection("c")
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "a", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: 0}}}})}))(t)
	for i := range 5 {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: bson.A{i, i * 10}}}))(t)
	}
	if _, err := docstore.Open(ctx, docstore.Options{Path: path}); !errors.Is(err, docstore.ErrInUse) {
		t.Fatalf("a second opening: %v", err)
	}
	_ = client.Disconnect(ctx)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	_, client = open(t, path)
	c = client.Database("d").Collection("c")
	if n := must(c.EstimatedDocumentCount(ctx))(t); n != 5 {
		t.Fatalf("%d documents", n)
	}
	if _, err := c.InsertOne(ctx, bson.D{{Key: "a", Value: 40}}); !mongo.IsDuplicateKeyError(err) {
		t.Fatalf("%v", err)
	}
	must(c.InsertOne(ctx, bson.D{{Key: "a", Value: 41}}))(t)
}

func TestOpenRefuses(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is no database, it is a text of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := docstore.Open(ctx, docstore.Options{Path: text}); !errors.Is(err, docstore.ErrForeign) {
		t.Errorf("a text: %v", err)
	}
	for name, sql := range map[string]string{"foreign": "CREATE TABLE t(x)", "newer": "PRAGMA user_version = 99"} {
		path := filepath.Join(dir, name)
		if name == "newer" {
			e, err := docstore.Open(ctx, docstore.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
		docstore.ExecSQL(t, path, sql)
		want := map[string]error{"foreign": docstore.ErrForeign, "newer": docstore.ErrNewer}[name]
		if _, err := docstore.Open(ctx, docstore.Options{Path: path}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTTL(t *testing.T) {
	ctx := t.Context()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "store.db"), Now: clock})
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
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "at", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(60)}))(t)
	for i := range 120 {
		must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "at", Value: now}}))(t)
	}
	must(c.InsertMany(ctx, []any{
		bson.D{{Key: "at", Value: "text"}},
		bson.D{{Key: "at", Value: nil}},
		bson.D{},
		bson.D{{Key: "at", Value: 5}},
		bson.D{{Key: "at", Value: now.Add(time.Hour)}},
		bson.D{{Key: "at", Value: bson.A{now, now.Add(time.Hour)}}},
	}))(t)
	count := func() int64 { return must(c.CountDocuments(ctx, bson.D{}))(t) }
	if err := e.Expire(); err != nil || count() != 126 {
		t.Fatalf("too early: %d left, %v", count(), err)
	}
	mu.Lock()
	now = now.Add(61 * time.Second)
	mu.Unlock()
	if err := e.Expire(); err != nil || count() != 5 {
		t.Fatalf("%d left, %v", count(), err)
	}
}
