package store

import (
	"context"
	"fmt"
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
	ProblemOrphan            = "orphan-message"
	ProblemJournal           = "journal"
	ProblemMissingAttachment = "attachment-missing"
	ProblemReferences        = "attachment-references"
	ProblemArchived          = "archived-duplicate"
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
}

var verifyProjection = append(slices.Clone(stateProjection),
	bson.E{Key: "mailbox", Value: 1}, bson.E{Key: "undeleted", Value: 1}, bson.E{Key: "flagged", Value: 1},
	bson.E{Key: "draft", Value: 1}, bson.E{Key: "mimeTree.attachmentMap", Value: 1})

// check is one verification under way.
type check struct {
	s      *Store
	user   *userRecord
	boxes  map[mail.ID]*boxCheck
	report Report
	bytes  int64
	hashes map[[32]byte]mail.ID
	young  []verifyRecord
}

type boxCheck struct {
	mailboxRecord
	total, unseen int
	uids          map[int64]bool
}

// Verify counts an account's messages anew and says what differs: counters,
// used storage, UIDs and mod-sequences, fields beside flags, journal entries
// of the last hours, attachments whose content is gone. It changes nothing.
// What is being written while it runs may show as a difference.
func (s *Store) Verify(ctx context.Context, user mail.ID) (Report, error) {
	c, err := s.newCheck(ctx, user)
	if err != nil {
		return Report{}, err
	}
	if err := c.messages(ctx); err != nil {
		return Report{}, err
	}
	for id, box := range c.boxes {
		if err := c.counters(ctx, id, box); err != nil {
			return Report{}, err
		}
	}
	if c.bytes != c.user.StorageUsed {
		c.add(Problem{Kind: ProblemQuota, Want: strconv.FormatInt(c.bytes, 10), Have: strconv.FormatInt(c.user.StorageUsed, 10)})
	}
	if err := c.contents(ctx); err != nil {
		return Report{}, err
	}
	if err := c.journal(ctx); err != nil {
		return Report{}, err
	}
	c.report.Bytes = c.bytes
	return c.report, nil
}

func (s *Store) newCheck(ctx context.Context, user mail.ID) (*check, error) {
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
	c := &check{s: s, user: u, boxes: map[mail.ID]*boxCheck{}, hashes: map[[32]byte]mail.ID{}, report: Report{User: user}}
	for i := range records {
		c.boxes[mail.ID(records[i].ID)] = &boxCheck{mailboxRecord: records[i], uids: map[int64]bool{}}
	}
	return c, nil
}

func (c *check) add(p Problem) { c.report.Problems = append(c.report.Problems, p) }

func (c *check) messages(ctx context.Context) error {
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
		c.message(&r)
	}
	return fail(op, cur.Err())
}

func (c *check) message(r *verifyRecord) {
	c.report.Messages++
	c.bytes += r.State.Size
	id, mailbox := mail.ID(r.State.ID), mail.ID(r.Mailbox)
	for _, h := range treeHashes(r.MimeTree.Map) {
		c.hashes[h] = id
	}
	box := c.boxes[mailbox]
	if box == nil {
		c.add(Problem{Kind: ProblemOrphan, Mailbox: mailbox, Message: id})
		return
	}
	box.total++
	flags := flagsOf(r.State.Flags)
	unseen := !mail.HasFlag(flags, mail.FlagSeen)
	box.unseen += count(unseen)
	if box.uids[r.State.UID] {
		c.add(Problem{Kind: ProblemDuplicateUID, Mailbox: mailbox, Message: id, Have: strconv.FormatInt(r.State.UID, 10)})
	}
	box.uids[r.State.UID] = true
	if r.State.UID >= box.UIDNext {
		c.add(Problem{Kind: ProblemUIDNext, Mailbox: mailbox, Message: id, Want: ">" + strconv.FormatInt(r.State.UID, 10), Have: strconv.FormatInt(box.UIDNext, 10)})
	}
	if r.State.ModSeq > box.ModifyIndex {
		c.add(Problem{Kind: ProblemModSeq, Mailbox: mailbox, Message: id, Want: "≥" + strconv.FormatInt(r.State.ModSeq, 10), Have: strconv.FormatInt(box.ModifyIndex, 10)})
	}
	if unseen != r.State.Unseen || mail.HasFlag(flags, mail.FlagDeleted) == r.Undeleted ||
		mail.HasFlag(flags, mail.FlagFlagged) != r.Flagged || mail.HasFlag(flags, mail.FlagDraft) != r.Draft {
		c.add(Problem{Kind: ProblemBooleans, Mailbox: mailbox, Message: id})
	}
	if time.Since(id.Time()) < journalTime-journalSlack {
		c.young = append(c.young, *r)
	}
}

// counters compares the cached numbers, where there are any.
func (c *check) counters(ctx context.Context, id mail.ID, box *boxCheck) error {
	for _, n := range []struct {
		kind, key string
		want      int
	}{{ProblemTotal, totalKey(id), box.total}, {ProblemUnseen, unseenKey(id), box.unseen}} {
		have, ok, err := c.s.sig.Get(ctx, n.key)
		if err != nil {
			return err
		}
		if ok && have != strconv.Itoa(n.want) {
			c.add(Problem{Kind: n.kind, Mailbox: id, Want: strconv.Itoa(n.want), Have: have})
		}
	}
	return nil
}

// contents looks whether each attachment's content is there, whole.
func (c *check) contents(ctx context.Context) error {
	for h, id := range c.hashes {
		have, err := c.s.contentState(ctx, h)
		if err != nil {
			return err
		}
		if have != "" {
			c.add(Problem{Kind: ProblemMissingAttachment, Message: id, Want: hex32(h), Have: have})
		}
	}
	return nil
}

// contentState says what is wrong with a stored content, "" for nothing.
func (s *Store) contentState(ctx context.Context, h [32]byte) (string, error) {
	const op = "verify attachment"
	var f fileRecord
	err := s.attachmentFiles.FindOne(ctx, key("_id", hashID(h))).Decode(&f)
	if isNone(err) {
		return "no file", nil
	}
	if err != nil {
		return "", fail(op, err)
	}
	if f.Metadata.C <= 0 {
		return fmt.Sprintf("%d references", f.Metadata.C), nil
	}
	chunks, err := s.attachmentChunks.CountDocuments(ctx, key("files_id", hashID(h)))
	if err != nil {
		return "", fail(op, err)
	}
	if want := (f.Length + chunkSize - 1) / chunkSize; chunks < want {
		return fmt.Sprintf("%d of %d chunks", chunks, want), nil
	}
	return "", nil
}

// journal looks for the entry of each message that is younger than entries live.
func (c *check) journal(ctx context.Context) error {
	for i := range c.young {
		r := &c.young[i]
		err := c.s.journal.FindOne(ctx, key("mailbox", r.Mailbox, "modseq", number(r.State.ModSeq), "uid", number(r.State.UID)),
			options.FindOne().SetProjection(key("_id", 1))).Err()
		if isNone(err) {
			c.add(Problem{Kind: ProblemJournal, Mailbox: mail.ID(r.Mailbox), Message: mail.ID(r.State.ID), Want: strconv.FormatInt(r.State.ModSeq, 10)})
			continue
		}
		if err != nil {
			return fail("verify journal", err)
		}
	}
	return nil
}
