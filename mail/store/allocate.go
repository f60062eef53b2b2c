package store

import (
	"context"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// allocation is what one update of a mailbox handed out.
type allocation struct {
	mailbox *mailboxRecord
	// uid is the first of the UIDs, modseq the one mod-sequence.
	uid    mail.UID
	modseq mail.ModSeq
	// calm: the allocation before this one is so old that its writer is done.
	calm bool
}

// allocate takes n UIDs and one mod-sequence in one atomic update. They are
// used up even when the write that they are for fails.
func (s *Store) allocate(ctx context.Context, op string, user, mailbox mail.ID, n int) (allocation, error) {
	now := s.now()
	inc := key("modifyIndex", 1)
	if n > 0 {
		inc = key("uidNext", n, "modifyIndex", 1)
	}
	var before mailboxRecord
	err := s.mailboxes.FindOneAndUpdate(ctx, key("_id", oid(mailbox), "user", oid(user)),
		bson.D{{Key: "$inc", Value: inc}, {Key: "$set", Value: key("eider.at", now)}},
		options.FindOneAndUpdate().SetReturnDocument(options.Before)).Decode(&before)
	if err != nil {
		return allocation{}, missing(op, mail.CodeNoMailbox, err)
	}
	if before.UIDNext+int64(n) > math.MaxUint32 {
		return allocation{}, &mail.Error{Code: mail.CodeTooBig, Op: op}
	}
	return allocation{
		mailbox: &before, uid: mail.UID(before.UIDNext), modseq: mail.ModSeq(before.ModifyIndex) + 1, //nolint:gosec // checked, and below 2^53
		calm: now.Sub(before.Eider.At) > gapWait,
	}, nil
}
