package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// MaxFilters is how many filters an account has where it has no limit of its
// own (WildDuck's const:max:filters).
const MaxFilters = 400

// Filter acts on mail that arrives.
type Filter struct {
	ID, User mail.ID
	Name     string
	Query    FilterQuery
	Action   FilterAction
	Disabled bool
	// MetaData is JSON text of the API's client.
	MetaData string
	Created  time.Time
}

// FilterQuery must hold as a whole; what is empty does not matter.
type FilterQuery struct {
	From, To, Subject, ListID, Text string
	HasAttachments                  *bool
	// Size above 0 asks for larger messages, below 0 for smaller ones, in bytes.
	Size int64
}

// FilterAction is what happens; nil leaves it to other filters.
type FilterAction struct {
	Seen, Flag, Delete, Spam *bool
	Mailbox                  mail.ID
	Targets                  []Target
}

func (s *Store) filterKind() *kind[Filter] {
	return &kind[Filter]{
		collection: s.filters, name: "filter", none: mail.CodeNotFound, order: "_id",
		read: decoded((*filterRecord).filter), doc: filterDoc,
	}
}

// Filters lists an account's filters in the order in which they act.
func (s *Store) Filters(ctx context.Context, user mail.ID) ([]Filter, error) {
	return s.filterKind().list(ctx, key("user", oid(user)), 2*MaxFilters)
}

// AllFilters lists the filters of all accounts, or, with a target, those that
// forward to it.
func (s *Store) AllFilters(ctx context.Context, target string, p Paging) ([]Filter, Cursors, error) {
	filter := bson.D{}
	if target != "" {
		filter = key("action.targets.value", target)
	}
	return s.filterKind().page(ctx, filter, p)
}

// Filter reads one. CodeNotFound.
func (s *Store) Filter(ctx context.Context, user, id mail.ID) (Filter, error) {
	return s.filterKind().get(ctx, key("_id", oid(id), "user", oid(user)))
}

// AddFilter adds a filter at the end. CodeInvalid with Reason "many" when the
// account has as many as it may; CodeNoMailbox for a mailbox that is not its own.
func (s *Store) AddFilter(ctx context.Context, f Filter) (Filter, error) {
	const op = "add filter"
	u, err := s.findUserRecord(ctx, op, key("_id", oid(f.User)))
	if err != nil {
		return f, err
	}
	limit := u.Filters
	if limit <= 0 {
		limit = MaxFilters
	}
	n, err := s.filters.CountDocuments(ctx, key("user", oid(f.User)))
	if err != nil {
		return f, fail(op, err)
	}
	if n >= limit {
		return f, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "filters", Reason: "many"}
	}
	if err := s.ownMailbox(ctx, op, f.User, f.Action.Mailbox); err != nil {
		return f, err
	}
	f.ID, f.Created = mail.NewIDAt(s.now()), s.now()
	nameTargets(f.Action.Targets)
	return f, s.filterKind().insert(ctx, f.ID, &f, bson.E{Key: "created", Value: f.Created})
}

func (s *Store) ownMailbox(ctx context.Context, op string, user, mailbox mail.ID) error {
	if mailbox.IsZero() {
		return nil
	}
	_, err := s.mailboxRecord(ctx, op, key("_id", oid(mailbox), "user", oid(user)))
	return err
}

// EditFilter changes a filter: what change alters is written.
func (s *Store) EditFilter(ctx context.Context, user, id mail.ID, change func(*Filter) error) (Filter, error) {
	return s.filterKind().edit(ctx, key("_id", oid(id), "user", oid(user)), func(f *Filter) error {
		box := f.Action.Mailbox
		if err := change(f); err != nil {
			return err
		}
		nameTargets(f.Action.Targets)
		if f.Action.Mailbox == box {
			return nil
		}
		return s.ownMailbox(ctx, "change filter", user, f.Action.Mailbox)
	})
}

// DeleteFilter removes a filter. CodeNotFound.
func (s *Store) DeleteFilter(ctx context.Context, user, id mail.ID) error {
	return s.filterKind().remove(ctx, key("_id", oid(id), "user", oid(user)))
}

// Autoreply answers mail while its owner is away.
type Autoreply struct {
	ID, User mail.ID
	Status   bool
	// Name is the sender's, Text and HTML the answer.
	Name, Subject, Text, HTML string
	// Start and End bound it; zero for no bound.
	Start, End, Created time.Time
}

func (s *Store) autoreplyKind() *kind[Autoreply] {
	return &kind[Autoreply]{
		collection: s.autoreplies, name: "autoreply", none: mail.CodeNotFound, order: "_id",
		read: decoded((*autoreplyRecord).autoreply), doc: autoreplyDoc,
	}
}

// Autoreply reads an account's; one that is off where there is none.
func (s *Store) Autoreply(ctx context.Context, user mail.ID) (Autoreply, error) {
	a, err := s.autoreplyKind().get(ctx, key("user", oid(user)))
	if mail.IsCode(err, mail.CodeNotFound) {
		return Autoreply{User: user}, nil
	}
	return a, err
}

// SetAutoreply changes an account's, or makes it: what change alters is
// written. The account's own mark of it, by which a delivery knows, follows;
// after a crash between the two the next change sets it right.
func (s *Store) SetAutoreply(ctx context.Context, user mail.ID, change func(*Autoreply) error) (Autoreply, error) {
	const op = "set autoreply"
	if _, err := s.User(ctx, user); err != nil {
		return Autoreply{}, err
	}
	// The row is made first, so that two who begin at the same time meet in it.
	id := mail.NewIDAt(s.now())
	blank := Autoreply{User: user}
	_, err := s.autoreplies.UpdateOne(ctx, key("user", oid(user)),
		key("$setOnInsert", append(autoreplyDoc(&blank)[1:], bson.E{Key: "_id", Value: oid(id)})), options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return Autoreply{}, fail(op, err)
	}
	now := s.now().UTC().Truncate(time.Second)
	a, err := s.autoreplyKind().edit(ctx, key("user", oid(user)), change, func(_, _ *Autoreply) bson.D {
		return key("$set", key("created", now.Format(isoTime)))
	})
	if err != nil {
		return a, err
	}
	a.Created = now
	return a, s.updateUser(ctx, op, user, key("$set", key("autoreply", a.Status)))
}

// DeleteAutoreply removes an account's autoreply, if it has one.
func (s *Store) DeleteAutoreply(ctx context.Context, user mail.ID) error {
	const op = "delete autoreply"
	if err := s.updateUser(ctx, op, user, key("$set", key("autoreply", false))); err != nil {
		return err
	}
	_, err := s.autoreplies.DeleteMany(ctx, key("user", oid(user)))
	return fail(op, err)
}
