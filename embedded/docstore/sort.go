package docstore

import (
	"bytes"
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
}

// compileSort reads a sort document; nil for an empty one.
func compileSort(spec bson.Raw) (*sortSpec, error) {
	s := &sortSpec{}
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

// sorter keeps the first `limit` documents of an order in bounded memory.
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

// add takes a document: full for its place, kept for its content.
func (s *sorter) add(full, kept bson.Raw, r int64) error {
	key, err := s.spec.key(full)
	if err != nil {
		return err
	}
	s.seq++
	s.items = append(s.items, sortItem{key, s.seq, kept, r})
	s.bytes += len(key) + len(kept)
	if s.limit < noLimit && int64(len(s.items)) >= 2*s.limit+64 {
		s.cut()
	}
	if s.bytes > sortMemory {
		s.cut()
		if s.bytes > sortMemory {
			return refuse(292, "QueryExceededMemoryLimitNoDiskUseAllowed",
				"Executor error during find command :: caused by :: Sort exceeded memory limit of 104857600 bytes, but did not opt in to external sorting.")
		}
	}
	return nil
}

func (s *sorter) cut() {
	slices.SortFunc(s.items, func(a, b sortItem) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return a.seq - b.seq
	})
	if int64(len(s.items)) > s.limit {
		for _, it := range s.items[s.limit:] {
			s.bytes -= len(it.key) + len(it.doc)
		}
		clear(s.items[s.limit:])
		s.items = s.items[:s.limit]
	}
}

func (s *sorter) done() []sortItem {
	s.cut()
	return s.items
}
