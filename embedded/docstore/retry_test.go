package docstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// ask runs one command given as Extended JSON.
func ask(t *testing.T, e *docstore.Engine, text string) bson.Raw {
	t.Helper()
	out := bson.Raw(e.Answer(goldentest.Doc(text)))
	if err := out.Validate(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

const session = `"lsid":{"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}},"$db":"d"`

// TestRetriesAreNotAppliedTwice repeats each retryable write with its transaction
// number, on the same engine and on one that has opened the file again.
func TestRetriesAreNotAppliedTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	start := func() *docstore.Engine {
		e, err := docstore.Open(t.Context(), docstore.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := start()
	ask(t, e, `{"insert":"c","documents":[{"_id":1,"n":0},{"_id":2,"n":0},{"_id":3,"n":0}],"$db":"d"}`)
	for _, c := range []struct{ command, retried, check, want string }{
		{
			`{"insert":"c","documents":[{"x":1},{"x":1}],"txnNumber":{"$numberLong":"1"},` + session + `}`,
			`{"n":2,"retriedStmtIds":[0,1],"ok":{"$numberDouble":"1"}}`,
			`{"count":"c","query":{"x":1},"$db":"d"}`, `{"n":2,"ok":{"$numberDouble":"1"}}`,
		},
		{
			`{"update":"c","updates":[{"q":{"_id":1},"u":{"$inc":{"n":1}}},{"q":{"_id":9},"u":{"$inc":{"n":1}}},{"q":{"_id":7},"u":{"$inc":{"n":1}},"upsert":true}],"txnNumber":{"$numberLong":"2"},` + session + `}`,
			`{"n":2,"nModified":1,"upserted":[{"index":2,"_id":7}],"retriedStmtIds":[0,2],"ok":{"$numberDouble":"1"}}`,
			`{"distinct":"c","key":"n","query":{"_id":{"$in":[1,7]}},"$db":"d"}`, `{"values":[1],"ok":{"$numberDouble":"1"}}`,
		},
		{
			`{"delete":"c","deletes":[{"q":{"x":1},"limit":1}],"txnNumber":{"$numberLong":"3"},` + session + `}`,
			`{"n":1,"retriedStmtIds":[0],"ok":{"$numberDouble":"1"}}`,
			`{"count":"c","query":{"x":1},"$db":"d"}`, `{"n":1,"ok":{"$numberDouble":"1"}}`,
		},
		{
			`{"findAndModify":"c","query":{"_id":2},"update":{"$inc":{"n":1}},"new":true,"txnNumber":{"$numberLong":"4"},` + session + `}`,
			`{"lastErrorObject":{"n":1,"updatedExisting":true},"value":{"_id":2,"n":1},"retriedStmtId":0,"ok":{"$numberDouble":"1"}}`,
			`{"distinct":"c","key":"n","query":{"_id":2},"$db":"d"}`, `{"values":[1],"ok":{"$numberDouble":"1"}}`,
		},
		{
			`{"findAndModify":"c","query":{"_id":3},"remove":true,"txnNumber":{"$numberLong":"5"},` + session + `}`,
			`{"lastErrorObject":{"n":1},"value":{"_id":3,"n":0},"retriedStmtId":0,"ok":{"$numberDouble":"1"}}`,
			`{"count":"c","query":{"_id":3},"$db":"d"}`, `{"n":0,"ok":{"$numberDouble":"1"}}`,
		},
	} {
		first := ask(t, e, c.command)
		if first.Lookup("ok").Double() != 1 {
			t.Fatalf("%s\n%s", c.command, first)
		}
		if !bytes.Equal(ask(t, e, c.command), goldentest.Doc(c.retried)) {
			t.Errorf("the retry of %s:\n got %s\nwant %s", c.command, ask(t, e, c.command), c.retried)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = start()
		if got := ask(t, e, c.command); !bytes.Equal(got, goldentest.Doc(c.retried)) {
			t.Errorf("the retry of %s after a restart:\n got %s\nwant %s", c.command, got, c.retried)
		}
		if got := ask(t, e, c.check); !bytes.Equal(got, goldentest.Doc(c.want)) {
			t.Errorf("after %s: %s\n got %s\nwant %s", c.command, c.check, got, c.want)
		}
	}
	for text, code := range map[string]int32{
		`{"insert":"c","documents":[{"x":1}],"txnNumber":{"$numberLong":"4"},` + session + `}`:                                            225,
		`{"insert":"c","documents":[{"x":1}],"txnNumber":{"$numberLong":"6"},"$db":"d"}`:                                                  72,
		`{"insert":"c","documents":[{"x":1}],"txnNumber":{"$numberLong":"-6"},` + session + `}`:                                           72,
		`{"insert":"c","documents":[{"x":1}],"txnNumber":6,` + session + `}`:                                                              14,
		`{"insert":"c","documents":[{"x":1}],"txnNumber":{"$numberLong":"6"},"startTransaction":true,"autocommit":false,` + session + `}`: 20,
		`{"insert":"c","documents":[{"x":1}],"autocommit":false,` + session + `}`:                                                         72,
		`{"find":"c","txnNumber":{"$numberLong":"6"},` + session + `}`:                                                                    50768,
		`{"update":"c","updates":[{"q":{},"u":{"$set":{"a":1}},"multi":true}],"txnNumber":{"$numberLong":"6"},` + session + `}`:           72,
		`{"delete":"c","deletes":[{"q":{},"limit":0}],"txnNumber":{"$numberLong":"6"},` + session + `}`:                                   72,
		`{"ping":1,"lsid":{"id":1},"$db":"d"}`:                                                                                            14,
		`{"ping":1,"lsid":{},"$db":"d"}`:                                                                                                  40414,
		`{"ping":1,"lsid":{"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}},"x":1},"$db":"d"}`:                       40415,
	} {
		if got, _ := ask(t, e, text).Lookup("code").Int32OK(); got != code {
			t.Errorf("%s: code %d, want %d", text, got, code)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRetryGoesOnWhereItFailed: statements that failed are tried again, those that
// were done are not; and what was done is forgotten after half an hour.
func TestRetryGoesOnWhereItFailed(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	e, err := docstore.Open(t.Context(), docstore.Options{
		Path: filepath.Join(t.TempDir(), "store.db"),
		Now:  func() time.Time { return time.UnixMilli(now.Load()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	ask(t, e, `{"insert":"c","documents":[{"_id":2}],"$db":"d"}`)
	insert := `{"insert":"c","documents":[{"_id":1},{"_id":2},{"_id":3}],"txnNumber":{"$numberLong":"1"},` + session + `}`
	if got := ask(t, e, insert); got.Lookup("n").Int32() != 1 || got.Lookup("writeErrors", "0", "index").Int32() != 1 {
		t.Fatalf("%s", got)
	}
	ask(t, e, `{"delete":"c","deletes":[{"q":{"_id":2},"limit":1}],"$db":"d"}`)
	for range 2 {
		if got := ask(t, e, insert); got.Lookup("n").Int32() != 3 {
			t.Fatalf("%s", got)
		}
	}
	now.Add(29 * time.Minute.Milliseconds())
	if err := e.Expire(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, insert); got.Lookup("n").Int32() != 3 {
		t.Fatalf("%s", got)
	}
	now.Add(2 * time.Minute.Milliseconds())
	if err := e.Expire(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, insert); got.Lookup("writeErrors", "0", "code").Int32() != 11000 {
		t.Fatalf("%s", got)
	}
}

// cutting is a dialer whose connections lose the answer of a write when armed.
type cutting struct {
	e     *docstore.Engine
	armed atomic.Bool
	cut   atomic.Int32
}

func (d *cutting) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.e.DialContext(ctx, network, address)
	return &cutConn{Conn: c, d: d}, err
}

type cutConn struct {
	net.Conn
	d   *cutting
	cut atomic.Bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("txnNumber")) && c.d.armed.CompareAndSwap(true, false) {
		c.cut.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cut.Load() { // the command has run: there is an answer
		c.d.cut.Add(1)
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestDriverRetries: the driver sends a write again when the connection breaks
// before its answer, and it is applied once.
func TestDriverRetries(t *testing.T) {
	ctx := t.Context()
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "store.db"), SetName: "embedded"})
	if err != nil {
		t.Fatal(err)
	}
	d := &cutting{e: e}
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
	c := client.Database("d").Collection("c")
	must(c.InsertOne(ctx, bson.D{{Key: "_id", Value: 0}, {Key: "n", Value: 0}}))(t)
	inc := bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}
	for name, f := range map[string]func() error{
		"insert": func() error { _, err := c.InsertOne(ctx, bson.D{{Key: "x", Value: 1}}); return err },
		"insert many": func() error {
			_, err := c.InsertMany(ctx, []any{bson.D{{Key: "x", Value: 2}}, bson.D{{Key: "x", Value: 2}}})
			return err
		},
		"update": func() error { _, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: 0}}, inc); return err },
		"find and update": func() error {
			return c.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 0}}, inc).Err()
		},
		"bulk": func() error {
			_, err := c.BulkWrite(ctx, []mongo.WriteModel{
				mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: 0}}).SetUpdate(inc),
				mongo.NewInsertOneModel().SetDocument(bson.D{{Key: "x", Value: 3}}),
			})
			return err
		},
	} {
		before := d.cut.Load()
		d.armed.Store(true)
		if err := f(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d.cut.Load() != before+1 {
			t.Errorf("%s: no connection was cut", name)
		}
	}
	var doc struct{ N int }
	if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: 0}}).Decode(&doc); err != nil || doc.N != 3 {
		t.Errorf("%d increments of 3, %v", doc.N, err)
	}
	if n := must(c.CountDocuments(ctx, bson.D{}))(t); n != 5 {
		t.Errorf("%d documents, want 5", n)
	}
	d.armed.Store(true)
	if res := must(c.DeleteOne(ctx, bson.D{{Key: "x", Value: 2}}))(t); res.DeletedCount != 1 || d.armed.Load() {
		t.Errorf("%+v", res)
	}
	if n := must(c.CountDocuments(ctx, bson.D{{Key: "x", Value: 2}}))(t); n != 1 {
		t.Errorf("%d documents left, want 1", n)
	}
}

// TestCursorOfASession: a cursor is read on in the session that opened it.
func TestCursorOfASession(t *testing.T) {
	e, _ := open(t, filepath.Join(t.TempDir(), "store.db"))
	ask(t, e, `{"insert":"c","documents":[{},{},{}],"$db":"d"}`)
	other := strings.Replace(session, "AAEC", "AAED", 1)
	for _, c := range []struct {
		opened, read string
		code         int32
	}{
		{session, session, 0},
		{`"$db":"d"`, `"$db":"d"`, 0},
		{`"$db":"d"`, session, 50736},
		{session, `"$db":"d"`, 50737},
		{session, other, 50738},
	} {
		id := ask(t, e, `{"find":"c","batchSize":1,`+c.opened+`}`).Lookup("cursor", "id").Int64()
		got := ask(t, e, fmt.Sprintf(`{"getMore":{"$numberLong":"%d"},"collection":"c",%s}`, id, c.read))
		if code, _ := got.Lookup("code").Int32OK(); code != c.code {
			t.Errorf("opened with %s, read with %s: code %d, want %d", c.opened, c.read, code, c.code)
		}
	}
}
