// Package query compiles MongoDB filters and matches them against encoded
// documents, without decoding them.
//
// A path through an array reaches into the documents of the array, and a
// numeric component is an array index as well as a field name. A predicate on an
// array is met by one element or by the array itself. Everything that is not
// implemented exactly is refused with MongoDB's error code.
package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Matcher is a compiled filter. It is safe for concurrent use.
type Matcher struct {
	root    *andNode
	canFail bool
}

// Compile compiles a filter; the empty filter matches every document. The
// Matcher keeps its own copy. The error is a *value.Error.
func Compile(filter bson.Raw) (*Matcher, error) {
	if len(filter) == 0 {
		return &Matcher{root: &andNode{}}, nil
	}
	if err := value.Check(filter); err != nil {
		return nil, err
	}
	p := &parser{top: true}
	root, err := p.document(append([]byte(nil), filter...))
	if err != nil {
		return nil, err
	}
	return &Matcher{root: root, canFail: p.canFail}, nil
}

// Match tells if the document matches. A filter that can fail on a document
// (see CanFail) counts a failure as no match; use Test for those.
func (m *Matcher) Match(doc bson.Raw) bool {
	ok, _, _ := m.Test(doc)
	return ok
}

// MatchPos is Match and the index of the array element that matched, for the
// positional $ operator; -1 if there is none.
func (m *Matcher) MatchPos(doc bson.Raw) (ok bool, pos int) {
	ok, pos, _ = m.Test(doc)
	return ok, pos
}

// Test is MatchPos with the error of an expression ($expr) that failed on this
// document, such as a division by zero.
func (m *Matcher) Test(doc bson.Raw) (ok bool, pos int, err error) {
	s := state{doc: doc, pos: -1}
	ok = m.root.match(value.Inside(doc), &s)
	if s.err != nil {
		return false, -1, s.err
	}
	if !ok {
		s.pos = -1
	}
	return ok, s.pos, nil
}

// CanFail tells if Test can return an error: the filter has an expression.
func (m *Matcher) CanFail() bool { return m.canFail }

// Empty tells if the filter has no condition at all.
func (m *Matcher) Empty() bool { return len(m.root.nodes) == 0 }

// state is what one match carries along.
type state struct {
	doc bson.Raw // the whole document, for $expr
	pos int      // the array index of the latest match, -1 for none
	err error    // the first failure of an expression
}

// node is a condition on a document. b is the inside of a document.
type node interface {
	match(b []byte, s *state) bool
}

// valueNode is a condition on the value or values at a path.
type valueNode interface {
	// at evaluates below b, the inside of a document.
	at(b []byte, path []string, s *state) bool
	// single evaluates on one value. Type 0 is a missing value.
	single(t bson.Type, v []byte, s *state) bool
}

type andNode struct{ nodes []node }

func (n *andNode) match(b []byte, s *state) bool {
	for _, c := range n.nodes {
		if !c.match(b, s) {
			return false
		}
	}
	return true
}

type orNode struct{ branches []*andNode }

func (n *orNode) match(b []byte, s *state) bool {
	for _, c := range n.branches {
		pos := s.pos
		if c.match(b, s) {
			return true
		}
		s.pos = pos
	}
	return false
}

type norNode struct{ branches []*andNode }

func (n *norNode) match(b []byte, s *state) bool {
	pos := s.pos
	defer func() { s.pos = pos }()
	for _, c := range n.branches {
		if c.match(b, s) {
			return false
		}
	}
	return true
}

type constNode bool

func (n constNode) match([]byte, *state) bool { return bool(n) }

// fieldNode binds a condition to a path.
type fieldNode struct {
	name string
	path []string
	cond valueNode
}

func (n *fieldNode) match(b []byte, s *state) bool { return n.cond.at(b, n.path, s) }

// predicate tests single values.
type predicate interface {
	test(t bson.Type, v []byte, s *state) bool
}

// predNode evaluates a predicate on every value at a path. whole keeps it from
// looking at the elements of an array at the end of the path.
type predNode struct {
	pred  predicate
	whole bool
}

func (n *predNode) single(t bson.Type, v []byte, s *state) bool { return n.pred.test(t, v, s) }

func (n *predNode) at(b []byte, path []string, s *state) bool {
	t, v, ok := value.Find(b, path[0])
	if !ok {
		return n.pred.test(0, nil, s)
	}
	rest := path[1:]
	switch {
	case len(rest) == 0:
		return n.leaf(t, v, s)
	case t == bson.TypeEmbeddedDocument:
		return n.at(value.Inside(v), rest, s)
	case t == bson.TypeArray:
		return n.inArray(v, rest, s)
	default:
		return n.pred.test(0, nil, s)
	}
}

func (n *predNode) leaf(t bson.Type, v []byte, s *state) bool {
	if t == bson.TypeArray && !n.whole {
		b := value.Inside(v)
		for i := 0; ; i++ {
			et, _, ev, rest, ok := value.Next(b)
			if !ok {
				break
			}
			if n.pred.test(et, ev, s) {
				s.pos = i
				return true
			}
			b = rest
		}
	}
	return n.pred.test(t, v, s)
}

// inArray follows a path through the elements of an array. Scalars among them
// have nothing there, not even a missing value.
func (n *predNode) inArray(array []byte, path []string, s *state) bool {
	b := value.Inside(array)
	for i := 0; ; i++ {
		t, k, v, rest, ok := value.Next(b)
		if !ok {
			return false
		}
		if n.inElement(t, k, v, path, s) {
			s.pos = i
			return true
		}
		b = rest
	}
}

func (n *predNode) inElement(t bson.Type, k, v []byte, path []string, s *state) bool {
	if t == bson.TypeEmbeddedDocument && n.at(value.Inside(v), path, s) {
		return true
	}
	if string(k) != path[0] {
		return false
	}
	switch {
	case len(path) == 1:
		return n.pred.test(t, v, s)
	case t == bson.TypeEmbeddedDocument:
		return n.at(value.Inside(v), path[1:], s)
	case t == bson.TypeArray:
		return n.inArray(v, path[1:], s)
	default:
		return false
	}
}

// notNode is the negation of all its conditions together.
type notNode struct{ nodes []valueNode }

func (n *notNode) at(b []byte, path []string, s *state) bool {
	pos := s.pos
	defer func() { s.pos = pos }()
	for _, c := range n.nodes {
		if !c.at(b, path, s) {
			return true
		}
	}
	return false
}

func (n *notNode) single(t bson.Type, v []byte, s *state) bool {
	pos := s.pos
	defer func() { s.pos = pos }()
	for _, c := range n.nodes {
		if !c.single(t, v, s) {
			return true
		}
	}
	return false
}

// allNode is $all: each condition may be met by another element. Without
// conditions it matches nothing.
type allNode struct{ nodes []valueNode }

func (n *allNode) at(b []byte, path []string, s *state) bool {
	for _, c := range n.nodes {
		if !c.at(b, path, s) {
			return false
		}
	}
	return len(n.nodes) > 0
}

func (n *allNode) single(t bson.Type, v []byte, s *state) bool {
	for _, c := range n.nodes {
		if !c.single(t, v, s) {
			return false
		}
	}
	return len(n.nodes) > 0
}
