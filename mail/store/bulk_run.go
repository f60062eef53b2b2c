package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// jobLease is how long a process holds a job without a sign of life.
	// Another process then goes on with it.
	jobLease = time.Minute
	// jobTries bounds failures in a row of one job that are nobody's absence.
	jobTries = 5
	// jobPause is the wait after such a failure, and while the database is away.
	jobPause = 5 * time.Second
	// stepTime is what one step aims at. The embedded store has one writer, and
	// a delivery that comes meanwhile waits for it.
	stepTime          = 10 * time.Millisecond
	minStep, maxStep  = 10, 100
	firstStep         = 25
	restOfStep        = 2 // a pause is this part of the step's own time
	shortestStepPause = time.Millisecond
)

// pace sizes the steps of background work so that each is short, and rests
// between two, so that deliveries come in.
type pace struct {
	n     int
	start time.Time
}

func newPace() *pace { return &pace{n: firstStep} }

// begin gives the size of the next step.
func (p *pace) begin() int {
	p.start = time.Now()
	return p.n
}

// rest ends a step and waits a moment. A step that took long makes the next
// ones smaller.
func (p *pace) rest(ctx context.Context) error {
	took := time.Since(p.start)
	switch {
	case took > 2*stepTime:
		p.n = max(p.n/2, minStep)
	case took < stepTime:
		p.n = min(p.n+p.n/4+1, maxStep)
	}
	return pause(ctx, max(took/restOfStep, shortestStepPause))
}

// claimJob takes the oldest job that nobody works on; nil when there is none.
func (s *Store) claimJob(ctx context.Context) (*jobRecord, error) {
	now := s.now()
	var r jobRecord
	err := s.jobs.FindOneAndUpdate(ctx,
		key("state", key("$in", bson.A{string(JobWaiting), string(JobActive)}), "lockedUntil", key("$lte", now)),
		key("$set", key("state", string(JobActive), "lock", oid(mail.NewID()), "lockedUntil", now.Add(jobLease))),
		options.FindOneAndUpdate().SetSort(key("lockedUntil", 1)).SetReturnDocument(options.After)).Decode(&r)
	if isNone(err) {
		return nil, nil //nolint:nilnil // nothing to do is no failure
	}
	return &r, fail("claim bulk operation", err)
}

// bulkRun is one job in the hands of this process.
type bulkRun struct {
	s *Store
	*jobRecord
	ranges []uidRange
	pace   *pace
	// fresh is set until the first step is done: what it copies may be there.
	fresh bool
}

// errLost says that another process has the job.
var errLost = errors.New("the job is in other hands")

// runJob works on a job until it ends, fails, or ctx ends.
func (s *Store) runJob(ctx context.Context, r *jobRecord) {
	run := &bulkRun{s: s, jobRecord: r, pace: newPace(), fresh: true}
	if r.UIDs != nil {
		run.ranges = unpackUIDs(r.UIDs)
	}
	err := run.work(ctx)
	rest, cancel := after(ctx)
	defer cancel()
	switch {
	case err == nil, errors.Is(err, errLost):
	case ctx.Err() != nil || mail.IsCode(err, mail.CodeUnavailable):
		run.giveBack(rest, ctx.Err() != nil, r.Tries)
	case mail.IsCode(err, mail.CodeInternal), mail.IsCode(err, mail.CodeConflict):
		if r.Tries+1 < jobTries {
			run.giveBack(rest, false, r.Tries+1)
			break
		}
		fallthrough
	default:
		run.end(rest, JobFailed, mail.CodeOf(err).String())
	}
	if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
		s.log.LogAttrs(rest, slog.LevelWarn, "bulk operation interrupted", slog.String("job", mail.ID(r.ID).String()), slog.Any("err", err))
	}
}

func (r *bulkRun) work(ctx context.Context) error {
	if BulkKind(r.Kind) == BulkDelete {
		if err := r.s.hideMailbox(ctx, mail.ID(r.User), mail.ID(r.Mailbox)); err != nil {
			return r.deleted(ctx, err)
		}
	}
	for {
		done, last, err := r.step(ctx, r.pace.begin())
		if err != nil {
			return r.deleted(ctx, err)
		}
		if last == 0 {
			break
		}
		r.fresh = false
		goesOn, err := r.checkpoint(ctx, done, last)
		if err != nil || !goesOn {
			return err
		}
		if err := r.pace.rest(ctx); err != nil {
			return err
		}
	}
	if BulkKind(r.Kind) == BulkDelete {
		if err := r.s.deleteEmptied(ctx, mail.ID(r.User), mail.ID(r.Mailbox), r.Path); err != nil {
			return err
		}
	}
	r.end(ctx, JobDone, "")
	return nil
}

// deleted takes it as success that a mailbox to be deleted is gone: the process
// before this one died after its last step.
func (r *bulkRun) deleted(ctx context.Context, err error) error {
	if BulkKind(r.Kind) == BulkDelete && mail.IsCode(err, mail.CodeNoMailbox) {
		r.end(ctx, JobDone, "")
		return nil
	}
	return err
}

// step handles the next messages, n at most, and gives how many it handled and
// the last UID that it looked at, 0 when none are left.
func (r *bulkRun) step(ctx context.Context, n int) (done int, last mail.UID, err error) {
	kind := BulkKind(r.Kind)
	if kind == BulkCopy {
		n = min(n, copyBatch)
	}
	uids, err := r.next(ctx, n)
	if err != nil || len(uids) == 0 {
		return 0, 0, err
	}
	last = uids[len(uids)-1]
	sel := Selection{User: mail.ID(r.User), Mailbox: mail.ID(r.Mailbox), UIDs: uids, Ignore: r.Ignore}
	change := FlagChange{Add: flagsOf(r.Add), Remove: flagsOf(r.Remove)}
	switch kind {
	case BulkMove:
		_, err = r.s.Move(ctx, sel, mail.ID(r.Target), MoveOptions{Add: change.Add, Remove: change.Remove})
	case BulkCopy:
		err = r.copy(ctx, sel)
	case BulkFlags:
		if r.HasSet {
			change.Set = append([]mail.Flag{}, flagsOf(r.Set)...)
		}
		_, err = r.s.StoreFlags(ctx, sel, change)
	case BulkExpunge, BulkDelete:
		_, err = r.s.Expunge(ctx, sel, ExpungeOptions{Archive: r.Archive})
	default:
		err = &mail.Error{Code: mail.CodeInvalid, Op: "bulk operation", Field: "kind"}
	}
	return len(uids), last, err
}

// next lists the next UIDs of the job. Those of an explicit list may be gone;
// the operations skip them.
func (r *bulkRun) next(ctx context.Context, n int) ([]mail.UID, error) {
	cursor := mail.UID(r.Cursor) //nolint:gosec // 32 bits by RFC
	if r.UIDs != nil {
		return nextUIDs(r.ranges, cursor, n), nil
	}
	f := ListFilter(r.Filter)
	if BulkKind(r.Kind) == BulkDelete {
		// Whatever is there: mail may have come since the job was started.
		return r.s.uids(ctx, mail.ID(r.Mailbox), 0, ListFilter{}, n)
	}
	uids, err := r.s.uids(ctx, mail.ID(r.Mailbox), cursor, f, n)
	for len(uids) > 0 && int64(uids[len(uids)-1]) > r.Upto {
		uids = uids[:len(uids)-1]
	}
	return uids, err
}

// copy copies with ids that follow from the job and the source, so that a step
// that was done before a crash is not done again.
func (r *bulkRun) copy(ctx context.Context, sel Selection) error {
	target, err := r.s.mailboxRecord(ctx, "bulk copy", key("_id", r.Target, "user", r.User))
	if err != nil {
		return err
	}
	o := copyOptions{id: r.copyID, again: r.fresh}
	_, err = r.s.copyBatch(ctx, sel, target, o)
	if mail.IsCode(err, mail.CodeExists) && !o.again {
		// Another process thought that this one had died.
		o.again = true
		_, err = r.s.copyBatch(ctx, sel, target, o)
	}
	return err
}

// copyID is the id of the copy of a message: the job's time, then a hash.
func (r *bulkRun) copyID(source bson.ObjectID) mail.ID {
	sum := sha256.Sum256(append(append([]byte{}, r.ID[:]...), source[:]...))
	id := mail.ID(r.ID)
	copy(id[4:], sum[:])
	return id
}

// checkpoint keeps how far the job is, in one update that also holds the lease.
// It reports false when the job was cancelled.
func (r *bulkRun) checkpoint(ctx context.Context, done int, last mail.UID) (bool, error) {
	const op = "keep progress of bulk operation"
	now := r.s.now()
	lock := r.Lock
	var next jobRecord
	err := r.s.jobs.FindOneAndUpdate(ctx, key("_id", r.ID, "lock", lock), bson.D{
		{Key: "$set", Value: key("cursor", number(int64(last)), "tries", 0, "updated", now, "lockedUntil", now.Add(jobLease))},
		{Key: "$inc", Value: key("done", done)},
	}, options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(jobProjection)).Decode(&next)
	if isNone(err) {
		return false, errLost
	}
	if err != nil {
		return false, fail(op, err)
	}
	r.Cursor, r.Done, r.Tries = next.Cursor, next.Done, next.Tries
	if next.Cancel {
		r.end(ctx, JobCancelled, "")
		return false, nil
	}
	return true, nil
}

// giveBack lets any process go on: at once, or after a pause.
func (r *bulkRun) giveBack(ctx context.Context, now bool, tries int64) {
	until := r.s.now()
	if !now {
		until = until.Add(jobPause)
	}
	r.update(ctx, key("$set", key("lockedUntil", until, "tries", tries)))
}

func (r *bulkRun) end(ctx context.Context, state JobState, failure string) {
	now := r.s.now()
	r.update(ctx, key("$set", key("state", string(state), "failure", failure, "updated", now, "expires", now.Add(jobKept)),
		"$unset", key("uids", "", "lock", "")))
}

// update changes the job while it is in our hands. When it fails the lease
// ends by itself, and the job is taken up again, which does no harm.
func (r *bulkRun) update(ctx context.Context, change bson.D) {
	if _, err := r.s.jobs.UpdateOne(ctx, key("_id", r.ID, "lock", r.Lock), change); err != nil {
		r.s.log.LogAttrs(ctx, slog.LevelWarn, "bulk operation not settled", slog.String("job", mail.ID(r.ID).String()), slog.Any("err", err))
	}
}
