package docstore_test

import (
	"context"
	"encoding/binary"
	"io"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// FuzzConnection sends any bytes to a connection: it is answered or closed, and the
// engine goes on.
func FuzzConnection(f *testing.F) {
	e, err := docstore.Open(context.Background(), docstore.Options{Path: filepath.Join(f.TempDir(), "store.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = e.Close() })
	message := func(op byte, body []byte) []byte {
		b := []byte{0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, op, 7, 0, 0}
		binary.LittleEndian.PutUint32(b, uint32(len(b)+len(body)))
		return append(b, body...)
	}
	ping := append([]byte{0, 0, 0, 0, 0}, goldentest.Doc(`{"ping":1,"$db":"d"}`)...)
	f.Add(message(0xdd, ping))
	f.Add(append(message(0xdd, ping), message(0xdd, ping)...))
	f.Add(message(0xd4, append([]byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"), goldentest.Doc(`{"isMaster":1}`)...)))
	f.Add([]byte{0xff, 0x6b, 0xdc, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0}) // 48 MB to come, and nothing comes
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := e.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan int64)
		go func() {
			n, _ := io.Copy(io.Discard, c)
			read <- n
		}()
		_, _ = c.Write(b)
		_ = c.Close()
		<-read
		if out := bson.Raw(e.Answer(goldentest.Doc(`{"ping":1,"$db":"d"}`))); out.Validate() != nil {
			t.Fatalf("a ping afterwards: %v", out)
		}
	})
}

// FuzzCommand runs any well formed document as a command: it may be refused, but
// it may not fail inside, and what comes back has to be well formed.
func FuzzCommand(f *testing.F) {
	e, err := docstore.Open(context.Background(), docstore.Options{Path: filepath.Join(f.TempDir(), "store.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = e.Close() })
	for _, s := range []string{
		`{"find":"c","filter":{"a":{"$gt":1},"$or":[{"b":1},{"a":{"$in":[1,2]}}]},"sort":{"a":-1},"limit":2,"$db":"d"}`,
		`{"insert":"c","documents":[{"_id":1,"a":[1,2]},{"a":{"b":1}}],"ordered":false,"$db":"d"}`,
		`{"update":"c","updates":[{"q":{"a":1},"u":{"$set":{"a.$":5}},"upsert":true,"multi":false}],"$db":"d"}`,
		`{"delete":"c","deletes":[{"q":{"a":1},"limit":0}],"$db":"d"}`,
		`{"findAndModify":"c","query":{"a":1},"update":[{"$set":{"b":{"$add":["$a",1]}}}],"new":true,"upsert":true,"fields":{"a":1},"$db":"d"}`,
		`{"createIndexes":"c","indexes":[{"key":{"a":1,"b.c":-1},"name":"x","unique":true,"partialFilterExpression":{"a":{"$gt":1}}}],"$db":"d"}`,
		`{"aggregate":"c","pipeline":[{"$match":{"a":1}},{"$group":{"_id":"$a","n":{"$sum":1}}}],"cursor":{"batchSize":1},"$db":"d"}`,
		`{"distinct":"c","key":"a.b","$db":"d"}`,
		`{"count":"c","query":{"a":1},"limit":-1,"$db":"d"}`,
		`{"explain":{"find":"c","filter":{"a":1}},"$db":"d"}`,
		`{"explain":{},"$db":"d"}`,
		`{"getMore":1,"collection":"c","$db":"d"}`,
		`{"killCursors":"c","cursors":[1],"$db":"d"}`,
		`{"dropIndexes":"c","index":["x"],"$db":"d"}`,
		`{"listCollections":1,"filter":{"name":"c"},"cursor":{},"$db":"d"}`,
		`{"hello":1,"$db":"admin"}`,
		`{"update":"c","updates":[{"q":{"_id":1},"u":{"$inc":{"n":1}},"upsert":true}],"txnNumber":{"$numberLong":"1"},` + session + `}`,
		`{"findAndModify":"c","remove":true,"txnNumber":{"$numberLong":"2"},` + session + `}`,
		`{"endSessions":[{"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}}],"$db":"d"}`,
		`{"find":"c","readConcern":{"level":"majority"},"$readPreference":{"mode":"nearest"},"apiVersion":"1","maxTimeMS":5,"$db":"d"}`,
		`{"insert":"c","documents":[{}],"writeConcern":{"w":"majority","j":true,"wtimeout":1},"$db":"d"}`,
	} {
		f.Add([]byte(goldentest.Doc(s)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if value.Check(b) != nil {
			return
		}
		out := bson.Raw(e.Answer(b))
		if err := out.Validate(); err != nil {
			t.Fatalf("%s\nanswer: %v", bson.Raw(b), err)
		}
		if code, ok := value.Lookup(out, "code"); ok && (value.Int64(code) == 8 || value.Int64(code) == 1) {
			t.Fatalf("%s\n%s", bson.Raw(b), out)
		}
	})
}
