package docstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/eidermail/eider/embedded/docstore"
)

// soon is a collection whose writes do not wait for the disk: tests with many
// writes are not about that.
func soon(db *mongo.Database, name string) *mongo.Collection {
	return db.Collection(name, options.Collection().SetWriteConcern(writeconcern.W1()))
}

func TestBulkWrites(t *testing.T) {
	ctx := t.Context()
	db := fresh(t)
	models := func() []mongo.WriteModel {
		return []mongo.WriteModel{
			mongo.NewInsertOneModel().SetDocument(bson.D{{Key: "_id", Value: 1}}),
			mongo.NewInsertOneModel().SetDocument(bson.D{{Key: "_id", Value: 1}}), // twice
			mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: 1}}).SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}}}),
			mongo.NewUpdateManyModel().SetFilter(bson.D{}).SetUpdate(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}),
			mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: 2}}).SetReplacement(bson.D{{Key: "b", Value: 2}}).SetUpsert(true),
			mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: 9}}),
			mongo.NewDeleteManyModel().SetFilter(bson.D{{Key: "_id", Value: 2}}),
		}
	}
	for name, c := range map[string]struct {
		ordered bool
		want    mongo.BulkWriteResult
		after   int64
	}{
		"ordered":   {true, mongo.BulkWriteResult{InsertedCount: 1}, 1},
		"unordered": {false, mongo.BulkWriteResult{InsertedCount: 1, MatchedCount: 3, ModifiedCount: 3, UpsertedCount: 1, DeletedCount: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			coll := db.Collection(name)
			res, err := coll.BulkWrite(ctx, models(), options.BulkWrite().SetOrdered(c.ordered))
			var be mongo.BulkWriteException
			if !errors.As(err, &be) || len(be.WriteErrors) != 1 || be.WriteErrors[0].Index != 1 || be.WriteErrors[0].Code != 11000 {
				t.Fatalf("%v", err)
			}
			got := mongo.BulkWriteResult{InsertedCount: res.InsertedCount, MatchedCount: res.MatchedCount, ModifiedCount: res.ModifiedCount, UpsertedCount: res.UpsertedCount, DeletedCount: res.DeletedCount}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if n := must(coll.CountDocuments(ctx, bson.D{}))(t); n != c.after {
				t.Errorf("%d documents, want %d", n, c.after)
			}
		})
	}
}

func TestLargeCursor(t *testing.T) {
	ctx := t.Context()
	c := soon(fresh(t), "c")
	const n = 100_000
	docs := make([]any, n)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "n", Value: i % 7}}
	}
	must(c.InsertMany(ctx, docs))(t)
	for name, o := range map[string]*options.FindOptionsBuilder{
		"natural": options.Find(), "by index": options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetBatchSize(5_000),
	} {
		seen := make([]bool, n)
		count := 0
		cur := must(c.Find(ctx, bson.D{}, o))(t)
		for cur.Next(ctx) {
			if id := cur.Current.Lookup("_id").Int32(); !seen[id] {
				seen[id] = true
				count++
			}
		}
		if cur.Err() != nil || count != n {
			t.Errorf("%s: %d of %d documents, %v", name, count, n, cur.Err())
		}
	}
}

// stream gives bytes without end that depend on their place only.
type stream struct{ at int64 }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.at * 31 >> 3)
		s.at++
	}
	return len(b), nil
}

// live watches what memory is in use while bytes pass.
type live struct {
	io.Writer
	passed  int64
	samples []uint64
}

func (l *live) Write(b []byte) (int, error) {
	if before := l.passed; before>>22 != (before+int64(len(b)))>>22 { // every 4 MiB
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		l.samples = append(l.samples, m.HeapAlloc)
	}
	l.passed += int64(len(b))
	return l.Writer.Write(b)
}

// constant: what stays in use does not grow. Messages in flight come and go, so it
// is the least that counts.
func (l *live) constant(t *testing.T, what string) {
	t.Helper()
	half := len(l.samples) / 2
	early, late := slices.Min(l.samples[:half]), slices.Min(l.samples[half:])
	if late > early+8<<20 {
		t.Errorf("%s: %d bytes in use at first, %d later", what, early, late)
	}
}

func TestGridFSOf50MB(t *testing.T) {
	ctx := t.Context()
	const size = 50 << 20
	bucket := fresh(t).GridFSBucket(options.GridFSBucket().SetWriteConcern(writeconcern.W1()))
	sum := sha256.New()
	up := &live{Writer: sum}
	id := must(bucket.UploadFromStream(ctx, "large", io.TeeReader(io.LimitReader(&stream{}, size), up)))(t)
	want := sum.Sum(nil)
	sum.Reset()
	down := &live{Writer: sum}
	n, err := bucket.DownloadToStream(ctx, id, down)
	if err != nil || n != size || string(sum.Sum(nil)) != string(want) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	up.constant(t, "up")
	down.constant(t, "down")
	name := must(bucket.OpenDownloadStreamByName(ctx, "large"))(t)
	if name.GetFile().Length != size {
		t.Errorf("%+v", name.GetFile())
	}
	_ = name.Close()
	if err := bucket.Rename(ctx, id, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.OpenDownloadStreamByName(ctx, "large"); !errors.Is(err, mongo.ErrFileNotFound) {
		t.Errorf("%v", err)
	}
	if err := bucket.Drop(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestHundredGoroutines: each has documents of its own and one that all share.
func TestHundredGoroutines(t *testing.T) {
	ctx := t.Context()
	c := soon(fresh(t), "c")
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "g", Value: 1}, {Key: "i", Value: 1}}, Options: options.Index().SetUnique(true)}))(t)
	must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: "all"}, {Key: "g", Value: -1}}))(t)
	var wg sync.WaitGroup
	for g := range 100 {
		wg.Go(func() {
			if err := oneOfMany(ctx, c, g); err != nil {
				t.Errorf("goroutine %d: %v", g, err)
			}
		})
	}
	wg.Wait()
	var all struct{ N int }
	if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: "all"}}).Decode(&all); err != nil || all.N != 500 {
		t.Errorf("%d of 500, %v", all.N, err)
	}
	if n := must(c.CountDocuments(ctx, bson.D{{Key: "g", Value: bson.D{{Key: "$gte", Value: 0}}}}))(t); n != 400 {
		t.Errorf("%d documents of 400", n)
	}
}

func oneOfMany(ctx context.Context, c *mongo.Collection, g int) error {
	mine := bson.D{{Key: "g", Value: g}}
	for i := range 5 {
		if _, err := c.InsertOne(ctx, bson.D{{Key: "g", Value: g}, {Key: "i", Value: i}}); err != nil {
			return err
		}
		if _, err := c.UpdateMany(ctx, mine, bson.D{{Key: "$inc", Value: bson.D{{Key: "seen", Value: 1}}}}); err != nil {
			return err
		}
		if _, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: "all"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}); err != nil {
			return err
		}
		cur, err := c.Find(ctx, mine, options.Find().SetSort(bson.D{{Key: "i", Value: -1}}).SetBatchSize(2))
		if err != nil {
			return err
		}
		var docs []struct{ I, Seen int }
		if err := cur.All(ctx, &docs); err != nil {
			return err
		}
		for k, d := range docs {
			if d.I != i-k || d.Seen != k+1 {
				return fmt.Errorf("round %d: %+v", i, docs)
			}
		}
		if len(docs) != i+1 {
			return fmt.Errorf("round %d: %+v", i, docs)
		}
	}
	_, err := c.DeleteOne(ctx, append(mine, bson.E{Key: "i", Value: 4}))
	return err
}

// telling is a dialer that tells when the connection of a count is closed.
type telling struct {
	e      *docstore.Engine
	closed chan struct{}
}

func (d *telling) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.e.DialContext(ctx, network, address)
	return &tellingConn{Conn: c, d: d}, err
}

type tellingConn struct {
	net.Conn
	d       *telling
	counted atomic.Bool
}

func (c *tellingConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("count\x00")) {
		c.counted.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *tellingConn) Close() error {
	err := c.Conn.Close()
	if c.counted.CompareAndSwap(true, false) {
		close(c.d.closed)
	}
	return err
}

// TestCancelledReadEnds: the driver closes the connection of a cancelled command,
// and the engine ends the scan for which nobody waits any more.
func TestCancelledReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &telling{closed: make(chan struct{})}
	var armed atomic.Bool
	var looks atomic.Int32 // at the clock, every now and then during a scan with a deadline
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "store.db"), Now: func() time.Time {
		if armed.Load() && looks.Add(1) == 3 {
			cancel()
			select {
			case <-d.closed:
			case <-time.After(time.Minute):
				t.Error("the connection stays open")
			}
		}
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	d.e = e
	client, err := mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(d).SetServerMonitoringMode("poll"))
	if err != nil {
		t.Fatal(err)
	}
	c := soon(client.Database("d"), "c")
	docs := make([]any, 10_000)
	for i := range docs {
		docs[i] = bson.D{{Key: "n", Value: i}}
	}
	must(c.InsertMany(ctx, docs))(t)
	armed.Store(true)
	err = client.Database("d").RunCommand(ctx, bson.D{
		{Key: "count", Value: "c"}, {Key: "query", Value: bson.D{{Key: "x", Value: 1}}}, {Key: "maxTimeMS", Value: 600_000},
	}).Err()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	armed.Store(false)
	must(c.InsertOne(t.Context(), bson.D{}))(t) // the client goes on with another connection
	_ = client.Disconnect(t.Context())
	if err := e.Close(); err != nil { // it waits for what is running
		t.Error(err)
	}
	if n := looks.Load(); n > 6 {
		t.Errorf("the scan went on: %d looks at the clock", n)
	}
}

// dropping is a dialer whose connections break now and then.
type dropping struct {
	e             *docstore.Engine
	enabled       atomic.Bool
	writes, reads atomic.Int32
	drops         atomic.Int32
}

func (d *dropping) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.e.DialContext(ctx, network, address)
	return &droppingConn{c, d}, err
}

type droppingConn struct {
	net.Conn
	d *dropping
}

func (c *droppingConn) Write(b []byte) (int, error) {
	if c.d.enabled.Load() && c.d.writes.Add(1)%100 == 0 {
		n := 0
		if c.d.drops.Add(1)%2 == 0 {
			n, _ = c.Conn.Write(b[:len(b)/2]) // a part arrives
		}
		_ = c.Close()
		return n, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

func (c *droppingConn) Read(b []byte) (int, error) {
	if c.d.enabled.Load() && c.d.reads.Add(1)%250 == 0 {
		c.d.drops.Add(1)
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return c.Conn.Read(b)
}

// TestKilledConnections: what is acknowledged is there, whatever happens to
// connections, and nothing is there twice.
func TestKilledConnections(t *testing.T) {
	t.Parallel() // it mostly waits for connections
	ctx := t.Context()
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	d := &dropping{e: e}
	client, err := mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(d).SetServerMonitoringMode("poll"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = client.Disconnect(ctx)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := soon(client.Database("d"), "c")
	must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: -1}}))(t)
	d.enabled.Store(true)
	var wg sync.WaitGroup
	var acknowledged sync.Map
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				id := g*1000 + i
				if _, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: id}}); err == nil {
					acknowledged.Store(int32(id), true)
				}
				_ = c.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err()
			}
		})
	}
	wg.Wait()
	d.enabled.Store(false)
	if d.drops.Load() == 0 {
		t.Error("no connection broke")
	}
	var docs []struct {
		ID int32 `bson:"_id"`
	}
	cur := must(c.Find(ctx, bson.D{}))(t)
	if err := cur.All(ctx, &docs); err != nil {
		t.Fatal(err)
	}
	there := map[int32]bool{}
	for _, doc := range docs {
		there[doc.ID] = true
	}
	n := 0
	acknowledged.Range(func(id, _ any) bool {
		n++
		if !there[id.(int32)] {
			t.Errorf("%v was acknowledged and is not there", id)
		}
		return true
	})
	t.Logf("%d connections broke, %d of 320 inserts were acknowledged, %d documents", d.drops.Load(), n, len(docs))
}
