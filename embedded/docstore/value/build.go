package value

import (
	"encoding/binary"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// AppendElement appends a field to the inside of a document.
func AppendElement(b []byte, key string, v bson.RawValue) []byte {
	b = append(append(append(b, byte(v.Type)), key...), 0)
	return append(b, v.Value...)
}

// Begin starts a document: its length is filled in by Finish.
func Begin(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// Finish ends the document that starts at the given offset of b.
func Finish(b []byte, start int) []byte {
	b = append(b, 0)
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start)) //nolint:gosec // bounded by the size of a document
	return b
}

// OfArray encodes an array.
func OfArray(list []bson.RawValue) bson.RawValue {
	n := 5
	for _, v := range list {
		n += len(v.Value) + 8
	}
	b := Begin(make([]byte, 0, n))
	for i, v := range list {
		b = append(b, byte(v.Type))
		b = append(strconv.AppendInt(b, int64(i), 10), 0)
		b = append(b, v.Value...)
	}
	return bson.RawValue{Type: bson.TypeArray, Value: Finish(b, 0)}
}

// Field is a field of a document.
type Field struct {
	Key string
	bson.RawValue
}

// OfFields encodes a document.
func OfFields(fields []Field) bson.Raw {
	b := Begin(nil)
	for _, f := range fields {
		b = AppendElement(b, f.Key, f.RawValue)
	}
	return Finish(b, 0)
}

// Fields are the fields of a document or array, sharing its memory.
func Fields(doc []byte) []Field {
	var out []Field
	for b := Inside(doc); ; {
		t, k, v, rest, ok := Next(b)
		if !ok {
			return out
		}
		out = append(out, Field{string(k), bson.RawValue{Type: t, Value: v}})
		b = rest
	}
}

// Elements are the values of an array, sharing its memory.
func Elements(array []byte) []bson.RawValue {
	var out []bson.RawValue
	for b := Inside(array); ; {
		t, _, v, rest, ok := Next(b)
		if !ok {
			return out
		}
		out = append(out, bson.RawValue{Type: t, Value: v})
		b = rest
	}
}

// OfDoc makes a value of a document.
func OfDoc(doc bson.Raw) bson.RawValue {
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}
}

// CheckID verifies the _id of a document to be stored: not an array, a regular
// expression or undefined, and without names that start with a dollar sign. The
// error is an *Error.
func CheckID(id bson.RawValue) error {
	switch id.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return Errorf(CodeInvalidID, "The '_id' value cannot be of type %s", TypeName(id.Type))
	case bson.TypeEmbeddedDocument:
		for _, f := range Fields(id.Value) {
			if f.Key != "" && f.Key[0] == '$' && f.Key != "$ref" && f.Key != "$id" && f.Key != "$db" {
				return Errorf(CodeDollarPrefixed, "The dollar ($) prefixed field '%s' in '_id' is not valid for storage.", f.Key)
			}
		}
	default:
	}
	return nil
}

// IDFirst gives the document with its _id as the first field; false if it has
// none.
func IDFirst(doc bson.Raw) (bson.Raw, bool) {
	if _, k, _, _, ok := Next(Inside(doc)); ok && string(k) == "_id" {
		return doc, true
	}
	id, ok := Lookup(doc, "_id")
	if !ok {
		return doc, false
	}
	b := AppendElement(Begin(make([]byte, 0, len(doc))), "_id", id)
	for e := Inside(doc); ; {
		_, k, _, rest, ok := Next(e)
		if !ok {
			return Finish(b, 0), true
		}
		if string(k) != "_id" {
			b = append(b, e[:len(e)-len(rest)]...)
		}
		e = rest
	}
}
