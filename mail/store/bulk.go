package store

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// MaxBulk is the most UIDs that one bulk operation may name. A whole mailbox
// of any size needs no list.
const MaxBulk = 1_000_000

// BulkKind is what a bulk operation does with its messages.
type BulkKind string

// The kinds of bulk operations.
const (
	BulkMove    BulkKind = "move"
	BulkCopy    BulkKind = "copy"
	BulkFlags   BulkKind = "flags"
	BulkExpunge BulkKind = "expunge"
	// BulkDelete removes the mailbox with everything in it.
	BulkDelete BulkKind = "delete-mailbox"
)

// JobState is where a bulk operation stands.
type JobState string

// The states. A job that waits or is active goes on after a crash.
const (
	JobWaiting   JobState = "waiting"
	JobActive    JobState = "active"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Ended reports a job that will not go on.
func (s JobState) Ended() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// Bulk describes an operation over many messages, to be done in the background.
type Bulk struct {
	User, Mailbox mail.ID
	Kind          BulkKind
	// UIDs are the messages; nil means all that pass Filter and are in the
	// mailbox when the operation is started. Later mail is left alone.
	UIDs   []mail.UID
	Filter ListFilter
	// Target is where messages are moved or copied to.
	Target mail.ID
	// Change is for BulkFlags and BulkMove (there without Set). Its condition
	// on mod-sequences is not for jobs.
	Change FlagChange
	// Archive is for BulkExpunge: keep the messages for WildDuck's 25 days.
	Archive bool
	// Ignore is the session id that already knows of the changes, or empty.
	Ignore string
}

// Job is a bulk operation under way or ended. Ended ones are kept for a day.
type Job struct {
	ID, User, Mailbox, Target mail.ID
	Kind                      BulkKind
	State                     JobState
	// Total is messages to be handled, Done those handled. After a crash Done
	// may lag behind by one step.
	Total, Done int
	// Failure is the domain's code, in words, of a job that failed.
	Failure          string
	Created, Updated time.Time
}

// jobKept is how long an ended job can be asked for.
const jobKept = 24 * time.Hour

// StartBulk writes a bulk operation down, from where Work does it in bounded
// steps, also after a crash. CodeNoMailbox, CodeInvalid, and CodeForbidden for
// deleting a mailbox that must stay.
func (s *Store) StartBulk(ctx context.Context, b Bulk) (Job, error) {
	const op = "start bulk operation"
	box, err := s.mailboxRecord(ctx, op, key("_id", oid(b.Mailbox), "user", oid(b.User)))
	if err != nil {
		return Job{}, err
	}
	if err := s.checkBulk(ctx, op, &b, box); err != nil {
		return Job{}, err
	}
	now := s.now()
	r := jobRecord{
		ID: oid(mail.NewIDAt(now)), User: oid(b.User), Mailbox: box.ID, Target: oid(b.Target), Kind: string(b.Kind),
		State: string(JobWaiting), Ignore: b.Ignore, Filter: jobFilter(b.Filter), Upto: box.UIDNext - 1,
		Add: flagStrings(cleanFlags(b.Change.Add)), Remove: flagStrings(b.Change.Remove),
		Set: flagStrings(cleanSet(b.Change.Set)), HasSet: b.Change.Set != nil, Archive: b.Archive || b.Kind == BulkDelete,
		Path: box.Path, LockedUntil: now, Created: now, Updated: now,
	}
	if b.UIDs != nil && b.Kind != BulkDelete {
		uids := slices.Clone(b.UIDs)
		slices.Sort(uids)
		uids = slices.Compact(uids)
		r.UIDs, r.Total = packUIDs(uids), int64(len(uids))
		if r.UIDs == nil {
			r.UIDs = []byte{}
		}
	} else if r.Total, err = s.countUpto(ctx, &r); err != nil {
		return Job{}, err
	}
	if _, err := s.jobs.InsertOne(ctx, &r); err != nil {
		return Job{}, fail(op, err)
	}
	poke(s.wakes.jobs)
	return r.job(), nil
}

func (s *Store) checkBulk(ctx context.Context, op string, b *Bulk, box *mailboxRecord) error {
	invalid := func(field, reason string) error {
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: field, Reason: reason}
	}
	if len(b.UIDs) > MaxBulk {
		return invalid("uids", "many")
	}
	switch b.Kind {
	case BulkMove, BulkCopy:
		if b.Change.Set != nil || (b.Kind == BulkMove && b.Target == b.Mailbox) {
			return invalid("target", "format")
		}
		_, err := s.mailboxRecord(ctx, op, key("_id", oid(b.Target), "user", oid(b.User)))
		return err
	case BulkFlags, BulkExpunge:
		return nil
	case BulkDelete:
		if !deletable(box) {
			return &mail.Error{Code: mail.CodeForbidden, Op: op}
		}
		return nil
	}
	return invalid("kind", "format")
}

func (s *Store) countUpto(ctx context.Context, r *jobRecord) (int64, error) {
	filter := append(ListFilter(r.Filter).filter(mail.ID(r.Mailbox)), bson.E{Key: "uid", Value: key("$lte", number(r.Upto))})
	n, err := s.messages.CountDocuments(ctx, filter, options.Count().SetHint(indexUID))
	return n, fail("count messages", err)
}

func flagStrings(flags []mail.Flag) []string {
	out := make([]string, len(flags))
	for i, f := range flags {
		out[i] = string(f)
	}
	return out
}

// BulkJob reads a bulk operation of an account. CodeNotFound.
func (s *Store) BulkJob(ctx context.Context, user, id mail.ID) (Job, error) {
	var r jobRecord
	err := s.jobs.FindOne(ctx, key("_id", oid(id), "user", oid(user)), options.FindOne().SetProjection(jobProjection)).Decode(&r)
	if err != nil {
		return Job{}, missing("read bulk operation", mail.CodeNotFound, err)
	}
	return r.job(), nil
}

// jobProjection leaves out the list of UIDs, which may be long.
var jobProjection = key("uids", 0)

// maxJobs bounds what BulkJobs returns.
const maxJobs = 100

// BulkJobs lists an account's bulk operations, newest first.
func (s *Store) BulkJobs(ctx context.Context, user mail.ID) ([]Job, error) {
	const op = "list bulk operations"
	cur, err := s.jobs.Find(ctx, key("user", oid(user)), options.Find().SetSort(key("_id", -1)).SetLimit(maxJobs).SetProjection(jobProjection))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []jobRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]Job, len(records))
	for i := range records {
		out[i] = records[i].job()
	}
	return out, nil
}

// CancelBulk asks a bulk operation to stop. The step under way is finished;
// what is done stays done. CodeNotFound for one that does not exist,
// CodeConflict for one that has ended or that has begun to delete a mailbox.
func (s *Store) CancelBulk(ctx context.Context, user, id mail.ID) error {
	const op = "cancel bulk operation"
	now := s.now()
	filter := key("_id", oid(id), "user", oid(user))
	idle := append(slices.Clone(filter), bson.E{Key: "state", Value: string(JobWaiting)})
	end := key("$set", key("state", string(JobCancelled), "updated", now, "expires", now.Add(jobKept)))
	res, err := s.jobs.UpdateOne(ctx, idle, end)
	if err == nil && res.MatchedCount == 0 {
		running := append(filter, bson.E{Key: "state", Value: string(JobActive)}, bson.E{Key: "kind", Value: key("$ne", string(BulkDelete))})
		res, err = s.jobs.UpdateOne(ctx, running, key("$set", key("cancel", true)))
	}
	if err != nil {
		return fail(op, err)
	}
	if res.MatchedCount > 0 {
		return nil
	}
	if _, err := s.BulkJob(ctx, user, id); err != nil {
		return err
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}
