package index

import (
	"bytes"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Interval is a set of encoded values of one field: Low <= encoding < High.
// Point tells that it holds the encodings of one value only.
type Interval struct {
	Low, High []byte
	Point     bool
}

// All holds every value.
func All() []Interval { return []Interval{{Low: []byte{0x01}, High: []byte{0xFF}}} }

// IsAll tells if the intervals leave nothing out.
func IsAll(iv []Interval) bool {
	return len(iv) == 1 && len(iv[0].Low) == 1 && iv[0].Low[0] == 0x01 && len(iv[0].High) == 1 && iv[0].High[0] == 0xFF
}

// Points holds the given values and no other, ascending and each once.
func Points(values ...bson.RawValue) []Interval {
	out := make([]Interval, 0, len(values))
	for _, v := range values {
		low := Append(nil, v)
		out = append(out, Interval{Low: low, High: Successor(low), Point: true})
	}
	slices.SortFunc(out, func(a, b Interval) int { return bytes.Compare(a.Low, b.Low) })
	return slices.CompactFunc(out, func(a, b Interval) bool { return bytes.Equal(a.Low, b.Low) })
}

// Nulls holds null, missing and undefined.
func Nulls() []Interval {
	return Points(bson.RawValue{Type: bson.TypeUndefined}, bson.RawValue{Type: bson.TypeNull})
}

// Above holds the values of v's class from v on, v itself included or not.
func Above(v bson.RawValue, inclusive bool) []Interval {
	low := Append(nil, v)
	if !inclusive {
		low = Successor(low)
	}
	_, high := classBounds(v.Type)
	return []Interval{{Low: low, High: high}}
}

// Below holds the values of v's class up to v, v itself included or not. NaN is
// below no number but NaN.
func Below(v bson.RawValue, inclusive bool) []Interval {
	high := Append(nil, v)
	if inclusive {
		high = Successor(high)
	}
	low, _ := classBounds(v.Type)
	if value.IsNumber(v.Type) && !value.IsNaN(v) {
		low = []byte{tagMinusInf}
	}
	return []Interval{{Low: low, High: high}}
}

func classBounds(t bson.Type) (low, high []byte) {
	tag := classTag(t)
	if value.IsNumber(t) {
		return []byte{tagNumber}, []byte{tagNumberEnd}
	}
	return []byte{tag}, []byte{tag + 1}
}

// Intersect holds what both hold. Both are ascending and without overlap, and so
// is the result.
func Intersect(a, b []Interval) []Interval {
	var out []Interval
	for i, j := 0, 0; i < len(a) && j < len(b); {
		low, high, point := a[i].Low, a[i].High, a[i].Point || b[j].Point
		if bytes.Compare(b[j].Low, low) > 0 {
			low = b[j].Low
		}
		if bytes.Compare(b[j].High, high) < 0 {
			high = b[j].High
		}
		if bytes.Compare(low, high) < 0 {
			out = append(out, Interval{Low: low, High: high, Point: point})
		}
		if bytes.Compare(a[i].High, b[j].High) < 0 {
			i++
		} else {
			j++
		}
	}
	return out
}

// Descending is the same set of values in a descending field.
func Descending(iv []Interval) []Interval {
	out := make([]Interval, 0, len(iv))
	for _, v := range slices.Backward(iv) {
		low, high := slices.Clone(v.Low), slices.Clone(v.High)
		Invert(low)
		Invert(high)
		out = append(out, Interval{Low: Successor(high), High: Successor(low), Point: v.Point})
	}
	return out
}
