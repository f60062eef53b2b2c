// Package project compiles and applies find projections and the projection
// stages of pipelines: inclusions, exclusions, computed fields, $slice,
// $elemMatch and the positional operator.
package project

import (
	"bytes"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// Projection is a compiled projection. It is safe for concurrent use.
type Projection struct {
	mode       mode
	root       *node // nil keeps the whole document
	positional []string
	matcher    *query.Matcher
	hasElem    bool
	paths      []string
	plain      bool
}

// elemFinder is $elemMatch: it finds the first element that matches.
type elemFinder struct {
	name    string
	matcher *query.Matcher
}

// Compile compiles the projection of a find or findAndModify; an empty one
// keeps everything. m is the filter, needed by the positional projection; it
// may be nil. The error is a *value.Error.
func Compile(spec bson.Raw, m *query.Matcher) (*Projection, error) {
	if len(spec) == 0 || len(value.Inside(spec)) == 0 {
		return &Projection{}, nil
	}
	if err := value.Check(spec); err != nil {
		return nil, err
	}
	p, err := parse(bytes.Clone(spec), true)
	if err != nil {
		return nil, err
	}
	if p.positional != nil && (m == nil || m.Empty()) {
		return nil, value.Errorf(51246, "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching element in the array")
	}
	return p.projection(m), nil
}

func (p *parser) projection(m *query.Matcher) *Projection {
	return &Projection{
		mode: p.mode, root: p.root, positional: p.positional, matcher: m, hasElem: p.hasElem,
		paths: p.paths, plain: p.plain && p.mode == including,
	}
}

// CompileStage compiles the specification of a $project stage.
func CompileStage(spec bson.Raw) (*Projection, error) {
	if err := value.Check(spec); err != nil {
		return nil, err
	}
	if len(value.Inside(spec)) == 0 {
		return nil, value.Errorf(51272, "Invalid $project :: caused by :: projection specification must have at least one field")
	}
	p, err := parse(bytes.Clone(spec), false)
	if err != nil {
		return nil, err
	}
	return p.projection(nil), nil
}

// CompileAdd compiles the specification of an $addFields or $set stage.
func CompileAdd(spec bson.Raw) (*Projection, error) {
	if err := value.Check(spec); err != nil {
		return nil, err
	}
	spec = bytes.Clone(spec)
	if len(value.Inside(spec)) == 0 {
		return nil, value.Errorf(40177, "Invalid $addFields :: caused by :: specification must have at least one field")
	}
	out := &Projection{mode: adding, root: &node{}}
	return out, addFields(out.root, "", spec)
}

func addFields(root *node, prefix string, spec []byte) error {
	for _, f := range value.Fields(spec) {
		path := prefix + f.Key
		if err := value.CheckPath(path); err != nil {
			return err
		}
		if f.Type == bson.TypeEmbeddedDocument {
			_, first, _, _, ok := value.Next(value.Inside(f.Value))
			if !ok {
				return value.Errorf(40180, "an empty object is not a valid value. Found empty object at path %s", path)
			}
			if !strings.HasPrefix(string(first), "$") {
				if err := addFields(root, path+".", f.Value); err != nil {
					return err
				}
				continue
			}
		}
		x, err := eval.Compile(f.RawValue)
		if err != nil {
			return err
		}
		if root.insert(strings.Split(path, "."), &kid{role: compute, expr: x}) != nil {
			return value.Errorf(40176, "specification contains two conflicting paths. Cannot specify '%s'", path)
		}
	}
	return nil
}

// CompileUnset compiles an exclusion of the given paths.
func CompileUnset(paths []string) (*Projection, error) {
	out := &Projection{mode: excluding, root: &node{}}
	for _, path := range paths {
		if err := value.CheckPath(path); err != nil {
			return nil, err
		}
		if out.root.insert(strings.Split(path, "."), &kid{role: exclude}) != nil {
			return nil, value.Errorf(31250, "Path collision at %s", path)
		}
	}
	return out, nil
}

// Apply projects one document. The result may share memory with doc. The error
// is a *value.Error.
func (p *Projection) Apply(doc bson.Raw) (bson.Raw, error) { return p.ApplyVars(doc, nil) }

// ApplyVars is Apply with variables for the expressions.
func (p *Projection) ApplyVars(doc bson.Raw, vars eval.Vars) (bson.Raw, error) {
	if p.root == nil {
		return doc, nil
	}
	if p.plain && p.flat() {
		return p.copyFields(doc), nil
	}
	pass := &pass{mode: p.mode, root: doc, vars: vars}
	fields, err := pass.apply(p.root)
	if err != nil {
		return nil, err
	}
	if p.positional != nil {
		if fields, err = p.position(doc, fields); err != nil {
			return nil, err
		}
	}
	if p.hasElem {
		fields = p.elements(doc, fields)
	}
	return value.OfFields(fields), nil
}

// flat tells if only top-level fields are included.
func (p *Projection) flat() bool {
	for _, k := range p.root.kids {
		if k.role == below {
			return false
		}
	}
	return true
}

// copyFields is the quick way of a flat inclusion.
func (p *Projection) copyFields(doc bson.Raw) bson.Raw {
	out := value.Begin(make([]byte, 0, 256))
	for b := value.Inside(doc); ; {
		_, key, _, rest, ok := value.Next(b)
		if !ok {
			return value.Finish(out, 0)
		}
		if k := p.root.find(key); k != nil && k.role == include {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
}

// position cuts the first array on the positional path down to the element
// that the filter matched.
func (p *Projection) position(doc bson.Raw, fields []value.Field) ([]value.Field, error) {
	_, pos := p.matcher.MatchPos(doc)
	if pos < 0 {
		return nil, value.Errorf(51246, "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching element in the array")
	}
	out, ok := cut(fields, p.positional, pos)
	if !ok {
		return nil, value.Errorf(51247, "Executor error during find command :: caused by :: positional operator '.$' element mismatch")
	}
	return out, nil
}

func cut(fields []value.Field, path []string, pos int) ([]value.Field, bool) {
	for i, f := range fields {
		if f.Key != path[0] {
			continue
		}
		switch f.Type {
		case bson.TypeArray:
			list := value.Elements(f.Value)
			if pos >= len(list) {
				return nil, false
			}
			fields[i].RawValue = value.OfArray(list[pos : pos+1])
		case bson.TypeEmbeddedDocument:
			if len(path) > 1 {
				inner, ok := cut(value.Fields(f.Value), path[1:], pos)
				if !ok {
					return nil, false
				}
				fields[i].RawValue = value.OfDoc(value.OfFields(inner))
			}
		default:
		}
	}
	return fields, true
}

// elements appends what the $elemMatch projections find.
func (p *Projection) elements(doc bson.Raw, fields []value.Field) []value.Field {
	for _, k := range p.root.kids {
		if k.elem == nil {
			continue
		}
		if ok, pos := k.elem.matcher.MatchPos(doc); ok && pos >= 0 {
			array, _ := value.Lookup(doc, k.elem.name)
			list := value.Elements(array.Value)
			fields = append(fields, value.Field{Key: k.name, RawValue: value.OfArray(list[pos : pos+1])})
		}
	}
	return fields
}

// Fields returns the paths that an inclusion keeps (with _id when it is kept)
// and whether the projection is nothing but such an inclusion, so that an index
// holding these paths may answer it.
func (p *Projection) Fields() (paths []string, inclusionOnly bool) {
	if !p.plain || p.root == nil {
		return nil, false
	}
	return p.paths, true
}
