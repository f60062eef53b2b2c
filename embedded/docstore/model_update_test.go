package docstore_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// errModel is an update that cannot be applied.
var errModel = errors.New("the model refuses the update")

// change makes the new value of a field of the old one; absent for none.
type change func(old any) (any, error)

// modelUpdate applies an update of one path for each operator.
func modelUpdate(doc, update bson.D) (bson.D, error) {
	type step struct {
		path    string
		f       change
		lenient bool
	}
	var steps []step
	for _, op := range update {
		args, _ := op.Value.(bson.D)
		f := modelChange(op.Key, args[0].Value)
		steps = append(steps, step{args[0].Key, f, slices.Contains([]string{"$unset", "$pull", "$pop"}, op.Key)})
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.path, b.path) })
	if len(steps) == 2 && strings.HasPrefix(steps[1].path+".", steps[0].path+".") {
		return nil, errModel // a conflict
	}
	for _, s := range steps {
		v, err := alter(doc, strings.Split(s.path, "."), s.f, s.lenient)
		if err != nil {
			return nil, err
		}
		doc, _ = v.(bson.D)
	}
	return doc, nil
}

// alter changes what is at a path below a value.
func alter(v any, path []string, f change, lenient bool) (any, error) {
	if len(path) == 0 {
		return f(v)
	}
	switch x := v.(type) {
	case absent:
		if lenient {
			return v, nil
		}
		inner, err := alter(absent{}, path[1:], f, lenient)
		return bson.D{{Key: path[0], Value: inner}}, err
	case bson.D:
		i := slices.IndexFunc(x, func(e bson.E) bool { return e.Key == path[0] })
		old := any(absent{})
		if i >= 0 {
			old = x[i].Value
		}
		inner, err := alter(old, path[1:], f, lenient)
		out := slices.Clone(x)
		switch gone := inner == any(absent{}); {
		case i >= 0 && gone:
			out = slices.Delete(out, i, i+1)
		case i >= 0:
			out[i].Value = inner
		case !gone:
			out = append(out, bson.E{Key: path[0], Value: inner})
		}
		return out, err
	case bson.A:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(x) && lenient {
			if lenient {
				return v, nil
			}
			return nil, errModel
		}
		out := slices.Clone(x)
		for len(out) <= i {
			out = append(out, nil)
		}
		old := any(absent{})
		if i < len(x) {
			old = x[i]
		}
		if out[i], err = alter(old, path[1:], f, lenient); out[i] == any(absent{}) {
			out[i] = nil
		}
		return out, err
	default:
		if lenient {
			return v, nil
		}
		return nil, errModel
	}
}

func modelChange(op string, arg any) change {
	list := bson.A{arg}
	if d, ok := arg.(bson.D); ok && len(d) > 0 && d[0].Key == "$each" {
		list, _ = d[0].Value.(bson.A)
	}
	return func(old any) (any, error) {
		array, isArray := old.(bson.A)
		missing := old == any(absent{})
		switch op {
		case "$set":
			return arg, nil
		case "$unset":
			return absent{}, nil
		case "$inc", "$mul":
			return modelArithmetic(op, old, arg)
		case "$min", "$max":
			c := 0
			if !missing {
				c = modelCompare(arg, old)
			}
			if missing || op == "$min" && c < 0 || op == "$max" && c > 0 {
				return arg, nil
			}
			return old, nil
		}
		if missing && op != "$push" && op != "$addToSet" {
			return old, nil
		}
		if !missing && !isArray {
			return nil, errModel
		}
		out := slices.Clone(array)
		if out == nil {
			out = bson.A{}
		}
		switch op {
		case "$push":
			return append(out, list...), nil
		case "$addToSet":
			for _, v := range list {
				if !slices.ContainsFunc(out, func(o any) bool { return modelCompare(o, v) == 0 }) {
					out = append(out, v)
				}
			}
			return out, nil
		case "$pull":
			return slices.DeleteFunc(out, func(e any) bool { return pulled(e, arg) }), nil
		default: // $pop
			switch n := len(out); {
			case n == 0:
			case arg == int32(1):
				out = out[:n-1]
			default:
				out = out[1:]
			}
			return out, nil
		}
	}
}

func modelArithmetic(op string, old, arg any) (any, error) {
	missing := old == any(absent{})
	switch {
	case missing && op == "$inc":
		return arg, nil
	case missing:
		old = int32(0)
	case rank(old) != 2:
		return nil, errModel
	}
	x, y := number(old), number(arg)
	r := x + y
	if op == "$mul" {
		r = x * y
	}
	_, f1 := old.(float64)
	_, f2 := arg.(float64)
	_, l1 := old.(int64)
	_, l2 := arg.(int64)
	switch {
	case f1 || f2:
		return r, nil
	case l1 || l2:
		return int64(r), nil
	default:
		return int32(r), nil
	}
}

func pulled(e, arg any) bool {
	cond, ok := arg.(bson.D)
	if !ok {
		return modelCompare(e, arg) == 0
	}
	if len(cond) > 0 && strings.HasPrefix(cond[0].Key, "$") {
		return modelOperators([]reached{{v: e}}, cond)
	}
	d, ok := e.(bson.D)
	return ok && modelMatch(d, cond)
}

// modelProject applies a projection of plain inclusions or exclusions.
func modelProject(doc, projection bson.D) bson.D {
	keep, id := false, true
	tree := map[string][]string{} // the first component, and what is behind it
	for _, e := range projection {
		if e.Key == "_id" {
			id = false
			continue
		}
		keep = e.Value == any(int32(1))
		first, rest, _ := strings.Cut(e.Key, ".")
		tree[first] = strings.Split(rest, ".")
	}
	out := bson.D{}
	for _, e := range doc {
		path, named := tree[e.Key]
		switch {
		case e.Key == "_id":
			if id {
				out = append(out, e)
			}
		case !named && !keep, named && path[0] == "" && keep:
			out = append(out, e)
		case named && path[0] != "":
			if v, ok := projected(e.Value, path[0], keep); ok {
				out = append(out, bson.E{Key: e.Key, Value: v})
			}
		}
	}
	return out
}

// projected keeps or drops one field of a value; ok tells if something is left.
func projected(v any, field string, keep bool) (out any, ok bool) {
	switch x := v.(type) {
	case bson.D:
		return slices.DeleteFunc(slices.Clone(x), func(e bson.E) bool { return (e.Key == field) != keep }), true
	case bson.A:
		list := bson.A{}
		for _, e := range x {
			if p, ok := projected(e, field, keep); ok {
				list = append(list, p)
			}
		}
		return list, true
	default:
		return v, !keep
	}
}
