// Package value orders, compares and takes apart BSON values the way MongoDB
// does, on their encoded form. It also has the arithmetic and the errors of the
// document engine.
//
// All functions but Check and CheckValue expect well formed values.
package value

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Class is the place of a type in the order of all types. Types with the same
// class compare by value: all numbers, and strings with symbols.
func Class(t bson.Type) int {
	switch t {
	case bson.TypeMinKey:
		return -1
	case typeMissing, bson.TypeUndefined:
		return 0
	case bson.TypeNull:
		return 5
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return 10
	case bson.TypeString, bson.TypeSymbol:
		return 15
	case bson.TypeEmbeddedDocument:
		return 20
	case bson.TypeArray:
		return 25
	case bson.TypeBinary:
		return 30
	case bson.TypeObjectID:
		return 35
	case bson.TypeBoolean:
		return 40
	case bson.TypeDateTime:
		return 45
	case bson.TypeTimestamp:
		return 47
	case bson.TypeRegex:
		return 50
	case bson.TypeDBPointer:
		return 55
	case bson.TypeJavaScript:
		return 60
	case bson.TypeCodeWithScope:
		return 65
	default: // MaxKey
		return 127
	}
}

// Compare orders two values of any types in MongoDB's BSON order: -1, 0 or 1.
// Numbers compare exactly across their types; NaN is below all other numbers and
// equal to itself. The zero RawValue stands for a missing value, which equals
// undefined and is below null.
func Compare(a, b bson.RawValue) int { return CompareBytes(a.Type, a.Value, b.Type, b.Value) }

// Equal tells if two values compare equal: numbers across their types,
// documents with their fields in the same order.
func Equal(a, b bson.RawValue) bool { return CompareBytes(a.Type, a.Value, b.Type, b.Value) == 0 }

// Same tells if two values are equal in type and in every byte.
func Same(a, b bson.RawValue) bool { return a.Type == b.Type && bytes.Equal(a.Value, b.Value) }

// CompareBytes is Compare on types and encoded values.
func CompareBytes(ta bson.Type, a []byte, tb bson.Type, b []byte) int {
	if ta != tb {
		if c := cmp.Compare(Class(ta), Class(tb)); c != 0 {
			return c
		}
		if IsNumber(ta) {
			return compareNumbers(ta, a, tb, b)
		}
		if ta == typeMissing || tb == typeMissing || ta == bson.TypeUndefined {
			return 0
		}
		return bytes.Compare(strBytes(a), strBytes(b)) // string and symbol
	}
	return compareSameType(ta, a, b)
}

func compareSameType(t bson.Type, a, b []byte) int {
	switch t {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return compareNumbers(t, a, t, b)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return bytes.Compare(strBytes(a), strBytes(b))
	case bson.TypeEmbeddedDocument:
		return compareDocs(a, b, true)
	case bson.TypeArray:
		return compareDocs(a, b, false)
	case bson.TypeBinary:
		return compareBinary(a, b)
	case bson.TypeObjectID, bson.TypeBoolean:
		return bytes.Compare(a, b)
	case bson.TypeDateTime:
		return cmp.Compare(i64(a), i64(b))
	case bson.TypeTimestamp:
		return cmp.Compare(binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b))
	case bson.TypeRegex:
		return compareRegex(a, b)
	case bson.TypeDBPointer:
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
		return bytes.Compare(a[4:], b[4:])
	case bson.TypeCodeWithScope:
		return compareCodeScope(a, b)
	default: // types without a value
		return 0
	}
}

func compareDocs(a, b []byte, names bool) int {
	ea, eb := Inside(a), Inside(b)
	for {
		ta, ka, va, ra, oka := Next(ea)
		tb, kb, vb, rb, okb := Next(eb)
		if !oka || !okb {
			switch {
			case oka:
				return 1
			case okb:
				return -1
			default:
				return 0
			}
		}
		if ta != tb {
			if c := cmp.Compare(Class(ta), Class(tb)); c != 0 {
				return c
			}
		}
		if names {
			if c := bytes.Compare(ka, kb); c != 0 {
				return c
			}
		}
		if c := CompareBytes(ta, va, tb, vb); c != 0 {
			return c
		}
		ea, eb = ra, rb
	}
}

// compareBinary orders by length, then subtype, then content.
func compareBinary(a, b []byte) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return bytes.Compare(a[4:], b[4:])
}

func compareRegex(a, b []byte) int {
	i, j := bytes.IndexByte(a, 0), bytes.IndexByte(b, 0)
	if c := bytes.Compare(a[:i], b[:j]); c != 0 {
		return c
	}
	return bytes.Compare(a[i+1:], b[j+1:])
}

func compareCodeScope(a, b []byte) int {
	na, nb := stringSize(a[4:]), stringSize(b[4:])
	if c := bytes.Compare(a[8:3+na], b[8:3+nb]); c != 0 {
		return c
	}
	return compareDocs(a[4+na:], b[4+nb:], true)
}

func i64(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) } //nolint:gosec // two's complement

func i32(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) } //nolint:gosec // two's complement
