package store

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Recovery is what Recover found and mended.
type Recovery struct {
	Users, Messages, Problems int
}

// Recover verifies and mends every account and the attachment references, as
// a start after a crash does. It reads each message's small fields once, and
// needs the installation at rest: no other process may write.
func (s *Store) Recover(ctx context.Context) (Recovery, error) {
	var total Recovery
	for last := (mail.ID{}); ; {
		ids, err := s.userIDs(ctx, last, scanPage)
		if err != nil {
			return total, err
		}
		for _, id := range ids {
			report, err := s.Repair(ctx, id)
			if err != nil {
				return total, err
			}
			total.Users++
			total.Problems += len(report.Problems)
			last = id
		}
		if len(ids) < scanPage {
			break
		}
	}
	report, err := s.VerifyAttachments(ctx, true)
	total.Messages = report.Messages
	total.Problems += len(report.Problems)
	return total, err
}

// userIDs lists accounts in the order of their ids.
func (s *Store) userIDs(ctx context.Context, after mail.ID, limit int64) ([]mail.ID, error) {
	const op = "list users"
	cur, err := s.users.Find(ctx, key("_id", key("$gt", oid(after))), options.Find().
		SetSort(key("_id", 1)).SetLimit(limit).SetProjection(key("_id", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []struct {
		ID bson.ObjectID `bson:"_id"`
	}
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fail(op, err)
	}
	ids := make([]mail.ID, len(rows))
	for i := range rows {
		ids[i] = mail.ID(rows[i].ID)
	}
	return ids, nil
}
