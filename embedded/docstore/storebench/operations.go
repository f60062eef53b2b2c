package storebench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// spread gives numbers that jump about in [0, n).
func spread(i, n int) int { return int(uint64(i+1) * 0x9E3779B97F4A7C15 >> 20 % uint64(n)) } //nolint:gosec // counted up from zero

func list() *options.FindOptionsBuilder { return options.Find().SetBatchSize(100_000) }

var rowFields = bson.D{
	{Key: "_id", Value: 1},
	{Key: "uid", Value: 1},
	{Key: "modseq", Value: 1},
	{Key: "idate", Value: 1},
	{Key: "hdate", Value: 1},
	{Key: "thread", Value: 1},
	{Key: "unseen", Value: 1},
	{Key: "flagged", Value: 1},
	{Key: "flags", Value: 1},
	{Key: "subject", Value: 1},
	{Key: "intro", Value: 1},
	{Key: "from", Value: 1},
}

var flagFields = bson.D{
	{Key: "_id", Value: 0}, {Key: "uid", Value: 1}, {Key: "modseq", Value: 1}, {Key: "unseen", Value: 1}, {Key: "flagged", Value: 1}, {Key: "undeleted", Value: 1}, {Key: "draft", Value: 1}, {Key: "answered", Value: 1},
}

var operations = []operation{
	{
		name: "find by _id", rounds: 4000, times: 2.5,
		engine: func(ctx context.Context, s *store, i int) error {
			return s.find(ctx, 1, bson.D{{Key: "_id", Value: messageID(spread(i, s.n))}}, options.Find().SetLimit(1))
		},
		bare: func(s *store, i int) error { return s.bare.byID(messageID(spread(i, s.n))) },
	},
	{
		name: "thread look-up", rounds: 4000, times: 2.5,
		engine: func(ctx context.Context, s *store, i int) error {
			user, thread := s.thread(i)
			return s.find(ctx, 1, bson.D{{Key: "user", Value: user}, {Key: "thread", Value: thread}}, options.Find().SetLimit(1))
		},
		bare: func(s *store, i int) error { return s.bare.byThread(s.thread(i)) },
	},
	{
		name: "50 rows by UID range", rounds: 1000, times: 2,
		engine: func(ctx context.Context, s *store, i int) error {
			return s.find(ctx, 50, bson.D{{Key: "mailbox", Value: s.mailbox(i)}, {Key: "uid", Value: bson.D{{Key: "$gt", Value: 100 + i%800}}}},
				list().SetSort(bson.D{{Key: "uid", Value: 1}}).SetLimit(50))
		},
		bare: func(s *store, i int) error { return s.bare.uidRange(s.mailbox(i), 100+i%800, 50) },
	},
	{
		name: "25 newest by date, whole", rounds: 1000, times: 2,
		engine: func(ctx context.Context, s *store, i int) error {
			return s.find(ctx, 25, bson.D{{Key: "mailbox", Value: s.mailbox(i)}}, list().SetSort(newest).SetLimit(25))
		},
		bare: func(s *store, i int) error { return s.bare.newest(s.mailbox(i), 25) },
	},
	{
		name: "25 newest by date, the row's fields", rounds: 1000, times: 2,
		engine: func(ctx context.Context, s *store, i int) error {
			return s.find(ctx, 25, bson.D{{Key: "mailbox", Value: s.mailbox(i)}}, list().SetSort(newest).SetLimit(25).SetProjection(rowFields))
		},
		bare: func(s *store, i int) error { return s.bare.newest(s.mailbox(i), 25) },
	},
	{
		name: "covered count of the unseen", rounds: 2000, times: 2.5,
		engine: func(ctx context.Context, s *store, i int) error {
			n, err := s.c.CountDocuments(ctx, bson.D{{Key: "mailbox", Value: s.mailbox(i)}, {Key: "unseen", Value: true}})
			return errors.Join(err, wanted(int(n), perMailbox/10))
		},
		bare: func(s *store, i int) error { return s.bare.unseen(s.mailbox(i), perMailbox/10) },
	},
	{
		name: "flags of 10,000 messages, covered", rounds: 40, goal: "goal ≤ 25 ms",
		engine: func(ctx context.Context, s *store, _ int) error {
			return s.find(ctx, bigMailbox, bson.D{{Key: "mailbox", Value: mailboxID(s.mailboxes())}}, list().SetSort(bson.D{{Key: "uid", Value: 1}}).SetProjection(flagFields))
		},
		bare: func(s *store, _ int) error { return s.bare.flags(mailboxID(s.mailboxes()), bigMailbox) },
	},
	{
		name: "counter increment, durable", rounds: 500, times: 2.5,
		engine: func(ctx context.Context, s *store, _ int) error {
			return s.c.Database().Collection("mailboxes").FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: mailboxID(0)}},
				bson.D{{Key: "$inc", Value: bson.D{{Key: "uidNext", Value: 1}, {Key: "modifyIndex", Value: 1}}}}).Err()
		},
		bare: func(s *store, _ int) error { return s.bare.increment() },
	},
	{
		name: "flag update, durable", rounds: 500, times: 2.5,
		engine: func(ctx context.Context, s *store, i int) error {
			n := spread(i, s.n)
			mailbox, uid := s.place(n)
			res, err := s.c.UpdateOne(ctx, bson.D{{Key: "_id", Value: messageID(n)}, {Key: "mailbox", Value: mailboxID(mailbox)}, {Key: "uid", Value: uid}},
				bson.D{{Key: "$set", Value: bson.D{{Key: "answered", Value: uid%7 != 0}, {Key: "modseq", Value: int64(1_000_000 + i)}}}})
			if err != nil {
				return fmt.Errorf("updating: %w", err)
			}
			return wanted(int(res.ModifiedCount), 1)
		},
		bare: func(s *store, i int) error {
			n := spread(i, s.n)
			mailbox, uid := s.place(n)
			return s.bare.update(n, mailbox, uid, 1_000_000+i, uid%7 != 0)
		},
	},
	{
		name: "insert, durable", rounds: 500, times: 2.5,
		engine: func(ctx context.Context, s *store, i int) error {
			_, err := s.c.InsertOne(ctx, s.fresh(i))
			return err
		},
		bare: func(s *store, i int) error {
			return s.bare.transaction(func() error { return s.bare.insert(s.fresh(1_000_000 + i)) })
		},
	},
}

var newest = bson.D{{Key: "idate", Value: -1}, {Key: "_id", Value: -1}}

func (s *store) mailbox(i int) bson.ObjectID { return mailboxID(spread(i, s.mailboxes())) }

// thread names a thread and its account.
func (s *store) thread(i int) (user, thread bson.ObjectID) {
	n := spread(i, s.n)
	return accountID(s.mailboxOf(n) % accounts), threadID(threadOf(n))
}

// fresh is a new message, in a mailbox of its own so that what is measured does
// not change.
func (s *store) fresh(i int) bson.D {
	return message(s.total()+i, s.mailboxes()+1+i%50, i)
}

// parallelInserts measures durable inserts by sixteen writers at once.
func (s *store) parallelInserts(ctx context.Context, line Line) error {
	const writers, each = 16, 1000
	var next atomic.Int64
	next.Store(1_000_000)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	began := time.Now()
	for w := range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.c.InsertOne(ctx, s.fresh(int(next.Add(1)))); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	engine := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	one, err := s.bareInserts(2_000_000, each, 1)
	if err != nil {
		return err
	}
	grouped, err := s.bareInserts(3_000_000, each, writers)
	if err != nil {
		return err
	}
	line("inserts by 16 writers, durable", fmt.Sprintf("%.0f/s  bare, one a commit %.0f/s, 16 a commit %.0f/s  x %.2f",
		writers*each/engine.Seconds(), one, grouped, grouped*engine.Seconds()/(writers*each)), "goal ≥ 8000/s")
	return nil
}

// bareInserts inserts so many messages bare, some in each transaction, and tells how
// many a second.
func (s *store) bareInserts(from, n, group int) (rate float64, err error) {
	began := time.Now()
	for i := 0; i < n; i += group {
		err := s.bare.transaction(func() error {
			for k := range min(group, n-i) {
				if err := s.bare.insert(s.fresh(from + i + k)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
