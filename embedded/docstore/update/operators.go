package update

import (
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// compiler builds the tree of an update with operators.
type compiler struct {
	root    *node
	filters *filters
	renames []*renameTarget
}

func compileOperators(doc []byte, f *filters) (*Update, error) {
	c := &compiler{root: newObject(), filters: f}
	for _, m := range value.Fields(doc) {
		if _, ok := modifiers[m.Key]; !ok {
			return nil, value.FailedToParse("Unknown modifier: %s. Expected a valid update modifier or pipeline-style update specified as an array", m.Key)
		}
		if m.Type != bson.TypeEmbeddedDocument {
			return nil, value.FailedToParse("Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}}", value.TypeName(m.Type))
		}
		for _, f := range value.Fields(m.Value) {
			if err := c.field(m.Key, f); err != nil {
				return nil, err
			}
		}
	}
	if err := f.unused(); err != nil {
		return nil, err
	}
	c.root.finish()
	f.bind(c.root)
	return &Update{root: c.root, renames: c.renames}, nil
}

// modifiers are the operators that are served. $rename is not only an operator at
// one path and is compiled apart.
var modifiers = map[string]func(f value.Field) (op, error){
	"$set":         newSet,
	"$setOnInsert": newSet,
	"$unset":       func(value.Field) (op, error) { return unset{}, nil },
	"$inc":         func(f value.Field) (op, error) { return newArithmetic("$inc", f) },
	"$mul":         func(f value.Field) (op, error) { return newArithmetic("$mul", f) },
	"$min":         func(f value.Field) (op, error) { return &extreme{f.RawValue, -1}, nil },
	"$max":         func(f value.Field) (op, error) { return &extreme{f.RawValue, 1}, nil },
	"$rename":      nil,
	"$currentDate": newCurrentDate,
	"$push":        newPush,
	"$addToSet":    newAddToSet,
	"$pop":         newPop,
	"$pull":        newPull,
	"$pullAll":     newPullAll,
	"$bit":         newBit,
}

// Modifiers are the fields of an argument of $push and, $each only, of $addToSet.
var Modifiers = []string{"$each", "$position", "$slice", "$sort"}

// Positional are the parts of a path that stand for array elements.
var Positional = []string{"$", "$[]", "$[identifier]"}

// Operators names the operators of an update.
func Operators() []string { return slices.Sorted(maps.Keys(modifiers)) }

func (c *compiler) field(modifier string, f value.Field) error {
	if modifier == "$rename" {
		return c.rename(f)
	}
	path, err := c.path(f.Key)
	if err != nil {
		return err
	}
	o, err := modifiers[modifier](f)
	if err != nil {
		return err
	}
	leaf := &node{op: o, insertOnly: modifier == "$setOnInsert"}
	if !c.root.insert(path, leaf) {
		return conflict(f.Key)
	}
	return nil
}

func newSet(f value.Field) (op, error) { return &setTo{f.RawValue}, nil }

func newArithmetic(modifier string, f value.Field) (op, error) {
	if !value.IsNumber(f.Type) {
		return nil, value.TypeMismatch("Cannot %s with non-numeric argument: {%s: ...}", modifier[1:], f.Key)
	}
	return &arithmetic{by: f.RawValue, mul: modifier == "$mul"}, nil
}

// path checks and splits a path of an update.
func (c *compiler) path(p string) ([]string, error) {
	if p == "" {
		return nil, value.Errorf(value.CodeEmptyFieldName, "An empty update path is not valid.")
	}
	parts := strings.Split(p, ".")
	if len(parts) > value.MaxDepth {
		return nil, value.Errorf(value.CodeOverflow, "The update path is too long")
	}
	positional := 0
	for i, s := range parts {
		switch {
		case s == "":
			return nil, value.Errorf(value.CodeEmptyFieldName, "The update path '%s' contains an empty field name, which is not allowed.", p)
		case i == 0 && (s == "$" || isElements(s)):
			return nil, value.BadValue("Cannot have positional (i.e. '$') or array filter element in the first position in path '%s'", p)
		case i == 0 && s[0] == '$':
			return nil, value.Errorf(value.CodeDollarPrefixed, "The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", s, p)
		case s == "$":
			positional++
		case isElements(s) && s != "$[]":
			id := s[2 : len(s)-1]
			f := c.filters.find(id)
			if f == nil {
				return nil, value.BadValue("No array filter found for identifier '%s' in path '%s'", id, p)
			}
			f.used = true
		}
	}
	if positional > 1 {
		return nil, value.BadValue("Too many positional (i.e. '$') elements found in path '%s'", p)
	}
	return parts, nil
}

func (c *compiler) rename(f value.Field) error {
	if f.Type != bson.TypeString {
		return value.BadValue("The 'to' field for $rename must be a string: %s", f.Key)
	}
	to := value.Str(f.RawValue)
	if strings.IndexByte(to, 0) >= 0 {
		return value.BadValue("The 'to' field for $rename cannot contain an embedded null byte")
	}
	for _, p := range []string{f.Key, to} {
		for _, s := range strings.Split(p, ".") {
			if s == "$" || isElements(s) {
				return value.BadValue("The field of $rename may not be dynamic: %s", p)
			}
		}
	}
	source, err := c.path(f.Key)
	if err != nil {
		return err
	}
	target, err := c.path(to)
	if err != nil {
		return err
	}
	n := min(len(source), len(target))
	if slices.Equal(source[:n], target[:n]) {
		return value.BadValue("The source and target field for $rename must differ and must not be on the same path: %s: %q", f.Key, to)
	}
	r := &renameTarget{source: source, target: target}
	if !c.root.insert(source, &node{op: &renameSource{r}}) {
		return conflict(f.Key)
	}
	if !c.root.insert(target, &node{op: r}) {
		return conflict(to)
	}
	c.renames = append(c.renames, r)
	return nil
}

// renameTarget puts the renamed value; renameSource takes it away.
type renameTarget struct{ source, target []string }

type renameSource struct{ target *renameTarget }

// read looks the value up before anything is changed.
func (r *renameTarget) read(c *context, doc bson.Raw) error {
	v := value.OfDoc(doc)
	for _, name := range r.source {
		switch v.Type {
		case bson.TypeEmbeddedDocument:
		case bson.TypeArray:
			return value.BadValue("The source field cannot be an array element, '%s'", strings.Join(r.source, "."))
		default:
			return value.Errorf(value.CodePathNotViable, "cannot use the part (%s) to traverse the element", name)
		}
		var ok bool
		if v, ok = value.Lookup(v.Value, name); !ok {
			return nil
		}
	}
	t := value.OfDoc(doc)
	for _, name := range r.target[:len(r.target)-1] {
		t, _ = value.Lookup(t.Value, name)
		if t.Type == bson.TypeArray {
			return value.BadValue("The destination field cannot be an array element, '%s'", strings.Join(r.target, "."))
		}
		if t.Type != bson.TypeEmbeddedDocument {
			break
		}
	}
	c.renamed[r] = v
	return nil
}

func (r *renameTarget) apply(c *context, old bson.RawValue) (bson.RawValue, action, error) {
	if v, ok := c.renamed[r]; ok {
		return v, put, nil
	}
	return old, keep, nil
}

func (r *renameTarget) lenient() bool { return false }

func (r *renameSource) apply(c *context, old bson.RawValue) (bson.RawValue, action, error) {
	if _, ok := c.renamed[r.target]; ok {
		return old, remove, nil
	}
	return old, keep, nil
}

func (r *renameSource) lenient() bool { return true }

// setTo is $set and $setOnInsert.
type setTo struct{ v bson.RawValue }

func (s *setTo) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	if value.Same(old, s.v) {
		return old, keep, nil
	}
	return s.v, put, nil
}

func (s *setTo) lenient() bool { return false }

type unset struct{}

func (unset) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	if value.Missing(old) {
		return old, keep, nil
	}
	return old, remove, nil
}

func (unset) lenient() bool { return true }

// arithmetic is $inc and $mul.
type arithmetic struct {
	by  bson.RawValue
	mul bool
}

func (a *arithmetic) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	was := old
	switch {
	case value.Missing(old) && !a.mul:
		return a.by, put, nil
	case value.Missing(old):
		old = value.OfInt32(0)
	case !value.IsNumber(old.Type):
		return old, keep, value.TypeMismatch("Cannot apply $inc or $mul to a value of non-numeric type %s", value.TypeName(old.Type))
	}
	f := value.Add
	if a.mul {
		f = value.Mul
	}
	v, ok := f(old, a.by, false)
	if !ok {
		return old, keep, value.BadValue("Failed to apply $inc or $mul operations to current value: the result does not fit in 64 bits")
	}
	if value.Same(v, was) {
		return old, keep, nil
	}
	return v, put, nil
}

func (a *arithmetic) lenient() bool { return false }

// extreme is $min (sign -1) and $max (sign 1).
type extreme struct {
	v    bson.RawValue
	sign int
}

func (e *extreme) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	if value.Missing(old) || value.Compare(e.v, old) == e.sign {
		return e.v, put, nil
	}
	return old, keep, nil
}

func (e *extreme) lenient() bool { return false }

type currentDate struct{ timestamp bool }

func newCurrentDate(f value.Field) (op, error) {
	switch f.Type {
	case bson.TypeBoolean:
		return &currentDate{}, nil
	case bson.TypeEmbeddedDocument:
		for i, x := range value.Fields(f.Value) {
			if x.Key != "$type" || i > 0 {
				return nil, value.BadValue("Unrecognized $currentDate option: %s", x.Key)
			}
			if x.Type == bson.TypeString {
				switch value.Str(x.RawValue) {
				case "date":
					if len(value.Fields(f.Value)) == 1 {
						return &currentDate{}, nil
					}
				case "timestamp":
					if len(value.Fields(f.Value)) == 1 {
						return &currentDate{timestamp: true}, nil
					}
				}
			}
		}
		return nil, value.BadValue("The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: 'date'}}}")
	default:
		return nil, value.BadValue("%s is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).", value.TypeName(f.Type))
	}
}

func (d *currentDate) apply(c *context, _ bson.RawValue) (bson.RawValue, action, error) {
	if !d.timestamp {
		return value.OfDate(c.Now.UnixMilli()), put, nil
	}
	v := value.OfInt64(c.Now.Unix()<<32 | int64(c.Now.Nanosecond()+1))
	v.Type = bson.TypeTimestamp
	return v, put, nil
}

func (d *currentDate) lenient() bool { return false }

type bitStep struct {
	name string
	by   bson.RawValue
}

type bit struct{ steps []bitStep }

func newBit(f value.Field) (op, error) {
	if f.Type != bson.TypeEmbeddedDocument {
		return nil, value.BadValue("The $bit modifier is not compatible with a %s. You must pass in an embedded document: {$bit: {field: {and/or/xor: #}}", value.TypeName(f.Type))
	}
	b := &bit{}
	for _, x := range value.Fields(f.Value) {
		if x.Key != "and" && x.Key != "or" && x.Key != "xor" {
			return nil, value.BadValue("The $bit modifier only supports 'and', 'or', and 'xor', not '%s' which is an unknown operator", x.Key)
		}
		if x.Type != bson.TypeInt32 && x.Type != bson.TypeInt64 {
			return nil, value.BadValue("The $bit modifier field must be an Integer(32/64 bit); a '%s' is not supported here", value.TypeName(x.Type))
		}
		b.steps = append(b.steps, bitStep{x.Key, x.RawValue})
	}
	if len(b.steps) == 0 {
		return nil, value.BadValue("You must pass in at least one bitwise operation")
	}
	return b, nil
}

func (b *bit) apply(_ *context, old bson.RawValue) (bson.RawValue, action, error) {
	v := old
	if value.Missing(old) {
		v = value.OfInt32(0)
	}
	if v.Type != bson.TypeInt32 && v.Type != bson.TypeInt64 {
		return old, keep, value.BadValue("Cannot apply $bit to a value of non-integral type %s", value.TypeName(old.Type))
	}
	for _, s := range b.steps {
		n, by := value.Int64(v), value.Int64(s.by)
		switch s.name {
		case "and":
			n &= by
		case "or":
			n |= by
		default:
			n ^= by
		}
		if v.Type == bson.TypeInt32 && s.by.Type == bson.TypeInt32 {
			v = value.OfInt32(int32(n)) //nolint:gosec // both sides have 32 bits
		} else {
			v = value.OfInt64(n)
		}
	}
	if value.Same(v, old) {
		return old, keep, nil
	}
	return v, put, nil
}

func (b *bit) lenient() bool { return false }
