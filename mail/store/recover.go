package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// crashWindow is longer than any operation takes: what was under way when the
// process died began within it before the last sign of life.
const crashWindow = 2 * time.Minute

// Recovery is what Recover found and mended.
type Recovery struct {
	// Users is accounts looked at, Messages those whose attachments were
	// counted, Problems what was mended.
	Users, Messages, Problems int
}

// Recover mends what a crash left: accounts that were written to shortly
// before it (others cannot have been under way), and the attachment references
// of all. It reads a few fields of every message, and needs the installation
// at rest: no other process may write.
func (s *Store) Recover(ctx context.Context) (Recovery, error) {
	var total Recovery
	users, err := s.writtenLast(ctx)
	if err != nil {
		return total, fail("recover after crash", err)
	}
	for user := range users {
		report, err := s.collect(ctx, user, checkOptions{repair: true}) // the term index comes through a crash whole
		if mail.IsCode(err, mail.CodeNoUser) {
			continue
		}
		if err != nil {
			return total, err
		}
		total.Users++
		total.Problems += len(report.Problems)
	}
	report, err := s.VerifyAttachments(ctx, true)
	total.Messages = report.Messages
	total.Problems += len(report.Problems)
	return total, err
}

// writtenLast lists accounts whose document or mailboxes were written to in
// the time before the last write of all.
func (s *Store) writtenLast(ctx context.Context) (map[mail.ID]bool, error) {
	type sign struct {
		user mail.ID
		at   time.Time
	}
	var signs []sign
	var last time.Time
	for _, c := range []*mongo.Collection{s.users, s.mailboxes} {
		cur, err := c.Find(ctx, bson.D{}, options.Find().SetSort(key("_id", 1)).SetProjection(key("user", 1, "eider.at", 1)))
		if err != nil {
			return nil, err
		}
		for cur.Next(ctx) {
			at := rawTime(cur.Current.Lookup("eider", "at"))
			if at.IsZero() {
				continue
			}
			owner := rawID(cur.Current.Lookup("user"))
			if owner.IsZero() {
				owner = rawID(cur.Current.Lookup("_id"))
			}
			signs = append(signs, sign{owner, at})
			if at.After(last) {
				last = at
			}
		}
		if err := errors.Join(cur.Err(), cur.Close(ctx)); err != nil {
			return nil, err
		}
	}
	out := map[mail.ID]bool{}
	for _, x := range signs {
		if last.Sub(x.at) <= crashWindow {
			out[x.user] = true
		}
	}
	return out, nil
}
