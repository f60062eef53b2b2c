package store

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// sweepEvery is how often expired documents are looked for, as WildDuck does.
	sweepEvery = 15 * time.Minute
	// sweepLock is WildDuck's name for the lock; one process sweeps at a time.
	sweepLock = "wildduck:gc_expired"
	// orphanAge is how long a content without references stays.
	orphanAge = 24 * time.Hour
	// orphanLimit bounds the contents that one sweep removes.
	orphanLimit = 1000
	// sweepStep is how many deleted accounts are looked at in one step.
	sweepStep = 100
)

// Swept is what one sweep did.
type Swept struct {
	// Expired messages left their mailbox, Purged ones the archive, Contents
	// are attachments that nobody referred to any more.
	Expired, Purged, Contents int
}

// Sweep removes what has run out: messages whose retention is over go to the
// archive, those archived for too long go for good, and contents without a
// reference for a day go as well. It works in short steps. One process of an
// installation sweeps at a time; another gets CodeConflict.
func (s *Store) Sweep(ctx context.Context) (Swept, error) {
	const op = "sweep"
	var done Swept
	lockCtx, cancel := context.WithTimeout(ctx, time.Second)
	lock, err := s.sig.Lock(lockCtx, sweepLock, sweepEvery)
	cancel()
	if err != nil {
		return done, &mail.Error{Code: mail.CodeConflict, Op: op, Err: err}
	}
	defer func() {
		rest, cancel := after(ctx)
		defer cancel()
		if err := lock.Release(rest); err != nil {
			s.log.LogAttrs(rest, slog.LevelDebug, "release sweep lock", slog.Any("err", err))
		}
	}()
	if done.Expired, err = s.sweepExpired(ctx); err != nil {
		return done, err
	}
	if done.Purged, err = s.sweepArchived(ctx); err != nil {
		return done, err
	}
	done.Contents, err = s.sweepContents(ctx)
	return done, err
}

// sweepExpired archives messages in the order in which they ran out.
func (s *Store) sweepExpired(ctx context.Context) (int, error) {
	total, now := 0, s.now().UnixMilli()
	for steps := newPace(); ; {
		rows, err := all[expiredRecord](ctx, "list expired messages", s.messages, key("exp", true, "rdate", key("$lte", now)),
			options.Find().SetSort(key("rdate", 1)).SetLimit(int64(steps.begin())).
				SetProjection(key("user", 1, "mailbox", 1, "uid", 1, "userDeleted", 1)))
		if err != nil || len(rows) == 0 {
			return total, err
		}
		n, err := s.expire(ctx, rows)
		total += n
		// Nothing went although there is something: the next sweep tries again.
		if err != nil || n == 0 {
			return total, err
		}
		if err := steps.rest(ctx); err != nil {
			return total, err
		}
	}
}

// expire removes messages, mailbox by mailbox.
func (s *Store) expire(ctx context.Context, rows []expiredRecord) (int, error) {
	type place struct {
		user, mailbox bson.ObjectID
		archive       bool
	}
	groups := map[place][]mail.UID{}
	for i := range rows {
		p := place{rows[i].User, rows[i].Mailbox, !rows[i].UserDeleted}
		groups[p] = append(groups[p], mail.UID(rows[i].UID)) //nolint:gosec // 32 bits by RFC
	}
	total := 0
	for p, uids := range groups {
		sel := Selection{User: mail.ID(p.user), Mailbox: mail.ID(p.mailbox), UIDs: uids}
		o := ExpungeOptions{Archive: p.archive, drafts: true}
		gone, err := s.Expunge(ctx, sel, o)
		if mail.IsCode(err, mail.CodeNoMailbox) {
			gone, err = s.expungeOrphans(ctx, sel, o)
		}
		total += len(gone)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// expungeOrphans removes messages whose mailbox is gone, and perhaps the
// account: nobody listens, and nothing counts them but the used storage.
func (s *Store) expungeOrphans(ctx context.Context, sel Selection, o ExpungeOptions) ([]mail.UID, error) {
	uids := slices.Clone(sel.UIDs)
	slices.Sort(uids)
	var gone []mail.UID
	for _, uid := range uids {
		r, err := s.remove(ctx, sel.Mailbox, uid, o)
		if err != nil {
			return gone, err
		}
		if r != nil {
			s.giveQuota(ctx, sel.User, r.state.Size)
			gone = append(gone, uid)
		}
	}
	return gone, nil
}

// abandon leaves the messages of a mailbox that is gone to the next sweep, as
// WildDuck does on deleting a mailbox.
func (s *Store) abandon(ctx context.Context, user, mailbox mail.ID) error {
	_, err := s.messages.UpdateMany(ctx, key("mailbox", oid(mailbox), "user", oid(user)),
		key("$set", key("exp", true, "rdate", s.now().Add(-24*time.Hour).UnixMilli())))
	return fail("leave messages to the sweep", err)
}

var purgeProjection = key("user", 1, "root", 1, "magic", 1, "mimeTree.attachmentMap", 1)

func (s *Store) sweepArchived(ctx context.Context) (int, error) {
	total, now := 0, s.now()
	for steps := newPace(); ; {
		rows, err := all[bson.Raw](ctx, "list expired archived messages", s.archived, key("exp", true, "rdate", key("$lte", now.UnixMilli())),
			options.Find().SetSort(key("rdate", 1)).SetLimit(int64(steps.begin())).SetProjection(purgeProjection))
		if err != nil || len(rows) == 0 {
			return total, err
		}
		for _, raw := range rows {
			if err := s.purge(ctx, raw, now); err != nil {
				return total, err
			}
			total++
		}
		if err := steps.rest(ctx); err != nil {
			return total, err
		}
	}
}

// sweepContents removes contents without a reference.
func (s *Store) sweepContents(ctx context.Context) (int, error) {
	rows, err := all[bson.Raw](ctx, "list contents without references", s.attachmentFiles,
		key("metadata.c", 0, "metadata.m", 0, "metadata.cu", key("$lt", s.now().Add(-orphanAge))),
		options.Find().SetLimit(orphanLimit).SetProjection(key("_id", 1)))
	if err != nil {
		return 0, err
	}
	total := 0
	for _, raw := range rows {
		removed, err := s.dropContent(ctx, raw.Lookup("_id"))
		total += count(removed)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// dropContent removes a content that nobody refers to: the files document, if
// that is still so, then the chunks that were there before, the first one
// last. Whoever stores the same content meanwhile waits for that one.
func (s *Store) dropContent(ctx context.Context, id bson.RawValue) (bool, error) {
	const op = "remove content"
	chunks, err := all[bson.Raw](ctx, op, s.attachmentChunks, key("files_id", id),
		options.Find().SetSort(key("n", -1)).SetProjection(key("_id", 1)))
	if err != nil {
		return false, err
	}
	res, err := s.attachmentFiles.DeleteOne(ctx, key("_id", id, "metadata.c", 0, "metadata.m", 0, "metadata.cu", key("$lt", s.now().Add(-orphanAge))))
	if err != nil || res.DeletedCount == 0 {
		return false, fail(op, err)
	}
	rest, cancel := after(ctx)
	defer cancel()
	for _, c := range chunks {
		if _, err := s.attachmentChunks.DeleteOne(rest, key("_id", c.Lookup("_id"))); err != nil {
			return true, fail(op, err)
		}
	}
	return true, nil
}
