package query

import (
	"reflect"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Implies tells if every document that matches m surely matches partial, so
// that a partial index can serve m. False means that it is not known.
func (m *Matcher) Implies(partial *Matcher) bool { return impliesAnd(m.root, partial.root) }

func impliesAnd(have, want *andNode) bool {
	for _, w := range want.nodes {
		if !impliesNode(have, w) {
			return false
		}
	}
	return true
}

func impliesNode(have *andNode, want node) bool {
	for _, h := range have.nodes {
		if one(h, want) {
			return true
		}
	}
	if or, ok := want.(*orNode); ok {
		for _, b := range or.branches {
			if impliesAnd(have, b) {
				return true
			}
		}
	}
	for _, h := range have.nodes {
		if or, ok := h.(*orNode); ok && every(or.branches, want) {
			return true
		}
	}
	return false
}

func every(branches []*andNode, want node) bool {
	for _, b := range branches {
		if !impliesNode(b, want) {
			return false
		}
	}
	return true
}

func one(have, want node) bool {
	if w, ok := want.(constNode); ok && bool(w) {
		return true
	}
	h, ok := have.(*fieldNode)
	if !ok {
		return false
	}
	w, ok := want.(*fieldNode)
	if !ok || h.name != w.name {
		return false
	}
	if sameCondition(h.cond, w.cond) {
		return true
	}
	hp, ok := h.cond.(*predNode)
	if !ok {
		return false
	}
	wp, ok := w.cond.(*predNode)
	return ok && !hp.whole && !wp.whole && impliesPred(hp.pred, wp.pred)
}

// sameCondition compares two conditions by their structure; those with an
// expression or a compiled regular expression are compared by their text.
func sameCondition(a, b valueNode) bool {
	switch x := a.(type) {
	case *predNode:
		y, ok := b.(*predNode)
		if !ok || x.whole != y.whole {
			return false
		}
		if r, ok := x.pred.(*regex); ok {
			s, ok := y.pred.(*regex)
			return ok && r.pattern == s.pattern && r.options == s.options
		}
		switch x.pred.(type) {
		case *elemDocument, *elemValue:
			return false
		default:
			return reflect.DeepEqual(x.pred, y.pred)
		}
	case *notNode:
		y, ok := b.(*notNode)
		return ok && sameConditions(x.nodes, y.nodes)
	case *allNode:
		y, ok := b.(*allNode)
		return ok && sameConditions(x.nodes, y.nodes)
	default:
		return false
	}
}

func sameConditions(a, b []valueNode) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameCondition(a[i], b[i]) {
			return false
		}
	}
	return true
}

// impliesPred: any value that meets have meets want.
func impliesPred(have, want predicate) bool {
	switch h := have.(type) {
	case *compare:
		if h.op == Eq {
			return valueMeets(h.value, want)
		}
		return rangeImplies(h, want)
	case *oneOf:
		if len(h.regexes) > 0 {
			return false
		}
		for _, v := range h.values {
			if !valueMeets(v, want) {
				return false
			}
		}
		return true
	case *ofType, *regex, modulo, *bits:
		_, ok := want.(exists)
		return ok
	default:
		return false
	}
}

// valueMeets: a field with a value equal to v meets want. For null, which also
// stands for missing, and for arrays, nothing is claimed beyond equality.
func valueMeets(v bson.RawValue, want predicate) bool {
	switch w := want.(type) {
	case exists:
		return !value.Nullish(v)
	case *compare:
		if value.Nullish(v) || v.Type == bson.TypeArray {
			return w.op == Eq && value.Equal(v, w.value) && value.Class(v.Type) == w.class
		}
		return w.test(v.Type, v.Value, nil)
	case *oneOf:
		for _, o := range w.values {
			if value.Equal(o, v) && value.Class(o.Type) == value.Class(v.Type) {
				return true
			}
		}
		return false
	case *ofType:
		switch value.Class(v.Type) {
		case 0, 5, 25:
			return false
		case 10:
			return w.has(bson.TypeInt32) && w.has(bson.TypeInt64) && w.has(bson.TypeDouble) && w.has(bson.TypeDecimal128)
		case 15:
			return w.has(bson.TypeString) && w.has(bson.TypeSymbol) // the two are equal
		default:
			return w.has(v.Type)
		}
	default:
		return false
	}
}

func rangeImplies(h *compare, want predicate) bool {
	switch h.class {
	case -1, 127, 0, 5, 25:
		return false
	}
	switch w := want.(type) {
	case exists:
		return true
	case *compare:
		if w.class != h.class || h.nan || w.nan {
			return false
		}
		c := value.Compare(h.value, w.value)
		switch w.op {
		case Gt:
			return h.op == Gt && c >= 0 || h.op == Gte && c > 0
		case Gte:
			return (h.op == Gt || h.op == Gte) && c >= 0
		case Lt:
			return h.op == Lt && c <= 0 || h.op == Lte && c < 0
		case Lte:
			return (h.op == Lt || h.op == Lte) && c <= 0
		case Eq, In, Null, Exists: // a range does not say which value it is
		}
	}
	return false
}
