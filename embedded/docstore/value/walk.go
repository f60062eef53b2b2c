package value

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MaxDepth is how deep documents may nest.
const MaxDepth = 200

const typeMissing bson.Type = 0

// Inside returns the elements of a document without its length and its closing
// zero byte; nil if the length is wrong.
func Inside(doc []byte) []byte {
	if len(doc) < 5 {
		return nil
	}
	n := int(binary.LittleEndian.Uint32(doc))
	if n < 5 || n > len(doc) {
		return nil
	}
	return doc[4 : n-1 : n-1] // who appends to it gets a copy
}

// Next splits the first element off b, which comes from Inside or from the rest
// of an earlier call. It is false at the end and on malformed bytes.
func Next(b []byte) (t bson.Type, key, val, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, nil, false
	}
	t = bson.Type(b[0])
	end := bytes.IndexByte(b[1:], 0)
	if end < 0 {
		return 0, nil, nil, nil, false
	}
	key, b = b[1:1+end], b[2+end:]
	n := size(t, b)
	if n < 0 || n > len(b) {
		return 0, nil, nil, nil, false
	}
	return t, key, b[:n:n], b[n:], true
}

// size is the length of an encoded value at the start of b, -1 if malformed.
func size(t bson.Type, b []byte) int {
	switch t {
	case bson.TypeDouble, bson.TypeDateTime, bson.TypeTimestamp, bson.TypeInt64:
		return 8
	case bson.TypeInt32:
		return 4
	case bson.TypeBoolean:
		return 1
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		return 0
	case bson.TypeObjectID:
		return 12
	case bson.TypeDecimal128:
		return 16
	case bson.TypeString, bson.TypeJavaScript, bson.TypeSymbol:
		return stringSize(b)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return prefixed(b, 0, 5)
	case bson.TypeBinary:
		return prefixed(b, 5, 5)
	case bson.TypeCodeWithScope:
		return prefixed(b, 0, 14)
	case bson.TypeDBPointer:
		if n := stringSize(b); n >= 0 {
			return n + 12
		}
		return -1
	case bson.TypeRegex:
		return regexSize(b)
	default:
		return -1
	}
}

func stringSize(b []byte) int { return prefixed(b, 4, 5) }

// prefixed is the int32 at the start of b plus extra, at least low.
func prefixed(b []byte, extra, low int) int {
	if len(b) < 4 {
		return -1
	}
	n := int(int32(binary.LittleEndian.Uint32(b))) //nolint:gosec // the wire type is signed
	if n < 0 || n+extra < low {
		return -1
	}
	return n + extra
}

func regexSize(b []byte) int {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return -1
	}
	j := bytes.IndexByte(b[i+1:], 0)
	if j < 0 {
		return -1
	}
	return i + j + 2
}

// Lookup finds a field of a document; false if it has none of that name.
func Lookup(doc []byte, key string) (bson.RawValue, bool) {
	t, v, ok := Find(Inside(doc), key)
	return bson.RawValue{Type: t, Value: v}, ok
}

// Find is Lookup on the inside of a document. Most of the time of a match goes
// by here, so it skips other fields without taking them apart.
func Find(b []byte, key string) (bson.Type, []byte, bool) {
	n := len(key) + 1
	for len(b) > 1 {
		if len(b) > n && b[n] == 0 && string(b[1:n]) == key {
			t, _, v, _, ok := Next(b)
			return t, v, ok
		}
		end := 1
		for end < len(b) && b[end] != 0 {
			end++
		}
		if end == len(b) {
			break
		}
		t := bson.Type(b[0])
		b = b[end+1:]
		var skip int
		switch t {
		case bson.TypeString, bson.TypeEmbeddedDocument, bson.TypeArray:
			skip = prefix(b)
			if t == bson.TypeString {
				skip += 4
			}
		case bson.TypeInt64, bson.TypeDateTime, bson.TypeDouble:
			skip = 8
		default:
			skip = size(t, b)
		}
		if skip < 0 || skip > len(b) {
			break
		}
		b = b[skip:]
	}
	return 0, nil, false
}

// prefix is the length at the start of b, far too much if there is none.
func prefix(b []byte) int {
	if len(b) < 4 {
		return 1 << 32
	}
	return int(binary.LittleEndian.Uint32(b))
}

// Check verifies that a document is well formed throughout and not nested
// deeper than MaxDepth. The error is an *Error.
func Check(doc []byte) error {
	if len(doc) < 5 || int64(binary.LittleEndian.Uint32(doc)) != int64(len(doc)) || doc[len(doc)-1] != 0 {
		return Errorf(CodeInvalidBSON, "the length of a document is wrong")
	}
	return check(doc, 1)
}

// CheckValue is Check for a value of any type; a missing value is well formed.
func CheckValue(v bson.RawValue) error {
	if v.Type == typeMissing && len(v.Value) == 0 {
		return nil
	}
	if size(v.Type, v.Value) != len(v.Value) {
		return Errorf(CodeInvalidBSON, "a value is malformed")
	}
	return checkValue(v.Type, v.Value, 0)
}

func check(doc []byte, depth int) error {
	if depth > MaxDepth {
		return Errorf(CodeOverflow, "documents may not be nested deeper than %d levels", MaxDepth)
	}
	if len(doc) < 5 || int64(binary.LittleEndian.Uint32(doc)) != int64(len(doc)) || doc[len(doc)-1] != 0 {
		return Errorf(CodeInvalidBSON, "the length of an embedded document is wrong")
	}
	b := Inside(doc)
	for len(b) > 0 {
		t, _, v, rest, ok := Next(b)
		if !ok {
			return Errorf(CodeInvalidBSON, "an element is malformed")
		}
		if err := checkValue(t, v, depth); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func checkValue(t bson.Type, v []byte, depth int) error {
	switch t {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return check(v, depth+1)
	case bson.TypeString, bson.TypeJavaScript, bson.TypeSymbol:
		if v[len(v)-1] != 0 {
			return Errorf(CodeInvalidBSON, "a string is not terminated")
		}
	case bson.TypeBoolean:
		if v[0] > 1 {
			return Errorf(CodeInvalidBSON, "a boolean is neither 0 nor 1")
		}
	case bson.TypeCodeWithScope:
		n := stringSize(v[4:])
		if n < 0 || 4+n > len(v) || v[3+n] != 0 {
			return Errorf(CodeInvalidBSON, "code with scope is malformed")
		}
		return check(v[4+n:], depth+1)
	default:
	}
	return nil
}

// Str is the text of a string, symbol or code value.
func Str(v bson.RawValue) string { return string(strBytes(v.Value)) }

func strBytes(v []byte) []byte {
	if len(v) < 5 {
		return nil
	}
	return v[4 : len(v)-1]
}

// Bool is a boolean value's meaning.
func Bool(v bson.RawValue) bool { return len(v.Value) > 0 && v.Value[0] != 0 }

// Regex takes a regular expression value apart.
func Regex(v bson.RawValue) (pattern, options string) {
	i := bytes.IndexByte(v.Value, 0)
	if i < 0 {
		return "", ""
	}
	j := bytes.IndexByte(v.Value[i+1:], 0)
	if j < 0 {
		return "", ""
	}
	return string(v.Value[:i]), string(v.Value[i+1 : i+1+j])
}

// Missing tells if v stands for no value.
func Missing(v bson.RawValue) bool { return v.Type == typeMissing }

// Nullish tells if v is missing, null or undefined.
func Nullish(v bson.RawValue) bool {
	return v.Type == typeMissing || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}

// IsNumber tells if t is a numeric type.
func IsNumber(t bson.Type) bool {
	return t == bson.TypeInt32 || t == bson.TypeInt64 || t == bson.TypeDouble || t == bson.TypeDecimal128
}

// Truthy is the meaning of a value as a condition: false, zero, null, undefined
// and missing are false, all else is true.
func Truthy(v bson.RawValue) bool {
	switch v.Type {
	case typeMissing, bson.TypeNull, bson.TypeUndefined:
		return false
	case bson.TypeBoolean:
		return Bool(v)
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return !isZero(v)
	default:
		return true
	}
}

// Index reads an array index: decimal digits without a leading zero, at most
// nine of them.
func Index(s string) (int, bool) {
	if s == "" || len(s) > 9 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// TypeName is the alias of a type as $type knows it.
func TypeName(t bson.Type) string {
	switch t {
	case typeMissing:
		return "missing"
	case bson.TypeDouble:
		return "double"
	case bson.TypeString:
		return "string"
	case bson.TypeEmbeddedDocument:
		return "object"
	case bson.TypeArray:
		return "array"
	case bson.TypeBinary:
		return "binData"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeObjectID:
		return "objectId"
	case bson.TypeBoolean:
		return "bool"
	case bson.TypeDateTime:
		return "date"
	case bson.TypeNull:
		return "null"
	case bson.TypeRegex:
		return "regex"
	case bson.TypeDBPointer:
		return "dbPointer"
	case bson.TypeJavaScript:
		return "javascript"
	case bson.TypeSymbol:
		return "symbol"
	case bson.TypeCodeWithScope:
		return "javascriptWithScope"
	case bson.TypeInt32:
		return "int"
	case bson.TypeTimestamp:
		return "timestamp"
	case bson.TypeInt64:
		return "long"
	case bson.TypeDecimal128:
		return "decimal"
	case bson.TypeMinKey:
		return "minKey"
	case bson.TypeMaxKey:
		return "maxKey"
	default:
		return "unknown"
	}
}
