package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Op is the relation of a Condition.
type Op uint8

// The relations of a Condition.
const (
	Eq Op = iota + 1
	Gt
	Gte
	Lt
	Lte
	In
	Null
	Exists
)

// Condition is a necessary condition on one path: a document that matches the
// filter has at least one index key at Path within the bounds.
//
//   - Eq: a key equal to Value (never null, never an array).
//   - Gt, Gte, Lt, Lte: a key in that range of Value's own type bracket (all
//     numbers are one bracket); Value is never null, an array, MinKey or MaxKey.
//   - In: a key equal to one of Values. Null among them stands for null, missing
//     and undefined. An equality with an array comes as In, with the array
//     itself, its first element and, for the empty array, undefined, since
//     that is how a multikey index holds it. No Values: nothing can match.
//   - Null: a key that is null, missing or undefined.
//   - Exists: the path exists (only the positive form is given). Value is true.
//
// Two conditions on one path may be met by two elements of an array, so bounds
// must not be intersected on a multikey index.
// Paths with a numeric component are never given.
type Condition struct {
	Path   string
	Op     Op
	Value  bson.RawValue
	Values []bson.RawValue
}

// Conditions returns the top-level conjunction, nested $and flattened, as far
// as an index can serve it.
func (m *Matcher) Conditions() []Condition { return conditions(nil, "", m.root) }

// Or returns the branches of each top-level $or: a document that matches has
// to match at least one branch of every group.
func (m *Matcher) Or() [][]*Matcher {
	var out [][]*Matcher
	for _, n := range m.root.nodes {
		or, ok := n.(*orNode)
		if !ok {
			continue
		}
		group := make([]*Matcher, 0, len(or.branches))
		for _, b := range or.branches {
			group = append(group, &Matcher{root: b, canFail: m.canFail})
		}
		out = append(out, group)
	}
	return out
}

func conditions(out []Condition, prefix string, and *andNode) []Condition {
	for _, n := range and.nodes {
		f, ok := n.(*fieldNode)
		if !ok || hasIndex(f.path) {
			continue
		}
		out = ofValueNode(out, prefix+f.name, f.cond)
	}
	return out
}

func hasIndex(path []string) bool {
	for _, p := range path {
		if p == "" || strings.Trim(p, "0123456789") == "" {
			return true
		}
	}
	return false
}

func ofValueNode(out []Condition, path string, n valueNode) []Condition {
	switch n := n.(type) {
	case *allNode:
		if len(n.nodes) == 0 {
			return append(out, Condition{Path: path, Op: In})
		}
		for _, c := range n.nodes {
			out = ofValueNode(out, path, c)
		}
	case *predNode:
		switch p := n.pred.(type) {
		case *compare:
			return ofCompare(out, path, p)
		case *oneOf:
			if len(p.regexes) == 0 {
				return append(out, ofList(path, p.values))
			}
		case exists:
			return append(out, Condition{Path: path, Op: Exists, Value: value.OfBool(true)})
		case *elemDocument:
			return conditionsOfElement(out, path, p)
		case *elemValue:
			for _, c := range p.nodes {
				if inner, ok := c.(*predNode); ok {
					if cmp, ok := inner.pred.(*compare); ok && cmp.value.Type == bson.TypeArray {
						continue // the element itself is an array
					}
					out = ofElementValue(out, path, inner)
				}
			}
		}
	}
	return out
}

// ofElementValue gives the comparisons of an $elemMatch on values. An element
// that is an array is one key of the index, like any other element.
func ofElementValue(out []Condition, path string, n *predNode) []Condition {
	switch p := n.pred.(type) {
	case *compare:
		return ofCompare(out, path, p)
	case *oneOf:
		if len(p.regexes) == 0 && !p.hasArray() {
			return append(out, ofList(path, p.values))
		}
	}
	return out
}

func (o *oneOf) hasArray() bool {
	for _, v := range o.values {
		if v.Type == bson.TypeArray {
			return true
		}
	}
	return false
}

// conditionsOfElement gives the conditions of an $elemMatch on documents under
// their full path. A nullish one does not carry over: an element that is an
// array lacks the field too, and an index has no key for that.
func conditionsOfElement(out []Condition, path string, e *elemDocument) []Condition {
	for _, c := range conditions(nil, path+".", e.cond) {
		nullish := c.Op == Null
		for _, v := range c.Values {
			nullish = nullish || value.Nullish(v)
		}
		if !nullish {
			out = append(out, c)
		}
	}
	return out
}

func ofCompare(out []Condition, path string, c *compare) []Condition {
	switch {
	case value.Nullish(c.value):
		if c.op == Eq || c.op == Gte || c.op == Lte {
			return append(out, Condition{Path: path, Op: Null})
		}
		return out
	case c.op == Eq && c.value.Type == bson.TypeArray:
		return append(out, ofList(path, []bson.RawValue{c.value}))
	case c.op == Eq:
		return append(out, Condition{Path: path, Op: Eq, Value: c.value})
	case c.value.Type == bson.TypeArray || c.value.Type == bson.TypeMinKey || c.value.Type == bson.TypeMaxKey:
		return out
	default:
		return append(out, Condition{Path: path, Op: c.op, Value: c.value})
	}
}

func ofList(path string, values []bson.RawValue) Condition {
	c := Condition{Path: path, Op: In}
	for _, v := range values {
		c.Values = append(c.Values, v)
		if v.Type != bson.TypeArray {
			continue
		}
		if t, _, first, _, ok := value.Next(value.Inside(v.Value)); ok {
			c.Values = append(c.Values, bson.RawValue{Type: t, Value: first})
		} else {
			c.Values = append(c.Values, bson.RawValue{Type: bson.TypeUndefined})
		}
	}
	return c
}
