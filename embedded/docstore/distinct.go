package docstore

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// distinct collects the different values of a path. Arrays count by their
// elements; equal numbers of different types are one value.
type distinct struct {
	path   []string
	seen   map[string]struct{}
	values []bson.RawValue
	bytes  int
}

func newDistinct(path string) *distinct {
	return &distinct{path: strings.Split(path, "."), seen: map[string]struct{}{}}
}

func (d *distinct) add(doc bson.Raw) error {
	return d.walk(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, d.path)
}

func (d *distinct) walk(v bson.RawValue, path []string) error {
	if len(path) == 0 {
		if v.Type != bson.TypeArray {
			return d.take(v)
		}
		return d.elements(v, func(e bson.RawValue) error { return d.take(e) })
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		if next, ok := value.Lookup(v.Value, path[0]); ok {
			return d.walk(next, path[1:])
		}
		return nil
	case bson.TypeArray:
		if _, numeric := value.Index(path[0]); numeric {
			if next, ok := value.Lookup(v.Value, path[0]); ok {
				if err := d.walk(next, path[1:]); err != nil {
					return err
				}
			}
		}
		return d.elements(v, func(e bson.RawValue) error {
			if e.Type != bson.TypeEmbeddedDocument {
				return nil
			}
			return d.walk(e, path)
		})
	default:
		return nil
	}
}

func (d *distinct) elements(v bson.RawValue, f func(bson.RawValue) error) error {
	b := value.Inside(v.Value)
	for {
		t, _, e, rest, ok := value.Next(b)
		if !ok {
			return nil
		}
		if err := f(bson.RawValue{Type: t, Value: e}); err != nil {
			return err
		}
		b = rest
	}
}

func (d *distinct) take(v bson.RawValue) error {
	key := string(index.Append(nil, v))
	if _, ok := d.seen[key]; ok {
		return nil
	}
	d.seen[key] = struct{}{}
	d.values = append(d.values, bson.RawValue{Type: v.Type, Value: slices.Clone(v.Value)})
	if d.bytes += len(v.Value) + 8; d.bytes > maxDocument {
		return refuse(17217, "Location17217", "distinct too big, 16mb cap")
	}
	return nil
}
