package value_test

import (
	"bytes"
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// interesting are numbers where types meet.
var interesting = []string{
	`{"$numberInt":"0"}`, `{"$numberInt":"1"}`, `{"$numberInt":"-1"}`, `{"$numberLong":"1"}`, `{"$numberDouble":"1.0"}`, `{"$numberDouble":"-0.0"}`,
	`{"$numberDecimal":"1"}`, `{"$numberDecimal":"1.0"}`, `{"$numberDecimal":"0.1"}`, `{"$numberDouble":"0.1"}`, `{"$numberDouble":"NaN"}`, `{"$numberDecimal":"NaN"}`,
	`{"$numberDouble":"Infinity"}`, `{"$numberDecimal":"Infinity"}`, `{"$numberDecimal":"-Infinity"}`, `{"$numberLong":"9007199254740993"}`,
	`{"$numberDouble":"9007199254740992"}`, `{"$numberDecimal":"9007199254740993"}`, `{"$numberLong":"9223372036854775807"}`, `{"$numberDouble":"9223372036854775808"}`,
	`{"$numberLong":"-9223372036854775808"}`, `{"$numberDouble":"-9223372036854775808"}`, `{"$numberDecimal":"1E+6144"}`, `{"$numberDecimal":"-1E-6176"}`,
	`{"$numberDouble":"5e-324"}`, `{"$numberDouble":"1.7976931348623157e308"}`, `{"$numberDecimal":"0E+3"}`,
	`null`, `true`, `false`, `""`, `"a"`, `"a\u0000b"`, `{"$symbol":"a"}`, `{"$minKey":1}`, `{"$maxKey":1}`, `{"$undefined":true}`, `{"$date":{"$numberLong":"-1"}}`,
	`{"$timestamp":{"t":1,"i":2}}`, `{"$oid":"0123456789abcdef01234567"}`, `{"$binary":{"base64":"AAE=","subType":"00"}}`, `{"$binary":{"base64":"AA==","subType":"05"}}`,
	`{"$regularExpression":{"pattern":"a","options":"i"}}`, `{"$regularExpression":{"pattern":"a","options":""}}`, `{"$code":"x"}`, `{"$code":"x","$scope":{"a":1}}`,
}

func genValue() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue { return draw(t, 3) })
}

func draw(t *rapid.T, depth int) bson.RawValue {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 {
		kind %= 6
	}
	switch {
	case kind == 0:
		return value.OfDouble(rapid.Float64().Draw(t, "double"))
	case kind == 1:
		return value.OfInt64(rapid.Int64().Draw(t, "long"))
	case kind == 2:
		return value.OfInt32(rapid.Int32().Draw(t, "int"))
	case kind == 3:
		d := bson.NewDecimal128(rapid.Uint64().Draw(t, "high"), rapid.Uint64().Draw(t, "low"))
		h, l := d.GetBytes()
		b := append(value.OfInt64(int64(l)).Value, value.OfInt64(int64(h)).Value...)
		return bson.RawValue{Type: bson.TypeDecimal128, Value: b}
	case kind < 6:
		return goldentest.MustDecode(rapid.SampledFrom(interesting).Draw(t, "value"))
	case kind < 8:
		var list []bson.RawValue
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, draw(t, depth-1))
		}
		return value.OfArray(list)
	default:
		var fields []value.Field
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			fields = append(fields, value.Field{Key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"), RawValue: draw(t, depth-1)})
		}
		return value.OfDoc(value.OfFields(fields))
	}
}

func TestCompareIsTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genValue().Draw(t, "a"), genValue().Draw(t, "b"), genValue().Draw(t, "c")
		if value.Compare(a, a) != 0 {
			t.Fatalf("%v is not equal to itself", a)
		}
		if value.Compare(a, b) != -value.Compare(b, a) {
			t.Fatalf("%v and %v are not antisymmetric", a, b)
		}
		if value.Compare(a, b) <= 0 && value.Compare(b, c) <= 0 && value.Compare(a, c) > 0 {
			t.Fatalf("%v <= %v <= %v is not transitive", a, b, c)
		}
		if value.Equal(a, b) != bytes.Equal(value.AppendKey(nil, a), value.AppendKey(nil, b)) {
			t.Fatalf("the keys of %v and %v do not follow their equality", a, b)
		}
	})
}

func TestCompareInteresting(t *testing.T) {
	for _, x := range interesting {
		for _, y := range interesting {
			a, b := goldentest.MustDecode(x), goldentest.MustDecode(y)
			if value.Compare(a, b) != -value.Compare(b, a) {
				t.Errorf("%s and %s are not antisymmetric", x, y)
			}
			if value.Equal(a, b) != bytes.Equal(value.AppendKey(nil, a), value.AppendKey(nil, b)) {
				t.Errorf("the keys of %s and %s do not follow their equality", x, y)
			}
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		op         string
		a, b, want string
	}{
		{"add", `{"$numberInt":"2147483647"}`, `{"$numberInt":"1"}`, `{"$numberLong":"2147483648"}`},
		{"add", `{"$numberLong":"9223372036854775807"}`, `{"$numberInt":"1"}`, ``},
		{"mul", `{"$numberLong":"4611686018427387904"}`, `{"$numberInt":"2"}`, ``},
		{"add", `{"$numberDecimal":"5.5"}`, `{"$numberDouble":"0.25"}`, `{"$numberDecimal":"5.750000000000000"}`},
		{"add", `{"$numberDecimal":"1E+6144"}`, `{"$numberDecimal":"1E-6176"}`, `{"$numberDecimal":"1.000000000000000000000000000000000E+6144"}`},
		{"add", `{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}`, `{"$numberDecimal":"1E+6144"}`, `{"$numberDecimal":"Infinity"}`},
		{"add", `{"$numberDecimal":"Infinity"}`, `{"$numberDecimal":"-Infinity"}`, `{"$numberDecimal":"NaN"}`},
		{"sub", `{"$numberDecimal":"0.3"}`, `{"$numberDecimal":"0.1"}`, `{"$numberDecimal":"0.2"}`},
		{"mul", `{"$numberDecimal":"0.1"}`, `{"$numberDecimal":"-0.10"}`, `{"$numberDecimal":"-0.010"}`},
		{"quo", `{"$numberDecimal":"1"}`, `{"$numberDecimal":"3"}`, `{"$numberDecimal":"0.3333333333333333333333333333333333"}`},
		{"quo", `{"$numberDecimal":"2"}`, `{"$numberDecimal":"3"}`, `{"$numberDecimal":"0.6666666666666666666666666666666667"}`},
		{"quo", `{"$numberDecimal":"10"}`, `{"$numberDecimal":"4"}`, `{"$numberDecimal":"2.5"}`},
		{"quo", `{"$numberInt":"7"}`, `{"$numberInt":"2"}`, `{"$numberDouble":"3.5"}`},
		{"quo", `{"$numberInt":"7"}`, `{"$numberDouble":"0"}`, ``},
	} {
		a, b := goldentest.MustDecode(c.a), goldentest.MustDecode(c.b)
		var got bson.RawValue
		var ok bool
		switch c.op {
		case "add":
			got, ok = value.Add(a, b, false)
		case "sub":
			got, ok = value.Sub(a, b, false)
		case "mul":
			got, ok = value.Mul(a, b, false)
		default:
			got, ok = value.Quo(a, b)
		}
		if !ok {
			if c.want != "" {
				t.Errorf("%s %s %s is refused", c.a, c.op, c.b)
			}
			continue
		}
		if c.want == "" || !value.Same(got, goldentest.MustDecode(c.want)) {
			t.Errorf("%s %s %s = %v, want %s", c.a, c.op, c.b, got, c.want)
		}
	}
}

// The driver reads what the arithmetic writes.
func TestDecimalRoundTrip(t *testing.T) {
	zero := value.OfInt32(0)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.Int64().Draw(t, "i")
		d := goldentest.MustDecode(`{"$numberDecimal":"0"}`)
		s, _ := value.Add(d, value.OfInt64(i), false)
		if n, ok := value.Whole(s); !ok || n != i {
			t.Fatalf("%d became %v", i, s)
		}
		if p, _ := value.Mul(s, zero, false); value.Truthy(p) {
			t.Fatalf("%v times 0 is %v", s, p)
		}
	})
}

func TestSum(t *testing.T) {
	var s value.Sum
	for range 10 {
		s.Add(value.OfDouble(0.1))
	}
	s.Add(value.OfString("x"))
	if got := s.Total(); value.Float(got) != 1 {
		t.Errorf("ten times 0.1 is %v", got)
	}
	s = value.Sum{}
	s.Add(value.OfInt64(math.MaxInt64))
	s.Add(value.OfInt32(1))
	if got := s.Total(); got.Type != bson.TypeDouble || value.Float(got) != 1<<63 {
		t.Errorf("2^63 is %v", got)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(goldentest.Doc(`{"a":1,"b":{"c":["x",null]}}`)))
	f.Add([]byte{5, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if value.Check(data) != nil {
			return
		}
		v := value.OfDoc(data)
		if value.Compare(v, v) != 0 || len(value.AppendKey(nil, v)) == 0 {
			t.Fatal("a document differs from itself")
		}
		if again := value.OfFields(value.Fields(data)); !bytes.Equal(again, data) {
			t.Fatal("taking apart and putting together changes a document")
		}
	})
}
