package query_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// anyValue draws from few values, so that filters often match.
func anyValue(t *rapid.T, depth int) bson.RawValue {
	kind := rapid.IntRange(0, 8).Draw(t, "kind")
	if depth == 0 {
		kind %= 6
	}
	switch kind {
	case 0, 1:
		return value.OfInt32(rapid.Int32Range(0, 3).Draw(t, "int"))
	case 2:
		return value.OfDouble(float64(rapid.IntRange(0, 6).Draw(t, "half")) / 2)
	case 3:
		return value.OfString(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "string"))
	case 4:
		return value.Null()
	case 5:
		return value.OfBool(rapid.Bool().Draw(t, "bool"))
	case 6, 7:
		var list []bson.RawValue
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, anyValue(t, depth-1))
		}
		return value.OfArray(list)
	default:
		return value.OfDoc(anyDoc(t, depth-1))
	}
}

func anyDoc(t *rapid.T, depth int) bson.Raw {
	var fields []value.Field
	for _, name := range []string{"a", "b"} {
		if rapid.IntRange(0, 3).Draw(t, "has "+name) > 0 {
			fields = append(fields, value.Field{Key: name, RawValue: anyValue(t, depth)})
		}
	}
	return value.OfFields(fields)
}

func one(name string, v bson.RawValue) bson.RawValue {
	return value.OfDoc(value.OfFields([]value.Field{{Key: name, RawValue: v}}))
}

// anyOperators draws the right side of a field in a filter.
func anyOperators(t *rapid.T, depth int) bson.RawValue {
	v := anyValue(t, 1)
	op := rapid.SampledFrom([]string{
		"", "$eq", "$gt", "$gte", "$lt", "$lte", "$ne", "$in", "$nin", "$exists", "$all", "$not", "$elemMatch", "$elemMatch value", "$type",
	}).Draw(t, "operator")
	switch op {
	case "":
		return v
	case "$in", "$nin", "$all":
		var list []bson.RawValue
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, anyValue(t, 1))
		}
		return one(op, value.OfArray(list))
	case "$exists":
		return one(op, value.OfBool(rapid.Bool().Draw(t, "exists")))
	case "$type":
		return one(op, value.OfString(rapid.SampledFrom([]string{"number", "string", "array", "null"}).Draw(t, "type")))
	case "$not":
		return one(op, one("$gte", v))
	case "$elemMatch value":
		return one("$elemMatch", one(rapid.SampledFrom([]string{"$gt", "$eq", "$in"}).Draw(t, "inner"), value.OfArray([]bson.RawValue{v})))
	case "$elemMatch":
		if depth > 0 {
			return one(op, one("b", anyOperators(t, depth-1)))
		}
		return one(op, one("$lte", v))
	default:
		return one(op, v)
	}
}

func anyFilter(t *rapid.T, depth int) bson.Raw {
	var fields []value.Field
	for range rapid.IntRange(1, 2).Draw(t, "conditions") {
		path := rapid.SampledFrom([]string{"a", "b", "a.b", "b.a", "a.b.a"}).Draw(t, "path")
		fields = append(fields, value.Field{Key: path, RawValue: anyOperators(t, 1)})
	}
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "logical") == 0 {
		list := []bson.RawValue{value.OfDoc(anyFilter(t, depth-1)), value.OfDoc(anyFilter(t, depth-1))}
		fields = append(fields, value.Field{Key: rapid.SampledFrom([]string{"$and", "$or", "$nor"}).Draw(t, "op"), RawValue: value.OfArray(list)})
	}
	return value.OfFields(fields)
}

func mustCompile(t *rapid.T, filter bson.Raw) *query.Matcher {
	m, err := query.Compile(filter)
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return m
}

// keys are what a multikey index holds for a path.
func keys(doc bson.RawValue, path []string) []bson.RawValue {
	if doc.Type != bson.TypeEmbeddedDocument {
		return []bson.RawValue{value.Null()}
	}
	v, ok := value.Lookup(doc.Value, path[0])
	if !ok {
		return []bson.RawValue{value.Null()}
	}
	list := []bson.RawValue{v}
	if v.Type == bson.TypeArray {
		if list = value.Elements(v.Value); len(list) == 0 {
			list = []bson.RawValue{{Type: bson.TypeUndefined}}
		}
	}
	if len(path) == 1 {
		return list
	}
	var out []bson.RawValue
	for _, e := range list {
		out = append(out, keys(e, path[1:])...)
	}
	return out
}

func within(c query.Condition, key bson.RawValue) bool {
	switch c.Op {
	case query.Eq:
		return value.Equal(key, c.Value)
	case query.Null:
		return value.Nullish(key)
	case query.In:
		for _, v := range c.Values {
			if value.Equal(key, v) || value.Nullish(v) && value.Nullish(key) {
				return true
			}
		}
		return false
	case query.Exists:
		return true
	case query.Gt:
		return sameClass(key, c) && value.Compare(key, c.Value) > 0
	case query.Gte:
		return sameClass(key, c) && value.Compare(key, c.Value) >= 0
	case query.Lt:
		return sameClass(key, c) && value.Compare(key, c.Value) < 0
	case query.Lte:
		return sameClass(key, c) && value.Compare(key, c.Value) <= 0
	}
	panic("an operator without bounds")
}

func sameClass(key bson.RawValue, c query.Condition) bool {
	return value.Class(key.Type) == value.Class(c.Value.Type)
}

// A document that matches has a key within the bounds of every condition.
func TestConditionsAreNecessary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, doc := anyFilter(t, 1), anyDoc(t, 3)
		m := mustCompile(t, filter)
		if !m.Match(doc) {
			return
		}
		for _, c := range m.Conditions() {
			found := false
			for _, k := range keys(value.OfDoc(doc), strings.Split(c.Path, ".")) {
				found = found || within(c, k)
			}
			if !found {
				t.Fatalf("%s matches %s, but no key is within %+v", filter, doc, c)
			}
		}
		for _, group := range m.Or() {
			found := false
			for _, b := range group {
				found = found || b.Match(doc)
			}
			if !found {
				t.Fatalf("%s matches %s, but none of its branches does", filter, doc)
			}
		}
	})
}

// What Implies claims holds for every document.
func TestImpliesHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := anyFilter(t, 1), anyFilter(t, 1)
		m, p := mustCompile(t, have), mustCompile(t, want)
		if !m.Implies(p) {
			return
		}
		for range 20 {
			if doc := anyDoc(t, 3); m.Match(doc) && !p.Match(doc) {
				t.Fatalf("%s does not imply %s: %s", have, want, doc)
			}
		}
	})
}

// A negation matches exactly where its positive form does not.
func TestNegation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, doc := anyFilter(t, 1), anyDoc(t, 3)
		nor := value.OfFields([]value.Field{{Key: "$nor", RawValue: value.OfArray([]bson.RawValue{value.OfDoc(filter)})}})
		if mustCompile(t, filter).Match(doc) == mustCompile(t, nor).Match(doc) {
			t.Fatalf("%s and its negation agree on %s", filter, doc)
		}
	})
}
