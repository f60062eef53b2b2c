package store

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Repair verifies an account, mends what can be mended, and gives the report
// of what was wrong. The account should be at rest. A content that is gone
// stays gone.
func (s *Store) Repair(ctx context.Context, user mail.ID) (Report, error) {
	report, err := s.Verify(ctx, user)
	if err != nil {
		return report, err
	}
	for i := range report.Problems {
		if err := s.mend(ctx, user, &report.Problems[i]); err != nil {
			return report, err
		}
	}
	return report, nil
}

func (s *Store) mend(ctx context.Context, user mail.ID, p *Problem) error {
	switch p.Kind {
	case ProblemTotal, ProblemUnseen:
		s.dropCounters(ctx, p.Mailbox)
		return nil
	case ProblemQuota:
		return s.mendQuota(ctx, user, p)
	case ProblemUIDNext, ProblemModSeq, ProblemBooleans:
		return s.mendMessage(ctx, user, p)
	case ProblemDuplicateUID, ProblemOrphan:
		return s.refile(ctx, user, p)
	case ProblemJournal:
		return s.mendJournal(ctx, user, p)
	}
	return nil
}

// mendQuota adds the difference, so that writes meanwhile are not lost.
func (s *Store) mendQuota(ctx context.Context, user mail.ID, p *Problem) error {
	const op = "mend used storage"
	want, err := strconv.ParseInt(p.Want, 10, 64)
	if err != nil {
		return fail(op, err)
	}
	have, err := strconv.ParseInt(p.Have, 10, 64)
	if err != nil {
		return fail(op, err)
	}
	_, err = s.users.UpdateOne(ctx, key("_id", oid(user)), key("$inc", key("storageUsed", number(want-have))))
	return fail(op, err)
}

func (s *Store) stateByID(ctx context.Context, user, id mail.ID) (*verifyRecord, error) {
	var r verifyRecord
	err := s.messages.FindOne(ctx, key("_id", oid(id), "user", oid(user)), options.FindOne().SetProjection(verifyProjection)).Decode(&r)
	return &r, missing("read message to mend", mail.CodeNoMessage, err)
}

// mendMessage raises the mailbox's numbers above the message's and sets the
// fields beside its flags.
func (s *Store) mendMessage(ctx context.Context, user mail.ID, p *Problem) error {
	const op = "mend message"
	r, err := s.stateByID(ctx, user, p.Message)
	if err != nil {
		return err
	}
	_, err = s.mailboxes.UpdateOne(ctx, key("_id", r.Mailbox, "user", oid(user)),
		key("$max", key("uidNext", number(r.State.UID+1), "modifyIndex", number(r.State.ModSeq))))
	if err != nil {
		return fail(op, err)
	}
	if p.Kind != ProblemBooleans {
		return nil
	}
	_, err = s.messages.UpdateOne(ctx, r.State.guard(mail.ID(r.Mailbox)), flagUpdateDoc(bson.D{stateSet(mail.ID(r.Mailbox), r.State.modseq(), flagsOf(r.State.Flags))}, flagsOf(r.State.Flags)))
	return fail(op, err)
}

// refile gives a message a new UID in its mailbox, or in INBOX when its
// mailbox is gone.
func (s *Store) refile(ctx context.Context, user mail.ID, p *Problem) error {
	const op = "file message anew"
	r, err := s.stateByID(ctx, user, p.Message)
	if err != nil {
		return err
	}
	to := mail.ID(r.Mailbox)
	if p.Kind == ProblemOrphan {
		inbox, err := s.mailboxRecord(ctx, op, key("user", oid(user), "path", mail.Inbox))
		if err != nil {
			return err
		}
		to = mail.ID(inbox.ID)
	}
	got, err := s.allocate(ctx, op, user, to, 1)
	if err != nil {
		return err
	}
	_, err = s.messages.UpdateOne(ctx, r.State.guard(mail.ID(r.Mailbox)), key("$set", append(stateOf(to, got.modseq, flagsOf(r.State.Flags)),
		bson.E{Key: "mailbox", Value: oid(to)}, bson.E{Key: "uid", Value: number(int64(got.uid))})))
	if err != nil {
		return fail(op, err)
	}
	s.dropCounters(ctx, to)
	return s.record(ctx, user, entry{
		mailbox: to, command: mail.CommandExists, modseq: got.modseq, uid: got.uid, message: mail.ID(r.State.ID),
		thread: mail.ID(r.State.Thread), unseen: r.State.Unseen, idate: rawTime(r.State.IDate),
	})
}

// mendJournal writes the entry that a crash left out.
func (s *Store) mendJournal(ctx context.Context, user mail.ID, p *Problem) error {
	r, err := s.stateByID(ctx, user, p.Message)
	if err != nil {
		return err
	}
	return s.record(ctx, user, entry{
		mailbox: mail.ID(r.Mailbox), command: mail.CommandExists, modseq: r.State.modseq(), uid: r.State.uid(), message: mail.ID(r.State.ID),
		thread: mail.ID(r.State.Thread), unseen: r.State.Unseen, idate: rawTime(r.State.IDate),
	})
}

// uses is how often a content is used, and the sum of magics.
type uses struct{ c, m int64 }

// VerifyAttachments counts the uses of every stored content, over all
// accounts, and says which reference counts differ, and which archived
// documents stand beside their own live message. It reads every message; the
// installation should be at rest. With repair it sets the counts right and
// removes those archived documents.
func (s *Store) VerifyAttachments(ctx context.Context, repair bool) (Report, error) {
	var report Report
	used := map[[32]byte]uses{}
	if err := s.scanUses(ctx, false, used, &report, repair); err != nil {
		return report, err
	}
	if err := s.scanUses(ctx, true, used, &report, repair); err != nil {
		return report, err
	}
	return report, s.compareUses(ctx, used, &report, repair)
}

const scanPage = 500

// scanUses adds up the uses by live or by archived messages.
func (s *Store) scanUses(ctx context.Context, archived bool, used map[[32]byte]uses, report *Report, repair bool) error {
	const op = "count attachment uses"
	collection := s.messages
	if archived {
		collection = s.archived
	}
	for last := (bson.ObjectID{}); ; {
		cur, err := collection.Find(ctx, key("_id", key("$gt", last)), options.Find().SetSort(key("_id", 1)).SetLimit(scanPage).
			SetProjection(key("magic", 1, "mimeTree.attachmentMap", 1)))
		if err != nil {
			return fail(op, err)
		}
		var rows []bson.Raw
		if err := cur.All(ctx, &rows); err != nil {
			return fail(op, err)
		}
		for _, raw := range rows {
			last, _ = raw.Lookup("_id").ObjectIDOK()
			if archived {
				double, err := s.archivedTwin(ctx, last, report, repair)
				if err != nil {
					return err
				}
				if double {
					continue
				}
			} else {
				report.Messages++
			}
			for _, h := range treeHashes(raw.Lookup("mimeTree", "attachmentMap")) {
				u := used[h]
				u.c++
				u.m += rawNumber(raw.Lookup("magic"))
				used[h] = u
			}
		}
		if len(rows) < scanPage {
			return nil
		}
	}
}

// archivedTwin reports an archived document whose message lives: a crash
// between archiving and deleting left it.
func (s *Store) archivedTwin(ctx context.Context, id bson.ObjectID, report *Report, repair bool) (bool, error) {
	const op = "look for archived twin"
	err := s.messages.FindOne(ctx, key("_id", id), options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		return false, nil
	}
	if err != nil {
		return false, fail(op, err)
	}
	report.Problems = append(report.Problems, Problem{Kind: ProblemArchived, Message: mail.ID(id)})
	if repair {
		_, err = s.archived.DeleteOne(ctx, key("_id", id))
	}
	return true, fail(op, err)
}

// compareUses compares with the reference counts.
func (s *Store) compareUses(ctx context.Context, used map[[32]byte]uses, report *Report, repair bool) error {
	const op = "compare attachment references"
	seen := map[[32]byte]bool{}
	for last := (bson.Binary{Data: []byte{}}); ; {
		cur, err := s.attachmentFiles.Find(ctx, key("_id", key("$gt", last)), options.Find().SetSort(key("_id", 1)).SetLimit(scanPage).
			SetProjection(key("metadata.c", 1, "metadata.m", 1)))
		if err != nil {
			return fail(op, err)
		}
		var rows []bson.Raw
		if err := cur.All(ctx, &rows); err != nil {
			return fail(op, err)
		}
		for _, raw := range rows {
			id := rawBytes(raw.Lookup("_id"))
			last = bson.Binary{Data: id}
			if len(id) != 32 {
				continue
			}
			h := [32]byte(id)
			seen[h] = true
			have := uses{c: rawNumber(raw.Lookup("metadata", "c")), m: rawNumber(raw.Lookup("metadata", "m"))}
			if err := s.compareUse(ctx, h, have, used[h], report, repair); err != nil {
				return err
			}
		}
		if len(rows) < scanPage {
			break
		}
	}
	for h := range used {
		if !seen[h] {
			report.Problems = append(report.Problems, Problem{Kind: ProblemMissingAttachment, Want: hex32(h), Have: "no file"})
		}
	}
	return nil
}

func (s *Store) compareUse(ctx context.Context, h [32]byte, have, want uses, report *Report, repair bool) error {
	if have == want {
		return nil
	}
	report.Problems = append(report.Problems, Problem{
		Kind: ProblemReferences, Want: useText(h, want), Have: useText(h, have),
	})
	if !repair {
		return nil
	}
	_, err := s.attachmentFiles.UpdateOne(ctx, key("_id", hashID(h)), bson.D{
		{Key: "$inc", Value: key("metadata.c", number(want.c-have.c), "metadata.m", number(want.m-have.m))},
		{Key: "$set", Value: key("metadata.cu", s.now().Truncate(time.Millisecond))},
	})
	return fail("mend attachment references", err)
}

func useText(h [32]byte, u uses) string {
	return hex32(h)[:16] + " c=" + strconv.FormatInt(u.c, 10) + " m=" + strconv.FormatInt(u.m, 10)
}
