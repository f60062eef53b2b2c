package expr

import (
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// group is $group. Groups come out in the order of their first document.
type group struct {
	id     *eval.Expr
	single string // the name of the only field of _id, if _id is such a document
	fields []accumulated
}

// accumulated is a field of a group.
type accumulated struct {
	name string
	make func() accumulator
	arg  *eval.Expr
}

// accumulator collects one value of a group; missing values have type 0.
type accumulator interface {
	add(v bson.RawValue)
	result() bson.RawValue
}

var accumulators = map[string]func() accumulator{
	"$sum":      func() accumulator { return &sum{} },
	"$avg":      func() accumulator { return &avg{} },
	"$min":      func() accumulator { return &extreme{sign: -1} },
	"$max":      func() accumulator { return &extreme{sign: 1} },
	"$first":    func() accumulator { return &edge{first: true} },
	"$last":     func() accumulator { return &edge{} },
	"$push":     func() accumulator { return &push{} },
	"$addToSet": func() accumulator { return &set{seen: map[string]bool{}} },
	"$count":    func() accumulator { return &sum{} }, // of ones
}

// Accumulators names the accumulators of $group.
func Accumulators() []string {
	return slices.Sorted(maps.Keys(accumulators))
}

func newGroup(f value.Field) (stage, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(15947, "a group's fields must be specified in an object")
	}
	g := &group{}
	for _, x := range value.Fields(f.Value) {
		if x.Key == "_id" {
			if g.id != nil {
				return nil, value.Errorf(15948, "a group's _id may only be specified once")
			}
			if err := g.setID(x.RawValue); err != nil {
				return nil, err
			}
			continue
		}
		if err := g.add(x); err != nil {
			return nil, err
		}
	}
	if g.id == nil {
		return nil, value.Errorf(15955, "a group specification must include an _id")
	}
	return g, nil
}

func (g *group) setID(v bson.RawValue) (err error) {
	if v.Type == bson.TypeEmbeddedDocument {
		if fields := value.Fields(v.Value); len(fields) == 1 && !isDollar(fields[0].Key) {
			g.single = fields[0].Key
		}
	}
	g.id, err = eval.Compile(v)
	return err
}

func (g *group) add(f value.Field) error {
	switch {
	case strings.Contains(f.Key, "."):
		return value.Errorf(40235, "The field name '%s' cannot contain '.'", f.Key)
	case isDollar(f.Key):
		return value.Errorf(40236, "The field name '%s' cannot be an operator name", f.Key)
	case f.Type != bson.TypeEmbeddedDocument:
		return value.Errorf(40234, "The field '%s' must be an accumulator object", f.Key)
	}
	ops := value.Fields(f.Value)
	if len(ops) != 1 {
		return value.Errorf(40238, "The field '%s' must specify one accumulator", f.Key)
	}
	op := ops[0]
	if op.Key == "$count" {
		if op.Type != bson.TypeEmbeddedDocument || len(value.Fields(op.Value)) > 0 {
			return value.TypeMismatch("$count takes no arguments, i.e. $count:{}")
		}
		op.RawValue = value.OfInt32(1)
	}
	newAcc, ok := accumulators[op.Key]
	if !ok {
		return value.Errorf(15952, "unknown group operator '%s'", op.Key)
	}
	if op.Type == bson.TypeArray {
		return value.Errorf(40237, "The %s accumulator is a unary operator", op.Key)
	}
	x, err := eval.Compile(op.RawValue)
	if err != nil {
		return err
	}
	g.fields = append(g.fields, accumulated{f.Key, newAcc, x})
	return nil
}

// bucket is one group.
type bucket struct {
	id   bson.RawValue
	accs []accumulator
}

func (g *group) run(in docs, vars Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		index := map[string]*bucket{}
		var order []*bucket
		for doc, err := range in {
			if err == nil {
				order, err = g.take(doc, vars, index, order)
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
		for _, b := range order {
			out := []value.Field{{Key: "_id", RawValue: b.id}}
			for i, f := range g.fields {
				out = append(out, value.Field{Key: f.name, RawValue: b.accs[i].result()})
			}
			if !yield(value.OfFields(out), nil) {
				return
			}
		}
	}
}

func (g *group) take(doc bson.Raw, vars Vars, index map[string]*bucket, order []*bucket) ([]*bucket, error) {
	id, err := g.id.Eval(doc, vars)
	if err != nil {
		return nil, err
	}
	switch {
	case value.Missing(id):
		id = value.Null()
	case g.single != "" && len(value.Inside(id.Value)) == 0:
		id = value.OfDoc(value.OfFields([]value.Field{{Key: g.single, RawValue: value.Null()}}))
	}
	key := string(value.AppendKey(nil, id))
	b := index[key]
	if b == nil {
		b = &bucket{id: id}
		for _, f := range g.fields {
			b.accs = append(b.accs, f.make())
		}
		index[key] = b
		order = append(order, b)
	}
	for i, f := range g.fields {
		v, err := f.arg.Eval(doc, vars)
		if err != nil {
			return nil, err
		}
		b.accs[i].add(v)
	}
	return order, nil
}

type sum struct{ s value.Sum }

func (a *sum) add(v bson.RawValue) { a.s.Add(v) }

func (a *sum) result() bson.RawValue { return a.s.Total() }

type avg struct{ s value.Sum }

func (a *avg) add(v bson.RawValue) { a.s.Add(v) }

func (a *avg) result() bson.RawValue { return a.s.Mean() }

func orNull(v bson.RawValue) bson.RawValue {
	if value.Missing(v) {
		return value.Null()
	}
	return v
}

// extreme is $min (sign -1) and $max; it ignores what is null.
type extreme struct {
	sign int
	v    bson.RawValue
}

func (a *extreme) add(v bson.RawValue) {
	if !value.Nullish(v) && (value.Missing(a.v) || value.Compare(v, a.v) == a.sign) {
		a.v = v
	}
}

func (a *extreme) result() bson.RawValue { return orNull(a.v) }

// edge is $first and $last.
type edge struct {
	first, any bool
	v          bson.RawValue
}

func (a *edge) add(v bson.RawValue) {
	if !a.first || !a.any {
		a.v, a.any = v, true
	}
}

func (a *edge) result() bson.RawValue { return orNull(a.v) }

type push struct{ list []bson.RawValue }

func (a *push) add(v bson.RawValue) {
	if !value.Missing(v) {
		a.list = append(a.list, v)
	}
}

func (a *push) result() bson.RawValue { return value.OfArray(a.list) }

type set struct {
	push
	seen map[string]bool
}

func (a *set) add(v bson.RawValue) {
	if key := string(value.AppendKey(nil, v)); !a.seen[key] {
		a.seen[key] = true
		a.push.add(v)
	}
}

// count is $count: one document, or none without input.
type count string

func newCount(f value.Field) (stage, error) {
	if f.Type != bson.TypeString {
		return nil, value.Errorf(40156, "the count field must be a non-empty string")
	}
	name := value.Str(f.RawValue)
	switch {
	case name == "":
		return nil, value.Errorf(40156, "the count field must be a non-empty string")
	case isDollar(name):
		return nil, value.Errorf(40158, "the count field cannot be a $-prefixed path")
	case strings.IndexByte(name, 0) >= 0:
		return nil, value.Errorf(40159, "the count field cannot contain a null byte")
	case strings.Contains(name, "."):
		return nil, value.Errorf(40160, "the count field cannot contain '.'")
	}
	return count(name), nil
}

func (n count) run(in docs, _ Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		var s value.Sum
		one := value.OfInt32(1)
		empty := true
		for _, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			empty = false
			s.Add(one)
		}
		if !empty {
			yield(value.OfFields([]value.Field{{Key: string(n), RawValue: s.Total()}}), nil)
		}
	}
}
