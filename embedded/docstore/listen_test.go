package docstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// listen opens a store's port and a driver on it.
func listen(t testing.TB) (*docstore.Engine, *docstore.Listener, *mongo.Client) {
	t.Helper()
	e, _ := open(t, filepath.Join(t.TempDir(), "store.db"))
	l := must(e.Listen(t.Context(), "127.0.0.1:0"))(t)
	// As a tool would: no dialer, no further option than the address.
	c := must(mongo.Connect(options.Client().ApplyURI("mongodb://" + l.Addr().String())))(t)
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return e, l, c
}

func TestListenServesTheDriver(t *testing.T) {
	ctx := t.Context()
	_, _, c := listen(t)
	db := c.Database("d")
	coll := db.Collection("c")
	docs := make([]any, 500)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "pad", Value: bytes.Repeat([]byte{1}, 2000)}}
	}
	must(coll.InsertMany(ctx, docs))(t)
	cur := must(coll.Find(ctx, bson.D{}, options.Find().SetBatchSize(50).SetSort(bson.D{{Key: "_id", Value: 1}})))(t)
	n := 0
	for cur.Next(ctx) {
		if got := cur.Current.Lookup("_id").AsInt64(); got != int64(n) {
			t.Fatalf("document %d is %d", n, got)
		}
		n++
	}
	if cur.Err() != nil || n != len(docs) {
		t.Fatalf("%d documents, %v", n, cur.Err())
	}
	_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
	if !mongo.IsDuplicateKeyError(err) {
		t.Fatalf("got %v", err)
	}
	file := bytes.Repeat([]byte("0123456789"), 300_000)
	id := must(db.GridFSBucket().UploadFromStream(ctx, "f", bytes.NewReader(file)))(t)
	var back bytes.Buffer
	if _, err := db.GridFSBucket().DownloadToStream(ctx, id, &back); err != nil || !bytes.Equal(back.Bytes(), file) {
		t.Fatalf("%d bytes came back: %v", back.Len(), err)
	}
	// The same store, not another.
	if names := must(c.ListDatabaseNames(ctx, bson.D{}))(t); len(names) != 1 || names[0] != "d" {
		t.Fatalf("databases %v", names)
	}
}

func TestListenOnLoopbackOnly(t *testing.T) {
	e, _ := open(t, filepath.Join(t.TempDir(), "store.db"))
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "db.example:0"} {
		if _, err := e.Listen(t.Context(), addr); !errors.Is(err, docstore.ErrNotLoopback) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if _, err := e.Listen(t.Context(), "127.0.0.1"); err == nil {
		t.Error("an address without a port")
	}
	l := must(e.Listen(t.Context(), "localhost:0"))(t)
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		t.Errorf("listens on %v", l.Addr())
	}
}

// hello is a whole first message of a driver.
func hello() []byte {
	doc, _ := bson.Marshal(bson.D{{Key: "hello", Value: 1}, {Key: "$db", Value: "admin"}})
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+5+len(doc)))
	b = binary.LittleEndian.AppendUint32(b, 7)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 2013)
	return append(append(b, 0, 0, 0, 0, 0), doc...)
}

func dialTool(t *testing.T, l *docstore.Listener) net.Conn {
	t.Helper()
	c := must((&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String()))(t)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// readReply reads one whole answer.
func readReply(c net.Conn) error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.LittleEndian.Uint32(head))-4)
	return err
}

func TestListenRefusesWhatIsNoMessage(t *testing.T) {
	_, l, _ := listen(t)
	for name, b := range map[string][]byte{
		"HTTP":              []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"too long":          binary.LittleEndian.AppendUint32(nil, 48_000_001),
		"negative":          append(binary.LittleEndian.AppendUint32(nil, 1<<31), make([]byte, 12)...),
		"shorter than head": append(binary.LittleEndian.AppendUint32(nil, 3), make([]byte, 12)...),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTool(t, l)
			if len(b) < 16 {
				b = append(b, make([]byte, 12)...)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	c := dialTool(t, l)
	if _, err := c.Write(hello()); err != nil {
		t.Fatal(err)
	}
	if err := readReply(c); err != nil {
		t.Errorf("the others are not served any more: %v", err)
	}
}

func TestListenBoundsConnections(t *testing.T) {
	_, l, _ := listen(t)
	refused := 0
	for range 300 {
		c := dialTool(t, l)
		if _, err := c.Write(hello()); err != nil || readReply(c) != nil {
			refused++
		}
	}
	// The driver of listen has connections of its own.
	if refused < 300-256 || refused > 300-240 {
		t.Errorf("%d of 300 were refused", refused)
	}
}

func TestListenStopAnswersWhatIsInHand(t *testing.T) {
	ctx := t.Context()
	e, l, c := listen(t)
	coll := c.Database("d").Collection("c")
	must(coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 0}}))(t)
	release := e.HoldWriter()
	answered := make(chan error, 1)
	go func() {
		_, err := coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: 0}}, bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}}})
		answered <- err
	}()
	e.WaitWriterQueue(t, 1)
	stopped := make(chan error, 1)
	go func() { stopped <- l.Stop(ctx) }()
	waitRefused(t, l.Addr().String())
	select {
	case err := <-stopped:
		t.Fatalf("stopped over a command in hand: %v", err)
	default:
	}
	release()
	if err := <-answered; err != nil {
		t.Errorf("the command in hand: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestListenStopCutsWhatDoesNotEnd(t *testing.T) {
	e, l, _ := listen(t)
	c := dialTool(t, l)
	release := e.HoldWriter()
	doc := must(bson.Marshal(bson.D{{Key: "create", Value: "x"}, {Key: "$db", Value: "d"}}))(t)
	b := hello()[:16]
	binary.LittleEndian.PutUint32(b, uint32(16+5+len(doc)))
	if _, err := c.Write(append(append(b, 0, 0, 0, 0, 0), doc...)); err != nil {
		t.Fatal(err)
	}
	e.WaitWriterQueue(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- l.Stop(ctx) }()
	waitRefused(t, l.Addr().String())
	cancel()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection was not cut")
	}
	release()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
}

// waitRefused waits until nobody listens at an address.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatal(fmt.Errorf("still listening: %w", err))
			}
			return
		}
		_ = c.Close()
	}
}

// TestListenShell sends what MongoDB's shell makes of the helpers that one looks
// around with: stats, explain, count, show, drop.
func TestListenShell(t *testing.T) {
	ctx := t.Context()
	_, _, c := listen(t)
	db := c.Database("d")
	must(db.Collection("c").InsertMany(ctx, []any{bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 2}}}))(t)
	run := func(db *mongo.Database, command string) bson.Raw {
		t.Helper()
		var d bson.D
		if err := bson.UnmarshalExtJSON([]byte(command), false, &d); err != nil {
			t.Fatal(err)
		}
		raw, err := db.RunCommand(ctx, d).Raw()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return raw
	}
	for _, s := range []struct {
		command string
		path    []string
		want    int64
	}{
		{`{"aggregate":"c","pipeline":[{"$collStats":{"storageStats":{"scale":1}}}],"cursor":{}}`, []string{"cursor", "firstBatch", "0", "storageStats", "count"}, 2},
		{`{"collStats":"c","scale":1}`, []string{"nindexes"}, 1},
		{`{"dbStats":1,"scale":1}`, []string{"objects"}, 2},
		{`{"explain":{"find":"c","filter":{"a":2}},"verbosity":"executionStats"}`, []string{"executionStats", "nReturned"}, 1},
		{`{"explain":{"aggregate":"c","pipeline":[{"$match":{"a":2}}],"cursor":{}},"verbosity":"executionStats"}`, []string{"executionStats", "nReturned"}, 1},
		{`{"explain":{"delete":"c","deletes":[{"q":{},"limit":0}]},"verbosity":"executionStats"}`, []string{"executionStats", "executionStages", "nWouldDelete"}, 2},
		{`{"aggregate":"c","pipeline":[{"$match":{}},{"$group":{"_id":1,"n":{"$sum":1}}}],"cursor":{}}`, []string{"cursor", "firstBatch", "0", "n"}, 2},
		{`{"drop":"c","writeConcern":{"w":"majority"}}`, []string{"nIndexesWas"}, 1},
		{`{"dropDatabase":1,"writeConcern":{"w":"majority"}}`, []string{"ok"}, 1},
	} {
		if got := run(db, s.command).Lookup(s.path...).AsInt64(); got != s.want {
			t.Errorf("%s: %v is %d, want %d", s.command, s.path, got, s.want)
		}
	}
	if raw := run(c.Database("admin"), `{"listDatabases":1,"nameOnly":true}`); raw.Lookup("databases").String() != "[]" {
		t.Errorf("afterwards there are %v", raw)
	}
}
