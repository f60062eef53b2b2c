package expr

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// unwind is $unwind.
type unwind struct {
	path  []string
	keep  bool     // documents without elements stay
	index []string // where the index goes; nil for nowhere
}

func newUnwind(f value.Field) (stage, error) {
	u := &unwind{}
	path := f.RawValue
	switch f.Type {
	case bson.TypeString:
	case bson.TypeEmbeddedDocument:
		path = bson.RawValue{}
		for _, x := range value.Fields(f.Value) {
			if x.Key == "path" {
				path = x.RawValue
			} else if err := u.option(x); err != nil {
				return nil, err
			}
		}
		if value.Missing(path) {
			return nil, value.Errorf(28812, "no path specified to $unwind stage")
		}
		if path.Type != bson.TypeString {
			return nil, value.Errorf(28808, "expected a string as the path for $unwind stage, got %s", value.TypeName(path.Type))
		}
	default:
		return nil, value.Errorf(15981, "expected either a string or an object as specification for $unwind stage, got %s", value.TypeName(f.Type))
	}
	text := value.Str(path)
	if text == "" {
		return nil, value.Errorf(28812, "no path specified to $unwind stage")
	}
	if !isDollar(text) {
		return nil, value.Errorf(28818, "path option to $unwind stage should be prefixed with a '$': %s", text)
	}
	if err := value.CheckPath(text[1:]); err != nil {
		return nil, err
	}
	u.path = strings.Split(text[1:], ".")
	return u, nil
}

func (u *unwind) option(f value.Field) error {
	switch f.Key {
	case "preserveNullAndEmptyArrays":
		if f.Type != bson.TypeBoolean {
			return value.Errorf(28809, "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got %s", value.TypeName(f.Type))
		}
		u.keep = value.Bool(f.RawValue)
	case "includeArrayIndex":
		name := ""
		if f.Type == bson.TypeString {
			name = value.Str(f.RawValue)
		}
		if name == "" {
			return value.Errorf(28810, "expected a non-empty string for the includeArrayIndex option to $unwind stage, got %s", value.TypeName(f.Type))
		}
		if isDollar(name) {
			return value.Errorf(28822, "includeArrayIndex option to $unwind stage should not be prefixed with a '$': %s", name)
		}
		if err := value.CheckPath(name); err != nil {
			return err
		}
		u.index = strings.Split(name, ".")
	default:
		return value.Errorf(28811, "unrecognized option to $unwind stage: %s", f.Key)
	}
	return nil
}

func (u *unwind) run(in docs, _ Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		for doc, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			if !u.each(doc, func(d bson.Raw) bool { return yield(d, nil) }) {
				return
			}
		}
	}
}

// each gives the documents that come of one; false if the receiver is done.
func (u *unwind) each(doc bson.Raw, yield func(bson.Raw) bool) bool {
	v := nested(doc, u.path)
	if v.Type != bson.TypeArray {
		if value.Nullish(v) && !u.keep {
			return true
		}
		return yield(u.indexed(doc, value.Null()))
	}
	list := value.Elements(v.Value)
	if len(list) == 0 {
		return !u.keep || yield(u.indexed(setNested(doc, u.path, bson.RawValue{}), value.Null()))
	}
	for i, e := range list {
		if !yield(u.indexed(setNested(doc, u.path, e), value.OfInt64(int64(i)))) {
			return false
		}
	}
	return true
}

func (u *unwind) indexed(doc bson.Raw, i bson.RawValue) bson.Raw {
	if u.index == nil {
		return doc
	}
	return setNested(doc, u.index, i)
}

// nested follows a path through documents only.
func nested(doc []byte, path []string) bson.RawValue {
	v := value.OfDoc(doc)
	for _, name := range path {
		if v.Type != bson.TypeEmbeddedDocument {
			return bson.RawValue{}
		}
		v, _ = value.Lookup(v.Value, name)
	}
	return v
}

// setNested puts a value at a path, in place or at the end; a missing value
// takes the field away. What is no document on the way is replaced by one.
func setNested(doc []byte, path []string, v bson.RawValue) []byte {
	fields := value.Fields(doc)
	if len(path) > 1 {
		inner := emptyDoc
		if old, _ := value.Lookup(doc, path[0]); old.Type == bson.TypeEmbeddedDocument {
			inner = old.Value
		}
		v = value.OfDoc(setNested(inner, path[1:], v))
	}
	for i := range fields {
		if fields[i].Key == path[0] {
			if value.Missing(v) {
				return value.OfFields(append(fields[:i:i], fields[i+1:]...))
			}
			fields[i].RawValue = v
			return value.OfFields(fields)
		}
	}
	if value.Missing(v) {
		return doc
	}
	return value.OfFields(append(fields, value.Field{Key: path[0], RawValue: v}))
}

var emptyDoc = []byte{5, 0, 0, 0, 0}
