package value

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func f64(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }

// compareNumbers compares exactly, without going through a common type that
// would round.
func compareNumbers(ta bson.Type, a []byte, tb bson.Type, b []byte) int {
	if ta == bson.TypeDecimal128 || tb == bson.TypeDecimal128 {
		return toDecimalExact(ta, a).compare(toDecimalExact(tb, b))
	}
	if ta == bson.TypeDouble {
		if tb == bson.TypeDouble {
			return cmp.Compare(f64(a), f64(b)) // NaN equals NaN and is lowest
		}
		return -compareIntFloat(integer(tb, b), f64(a))
	}
	if tb == bson.TypeDouble {
		return compareIntFloat(integer(ta, a), f64(b))
	}
	return cmp.Compare(integer(ta, a), integer(tb, b))
}

func integer(t bson.Type, b []byte) int64 {
	if t == bson.TypeInt32 {
		return int64(i32(b))
	}
	return i64(b)
}

func compareIntFloat(i int64, f float64) int {
	switch {
	case math.IsNaN(f):
		return 1
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(0, f-whole)
}

func isZero(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return integer(v.Type, v.Value) == 0
	case bson.TypeDouble:
		return f64(v.Value) == 0
	case bson.TypeDecimal128:
		return toDecimalExact(v.Type, v.Value).isZero()
	default:
		return false
	}
}

// Int64 is the value of an int32 or int64.
func Int64(v bson.RawValue) int64 { return integer(v.Type, v.Value) }

// Whole gives a number that is integral and fits in int64; false for any other
// value.
func Whole(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return integer(v.Type, v.Value), true
	case bson.TypeDouble:
		f := f64(v.Value)
		if f != math.Trunc(f) || f >= 1<<63 || f < -(1<<63) {
			return 0, false
		}
		return int64(f), true
	case bson.TypeDecimal128:
		d := toDecimalExact(v.Type, v.Value)
		i, exact := d.truncate()
		if !exact || !i.IsInt64() {
			return 0, false
		}
		return i.Int64(), true
	default:
		return 0, false
	}
}

// Truncated gives a number cut to an integer; false for NaN, an infinity,
// numbers beyond int64 and other types.
func Truncated(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return integer(v.Type, v.Value), true
	case bson.TypeDouble:
		f := math.Trunc(f64(v.Value))
		if math.IsNaN(f) || f >= 1<<63 || f < -(1<<63) {
			return 0, false
		}
		return int64(f), true
	case bson.TypeDecimal128:
		d := toDecimalExact(v.Type, v.Value)
		if d.form != finite {
			return 0, false
		}
		i, _ := d.truncate()
		if !i.IsInt64() {
			return 0, false
		}
		return i.Int64(), true
	default:
		return 0, false
	}
}

// IsNaN tells if v is a number that is not a number.
func IsNaN(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsNaN(f64(v.Value))
	case bson.TypeDecimal128:
		return toDecimalExact(v.Type, v.Value).form == nan
	default:
		return false
	}
}

// Float is a number as a double, rounded if need be.
func Float(v bson.RawValue) float64 {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return float64(integer(v.Type, v.Value))
	case bson.TypeDouble:
		return f64(v.Value)
	case bson.TypeDecimal128:
		return toDecimalExact(v.Type, v.Value).float()
	default:
		return 0
	}
}

// The constructors of encoded values.

// OfInt32 encodes an int32.
func OfInt32(i int32) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt32, Value: binary.LittleEndian.AppendUint32(nil, uint32(i))} //nolint:gosec // two's complement
}

// OfInt64 encodes an int64.
func OfInt64(i int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(i))} //nolint:gosec // two's complement
}

// OfDouble encodes a double.
func OfDouble(f float64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeDouble, Value: binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))}
}

// OfBool encodes a boolean.
func OfBool(b bool) bson.RawValue {
	if b {
		return bson.RawValue{Type: bson.TypeBoolean, Value: []byte{1}}
	}
	return bson.RawValue{Type: bson.TypeBoolean, Value: []byte{0}}
}

// OfString encodes a string.
func OfString(s string) bson.RawValue {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, len(s)+5), uint32(len(s)+1)) //nolint:gosec // bounded by the size of a document
	return bson.RawValue{Type: bson.TypeString, Value: append(append(b, s...), 0)}
}

// OfDate encodes a date from milliseconds since 1970.
func OfDate(ms int64) bson.RawValue {
	v := OfInt64(ms)
	v.Type = bson.TypeDateTime
	return v
}

// Null is the null value.
func Null() bson.RawValue { return bson.RawValue{Type: bson.TypeNull} }

// widest is the type of the result of arithmetic on two numbers.
func widest(a, b bson.Type) bson.Type {
	for _, t := range [...]bson.Type{bson.TypeDecimal128, bson.TypeDouble, bson.TypeInt64} {
		if a == t || b == t {
			return t
		}
	}
	return bson.TypeInt32
}

// Add adds two numbers. An int32 that overflows becomes an int64; an int64 that
// overflows becomes a double when widen is set and is refused (ok false) when not.
func Add(a, b bson.RawValue, widen bool) (sum bson.RawValue, ok bool) {
	return arithmetic(a, b, widen, (*big.Int).Add, func(x, y float64) float64 { return x + y }, decimal.add)
}

// Sub subtracts b from a, with the overflow rules of Add.
func Sub(a, b bson.RawValue, widen bool) (diff bson.RawValue, ok bool) {
	return arithmetic(a, b, widen, (*big.Int).Sub, func(x, y float64) float64 { return x - y },
		func(x, y decimal) decimal { return x.add(y.negated()) })
}

// Mul multiplies two numbers, with the overflow rules of Add.
func Mul(a, b bson.RawValue, widen bool) (product bson.RawValue, ok bool) {
	return arithmetic(a, b, widen, (*big.Int).Mul, func(x, y float64) float64 { return x * y }, decimal.mul)
}

func arithmetic(a, b bson.RawValue, widen bool, ints func(z, x, y *big.Int) *big.Int,
	floats func(x, y float64) float64, decimals func(x, y decimal) decimal,
) (bson.RawValue, bool) {
	t := widest(a.Type, b.Type)
	switch t {
	case bson.TypeDecimal128:
		return decimals(toDecimal(a), toDecimal(b)).encode(), true
	case bson.TypeDouble:
		return OfDouble(floats(Float(a), Float(b))), true
	default:
	}
	r := ints(new(big.Int), big.NewInt(Int64(a)), big.NewInt(Int64(b)))
	switch {
	case !r.IsInt64() && widen:
		return OfDouble(floats(Float(a), Float(b))), true
	case !r.IsInt64():
		return bson.RawValue{}, false
	case t == bson.TypeInt32 && r.Int64() == int64(int32(r.Int64())): //nolint:gosec // the test is for truncation
		return OfInt32(int32(r.Int64())), true //nolint:gosec // tested above
	default:
		return OfInt64(r.Int64()), true
	}
}
