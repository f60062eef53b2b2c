package update_test

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/update"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

func FuzzCompile(f *testing.F) {
	for i, c := range goldentest.Load(f, "../testdata/cases/update.jsonl") {
		for _, st := range value.Elements(lookup(c.Command, "updates").Value) {
			if i%5 == 0 {
				f.Add(lookup(st.Value, "u").Value, lookup(st.Value, "q").Value, lookup(st.Value, "u").Type == bson.TypeArray)
			}
		}
	}
	doc := goldentest.Doc(`{"_id":1,"a":[1,{"b":[2,"x"]},null,[3]],"b":{"c":1},"s":"abc"}`)
	f.Fuzz(func(t *testing.T, u, q []byte, pipeline bool) {
		v := value.OfDoc(u)
		if pipeline {
			v.Type = bson.TypeArray
		}
		up, err := update.Compile(v, nil)
		if err != nil {
			return
		}
		out, _, err := up.Apply(doc, update.ApplyOptions{Pos: 0, Now: time.Unix(0, 0)})
		if err == nil && value.Check(out) != nil && len(out) < 1<<20 {
			if e := value.Check(out); e.(*value.Error).Code != value.CodeOverflow { //nolint:errorlint,forcetypeassert // Check gives nothing else
				t.Fatalf("%s made a malformed document", v)
			}
		}
		m, err := query.Compile(q)
		if err != nil {
			return
		}
		if seed, err := update.Seed(m, up); err == nil {
			_, _, _ = up.Apply(seed, update.ApplyOptions{Pos: -1, Insert: true})
		}
	})
}

func TestSamePositionTwice(t *testing.T) {
	u, err := update.Compile(goldentest.MustDecode(`{"$set":{"a.$.x":1,"a.0.y":2}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	doc := goldentest.Doc(`{"_id":1,"a":[{}]}`)
	out, modified, err := u.Apply(doc, update.ApplyOptions{Pos: 0})
	if want := goldentest.Doc(`{"_id":1,"a":[{"x":1,"y":2}]}`); err != nil || !modified || out.String() != want.String() {
		t.Errorf("%s, %v, want %s", out, err, want)
	}
}

func TestBackfillLimit(t *testing.T) {
	u, err := update.Compile(goldentest.MustDecode(`{"$set":{"a.1500002":1}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = u.Apply(goldentest.Doc(`{"_id":1,"a":[1]}`), update.ApplyOptions{Pos: -1})
	if e, ok := err.(*value.Error); !ok || e.Code != value.CodeCannotBackfill { //nolint:errorlint // not wrapped
		t.Errorf("error %v", err)
	}
}

func BenchmarkApply(b *testing.B) {
	fields := []value.Field{{Key: "_id", RawValue: value.OfInt32(1)}, {Key: "flags", RawValue: value.OfArray(nil)}}
	for i := range 36 {
		fields = append(fields, value.Field{Key: fmt.Sprintf("field%02d", i), RawValue: value.OfString(fmt.Sprintf("%064d", i))})
	}
	fields = append(fields, value.Field{Key: "modseq", RawValue: value.OfInt64(7)}, value.Field{Key: "unseen", RawValue: value.OfBool(true)})
	doc := value.OfFields(fields)
	u, err := update.Compile(goldentest.MustDecode(`{"$set":{"unseen":false,"seen":true},"$inc":{"modseq":1},"$addToSet":{"flags":"\\Seen"}}`), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, modified, err := u.Apply(doc, update.ApplyOptions{Pos: -1}); err != nil || !modified {
			b.Fatal(err)
		}
	}
}
