package query

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// parser compiles a filter that is known to be well formed.
type parser struct {
	top     bool // not inside an $elemMatch: $expr is allowed
	canFail bool
}

// element is a field of a document being compiled.
type element struct {
	key string
	bson.RawValue
}

func elements(doc []byte) []element {
	var out []element
	for b := value.Inside(doc); ; {
		t, k, v, rest, ok := value.Next(b)
		if !ok {
			return out
		}
		out = append(out, element{string(k), bson.RawValue{Type: t, Value: v}})
		b = rest
	}
}

func (p *parser) document(doc []byte) (*andNode, error) {
	and := &andNode{}
	for _, e := range elements(doc) {
		var err error
		if strings.HasPrefix(e.key, "$") {
			err = p.topOperator(and, e)
		} else {
			err = p.field(and, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return and, nil
}

func (p *parser) topOperator(and *andNode, e element) error {
	if o, ok := topOperators[e.key]; ok {
		return o(p, and, e)
	}
	switch e.key {
	case "$text":
		return value.Errorf(value.CodeIndexNotFound, "text index required for $text query")
	case "$where":
		return value.BadValue("no globalScriptEngine in $where parsing")
	default:
		return value.BadValue("unknown top level operator: %s. If you have a field name that starts with a '$' symbol, consider using $getField or $setField.", e.key)
	}
}

func (p *parser) logical(and *andNode, e element) error {
	branches, err := p.branches(e)
	if err != nil {
		return err
	}
	switch e.key {
	case "$or":
		and.nodes = append(and.nodes, &orNode{branches})
	case "$nor":
		and.nodes = append(and.nodes, &norNode{branches})
	default:
		for _, b := range branches {
			and.nodes = append(and.nodes, b.nodes...)
		}
	}
	return nil
}

func (p *parser) constant(and *andNode, e element) error {
	if n, ok := value.Whole(e.RawValue); !ok || n != 1 {
		return value.FailedToParse("%s must be an integer value of 1", e.key)
	}
	and.nodes = append(and.nodes, constNode(e.key == "$alwaysTrue"))
	return nil
}

func (p *parser) branches(e element) ([]*andNode, error) {
	if e.Type != bson.TypeArray {
		return nil, value.BadValue("%s must be an array", e.key)
	}
	list := elements(e.Value)
	if len(list) == 0 {
		return nil, value.BadValue("$and/$or/$nor must be a nonempty array")
	}
	out := make([]*andNode, 0, len(list))
	for _, b := range list {
		if b.Type != bson.TypeEmbeddedDocument {
			return nil, value.BadValue("$or/$and/$nor entries need to be full objects")
		}
		and, err := p.document(b.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, and)
	}
	return out, nil
}

func (p *parser) expression(and *andNode, e element) error {
	if !p.top {
		return value.BadValue("$expr can only be applied to the top-level document")
	}
	x, err := eval.Compile(e.RawValue)
	if err != nil {
		return err
	}
	p.canFail = true
	and.nodes = append(and.nodes, &expression{x})
	return nil
}

func (p *parser) field(and *andNode, e element) error {
	path := strings.Split(e.key, ".")
	bind := func(n valueNode) {
		and.nodes = append(and.nodes, &fieldNode{name: e.key, path: path, cond: n})
	}
	switch {
	case e.Type == bson.TypeRegex:
		r, err := regexOfValue(e.RawValue)
		if err != nil {
			return err
		}
		bind(&predNode{pred: r})
	case e.Type == bson.TypeEmbeddedDocument && isOperators(e.Value):
		nodes, err := p.operators(e.Value)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			bind(n)
		}
	case e.Type == bson.TypeUndefined:
		return value.BadValue("cannot compare to undefined")
	default:
		bind(&predNode{pred: newCompare(Eq, e.RawValue)})
	}
	return nil
}

// isOperators: the first field decides. The fields of a database reference are
// not operators.
func isOperators(doc []byte) bool {
	_, k, _, _, ok := value.Next(value.Inside(doc))
	if !ok || len(k) == 0 || k[0] != '$' {
		return false
	}
	switch string(k) {
	case "$ref", "$id", "$db":
		return false
	default:
		return true
	}
}

func (p *parser) operators(doc []byte) ([]valueNode, error) {
	list := elements(doc)
	var out []valueNode
	for _, e := range list {
		n, err := p.operator(e, list)
		if err != nil {
			return nil, err
		}
		if n != nil {
			out = append(out, n)
		}
	}
	return out, nil
}

func pred(p predicate, err error) (valueNode, error) {
	if err != nil {
		return nil, err
	}
	return &predNode{pred: p}, nil
}

func negate(n valueNode, err error) (valueNode, error) {
	if err != nil {
		return nil, err
	}
	return &notNode{nodes: []valueNode{n}}, nil
}

// operator compiles one operator; all are its neighbours, for $regex and
// $options. $options alone gives nothing.
func (p *parser) operator(e element, all []element) (valueNode, error) {
	if o, ok := fieldOperators[e.key]; ok {
		return o(p, e, all)
	}
	return nil, value.BadValue("unknown operator: %s", e.key)
}

func comparison(op Op, e element) (valueNode, error) {
	switch {
	case e.Type == bson.TypeUndefined:
		return nil, value.BadValue("cannot compare to undefined")
	case e.Type == bson.TypeRegex && e.key == "$ne":
		return nil, value.BadValue("Can't have regex as arg to $ne.")
	case e.Type == bson.TypeRegex && op != Eq:
		return nil, value.BadValue("Can't have RegEx as arg to predicate over field")
	default:
		return &predNode{pred: newCompare(op, e.RawValue)}, nil
	}
}

func inList(e element) (predicate, error) {
	if e.Type != bson.TypeArray {
		return nil, value.BadValue("%s needs an array", e.key)
	}
	var values []bson.RawValue
	var regexes []*regex
	for _, v := range elements(e.Value) {
		switch {
		case v.Type == bson.TypeRegex:
			r, err := regexOfValue(v.RawValue)
			if err != nil {
				return nil, err
			}
			regexes = append(regexes, r)
		case v.Type == bson.TypeEmbeddedDocument && isOperators(v.Value):
			return nil, value.BadValue("cannot nest $ under %s", e.key)
		case v.Type == bson.TypeUndefined:
			return nil, value.BadValue("InMatchExpression equality cannot be undefined")
		default:
			values = append(values, v.RawValue)
		}
	}
	return newOneOf(values, regexes), nil
}

func typeSet(e element) (predicate, error) {
	list := []element{e}
	if e.Type == bson.TypeArray {
		if list = elements(e.Value); len(list) == 0 {
			return nil, value.FailedToParse("%s must match at least one type", e.key)
		}
	}
	set := &ofType{}
	for _, v := range list {
		if err := set.addNamed(v.RawValue); err != nil {
			return nil, err
		}
	}
	return set, nil
}

var allTypes = [...]bson.Type{
	bson.TypeDouble, bson.TypeString, bson.TypeEmbeddedDocument, bson.TypeArray, bson.TypeBinary, bson.TypeUndefined,
	bson.TypeObjectID, bson.TypeBoolean, bson.TypeDateTime, bson.TypeNull, bson.TypeRegex, bson.TypeDBPointer,
	bson.TypeJavaScript, bson.TypeSymbol, bson.TypeCodeWithScope, bson.TypeInt32, bson.TypeTimestamp, bson.TypeInt64,
	bson.TypeDecimal128, bson.TypeMinKey, bson.TypeMaxKey,
}

func (o *ofType) addNamed(v bson.RawValue) error {
	if v.Type == bson.TypeString {
		name := value.Str(v)
		if name == "number" {
			for _, t := range allTypes {
				if value.IsNumber(t) {
					o.add(t)
				}
			}
			return nil
		}
		for _, t := range allTypes {
			if value.TypeName(t) == name {
				o.add(t)
				return nil
			}
		}
		return value.BadValue("Unknown type name alias: %s", name)
	}
	if !value.IsNumber(v.Type) {
		return value.TypeMismatch("type must be represented as a number or a string")
	}
	n, ok := value.Whole(v)
	for _, t := range allTypes {
		code := int64(t)
		if t == bson.TypeMinKey {
			code = -1
		}
		if ok && code == n {
			o.add(t)
			return nil
		}
	}
	return value.BadValue("Invalid numerical type code")
}

func (p *parser) not(e element) (valueNode, error) {
	switch e.Type {
	case bson.TypeRegex:
		r, err := regexOfValue(e.RawValue)
		return negate(&predNode{pred: r}, err)
	case bson.TypeEmbeddedDocument:
		nodes, err := p.operators(e.Value)
		if err != nil {
			return nil, err
		}
		if len(elements(e.Value)) == 0 {
			return nil, value.BadValue("$not cannot be empty")
		}
		return &notNode{nodes: nodes}, nil
	default:
		return nil, value.BadValue("$not needs a regex or a document")
	}
}

func (p *parser) elemMatch(e element) (valueNode, error) {
	if e.Type != bson.TypeEmbeddedDocument {
		return nil, value.BadValue("$elemMatch needs an Object")
	}
	list := elements(e.Value)
	if isOperators(e.Value) {
		switch list[0].key {
		case "$and", "$or", "$nor", "$where", "$expr", "$comment":
		default:
			nodes, err := p.operators(e.Value)
			if err != nil {
				return nil, err
			}
			return &predNode{pred: &elemValue{nodes}, whole: true}, nil
		}
	}
	top := p.top
	p.top = false
	and, err := p.document(e.Value)
	p.top = top
	if err != nil {
		return nil, err
	}
	return &predNode{pred: &elemDocument{and}, whole: true}, nil
}

func (p *parser) all(e element) (valueNode, error) {
	if e.Type != bson.TypeArray {
		return nil, value.BadValue("$all needs an array")
	}
	out := &allNode{}
	elems := 0
	list := elements(e.Value)
	for _, v := range list {
		n, err := p.allEntry(v)
		if err != nil {
			return nil, err
		}
		if v.Type == bson.TypeEmbeddedDocument && isOperators(v.Value) {
			elems++
		}
		out.nodes = append(out.nodes, n)
	}
	if elems != 0 && elems != len(list) {
		return nil, value.BadValue("$all/$elemMatch has to be consistent")
	}
	return out, nil
}

func (p *parser) allEntry(v element) (valueNode, error) {
	switch {
	case v.Type == bson.TypeRegex:
		r, err := regexOfValue(v.RawValue)
		return pred(r, err)
	case v.Type == bson.TypeEmbeddedDocument && isOperators(v.Value):
		list := elements(v.Value)
		if list[0].key != "$elemMatch" {
			return nil, value.BadValue("no $ expressions in $all")
		}
		if len(list) != 1 {
			return nil, value.BadValue("$all/$elemMatch has to be consistent")
		}
		return p.elemMatch(list[0])
	case v.Type == bson.TypeUndefined:
		return nil, value.BadValue("cannot compare to undefined")
	default:
		return &predNode{pred: newCompare(Eq, v.RawValue)}, nil
	}
}

func parseModulo(e element) (predicate, error) {
	if e.Type != bson.TypeArray {
		return nil, value.BadValue("malformed mod, needs to be an array")
	}
	list := elements(e.Value)
	if len(list) != 2 {
		return nil, value.BadValue("malformed mod, needs two elements")
	}
	divisor, ok := value.Truncated(list[0].RawValue)
	if !ok {
		return nil, value.BadValue("malformed mod, divisor value is invalid")
	}
	remainder, ok := value.Truncated(list[1].RawValue)
	if !ok {
		return nil, value.BadValue("malformed mod, remainder value is invalid")
	}
	if divisor == 0 {
		return nil, value.BadValue("divisor cannot be 0")
	}
	return modulo{divisor, remainder}, nil
}

func parseBits(kind int, e element) (predicate, error) {
	switch {
	case value.IsNumber(e.Type):
		n, ok := value.Whole(e.RawValue)
		if !ok || n < 0 {
			return nil, value.FailedToParse("%s takes a non-negative integer", e.key)
		}
		return &bits{kind, positionsOfInt(n)}, nil
	case e.Type == bson.TypeBinary:
		return &bits{kind, positionsOfBytes(e.Value[5:])}, nil
	case e.Type == bson.TypeArray:
		m := &bits{kind: kind}
		for _, v := range elements(e.Value) {
			n, ok := value.Whole(v.RawValue)
			if !ok || n < 0 || n > math.MaxInt32 {
				return nil, value.BadValue("bit positions must be non-negative 32-bit integers")
			}
			m.positions = append(m.positions, int(n))
		}
		return m, nil
	default:
		return nil, value.BadValue("%s takes an Array, a number, or a BinData", e.key)
	}
}
