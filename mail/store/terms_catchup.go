package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// lookedAt is how many messages one step of catching up looks at.
	lookedAt = 500
	// settled is how old a message is when no writer can still have a lower UID.
	settled = 2 * time.Minute
	// wholeStep is how many whole messages are held while they are analysed.
	wholeStep = 8
)

// searchBoxes reads an account's mailboxes, without counters.
func (s *Store) searchBoxes(ctx context.Context, user mail.ID) ([]mailboxRecord, error) {
	const op = "list mailboxes"
	cur, err := s.mailboxes.Find(ctx, key("user", oid(user)), options.Find().SetLimit(maxMailboxes+1).SetBatchSize(maxMailboxes+1))
	if err != nil {
		return nil, fail(op, err)
	}
	var boxes []mailboxRecord
	return boxes, fail(op, cur.All(ctx, &boxes))
}

// unseenRow is what catching up has to know of a message.
type unseenRow struct {
	ID    bson.ObjectID `bson:"_id"`
	Root  bson.ObjectID `bson:"root"`
	UID   int64         `bson:"uid"`
	Eider struct {
		Terms int `bson:"terms"`
	} `bson:"eider"`
}

// catchUpTerms looks through what the mailboxes have got since it was here last, and
// gives messages that others wrote to the index: WildDuck beside us, and all of
// an account's old mail. It adds at most most and tells whether there is more.
func (s *Store) catchUpTerms(ctx context.Context, user mail.ID, boxes []mailboxRecord, most int) (added int, more bool, err error) {
	r, err := s.readIndex(ctx, user)
	if err != nil {
		return 0, false, err
	}
	news := map[bson.ObjectID]int64{}
	looked := 0
	for i := range boxes {
		from := r.seen(boxes[i].ID)
		if boxes[i].UIDNext <= from+1 {
			continue
		}
		if added >= most || looked >= lookedAt {
			more = true
			break
		}
		rows, err := s.unseenRows(ctx, boxes[i].ID, from)
		if err != nil {
			return added, false, err
		}
		looked += len(rows)
		fresh, rest := notIndexed(rows, most-added)
		if err := s.addTerms(ctx, user, boxes[i].ID, fresh); err != nil {
			return added, false, err
		}
		added += len(fresh)
		more = more || len(rest) < len(rows) || len(rows) == lookedAt
		if to := s.seenUpTo(from, rest); to > from {
			news[boxes[i].ID] = to
		}
	}
	return added, more, s.noteSeen(ctx, user, boxes, news)
}

func (s *Store) unseenRows(ctx context.Context, mailbox bson.ObjectID, from int64) ([]unseenRow, error) {
	const op = "look for messages to index"
	cur, err := s.messages.Find(ctx, key("mailbox", mailbox, "uid", key("$gt", number(from))), options.Find().
		SetSort(key("uid", 1)).SetHint(indexUID).SetLimit(lookedAt).SetProjection(key("uid", 1, "root", 1, "eider.terms", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var rows []unseenRow
	return rows, fail(op, cur.All(ctx, &rows))
}

// notIndexed are the first of the rows whose writer did not index them, and the
// rows up to which that is all of them.
func notIndexed(rows []unseenRow, most int) (fresh, all []unseenRow) {
	for i := range rows {
		if rows[i].Eider.Terms != 0 {
			continue
		}
		if len(fresh) == most {
			return fresh, rows[:i]
		}
		fresh = append(fresh, rows[i])
	}
	return fresh, rows
}

// seenUpTo is the UID up to which nothing can come any more. UIDs are handed out
// one after the other, so that a gap may be a message that its writer has not
// inserted yet; after a while it is one that is gone.
func (s *Store) seenUpTo(from int64, rows []unseenRow) int64 {
	now := s.now()
	for i := range rows {
		if rows[i].UID != from+1 && now.Sub(rows[i].ID.Timestamp()) < settled {
			break
		}
		from = rows[i].UID
	}
	return from
}

func (s *Store) noteSeen(ctx context.Context, user mail.ID, boxes []mailboxRecord, news map[bson.ObjectID]int64) error {
	for len(news) > 0 {
		r, err := s.readIndex(ctx, user)
		if err != nil {
			return err
		}
		var list []seenRecord
		for i := range boxes {
			id := boxes[i].ID
			if uid := max(r.seen(id), news[id]); uid > 0 {
				list = append(list, seenRecord{Mailbox: id, UID: uid})
			}
		}
		done, err := s.changeIndex(ctx, r, bson.D{{Key: "seen", Value: list}})
		if err != nil || done {
			return err
		}
	}
	return nil
}

// addTerms analyses stored messages. One that cannot be read is left out, and
// told: it must not hold up the others.
func (s *Store) addTerms(ctx context.Context, user mail.ID, mailbox bson.ObjectID, rows []unseenRow) error {
	const op = "read messages to index"
	for batch := range slices.Chunk(rows, wholeStep) {
		uids := make(bson.A, len(batch))
		for i := range batch {
			uids[i] = number(batch[i].UID)
		}
		cur, err := s.messages.Find(ctx, key("mailbox", mailbox, "uid", key("$in", uids)), options.Find().SetHint(indexUID))
		if err != nil {
			return fail(op, err)
		}
		var records []any
		for cur.Next(ctx) {
			record, err := s.termsOfStored(ctx, user, cur.Current)
			switch {
			case mail.IsCode(err, mail.CodeUnavailable):
				return errors.Join(err, cur.Close(ctx))
			case err != nil:
				s.log.LogAttrs(ctx, slog.LevelWarn, "message without words in the index",
					slog.String("message", rawID(cur.Current.Lookup("_id")).String()), slog.Any("err", err))
			default:
				records = append(records, record)
			}
		}
		if err := errors.Join(cur.Err(), cur.Close(ctx)); err != nil {
			return fail(op, err)
		}
		if len(records) == 0 {
			continue
		}
		// Another process may have added the same ones.
		if _, err := s.terms.InsertMany(ctx, records, options.InsertMany().SetOrdered(false)); err != nil && !mongo.IsDuplicateKeyError(err) {
			return fail("add messages to the index", err)
		}
	}
	return nil
}

func (s *Store) termsOfStored(ctx context.Context, user mail.ID, raw bson.Raw) (termRecord, error) {
	d, err := decodeDetail(raw)
	if err != nil {
		return termRecord{}, err
	}
	c, err := s.storedContent(ctx, d)
	if err != nil {
		return termRecord{}, err
	}
	root := rawID(raw.Lookup("root"))
	if root.IsZero() {
		root = mail.ID(d.Row.ID)
	}
	return termRecord{
		ID: oid(root), User: oid(user), Kind: kindMessage, Date: d.Row.IDate, Data: encodeMessageTerms(d.Row.Size, termsOf(&c)),
	}, nil
}
