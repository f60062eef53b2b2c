package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

var databases = []string{"transfer-mail", "transfer-queue"}

func engine(t *testing.T) *docstore.Engine {
	t.Helper()
	e, err := docstore.Open(t.Context(), docstore.Options{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// server is what stands for MongoDB: an embedded store over TCP, or the real one
// that EIDER_TEST_MONGO names.
func server(t *testing.T) string {
	t.Helper()
	uri := os.Getenv("EIDER_TEST_MONGO")
	if uri == "" {
		l, err := engine(t).Listen(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return "mongodb://" + l.Addr().String() + "/"
	}
	empty := func() {
		for _, name := range databases {
			if err := client(t, Place{URI: uri}).Database(name).Drop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	}
	empty()
	t.Cleanup(empty)
	return uri
}

func client(t *testing.T, p Place) *mongo.Client {
	t.Helper()
	s, err := connect(p, databases)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s.client
}

// fill writes documents of every kind that the program stores.
func fill(t *testing.T, p Place) {
	t.Helper()
	ctx := t.Context()
	c := client(t, p)
	mail := c.Database(databases[0])
	var docs []any
	for i := range 2500 {
		docs = append(docs, bson.D{
			{Key: "_id", Value: bson.NewObjectID()},
			{Key: "uid", Value: int32(i)},
			{Key: "modseq", Value: int64(i)},
			{Key: "flags", Value: bson.A{`\Seen`, i}},
			{Key: "idate", Value: bson.DateTime(i)},
			{Key: "exp", Value: i%2 == 0},
			{Key: "body", Value: bson.Binary{Data: bytes.Repeat([]byte{byte(i)}, i%900)}},
			{Key: "none", Value: nil},
		})
	}
	docs = append(docs, bson.D{{Key: "_id", Value: "text"}, {Key: "uid", Value: -1}}, bson.D{{Key: "_id", Value: 7.5}, {Key: "uid", Value: -2}})
	must(mail.Collection("messages").InsertMany(ctx, docs))(t)
	must(mail.Collection("messages").Indexes().CreateMany(ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "uid", Value: 1}}, Options: options.Index().SetUnique(true).SetName("uids")},
		{Keys: bson.D{{Key: "flags", Value: 1}, {Key: "idate", Value: -1}}, Options: options.Index().SetSparse(true)},
		{Keys: bson.D{{Key: "modseq", Value: 1}}, Options: options.Index().SetPartialFilterExpression(bson.D{{Key: "exp", Value: true}})},
	}))(t)
	// Long overdue: an index made before the comparison would remove them.
	must(mail.Collection("journal").InsertOne(ctx, bson.D{{Key: "created", Value: bson.DateTime(1)}}))(t)
	must(mail.Collection("journal").Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "created", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(3600)}))(t)
	must(mail.GridFSBucket().UploadFromStream(ctx, "f", bytes.NewReader(bytes.Repeat([]byte("mail"), 200_000))))(t)
	if err := mail.CreateCollection(ctx, "nothing"); err != nil {
		t.Fatal(err)
	}
	must(c.Database(databases[1]).Collection("queue").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}}))(t)
	must(c.Database("other").Collection("notOurs").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}}))(t)
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// contents is everything in the databases, as text.
func contents(t *testing.T, p Place) map[string][]string {
	t.Helper()
	s := must(connect(p, databases))(t)
	out := map[string][]string{}
	err := s.each(t.Context(), func(c collection, documents func(func(bson.Raw) error) error) error {
		list := []string{}
		for _, ix := range c.Indexes {
			list = append(list, "index "+ix.String())
		}
		err := documents(func(doc bson.Raw) error {
			list = append(list, string(doc))
			return nil
		})
		slices.Sort(list)
		out[c.String()] = list
		return err
	})
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, a, b map[string][]string) {
	t.Helper()
	if len(a) != len(b) {
		t.Errorf("%d and %d collections", len(a), len(b))
	}
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s: %d and %d documents and indexes, or different ones", name, len(a[name]), len(b[name]))
		}
	}
}

func run(t *testing.T, from, to Place) *Report {
	t.Helper()
	r, err := Run(t.Context(), from, to, Options{Databases: databases})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) > 0 {
		t.Errorf("notes: %v", r.Notes)
	}
	return r
}

// From the embedded store to MongoDB, to a file, and back.
func TestThereAndBack(t *testing.T) {
	first, second, third := Place{Engine: engine(t)}, Place{URI: server(t)}, Place{Engine: engine(t)}
	fill(t, first)
	want := contents(t, first)
	r := run(t, first, second)
	same(t, want, contents(t, second))
	if len(r.Collections) != len(want) || r.Collections[0].Sum == "" {
		t.Errorf("report: %+v", r)
	}
	file := Place{File: filepath.Join(t.TempDir(), "dump")}
	run(t, second, file)
	run(t, file, third)
	same(t, want, contents(t, third))
	if len(want) != 6 {
		t.Errorf("collections: %d", len(want))
	}
}

func TestRefusesToMix(t *testing.T) {
	first, second := Place{Engine: engine(t)}, Place{URI: server(t)}
	fill(t, first)
	must(client(t, second).Database(databases[0]).Collection("users").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}))(t)
	if _, err := Run(t.Context(), first, second, Options{Databases: databases}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), first, Place{File: file}, Options{Databases: databases}); !errors.Is(err, docstore.ErrExists) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// A transfer that was cut goes on: what had arrived is not sent again, and what
// had arrived in part is.
func TestGoesOnAfterACut(t *testing.T) {
	first, second := Place{Engine: engine(t)}, Place{URI: server(t)}
	fill(t, first)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, first, second, Options{Databases: databases, Progress: func(p Progress) {
		if strings.HasSuffix(p.Collection, ".messages") && p.Done >= 1500 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	r := run(t, first, second)
	before := 0
	for _, m := range r.Collections {
		if m.Before {
			before++
		}
	}
	if before != 3 { // fs.chunks, fs.files, journal
		t.Errorf("%d collections had arrived", before)
	}
	same(t, contents(t, first), contents(t, second))
	// And once it has ended the target is no longer anybody's to write over.
	if _, err := Run(t.Context(), first, second, Options{Databases: databases}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
}

func TestNoticesWhatDidNotArrive(t *testing.T) {
	first, second := Place{Engine: engine(t)}, Place{URI: server(t)}
	fill(t, first)
	c := client(t, second).Database(databases[0]).Collection("messages")
	_, err := Run(t.Context(), first, second, Options{Databases: databases, Progress: func(p Progress) {
		if strings.HasSuffix(p.Collection, ".messages") && p.Done == 2500 && !p.Verifying {
			must(c.UpdateOne(t.Context(), bson.D{{Key: "uid", Value: 5}}, bson.D{{Key: "$set", Value: bson.D{{Key: "modseq", Value: 6}}}}))(t)
		}
	}})
	if !errors.Is(err, ErrDiffers) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedDumps(t *testing.T) {
	first := Place{Engine: engine(t)}
	fill(t, first)
	dir := t.TempDir()
	file := filepath.Join(dir, "dump")
	run(t, first, Place{File: file})
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("beside the dump: %v, %v", list, err)
	}
	b := must(os.ReadFile(file))(t)
	plain := unzipped(t, b)
	changed := bytes.Replace(plain, []byte(`\Seen`), []byte(`\SEEN`), 1)
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("no dump"), "cut": b[:len(b)/2], "one byte short": b[:len(b)-1],
		"a changed byte": append(append(slices.Clone(b[:len(b)/2]), b[len(b)/2]^1), b[len(b)/2+1:]...),
		"another value":  zipped(t, changed), "no end": zipped(t, plain[:len(plain)-30]),
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "dump")
			if err := os.WriteFile(bad, content, 0o600); err != nil {
				t.Fatal(err)
			}
			to := Place{Engine: engine(t)}
			if _, err := Run(t.Context(), Place{File: bad}, to, Options{Databases: databases}); !errors.Is(err, ErrNoDump) {
				t.Errorf("got %v", err)
			}
			if left := contents(t, to); len(left) > 0 {
				t.Errorf("something was loaded: %d", len(left))
			}
		})
	}
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A collection option or an index that the embedded store refuses is told of; the
// documents are moved.
func TestWhatTheTargetCannotTake(t *testing.T) {
	to := Place{Engine: engine(t)}
	s := must(connect(to, databases))(t)
	defer func() { _ = s.close() }()
	var notes []string
	note := func(text string) { notes = append(notes, text) }
	raw := func(v any) bson.Raw {
		b, err := bson.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c := collection{
		DB: databases[0], Name: "c", Options: raw(bson.D{{Key: "capped", Value: true}, {Key: "size", Value: 4096}}),
		Indexes: []bson.Raw{raw(bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: "text"}}}, {Key: "name", Value: "words"}})},
	}
	sent := &sum{}
	doc := raw(bson.D{{Key: "_id", Value: 1}})
	sent.add(doc)
	if err := errors.Join(s.begin(t.Context()), s.create(t.Context(), c, note), s.add(t.Context(), doc), s.finish(t.Context(), c, sent, note, func(int64) {})); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "options") || !strings.Contains(notes[1], "words") {
		t.Errorf("notes: %q", notes)
	}
}

func FuzzDump(f *testing.F) {
	head, _ := bson.Marshal(dumpHead{"dump", dumpFormat})
	coll, _ := bson.Marshal(collection{DB: "d", Name: "c", Options: bson.Raw{5, 0, 0, 0, 0}})
	doc, _ := bson.Marshal(bson.D{{Key: "_id", Value: 1}})
	s := &sum{}
	s.add(doc)
	end, _ := bson.Marshal(dumpEnd{1})
	total, _ := bson.Marshal(dumpSum{s.count, s.String()})
	f.Add(slices.Concat([]byte("h"), head, []byte("c"), coll, []byte("d"), doc, []byte("s"), total, []byte("e"), end))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &dumpReader{name: "fuzz", r: bufio.NewReader(bytes.NewReader(b))}
		err := r.each(func(c collection, documents func(func(bson.Raw) error) error) error {
			return documents(func(doc bson.Raw) error { return doc.Validate() })
		})
		if err != nil && !errors.Is(err, ErrNoDump) && !strings.Contains(err.Error(), "newer version") {
			t.Errorf("got %v", err)
		}
	})
}
