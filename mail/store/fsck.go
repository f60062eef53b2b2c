package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Fsck says what is to be checked.
type Fsck struct {
	// User is one account; zero checks all, and after them the attachment
	// references, which can only be counted over all.
	User mail.ID
	// Repair mends what is found.
	Repair bool
	// FromStart disregards where an earlier run stopped.
	FromStart bool
}

// FsckEvent is one step of a check.
type FsckEvent struct {
	// Problem is what was found; nil for progress.
	Problem *Problem
	// Phase is accounts or attachments. Done of Total accounts, or messages, are
	// checked; Messages is how many of the account under way.
	Phase       string
	User        mail.ID
	Done, Total int64
	Messages    int
	// Resumed tells that an earlier run is gone on with.
	Resumed bool
}

// The phases of a check.
const (
	FsckAccounts    = "accounts"
	FsckAttachments = "attachments"
)

// FsckResult adds up what a check found, with what an earlier run of it found
// before it was interrupted.
type FsckResult struct {
	Accounts int64 `bson:"accounts"`
	Messages int64 `bson:"messages"`
	Bytes    int64 `bson:"bytes"`
	Problems int64 `bson:"problems"`
	Mended   int64 `bson:"mended"`
	// Busy counts numbers that could not be judged.
	Busy int64 `bson:"busy"`
}

// fsckState is where a check stands, in the settings.
type fsckState struct {
	Repair bool          `bson:"repair"`
	Last   bson.ObjectID `bson:"last"`
	// Passes is 0 while accounts are checked, then how many passes the count of
	// references has; Pass of them are done.
	Pass   int        `bson:"pass"`
	Passes int        `bson:"passes"`
	Result FsckResult `bson:"result"`
	At     time.Time  `bson:"at"`
}

const (
	fsckKey = "eider:fsck"
	// fsckPage is how many account ids are read at once, fsckSave how often the
	// state is written.
	fsckPage = 200
	fsckSave = 2 * time.Second
)

// Fsck checks accounts and attachment references beside others that read and
// write, in memory that does not grow with them. tell gets each event and may
// end the check with an error. A check of all that was interrupted goes on
// with the account, or the pass, in which it was.
func (s *Store) Fsck(ctx context.Context, f Fsck, tell func(FsckEvent) error) (FsckResult, error) {
	r := &fsckRun{s: s, f: f, tell: tell}
	if !f.User.IsZero() {
		r.total = 1
		err := r.account(ctx, f.User)
		return r.state.Result, err
	}
	if err := r.resume(ctx); err != nil {
		return r.state.Result, err
	}
	err := r.accounts(ctx)
	if err == nil {
		err = r.references(ctx)
	}
	if err != nil {
		// An interrupted run may be gone on with.
		rest, cancel := after(ctx)
		defer cancel()
		_ = r.save(rest)
		return r.state.Result, err
	}
	_, err = s.settings.DeleteOne(ctx, key("key", fsckKey, "enumerable", false))
	return r.state.Result, fail("end check", err)
}

type fsckRun struct {
	s     *Store
	f     Fsck
	tell  func(FsckEvent) error
	state fsckState
	total int64
	saved time.Time
}

// resume reads where an earlier run of the same kind stopped.
func (r *fsckRun) resume(ctx context.Context) error {
	const op = "begin check"
	n, err := r.s.users.EstimatedDocumentCount(ctx)
	if err != nil {
		return fail(op, err)
	}
	r.total = n
	var doc struct {
		Value fsckState `bson:"value"`
	}
	err = r.s.settings.FindOne(ctx, key("key", fsckKey, "enumerable", false)).Decode(&doc)
	if err != nil && !isNone(err) {
		return fail(op, err)
	}
	if err == nil && !r.f.FromStart && doc.Value.Repair == r.f.Repair {
		r.state = doc.Value
		return r.tell(FsckEvent{Phase: FsckAccounts, Done: r.state.Result.Accounts, Total: r.total, Resumed: true})
	}
	r.state = fsckState{Repair: r.f.Repair}
	return nil
}

func (r *fsckRun) save(ctx context.Context) error {
	r.saved, r.state.At = time.Now(), r.s.now()
	_, err := r.s.settings.UpdateOne(ctx, key("key", fsckKey, "enumerable", false), key("$set", key("value", r.state)), options.UpdateOne().SetUpsert(true))
	return fail("save where the check stands", err)
}

func (r *fsckRun) accounts(ctx context.Context) error {
	for r.state.Passes == 0 {
		ids, err := r.page(ctx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := r.account(ctx, mail.ID(id)); err != nil {
				return err
			}
			if time.Since(r.saved) > fsckSave {
				if err := r.save(ctx); err != nil {
					return err
				}
			}
		}
		if len(ids) < fsckPage {
			return nil
		}
	}
	return nil
}

// page lists the accounts after the last one that was checked.
func (r *fsckRun) page(ctx context.Context) ([]bson.ObjectID, error) {
	const op = "list accounts to check"
	cur, err := r.s.users.Find(ctx, key("_id", key("$gt", r.state.Last)),
		options.Find().SetSort(key("_id", 1)).SetLimit(fsckPage).SetProjection(key("_id", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []struct {
		ID bson.ObjectID `bson:"_id"`
	}
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	ids := make([]bson.ObjectID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids, nil
}

func (r *fsckRun) account(ctx context.Context, user mail.ID) error {
	sum := &r.state.Result
	before := *sum
	at := FsckEvent{Phase: FsckAccounts, User: user, Done: sum.Accounts, Total: r.total}
	c, err := r.s.checkAccount(ctx, user, checkOptions{
		repair: r.f.Repair, live: true, words: true, found: r.found(at),
		progress: func(messages int) error {
			now := at
			now.Messages = messages
			return r.tell(now)
		},
	})
	if err != nil {
		// An account that was not finished is checked again, and counted then.
		*sum = before
		if mail.IsCode(err, mail.CodeNoUser) && r.f.User.IsZero() {
			return nil // deleted meanwhile
		}
		return err
	}
	r.state.Last = oid(user)
	sum.Accounts++
	sum.Messages += int64(c.messages)
	sum.Bytes += c.bytes
	at.Done, at.Messages = sum.Accounts, c.messages
	return r.tell(at)
}

// found counts a problem and tells of it.
func (r *fsckRun) found(at FsckEvent) func(Problem) error {
	return func(p Problem) error {
		sum := &r.state.Result
		switch {
		case p.Kind == ProblemBusy:
			sum.Busy++
		case p.Mended:
			sum.Mended++
			sum.Problems++
		default:
			sum.Problems++
		}
		at.Problem = &p
		return r.tell(at)
	}
}

func (r *fsckRun) references(ctx context.Context) error {
	if r.state.Passes == 0 {
		passes, err := r.s.referencePasses(ctx)
		if err != nil {
			return err
		}
		r.state.Passes = passes
	}
	n, err := r.s.messages.EstimatedDocumentCount(ctx)
	if err != nil {
		return fail("count messages", err)
	}
	for ; r.state.Pass < r.state.Passes; r.state.Pass++ {
		at := FsckEvent{Phase: FsckAttachments, Total: n * int64(r.state.Passes)}
		before, sum := n*int64(r.state.Pass), r.state.Result
		err := r.s.checkReferences(ctx, checkOptions{
			repair: r.f.Repair, live: true, found: r.found(at),
			progress: func(messages int) error {
				now := at
				now.Done = before + int64(messages)
				return r.tell(now)
			},
		}, r.state.Pass, r.state.Passes)
		if err != nil {
			r.state.Result = sum
			return err
		}
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	return nil
}
