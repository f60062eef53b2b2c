package index

import (
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A hint says what the encoding of one field of a key has lost. An entry whose
// hints are all Plain needs none.
const (
	hintPlain   = 0 // int32, string, or a type that loses nothing
	hintInt64   = 1
	hintDouble  = 2
	hintMissing = 3
	hintLost    = 4 // the document has to be read
)

// hint says how to give back a value from its encoding.
func hint(t bson.Type, b []byte, missing bool) byte {
	switch t {
	case bson.TypeInt32, bson.TypeString, bson.TypeObjectID, bson.TypeBoolean, bson.TypeDateTime, bson.TypeBinary:
		return hintPlain
	case bson.TypeInt64:
		return hintInt64
	case bson.TypeDouble:
		if b[7]&0x80 != 0 && b[7]&0x7F == 0 && b[6] == 0 { // -0.0
			return hintLost
		}
		return hintDouble
	case bson.TypeNull:
		if missing {
			return hintMissing
		}
		return hintPlain
	default:
		return hintLost
	}
}

// Decode gives back the values of a key with n fields. ok is false when the key
// does not hold them all. A missing field comes as the zero value.
func Decode(key []byte, fields []Field, hints []byte) (values []bson.RawValue, ok bool) {
	values = make([]bson.RawValue, len(fields))
	for i, f := range fields {
		t, v, n := appendDecoded(nil, key, f.flip(), hintOf(hints, i))
		if n == 0 {
			return nil, false
		}
		values[i], key = bson.RawValue{Type: t, Value: v}, key[n:]
	}
	return values, true
}

// AppendElements appends the fields of a key as elements of a document, but those
// that are missing and those that are not wanted. A path into documents comes as
// nested documents; no two that are wanted may begin alike. ok is false when the
// key does not hold them all: a missing field inside a document does not tell
// whether there is the document.
func AppendElements(dst, key []byte, fields []Field, hints []byte, wanted uint64) (out []byte, ok bool) {
	for i, f := range fields {
		h := hintOf(hints, i)
		if wanted>>i&1 == 0 {
			n := 0
			if h != hintLost {
				n = encodedLen(key, f.flip())
			}
			if n == 0 {
				return dst, false
			}
			key = key[n:]
			continue
		}
		start := len(dst)
		var open [maxNested]int
		if len(f.parts) > maxNested {
			return dst, false
		}
		for j, name := range f.parts[:len(f.parts)-1] {
			dst = append(append(append(dst, byte(bson.TypeEmbeddedDocument)), name...), 0)
			open[j] = len(dst)
			dst = append(dst, 0, 0, 0, 0)
		}
		at := len(dst)
		dst = append(append(append(dst, 0), f.parts[len(f.parts)-1]...), 0)
		t, next, n := appendDecoded(dst, key, f.flip(), h)
		switch {
		case n == 0 || (t == 0 && len(f.parts) > 1):
			return dst, false
		case t == 0:
			dst = dst[:start]
		default:
			dst = next
			dst[at] = byte(t)
			for j := len(f.parts) - 2; j >= 0; j-- {
				dst = append(dst, 0)
				binary.LittleEndian.PutUint32(dst[open[j]:], uint32(len(dst)-open[j])) //nolint:gosec // a document is at most 48 MB
			}
		}
		key = key[n:]
	}
	return dst, true
}

// maxNested is how many parts a path may have that AppendElements gives back.
const maxNested = 8

func hintOf(hints []byte, i int) byte {
	if i < len(hints) {
		return hints[i]
	}
	return hintPlain
}

func (f *Field) flip() byte {
	if f.Descending {
		return 0xFF
	}
	return 0
}

// encodedLen is the length of the first encoding of a key, 0 for a type that
// Decode does not give back.
func encodedLen(key []byte, flip byte) int {
	if len(key) == 0 {
		return 0
	}
	switch key[0] ^ flip {
	case tagNull, tagZero:
		return 1
	case tagBool:
		return 2
	case tagObjectID:
		return 13
	case tagDate:
		return 9
	case tagString:
		return stringLen(key, flip)
	case tagBinary:
		return 6 + int(binary.BigEndian.Uint32(key[1:5])^(uint32(flip)*0x01010101))
	case tagNegative, tagPositive:
		inner := flip
		if key[0]^flip == tagNegative {
			inner ^= 0xFF
		}
		i := 3
		for key[i]^inner != 0 {
			i++
		}
		return i + 1
	default:
		return 0
	}
}

func stringLen(key []byte, flip byte) int {
	for i := 1; i+1 < len(key); i++ {
		if key[i]^flip != 0 {
			continue
		}
		if i++; key[i]^flip == stringEnd {
			return i + 1
		}
	}
	return 0
}

// appendDecoded appends the value of the first encoding of a key; n is the length
// of the encoding, 0 if it cannot be given back. A missing value has no type.
func appendDecoded(dst, key []byte, flip, h byte) (t bson.Type, out []byte, n int) {
	if n = encodedLen(key, flip); n == 0 || h == hintLost {
		return 0, dst, 0
	}
	body := key[1:n]
	switch key[0] ^ flip {
	case tagNull:
		if h == hintMissing {
			return 0, dst, n
		}
		return bson.TypeNull, dst, n
	case tagBool:
		return bson.TypeBoolean, append(dst, body[0]^flip), n
	case tagObjectID:
		return bson.TypeObjectID, appendFlipped(dst, body, flip), n
	case tagDate:
		u := binary.BigEndian.Uint64(body)
		if flip != 0 {
			u = ^u
		}
		return bson.TypeDateTime, binary.LittleEndian.AppendUint64(dst, u^(1<<63)), n
	case tagString:
		return bson.TypeString, appendText(dst, body[:len(body)-2], flip), n
	case tagBinary:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n-6)) //nolint:gosec // read from four bytes
		return bson.TypeBinary, appendFlipped(dst, body[4:], flip), n
	case tagZero:
		t, out = appendWhole(dst, 0, h)
		return t, out, n
	default:
		t, out = appendNumber(dst, key[:n], flip, h)
		return t, out, n
	}
}

func appendFlipped(dst, b []byte, flip byte) []byte {
	if flip == 0 {
		return append(dst, b...)
	}
	for _, c := range b {
		dst = append(dst, ^c)
	}
	return dst
}

// appendText appends a string with its length and its zero; a zero inside is
// followed by an escape.
func appendText(dst, b []byte, flip byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for i := 0; i < len(b); i++ {
		c := b[i] ^ flip
		dst = append(dst, c)
		if c == 0 {
			i++
		}
	}
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4)) //nolint:gosec // a document is at most 48 MB
	return dst
}

// appendNumber reads the digits of a number that is not zero.
func appendNumber(dst, key []byte, flip, h byte) (bson.Type, []byte) {
	inner, negative := flip, key[0]^flip == tagNegative
	if negative {
		inner ^= 0xFF
	}
	exp := int(uint16(key[1]^inner)<<8|uint16(key[2]^inner)) - exponentBias
	pairs := key[3 : len(key)-1]
	if h == hintDouble {
		return bson.TypeDouble, appendDoubleOf(dst, negative, pairs, inner, exp)
	}
	var u uint64
	digits := 0
	for _, c := range pairs {
		pair := uint64(c ^ inner - 1)
		if digits++; digits == exp { // the last pair's second digit is only filling
			u = u*10 + pair/10
			break
		}
		digits++
		u = u*100 + pair
	}
	for ; digits < exp; digits++ {
		u *= 10
	}
	if negative {
		u = -u
	}
	return appendWhole(dst, u, h)
}

// appendWhole appends a whole number in two's complement, in the type of the hint.
func appendWhole(dst []byte, u uint64, h byte) (bson.Type, []byte) {
	switch h {
	case hintDouble:
		return bson.TypeDouble, binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(int64(u)))) //nolint:gosec // zero
	case hintInt64:
		return bson.TypeInt64, binary.LittleEndian.AppendUint64(dst, u)
	default:
		return bson.TypeInt32, binary.LittleEndian.AppendUint32(dst, uint32(u)) //nolint:gosec // it was an int32
	}
}

// appendDoubleOf reads a double from its decimal digits.
func appendDoubleOf(dst []byte, negative bool, pairs []byte, inner byte, exp int) []byte {
	text := make([]byte, 0, 32)
	if negative {
		text = append(text, '-')
	}
	for _, c := range pairs {
		pair := c ^ inner - 1
		text = append(text, '0'+pair/10, '0'+pair%10)
	}
	text = append(text, 'e')
	text = strconv.AppendInt(text, int64(exp-2*len(pairs)), 10)
	f, _ := strconv.ParseFloat(string(text), 64)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}
