package store

import (
	"context"
	"log/slog"
	"math"
	"strconv"

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
	// calm: the writers of all allocations before this one are done.
	calm bool
}

// allocate takes n UIDs and one mod-sequence in one atomic update. They are
// used up even when the write that they are for fails.
func (s *Store) allocate(ctx context.Context, op string, user, mailbox mail.ID, n int) (allocation, error) {
	return s.allocateIn(ctx, op, key("_id", oid(mailbox), "user", oid(user)), n)
}

// allocateIn is allocate in the mailbox that a filter finds.
func (s *Store) allocateIn(ctx context.Context, op string, box bson.D, n int) (allocation, error) {
	now := s.now()
	inc := key("modifyIndex", 1, "eider.own", 1)
	if n > 0 {
		inc = append(inc, bson.E{Key: "uidNext", Value: n})
	}
	var before mailboxRecord
	err := s.numbers.FindOneAndUpdate(ctx, box,
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
		calm: before.atRest(now),
	}, nil
}

func unusedKey(mailbox mail.ID, modseq mail.ModSeq) string {
	return "eider_unused:" + mailbox.String() + ":" + strconv.FormatUint(uint64(modseq), 10)
}

// unused tells readers of the journal that no entry will come for an
// allocation, so that they need not wait for it. When it does not reach them
// they wait for two seconds.
func (s *Store) unused(ctx context.Context, mailbox mail.ID, modseq mail.ModSeq) {
	if err := s.sig.Set(ctx, unusedKey(mailbox, modseq), "1", writingTTL); err != nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "tell of an unused mod-sequence", slog.String("mailbox", mailbox.String()), slog.Any("err", err))
	}
}
