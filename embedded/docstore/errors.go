package docstore

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/value"
)

func refuse(code int32, name, message string) error {
	return &value.Error{Code: code, Name: name, Message: message}
}

func unknownField(cmd, field string) error {
	return refuse(40415, "IDLUnknownField", "BSON field '"+cmd+"."+field+"' is an unknown field.")
}

func missingField(cmd, field string) error {
	return refuse(40414, "IDLFailedToParse", "BSON field '"+cmd+"."+field+"' is missing but a required field")
}

func wrongType(cmd, field string, t bson.Type, want string) error {
	return refuse(value.CodeTypeMismatch, "TypeMismatch",
		"BSON field '"+cmd+"."+field+"' is the wrong type '"+value.TypeName(t)+"', expected type '"+want+"'")
}

// duplicateError is a violation of a unique index.
type duplicateError struct {
	ns         namespace
	name       string
	keyPattern bson.Raw
	keyValue   bson.Raw
}

func (d *duplicateError) Error() string {
	return "E11000 duplicate key error collection: " + d.ns.String() + " index: " + d.name + " dup key: " + d.keyValue.String()
}

// asError finds MongoDB's form of any error, with the fields that go with it.
func asError(err error) (code int32, name, message string, extra func([]byte) []byte) {
	var dup *duplicateError
	if errors.As(err, &dup) {
		return 11000, "DuplicateKey", dup.Error(), func(b []byte) []byte {
			b = bsoncore.AppendDocumentElement(b, "keyPattern", bsoncore.Document(dup.keyPattern))
			return bsoncore.AppendDocumentElement(b, "keyValue", bsoncore.Document(dup.keyValue))
		}
	}
	var ve *value.Error
	if !errors.As(err, &ve) {
		_ = errors.As(storageError(err), &ve)
	}
	return ve.Code, ve.Name, ve.Message, func(b []byte) []byte { return b }
}

// errorReply is the answer of a command that failed as a whole.
func errorReply(err error) bson.Raw {
	code, name, message, extra := asError(err)
	i, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendDoubleElement(b, "ok", 0)
	b = bsoncore.AppendStringElement(b, "errmsg", message)
	b = bsoncore.AppendInt32Element(b, "code", code)
	b = bsoncore.AppendStringElement(b, "codeName", name)
	b = extra(b)
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// writeError is one failed statement of a write command.
type writeError struct {
	index int
	err   error
}

func appendWriteErrors(b []byte, list []writeError) []byte {
	if len(list) == 0 {
		return b
	}
	ai, b := bsoncore.AppendArrayElementStart(b, "writeErrors")
	for n, w := range list {
		code, _, message, extra := asError(w.err)
		di, d := bsoncore.AppendDocumentElementStart(b, itoa(n))
		d = bsoncore.AppendInt32Element(d, "index", int32(w.index)) //nolint:gosec // at most 100,000
		d = bsoncore.AppendInt32Element(d, "code", code)
		d = extra(d)
		d = bsoncore.AppendStringElement(d, "errmsg", message)
		b, _ = bsoncore.AppendDocumentEnd(d, di)
	}
	b, _ = bsoncore.AppendArrayEnd(b, ai)
	return b
}

// isRefusal tells an answer to the client from a failure of the store.
func isRefusal(err error) bool {
	var dup *duplicateError
	var ve *value.Error
	return errors.As(err, &dup) || errors.As(err, &ve)
}
