package query

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// compare is $eq, $gt, $gte, $lt and $lte.
type compare struct {
	op    Op
	value bson.RawValue
	class int
	nan   bool
}

func newCompare(op Op, v bson.RawValue) *compare {
	return &compare{op: op, value: v, class: value.Class(v.Type), nan: value.IsNaN(v)}
}

func (c *compare) test(t bson.Type, v []byte, _ *state) bool {
	if c.op == Eq && t == c.value.Type && !value.IsNumber(t) {
		// Most equalities are settled by the bytes.
		switch t {
		case bson.TypeObjectID, bson.TypeString, bson.TypeBoolean, bson.TypeDateTime, bson.TypeBinary:
			return bytes.Equal(v, c.value.Value)
		default:
		}
	}
	if class := value.Class(t); class != c.class {
		return c.otherType(class)
	}
	if c.class == 10 {
		if nan := value.IsNaN(bson.RawValue{Type: t, Value: v}); nan || c.nan {
			return nan && c.nan && c.op != Gt && c.op != Lt
		}
	}
	return c.holds(value.CompareBytes(t, v, c.value.Type, c.value.Value))
}

func (c *compare) holds(order int) bool {
	switch c.op {
	case Eq:
		return order == 0
	case Gt:
		return order > 0
	case Gte:
		return order >= 0
	case Lt:
		return order < 0
	case Lte:
		return order <= 0
	case In, Null, Exists: // predicates of their own
	}
	return false
}

// otherType: values of different types do not compare, except that null meets
// what is missing, and that MinKey and MaxKey bound everything.
func (c *compare) otherType(class int) bool {
	switch {
	case class+c.class == value.Class(bson.TypeNull) && class >= 0 && c.class >= 0:
		return c.op == Eq || c.op == Gte || c.op == Lte
	case c.value.Type == bson.TypeMinKey:
		return c.op == Gt || c.op == Gte
	case c.value.Type == bson.TypeMaxKey:
		return c.op == Lt || c.op == Lte
	default:
		return false
	}
}

// oneOf is $in. The values are sorted and distinct.
type oneOf struct {
	values  []bson.RawValue
	regexes []*regex
	null    bool
}

func newOneOf(values []bson.RawValue, regexes []*regex) *oneOf {
	o := &oneOf{regexes: regexes}
	o.values = slices.Clone(values)
	slices.SortStableFunc(o.values, value.Compare)
	o.values = slices.CompactFunc(o.values, value.Equal)
	o.null = slices.ContainsFunc(o.values, func(v bson.RawValue) bool { return v.Type == bson.TypeNull })
	return o
}

func (o *oneOf) test(t bson.Type, v []byte, s *state) bool {
	if t == 0 {
		return o.null
	}
	low, high := 0, len(o.values)
	for low < high {
		mid := (low + high) / 2
		switch c := value.CompareBytes(t, v, o.values[mid].Type, o.values[mid].Value); {
		case c == 0:
			return true
		case c < 0:
			high = mid
		default:
			low = mid + 1
		}
	}
	for _, r := range o.regexes {
		if r.test(t, v, s) {
			return true
		}
	}
	return false
}

type exists struct{}

func (exists) test(t bson.Type, _ []byte, _ *state) bool { return t != 0 }

// ofType is $type, with a bit for each type.
type ofType struct{ set [256 / 64]uint64 }

func (o *ofType) add(t bson.Type) { o.set[t/64] |= 1 << (t % 64) }

func (o *ofType) has(t bson.Type) bool { return o.set[t/64]&(1<<(t%64)) != 0 }

func (o *ofType) test(t bson.Type, _ []byte, _ *state) bool { return t != 0 && o.has(t) }

type size int64

func (n size) test(t bson.Type, v []byte, _ *state) bool {
	if t != bson.TypeArray {
		return false
	}
	count := int64(0)
	for b := value.Inside(v); ; count++ {
		_, _, _, rest, ok := value.Next(b)
		if !ok {
			return count == int64(n)
		}
		b = rest
	}
}

type modulo struct{ divisor, remainder int64 }

func (m modulo) test(t bson.Type, v []byte, _ *state) bool {
	n, ok := value.Truncated(bson.RawValue{Type: t, Value: v})
	if !ok {
		return false
	}
	if m.divisor == -1 { // the quotient of the lowest int64 would overflow
		return m.remainder == 0
	}
	return n%m.divisor == m.remainder
}

// elemDocument is $elemMatch with conditions on the fields of an element.
type elemDocument struct{ cond *andNode }

func (e *elemDocument) test(t bson.Type, v []byte, s *state) bool {
	return anyElement(t, v, s, func(et bson.Type, ev []byte, s *state) bool {
		return (et == bson.TypeEmbeddedDocument || et == bson.TypeArray) && e.cond.match(value.Inside(ev), s)
	})
}

// elemValue is $elemMatch with operators on an element itself.
type elemValue struct{ nodes []valueNode }

func (e *elemValue) test(t bson.Type, v []byte, s *state) bool {
	return anyElement(t, v, s, func(et bson.Type, ev []byte, s *state) bool {
		for _, n := range e.nodes {
			if !n.single(et, ev, s) {
				return false
			}
		}
		return true
	})
}

func anyElement(t bson.Type, v []byte, s *state, f func(bson.Type, []byte, *state) bool) bool {
	if t != bson.TypeArray {
		return false
	}
	b := value.Inside(v)
	for i := 0; ; i++ {
		et, _, ev, rest, ok := value.Next(b)
		if !ok {
			return false
		}
		pos := s.pos
		if f(et, ev, s) {
			s.pos = i
			return true
		}
		s.pos = pos
		b = rest
	}
}

// The four $bits operators.
const (
	allSet = iota
	allClear
	anySet
	anyClear
)

// bits tests bit positions, in ascending order.
type bits struct {
	kind      int
	positions []int
}

func (m *bits) test(t bson.Type, v []byte, _ *state) bool {
	var isSet func(pos int) bool
	if t == bson.TypeBinary {
		data := v[5:]
		isSet = func(pos int) bool { return pos/8 < len(data) && data[pos/8]&(1<<(pos%8)) != 0 }
	} else {
		n, ok := value.Whole(bson.RawValue{Type: t, Value: v})
		if !ok {
			return false
		}
		isSet = func(pos int) bool { return n>>min(pos, 63)&1 != 0 } // the sign goes on for ever
	}
	all := m.kind == allSet || m.kind == allClear
	want := m.kind == allSet || m.kind == anySet
	for _, pos := range m.positions {
		if (isSet(pos) == want) != all {
			return !all
		}
	}
	return all
}

func positionsOfBytes(data []byte) []int {
	var out []int
	for i, b := range data {
		for j := range 8 {
			if b&(1<<j) != 0 {
				out = append(out, i*8+j)
			}
		}
	}
	return out
}

func positionsOfInt(n int64) []int {
	return positionsOfBytes(binary.LittleEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // never negative
}

// expression is $expr.
type expression struct{ expr *eval.Expr }

func (e *expression) match(_ []byte, s *state) bool {
	v, err := e.expr.Eval(s.doc, nil)
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return false
	}
	return value.Truthy(v)
}
