package docstore

import (
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/wire"
)

// kind is what type a command's field must have.
type kind uint8

const (
	kindAny kind = iota
	kindDoc
	kindArray
	kindString
	kindBool   // a boolean; numbers too, as MongoDB's "safe bool"
	kindCount  // a whole number, not negative
	kindNumber // a whole number
)

// request is a command taken apart: every field checked against the command's
// table, typed, and the document sequences merged in.
type request struct {
	e        *Engine
	cmd      *command
	name     string // of the command, as sent
	db       string
	body     bson.Raw      // whole
	first    bson.RawValue // the command's own value, mostly the collection
	fields   map[string]bson.RawValue
	seqs     map[string][]bson.Raw
	deadline time.Time   // of maxTimeMS; zero for none
	gone     func() bool // nobody waits for the answer any more; nil: not known
	durable  bool        // by the write concern
	lsid     bson.Raw    // the session's id; nil for none
	txn      *int64      // the number of a retryable write
	rowsSeen int
	out      *wire.Buffer // for the reply of a read; nil: make one
}

func (q *request) has(name string) bool {
	_, ok := q.fields[name]
	_, seq := q.seqs[name]
	return ok || seq
}

func (q *request) doc(name string) bson.Raw { return bson.Raw(q.fields[name].Value) }

func (q *request) str(name string) string {
	v, ok := q.fields[name]
	if !ok {
		return ""
	}
	return value.Str(v)
}

func (q *request) flag(name string) bool { return value.Truthy(q.fields[name]) }

func (q *request) int(name string, missing int64) int64 {
	v, ok := q.fields[name]
	if !ok || value.Nullish(v) {
		return missing
	}
	n, _ := value.Whole(v)
	return n
}

// docs is an array field of documents, from the body or a sequence.
func (q *request) docs(name string) ([]bson.Raw, error) {
	if s, ok := q.seqs[name]; ok {
		return s, nil
	}
	return documents(q.name, name, q.fields[name])
}

func documents(cmd, name string, v bson.RawValue) ([]bson.Raw, error) {
	var out []bson.Raw
	b := value.Inside(v.Value)
	for {
		t, _, d, rest, ok := value.Next(b)
		if !ok {
			return out, nil
		}
		if t != bson.TypeEmbeddedDocument {
			return nil, wrongType(cmd, name+"."+itoa(len(out)), t, "object")
		}
		out, b = append(out, bson.Raw(d)), rest
	}
}

// collection is the namespace that the command's own value names.
func (q *request) namespace() (namespace, error) {
	if q.first.Type != bson.TypeString {
		return namespace{}, refuse(73, "InvalidNamespace", "collection name has invalid type "+value.TypeName(q.first.Type))
	}
	return checkedNamespace(q.db, value.Str(q.first))
}

func checkedNamespace(db, name string) (namespace, error) {
	bad := name == "" || name[0] == '.' || len(db)+len(name) > 250
	for i := range len(name) {
		bad = bad || name[i] == 0 || name[i] == '$'
	}
	if bad {
		return namespace{}, refuse(73, "InvalidNamespace", "Invalid namespace specified '"+db+"."+name+"'")
	}
	return namespace{db, name}, nil
}

// alive is an error once the time of maxTimeMS has run out, the client has gone or the store closes.
// Scans call it for every row; it looks at the clock now and then.
func (q *request) alive() error {
	q.rowsSeen++
	if q.rowsSeen%128 != 0 {
		return nil
	}
	if q.gone != nil && q.gone() {
		return refuse(279, "ClientDisconnect", "operation was interrupted because the client has gone")
	}
	if !q.deadline.IsZero() && q.e.now().After(q.deadline) {
		return refuse(50, "MaxTimeMSExpired", "operation exceeded time limit")
	}
	select {
	case <-q.e.closing:
		return errClosed
	default:
		return nil
	}
}

// check verifies the type of a field.
func (k kind) check(cmd, field string, v bson.RawValue) error {
	switch k {
	case kindAny:
		return nil
	case kindDoc:
		if v.Type != bson.TypeEmbeddedDocument {
			return wrongType(cmd, field, v.Type, "object")
		}
	case kindArray:
		if v.Type != bson.TypeArray {
			return wrongType(cmd, field, v.Type, "array")
		}
	case kindString:
		if v.Type != bson.TypeString {
			return wrongType(cmd, field, v.Type, "string")
		}
	case kindBool:
		if v.Type != bson.TypeBoolean && !value.IsNumber(v.Type) {
			return wrongType(cmd, field, v.Type, "bool")
		}
	case kindCount, kindNumber:
		if !value.IsNumber(v.Type) {
			return wrongType(cmd, field, v.Type, "long")
		}
		n, whole := value.Whole(v)
		if !whole {
			return refuse(value.CodeFailedToParse, "FailedToParse", "'"+field+"' must be a whole number")
		}
		if k == kindCount && n < 0 {
			return refuse(51024, "Location51024", "BSON field '"+field+"' value must be >= 0")
		}
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// reply builds the answer of a command: f appends its fields.
func reply(f func(b []byte) []byte) bson.Raw {
	i, b := bsoncore.AppendDocumentStart(make([]byte, 0, 256))
	if f != nil {
		b = f(b)
	}
	b = bsoncore.AppendDoubleElement(b, "ok", 1)
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

func appendRawDoc(b []byte, name string, d bson.Raw) []byte {
	return bsoncore.AppendDocumentElement(b, name, bsoncore.Document(d))
}

func appendValue(b []byte, name string, v bson.RawValue) []byte {
	b = append(append(append(b, byte(v.Type)), name...), 0)
	return append(b, v.Value...)
}
