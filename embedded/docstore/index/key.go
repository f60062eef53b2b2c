// Package index turns documents into index keys. A key is a byte string whose
// plain byte order is MongoDB's order of values (Class and Compare of package
// value), so that any ordered byte store can hold an index.
//
// A key is the encodings of the index's fields, one after the other; those of a
// descending field are inverted. Every encoding is prefix free, which keeps the
// order of compound keys and makes inversion safe. Numbers of different types
// that are equal have the same encoding; Hints keeps what is lost, so that a
// covered answer can give back the very value.
package index

import (
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// The first byte of an encoding: the class of the value. Numbers have one for
// each sign and special value. The zero byte ends documents and arrays and is
// below all of them.
const (
	tagEnd        = 0x00
	tagMinKey     = 0x05
	tagUndefined  = 0x0A
	tagNull       = 0x0F
	tagNumber     = 0x14 // lower bound of all numbers, and their class inside documents
	tagNaN        = 0x15
	tagMinusInf   = 0x16
	tagNegative   = 0x17
	tagZero       = 0x18
	tagPositive   = 0x19
	tagPlusInf    = 0x1A
	tagNumberEnd  = 0x1B
	tagString     = 0x3C
	tagDocument   = 0x46
	tagArray      = 0x50
	tagBinary     = 0x5A
	tagObjectID   = 0x64
	tagBool       = 0x6E
	tagDate       = 0x78
	tagTimestamp  = 0x82
	tagRegex      = 0x8C
	tagDBPointer  = 0x96
	tagCode       = 0xA0
	tagCodeScope  = 0xAA
	tagMaxKey     = 0xF0
	exponentBias  = 0x4000
	escape        = 0xFF // follows a zero byte that is part of a string
	stringEnd     = 0x01 // follows the zero byte that ends a string
	exactInDouble = 1 << 53
)

// Append encodes one value in ascending order and appends it to dst. A missing
// value is encoded as undefined; what an index holds for a missing field (null)
// is decided by Keys.
func Append(dst []byte, v bson.RawValue) []byte { return appendValue(dst, v.Type, v.Value) }

func appendValue(dst []byte, t bson.Type, b []byte) []byte {
	switch t {
	case bson.TypeInt32:
		return appendInt(dst, int64(int32(binary.LittleEndian.Uint32(b)))) //nolint:gosec // two's complement
	case bson.TypeInt64:
		return appendInt(dst, int64(binary.LittleEndian.Uint64(b))) //nolint:gosec // two's complement
	case bson.TypeDouble:
		return appendDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case bson.TypeDecimal128:
		return appendDecimal(dst, b)
	case bson.TypeString, bson.TypeSymbol:
		return appendString(append(dst, tagString), b)
	case bson.TypeEmbeddedDocument:
		return appendDocument(append(dst, tagDocument), b)
	case bson.TypeArray:
		return appendArray(append(dst, tagArray), b)
	case bson.TypeBinary:
		return appendBinary(append(dst, tagBinary), b)
	case bson.TypeObjectID:
		return append(append(dst, tagObjectID), b...)
	case bson.TypeBoolean:
		return append(dst, tagBool, b[0])
	case bson.TypeDateTime:
		return binary.BigEndian.AppendUint64(append(dst, tagDate), binary.LittleEndian.Uint64(b)^(1<<63))
	case bson.TypeTimestamp:
		return binary.BigEndian.AppendUint64(append(dst, tagTimestamp), binary.LittleEndian.Uint64(b))
	case bson.TypeRegex:
		return append(append(dst, tagRegex), b...) // two zero-terminated strings
	case bson.TypeDBPointer:
		dst = binary.BigEndian.AppendUint32(append(dst, tagDBPointer), uint32(len(b))) //nolint:gosec // a document is at most 48 MB
		return append(dst, b[4:]...)
	case bson.TypeJavaScript:
		return appendString(append(dst, tagCode), b)
	case bson.TypeCodeWithScope:
		n := int(binary.LittleEndian.Uint32(b[4:]))
		dst = appendString(append(dst, tagCodeScope), b[4:8+n])
		return appendDocument(dst, b[8+n:])
	default:
		return append(dst, fixedTag(t))
	}
}

// fixedTag is the tag of the types that have no content.
func fixedTag(t bson.Type) byte {
	switch t {
	case bson.TypeMinKey:
		return tagMinKey
	case bson.TypeNull:
		return tagNull
	case bson.TypeMaxKey:
		return tagMaxKey
	default: // undefined, and missing
		return tagUndefined
	}
}

// classTag is the tag that stands for the class of a type inside documents,
// where the class is compared before the field's name.
func classTag(t bson.Type) byte {
	switch t {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return tagNumber
	case bson.TypeString, bson.TypeSymbol:
		return tagString
	case bson.TypeEmbeddedDocument:
		return tagDocument
	case bson.TypeArray:
		return tagArray
	case bson.TypeBinary:
		return tagBinary
	case bson.TypeObjectID:
		return tagObjectID
	case bson.TypeBoolean:
		return tagBool
	case bson.TypeDateTime:
		return tagDate
	case bson.TypeTimestamp:
		return tagTimestamp
	case bson.TypeRegex:
		return tagRegex
	case bson.TypeDBPointer:
		return tagDBPointer
	case bson.TypeJavaScript:
		return tagCode
	case bson.TypeCodeWithScope:
		return tagCodeScope
	default:
		return fixedTag(t)
	}
}

// appendString writes the content of a BSON string (length, bytes, zero).
func appendString(dst, b []byte) []byte {
	for _, c := range b[4 : len(b)-1] {
		if c == 0 {
			dst = append(dst, 0, escape)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, 0, stringEnd)
}

// appendBinary orders by length, subtype, content.
func appendBinary(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, binary.LittleEndian.Uint32(b))
	return append(dst, b[4:]...)
}

func appendDocument(dst, doc []byte) []byte {
	rest := value.Inside(doc)
	for {
		t, name, v, next, ok := value.Next(rest)
		if !ok {
			return append(dst, tagEnd)
		}
		dst = append(dst, classTag(t))
		dst = append(dst, name...)
		dst = appendValue(append(dst, 0), t, v)
		rest = next
	}
}

func appendArray(dst, arr []byte) []byte {
	rest := value.Inside(arr)
	for {
		t, _, v, next, ok := value.Next(rest)
		if !ok {
			return append(dst, tagEnd)
		}
		dst = appendValue(dst, t, v)
		rest = next
	}
}

// A finite number that is not zero is ±0.d1d2d3… × 10^e: the sign's tag, e with
// a bias in two bytes, the digits in pairs (each pair plus one in a byte), and a
// zero byte. Of a negative number all but the tag is inverted.

func appendInt(dst []byte, i int64) []byte {
	if i == 0 {
		return append(dst, tagZero)
	}
	var buf [20]byte
	if i < 0 {
		digits := strconv.AppendUint(buf[:0], -uint64(i), 10) //nolint:gosec // the magnitude in two's complement, of the lowest number too
		return appendDigits(dst, true, digits, len(digits))
	}
	digits := strconv.AppendUint(buf[:0], uint64(i), 10)
	return appendDigits(dst, false, digits, len(digits))
}

func appendDouble(dst []byte, f float64) []byte {
	switch {
	case f == 0:
		return append(dst, tagZero)
	case math.IsNaN(f):
		return append(dst, tagNaN)
	case math.IsInf(f, 1):
		return append(dst, tagPlusInf)
	case math.IsInf(f, -1):
		return append(dst, tagMinusInf)
	case f == math.Trunc(f) && math.Abs(f) <= exactInDouble:
		return appendInt(dst, int64(f))
	}
	// The exact decimal expansion of a double has at most 767 digits.
	var buf [800]byte
	text := strconv.AppendFloat(buf[:0], math.Abs(f), 'e', 766, 64) // d.ddd…e±dd
	e := len(text) - 1
	for text[e] != 'e' {
		e--
	}
	exp, _ := strconv.Atoi(string(text[e+1:]))
	text[1] = text[0]
	return appendDigits(dst, f < 0, text[1:e], exp+1)
}

func appendDecimal(dst, b []byte) []byte {
	d := bson.NewDecimal128(binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b))
	switch {
	case d.IsNaN():
		return append(dst, tagNaN)
	case d.IsInf() > 0:
		return append(dst, tagPlusInf)
	case d.IsInf() < 0:
		return append(dst, tagMinusInf)
	}
	coef, exp, err := d.BigInt()
	if err != nil || coef.Sign() == 0 {
		return append(dst, tagZero)
	}
	negative := coef.Sign() < 0
	digits := coef.Abs(coef).Append(make([]byte, 0, 40), 10)
	return appendDigits(dst, negative, digits, len(digits)+exp)
}

// appendDigits writes 0.digits × 10^exp; the first digit is not zero.
func appendDigits(dst []byte, negative bool, digits []byte, exp int) []byte {
	n := len(digits)
	for n > 1 && digits[n-1] == '0' {
		n--
	}
	tag, flip := byte(tagPositive), byte(0)
	if negative {
		tag, flip = tagNegative, 0xFF
	}
	biased := uint16(exp + exponentBias) //nolint:gosec // |exp| is below 7000
	dst = append(dst, tag, byte(biased>>8)^flip, byte(biased&0xFF)^flip)
	for i := 0; i < n; i += 2 {
		pair := (digits[i] - '0') * 10
		if i+1 < n {
			pair += digits[i+1] - '0'
		}
		dst = append(dst, (pair+1)^flip)
	}
	return append(dst, flip)
}

// Invert flips the bytes in place, for a descending field.
func Invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// Successor is the smallest byte string above every string that starts with b;
// nil if there is none. It does not change b.
func Successor(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xFF {
			out := append([]byte(nil), b[:i+1]...)
			out[i]++
			return out
		}
	}
	return nil
}
