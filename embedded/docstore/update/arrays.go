package update

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// push is $push.
type push struct {
	values   []bson.RawValue
	slice    *int64
	position *int64
	sort     *sortBy
}

func newPush(f value.Field) (op, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return &push{values: []bson.RawValue{f.RawValue}}, nil
	}
	if _, ok := value.Lookup(f.Value, "$each"); !ok {
		return &push{values: []bson.RawValue{f.RawValue}}, nil
	}
	p := &push{}
	for _, x := range value.Fields(f.Value) {
		var err error
		switch x.Key {
		case "$each":
			if x.Type != bson.TypeArray {
				return nil, value.BadValue("The argument to $each in $push must be an array but it was of type: %s", value.TypeName(x.Type))
			}
			p.values = value.Elements(x.Value)
		case "$slice":
			p.slice, err = whole(x)
		case "$position":
			p.position, err = whole(x)
		case "$sort":
			p.sort, err = newSortBy(x)
		default:
			err = value.BadValue("Unrecognized clause in $push: %s", x.Key)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func whole(f value.Field) (*int64, error) {
	n, ok := value.Whole(f.RawValue)
	if !ok {
		return nil, value.BadValue("The value for %s must be an integer value but was given type: %s", f.Key, value.TypeName(f.Type))
	}
	return &n, nil
}

func (p *push) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	var list []bson.RawValue
	if !value.Missing(old) {
		if old.Type != bson.TypeArray {
			return old, keep, value.BadValue("The field must be an array but is of type %s", value.TypeName(old.Type))
		}
		list = value.Elements(old.Value)
	}
	count := len(list)
	at := count
	if p.position != nil {
		switch n := *p.position; {
		case n < 0:
			at = int(max(int64(count)+n, 0))
		default:
			at = int(min(n, int64(count)))
		}
	}
	list = slices.Insert(list, at, p.values...)
	if p.sort != nil {
		slices.SortStableFunc(list, p.sort.compare)
	}
	length := len(list)
	if p.slice != nil {
		list = sliced(list, *p.slice)
	}
	if !value.Missing(old) && len(p.values) == 0 && p.sort == nil && len(list) == length {
		return old, keep, nil
	}
	return value.OfArray(list), put, nil
}

func (p *push) lenient() bool { return false }

// sliced keeps the first n values, or the last -n.
func sliced(list []bson.RawValue, n int64) []bson.RawValue {
	switch {
	case n >= 0 && n < int64(len(list)):
		return list[:n]
	case n < 0 && -n < int64(len(list)) && -n > 0:
		return list[int64(len(list))+n:]
	default:
		return list
	}
}

// sortBy is the $sort of $push: whole values, or fields of documents. Arrays
// are not entered.
type sortBy struct {
	paths [][]string // none for whole values
	signs []int
}

func newSortBy(f value.Field) (*sortBy, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		sign, err := sortSign(f)
		return &sortBy{signs: []int{sign}}, err
	}
	s := &sortBy{}
	for _, x := range value.Fields(f.Value) {
		sign, err := sortSign(x)
		if err != nil {
			return nil, err
		}
		parts := strings.Split(x.Key, ".")
		for _, p := range parts {
			if p == "" || p[0] == '$' {
				return nil, value.BadValue("The $sort field '%s' is not valid", x.Key)
			}
		}
		s.paths, s.signs = append(s.paths, parts), append(s.signs, sign)
	}
	if len(s.paths) == 0 {
		return nil, value.BadValue("The $sort pattern is empty when it should be a set of fields.")
	}
	return s, nil
}

func sortSign(f value.Field) (int, error) {
	n, ok := value.Whole(f.RawValue)
	if !ok || n != 1 && n != -1 {
		return 0, value.BadValue("The $sort element value must be either 1 or -1")
	}
	return int(n), nil
}

func (s *sortBy) compare(a, b bson.RawValue) int {
	if len(s.paths) == 0 {
		return value.Compare(a, b) * s.signs[0]
	}
	for i, p := range s.paths {
		if c := value.Compare(sortValue(a, p), sortValue(b, p)) * s.signs[i]; c != 0 {
			return c
		}
	}
	return 0
}

func sortValue(v bson.RawValue, path []string) bson.RawValue {
	for _, name := range path {
		if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
			return value.Null()
		}
		var ok bool
		if v, ok = value.Lookup(v.Value, name); !ok {
			return value.Null()
		}
	}
	return v
}

// addToSet is $addToSet.
type addToSet struct{ values []bson.RawValue }

func newAddToSet(f value.Field) (op, error) {
	if f.Type == bson.TypeEmbeddedDocument {
		fields := value.Fields(f.Value)
		if len(fields) > 0 && fields[0].Key == "$each" {
			if fields[0].Type != bson.TypeArray {
				return nil, value.TypeMismatch("The argument to $each in $addToSet must be an array but it was of type %s", value.TypeName(fields[0].Type))
			}
			if len(fields) > 1 {
				return nil, value.BadValue("Found unexpected fields after $each in $addToSet: %s", fields[1].Key)
			}
			return &addToSet{value.Elements(fields[0].Value)}, nil
		}
	}
	return &addToSet{[]bson.RawValue{f.RawValue}}, nil
}

func (a *addToSet) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	var list []bson.RawValue
	if !value.Missing(old) {
		if old.Type != bson.TypeArray {
			return old, keep, value.BadValue("Cannot apply $addToSet to non-array field. Field has non-array type %s", value.TypeName(old.Type))
		}
		list = value.Elements(old.Value)
	}
	count := len(list)
	for _, v := range a.values {
		if !contains(list, v) {
			list = append(list, v)
		}
	}
	if len(list) == count && !value.Missing(old) {
		return old, keep, nil
	}
	return value.OfArray(list), put, nil
}

func (a *addToSet) lenient() bool { return false }

func contains(list []bson.RawValue, v bson.RawValue) bool {
	return slices.ContainsFunc(list, func(o bson.RawValue) bool { return value.Equal(o, v) })
}

// pop is $pop.
type pop struct{ first bool }

func newPop(f value.Field) (op, error) {
	n, ok := value.Whole(f.RawValue)
	if !ok || n != 1 && n != -1 {
		return nil, value.FailedToParse("$pop expects 1 or -1, found: %s", value.TypeName(f.Type))
	}
	return &pop{first: n < 0}, nil
}

func (p *pop) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	if value.Missing(old) {
		return old, keep, nil
	}
	if old.Type != bson.TypeArray {
		return old, keep, value.TypeMismatch("Path contains an element of non-array type '%s'", value.TypeName(old.Type))
	}
	list := value.Elements(old.Value)
	switch {
	case len(list) == 0:
		return old, keep, nil
	case p.first:
		list = list[1:]
	default:
		list = list[:len(list)-1]
	}
	return value.OfArray(list), put, nil
}

func (p *pop) lenient() bool { return true }

// pull is $pull and $pullAll.
type pull struct{ match func(bson.RawValue) bool }

func anyOf(values []bson.RawValue) func(bson.RawValue) bool {
	return func(v bson.RawValue) bool { return contains(values, v) }
}

func newPullAll(f value.Field) (op, error) {
	if f.Type != bson.TypeArray {
		return nil, value.BadValue("$pullAll requires an array argument but was given a %s", value.TypeName(f.Type))
	}
	return &pull{match: anyOf(value.Elements(f.Value))}, nil
}

// newPull: operators and regular expressions match the elements, a document is
// a filter for elements that are documents, anything else is equality.
func newPull(f value.Field) (op, error) {
	v := f.RawValue
	switch {
	case v.Type == bson.TypeRegex, v.Type == bson.TypeEmbeddedDocument && query.IsOperators(v.Value) && !logical(v.Value):
		m, err := compilePull(value.OfFields([]value.Field{{Key: "", RawValue: v}}))
		if err != nil {
			return nil, err
		}
		return &pull{match: func(e bson.RawValue) bool { return m.MatchNamed("", e) }}, nil
	case v.Type == bson.TypeEmbeddedDocument:
		m, err := compilePull(v.Value)
		if err != nil {
			return nil, err
		}
		return &pull{match: func(e bson.RawValue) bool {
			return e.Type == bson.TypeEmbeddedDocument && m.Match(e.Value)
		}}, nil
	default:
		return &pull{match: func(e bson.RawValue) bool { return value.Equal(e, v) }}, nil
	}
}

// logical tells if a condition starts with an operator on whole documents.
func logical(doc []byte) bool {
	_, k, _, _, _ := value.Next(value.Inside(doc))
	switch string(k) {
	case "$and", "$or", "$nor", "$expr", "$comment", "$where", "$text", "$jsonSchema", "$alwaysTrue", "$alwaysFalse", "$sampleRate":
		return true
	default:
		return false
	}
}

func compilePull(filter bson.Raw) (*query.Matcher, error) {
	m, err := query.Compile(filter)
	if err != nil {
		return nil, err
	}
	if m.CanFail() {
		return nil, value.Errorf(value.CodeQueryFeatureNotAllowed, "$expr is not allowed in this context")
	}
	return m, nil
}

func (p *pull) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	if value.Missing(old) {
		return old, keep, nil
	}
	if old.Type != bson.TypeArray {
		return old, keep, value.BadValue("Cannot apply $pull to a non-array value")
	}
	list := value.Elements(old.Value)
	left := slices.DeleteFunc(slices.Clone(list), p.match)
	if len(left) == len(list) {
		return old, keep, nil
	}
	return value.OfArray(left), put, nil
}

func (p *pull) lenient() bool { return true }
