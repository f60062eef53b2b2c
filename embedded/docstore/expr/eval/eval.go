// Package eval compiles and evaluates MongoDB aggregation expressions on
// encoded documents. Operators that are not implemented exactly are refused.
package eval

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Expr is a compiled expression. It is safe for concurrent use.
type Expr struct{ n node }

// Vars are the variables of an evaluation by name, without the dollar signs.
// Only NOW is known; ROOT, CURRENT and REMOVE need not be given.
type Vars map[string]bson.RawValue

// context is what one evaluation carries along.
type context struct {
	root bson.Raw
	vars Vars
}

// node is a compiled expression; the zero value of its result is missing.
type node interface {
	eval(c *context) (bson.RawValue, error)
}

// Compile compiles an expression and keeps its own copy. The error is a
// *value.Error.
func Compile(v bson.RawValue) (*Expr, error) {
	if err := value.CheckValue(v); err != nil {
		return nil, err
	}
	v.Value = bytes.Clone(v.Value)
	n, err := compile(v)
	if err != nil {
		return nil, err
	}
	return &Expr{n}, nil
}

// Eval evaluates the expression on a document. A missing result is the zero
// RawValue; any other may share memory with doc. The error is a *value.Error.
func (e *Expr) Eval(doc bson.Raw, vars Vars) (bson.RawValue, error) {
	return e.n.eval(&context{root: doc, vars: vars})
}

// Known tells if there is an operator of that name.
func Known(name string) bool {
	_, ok := operators[name]
	return ok || slices.Contains(special, name)
}

// special operators do not evaluate all of their arguments.
var special = []string{"$cond", "$literal"}

// Operators names the operators.
func Operators() []string {
	return slices.Sorted(slices.Values(slices.AppendSeq(slices.Clone(special), maps.Keys(operators))))
}

// Variables names the system variables.
var Variables = []string{"$$CURRENT", "$$NOW", "$$REMOVE", "$$ROOT"}

func compile(v bson.RawValue) (node, error) {
	switch v.Type {
	case bson.TypeString:
		return compileString(v)
	case bson.TypeEmbeddedDocument:
		return compileDocument(v.Value)
	case bson.TypeArray:
		list, err := compileAll(value.Elements(v.Value))
		return arrayOf(list), err
	default:
		return literal{v}, nil
	}
}

func compileAll(values []bson.RawValue) ([]node, error) {
	out := make([]node, 0, len(values))
	for _, v := range values {
		n, err := compile(v)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func compileString(v bson.RawValue) (node, error) {
	s := value.Str(v)
	switch {
	case strings.HasPrefix(s, "$$"):
		return compileVariable(s[2:])
	case s == "$":
		return nil, value.Errorf(16872, "'$' by itself is not a valid FieldPath")
	case strings.HasPrefix(s, "$"):
		if err := value.CheckPath(s[1:]); err != nil {
			return nil, err
		}
		return fieldPath(strings.Split(s[1:], ".")), nil
	default:
		return literal{v}, nil
	}
}

func compileVariable(s string) (node, error) {
	name, rest, dotted := strings.Cut(s, ".")
	var path fieldPath
	if dotted {
		if err := value.CheckPath(rest); err != nil {
			return nil, err
		}
		path = strings.Split(rest, ".")
	}
	switch name {
	case "":
		return nil, value.FailedToParse("empty variable names are not allowed")
	case "ROOT", "CURRENT":
		if !dotted {
			return wholeDocument{}, nil
		}
		return path, nil
	case "REMOVE":
		return literal{}, nil
	case "NOW":
		if dotted {
			return literal{}, nil
		}
		return now{value.OfDate(time.Now().UnixMilli())}, nil
	default:
		return nil, value.Errorf(17276, "Use of undefined variable: %s", name)
	}
}

func compileDocument(doc []byte) (node, error) {
	fields := value.Fields(doc)
	if len(fields) > 0 && strings.HasPrefix(fields[0].Key, "$") {
		if len(fields) != 1 {
			return nil, value.Errorf(15983, "an object representing an expression must have exactly one field")
		}
		return compileOperator(fields[0])
	}
	out := documentOf{}
	seen := map[string]bool{}
	for _, f := range fields {
		if strings.HasPrefix(f.Key, "$") {
			return nil, value.Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		}
		if strings.Contains(f.Key, ".") {
			return nil, value.Errorf(16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
		}
		if seen[f.Key] {
			return nil, value.Errorf(16406, "duplicate field name specified in object literal: %s", f.Key)
		}
		seen[f.Key] = true
		n, err := compile(f.RawValue)
		if err != nil {
			return nil, err
		}
		out.names, out.nodes = append(out.names, f.Key), append(out.nodes, n)
	}
	return &out, nil
}

func compileOperator(f value.Field) (node, error) {
	switch f.Key {
	case "$literal":
		return literal{f.RawValue}, nil
	case "$cond":
		return compileCond(f)
	}
	o, ok := operators[f.Key]
	if !ok {
		return nil, value.Errorf(value.CodeInvalidOperator, "Unrecognized expression '%s'", f.Key)
	}
	values := []bson.RawValue{f.RawValue}
	if f.Type == bson.TypeArray {
		values = value.Elements(f.Value)
	}
	if n := len(values); n < o.low || n > o.high {
		return nil, arity(f.Key, o, n)
	}
	args, err := compileAll(values)
	if err != nil {
		return nil, err
	}
	return &call{o.f, args}, nil
}

func arity(name string, o operator, n int) error {
	switch {
	case name == "$ifNull":
		return value.Errorf(1257300, "$ifNull needs at least two arguments, had: %d", n)
	case o.low == o.high:
		return value.Errorf(16020, "Expression %s takes exactly %d arguments. %d were passed in.", name, o.low, n)
	default:
		return value.Errorf(28667, "Expression %s takes at least %d arguments, and at most %d, but %d were passed in.", name, o.low, o.high, n)
	}
}

type literal struct{ v bson.RawValue }

func (l literal) eval(*context) (bson.RawValue, error) { return l.v, nil }

type wholeDocument struct{}

func (wholeDocument) eval(c *context) (bson.RawValue, error) { return value.OfDoc(c.root), nil }

// now is the time of the command: as given, or when the expression was compiled.
type now struct{ compiled bson.RawValue }

func (n now) eval(c *context) (bson.RawValue, error) {
	if v, ok := c.vars["NOW"]; ok {
		return v, nil
	}
	return n.compiled, nil
}

type fieldPath []string

func (p fieldPath) eval(c *context) (bson.RawValue, error) { return along(c.root, p), nil }

// along follows a path: an array on the way gives the array of the values in
// its documents. Numbers in the path are names, not indexes.
func along(doc []byte, path []string) bson.RawValue {
	v, ok := value.Lookup(doc, path[0])
	if !ok || len(path) == 1 {
		return v
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return along(v.Value, path[1:])
	case bson.TypeArray:
		var out []bson.RawValue
		for _, e := range value.Elements(v.Value) {
			if e.Type != bson.TypeEmbeddedDocument {
				continue
			}
			if r := along(e.Value, path[1:]); !value.Missing(r) {
				out = append(out, r)
			}
		}
		return value.OfArray(out)
	default:
		return bson.RawValue{}
	}
}

// arrayOf is an array of expressions; a missing value becomes null.
type arrayOf []node

func (a arrayOf) eval(c *context) (bson.RawValue, error) {
	list, err := evalAll(a, c)
	if err != nil {
		return bson.RawValue{}, err
	}
	for i := range list {
		if value.Missing(list[i]) {
			list[i] = value.Null()
		}
	}
	return value.OfArray(list), nil
}

func evalAll(nodes []node, c *context) ([]bson.RawValue, error) {
	out := make([]bson.RawValue, len(nodes))
	for i, n := range nodes {
		v, err := n.eval(c)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// documentOf is a document of expressions; a missing value is left out.
type documentOf struct {
	names []string
	nodes []node
}

func (d *documentOf) eval(c *context) (bson.RawValue, error) {
	var out []value.Field
	for i, n := range d.nodes {
		v, err := n.eval(c)
		if err != nil {
			return v, err
		}
		if !value.Missing(v) {
			out = append(out, value.Field{Key: d.names[i], RawValue: v})
		}
	}
	return value.OfDoc(value.OfFields(out)), nil
}

// call is an operator with its arguments.
type call struct {
	f    func(c *context, args []node) (bson.RawValue, error)
	args []node
}

func (o *call) eval(c *context) (bson.RawValue, error) { return o.f(c, o.args) }

type cond struct{ test, yes, no node }

func (o *cond) eval(c *context) (bson.RawValue, error) {
	v, err := o.test.eval(c)
	if err != nil {
		return v, err
	}
	if value.Truthy(v) {
		return o.yes.eval(c)
	}
	return o.no.eval(c)
}

var condParts = []string{"if", "then", "else"}

func compileCond(f value.Field) (node, error) {
	var parts [3]node
	if f.Type != bson.TypeEmbeddedDocument {
		values := []bson.RawValue{f.RawValue}
		if f.Type == bson.TypeArray {
			values = value.Elements(f.Value)
		}
		if len(values) != 3 {
			return nil, value.Errorf(16020, "Expression $cond takes exactly 3 arguments. %d were passed in.", len(values))
		}
		list, err := compileAll(values)
		if err != nil {
			return nil, err
		}
		return &cond{list[0], list[1], list[2]}, nil
	}
	for _, x := range value.Fields(f.Value) {
		i := slices.Index(condParts, x.Key)
		if i < 0 {
			return nil, value.Errorf(17083, "Unrecognized parameter to $cond: %s", x.Key)
		}
		n, err := compile(x.RawValue)
		if err != nil {
			return nil, err
		}
		parts[i] = n
	}
	for i, n := range parts {
		if n == nil {
			return nil, value.Errorf(int32(17080+i), "Missing '%s' parameter to $cond", condParts[i]) // at most 2
		}
	}
	return &cond{parts[0], parts[1], parts[2]}, nil
}
