package store

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Repair verifies an account, mends what can be mended, and gives the report
// of what was wrong. The account should be at rest. A content that is gone
// stays gone.
func (s *Store) Repair(ctx context.Context, user mail.ID) (Report, error) {
	return s.collect(ctx, user, checkOptions{repair: true, words: true})
}

// mendQuota adds the difference, if used storage is still what it was.
func (s *Store) mendQuota(ctx context.Context, user mail.ID, want, have int64) error {
	_, err := s.users.UpdateOne(ctx, key("_id", oid(user), "storageUsed", number(have)), key("$inc", key("storageUsed", number(want-have))))
	return fail("mend used storage", err)
}

func (s *Store) stateByID(ctx context.Context, user, id mail.ID) (*verifyRecord, error) {
	var r verifyRecord
	err := s.messages.FindOne(ctx, key("_id", oid(id), "user", oid(user)), options.FindOne().SetProjection(verifyProjection)).Decode(&r)
	return &r, missing("read message to mend", mail.CodeNoMessage, err)
}

// raiseNumbers lifts the mailbox's numbers above the message's.
func (s *Store) raiseNumbers(ctx context.Context, r *verifyRecord) error {
	_, err := s.mailboxes.UpdateOne(ctx, key("_id", r.Mailbox),
		key("$max", key("uidNext", number(r.State.UID+1), "modifyIndex", number(r.State.ModSeq))))
	return fail("raise numbers of mailbox", err)
}

// mendFields sets the fields beside a message's flags.
func (s *Store) mendFields(ctx context.Context, r *verifyRecord) error {
	flags, mailbox := flagsOf(r.State.Flags), mail.ID(r.Mailbox)
	_, err := s.messages.UpdateOne(ctx, r.State.guard(mailbox),
		flagUpdateDoc(stateOf(mailbox, r.State.modseq(), flags), flags))
	return fail("mend message", err)
}

// refile gives a message a new UID in its mailbox, or in INBOX when its
// mailbox is gone.
func (c *check) refile(p Problem) func(context.Context) error {
	return func(ctx context.Context) error {
		const op = "file message anew"
		s, user := c.s, mail.ID(c.user.ID)
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
		set := append(stateOf(to, got.modseq, flagsOf(r.State.Flags)), key("mailbox", oid(to), "uid", number(int64(got.uid)))...)
		if _, err = s.messages.UpdateOne(ctx, r.State.guard(mail.ID(r.Mailbox)), key("$set", set)); err != nil {
			return fail(op, err)
		}
		s.dropCounters(ctx, to)
		return s.record(ctx, user, entry{
			mailbox: to, command: mail.CommandExists, modseq: got.modseq, uid: got.uid, message: mail.ID(r.State.ID),
			thread: mail.ID(r.State.Thread), unseen: r.State.Unseen, idate: rawTime(r.State.IDate),
		})
	}
}

// mendJournal writes the entries that a crash left out: the message is there,
// with these flags. Which of the two was lost is not known, and either is
// right for a reader that knows it.
func (s *Store) mendJournal(ctx context.Context, user mail.ID, r *verifyRecord) error {
	e := entry{
		mailbox: mail.ID(r.Mailbox), command: mail.CommandExists, modseq: r.State.modseq(), uid: r.State.uid(), message: mail.ID(r.State.ID),
		thread: mail.ID(r.State.Thread), unseen: r.State.Unseen, idate: rawTime(r.State.IDate),
	}
	f := e
	f.command, f.flags = mail.CommandFetch, flagsOf(r.State.Flags)
	return s.record(ctx, user, e, f)
}
