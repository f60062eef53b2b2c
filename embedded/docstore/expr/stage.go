package expr

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/project"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

type match struct{ m *query.Matcher }

func newMatch(f value.Field) (stage, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15959, "the match filter must be an expression in an object")
	}
	m, err := query.Compile(f.Value)
	if err != nil {
		return nil, err
	}
	return &match{m}, nil
}

func (s *match) run(in docs, _ Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		for doc, err := range in {
			ok := true
			if err == nil {
				ok, _, err = s.m.Test(doc)
			}
			if (ok || err != nil) && !yield(doc, err) || err != nil {
				return
			}
		}
	}
}

type sorting struct{ s *Sort }

func newSort(f value.Field) (stage, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15973, "the $sort key specification must be an object")
	}
	if len(value.Fields(f.Value)) == 0 {
		return nil, value.Errorf(15976, "$sort stage must have at least one sort key")
	}
	s, err := CompileSort(f.Value)
	if err != nil {
		return nil, err
	}
	return &sorting{s}, nil
}

func (s *sorting) run(in docs, _ Vars) docs {
	type keyed struct {
		key []bson.RawValue
		doc bson.Raw
	}
	return func(yield func(bson.Raw, error) bool) {
		var all []keyed
		for doc, err := range in {
			var key []bson.RawValue
			if err == nil {
				key, err = s.s.Key(doc)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			all = append(all, keyed{key, doc})
		}
		slices.SortStableFunc(all, func(a, b keyed) int { return s.s.CompareKeys(a.key, b.key) })
		for _, k := range all {
			if !yield(k.doc, nil) {
				return
			}
		}
	}
}

type limit int64

func newLimit(f value.Field) (stage, error) {
	n, ok := value.Whole(f.RawValue)
	if !ok || n < 0 {
		return nil, value.Errorf(5107201, "invalid argument to $limit stage: Expected a non-negative number")
	}
	if n == 0 {
		return nil, value.Errorf(15958, "the limit must be positive")
	}
	return limit(n), nil
}

func (n limit) run(in docs, _ Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		left := int64(n)
		for doc, err := range in {
			left--
			if !yield(doc, err) || err != nil || left == 0 {
				return
			}
		}
	}
}

type skip int64

func newSkip(f value.Field) (stage, error) {
	n, ok := value.Whole(f.RawValue)
	if !ok || n < 0 {
		return nil, value.Errorf(5107200, "invalid argument to $skip stage: Expected a non-negative number")
	}
	return skip(n), nil
}

func (n skip) run(in docs, _ Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		left := int64(n)
		for doc, err := range in {
			if left > 0 && err == nil {
				left--
				continue
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	}
}

func projecting(p *project.Projection, err error) (stage, error) {
	if err != nil {
		return nil, err
	}
	return &mapping{p.ApplyVars}, nil
}

func newProject(f value.Field) (stage, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15969, "$project specification must be an object")
	}
	return projecting(project.CompileStage(f.Value))
}

func newAdd(f value.Field) (stage, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(40272, "%s specification stage must be an object, got %s", f.Key, value.TypeName(f.Type))
	}
	return projecting(project.CompileAdd(f.Value))
}

func newUnset(f value.Field) (stage, error) {
	list := []bson.RawValue{f.RawValue}
	switch f.Type {
	case bson.TypeString:
	case bson.TypeArray:
		if list = value.Elements(f.Value); len(list) == 0 {
			return nil, value.Errorf(31119, "$unset specification must be a string or an array with at least one field")
		}
	default:
		return nil, value.Errorf(31002, "$unset specification must be a string or an array")
	}
	paths := make([]string, 0, len(list))
	for _, v := range list {
		if v.Type != bson.TypeString {
			return nil, value.Errorf(31120, "$unset specification must be a string or an array containing only string values")
		}
		paths = append(paths, value.Str(v))
	}
	return projecting(project.CompileUnset(paths))
}

func newReplace(f value.Field) (stage, error) {
	root := f.RawValue
	if f.Key == "$replaceRoot" {
		if f.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(40229, "expected an object as specification for $replaceRoot stage, got %s", value.TypeName(f.Type))
		}
		root = bson.RawValue{}
		for _, x := range value.Fields(f.Value) {
			if x.Key != "newRoot" {
				return nil, value.Errorf(40415, "BSON field '$replaceRoot.%s' is an unknown field.", x.Key)
			}
			root = x.RawValue
		}
		if value.Missing(root) {
			return nil, value.Errorf(40414, "BSON field '$replaceRoot.newRoot' is missing but a required field")
		}
	}
	x, err := eval.Compile(root)
	if err != nil {
		return nil, err
	}
	return &mapping{func(doc bson.Raw, vars Vars) (bson.Raw, error) {
		v, err := x.Eval(doc, vars)
		if err != nil {
			return nil, err
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(40228, "'newRoot' expression must evaluate to an object, but resulting value was of type %s", value.TypeName(v.Type))
		}
		return v.Value, nil
	}}, nil
}
