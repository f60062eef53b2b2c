package docstore

import (
	"bytes"
	"container/heap"
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// sortMemory bounds a sort that no index serves, as MongoDB's default does.
const sortMemory = 100 << 20

// sortSpec is a sort: fields, or the natural order (1, -1).
type sortSpec struct {
	fields  []index.Field
	natural int
	spec    bson.Raw // as it was given
}

// compileSort reads a sort document; nil for an empty one.
func compileSort(spec bson.Raw) (*sortSpec, error) {
	s := &sortSpec{spec: spec}
	err := eachField("sort", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: spec}, func(path string, v bson.RawValue) error {
		if v.Type == bson.TypeEmbeddedDocument {
			return value.BadValue("sort by an expression is not supported")
		}
		if !value.IsNumber(v.Type) {
			return refuse(15974, "Location15974", "Illegal key in $sort specification: "+path+": "+v.String())
		}
		f := value.Float(v)
		if f != 1 && f != -1 {
			return refuse(15975, "Location15975", "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		if path == "$natural" {
			s.natural = int(f)
			return nil
		}
		if err := checkPath(path); err != nil {
			return err
		}
		s.fields = append(s.fields, index.NewField(path, f < 0))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.natural != 0 && len(s.fields) > 0 {
		return nil, value.BadValue("$natural sort cannot be set to a value other than -1 or 1, or be combined with other fields")
	}
	if s.natural == 0 && len(s.fields) == 0 {
		return nil, nil //nolint:nilnil // no sort is no error
	}
	if len(s.fields) > 64 {
		return nil, value.BadValue("too many sort fields")
	}
	return s, nil
}

// checkPath refuses what cannot be a field path.
func checkPath(path string) error {
	if path == "" {
		return refuse(40352, "Location40352", "FieldPath cannot be constructed with empty string")
	}
	if strings.HasSuffix(path, ".") {
		return refuse(40353, "Location40353", "FieldPath must not end with a '.'.")
	}
	for part := range strings.SplitSeq(path, ".") {
		if part == "" {
			return refuse(15998, "Location15998", "FieldPath field names may not be empty strings.")
		}
		if part[0] == '$' {
			return refuse(16410, "Location16410", "FieldPath field names may not start with '$'.")
		}
	}
	return nil
}

// key is a document's place in the order: its smallest key of an index on the
// sort's fields. So an array counts by its smallest or its largest element.
func (s *sortSpec) key(doc bson.Raw) ([]byte, error) {
	keys, err := index.Extract(doc, s.fields)
	if err != nil {
		var ve *value.Error
		if errors.As(err, &ve) && ve.Code == index.CodeParallelArrays {
			return nil, value.BadValue("cannot sort with keys that are parallel arrays")
		}
		return nil, err
	}
	return keys.Entries[0].Key, nil
}

// sorter keeps the first `limit` documents of an order in bounded memory. With a
// limit it is a heap whose top is the last of those it keeps, so that most
// documents are compared once and let go.
type sorter struct {
	spec  *sortSpec
	limit int64
	items []sortItem
	bytes int
	seq   int
}

type sortItem struct {
	key []byte
	seq int
	doc bson.Raw
	r   int64
}

// order puts equal keys in the order in which they came.
func (it *sortItem) order(b *sortItem) int {
	if c := bytes.Compare(it.key, b.key); c != 0 {
		return c
	}
	return it.seq - b.seq
}

// Len, Less, Swap, Push and Pop make a heap of the items, the last one on top.
func (s *sorter) Len() int           { return len(s.items) }
func (s *sorter) Less(i, j int) bool { return s.items[i].order(&s.items[j]) > 0 }
func (s *sorter) Swap(i, j int)      { s.items[i], s.items[j] = s.items[j], s.items[i] }

func (s *sorter) Push(x any) {
	if it, ok := x.(sortItem); ok {
		s.items = append(s.items, it)
	}
}

func (s *sorter) Pop() any {
	last := s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return last
}

func (it *sortItem) size() int { return len(it.key) + len(it.doc) }

// add takes a document for its place in the order; keep gives what is kept of it,
// as a copy.
func (s *sorter) add(doc bson.Raw, keep func() (bson.Raw, error), r int64) error {
	key, err := s.spec.key(doc)
	if err != nil {
		return err
	}
	s.seq++
	it := sortItem{key: key, seq: s.seq, r: r}
	full := int64(len(s.items)) >= s.limit
	if full && it.order(&s.items[0]) > 0 {
		return nil
	}
	if it.doc, err = keep(); err != nil {
		return err
	}
	switch {
	case full:
		s.bytes -= s.items[0].size()
		s.items[0] = it
		heap.Fix(s, 0)
	case s.limit < noLimit:
		heap.Push(s, it)
	default:
		s.items = append(s.items, it)
	}
	if s.bytes += it.size(); s.bytes > sortMemory {
		return refuse(292, "QueryExceededMemoryLimitNoDiskUseAllowed",
			"Executor error during find command :: caused by :: Sort exceeded memory limit of 104857600 bytes, but did not opt in to external sorting.")
	}
	return nil
}

func (s *sorter) done() []sortItem {
	slices.SortFunc(s.items, func(a, b sortItem) int { return a.order(&b) })
	return s.items
}
