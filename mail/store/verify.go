package store

import (
	"context"
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Kinds of Problem.
const (
	ProblemTotal             = "total"
	ProblemUnseen            = "unseen"
	ProblemQuota             = "quota"
	ProblemUIDNext           = "uid-next"
	ProblemModSeq            = "modseq"
	ProblemDuplicateUID      = "duplicate-uid"
	ProblemBooleans          = "booleans"
	ProblemOwnFields         = "own-fields"
	ProblemThreads           = "conversation-split"
	ProblemThreadLost        = "conversation-lost"
	ProblemOrphan            = "orphan-message"
	ProblemJournal           = "journal"
	ProblemMissingAttachment = "attachment-missing"
	ProblemReferences        = "attachment-references"
	ProblemArchived          = "archived-duplicate"
	// ProblemSearchMissing is a message that the term index should have;
	// ProblemSearchStray, words of no message that nobody is on the way to remove;
	// ProblemSearchDead, more deleted messages in segments than are noted, so that
	// their words would stay; ProblemSearchDamaged, a part that cannot be read.
	ProblemSearchMissing = "search-missing"
	ProblemSearchStray   = "search-stray"
	ProblemSearchDead    = "search-dead"
	ProblemSearchDamaged = "search-damaged"
	// ProblemBusy is no difference: the account never came to rest, so a number
	// of it could not be judged. Want names the kind.
	ProblemBusy = "busy"
)

// verifyRecord is what verification reads of a message.
type verifyRecord struct {
	// State is exported for the decoder, which skips what is not.
	State     stateRecord   `bson:",inline"`
	Mailbox   bson.ObjectID `bson:"mailbox"`
	Undeleted bool          `bson:"undeleted"`
	Flagged   bool          `bson:"flagged"`
	Draft     bool          `bson:"draft"`
	MimeTree  struct {
		Map bson.RawValue `bson:"attachmentMap"`
	} `bson:"mimeTree"`
	StateField bson.RawValue `bson:"eiderF"`
	Root       bson.ObjectID `bson:"root"`
	Eider      struct {
		Terms int `bson:"terms"`
	} `bson:"eider"`
}

var verifyProjection = append(slices.Clone(stateProjection),
	bson.E{Key: "mailbox", Value: 1}, bson.E{Key: "undeleted", Value: 1}, bson.E{Key: "flagged", Value: 1},
	bson.E{Key: "draft", Value: 1}, bson.E{Key: "mimeTree.attachmentMap", Value: 1}, bson.E{Key: stateFieldName, Value: 1},
	bson.E{Key: "root", Value: 1}, bson.E{Key: "eider.terms", Value: 1})

// checkOptions say how an account is checked.
type checkOptions struct {
	// repair mends what is found.
	repair bool
	// live: others may write meanwhile. What their unfinished work looks like is
	// waited for and looked at again.
	live bool
	// words: the term index is checked too.
	words bool
	// found is told each problem, after it was mended.
	found func(Problem) error
	// progress is told the number of messages looked at; nil for nobody.
	progress func(messages int) error
}

// check is one account's check under way. Its memory does not grow with the
// account, but for a bit and the twelve bytes of termsCheck for each message.
type check struct {
	s        *Store
	o        checkOptions
	user     *userRecord
	boxes    map[mail.ID]*boxCheck
	orphans  int
	messages int
	bytes    int64
	contents *contentCheck
	journal  *journalCheck
	threads  *threadCheck
	terms    *termsCheck
	// stale are messages whose state field says nothing.
	stale []verifyRecord
}

type boxCheck struct {
	mailboxRecord
	total, unseen int
	// uids has a bit for each UID.
	uids map[int64]uint64
}

// Verify counts an account's messages anew and says what differs: counters,
// used storage, UIDs and mod-sequences, fields beside flags, journal entries
// of the last hours, attachments whose content is gone. It changes nothing.
// What is being written while it runs may show as a difference.
func (s *Store) Verify(ctx context.Context, user mail.ID) (Report, error) {
	return s.collect(ctx, user, checkOptions{words: true})
}

func (s *Store) collect(ctx context.Context, user mail.ID, o checkOptions) (Report, error) {
	report := Report{User: user}
	o.found = func(p Problem) error {
		report.Problems = append(report.Problems, p)
		return nil
	}
	c, err := s.checkAccount(ctx, user, o)
	if err != nil {
		return report, err
	}
	report.Messages, report.Bytes = c.messages, c.bytes
	return report, nil
}

// checkAccount runs all the checks of one account.
func (s *Store) checkAccount(ctx context.Context, user mail.ID, o checkOptions) (*check, error) {
	c, err := s.newCheck(ctx, user, o)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{
		c.terms.begin, c.scan, c.writeStale, c.threads.flush, c.conversations, c.counters, c.quota, c.contents.flush, c.journal.flush, c.terms.end,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *Store) newCheck(ctx context.Context, user mail.ID, o checkOptions) (*check, error) {
	const op = "verify account"
	u, err := s.findUserRecord(ctx, op, key("_id", oid(user)))
	if err != nil {
		return nil, err
	}
	cur, err := s.mailboxes.Find(ctx, key("user", oid(user)))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []mailboxRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	c := &check{s: s, o: o, user: u, boxes: map[mail.ID]*boxCheck{}}
	c.contents = &contentCheck{check: c, uses: map[[32]byte]mail.ID{}}
	c.journal = &journalCheck{check: c, young: map[mail.ID][]youngMessage{}}
	c.terms = &termsCheck{check: c}
	c.threads = &threadCheck{check: c}
	for i := range records {
		c.addBox(&records[i])
	}
	return c, nil
}

func (c *check) addBox(r *mailboxRecord) *boxCheck {
	box := &boxCheck{mailboxRecord: *r, uids: map[int64]uint64{}}
	c.boxes[mail.ID(r.ID)] = box
	return box
}

// add reports a problem, mended first where that is asked for.
func (c *check) add(ctx context.Context, p Problem, mend func(context.Context) error) error {
	p.User = mail.ID(c.user.ID)
	if c.o.repair && mend != nil {
		if err := mend(ctx); err != nil {
			return err
		}
		p.Mended = true
	}
	return c.o.found(p)
}

// progressEvery is how many messages lie between two reports of progress.
const progressEvery = 500

func (c *check) scan(ctx context.Context) error {
	const op = "verify messages"
	cur, err := c.s.messages.Find(ctx, key("user", c.user.ID),
		options.Find().SetProjection(verifyProjection).SetHint(indexConversation))
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		var r verifyRecord
		if err := cur.Decode(&r); err != nil {
			return fail(op, err)
		}
		if err := c.message(ctx, &r); err != nil {
			return err
		}
		if c.o.progress != nil && c.messages%progressEvery == 0 {
			if err := c.o.progress(c.messages); err != nil {
				return err
			}
		}
	}
	return fail(op, cur.Err())
}

func (c *check) message(ctx context.Context, r *verifyRecord) error {
	c.messages++
	c.bytes += r.State.Size
	if err := c.contents.add(ctx, r); err != nil {
		return err
	}
	if err := c.terms.message(ctx, r); err != nil {
		return err
	}
	if err := c.threads.add(ctx, mail.ID(r.State.Thread)); err != nil {
		return err
	}
	box, err := c.box(ctx, mail.ID(r.Mailbox))
	if err != nil {
		return err
	}
	p := Problem{Mailbox: mail.ID(r.Mailbox), Message: mail.ID(r.State.ID)}
	if box == nil {
		c.orphans++
		p.Kind = ProblemOrphan
		return c.add(ctx, p, c.refile(p))
	}
	box.total++
	box.unseen += count(!mail.HasFlag(flagsOf(r.State.Flags), mail.FlagSeen))
	double, err := c.double(ctx, box, r)
	if err != nil {
		return err
	}
	if double {
		p.Kind, p.Have = ProblemDuplicateUID, strconv.FormatInt(r.State.UID, 10)
		return c.add(ctx, p, c.refile(p))
	}
	if err := c.numbers(ctx, box, r, p); err != nil {
		return err
	}
	if err := c.fields(ctx, r, p); err != nil {
		return err
	}
	if time.Since(p.Message.Time()) < journalTime-journalSlack {
		return c.journal.add(ctx, r)
	}
	return nil
}

// box finds a message's mailbox, also one that was made meanwhile.
func (c *check) box(ctx context.Context, id mail.ID) (*boxCheck, error) {
	if box := c.boxes[id]; box != nil {
		return box, nil
	}
	r, err := c.s.mailboxRecord(ctx, "verify mailbox", key("_id", oid(id), "user", c.user.ID))
	switch {
	case mail.IsCode(err, mail.CodeNoMailbox):
		return nil, nil //nolint:nilnil // there is none, which is the finding
	case err != nil:
		return nil, err
	}
	return c.addBox(r), nil
}

// double reports a UID that two messages have.
func (c *check) double(ctx context.Context, box *boxCheck, r *verifyRecord) (bool, error) {
	word, bit := r.State.UID>>6, uint64(1)<<(r.State.UID&63)
	seen := box.uids[word]&bit != 0
	box.uids[word] |= bit
	if !seen {
		return false, nil
	}
	// One message may be met twice, where its conversation changed meanwhile.
	n, err := c.s.messages.CountDocuments(ctx, key("mailbox", box.ID, "uid", number(r.State.UID)), options.Count().SetHint(indexUID))
	return n > 1, fail("verify uid", err)
}

// numbers compares UID and mod-sequence with the mailbox's.
func (c *check) numbers(ctx context.Context, box *boxCheck, r *verifyRecord, p Problem) error {
	if r.State.UID < box.UIDNext && r.State.ModSeq <= box.ModifyIndex {
		return nil
	}
	// The message may be younger than what was read of the mailbox.
	now, err := c.s.mailboxRecord(ctx, "verify mailbox", key("_id", box.ID, "user", c.user.ID))
	if err != nil {
		return err
	}
	box.mailboxRecord = *now
	mend := func(ctx context.Context) error {
		box.UIDNext, box.ModifyIndex = max(box.UIDNext, r.State.UID+1), max(box.ModifyIndex, r.State.ModSeq)
		return c.s.raiseNumbers(ctx, r)
	}
	if r.State.UID >= now.UIDNext {
		p.Kind, p.Want, p.Have = ProblemUIDNext, ">"+strconv.FormatInt(r.State.UID, 10), strconv.FormatInt(now.UIDNext, 10)
		if err := c.add(ctx, p, mend); err != nil {
			return err
		}
	}
	if r.State.ModSeq > now.ModifyIndex {
		p.Kind, p.Want, p.Have = ProblemModSeq, "≥"+strconv.FormatInt(r.State.ModSeq, 10), strconv.FormatInt(now.ModifyIndex, 10)
		return c.add(ctx, p, mend)
	}
	return nil
}

// fields compares what is kept beside the flags with the flags.
func (c *check) fields(ctx context.Context, r *verifyRecord, p Problem) error {
	flags := flagsOf(r.State.Flags)
	if mail.HasFlag(flags, mail.FlagSeen) == r.State.Unseen || mail.HasFlag(flags, mail.FlagDeleted) == r.Undeleted ||
		mail.HasFlag(flags, mail.FlagFlagged) != r.Flagged || mail.HasFlag(flags, mail.FlagDraft) != r.Draft {
		p.Kind = ProblemBooleans
		return c.add(ctx, p, func(ctx context.Context) error { return c.s.mendFields(ctx, r) })
	}
	state, fresh := freshState(r.StateField, p.Mailbox, r.State.modseq())
	switch {
	case fresh && !sameFlags(stateFlags(state), flags):
		p.Kind = ProblemOwnFields
		return c.add(ctx, p, func(ctx context.Context) error { return c.s.mendFields(ctx, r) })
	case !fresh && c.o.repair:
		// What WildDuck wrote has none, which is no difference.
		c.stale = append(c.stale, *r)
		if len(c.stale) == rowBatch {
			return c.writeStale(ctx)
		}
	}
	return nil
}

// writeStale fills the state fields of messages that have none.
func (c *check) writeStale(ctx context.Context) error {
	boxes := map[mail.ID][]stateRecord{}
	for i := range c.stale {
		id := mail.ID(c.stale[i].Mailbox)
		boxes[id] = append(boxes[id], c.stale[i].State)
	}
	c.stale = c.stale[:0]
	for id, rows := range boxes {
		if err := c.s.writeStates(ctx, id, rows); err != nil {
			return err
		}
	}
	return nil
}
