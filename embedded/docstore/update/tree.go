package update

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// maxPadding is how many nulls an update may put before a new array element.
const maxPadding = 1_500_000

// node is a place in the tree of paths: an operator, or fields below, or
// selections of array elements ($[] and $[id]) below.
type node struct {
	op         op
	kids       []kid
	elements   bool // the kids select array elements
	insertOnly bool // nothing below but $setOnInsert
	positional bool // one of the kids is $
}

type kid struct {
	name   string
	index  int // the array index that the name is, or -1
	node   *node
	filter *filter // of $[id]; nil for $[]
}

// action is what an operator does with a value.
type action uint8

const (
	keep action = iota
	put
	remove
)

// op is an operator at the end of a path. old.Type is 0 when there is no value.
type op interface {
	apply(c *context, old bson.RawValue) (bson.RawValue, action, error)
	// lenient operators do nothing where their path cannot exist.
	lenient() bool
}

// context is what one application carries along.
type context struct {
	ApplyOptions
	renamed map[*renameTarget]bson.RawValue
}

func newObject() *node { return &node{} }

func isElements(name string) bool {
	return strings.HasPrefix(name, "$[") && strings.HasSuffix(name, "]")
}

// insert puts a leaf at a path; false if the path meets another one.
func (n *node) insert(path []string, leaf *node) bool {
	if n.op != nil {
		return false
	}
	name := path[0]
	elements := isElements(name)
	if len(n.kids) > 0 && n.elements != elements {
		return false
	}
	n.elements = elements
	n.positional = n.positional || name == "$"
	for i := range n.kids {
		if n.kids[i].name == name {
			return len(path) > 1 && n.kids[i].node.insert(path[1:], leaf)
		}
	}
	k := kid{name: name, index: -1, node: leaf}
	if i, ok := arrayIndex(name); ok {
		k.index = i
	}
	if len(path) > 1 {
		k.node = newObject()
		k.node.insert(path[1:], leaf)
	}
	n.kids = append(n.kids, k)
	return true
}

// arrayIndex reads a component as an array index. Unlike in a query, leading zeros
// are allowed: 01 is 1.
func arrayIndex(name string) (int, bool) {
	if trimmed := strings.TrimLeft(name, "0"); trimmed != "" || name == "" {
		return value.Index(trimmed)
	}
	return 0, true
}

// finish sorts the fields and sums up what is below.
func (n *node) finish() {
	if n.op != nil {
		return
	}
	slices.SortFunc(n.kids, compareKids)
	n.insertOnly = len(n.kids) > 0
	for _, k := range n.kids {
		k.node.finish()
		n.insertOnly = n.insertOnly && k.node.insertOnly
	}
}

func compareKids(a, b kid) int {
	switch {
	case a.index >= 0 && b.index >= 0:
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.name, b.name))
	case a.index >= 0:
		return -1
	case b.index >= 0:
		return 1
	default:
		return cmp.Compare(a.name, b.name)
	}
}

// merged joins two nodes that turn out to be for the same place.
func merged(a, b *node, path string) (*node, error) {
	if a.op != nil || b.op != nil || a.elements != b.elements {
		return nil, conflict(path)
	}
	out := &node{elements: a.elements, positional: a.positional || b.positional}
	out.kids = slices.Clone(a.kids)
	for _, k := range b.kids {
		i := slices.IndexFunc(out.kids, func(o kid) bool { return o.name == k.name })
		if i < 0 {
			out.kids = append(out.kids, k)
			continue
		}
		m, err := merged(out.kids[i].node, k.node, path+"."+k.name)
		if err != nil {
			return nil, err
		}
		out.kids[i].node = m
	}
	slices.SortFunc(out.kids, compareKids)
	out.insertOnly = a.insertOnly && b.insertOnly
	return out, nil
}

func conflict(path string) error {
	return value.Errorf(value.CodeConflictingUpdate, "Updating the path '%s' would create a conflict at '%s'", path, path)
}

// resolved gives the fields below n with the positional $ made an index.
func (c *context) resolved(n *node) ([]kid, error) {
	if !n.positional {
		return n.kids, nil
	}
	if c.Pos < 0 {
		return nil, value.BadValue("The positional operator did not find the match needed from the query.")
	}
	name := strconv.Itoa(c.Pos)
	var out []kid
	for _, k := range n.kids {
		if k.name == "$" {
			k.name, k.index = name, c.Pos
		}
		i := slices.IndexFunc(out, func(o kid) bool { return o.name == k.name })
		if i < 0 {
			out = append(out, k)
			continue
		}
		m, err := merged(out[i].node, k.node, k.name)
		if err != nil {
			return nil, err
		}
		out[i].node = m
	}
	slices.SortFunc(out, compareKids)
	return out, nil
}

// apply applies a node to a value that exists.
func (c *context) apply(n *node, old bson.RawValue, name string) (bson.RawValue, action, error) {
	switch {
	case n.insertOnly && !c.Insert:
		return old, keep, nil
	case n.op != nil:
		return n.op.apply(c, old)
	case n.elements:
		return c.selected(n, old, name)
	}
	var out []byte
	var changed bool
	var err error
	switch old.Type {
	case bson.TypeEmbeddedDocument:
		out, changed, err = c.object(n, old.Value)
	case bson.TypeArray:
		out, changed, err = c.array(n, old.Value, name)
	default:
		return old, keep, c.blocked(n, name)
	}
	if err != nil || !changed {
		return old, keep, err
	}
	return bson.RawValue{Type: old.Type, Value: out}, put, nil
}

// blocked is the error of a path through a scalar, unless all operators below
// are lenient.
func (c *context) blocked(n *node, name string) error {
	if c.strict(n) {
		return value.Errorf(value.CodePathNotViable, "Cannot create field below element '%s'", name)
	}
	return nil
}

func (c *context) strict(n *node) bool {
	if n.insertOnly && !c.Insert {
		return false
	}
	if n.op != nil {
		return !n.op.lenient()
	}
	return slices.ContainsFunc(n.kids, func(k kid) bool { return c.strict(k.node) })
}

// create makes the value at a path that does not exist; keep if nothing is to
// be made.
func (c *context) create(n *node, name string) (bson.RawValue, action, error) {
	switch {
	case n.insertOnly && !c.Insert:
		return bson.RawValue{}, keep, nil
	case n.op != nil:
		return n.op.apply(c, bson.RawValue{})
	case n.elements:
		return bson.RawValue{}, keep, value.BadValue("The path '%s' must exist in the document in order to apply array updates.", name)
	}
	out, changed, err := c.object(n, emptyDoc)
	if err != nil || !changed {
		return bson.RawValue{}, keep, err
	}
	return value.OfDoc(out), put, nil
}

var emptyDoc = []byte{5, 0, 0, 0, 0}

// splice copies a document with some of its elements replaced.
type splice struct {
	src    []byte
	copied int // how much of src is in dst or dropped
	dst    []byte
}

func (s *splice) changed() bool { return s.dst != nil }

// upTo copies src up to an offset.
func (s *splice) upTo(offset int) {
	if s.dst == nil {
		s.dst = make([]byte, 0, len(s.src)+64)
	}
	s.dst = append(s.dst, s.src[s.copied:offset]...)
	s.copied = offset
}

func (s *splice) end() []byte {
	if s.dst == nil {
		return s.src
	}
	return value.Finish(s.dst, 0)
}

// object applies fields to a document.
func (c *context) object(n *node, doc []byte) (out []byte, changed bool, err error) {
	kids, err := c.resolved(n)
	if err != nil {
		return nil, false, err
	}
	s := splice{src: doc}
	var few [16]bool
	seen := few[:]
	if len(kids) > len(few) {
		seen = make([]bool, len(kids))
	}
	rest := value.Inside(doc)
	for {
		start := len(doc) - 1 - len(rest)
		t, k, v, next, ok := value.Next(rest)
		if !ok {
			break
		}
		rest = next
		i := find(kids, k)
		if i < 0 || seen[i] {
			continue
		}
		seen[i] = true
		nv, act, err := c.apply(kids[i].node, bson.RawValue{Type: t, Value: v}, kids[i].name)
		if err != nil {
			return nil, false, err
		}
		if act == keep {
			continue
		}
		s.upTo(start)
		s.copied = len(doc) - 1 - len(rest)
		if act == put {
			s.dst = value.AppendElement(s.dst, kids[i].name, nv)
		}
	}
	for i, k := range kids {
		if seen[i] {
			continue
		}
		nv, act, err := c.create(k.node, k.name)
		if err != nil {
			return nil, false, err
		}
		if act == put {
			s.upTo(len(doc) - 1)
			s.dst = value.AppendElement(s.dst, k.name, nv)
		}
	}
	if s.changed() {
		s.upTo(len(doc) - 1)
	}
	return s.end(), s.changed(), nil
}

func find(kids []kid, key []byte) int {
	for i := range kids {
		if string(key) == kids[i].name {
			return i
		}
	}
	return -1
}

// array applies fields that are indexes to an array. A removed element becomes
// null, and a new one beyond the end is preceded by nulls.
func (c *context) array(n *node, array []byte, name string) (out []byte, changed bool, err error) {
	kids, err := c.resolved(n)
	if err != nil {
		return nil, false, err
	}
	list := value.Elements(array)
	for _, k := range kids {
		if k.index < 0 {
			if c.strict(k.node) {
				return nil, false, value.Errorf(value.CodePathNotViable, "Cannot create field '%s' in array element '%s'", k.name, name)
			}
			continue
		}
		var nv bson.RawValue
		var act action
		if k.index < len(list) {
			nv, act, err = c.apply(k.node, list[k.index], k.name)
		} else {
			nv, act, err = c.create(k.node, k.name)
		}
		if err != nil {
			return nil, false, err
		}
		if act == keep {
			continue
		}
		if act == remove {
			nv = value.Null()
		}
		if k.index-len(list) > maxPadding {
			return nil, false, value.Errorf(value.CodeCannotBackfill, "can't backfill more than %d elements", maxPadding)
		}
		for k.index >= len(list) {
			list = append(list, value.Null())
		}
		list[k.index] = nv
		changed = true
	}
	if !changed {
		return array, false, nil
	}
	return value.OfArray(list).Value, true, nil
}

// selected applies $[] and $[id] to the elements of an array.
func (c *context) selected(n *node, old bson.RawValue, name string) (bson.RawValue, action, error) {
	if old.Type != bson.TypeArray {
		return old, keep, value.BadValue("Cannot apply array updates to non-array element %s", name)
	}
	list := value.Elements(old.Value)
	changed := false
	for i := range list {
		target, err := elementNode(n, list[i], name)
		if err != nil {
			return old, keep, err
		}
		if target == nil {
			continue
		}
		nv, act, err := c.apply(target, list[i], strconv.Itoa(i))
		if err != nil {
			return old, keep, err
		}
		switch act {
		case put:
			list[i], changed = nv, true
		case remove:
			list[i], changed = value.Null(), true
		case keep:
		}
	}
	if !changed {
		return old, keep, nil
	}
	return value.OfArray(list), put, nil
}

// elementNode is what applies to one element; nil if nothing does.
func elementNode(n *node, elem bson.RawValue, name string) (*node, error) {
	var target *node
	for _, k := range n.kids {
		if k.filter != nil && !k.filter.matcher.MatchNamed(k.filter.id, elem) {
			continue
		}
		if target == nil {
			target = k.node
			continue
		}
		var err error
		if target, err = merged(target, k.node, name); err != nil {
			return nil, err
		}
	}
	return target, nil
}
