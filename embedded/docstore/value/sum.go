package value

import (
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Quo divides two numbers: the result is a double, or a decimal if either is
// one; false for a zero divisor.
func Quo(a, b bson.RawValue) (bson.RawValue, bool) {
	if isZero(b) {
		return bson.RawValue{}, false
	}
	if a.Type != bson.TypeDecimal128 && b.Type != bson.TypeDecimal128 {
		return OfDouble(Float(a) / Float(b)), true
	}
	return toDecimal(a).divide(toDecimal(b)).encode(), true
}

func (d decimal) divide(o decimal) decimal {
	switch {
	case d.form == finite && o.form == finite:
		return d.quo(o)
	case d.form == nan || o.form == nan || d.form != finite && o.form != finite:
		return decimal{form: nan}
	case o.form != finite:
		return decimal{form: finite, coef: new(big.Int), exp: decimalMinExp, neg: (d.sign() < 0) != (o.sign() < 0)}
	case d.sign()*signOf(o) < 0:
		return decimal{form: negInf}
	default:
		return decimal{form: posInf}
	}
}

func signOf(d decimal) int {
	if d.neg || d.form == negInf {
		return -1
	}
	return 1
}

// Sum adds up numbers as $sum and $avg do: integers exactly, doubles with the
// rounding errors carried along, decimals beside them. Other values are ignored.
type Sum struct {
	count    int64
	widest   bson.Type
	ints     big.Int
	sum, err float64 // all but decimals
	plain    float64 // without compensation, for infinities
	dec      decimal
	hasDec   bool
}

// Add takes a value in.
func (s *Sum) Add(v bson.RawValue) {
	if !IsNumber(v.Type) {
		return
	}
	if s.count == 0 {
		s.widest = v.Type
	}
	s.count++
	s.widest = widest(s.widest, v.Type)
	switch v.Type {
	case bson.TypeDecimal128:
		if !s.hasDec {
			s.dec, s.hasDec = fromInt(0), true
		}
		s.dec = s.dec.add(toDecimal(v))
	case bson.TypeDouble:
		s.float(Float(v))
	default:
		n := Int64(v)
		s.ints.Add(&s.ints, big.NewInt(n))
		high := float64(n)
		s.float(high)
		if r := new(big.Int).Sub(big.NewInt(n), intOf(high)); r.Sign() != 0 {
			s.float(float64(r.Int64()))
		}
	}
}

func intOf(f float64) *big.Int {
	i, _ := big.NewFloat(f).Int(nil)
	return i
}

// float is one step of Knuth's TwoSum.
func (s *Sum) float(x float64) {
	s.plain += x
	t := s.sum + x
	b := t - s.sum
	s.err += (s.sum - (t - b)) + (x - b)
	s.sum = t
}

func (s *Sum) double() float64 {
	if r := s.sum + s.err; !math.IsNaN(r) {
		return r
	}
	return s.plain
}

func (s *Sum) decimal() decimal {
	d := s.dec
	if math.IsInf(s.plain, 0) || math.IsNaN(s.plain) {
		v := OfDouble(s.plain)
		return d.add(toDecimalExact(v.Type, v.Value))
	}
	if s.sum != 0 || s.err != 0 {
		for _, f := range [...]float64{s.sum, s.err} {
			v := OfDouble(f)
			d = d.add(toDecimalExact(v.Type, v.Value).shortest())
		}
	}
	return d
}

// shortest fits a decimal into 34 digits without zeros at the end of a fraction.
func (d decimal) shortest() decimal {
	if d.form != finite {
		return d
	}
	for d.exp < 0 {
		var q, rem big.Int
		if q.QuoRem(d.coef, bigTen, &rem); rem.Sign() != 0 {
			break
		}
		d.coef, d.exp = &q, d.exp+1
	}
	return d.rounded()
}

// Total is the sum in the widest of the types; an int32 0 without numbers.
func (s *Sum) Total() bson.RawValue {
	switch {
	case s.count == 0:
		return OfInt32(0)
	case s.widest == bson.TypeDecimal128:
		return s.decimal().encode()
	case s.widest == bson.TypeDouble:
		return OfDouble(s.double())
	case !s.ints.IsInt64():
		f, _ := new(big.Float).SetInt(&s.ints).Float64()
		return OfDouble(f)
	case s.widest == bson.TypeInt32 && s.ints.Int64() == int64(int32(s.ints.Int64())): //nolint:gosec // the test is for truncation
		return OfInt32(int32(s.ints.Int64())) //nolint:gosec // tested above
	default:
		return OfInt64(s.ints.Int64())
	}
}

// Mean is the average; null without numbers.
func (s *Sum) Mean() bson.RawValue {
	switch {
	case s.count == 0:
		return Null()
	case s.widest == bson.TypeDecimal128:
		return s.decimal().divide(fromInt(s.count)).encode()
	default:
		return OfDouble(s.double() / float64(s.count))
	}
}

// AppendKey appends bytes that are the same for values that are Equal, and only
// for those. They have no order.
func AppendKey(b []byte, v bson.RawValue) []byte {
	b = append(b, byte(Class(v.Type)+1)) //nolint:gosec // small
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return appendNumberKey(b, v)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		for _, f := range Fields(v.Value) {
			b = append(b, 1)
			if v.Type == bson.TypeEmbeddedDocument {
				b = append(append(b, f.Key...), 0)
			}
			b = AppendKey(b, f.RawValue)
		}
		return append(b, 0)
	case bson.TypeSymbol, bson.TypeString:
		b = binary.BigEndian.AppendUint32(b, uint32(len(v.Value))) //nolint:gosec // bounded by the size of a document
		return append(b, strBytes(v.Value)...)
	case bson.TypeCodeWithScope:
		n := stringSize(v.Value[4:])
		b = binary.BigEndian.AppendUint32(b, uint32(n)) //nolint:gosec // bounded by the size of a document
		b = append(b, v.Value[8:3+n]...)
		return AppendKey(b, OfDoc(v.Value[4+n:]))
	default:
		b = binary.BigEndian.AppendUint32(b, uint32(len(v.Value))) //nolint:gosec // bounded by the size of a document
		return append(b, v.Value...)
	}
}

// appendNumberKey: integers by value, other doubles by their bits, and the
// decimals that are neither by their shortest form.
func appendNumberKey(b []byte, v bson.RawValue) []byte {
	if n, ok := Whole(v); ok {
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(n)) //nolint:gosec // two's complement
	}
	f := Float(v)
	switch {
	case math.IsNaN(f):
		return append(b, 'n')
	case v.Type == bson.TypeDouble, Equal(v, OfDouble(f)):
		return binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(f))
	}
	d := toDecimalExact(v.Type, v.Value)
	digits, exp := d.signed().String(), d.exp
	for len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits, exp = digits[:len(digits)-1], exp+1
	}
	b = append(append(append(b, 'd'), digits...), 'e')
	return binary.BigEndian.AppendUint32(b, uint32(exp)) //nolint:gosec // two's complement
}
