package expr

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// maxSortFields is MongoDB's limit of fields in one sort.
const maxSortFields = 32

// Sort is a compiled sort specification. It is safe for concurrent use.
type Sort struct {
	paths [][]string
	desc  []bool
}

// CompileSort compiles a sort specification; an empty one leaves all documents
// equal. The error is a *value.Error.
func CompileSort(spec bson.Raw) (*Sort, error) {
	s := &Sort{}
	if len(spec) == 0 {
		return s, nil
	}
	if err := value.Check(spec); err != nil {
		return nil, err
	}
	for b := value.Inside(spec); ; {
		t, k, v, rest, ok := value.Next(b)
		if !ok {
			break
		}
		if err := s.add(string(k), bson.RawValue{Type: t, Value: slices.Clone(v)}); err != nil {
			return nil, err
		}
		b = rest
	}
	if len(s.paths) > maxSortFields {
		return nil, value.BadValue("too many sort keys")
	}
	return s, nil
}

func (s *Sort) add(path string, v bson.RawValue) error {
	if v.Type == bson.TypeEmbeddedDocument {
		return value.BadValue("$meta sort keys are not supported")
	}
	if !value.IsNumber(v.Type) {
		return value.Errorf(15974, "Illegal key in $sort specification: %s", path)
	}
	n, ok := value.Whole(v)
	if !ok || n != 1 && n != -1 {
		return value.Errorf(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
	}
	if err := value.CheckPath(path); err != nil {
		return err
	}
	parts := strings.Split(path, ".")
	for _, p := range s.paths {
		if slices.Equal(p, parts) {
			return value.Errorf(7472500, "duplicate sort key: %s", path)
		}
	}
	s.paths, s.desc = append(s.paths, parts), append(s.desc, n < 0)
	return nil
}

// Compare orders two documents. Parallel arrays, which Key refuses, count as
// null here.
func (s *Sort) Compare(a, b bson.Raw) int {
	ka, _ := s.Key(a)
	kb, _ := s.Key(b)
	return s.CompareKeys(ka, kb)
}

// Key gives the values that a document is sorted by, one for each field of the
// specification. An array sorts by its least value, or by its greatest when
// descending; the empty array is below null, and a missing value is null. The
// key may share memory with doc. The error is a *value.Error: two fields go
// through two different arrays.
func (s *Sort) Key(doc bson.Raw) ([]bson.RawValue, error) {
	g := keyGen{sort: s}
	at := make([]cursor, len(s.paths))
	for i, p := range s.paths {
		at[i] = cursor{doc: doc, rest: p}
	}
	if err := g.generate(at); err != nil {
		return nil, err
	}
	return g.best, nil
}

// CompareKeys orders two keys. A nil key is above all.
func (s *Sort) CompareKeys(a, b []bson.RawValue) int {
	for i := range min(len(a), len(b)) {
		c := value.Compare(a[i], b[i])
		if s.desc[i] {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return len(b) - len(a)
}

// cursor is how far one path has got: done has the value, else rest remains
// below doc, which is nil where there is no document.
type cursor struct {
	doc  []byte
	rest []string
	done bool
	val  bson.RawValue
}

type keyGen struct {
	sort *Sort
	best []bson.RawValue
}

// generate makes every key of the paths together, as an index does, and keeps
// the first in the order.
func (g *keyGen) generate(at []cursor) error {
	var array []byte
	inArray := make([]bool, len(at))
	for i := range at {
		arr := at[i].advance()
		if arr == nil {
			continue
		}
		if array != nil && &array[0] != &arr[0] {
			return value.BadValue("cannot sort with keys that are parallel arrays")
		}
		array, inArray[i] = arr, true
	}
	if array == nil {
		g.offer(at)
		return nil
	}
	b := value.Inside(array)
	for first := true; ; first = false {
		t, _, v, rest, ok := value.Next(b)
		if !ok && !first {
			return nil
		}
		if !ok { // the empty array is one undefined element
			t = bson.TypeUndefined
		}
		next := slices.Clone(at)
		for i := range next {
			if inArray[i] {
				next[i].enter(t, v)
			}
		}
		if err := g.generate(next); err != nil || !ok {
			return err
		}
		b = rest
	}
}

// enter puts a cursor on an element of the array that it stands before.
func (c *cursor) enter(t bson.Type, v []byte) {
	switch {
	case len(c.rest) == 0:
		c.done, c.val = true, bson.RawValue{Type: t, Value: v}
	case t == bson.TypeEmbeddedDocument:
		c.doc = v
	default:
		c.doc = nil
	}
}

// advance walks to the end of the path or to the next array, which it returns.
func (c *cursor) advance() []byte {
	for !c.done {
		if len(c.rest) == 0 || c.doc == nil {
			c.done, c.val = true, value.Null()
			return nil
		}
		v, ok := value.Lookup(c.doc, c.rest[0])
		c.rest = c.rest[1:]
		v, ok = c.index(v, ok)
		switch {
		case !ok:
			c.done, c.val = true, value.Null()
		case v.Type == bson.TypeArray:
			return v.Value
		case len(c.rest) == 0:
			c.done, c.val = true, v
		case v.Type == bson.TypeEmbeddedDocument:
			c.doc = v.Value
		default:
			c.doc = nil
		}
	}
	return nil
}

// index follows numeric components into an array.
func (c *cursor) index(v bson.RawValue, ok bool) (bson.RawValue, bool) {
	for ok && v.Type == bson.TypeArray && len(c.rest) > 0 {
		if _, numeric := value.Index(c.rest[0]); !numeric {
			break
		}
		v, ok = value.Lookup(v.Value, c.rest[0])
		c.rest = c.rest[1:]
	}
	return v, ok
}

func (g *keyGen) offer(at []cursor) {
	key := make([]bson.RawValue, len(at))
	for i, c := range at {
		key[i] = c.val
	}
	if g.best == nil || g.sort.CompareKeys(key, g.best) < 0 {
		g.best = key
	}
}
