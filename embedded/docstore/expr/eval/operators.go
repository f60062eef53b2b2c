package eval

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// operator is an operator and how many arguments it takes.
type operator struct {
	low, high int
	f         func(c *context, args []node) (bson.RawValue, error)
}

const many = math.MaxInt

var operators = map[string]operator{
	"$and":          {0, many, all},
	"$or":           {0, many, anyOf},
	"$not":          {1, 1, strict(not)},
	"$eq":           {2, 2, comparison(func(c int) bool { return c == 0 })},
	"$ne":           {2, 2, comparison(func(c int) bool { return c != 0 })},
	"$gt":           {2, 2, comparison(func(c int) bool { return c > 0 })},
	"$gte":          {2, 2, comparison(func(c int) bool { return c >= 0 })},
	"$lt":           {2, 2, comparison(func(c int) bool { return c < 0 })},
	"$lte":          {2, 2, comparison(func(c int) bool { return c <= 0 })},
	"$cmp":          {2, 2, strict(compare)},
	"$ifNull":       {2, many, ifNull},
	"$add":          {0, many, strict(add)},
	"$subtract":     {2, 2, strict(subtract)},
	"$multiply":     {0, many, strict(multiply)},
	"$divide":       {2, 2, strict(divide)},
	"$mod":          {2, 2, strict(mod)},
	"$concat":       {0, many, strict(concat)},
	"$toLower":      {1, 1, strict(toLower)},
	"$toUpper":      {1, 1, strict(toUpper)},
	"$size":         {1, 1, strict(size)},
	"$in":           {2, 2, strict(in)},
	"$arrayElemAt":  {2, 2, strict(arrayElemAt)},
	"$concatArrays": {0, many, strict(concatArrays)},
	"$mergeObjects": {0, many, strict(mergeObjects)},
	"$isArray":      {1, 1, strict(isArray)},
	"$type":         {1, 1, strict(typeOf)},
	"$setIsSubset":  {2, 2, strict(setIsSubset)},
	"$setUnion":     {0, many, strict(setUnion)},
}

type function func(args []bson.RawValue) (bson.RawValue, error)

// strict evaluates all arguments first.
func strict(f function) func(*context, []node) (bson.RawValue, error) {
	return func(c *context, args []node) (bson.RawValue, error) {
		list, err := evalAll(args, c)
		if err != nil {
			return bson.RawValue{}, err
		}
		return f(list)
	}
}

func fail(code int32, format string, args ...any) (bson.RawValue, error) {
	return bson.RawValue{}, value.Errorf(code, format, args...)
}

func all(c *context, args []node) (bson.RawValue, error) { return logic(c, args, false) }

func anyOf(c *context, args []node) (bson.RawValue, error) { return logic(c, args, true) }

func logic(c *context, args []node, stop bool) (bson.RawValue, error) {
	for _, a := range args {
		v, err := a.eval(c)
		if err != nil {
			return v, err
		}
		if value.Truthy(v) == stop {
			return value.OfBool(stop), nil
		}
	}
	return value.OfBool(!stop), nil
}

func not(a []bson.RawValue) (bson.RawValue, error) { return value.OfBool(!value.Truthy(a[0])), nil }

func comparison(holds func(int) bool) func(*context, []node) (bson.RawValue, error) {
	return strict(func(a []bson.RawValue) (bson.RawValue, error) {
		return value.OfBool(holds(value.Compare(a[0], a[1]))), nil
	})
}

func compare(a []bson.RawValue) (bson.RawValue, error) {
	return value.OfInt32(int32(value.Compare(a[0], a[1]))), nil //nolint:gosec // -1, 0 or 1
}

func ifNull(c *context, args []node) (bson.RawValue, error) {
	for i, a := range args {
		v, err := a.eval(c)
		if err != nil || !value.Nullish(v) || i == len(args)-1 {
			return v, err
		}
	}
	return bson.RawValue{}, nil
}

// add adds numbers and at most one date.
func add(a []bson.RawValue) (bson.RawValue, error) {
	sum := value.OfInt32(0)
	date := false
	null := false
	for _, v := range a {
		switch {
		case value.Nullish(v):
			null = true
			continue
		case v.Type == bson.TypeDateTime:
			if date {
				return fail(16612, "only one date allowed in an $add expression")
			}
			date = true
			v.Type = bson.TypeInt64
		case !value.IsNumber(v.Type):
			return fail(value.CodeTypeMismatch, "$add only supports numeric or date types, not %s", value.TypeName(v.Type))
		}
		sum, _ = value.Add(sum, v, true)
	}
	switch {
	case null:
		return value.Null(), nil
	case date:
		return toDate(sum)
	default:
		return sum, nil
	}
}

func toDate(v bson.RawValue) (bson.RawValue, error) {
	ms, ok := rounded(v)
	if !ok {
		return fail(value.CodeOverflow, "date overflow")
	}
	return value.OfDate(ms), nil
}

// rounded is a number as int64; a fraction is rounded half away from zero.
func rounded(v bson.RawValue) (int64, bool) {
	if v.Type == bson.TypeDouble {
		v = value.OfDouble(math.Round(value.Float(v)))
	}
	return value.Whole(v)
}

func subtract(a []bson.RawValue) (bson.RawValue, error) {
	x, y := a[0], a[1]
	switch {
	case value.Nullish(x) || value.Nullish(y):
		return value.Null(), nil
	case value.IsNumber(x.Type) && value.IsNumber(y.Type):
		v, _ := value.Sub(x, y, true)
		return v, nil
	case x.Type == bson.TypeDateTime && y.Type == bson.TypeDateTime:
		x.Type, y.Type = bson.TypeInt64, bson.TypeInt64
		v, ok := value.Sub(x, y, false)
		if !ok {
			return fail(value.CodeOverflow, "date overflow")
		}
		return v, nil
	case x.Type == bson.TypeDateTime && value.IsNumber(y.Type):
		ms, ok := rounded(y)
		if !ok {
			return fail(value.CodeOverflow, "date overflow")
		}
		x.Type = bson.TypeInt64
		v, ok := value.Sub(x, value.OfInt64(ms), false)
		if !ok {
			return fail(value.CodeOverflow, "date overflow")
		}
		return toDate(v)
	default:
		return fail(value.CodeTypeMismatch, "can't $subtract %s from %s", value.TypeName(y.Type), value.TypeName(x.Type))
	}
}

func multiply(a []bson.RawValue) (bson.RawValue, error) {
	product := value.OfInt32(1)
	null := false
	for _, v := range a {
		if value.Nullish(v) {
			null = true
			continue
		}
		if !value.IsNumber(v.Type) {
			return fail(value.CodeTypeMismatch, "$multiply only supports numeric types, not %s", value.TypeName(v.Type))
		}
		product, _ = value.Mul(product, v, true)
	}
	if null {
		return value.Null(), nil
	}
	return product, nil
}

func divide(a []bson.RawValue) (bson.RawValue, error) {
	switch {
	case value.IsNumber(a[0].Type) && value.IsNumber(a[1].Type):
		v, ok := value.Quo(a[0], a[1])
		if !ok {
			return fail(value.CodeBadValue, "can't $divide by zero")
		}
		return v, nil
	case value.Nullish(a[0]) || value.Nullish(a[1]):
		return value.Null(), nil
	default:
		return fail(value.CodeTypeMismatch, "$divide only supports numeric types, not %s and %s", value.TypeName(a[0].Type), value.TypeName(a[1].Type))
	}
}

func mod(a []bson.RawValue) (bson.RawValue, error) {
	x, y := a[0], a[1]
	switch {
	case value.Nullish(x) || value.Nullish(y):
		return value.Null(), nil
	case !value.IsNumber(x.Type) || !value.IsNumber(y.Type):
		return fail(16611, "$mod only supports numeric types, not %s and %s", value.TypeName(x.Type), value.TypeName(y.Type))
	case !value.Truthy(y):
		return fail(16610, "can't $mod by zero")
	case x.Type == bson.TypeDecimal128 || y.Type == bson.TypeDecimal128:
		return fail(value.CodeNotImplemented, "$mod of decimals is not supported")
	case x.Type == bson.TypeDouble || y.Type == bson.TypeDouble:
		return value.OfDouble(math.Mod(value.Float(x), value.Float(y))), nil
	}
	r := int64(0)
	if n := value.Int64(y); n != -1 {
		r = value.Int64(x) % n
	}
	if x.Type == bson.TypeInt32 && y.Type == bson.TypeInt32 {
		return value.OfInt32(int32(r)), nil // both sides have 32 bits
	}
	return value.OfInt64(r), nil
}

func concat(a []bson.RawValue) (bson.RawValue, error) {
	var b strings.Builder
	for _, v := range a {
		if value.Nullish(v) {
			return value.Null(), nil
		}
		if v.Type != bson.TypeString {
			return fail(16702, "$concat only supports strings, not %s", value.TypeName(v.Type))
		}
		b.WriteString(value.Str(v))
	}
	return value.OfString(b.String()), nil
}

func toLower(a []bson.RawValue) (bson.RawValue, error) { return mapASCII(a[0], 'A', 'Z') }

func toUpper(a []bson.RawValue) (bson.RawValue, error) { return mapASCII(a[0], 'a', 'z') }

// mapASCII changes the case of the ASCII letters from low to high only, as
// MongoDB does.
func mapASCII(v bson.RawValue, low, high byte) (bson.RawValue, error) {
	switch v.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return value.OfString(""), nil
	case bson.TypeInt32, bson.TypeInt64:
		return value.OfString(strconv.FormatInt(value.Int64(v), 10)), nil
	case bson.TypeString:
		b := []byte(value.Str(v))
		for i, c := range b {
			if c >= low && c <= high {
				b[i] = c ^ ('a' - 'A') // the cases differ in one bit
			}
		}
		return value.OfString(string(b)), nil
	default:
		return fail(16007, "can't convert from BSON type %s to String", value.TypeName(v.Type))
	}
}

func size(a []bson.RawValue) (bson.RawValue, error) {
	if a[0].Type != bson.TypeArray {
		return fail(17124, "The argument to $size must be an array, but was of type: %s", value.TypeName(a[0].Type))
	}
	return value.OfInt32(int32(len(value.Elements(a[0].Value)))), nil //nolint:gosec // bounded by the size of a document
}

func in(a []bson.RawValue) (bson.RawValue, error) {
	if a[1].Type != bson.TypeArray {
		return fail(40081, "$in requires an array as a second argument, found: %s", value.TypeName(a[1].Type))
	}
	return value.OfBool(contains(value.Elements(a[1].Value), a[0])), nil
}

func contains(list []bson.RawValue, v bson.RawValue) bool {
	return slices.ContainsFunc(list, func(o bson.RawValue) bool { return value.Equal(o, v) })
}

func arrayElemAt(a []bson.RawValue) (bson.RawValue, error) {
	switch {
	case value.Nullish(a[0]) || value.Nullish(a[1]):
		return value.Null(), nil
	case a[0].Type != bson.TypeArray:
		return fail(28689, "$arrayElemAt's first argument must be an array, but is %s", value.TypeName(a[0].Type))
	case !value.IsNumber(a[1].Type):
		return fail(28690, "$arrayElemAt's second argument must be a numeric value, but is %s", value.TypeName(a[1].Type))
	}
	i, ok := value.Whole(a[1])
	if !ok || i != int64(int32(i)) { //nolint:gosec // the test is for truncation
		return fail(28691, "$arrayElemAt's second argument must be representable as a 32-bit integer")
	}
	list := value.Elements(a[0].Value)
	if i < 0 {
		i += int64(len(list))
	}
	if i < 0 || i >= int64(len(list)) {
		return bson.RawValue{}, nil
	}
	return list[i], nil
}

func concatArrays(a []bson.RawValue) (bson.RawValue, error) {
	var out []bson.RawValue
	for _, v := range a {
		if value.Nullish(v) {
			return value.Null(), nil
		}
		if v.Type != bson.TypeArray {
			return fail(28664, "$concatArrays only supports arrays, not %s", value.TypeName(v.Type))
		}
		out = append(out, value.Elements(v.Value)...)
	}
	return value.OfArray(out), nil
}

func mergeObjects(a []bson.RawValue) (bson.RawValue, error) {
	var out []value.Field
	for _, v := range a {
		if value.Nullish(v) {
			continue
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return fail(40400, "$mergeObjects requires object inputs, but input is of type %s", value.TypeName(v.Type))
		}
		for _, f := range value.Fields(v.Value) {
			i := slices.IndexFunc(out, func(o value.Field) bool { return o.Key == f.Key })
			if i < 0 {
				out = append(out, f)
			} else {
				out[i] = f
			}
		}
	}
	return value.OfDoc(value.OfFields(out)), nil
}

func isArray(a []bson.RawValue) (bson.RawValue, error) {
	return value.OfBool(a[0].Type == bson.TypeArray), nil
}

func typeOf(a []bson.RawValue) (bson.RawValue, error) {
	return value.OfString(value.TypeName(a[0].Type)), nil
}

func setIsSubset(a []bson.RawValue) (bson.RawValue, error) {
	if a[0].Type != bson.TypeArray {
		return fail(17046, "both operands of $setIsSubset must be arrays. First argument is of type: %s", value.TypeName(a[0].Type))
	}
	if a[1].Type != bson.TypeArray {
		return fail(17042, "both operands of $setIsSubset must be arrays. Second argument is of type: %s", value.TypeName(a[1].Type))
	}
	set := value.Elements(a[1].Value)
	for _, v := range value.Elements(a[0].Value) {
		if !contains(set, v) {
			return value.OfBool(false), nil
		}
	}
	return value.OfBool(true), nil
}

// setUnion gives the elements of all arrays, each once. MongoDB leaves the
// order open; ours is that of comparison.
func setUnion(a []bson.RawValue) (bson.RawValue, error) {
	var out []bson.RawValue
	for _, v := range a {
		if value.Nullish(v) {
			return value.Null(), nil
		}
		if v.Type != bson.TypeArray {
			return fail(17043, "All operands of $setUnion must be arrays. One argument is of type: %s", value.TypeName(v.Type))
		}
		out = append(out, value.Elements(v.Value)...)
	}
	slices.SortStableFunc(out, value.Compare)
	return value.OfArray(slices.CompactFunc(out, value.Equal)), nil
}
