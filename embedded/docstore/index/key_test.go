package index_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/value"
)

func raw(t interface{ Fatal(...any) }, v any) bson.RawValue {
	if v == nil {
		return value.Null()
	}
	typ, b, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: typ, Value: b}
}

// genValue draws values that collide often, across all types and nested.
func genValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		n := 21
		if depth == 0 {
			n = 18
		}
		switch rapid.IntRange(0, n-1).Draw(t, "kind") {
		case 0, 1:
			return rapid.Int32Range(-12, 120).Draw(t, "i32")
		case 2:
			return rapid.SampledFrom([]int64{0, 1, -1, 10, 99, 100, 101, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64, -(1<<53 + 1)}).Draw(t, "i64")
		case 3:
			return rapid.SampledFrom([]float64{
				0, math.Copysign(0, -1), 1, -1, 0.1, 0.5, 1.5, -1.5, 1 << 53, 1 << 63, -(1 << 63), math.NaN(), math.Inf(1), math.Inf(-1),
				math.MaxFloat64, math.SmallestNonzeroFloat64, 100, 1e34, 99.99,
			}).Draw(t, "f64")
		case 4:
			return rapid.Float64().Draw(t, "f")
		case 5:
			s := rapid.SampledFrom([]string{"0", "-0", "0.1", "0.1000000000000000055511151231257827", "1", "1.0", "1.5", "-1.5", "1E+3", "100", "NaN", "Infinity", "-Infinity", "9007199254740993", "9.999999999999999999999999999999999E+6144", "1E-6176", "99.99"}).Draw(t, "dec")
			d, err := bson.ParseDecimal128(s)
			if err != nil {
				t.Fatal(err)
			}
			return d
		case 6, 7:
			return rapid.SampledFrom([]string{"", "a", "a\x00", "a\x00b", "ab", "b", "\xff", "é"}).Draw(t, "s")
		case 8:
			return bson.Symbol(rapid.SampledFrom([]string{"", "a", "a\x00"}).Draw(t, "sym"))
		case 9:
			return rapid.Bool().Draw(t, "b")
		case 10:
			return nil
		case 11:
			return rapid.SampledFrom([]any{bson.MinKey{}, bson.MaxKey{}, bson.Undefined{}}).Draw(t, "edge")
		case 12:
			return bson.Binary{Subtype: rapid.SampledFrom([]byte{0, 2, 5, 0x80}).Draw(t, "sub"), Data: rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 255}), 0, 3).Draw(t, "bin")}
		case 13:
			return bson.ObjectID{rapid.Byte().Draw(t, "oid")}
		case 14:
			return bson.DateTime(rapid.SampledFrom([]int64{-1, 0, 1, math.MinInt64, math.MaxInt64}).Draw(t, "date"))
		case 15:
			return bson.Timestamp{T: rapid.Uint32Range(0, 2).Draw(t, "t"), I: rapid.Uint32Range(0, 2).Draw(t, "i")}
		case 16:
			return bson.Regex{Pattern: rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "p"), Options: rapid.SampledFrom([]string{"", "i"}).Draw(t, "o")}
		case 17:
			code := rapid.SampledFrom([]string{"", "a", "a\x00"}).Draw(t, "code")
			if rapid.Bool().Draw(t, "scope") {
				return bson.CodeWithScope{Code: bson.JavaScript(code), Scope: bson.D{{Key: "x", Value: rapid.Int32Range(0, 1).Draw(t, "x")}}}
			}
			return bson.JavaScript(code)
		case 18:
			return bson.DBPointer{DB: rapid.SampledFrom([]string{"a", "ab"}).Draw(t, "db"), Pointer: bson.ObjectID{rapid.Byte().Draw(t, "p")}}
		case 19:
			a := bson.A{}
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				a = append(a, genValue(depth-1).Draw(t, "e"))
			}
			return a
		default:
			d := bson.D{}
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				d = append(d, bson.E{Key: rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "k"), Value: genValue(depth-1).Draw(t, "v")})
			}
			return d
		}
	})
}

func sign(n int) int {
	return min(1, max(-1, n))
}

func TestKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := raw(t, genValue(2).Draw(t, "a")), raw(t, genValue(2).Draw(t, "b"))
		ka, kb := index.Append(nil, a), index.Append(nil, b)
		want := value.Compare(a, b)
		if got := bytes.Compare(ka, kb); got != sign(want) {
			t.Fatalf("%v <> %v: key order %d, value order %d", a, b, got, want)
		}
		// Prefix free: whatever follows cannot change the order.
		if want != 0 && (bytes.HasPrefix(ka, kb) || bytes.HasPrefix(kb, ka)) {
			t.Fatalf("%v and %v: one key starts with the other", a, b)
		}
		index.Invert(ka)
		index.Invert(kb)
		if got := bytes.Compare(ka, kb); got != -sign(want) {
			t.Fatalf("%v <> %v inverted: key order %d, value order %d", a, b, got, want)
		}
	})
}

func contains(iv []index.Interval, key []byte) bool {
	for _, v := range iv {
		if bytes.Compare(v.Low, key) <= 0 && bytes.Compare(key, v.High) < 0 {
			return true
		}
	}
	return false
}

func TestIntervals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound, v := raw(t, genValue(1).Draw(t, "bound")), raw(t, genValue(1).Draw(t, "v"))
		if bound.Type == bson.TypeMinKey || bound.Type == bson.TypeMaxKey {
			t.Skip()
		}
		same := value.Class(bound.Type) == value.Class(v.Type)
		c := value.Compare(v, bound)
		below := same && (!value.IsNaN(v) || value.IsNaN(bound))
		tail := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 255}), 0, 2).Draw(t, "tail")
		for _, desc := range []bool{false, true} {
			key := index.Append(nil, v)
			if desc {
				index.Invert(key)
			}
			key = append(key, tail...)
			check := func(name string, iv []index.Interval, want bool) {
				if desc {
					iv = index.Descending(iv)
				}
				if got := contains(iv, key); got != want {
					t.Fatalf("%v in %s %v (descending %t): %t, want %t", v, name, bound, desc, got, want)
				}
			}
			check("gt", index.Above(bound, false), same && c > 0)
			check("gte", index.Above(bound, true), same && c >= 0)
			check("lt", index.Below(bound, false), below && c < 0)
			check("lte", index.Below(bound, true), below && c <= 0)
			check("point", index.Points(bound), c == 0)
			check("all", index.All(), true)
			check("between", index.Intersect(index.Above(bound, true), index.Below(bound, true)), same && c == 0)
		}
	})
}

func TestDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := []index.Field{index.NewField("a", rapid.Bool().Draw(t, "da")), index.NewField("b", rapid.Bool().Draw(t, "db"))}
		doc := bson.D{}
		for _, k := range []string{"a", "b"} {
			if rapid.Bool().Draw(t, "has") {
				doc = append(doc, bson.E{Key: k, Value: genValue(0).Draw(t, "v")})
			}
		}
		b, err := bson.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := index.Extract(b, fields)
		if err != nil {
			t.Fatal(err)
		}
		if keys.Missing != (len(doc) == 0) {
			t.Fatalf("missing %t for %v", keys.Missing, doc)
		}
		values, ok := index.Decode(keys.Entries[0].Key, fields, keys.Entries[0].Hints)
		wanted := rapid.Uint64Range(0, 3).Draw(t, "wanted")
		elements, same := index.AppendElements(nil, keys.Entries[0].Key, fields, keys.Entries[0].Hints, wanted)
		if same != ok {
			t.Fatalf("values %t, elements %t", ok, same)
		}
		if !ok {
			return
		}
		var want []byte
		for i, f := range fields {
			if v := values[i]; wanted>>i&1 != 0 && v.Type != 0 {
				want = append(append(append(append(want, byte(v.Type)), f.Path...), 0), v.Value...)
			}
		}
		if !bytes.Equal(elements, want) {
			t.Fatalf("elements %x, not %x", elements, want)
		}
		for i, f := range fields {
			want, _ := value.Lookup(b, f.Path)
			if !value.Same(want, values[i]) {
				t.Fatalf("%s: %v came back as %v", f.Path, want, values[i])
			}
		}
	})
}

func TestExtract(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		paths     []string
		want      []string // keys as arrays in extended JSON
		multikey  uint64
	}{
		{"scalar", `{"a":1}`, []string{"a"}, []string{`[1]`}, 0},
		{"missing is null", `{}`, []string{"a"}, []string{`[null]`}, 0},
		{"array", `{"a":[3,1,3]}`, []string{"a"}, []string{`[1]`, `[3]`}, 1},
		{"empty array", `{"a":[]}`, []string{"a"}, []string{`[{"$undefined":true}]`}, 1},
		{"nested array", `{"a":[[1,2],3]}`, []string{"a"}, []string{`[3]`, `[[1,2]]`}, 1},
		{"array of documents", `{"a":[{"b":2},{"b":1},{"c":1},7]}`, []string{"a.b"}, []string{`[null]`, `[1]`, `[2]`}, 1},
		{"array below array", `{"a":[{"b":[1,2]},{"b":3}]}`, []string{"a.b"}, []string{`[1]`, `[2]`, `[3]`}, 1},
		{"empty array on the way", `{"a":[]}`, []string{"a.b"}, []string{`[null]`}, 1},
		{"scalar on the way", `{"a":5}`, []string{"a.b"}, []string{`[null]`}, 0},
		{"compound", `{"a":[1,2],"b":7}`, []string{"a", "b"}, []string{`[1,7]`, `[2,7]`}, 1},
		{"same array twice", `{"a":[{"x":1,"y":2},{"x":3}]}`, []string{"a.x", "a.y"}, []string{`[1,2]`, `[3,null]`}, 3},
		{"position", `{"a":[5,6]}`, []string{"a.1"}, []string{`[6]`}, 0},
		{"position beyond", `{"a":[5,6]}`, []string{"a.2"}, []string{`[null]`}, 0},
		{"field with a number in an array", `{"a":[{"3":5}]}`, []string{"a.3"}, []string{`[5]`}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var doc bson.Raw
			if err := bson.UnmarshalExtJSON([]byte(c.doc), false, &doc); err != nil {
				t.Fatal(err)
			}
			var fields []index.Field
			for _, p := range c.paths {
				fields = append(fields, index.NewField(p, false))
			}
			got, err := index.Extract(doc, fields)
			if err != nil {
				t.Fatal(err)
			}
			var want [][]byte
			for _, w := range c.want {
				var arr bson.Raw
				if err := bson.UnmarshalExtJSON([]byte(`{"k":`+w+`}`), false, &arr); err != nil {
					t.Fatal(err)
				}
				vals, err := arr.Lookup("k").Array().Values()
				if err != nil {
					t.Fatal(err)
				}
				var key []byte
				for _, v := range vals {
					key = index.Append(key, v)
				}
				want = append(want, key)
			}
			if len(got.Entries) != len(want) || got.Multikey != c.multikey {
				t.Fatalf("got %d keys, multikey %b; want %d, %b", len(got.Entries), got.Multikey, len(want), c.multikey)
			}
			for i := range want {
				if !bytes.Equal(got.Entries[i].Key, want[i]) {
					t.Errorf("key %d is % x, want % x", i, got.Entries[i].Key, want[i])
				}
			}
		})
	}
}

// keyOf is the key of a field with a document, which is one entry.
func keyOf(t *testing.T, v bson.RawValue, descending bool) []byte {
	t.Helper()
	keys, err := index.Extract(value.OfFields([]value.Field{{Key: "v", RawValue: v}}), []index.Field{index.NewField("v", descending)})
	if err != nil || len(keys.Entries) != 1 {
		t.Fatalf("%d keys of %v, %v", len(keys.Entries), v, err)
	}
	return keys.Entries[0].Key
}

func FuzzKeyOrder(f *testing.F) {
	doc := func(v any) []byte {
		b, err := bson.Marshal(bson.D{{Key: "v", Value: v}})
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(doc(1), doc(1.0))
	f.Add(doc("a\x00b"), doc("a"))
	f.Add(doc(bson.A{1, "x"}), doc(bson.D{{Key: "a", Value: nil}}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if value.Check(a) != nil || value.Check(b) != nil {
			return
		}
		va := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: a}
		vb := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: b}
		want := value.Compare(va, vb)
		if got := bytes.Compare(index.Append(nil, va), index.Append(nil, vb)); got != sign(want) {
			t.Fatalf("%v <> %v: key order %d, value order %d", va, vb, got, want)
		}
		ka, kb := keyOf(t, va, true), keyOf(t, vb, true)
		if got := bytes.Compare(ka, kb); got != -sign(want) {
			t.Fatalf("%v <> %v: descending key order %d, value order %d", va, vb, got, want)
		}
		// A second field decides only between equals, in its own direction.
		ab, ba := append(slices.Clip(ka), keyOf(t, vb, false)...), append(slices.Clip(kb), keyOf(t, va, false)...)
		second := -sign(want)
		if got := bytes.Compare(ab, ba); got != second {
			t.Fatalf("%v <> %v: order of two fields %d, want %d", va, vb, got, second)
		}
	})
}
