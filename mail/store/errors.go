package store

import (
	"context"
	"errors"
	"slices"

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

// Errors of a server that cannot do it now, by MongoDB's numbers.
var (
	// refusing ones did nothing: not the primary (10107, 13435, 13436), the disk
	// is full (14031).
	refusing = []int{10107, 13435, 13436, 14031}
	// breaking ones may have done it: unreachable hosts and timeouts (6, 7, 89,
	// 9001, 262), shutting down (91, 11600), stepping down (189, 11602), not
	// replicated in time (64, 100).
	breaking = []int{6, 7, 64, 89, 91, 100, 189, 262, 9001, 11600, 11602}
)

func codeOf(err error) mail.Code {
	switch {
	case maybeDone(err), hasCode(err, refusing), unsent(err):
		return mail.CodeUnavailable
	case mongo.IsDuplicateKeyError(err):
		return mail.CodeExists
	}
	return mail.CodeInternal
}

// maybeDone reports a failure after which a write may have been done all the same.
func maybeDone(err error) bool {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		mongo.IsNetworkError(err), mongo.IsTimeout(err), errors.Is(err, mongo.ErrClientDisconnected), hasCode(err, breaking):
		return true
	case hasCode(err, refusing):
		return false
	}
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorLabel("RetryableWriteError") {
		return true
	}
	return unreplicated(err)
}

// betweenShards reports that a document did not go to another shard because
// somebody else was at it (112): the router's own transaction was taken back.
func betweenShards(err error) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && (server.HasErrorLabel("TransientTransactionError") || server.HasErrorCode(112))
}

// unsent reports a command that did not go out, because the connections were
// closed after another one's failure.
func unsent(err error) bool {
	var pool interface{ Retryable() bool }
	return errors.As(err, &pool) && pool.Retryable()
}

func hasCode(err error, codes []int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && slices.ContainsFunc(codes, server.HasErrorCode)
}

// unreplicated reports a write that was done on one server and whose
// replication failed.
func unreplicated(err error) bool {
	var one mongo.WriteException
	if errors.As(err, &one) {
		return one.WriteConcernError != nil && len(one.WriteErrors) == 0
	}
	var many mongo.BulkWriteException
	return errors.As(err, &many) && many.WriteConcernError != nil && len(many.WriteErrors) == 0
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
// done. After a lost connection, a timeout or a step-down it may have been.
func definite(err error) bool { return err != nil && !maybeDone(err) }

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
