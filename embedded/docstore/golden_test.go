package docstore_test

import (
	"bufio"
	"bytes"
	"encoding/json"
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

// goldenCase is one line of testdata/cases; see the README there.
type goldenCase struct {
	ID        string
	Docs      []json.RawMessage
	Indexes   []json.RawMessage
	Command   json.RawMessage
	Reply     json.RawMessage
	After     []json.RawMessage
	Unordered bool
	Disputed  bool
}

// TestGolden runs every case through the driver. Those in refused.txt have to be
// refused; disputed ones are no expectation and only have to be answered.
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

// notSo are cases that cannot be right, with what speaks against them. See the
// README beside the cases.
var notSo = map[string]string{
	"update/set-id-sub": "the filter {_id: 1} does not find the document {_id: {x: 1}}, so there is nothing to refuse",
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

func goldenFile(t *testing.T, path string, refused map[string]*refusedCase) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for n := 0; sc.Scan(); n++ {
		var c goldenCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			r := refused[c.ID]
			if r != nil {
				r.seen = true
			}
			c.run(t, client.Database(fmt.Sprintf("g%d", n)), r != nil)
		})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, m json.RawMessage) bson.RawValue {
	t.Helper()
	v, err := goldentest.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *goldenCase) run(t *testing.T, db *mongo.Database, refused bool) {
	ctx := t.Context()
	coll := db.Collection("c")
	if len(c.Docs) > 0 {
		docs := make([]any, len(c.Docs))
		for i, d := range c.Docs {
			docs[i] = bson.Raw(decode(t, d).Value)
		}
		if _, err := coll.InsertMany(ctx, docs); err != nil {
			t.Fatalf("the documents before: %v", err)
		}
	} else if err := db.CreateCollection(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if len(c.Indexes) > 0 {
		list := bson.A{}
		for _, ix := range c.Indexes {
			list = append(list, decode(t, ix))
		}
		if err := db.RunCommand(ctx, bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: list}}).Err(); err != nil {
			t.Fatalf("the indexes before: %v", err)
		}
	}
	got, err := db.RunCommand(ctx, bson.Raw(decode(t, c.Command).Value)).Raw()
	if raw := rawError(err); raw != nil {
		got = raw
	} else if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	switch {
	case refused:
		_, failed := value.Lookup(got, "code")
		if _, write := value.Lookup(got, "writeErrors"); !failed && !write {
			t.Fatalf("listed as refused, but answered %s", got)
		}
		return
	case c.Disputed || notSo[c.ID] != "":
		return
	}
	c.checkReply(t, got)
	if c.After != nil {
		c.checkAfter(t, coll)
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

func (c *goldenCase) checkReply(t *testing.T, got bson.Raw) {
	elems, err := bson.Raw(decode(t, c.Reply).Value).Elements()
	if err != nil {
		t.Fatal(err)
	}
	if _, failed := value.Lookup(got, "code"); failed && elems[0].Key() != "error" {
		t.Fatalf("refused: %s", got)
	}
	for _, e := range elems {
		want := e.Value()
		switch key := e.Key(); key {
		case "error":
			code, _ := value.Lookup(got, "code")
			wantCode, _ := value.Lookup(want.Value, "code")
			if !value.Equal(code, wantCode) {
				t.Errorf("code %v, want %v: %s", code, wantCode, got)
			}
		case "batch":
			cursor, _ := value.Lookup(got, "cursor")
			batch, _ := value.Lookup(cursor.Value, "firstBatch")
			c.checkList(t, batch, want)
		case "values":
			list, _ := value.Lookup(got, key)
			c.checkList(t, list, want)
		case "writeErrors":
			list, _ := value.Lookup(got, key)
			checkWriteErrors(t, list, want)
		default:
			v, ok := value.Lookup(got, key)
			if !ok || !like(v, want) {
				t.Errorf("%s is %v, want %v in %s", key, v, want, got)
			}
		}
	}
	if _, ok := value.Lookup(decode(t, c.Reply).Value, "writeErrors"); !ok {
		if list, has := value.Lookup(got, "writeErrors"); has {
			t.Errorf("write errors: %v", list)
		}
	}
}

func members(t *testing.T, v bson.RawValue) []bson.RawValue {
	t.Helper()
	if v.Type != bson.TypeArray {
		t.Fatalf("%v is no array", v)
	}
	list, err := v.Array().Values()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (c *goldenCase) checkList(t *testing.T, got, want bson.RawValue) {
	t.Helper()
	g, w := members(t, got), members(t, want)
	if len(g) != len(w) {
		t.Errorf("%d documents, want %d\n got %v\nwant %v", len(g), len(w), got, want)
		return
	}
	for i := range w {
		if !c.Unordered {
			if !like(g[i], w[i]) {
				t.Errorf("number %d\n got %v\nwant %v", i, g[i], w[i])
			}
			continue
		}
		found := false
		for j := range g {
			if g[j].Type != 0 && like(g[j], w[i]) {
				g[j], found = bson.RawValue{}, true
				break
			}
		}
		if !found {
			t.Errorf("%v is not in %v", w[i], got)
		}
	}
}

func checkWriteErrors(t *testing.T, got, want bson.RawValue) {
	t.Helper()
	g, w := members(t, got), members(t, want)
	if len(g) != len(w) {
		t.Fatalf("write errors %v, want %v", got, want)
	}
	for i := range w {
		elems, err := w[i].Document().Elements()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range elems {
			v, ok := value.Lookup(g[i].Value, e.Key())
			if !ok || !like(v, e.Value()) {
				t.Errorf("%s is %v, want %v in %v", e.Key(), v, e.Value(), g[i])
			}
		}
	}
}

func (c *goldenCase) checkAfter(t *testing.T, coll *mongo.Collection) {
	var got []bson.Raw
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err == nil {
		err = cur.All(t.Context(), &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(c.After) {
		t.Fatalf("%d documents afterwards, want %d: %v", len(got), len(c.After), got)
	}
	for i, w := range c.After {
		want := decode(t, w)
		if !like(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: got[i]}, want) {
			t.Errorf("afterwards\n got %v\nwant %v", got[i], want)
		}
	}
}

// like compares byte for byte, but for generated values.
func like(got, want bson.RawValue) bool {
	if want.Type == bson.TypeEmbeddedDocument {
		if any, ok := value.Lookup(want.Value, "$any"); ok {
			t := map[string]bson.Type{"objectId": bson.TypeObjectID, "date": bson.TypeDateTime, "undefined": bson.TypeUndefined, "timestamp": bson.TypeTimestamp}
			return got.Type == t[value.Str(any)]
		}
	}
	if got.Type != want.Type {
		return false
	}
	if want.Type != bson.TypeEmbeddedDocument && want.Type != bson.TypeArray {
		return bytes.Equal(got.Value, want.Value)
	}
	g, w := value.Inside(got.Value), value.Inside(want.Value)
	for {
		gt, gk, gv, gr, gok := value.Next(g)
		wt, wk, wv, wr, wok := value.Next(w)
		if !gok || !wok {
			return gok == wok
		}
		if !bytes.Equal(gk, wk) || !like(bson.RawValue{Type: gt, Value: gv}, bson.RawValue{Type: wt, Value: wv}) {
			return false
		}
		g, w = gr, wr
	}
}
