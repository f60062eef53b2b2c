package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Equality is a path that a matching document must have with exactly a value.
type Equality struct {
	Path  string
	Value bson.RawValue
}

// Equalities are what the filter demands by equality alone, for the document of
// an upsert: through $and, through $or with one branch, through $in and $all
// with values. A path may come more than once.
func (m *Matcher) Equalities() []Equality { return equalities(nil, m.root) }

func equalities(out []Equality, and *andNode) []Equality {
	for _, n := range and.nodes {
		switch n := n.(type) {
		case *orNode:
			if len(n.branches) == 1 {
				out = equalities(out, n.branches[0])
			}
		case *fieldNode:
			out = valueEqualities(out, n.name, n.cond)
		}
	}
	return out
}

func valueEqualities(out []Equality, path string, n valueNode) []Equality {
	switch n := n.(type) {
	case *allNode:
		for _, c := range n.nodes {
			out = valueEqualities(out, path, c)
		}
	case *predNode:
		switch p := n.pred.(type) {
		case *compare:
			if p.op == Eq {
				out = append(out, Equality{path, p.value})
			}
		case *oneOf:
			if len(p.values) == 1 && len(p.regexes) == 0 {
				out = append(out, Equality{path, p.values[0]})
			}
		}
	}
	return out
}

// Roots are the first components of all paths of the filter, each once.
func (m *Matcher) Roots() []string {
	seen := map[string]bool{}
	var out []string
	var walk func(*andNode)
	walk = func(and *andNode) {
		for _, n := range and.nodes {
			switch n := n.(type) {
			case *orNode:
				for _, b := range n.branches {
					walk(b)
				}
			case *norNode:
				for _, b := range n.branches {
					walk(b)
				}
			case *fieldNode:
				if !seen[n.path[0]] {
					seen[n.path[0]] = true
					out = append(out, n.path[0])
				}
			}
		}
	}
	walk(m.root)
	return out
}

// MatchNamed matches a document that has nothing but one field, as array
// filters and $pull do with the elements of an array.
func (m *Matcher) MatchNamed(name string, v bson.RawValue) bool {
	b := make([]byte, 0, len(name)+len(v.Value)+2)
	b = append(append(append(b, byte(v.Type)), name...), 0)
	b = append(b, v.Value...)
	s := state{pos: -1}
	return m.root.match(b, &s)
}

// IsOperators tells if a document in a filter is a list of operators, such as
// {$gt: 1}, and not a value.
func IsOperators(doc bson.Raw) bool {
	_, _, _, _, ok := value.Next(value.Inside(doc))
	return ok && isOperators(doc)
}
