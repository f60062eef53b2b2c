package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Audit collects an account's mail for somebody who may look at it.
type Audit struct {
	ID, User mail.ID
	// Start and End bound the mail by its arrival; zero for no bound.
	Start, End time.Time
	// Expires is when the audit and what it collected are removed.
	Expires time.Time
	Deleted bool
	Notes   string
	// Meta is a JSON object.
	Meta string
	// Status is queued, importing, imported or failed; Copied and Failed count
	// the messages that were there when the audit began.
	Status         string
	Copied, Failed int
	// Audited counts what has been collected, LastAudited is when.
	Audited     int
	LastAudited time.Time
}

func (s *Store) auditKind() *kind[Audit] {
	return &kind[Audit]{
		collection: s.audits, name: "audit", none: mail.CodeNotFound, order: "_id",
		read: decoded((*auditRecord).audit), doc: func(*Audit) bson.D { return nil },
	}
}

// AddAudit begins an audit, and gives WildDuck's task runner the mail that is
// there to collect: Eider collects nothing itself.
func (s *Store) AddAudit(ctx context.Context, a Audit) (Audit, error) {
	const op = "add audit"
	if a.Meta == "" {
		a.Meta = "{}"
	}
	var meta bson.D
	if err := bson.UnmarshalExtJSON([]byte(a.Meta), false, &meta); err != nil {
		return a, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "meta", Reason: "format", Err: err}
	}
	a.ID, a.Status = mail.NewIDAt(s.now()), "queued"
	date := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t
	}
	_, err := s.audits.InsertOne(ctx, bson.D{
		{Key: "_id", Value: oid(a.ID)},
		{Key: "user", Value: oid(a.User)},
		{Key: "start", Value: date(a.Start)},
		{Key: "end", Value: date(a.End)},
		{Key: "expires", Value: a.Expires},
		{Key: "deleted", Value: false},
		{Key: "notes", Value: text(a.Notes)},
		{Key: "meta", Value: meta},
		{Key: "import", Value: key("status", a.Status, "failed", 0, "copied", 0)},
		{Key: "audited", Value: 0},
		{Key: "lastAuditedMessage", Value: nil},
	})
	if err != nil {
		return a, fail(op, err)
	}
	_, err = s.addTask(ctx, taskAudit, key("audit", oid(a.ID), "user", oid(a.User), "start", date(a.Start), "end", date(a.End)), time.Time{})
	if err != nil {
		undo, cancel := after(ctx)
		defer cancel()
		_, undone := s.audits.DeleteOne(undo, key("_id", oid(a.ID)))
		return a, fail(op, errors.Join(err, undone))
	}
	return a, nil
}

// Audit reads one. CodeNotFound.
func (s *Store) Audit(ctx context.Context, id mail.ID) (Audit, error) {
	return s.auditKind().get(ctx, key("_id", oid(id)))
}

// maxAudits bounds the audits of one account.
const maxAudits = 100

// ActiveAudits are those of an account that go on at a time.
func (s *Store) ActiveAudits(ctx context.Context, user mail.ID, at time.Time) ([]Audit, error) {
	list, err := s.auditKind().find(ctx, key("user", oid(user), "expires", key("$gt", at)),
		options.Find().SetSort(key("expires", 1)).SetLimit(maxAudits))
	out := list[:0]
	for _, a := range list {
		if !a.Deleted && !a.Start.After(at) && (a.End.IsZero() || !a.End.Before(at)) {
			out = append(out, a)
		}
	}
	return out, err
}
