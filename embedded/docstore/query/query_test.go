package query_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

func compile(t testing.TB, text string) *query.Matcher {
	t.Helper()
	m, err := query.Compile(goldentest.Doc(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestConditions(t *testing.T) {
	for filter, want := range map[string]string{
		`{"a":1}`:                                `[a 1 1]`,
		`{"a":{"$gt":1,"$lte":5},"b":{"$ne":2}}`: `[a 2 1][a 5 5]`,
		`{"$and":[{"a":1},{"$and":[{"b":{"$in":[2,1]}}]}]}`: `[a 1 1][b 6 [1 2]]`,
		`{"a":null}`:                            `[a 7 ]`,
		`{"a":{"$in":[]}}`:                      `[a 6 []]`,
		`{"a":[3,4]}`:                           `[a 6 [[3 4] 3]]`,
		`{"a":[]}`:                              `[a 6 [[] undefined]]`,
		`{"a":{"$elemMatch":{"b":1,"c":null}}}`: `[a.b 1 1]`,
		`{"a":{"$elemMatch":{"$gt":1}}}`:        `[a 2 1]`,
		`{"a":{"$all":[1,2]}}`:                  `[a 1 1][a 1 2]`,
		`{"a.0":1,"b":{"$regex":"^x"},"c":{"$exists":true}}`: `[c 8 true]`,
		`{"a":{"$gt":{"$minKey":1}},"b":{"$not":{"$eq":1}}}`: ``,
		`{"$or":[{"a":1},{"b":1}],"$nor":[{"c":1}]}`:         ``,
	} {
		var got strings.Builder
		for _, c := range compile(t, filter).Conditions() {
			v := show(c.Value)
			if c.Op == query.In {
				v = show(value.OfArray(c.Values))
			}
			fmt.Fprintf(&got, "[%s %d %s]", c.Path, c.Op, v)
		}
		if got.String() != want {
			t.Errorf("%s: %s, want %s", filter, got.String(), want)
		}
	}
}

func show(v bson.RawValue) string {
	switch v.Type {
	case 0:
		return ""
	case bson.TypeArray:
		return fmt.Sprint(showAll(value.Elements(v.Value)))
	case bson.TypeInt32:
		return strconv.FormatInt(value.Int64(v), 10)
	case bson.TypeBoolean:
		return strconv.FormatBool(value.Bool(v))
	default:
		return value.TypeName(v.Type)
	}
}

func showAll(list []bson.RawValue) []string {
	out := []string{}
	for _, v := range list {
		out = append(out, show(v))
	}
	return out
}

func TestImplies(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{`{"a":1}`, `{"a":{"$exists":true}}`, true},
		{`{"a":null}`, `{"a":{"$exists":true}}`, false},
		{`{"a":{"$in":[1,null]}}`, `{"a":{"$exists":true}}`, false},
		{`{"a":{"$gt":5}}`, `{"a":{"$gt":3}}`, true},
		{`{"a":{"$gt":3}}`, `{"a":{"$gt":5}}`, false},
		{`{"a":{"$gte":3}}`, `{"a":{"$gt":3}}`, false},
		{`{"a":{"$lt":3}}`, `{"a":{"$lte":3}}`, true},
		{`{"a":true,"b":1}`, `{"a":true}`, true},
		{`{"a":false}`, `{"a":true}`, false},
		{`{"a":{"$numberDouble":"1"}}`, `{"a":1}`, true},
		{`{"a":{"$in":[1,2]}}`, `{"a":{"$in":[3,2,1]}}`, true},
		{`{"a":{"$in":[1,2]}}`, `{"a":{"$lte":2}}`, true},
		{`{"a":1}`, `{"$or":[{"a":{"$gt":0}},{"b":1}]}`, true},
		{`{"$or":[{"a":1},{"a":2}]}`, `{"a":{"$gt":0}}`, true},
		{`{"$or":[{"a":1},{"b":2}]}`, `{"a":{"$gt":0}}`, false},
		{`{"a":{"$ne":1}}`, `{"a":{"$ne":1}}`, true},
		{`{"a":"x"}`, `{"a":{"$gt":5}}`, false},
		{`{"a":[7]}`, `{"a":{"$gt":5}}`, false},
		{`{}`, `{"a":1}`, false},
		{`{"a":1}`, `{}`, true},
		{`{"$nor":[{"a":1}]}`, `{"a":1}`, false},
		{`{"a":{"$elemMatch":{"b":1}}}`, `{"a":{"$exists":true}}`, false},
		{`{"a":{"$oid":"0123456789abcdef01234567"}}`, `{"a":{"$type":"objectId"}}`, true},
	} {
		if got := compile(t, c.have).Implies(compile(t, c.want)); got != c.ok {
			t.Errorf("%s implies %s: %v", c.have, c.want, got)
		}
	}
}

func TestMatchPos(t *testing.T) {
	for _, c := range []struct {
		filter, doc string
		pos         int
	}{
		{`{"a":2}`, `{"a":[1,2]}`, 1},
		{`{"a":2}`, `{"a":2}`, -1},
		{`{"a.b":2}`, `{"a":[{"b":1},{"b":[5,2]}]}`, 1},
		{`{"a":{"$elemMatch":{"b":1}}}`, `{"a":[{},{"b":1}]}`, 1},
		{`{"a":{"$ne":9}}`, `{"a":[1,2]}`, -1},
		{`{"$or":[{"a":9},{"a":2}]}`, `{"a":[1,2]}`, 1},
	} {
		ok, pos := compile(t, c.filter).MatchPos(goldentest.Doc(c.doc))
		if !ok || pos != c.pos {
			t.Errorf("%s on %s: %v, %d, want %d", c.filter, c.doc, ok, pos, c.pos)
		}
	}
}

// The classes and anchors on which RE2 and PCRE differ.
func TestRegexDialect(t *testing.T) {
	for _, c := range []struct {
		pattern, options, text string
		match, refused         bool
	}{
		{`a\sb`, "", "a\vb", true, false},
		{`a[\s]b`, "", "a\vb", true, false},
		{`a\Sb`, "", "a\vb", false, false},
		{`(a$)`, "", "a\n", true, false},
		{`a$|b`, "", "a\n", true, false},
		{`a$b`, "", "ab", false, true},
		{`a$`, "m", "a\nb", true, false},
		{`^$`, "m", "a\n", false, true},
		{`^b`, "m", "a\nb", true, false},
		{`\Qa.b\E`, "", "a.b", true, false},
		{`(a)\1`, "", "aa", false, true},
		{`(?=a)`, "", "a", false, true},
		{`a++`, "", "aa", false, true},
		{`\v`, "", "\v", false, true},
		{`[[:alpha:]]`, "", "x", true, false},
		{`a`, "q", "a", false, true},
	} {
		m, err := query.Compile(value.OfFields([]value.Field{{Key: "s", RawValue: value.OfDoc(value.OfFields([]value.Field{
			{Key: "$regex", RawValue: value.OfString(c.pattern)}, {Key: "$options", RawValue: value.OfString(c.options)},
		}))}}))
		if (err != nil) != c.refused {
			t.Errorf("%q %q: %v", c.pattern, c.options, err)
		}
		if err == nil && m.Match(value.OfFields([]value.Field{{Key: "s", RawValue: value.OfString(c.text)}})) != c.match {
			t.Errorf("%q %q on %q: match is not %v", c.pattern, c.options, c.text, c.match)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, file := range []string{"query", "compare"} {
		for i, c := range goldentest.Load(f, "../testdata/cases/"+file+".jsonl") {
			if v, _ := value.Lookup(c.Command, "filter"); i%5 == 0 && v.Type == bson.TypeEmbeddedDocument {
				f.Add(v.Value)
			}
		}
	}
	doc := goldentest.Doc(`{"_id":1,"a":[1,{"b":[2,"x"]},null,[3]],"b":{"c":1},"s":"abc"}`)
	f.Fuzz(func(_ *testing.T, data []byte) {
		m, err := query.Compile(data)
		if err != nil {
			return
		}
		_, _, _ = m.Test(doc)
		_, _, _ = m.Test(data)
		_ = m.Conditions()
		_ = m.Equalities()
		_ = m.Implies(m)
	})
}

// bigDoc is a document of about 3 kB with 40 fields.
func bigDoc() bson.Raw {
	fields := []value.Field{{Key: "_id", RawValue: value.OfInt32(1)}, {Key: "mailbox", RawValue: value.OfString("m1")}}
	for i := range 36 {
		fields = append(fields, value.Field{Key: fmt.Sprintf("field%02d", i), RawValue: value.OfString(fmt.Sprintf("%064d", i))})
	}
	fields = append(fields, value.Field{Key: "uid", RawValue: value.OfInt32(77)}, value.Field{Key: "unseen", RawValue: value.OfBool(true)})
	return value.OfFields(fields)
}

func BenchmarkMatch(b *testing.B) {
	m := compile(b, `{"mailbox":"m1","uid":77,"unseen":true}`)
	doc := bigDoc()
	b.ReportAllocs()
	for b.Loop() {
		if !m.Match(doc) {
			b.Fatal("no match")
		}
	}
}
