package docstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// start opens a store whose syncs go through f, and a driver on it.
func start(t *testing.T, path string, f func(*os.File) error, log *slog.Logger) (e *Engine, coll *mongo.Collection, stop func()) {
	t.Helper()
	return startLog(t, path, 0, f, log)
}

// startLog is start with a log of so many pages.
func startLog(t *testing.T, path string, pages int64, f func(*os.File) error, log *slog.Logger) (e *Engine, coll *mongo.Collection, stop func()) {
	t.Helper()
	e, err := Open(t.Context(), Options{Path: path, fsync: f, logPages: pages, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c, err := mongo.Connect(options.Client().ApplyURI(URI).SetDialer(e).SetServerMonitoringMode("poll").SetRetryWrites(false))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = c.Disconnect(context.Background())
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return e, c.Database("d").Collection("c"), stop
}

func durableOf(coll *mongo.Collection) *mongo.Collection {
	yes := true
	return coll.Database().Collection(coll.Name(), options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1, Journal: &yes}))
}

// acknowledged is what the store has promised: the value of each document.
type acknowledged struct {
	mu   sync.Mutex
	docs map[int]int
}

// load writes until ctx ends: each goroutine its own documents, inserted and then
// counted up, with other writes in between that do not wait for the disk.
func (a *acknowledged) load(ctx context.Context, t *testing.T, coll *mongo.Collection, worker int) {
	sure := durableOf(coll)
	yes := false
	quick := coll.Database().Collection("other", options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1, Journal: &yes}))
	pad := bytes.Repeat([]byte{byte(worker)}, 3000)
	for n := 0; ctx.Err() == nil; n++ {
		id := worker*1_000_000 + n/4
		var err error
		if n%4 == 0 {
			_, err = sure.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "v", Value: 0}, {Key: "pad", Value: pad}})
		} else {
			_, err = sure.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "v", Value: n % 4}}}})
		}
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("worker %d: %v", worker, err)
			}
			return
		}
		a.mu.Lock()
		a.docs[id] = n % 4
		a.mu.Unlock()
		if _, err := quick.InsertOne(ctx, bson.D{{Key: "pad", Value: pad}}); err != nil && ctx.Err() == nil {
			t.Errorf("worker %d: %v", worker, err)
			return
		}
	}
}

func (a *acknowledged) copy() map[int]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[int]int, len(a.docs))
	for k, v := range a.docs {
		out[k] = v
	}
	return out
}

// Whatever of the unsynced writes a power cut leaves, what was acknowledged with
// j: true is there, and the file is whole.
func TestPowerCutKeepsWhatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	// A small log, so that cuts fall into checkpoints and restarts of the log too.
	_, coll, stop := startLog(t, filepath.Join(dir, "store.db"), 100, d.fsync, nil)
	if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "v", Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &acknowledged{docs: map[int]int{}}
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() { a.load(ctx, t, coll, w) })
	}
	chance := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	const cuts = 12
	folders := make([]string, cuts)
	promised := make([]map[int]int, cuts)
	for i := range cuts {
		for have := len(a.copy()); len(a.copy()) < have+10+i; {
			select {
			case <-time.After(time.Millisecond): // until enough has happened
			case <-t.Context().Done():
				t.Fatal(t.Context().Err())
			}
			if t.Failed() {
				cancel()
				workers.Wait()
				return
			}
		}
		folders[i] = t.TempDir()
		promised[i] = a.copy() // before the cut: the promise was made before it
		d.cut(t, folders[i], chance)
	}
	cancel()
	workers.Wait()
	stop()
	for i := range cuts {
		checkCut(t, filepath.Join(folders[i], "store.db"), promised[i])
	}
}

// checkCut opens what a power cut left.
func checkCut(t *testing.T, path string, promised map[int]int) {
	t.Helper()
	e, coll, stop := start(t, path, nil, nil)
	var got []struct {
		ID int `bson:"_id"`
		V  int `bson:"v"`
	}
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetProjection(bson.D{{Key: "v", Value: 1}}))
	if err == nil {
		err = cur.All(t.Context(), &got)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	have := map[int]int{}
	for _, g := range got {
		have[g.ID] = g.V
	}
	for id, v := range promised {
		if w, ok := have[id]; !ok || w < v {
			t.Errorf("%d was acknowledged with %d and is %d, %v", id, v, w, ok)
		}
	}
	_ = e
	stop()
	if err := Verify(path); err != nil {
		t.Error(err)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	var log lines
	_, coll, stop := start(t, filepath.Join(dir, "store.db"), d.fsync, slog.New(slog.NewTextHandler(&log, nil)))
	fillDisk(t, coll, &log, func() { d.mu.Lock(); d.full = true; d.mu.Unlock() }, func() { d.mu.Lock(); d.full = false; d.mu.Unlock() })
	stop()
	if err := Verify(filepath.Join(dir, "store.db")); err != nil {
		t.Error(err)
	}
}

// fillDisk writes while there is no space, and again when there is.
func fillDisk(t *testing.T, coll *mongo.Collection, log *lines, full, free func()) {
	t.Helper()
	ctx := t.Context()
	coll = durableOf(coll)
	insert := func(id int) error {
		_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "pad", Value: bytes.Repeat([]byte{1}, 5000)}})
		return err
	}
	if err := insert(0); err != nil {
		t.Fatal(err)
	}
	full()
	failures := 0
	for id := 1; failures < 50; id++ {
		err := insert(id)
		var ce mongo.WriteException
		var se mongo.ServerError
		switch {
		case err == nil && id > 100_000:
			t.Fatal("the disk does not fill")
		case err == nil:
		case !errors.As(err, &se) || !se.HasErrorCode(14031) && !errors.As(err, &ce):
			t.Fatalf("a write to a full disk: %v", err)
		default:
			failures++
		}
		// Reads go on.
		if got := coll.FindOne(ctx, bson.D{{Key: "_id", Value: 0}}).Err(); got != nil {
			t.Fatalf("a read while the disk is full: %v", got)
		}
		if err != nil && coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err() == nil {
			t.Fatalf("%d was refused and is there", id)
		}
	}
	if n := log.count("store_write_failed"); n != 1 {
		t.Errorf("a full disk was logged %d times", n)
	}
	free()
	if err := insert(-1); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	if n := log.count("store_writes_again"); n != 1 {
		t.Errorf("the end was logged %d times", n)
	}
}

// After a failed fsync nothing is promised until all that the log has lies in
// the store's file, see syncer.flush.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	var mu sync.Mutex
	failing := false
	fsync := func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		if failing {
			return fmt.Errorf("a test: %w", os.ErrInvalid)
		}
		return d.fsync(f)
	}
	set := func(v bool) { mu.Lock(); failing = v; mu.Unlock() }
	path := filepath.Join(dir, "store.db")
	e, coll, stop := start(t, path, fsync, nil)
	coll = durableOf(coll)
	insert := func(id int) error {
		_, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "v", Value: 0}})
		return err
	}
	if err := insert(1); err != nil {
		t.Fatal(err)
	}
	set(true)
	if err := insert(2); err == nil {
		t.Fatal("acknowledged without an fsync")
	}
	set(false)
	if !e.writer.sync.broken.Load() {
		t.Fatal("the failure was forgotten")
	}
	if err := insert(3); err != nil {
		t.Fatalf("after the disk had come back: %v", err)
	}
	cut := t.TempDir()
	d.cut(t, cut, rand.New(rand.NewPCG(1, 2)))
	stop()
	checkCut(t, filepath.Join(cut, "store.db"), map[int]int{1: 0, 2: 0, 3: 0})
}

func TestMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	old, err := os.ReadFile("testdata/format1.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	was := migrations
	t.Cleanup(func() { migrations = was })
	fails := true
	migrations = append(was[:len(was):len(was)],
		func(c *conn) error { return c.exec("CREATE TABLE one(a)") },
		func(c *conn) error {
			if err := c.exec("CREATE TABLE two(a)"); err != nil || !fails {
				return err
			}
			return errors.New("a test")
		})
	_, err = Open(t.Context(), Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "from format 2 to 3: a test") {
		t.Fatalf("got %v", err)
	}
	// The first step stands, the second left nothing and is taken again.
	fails = false
	e, coll, stop := start(t, path, nil, nil)
	if n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "tags", Value: "even"}}); err != nil || n != 50 {
		t.Errorf("%d documents, %v", n, err)
	}
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "new"}}); err != nil {
		t.Error(err)
	}
	_ = e
	stop()
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	// And with the file as it is now, this version's real format is too old.
	migrations = was
	if _, err := Open(t.Context(), Options{Path: path}); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer file: %v", err)
	}
	if err := Verify(path); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer file: %v", err)
	}
}

// The fixture is a file as format 1 left it, closed in order.
func TestFixtureOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	old, err := os.ReadFile("testdata/format1.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	_, coll, _ := start(t, path, nil, nil)
	n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "tags", Value: "even"}}, options.Count().SetHint("tags_1"))
	if err != nil || n != 50 {
		t.Errorf("%d documents, %v", n, err)
	}
}

func TestFilesThatAreNoStore(t *testing.T) {
	old, err := os.ReadFile("testdata/format1.db")
	if err != nil {
		t.Fatal(err)
	}
	torn := append([]byte(nil), old...)
	for i := range torn[4096:] {
		torn[4096+i] ^= 0x5A
	}
	for name, tc := range map[string]struct {
		content []byte
		want    error
	}{
		"text":               {[]byte("From: me@example.org\nSubject: no store\n"), ErrForeign},
		"short text":         {[]byte("x"), ErrForeign},
		"cut in the header":  {old[:60], ErrDamaged},
		"cut in the middle":  {old[:len(old)/2], ErrDamaged},
		"overwritten within": {torn, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), Options{Path: path})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, tc.content) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}
