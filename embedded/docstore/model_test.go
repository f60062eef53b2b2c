package docstore_test

import (
	"cmp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The model is a second opinion on matching and sorting that shares nothing with
// the engine: it works on decoded values and is as plain as MongoDB's manual. It
// knows null, booleans, numbers, strings, documents and arrays.

// absent stands for a value that is not there.
type absent struct{}

// rank is the order of types, and what may compare with what.
func rank(v any) int {
	switch v.(type) {
	case emptyArray:
		return 0
	case absent, nil:
		return 1
	case int32, int64, float64:
		return 2
	case string:
		return 3
	case bson.D:
		return 4
	case bson.A:
		return 5
	case bool:
		return 6
	default:
		panic("the model does not know the type")
	}
}

func number(v any) float64 {
	switch n := v.(type) {
	case int32:
		return float64(n)
	case int64:
		return float64(n)
	case float64:
		return n
	default:
		return 0
	}
}

func modelCompare(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch x := a.(type) {
	case string:
		y, _ := b.(string)
		return strings.Compare(x, y)
	case bool:
		if a == b {
			return 0
		}
		if x {
			return 1
		}
		return -1
	case bson.D:
		y, _ := b.(bson.D)
		for i := range min(len(x), len(y)) {
			c := cmp.Or(cmp.Compare(rank(x[i].Value), rank(y[i].Value)), strings.Compare(x[i].Key, y[i].Key), modelCompare(x[i].Value, y[i].Value))
			if c != 0 {
				return c
			}
		}
		return cmp.Compare(len(x), len(y))
	case bson.A:
		y, _ := b.(bson.A)
		for i := range min(len(x), len(y)) {
			if c := modelCompare(x[i], y[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(x), len(y))
	default:
		return cmp.Compare(number(a), number(b))
	}
}

// reached is a value that a path leads to. Of one reached by an index the elements
// do not count.
type reached struct {
	v       any
	indexed bool
}

// follow gives the values at a path. Of an array on the way, the documents in it
// and the element whose index is the component.
func follow(v any, path []string) []reached {
	if len(path) == 0 {
		return []reached{{v: v}}
	}
	switch x := v.(type) {
	case bson.D:
		for _, e := range x {
			if e.Key == path[0] {
				return follow(e.Value, path[1:])
			}
		}
		return []reached{{v: absent{}}}
	case bson.A:
		var out []reached
		for i, e := range x {
			if _, ok := e.(bson.D); ok {
				out = append(out, follow(e, path)...)
			}
			if path[0] != string(rune('0'+i)) {
				continue
			}
			switch e.(type) {
			case bson.D, bson.A:
				if len(path) > 1 {
					out = append(out, follow(e, path[1:])...)
					continue
				}
			}
			if len(path) == 1 {
				out = append(out, reached{e, true})
			}
		}
		return out
	default:
		return []reached{{v: absent{}}}
	}
}

func modelMatch(doc, filter bson.D) bool {
	for _, e := range filter {
		if !modelTerm(doc, e) {
			return false
		}
	}
	return true
}

func modelTerm(doc bson.D, e bson.E) bool {
	switch e.Key {
	case "$and", "$or", "$nor":
		list, _ := e.Value.(bson.A)
		met := 0
		for _, f := range list {
			if d, _ := f.(bson.D); modelMatch(doc, d) {
				met++
			}
		}
		return e.Key == "$and" && met == len(list) || e.Key == "$or" && met > 0 || e.Key == "$nor" && met == 0
	}
	values := follow(doc, strings.Split(e.Key, "."))
	if ops, ok := e.Value.(bson.D); ok && len(ops) > 0 && strings.HasPrefix(ops[0].Key, "$") {
		return modelOperators(values, ops)
	}
	return modelOperator(values, bson.E{Key: "$eq", Value: e.Value})
}

func modelOperators(values []reached, ops bson.D) bool {
	return !slices.ContainsFunc(ops, func(o bson.E) bool { return !modelOperator(values, o) })
}

func modelOperator(values []reached, o bson.E) bool {
	list, _ := o.Value.(bson.A)
	inner, _ := o.Value.(bson.D)
	switch o.Key {
	case "$ne":
		return !modelOperator(values, bson.E{Key: "$eq", Value: o.Value})
	case "$in":
		return slices.ContainsFunc(list, func(v any) bool { return modelOperator(values, bson.E{Key: "$eq", Value: v}) })
	case "$nin":
		return !modelOperator(values, bson.E{Key: "$in", Value: o.Value})
	case "$all":
		return len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { return !modelOperator(values, bson.E{Key: "$eq", Value: v}) })
	case "$not":
		return !modelOperators(values, inner)
	case "$exists":
		want, _ := o.Value.(bool)
		return slices.ContainsFunc(values, func(r reached) bool { return r.v != any(absent{}) }) == want
	case "$size":
		return slices.ContainsFunc(values, func(r reached) bool {
			a, ok := r.v.(bson.A)
			return ok && float64(len(a)) == number(o.Value)
		})
	case "$elemMatch":
		return slices.ContainsFunc(values, func(r reached) bool {
			a, _ := r.v.(bson.A)
			return slices.ContainsFunc(a, func(e any) bool { return modelElement(e, inner) })
		})
	default:
		return slices.ContainsFunc(values, func(r reached) bool {
			if a, ok := r.v.(bson.A); ok && !r.indexed {
				if slices.ContainsFunc(a, func(e any) bool { return modelHolds(e, o) }) {
					return true
				}
			}
			return modelHolds(r.v, o)
		})
	}
}

// modelElement: operators are on the element itself, anything else on the fields of
// one that is a document or, by their indexes, an array.
func modelElement(e any, cond bson.D) bool {
	if len(cond) > 0 && strings.HasPrefix(cond[0].Key, "$") {
		return modelOperators([]reached{{e, true}}, cond)
	}
	switch x := e.(type) {
	case bson.D:
		return modelMatch(x, cond)
	case bson.A:
		d := bson.D{}
		for i, v := range x {
			d = append(d, bson.E{Key: string(rune('0' + i)), Value: v})
		}
		return modelMatch(d, cond)
	default:
		return false
	}
}

func modelHolds(v any, o bson.E) bool {
	if rank(v) != rank(o.Value) {
		return false
	}
	c := modelCompare(v, o.Value)
	switch o.Key {
	case "$eq":
		return c == 0
	case "$gt":
		return c > 0
	case "$gte":
		return c >= 0
	case "$lt":
		return c < 0
	case "$lte":
		return c <= 0
	default:
		panic("the model does not know " + o.Key)
	}
}

// emptyArray is the sort key of an array without elements.
type emptyArray struct{}

// sortKeys are the values that a document sorts by.
func sortKeys(v any, path []string) []any {
	switch x := v.(type) {
	case bson.D:
		if len(path) == 0 {
			return []any{v}
		}
		for _, e := range x {
			if e.Key == path[0] {
				return sortKeys(e.Value, path[1:])
			}
		}
		return []any{nil}
	case bson.A:
		if len(path) == 0 {
			if len(x) == 0 {
				return []any{emptyArray{}}
			}
			return x
		}
		var out []any
		for _, e := range x {
			if d, ok := e.(bson.D); ok {
				out = append(out, sortKeys(d, path)...)
			} else {
				out = append(out, nil)
			}
		}
		return append(out, []any{nil}[:max(0, 1-len(out))]...)
	default:
		if len(path) == 0 {
			return []any{v}
		}
		return []any{nil}
	}
}

// modelSort sorts by one path and then _id.
func modelSort(docs []bson.D, path string, sign int) {
	key := func(d bson.D) any {
		all := sortKeys(d, strings.Split(path, "."))
		return slices.MinFunc(all, func(a, b any) int { return modelCompare(a, b) * sign })
	}
	slices.SortStableFunc(docs, func(a, b bson.D) int {
		return cmp.Or(modelCompare(key(a), key(b))*sign, modelCompare(a[0].Value, b[0].Value))
	})
}
