package project

import (
	"errors"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// parser builds the tree of a projection.
type parser struct {
	root       *node
	find       bool // the operators of find are allowed
	decided    bool
	mode       mode
	positional []string // the path of a.$, without the $
	paths      []string // included paths, in order
	plain      bool     // nothing but includes and _id: 0
	withoutID  bool
	idMode     *mode // what _id itself asks for
	hasElem    bool
}

// Operators are those of a find's projection besides expressions.
var Operators = []string{"$", "$elemMatch", "$slice"}

func parse(spec bson.Raw, find bool) (*parser, error) {
	p := &parser{root: &node{}, find: find, plain: true}
	for _, f := range value.Fields(spec) {
		if err := p.field("", f); err != nil {
			return nil, err
		}
	}
	if !p.decided {
		p.mode = excluding
		if p.idMode != nil && *p.idMode == including {
			p.mode = including
		}
	}
	if p.mode == including && !p.withoutID && p.root.find([]byte("_id")) == nil {
		p.root.kids = append(p.root.kids, &kid{name: "_id", role: include})
		p.paths = append(p.paths, "_id")
	}
	return p, nil
}

func (p *parser) field(prefix string, f value.Field) error {
	path := prefix + f.Key
	if p.find && strings.HasSuffix(path, ".$") {
		return p.position(path, f)
	}
	if strings.Contains(path, ".$.") || strings.HasSuffix(path, ".$") {
		return value.Errorf(31394, "As of 4.4, it's illegal to specify positional operator in the middle of a path. Positional projection may only be used at the end.")
	}
	if err := value.CheckPath(path); err != nil {
		return err
	}
	switch f.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128, bson.TypeBoolean:
		return p.keepOrDrop(path, value.Truthy(f.RawValue))
	case bson.TypeEmbeddedDocument:
		return p.document(path, f)
	default:
		return p.computed(path, f, 31310)
	}
}

// decide settles the kind of the projection by its first field that is not _id.
func (p *parser) decide(m mode, path string, code int32) error {
	if !p.decided {
		p.decided, p.mode = true, m
		return nil
	}
	if p.mode != m {
		return value.Errorf(code, "Cannot mix inclusion and exclusion in a projection: %s", path)
	}
	return nil
}

func (p *parser) keepOrDrop(path string, keep bool) error {
	m, r, code := excluding, exclude, int32(31254)
	if keep {
		m, r, code = including, include, 31253
	}
	if path == "_id" {
		p.idMode = &m
		p.withoutID = !keep
		if keep {
			p.paths = append(p.paths, path)
		}
		return p.insert(path, &kid{role: r})
	}
	if err := p.decide(m, path, code); err != nil {
		return err
	}
	p.paths = append(p.paths, path)
	return p.insert(path, &kid{role: r})
}

func (p *parser) document(path string, f value.Field) error {
	fields := value.Fields(f.Value)
	if len(fields) == 0 {
		return value.Errorf(51270, "An empty sub-projection is not a valid value. Found empty object at path %s", path)
	}
	name := fields[0].Key
	switch {
	case !strings.HasPrefix(name, "$"):
		for _, x := range fields {
			if err := p.field(path+".", x); err != nil {
				return err
			}
		}
		return nil
	case len(fields) > 1:
		return p.computed(path, f, 31252)
	case p.find && name == "$slice":
		return p.sliceOf(path, fields[0])
	case p.find && name == "$elemMatch":
		return p.elemMatch(path, f)
	default:
		return p.computed(path, f, 31252)
	}
}

func (p *parser) computed(path string, f value.Field, code int32) error {
	if f.Type == bson.TypeEmbeddedDocument {
		if name := value.Fields(f.Value)[0].Key; !eval.Known(name) {
			return value.Errorf(31325, "Unknown expression %s", name)
		}
	}
	p.plain = false
	if path != "_id" || p.decided {
		if err := p.decide(including, path, code); err != nil {
			return err
		}
	} else {
		m := including
		p.idMode = &m
	}
	x, err := eval.Compile(f.RawValue)
	if err != nil {
		return err
	}
	return p.insert(path, &kid{role: compute, expr: x})
}

func (p *parser) position(path string, f value.Field) error {
	path = strings.TrimSuffix(path, ".$")
	if err := value.CheckPath(path); err != nil {
		return err
	}
	if !value.IsNumber(f.Type) && f.Type != bson.TypeBoolean {
		return value.Errorf(31271, "positional projection cannot be used with an expression or sub object")
	}
	if !value.Truthy(f.RawValue) {
		return value.Errorf(31395, "positional projection cannot be used with exclusion")
	}
	if p.positional != nil {
		return value.Errorf(31276, "Cannot specify more than one positional projection per query.")
	}
	if err := p.decide(including, path, 31395); err != nil {
		return err
	}
	p.positional = strings.Split(path, ".")
	p.plain = false
	return p.insert(path, &kid{role: include})
}

func (p *parser) elemMatch(path string, f value.Field) error {
	inner, _ := value.Lookup(f.Value, "$elemMatch")
	if inner.Type != bson.TypeEmbeddedDocument {
		return value.Errorf(31274, "elemMatch: Invalid argument, object required, but got %s", value.TypeName(inner.Type))
	}
	if strings.Contains(path, ".") {
		return value.Errorf(31275, "Cannot use $elemMatch projection on a nested field")
	}
	m, err := query.Compile(value.OfFields([]value.Field{{Key: path, RawValue: f.RawValue}}))
	if err != nil {
		return err
	}
	p.plain = false
	if err := p.decide(including, path, 31255); err != nil {
		return err
	}
	p.hasElem = true
	return p.insert(path, &kid{role: elemMatch, elem: &elemFinder{name: path, matcher: m}})
}

func (p *parser) sliceOf(path string, f value.Field) error {
	k := &kid{role: slice}
	p.plain = false
	switch {
	case value.IsNumber(f.Type):
		n, ok := clamp(f.RawValue)
		if !ok {
			return value.Errorf(28667, "Invalid $slice syntax. The given syntax did not match the find() syntax.")
		}
		if k.limit = n; n < 0 {
			k.skip, k.limit = n, -n
		}
	case f.Type == bson.TypeArray:
		list := value.Elements(f.Value)
		if len(list) != 2 || !value.IsNumber(list[0].Type) || !value.IsNumber(list[1].Type) {
			return value.Errorf(28724, "First argument to $slice must be an array")
		}
		skip, ok1 := clamp(list[0])
		limit, ok2 := clamp(list[1])
		if !ok1 || !ok2 || limit <= 0 {
			return value.Errorf(28724, "$slice limit must be positive")
		}
		k.skip, k.limit = skip, limit
	default:
		return value.Errorf(28667, "Invalid $slice syntax. The given syntax did not match the find() syntax.")
	}
	return p.insert(path, k)
}

// clamp reads a number into the range of int32.
func clamp(v bson.RawValue) (int64, bool) {
	n, ok := value.Truncated(v)
	if !ok {
		if value.IsNaN(v) {
			return 0, false
		}
		n = math.MaxInt32
		if value.Float(v) < 0 {
			n = math.MinInt32
		}
	}
	return max(min(n, math.MaxInt32), -math.MaxInt32), true
}

var errCollision = errors.New("path collision")

func (p *parser) insert(path string, k *kid) error {
	err := p.root.insert(strings.Split(path, "."), k)
	switch {
	case errors.Is(err, errCollision):
		return value.Errorf(31250, "Path collision at %s", path)
	case err != nil:
		return value.Errorf(31249, "Path collision at %s", path)
	default:
		return nil
	}
}

var errBelow = errors.New("path collision below a leaf")

// insert puts a leaf at a path: errCollision where something is, errBelow below
// another leaf.
func (n *node) insert(path []string, k *kid) error {
	n.computed = n.computed || k.role == compute
	old := n.find([]byte(path[0]))
	if len(path) == 1 {
		if old != nil {
			return errCollision
		}
		k.name = path[0]
		n.kids = append(n.kids, k)
		return nil
	}
	if old == nil {
		old = &kid{name: path[0], node: &node{}}
		n.kids = append(n.kids, old)
	}
	if old.node == nil {
		return errBelow
	}
	return old.node.insert(path[1:], k)
}
