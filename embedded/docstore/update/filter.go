package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// filter is a compiled array filter.
type filter struct {
	id      string
	matcher *query.Matcher
	used    bool
}

type filters struct{ list []*filter }

func compileFilters(docs []bson.Raw) (*filters, error) {
	out := &filters{}
	for _, d := range docs {
		m, err := query.Compile(d)
		if err != nil {
			return nil, err
		}
		if m.CanFail() {
			return nil, value.Errorf(value.CodeQueryFeatureNotAllowed, "$expr is not allowed in the context of array filters")
		}
		roots := m.Roots()
		if len(roots) != 1 {
			return nil, value.FailedToParse("Error parsing array filter: expected a single top-level field name")
		}
		if !validID(roots[0]) {
			return nil, value.BadValue("Error parsing array filter: the top-level field name must be an alphanumeric string beginning with a lowercase letter, found '%s'", roots[0])
		}
		if out.find(roots[0]) != nil {
			return nil, value.FailedToParse("Found multiple array filters with the same top-level field name %s", roots[0])
		}
		out.list = append(out.list, &filter{id: roots[0], matcher: m})
	}
	return out, nil
}

func validID(id string) bool {
	for i, r := range id {
		first := r >= 'a' && r <= 'z'
		later := r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !first && (i == 0 || !later) {
			return false
		}
	}
	return id != ""
}

func (f *filters) find(id string) *filter {
	for _, x := range f.list {
		if x.id == id {
			return x
		}
	}
	return nil
}

// unused is the error of a filter that no path names.
func (f *filters) unused() error {
	for _, x := range f.list {
		if !x.used {
			return value.FailedToParse("The array filter for identifier '%s' was not used in the update", x.id)
		}
	}
	return nil
}

// bind gives every $[id] below n its filter.
func (f *filters) bind(n *node) {
	for i := range n.kids {
		k := &n.kids[i]
		if isElements(k.name) && k.name != "$[]" {
			k.filter = f.find(k.name[2 : len(k.name)-1])
		}
		f.bind(k.node)
	}
}
