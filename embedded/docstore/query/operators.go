package query

import (
	"maps"
	"slices"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// The operators that are served: those on whole documents, and those on the value
// of a field. What is not here is refused. They are filled in by init, since the
// operators with conditions inside come back to them.
var (
	topOperators   map[string]func(p *parser, and *andNode, e element) error
	fieldOperators map[string]func(p *parser, e element, all []element) (valueNode, error)
)

// Operators names the operators on whole documents and those on fields.
func Operators() (top, field []string) {
	return slices.Sorted(maps.Keys(topOperators)), slices.Sorted(maps.Keys(fieldOperators))
}

func init() {
	topOperators = map[string]func(*parser, *andNode, element) error{
		"$and": (*parser).logical, "$or": (*parser).logical, "$nor": (*parser).logical,
		"$expr":       (*parser).expression,
		"$comment":    func(*parser, *andNode, element) error { return nil },
		"$alwaysTrue": (*parser).constant, "$alwaysFalse": (*parser).constant,
	}
	fieldOperators = map[string]func(*parser, element, []element) (valueNode, error){
		"$eq": compares(Eq), "$gt": compares(Gt), "$gte": compares(Gte), "$lt": compares(Lt), "$lte": compares(Lte),
		"$ne": func(_ *parser, e element, _ []element) (valueNode, error) { return negate(comparison(Eq, e)) },
		"$in": tests(inList),
		"$nin": func(_ *parser, e element, _ []element) (valueNode, error) {
			return negate(pred(inList(e)))
		},
		"$exists":     existence,
		"$type":       tests(typeSet),
		"$not":        func(p *parser, e element, _ []element) (valueNode, error) { return p.not(e) },
		"$elemMatch":  func(p *parser, e element, _ []element) (valueNode, error) { return p.elemMatch(e) },
		"$all":        func(p *parser, e element, _ []element) (valueNode, error) { return p.all(e) },
		"$size":       sizeOf,
		"$mod":        tests(parseModulo),
		"$regex":      func(_ *parser, e element, all []element) (valueNode, error) { return regexOperator(e, all) },
		"$options":    func(_ *parser, e element, all []element) (valueNode, error) { return regexOperator(e, all) },
		"$bitsAllSet": bitTest(allSet), "$bitsAllClear": bitTest(allClear),
		"$bitsAnySet": bitTest(anySet), "$bitsAnyClear": bitTest(anyClear),
	}
}

type fieldOperator = func(*parser, element, []element) (valueNode, error)

func compares(op Op) fieldOperator {
	return func(_ *parser, e element, _ []element) (valueNode, error) { return comparison(op, e) }
}

func tests(f func(element) (predicate, error)) fieldOperator {
	return func(_ *parser, e element, _ []element) (valueNode, error) { return pred(f(e)) }
}

func bitTest(kind int) fieldOperator {
	return tests(func(e element) (predicate, error) { return parseBits(kind, e) })
}

func existence(_ *parser, e element, _ []element) (valueNode, error) {
	if value.Truthy(e.RawValue) {
		return &predNode{pred: exists{}}, nil
	}
	return negate(&predNode{pred: exists{}}, nil)
}

func sizeOf(_ *parser, e element, _ []element) (valueNode, error) {
	n, ok := value.Whole(e.RawValue)
	if !ok || n < 0 {
		return nil, value.BadValue("Failed to parse $size. Expected a non-negative integer")
	}
	return &predNode{pred: size(n), whole: true}, nil
}
