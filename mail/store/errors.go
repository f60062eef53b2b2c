package store

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail"
)

// fail turns a driver's error into the domain's. A missing document is not
// decided here: callers know what it means.
func fail(op string, err error) error {
	if err == nil {
		return nil
	}
	var have *mail.Error
	if errors.As(err, &have) {
		return err
	}
	return &mail.Error{Code: codeOf(err), Op: op, Err: err}
}

func codeOf(err error) mail.Code {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		mongo.IsNetworkError(err), mongo.IsTimeout(err), errors.Is(err, mongo.ErrClientDisconnected):
		return mail.CodeUnavailable
	case mongo.IsDuplicateKeyError(err):
		return mail.CodeExists
	}
	var selection mongo.ServerError
	if errors.As(err, &selection) && selection.HasErrorLabel("RetryableWriteError") {
		return mail.CodeUnavailable
	}
	return mail.CodeInternal
}

// missing is fail, with the code for "no such document".
func missing(op string, code mail.Code, err error) error {
	if errors.Is(err, mongo.ErrNoDocuments) {
		return &mail.Error{Code: code, Op: op}
	}
	return fail(op, err)
}

func oid(id mail.ID) bson.ObjectID { return bson.ObjectID(id) }

func oids(ids []mail.ID) []bson.ObjectID {
	out := make([]bson.ObjectID, len(ids))
	for i, id := range ids {
		out[i] = bson.ObjectID(id)
	}
	return out
}

// definite reports a failure after which the write has certainly not been
// done. After a lost connection or a timeout it may have been.
func definite(err error) bool {
	return err != nil && codeOf(err) != mail.CodeUnavailable
}

// uncertain marks the failure of a deciding write that may have been done:
// what the operation took for it must then not be given back. Too much is left
// that way, and Repair finds it; too little would lose mail.
type uncertain struct{ error }

// Unwrap gives the failure.
func (u uncertain) Unwrap() error { return u.error }

// undoable reports an error after which an operation gives back what it took.
func undoable(err error) bool {
	var u uncertain
	return err != nil && !errors.As(err, &u)
}
