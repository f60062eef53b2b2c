package index

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// CodeParallelArrays is MongoDB's error for a document in which two fields of
// one compound index are arrays.
const CodeParallelArrays int32 = 171

// codeAmbiguous is its error for a number that is a position in an array and a
// field of a document in that array.
const codeAmbiguous int32 = 16746

// Field is one field of an index or of a sort.
type Field struct {
	Path       string
	Descending bool
	parts      []string
}

// NewField takes the path apart.
func NewField(path string, descending bool) Field {
	return Field{Path: path, Descending: descending, parts: strings.Split(path, ".")}
}

// Entry is one key of a document.
type Entry struct {
	Key   []byte
	Hints []byte // nil when every field is plain; see Decode
}

// Keys are all keys of one document in one index.
type Keys struct {
	Entries  []Entry // ascending, each key once
	Multikey uint64  // bit i: the path of field i went through an array in this document
	Missing  bool    // the document has none of the fields; a sparse index leaves it out
}

// Extract makes the keys of a document: one for every element of an array on
// the way, null for a missing field, undefined for an empty array. The error is a
// *value.Error with CodeParallelArrays.
func Extract(doc bson.Raw, fields []Field) (Keys, error) {
	x := extractor{fields: fields}
	slots := make([]slot, len(fields))
	for i, f := range fields {
		slots[i].rest = f.parts
	}
	var out Keys
	x.out = &out
	out.Missing = true
	if err := x.expand(slots, doc); err != nil {
		return Keys{}, err
	}
	if len(out.Entries) > 1 {
		slices.SortFunc(out.Entries, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
		out.Entries = slices.CompactFunc(out.Entries, func(a, b Entry) bool { return bytes.Equal(a.Key, b.Key) })
	}
	return out, nil
}

// slot is how far one field of the key has come: fixed to a value, or with path
// components left to walk in the current document.
type slot struct {
	rest    []string
	v       bson.RawValue
	fixed   bool
	missing bool
}

type extractor struct {
	fields []Field
	out    *Keys
}

// expand walks the open slots through doc. They all stop at the same array, if at
// any; each of its elements then gives keys of its own.
func (x *extractor) expand(slots []slot, doc []byte) error {
	var array []byte
	var at []int // the slots that stopped at the array
	for i := range slots {
		s := &slots[i]
		if s.fixed {
			continue
		}
		v, rest, found, err := walk(doc, s.rest)
		if err != nil {
			return err
		}
		if !found {
			s.fixed, s.missing = true, true
			s.v = value.Null()
			continue
		}
		if v.Type != bson.TypeArray {
			s.fixed, s.v = true, v
			continue
		}
		if at != nil && &array[0] != &v.Value[0] {
			return &value.Error{
				Code: CodeParallelArrays, Name: "CannotIndexParallelArrays",
				Message: "cannot index parallel arrays [" + last(x.fields[i].parts) + "] [" + last(x.fields[at[0]].parts) + "]",
			}
		}
		array, at = v.Value, append(at, i)
		s.rest = rest
		x.out.Multikey |= 1 << i
	}
	if at == nil {
		x.add(slots)
		return nil
	}
	return x.elements(slots, array, at)
}

func last(parts []string) string { return parts[len(parts)-1] }

func (x *extractor) elements(slots []slot, array []byte, at []int) error {
	b := value.Inside(array)
	if len(b) == 0 {
		return x.element(slots, at, bson.RawValue{Type: bson.TypeUndefined})
	}
	for {
		t, _, v, rest, ok := value.Next(b)
		if !ok {
			return nil
		}
		if err := x.element(slots, at, bson.RawValue{Type: t, Value: v}); err != nil {
			return err
		}
		b = rest
	}
}

// element gives the keys of one array element.
func (x *extractor) element(slots []slot, at []int, v bson.RawValue) error {
	next := slices.Clone(slots)
	doc := []byte{5, 0, 0, 0, 0}
	if v.Type == bson.TypeEmbeddedDocument {
		doc = v.Value
	}
	for _, i := range at {
		if s := &next[i]; len(s.rest) == 0 {
			s.fixed, s.v = true, v
		}
	}
	return x.expand(next, doc)
}

// walk follows a path until it ends or meets an array. A numeric component behind
// an array is a position in it, and so no reason to stop.
func walk(doc []byte, path []string) (v bson.RawValue, rest []string, found bool, err error) {
	v = bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}
	for i, name := range path {
		if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
			return v, nil, false, nil
		}
		if v, found = value.Lookup(v.Value, name); !found {
			return v, nil, false, nil
		}
		if v.Type != bson.TypeArray {
			continue
		}
		if rest = path[i+1:]; len(rest) == 0 {
			return v, rest, true, nil
		}
		if _, numeric := value.Index(rest[0]); !numeric {
			return v, rest, true, nil
		}
		if named(v.Value, rest[0]) {
			if _, both := value.Lookup(v.Value, rest[0]); both {
				return v, nil, false, &value.Error{
					Code: codeAmbiguous, Name: "Location16746",
					Message: "Ambiguous field name found in array (do not use numeric field names in embedded elements in an array), field: '" + rest[0] + "'",
				}
			}
			return v, rest, true, nil
		}
	}
	return v, nil, true, nil
}

// named tells if a document in the array has a field of that name.
func named(array []byte, name string) bool {
	b := value.Inside(array)
	for {
		t, _, v, rest, ok := value.Next(b)
		if !ok {
			return false
		}
		if t == bson.TypeEmbeddedDocument {
			if _, has := value.Lookup(v, name); has {
				return true
			}
		}
		b = rest
	}
}

func (x *extractor) add(slots []slot) {
	key := make([]byte, 0, 16*len(slots))
	var hints []byte
	for i := range slots {
		s := &slots[i]
		start := len(key)
		key = Append(key, s.v)
		if x.fields[i].Descending {
			Invert(key[start:])
		}
		if !s.missing {
			x.out.Missing = false
		}
		if h := hint(s.v.Type, s.v.Value, s.missing); h != hintPlain {
			if hints == nil {
				hints = make([]byte, len(slots))
			}
			hints[i] = h
		}
	}
	x.out.Entries = append(x.out.Entries, Entry{Key: key, Hints: hints})
}

// Values gives the values behind one key of a document, for a key that Decode
// cannot give back.
func Values(doc bson.Raw, fields []Field, key []byte) []bson.RawValue {
	out := make([]bson.RawValue, len(fields))
	for i, f := range fields {
		keys, err := Extract(doc, fields[i:i+1])
		if err != nil {
			continue
		}
		for _, e := range keys.Entries {
			if bytes.HasPrefix(key, e.Key) {
				out[i] = valueOf(doc, f, e.Key)
				key = key[len(e.Key):]
				break
			}
		}
	}
	return out
}

// valueOf finds the value of a path whose encoding is key.
func valueOf(doc []byte, f Field, key []byte) (found bson.RawValue) {
	var visit func(v bson.RawValue, path []string) bool
	visit = func(v bson.RawValue, path []string) bool {
		if len(path) == 0 {
			enc := Append(nil, v)
			if f.Descending {
				Invert(enc)
			}
			if bytes.Equal(enc, key) {
				found = v
				return true
			}
		} else if v.Type == bson.TypeEmbeddedDocument {
			if next, ok := value.Lookup(v.Value, path[0]); ok && visit(next, path[1:]) {
				return true
			}
		}
		if v.Type != bson.TypeArray {
			return false
		}
		b := value.Inside(v.Value)
		for {
			t, _, e, rest, ok := value.Next(b)
			if !ok {
				return false
			}
			if visit(bson.RawValue{Type: t, Value: e}, path) {
				return true
			}
			b = rest
		}
	}
	if !visit(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, f.parts) {
		undefined := Append(nil, bson.RawValue{Type: bson.TypeUndefined})
		if f.Descending {
			Invert(undefined)
		}
		if bytes.Equal(undefined, key) {
			found = bson.RawValue{Type: bson.TypeUndefined}
		}
	}
	return found
}
