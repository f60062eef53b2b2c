package project

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// node is the fields of a projection at one level of the document.
type node struct {
	kids     []*kid
	computed bool // an expression here or below
}

// role is what a projection does with a field.
type role uint8

const (
	below role = iota // only what is below counts
	include
	exclude
	compute
	slice
	elemMatch
)

type kid struct {
	name        string
	role        role
	node        *node      // for below
	expr        *eval.Expr // for compute
	skip, limit int64      // for slice; skip may be negative
	elem        *elemFinder
}

func (n *node) find(name []byte) *kid {
	for _, k := range n.kids {
		if k.name == string(name) {
			return k
		}
	}
	return nil
}

// mode is the kind of a projection.
type mode uint8

const (
	including mode = iota
	excluding
	adding
)

// pass is what one application of a projection carries along.
type pass struct {
	mode mode
	root bson.Raw
	vars eval.Vars
}

// filter keeps the fields that the projection keeps, without the computed ones:
// for those it leaves an empty place where the document has the field.
func (p *pass) filter(n *node, doc []byte) []value.Field {
	var out []value.Field
	for b := value.Inside(doc); ; {
		t, key, v, rest, ok := value.Next(b)
		if !ok {
			return out
		}
		b = rest
		f := value.Field{RawValue: bson.RawValue{Type: t, Value: v}}
		k := n.find(key)
		switch {
		case k == nil:
			ok = p.mode != including
		case k.role == include:
		case k.role == exclude, k.role == elemMatch:
			ok = false
		case k.role == compute:
			if p.mode == including {
				f.RawValue = bson.RawValue{}
			}
		case k.role == slice:
			f.RawValue = k.slice(f.RawValue)
		default:
			f.RawValue, ok = p.filterValue(k.node, f.RawValue)
			if !ok && k.node.computed { // made anew by the expressions
				f.RawValue, ok = bson.RawValue{}, true
			}
		}
		if ok {
			f.Key = string(key)
			out = append(out, f)
		}
	}
}

func (p *pass) filterValue(n *node, v bson.RawValue) (bson.RawValue, bool) {
	if p.mode == adding {
		return v, true
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return value.OfDoc(value.OfFields(p.filter(n, v.Value))), true
	case bson.TypeArray:
		var out []bson.RawValue
		for _, e := range value.Elements(v.Value) {
			if e, ok := p.filterValue(n, e); ok {
				out = append(out, e)
			}
		}
		return value.OfArray(out), true
	default:
		return v, p.mode == excluding
	}
}

// compute puts the values of the expressions in, in the order of the
// projection; a field without a value goes.
func (p *pass) compute(n *node, fields []value.Field) ([]value.Field, error) {
	for _, k := range n.kids {
		if k.role != compute && (k.role != below || !k.node.computed) {
			continue
		}
		i := slices.IndexFunc(fields, func(f value.Field) bool { return f.Key == k.name })
		var old, v bson.RawValue
		if i >= 0 {
			old = fields[i].RawValue
		}
		var err error
		if k.role == compute {
			v, err = k.expr.Eval(p.root, p.vars)
		} else {
			v, err = p.computeValue(k.node, old)
		}
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			fields[i].RawValue = v
		} else {
			fields = append(fields, value.Field{Key: k.name, RawValue: v})
		}
	}
	return slices.DeleteFunc(fields, func(f value.Field) bool { return value.Missing(f.RawValue) }), nil
}

func (p *pass) computeValue(n *node, v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		fields, err := p.compute(n, value.Fields(v.Value))
		return value.OfDoc(value.OfFields(fields)), err
	case bson.TypeArray:
		list := value.Elements(v.Value)
		for i := range list {
			var err error
			if list[i], err = p.computeValue(n, list[i]); err != nil {
				return v, err
			}
		}
		return value.OfArray(list), nil
	default: // a scalar gives way to a document of the computed values
		fields, err := p.compute(n, nil)
		return value.OfDoc(value.OfFields(fields)), err
	}
}

// apply runs both steps on a whole document.
func (p *pass) apply(n *node) ([]value.Field, error) {
	fields := p.filter(n, p.root)
	if !n.computed {
		return slices.DeleteFunc(fields, func(f value.Field) bool { return value.Missing(f.RawValue) }), nil
	}
	return p.compute(n, fields)
}

func (k *kid) slice(v bson.RawValue) bson.RawValue {
	if v.Type != bson.TypeArray {
		return v
	}
	list := value.Elements(v.Value)
	n := int64(len(list))
	start := min(k.skip, n)
	if k.skip < 0 {
		start = max(n+k.skip, 0)
	}
	return value.OfArray(list[start:min(start+k.limit, n)])
}
