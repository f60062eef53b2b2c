package docstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// TestGolden runs every case through the driver, against the engine or, with
// EIDER_TEST_MONGO, against that server. Those in refused.txt have to be refused
// by the engine.
func TestGolden(t *testing.T) {
	refused := readRefused(t)
	files, err := filepath.Glob("testdata/cases/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	t.Run("cases", func(t *testing.T) {
		for _, f := range files {
			t.Run(strings.TrimSuffix(filepath.Base(f), ".jsonl"), func(t *testing.T) {
				t.Parallel()
				goldenFile(t, f, refused)
			})
		}
	})
	for id, state := range refused {
		if !state.seen {
			t.Errorf("refused.txt names %s, which is no case", id)
		}
	}
}

type refusedCase struct{ seen bool }

func readRefused(t *testing.T) map[string]*refusedCase {
	out := map[string]*refusedCase{}
	b, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		id, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if id == "" || id[0] == '#' {
			continue
		}
		if reason == "" {
			t.Errorf("refused.txt: %s has no reason", id)
		}
		out[id] = &refusedCase{}
	}
	return out
}

// serverURI is a MongoDB to compare with; empty for none.
func serverURI() string { return os.Getenv("EIDER_TEST_MONGO") }

func goldenFile(t *testing.T, path string, refused map[string]*refusedCase) {
	var client *mongo.Client
	prefix, kind := "g", ""
	if uri := serverURI(); uri != "" {
		var err error
		if client, err = mongo.Connect(options.Client().ApplyURI(uri)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Disconnect(t.Context()) }()
		prefix, kind = "eider_golden_"+strings.TrimSuffix(filepath.Base(path), ".jsonl"), "standalone"
		hello, err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Raw()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := value.Lookup(hello, "setName"); ok {
			kind = "replicaSet"
		}
	} else {
		_, client = open(t, filepath.Join(t.TempDir(), "store.db"))
	}
	for n, c := range goldentest.Load(t, path) {
		t.Run(c.ID, func(t *testing.T) {
			if kind != "" && c.Needs != "" && c.Needs != kind {
				t.Skipf("for a %s", c.Needs)
			}
			r := refused[c.ID]
			if r != nil {
				r.seen = true
			}
			db := client.Database(fmt.Sprintf("%s%d", prefix, n))
			g := &golden{Case: &c, db: db}
			if serverURI() != "" {
				_ = db.Drop(t.Context())
				defer func() { _ = db.Drop(t.Context()) }()
				r = nil
			}
			g.run(t, r != nil)
		})
	}
}

// golden is a case being run.
type golden struct {
	*goldentest.Case
	db     *mongo.Database
	cursor int64 // the latest that was left open
}

func (g *golden) run(t *testing.T, refused bool) {
	ctx := t.Context()
	coll := g.db.Collection("c")
	if len(g.Docs) > 0 {
		if _, err := coll.InsertMany(ctx, g.Docs); err != nil {
			t.Fatalf("the documents before: %v", err)
		}
	} else if err := g.db.CreateCollection(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if len(g.Indexes) > 0 {
		err := g.db.RunCommand(ctx, bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: g.Indexes}}).Err()
		if err != nil {
			t.Fatalf("the indexes before: %v", err)
		}
	}
	for i, s := range g.All() {
		got := g.command(t, s)
		if refused {
			_, failed := value.Lookup(got, "code")
			if _, write := value.Lookup(got, "writeErrors"); !failed && !write {
				t.Fatalf("listed as refused, but answered %s", got)
			}
			return
		}
		s.Reply = g.filled(value.OfDoc(s.Reply)).Value
		checkReply(t, s, got)
		if t.Failed() {
			t.Fatalf("step %d: %s", i, s.Command)
		}
	}
	if !g.Reads {
		g.checkAfter(t, coll)
	}
}

// command runs a step. {"$cursor": 1} in its command stands for the cursor that
// an earlier step left open.
func (g *golden) command(t *testing.T, s goldentest.Step) bson.Raw {
	t.Helper()
	db := g.db
	if s.DB != "" {
		db = db.Client().Database(s.DB)
	}
	got, err := db.RunCommand(t.Context(), bson.Raw(g.filled(value.OfDoc(s.Command)).Value)).Raw()
	if raw := rawError(err); raw != nil {
		got = raw
	} else if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	if c, ok := value.Lookup(got, "cursor"); ok {
		if id, _ := value.Lookup(c.Value, "id"); value.Int64(id) != 0 {
			g.cursor = value.Int64(id)
		}
	}
	return got
}

func (g *golden) filled(v bson.RawValue) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		fields := value.Fields(v.Value)
		for i, f := range fields {
			if f.Key == "$cursor" {
				return value.OfInt64(g.cursor)
			}
			if f.Key == "$db" && f.Type == bson.TypeString && value.Str(f.RawValue) == "$this" {
				return value.OfString(g.db.Name())
			}
			fields[i].RawValue = g.filled(f.RawValue)
		}
		return value.OfDoc(value.OfFields(fields))
	case bson.TypeArray:
		list := value.Elements(v.Value)
		for i := range list {
			list[i] = g.filled(list[i])
		}
		return value.OfArray(list)
	default:
		return v
	}
}

func rawError(err error) bson.Raw {
	var ce mongo.CommandError
	var we mongo.WriteException
	switch {
	case errors.As(err, &ce):
		return ce.Raw
	case errors.As(err, &we):
		return we.Raw
	default:
		return nil
	}
}

func checkReply(t *testing.T, s goldentest.Step, got bson.Raw) {
	t.Helper()
	want := value.Fields(s.Reply)
	if _, failed := value.Lookup(got, "code"); failed && (len(want) == 0 || want[0].Key != "error") {
		t.Fatalf("refused: %s", got)
	}
	for _, w := range want {
		switch w.Key {
		case "error":
			checkError(t, w.Value, got)
		case "batch":
			cursor, _ := value.Lookup(got, "cursor")
			batch, ok := value.Lookup(cursor.Value, "firstBatch")
			if !ok {
				batch, _ = value.Lookup(cursor.Value, "nextBatch")
			}
			checkList(t, batch, w.RawValue, s.Unordered)
		case "open": // whether the cursor has more
			cursor, _ := value.Lookup(got, "cursor")
			if id, _ := value.Lookup(cursor.Value, "id"); (value.Int64(id) != 0) != value.Bool(w.RawValue) {
				t.Errorf("the cursor is %v, want open: %v", id, w.RawValue)
			}
		case "absent": // fields that the reply does not have
			for _, name := range value.Elements(w.Value) {
				if v, ok := value.Lookup(got, value.Str(name)); ok {
					t.Errorf("%s is %v, want nothing", value.Str(name), v)
				}
			}
		case "values":
			list, _ := value.Lookup(got, w.Key)
			checkList(t, list, w.RawValue, s.Unordered)
		case "writeErrors":
			list, _ := value.Lookup(got, w.Key)
			checkWriteErrors(t, list, w.RawValue)
		default:
			if v, ok := along(got, w.Key); !ok || !goldentest.Same(w.RawValue, v) {
				t.Errorf("%s is %v, want %v in %s", w.Key, v, w.RawValue, got)
			}
		}
	}
	if _, ok := value.Lookup(s.Reply, "writeErrors"); !ok {
		if list, has := value.Lookup(got, "writeErrors"); has {
			t.Errorf("write errors: %v", list)
		}
	}
}

// along looks up a path of documents.
func along(doc bson.Raw, path string) (v bson.RawValue, ok bool) {
	v = value.OfDoc(doc)
	for name := range strings.SplitSeq(path, ".") {
		if v, ok = value.Lookup(v.Value, name); !ok {
			return v, false
		}
	}
	return v, true
}

func checkError(t *testing.T, want, got bson.Raw) {
	t.Helper()
	for _, w := range value.Fields(want) {
		if v, ok := value.Lookup(got, w.Key); !ok || !value.Equal(v, w.RawValue) {
			t.Errorf("%s is %v, want %v: %s", w.Key, v, w.RawValue, got)
		}
	}
}

func checkList(t *testing.T, got, want bson.RawValue, unordered bool) {
	t.Helper()
	if got.Type != bson.TypeArray {
		t.Fatalf("%v is no array", got)
	}
	if !goldentest.SameValues(value.Elements(want.Value), value.Elements(got.Value), unordered) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func checkWriteErrors(t *testing.T, got, want bson.RawValue) {
	t.Helper()
	g, w := value.Elements(got.Value), value.Elements(want.Value)
	if len(g) != len(w) {
		t.Fatalf("write errors %v, want %v", got, want)
	}
	for i := range w {
		for _, f := range value.Fields(w[i].Value) {
			if v, ok := value.Lookup(g[i].Value, f.Key); !ok || !goldentest.Same(f.RawValue, v) {
				t.Errorf("%s is %v, want %v in %v", f.Key, v, f.RawValue, g[i])
			}
		}
	}
}

func (g *golden) checkAfter(t *testing.T, coll *mongo.Collection) {
	t.Helper()
	var got []bson.Raw
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err == nil {
		err = cur.All(t.Context(), &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !goldentest.SameDocs(g.After, got, false) {
		t.Errorf("afterwards\n%swant\n%s", goldentest.Show(got), goldentest.Show(g.After))
	}
}
