package value

import (
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The kinds of decimal, in their order.
const (
	nan = iota
	negInf
	finite
	posInf
)

// The limits of IEEE 754-2008 decimal128.
const (
	decimalDigits = 34
	decimalMaxExp = 6111
	decimalMinExp = -6176
)

// decimal is coef × 10^exp, or one of the special values. A negative zero has
// neg set and a zero coef.
type decimal struct {
	form int
	neg  bool
	coef *big.Int // never negative
	exp  int
}

var (
	bigTen = big.NewInt(10)
	limit  = new(big.Int).Exp(bigTen, big.NewInt(decimalDigits), nil)
)

func pow10(n int) *big.Int { return new(big.Int).Exp(bigTen, big.NewInt(int64(n)), nil) }

func fromInt(i int64) decimal {
	c := big.NewInt(i)
	return decimal{form: finite, neg: i < 0, coef: c.Abs(c)}
}

// fromDecimal128 reads the encoded form. A coefficient of more than 34 digits
// is not canonical and means zero (IEEE 754-2008, 3.5.2).
func fromDecimal128(b []byte) decimal {
	low, high := uint64(i64(b)), uint64(i64(b[8:])) //nolint:gosec // two's complement
	neg := high>>63 != 0
	switch high >> 58 & 0x1f {
	case 0x1f:
		return decimal{form: nan}
	case 0x1e:
		if neg {
			return decimal{form: negInf}
		}
		return decimal{form: posInf}
	}
	coef := new(big.Int)
	exp := int(high>>49&0x3fff) + decimalMinExp
	if high>>61&3 == 3 {
		exp = int(high>>47&0x3fff) + decimalMinExp
	} else {
		coef.SetUint64(high & (1<<49 - 1))
		coef.Lsh(coef, 64)
		coef.Or(coef, new(big.Int).SetUint64(low))
		if coef.Cmp(limit) >= 0 {
			coef.SetInt64(0)
		}
	}
	return decimal{form: finite, neg: neg, coef: coef, exp: exp}
}

func special(f float64) (decimal, bool) {
	switch {
	case math.IsNaN(f):
		return decimal{form: nan}, true
	case math.IsInf(f, 1):
		return decimal{form: posInf}, true
	case math.IsInf(f, -1):
		return decimal{form: negInf}, true
	case f == 0:
		return decimal{form: finite, neg: math.Signbit(f), coef: new(big.Int)}, true
	default:
		return decimal{}, false
	}
}

// toDecimalExact gives the exact value of a number, of any length.
func toDecimalExact(t bson.Type, b []byte) decimal {
	switch t {
	case bson.TypeDecimal128:
		return fromDecimal128(b)
	case bson.TypeDouble:
		f := f64(b)
		if d, ok := special(f); ok {
			return d
		}
		frac, e := math.Frexp(math.Abs(f))
		coef, e := big.NewInt(int64(frac*(1<<53))), e-53
		d := decimal{form: finite, neg: f < 0, coef: coef}
		if e >= 0 {
			coef.Lsh(coef, uint(e))
			return d
		}
		// c × 2^e = c × 5^-e × 10^e
		coef.Mul(coef, new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(-e)), nil))
		d.exp = e
		return d
	default:
		return fromInt(integer(t, b))
	}
}

// toDecimal converts for arithmetic: MongoDB rounds a double to 15 significant
// digits, and keeps all 15.
func toDecimal(v bson.RawValue) decimal {
	if v.Type != bson.TypeDouble {
		return toDecimalExact(v.Type, v.Value)
	}
	f := f64(v.Value)
	if d, ok := special(f); ok {
		return d
	}
	mant, exp, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'e', 14, 64), "e")
	e, _ := strconv.Atoi(exp)
	c, _ := strconv.ParseInt(strings.Replace(mant, ".", "", 1), 10, 64)
	d := fromInt(c)
	d.neg, d.exp = f < 0, e-14
	return d
}

func (d decimal) isZero() bool { return d.form == finite && d.coef.Sign() == 0 }

func (d decimal) negated() decimal {
	switch d.form {
	case negInf:
		d.form = posInf
	case posInf:
		d.form = negInf
	}
	d.neg = !d.neg
	return d
}

func (d decimal) sign() int {
	switch {
	case d.form == negInf:
		return -1
	case d.form == posInf:
		return 1
	case d.form == nan || d.coef.Sign() == 0:
		return 0
	case d.neg:
		return -1
	default:
		return 1
	}
}

func (d decimal) compare(o decimal) int {
	if d.form != finite || o.form != finite {
		return cmp.Compare(d.form, o.form)
	}
	s := d.sign()
	if c := cmp.Compare(s, o.sign()); c != 0 || s == 0 {
		return c
	}
	// The number of digits before the point settles all but close calls
	// without a long multiplication.
	if c := cmp.Compare(len(d.coef.String())+d.exp, len(o.coef.String())+o.exp); c != 0 {
		return c * s
	}
	x, y := d.coef, o.coef
	if d.exp > o.exp {
		x = new(big.Int).Mul(x, pow10(d.exp-o.exp))
	} else if o.exp > d.exp {
		y = new(big.Int).Mul(y, pow10(o.exp-d.exp))
	}
	return x.Cmp(y) * s
}

// truncate drops the fraction of a finite decimal; exact if there was none.
// Beyond 10^40 the result is only known to be beyond int64.
func (d decimal) truncate() (i *big.Int, exact bool) {
	if d.form != finite {
		return new(big.Int), false
	}
	i = new(big.Int)
	exact = true
	switch {
	case d.exp >= 0:
		i.Mul(d.coef, pow10(min(d.exp, 40)))
	case d.exp < -decimalDigits:
		exact = d.coef.Sign() == 0
	default:
		var rem big.Int
		i.QuoRem(d.coef, pow10(-d.exp), &rem)
		exact = rem.Sign() == 0
	}
	if d.neg {
		i.Neg(i)
	}
	return i, exact
}

func (d decimal) float() float64 {
	switch d.form {
	case nan:
		return math.NaN()
	case posInf:
		return math.Inf(1)
	case negInf:
		return math.Inf(-1)
	}
	f, _ := strconv.ParseFloat(d.coef.String()+"e"+strconv.Itoa(d.exp), 64)
	if d.neg {
		f = -f
	}
	return f
}

func (d decimal) signed() *big.Int {
	if d.neg {
		return new(big.Int).Neg(d.coef)
	}
	return d.coef
}

func (d decimal) add(o decimal) decimal {
	switch {
	case d.form == nan || o.form == nan, d.form+o.form == negInf+posInf && d.form != finite:
		return decimal{form: nan}
	case d.form != finite:
		return d
	case o.form != finite:
		return o
	}
	// A term too small to reach the last digit is replaced by one that rounds
	// the same, to keep the shift short.
	x, y := d, o
	if x.exp < y.exp {
		x, y = y, x
	}
	shift := x.exp - y.exp
	if x.coef.Sign() != 0 && shift > 2*decimalDigits+4 && y.coef.Sign() != 0 {
		y = decimal{form: finite, neg: y.neg, coef: big.NewInt(1), exp: x.exp - decimalDigits - 4}
		shift = decimalDigits + 4
	}
	if x.coef.Sign() == 0 {
		shift = 0
	}
	sum := new(big.Int).Mul(x.signed(), pow10(shift))
	sum.Add(sum, y.signed())
	r := decimal{form: finite, neg: sum.Sign() < 0 || (sum.Sign() == 0 && x.neg && y.neg), exp: y.exp}
	r.coef = sum.Abs(sum)
	return r.rounded()
}

func (d decimal) mul(o decimal) decimal {
	neg := (d.sign() < 0) != (o.sign() < 0)
	if d.form == finite && o.form == finite {
		return decimal{form: finite, neg: d.neg != o.neg, coef: new(big.Int).Mul(d.coef, o.coef), exp: d.exp + o.exp}.rounded()
	}
	switch {
	case d.form == nan || o.form == nan || d.isZero() || o.isZero():
		return decimal{form: nan}
	case neg:
		return decimal{form: negInf}
	default:
		return decimal{form: posInf}
	}
}

// quo divides finite decimals, o not zero, to 34 digits. An exact quotient gets
// the exponent nearest to the difference of the two.
func (d decimal) quo(o decimal) decimal {
	ideal := d.exp - o.exp
	if d.coef.Sign() == 0 {
		return decimal{form: finite, neg: d.neg != o.neg, coef: new(big.Int), exp: ideal}.rounded()
	}
	shift := max(0, decimalDigits+2+len(o.coef.String())-len(d.coef.String()))
	var q, rem big.Int
	q.QuoRem(new(big.Int).Mul(d.coef, pow10(shift)), o.coef, &rem)
	r := decimal{form: finite, neg: d.neg != o.neg, coef: &q, exp: ideal - shift}
	if rem.Sign() != 0 {
		// One more digit that is neither 0 nor 5 keeps the rounding right.
		r.coef.Mul(r.coef, bigTen).Add(r.coef, big.NewInt(1))
		r.exp--
		return r.rounded()
	}
	for r.exp < ideal {
		var q2, m big.Int
		if q2.QuoRem(r.coef, bigTen, &m); m.Sign() != 0 {
			break
		}
		r.coef, r.exp = &q2, r.exp+1
	}
	return r.rounded()
}

// rounded fits a finite decimal into 34 digits and the exponents of decimal128,
// half to even.
func (d decimal) rounded() decimal {
	drop := max(len(d.coef.String())-decimalDigits, decimalMinExp-d.exp)
	if drop > 0 {
		d.coef, d.exp = roundHalfEven(d.coef, drop), d.exp+drop
		if d.coef.Cmp(limit) >= 0 {
			d.coef, d.exp = new(big.Int).Quo(d.coef, bigTen), d.exp+1
		}
	}
	if d.exp > decimalMaxExp {
		if d.coef.Sign() == 0 {
			d.exp = decimalMaxExp
			return d
		}
		up := d.exp - decimalMaxExp
		if len(d.coef.String())+up > decimalDigits {
			if d.neg {
				return decimal{form: negInf}
			}
			return decimal{form: posInf}
		}
		d.coef, d.exp = new(big.Int).Mul(d.coef, pow10(up)), decimalMaxExp
	}
	return d
}

func roundHalfEven(c *big.Int, drop int) *big.Int {
	if drop > len(c.String())+1 {
		return new(big.Int)
	}
	unit := pow10(drop)
	var q, rem big.Int
	q.QuoRem(c, unit, &rem)
	switch rem.Lsh(&rem, 1).Cmp(unit) {
	case 1:
		q.Add(&q, big.NewInt(1))
	case 0:
		if q.Bit(0) == 1 {
			q.Add(&q, big.NewInt(1))
		}
	}
	return &q
}

// encode gives the decimal128 value of a rounded decimal.
func (d decimal) encode() bson.RawValue {
	var low, high uint64
	switch d.form {
	case nan:
		high = 0x1f << 58
	case posInf:
		high = 0x1e << 58
	case negInf:
		high = 1<<63 | 0x1e<<58
	default:
		low = new(big.Int).And(d.coef, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		high = new(big.Int).Rsh(d.coef, 64).Uint64()
		high |= uint64(d.exp-decimalMinExp) << 49 //nolint:gosec // rounded keeps it positive
		if d.neg {
			high |= 1 << 63
		}
	}
	b := append(OfInt64(int64(low)).Value, OfInt64(int64(high)).Value...) // two's complement
	return bson.RawValue{Type: bson.TypeDecimal128, Value: b}
}
