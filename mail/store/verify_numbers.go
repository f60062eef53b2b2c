package store

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// settleTries and settlePause bound the wait for an account that is written to.
	settleTries = 10
	settlePause = time.Second
)

// counters compares the cached numbers, where there are any, with the scan's.
// A difference is counted again before it is one.
func (c *check) counters(ctx context.Context) error {
	for id, box := range c.boxes {
		for _, n := range []struct {
			kind, key string
			want      int
			filter    bson.D
			index     bson.D
		}{
			{ProblemTotal, totalKey(id), box.total, key("mailbox", oid(id)), indexUID},
			{ProblemUnseen, unseenKey(id), box.unseen, key("mailbox", oid(id), "unseen", true), indexUnseen},
		} {
			have, ok, err := c.s.sig.Get(ctx, n.key)
			if err != nil {
				return err
			}
			if !ok || have == strconv.Itoa(n.want) {
				continue
			}
			want, have, state, err := c.counted(ctx, id, n.key, n.filter, n.index)
			if err != nil {
				return err
			}
			if err := c.judge(ctx, Problem{Kind: n.kind, Mailbox: id, Want: want, Have: have}, state, func(ctx context.Context) error {
				c.s.dropCounters(ctx, id)
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdict is what became of a number that looked wrong.
type verdict int

const (
	numberRight verdict = iota
	numberWrong
	numberBusy
)

func (c *check) judge(ctx context.Context, p Problem, v verdict, mend func(context.Context) error) error {
	switch v {
	case numberWrong:
		return c.add(ctx, p, mend)
	case numberBusy:
		return c.add(ctx, Problem{Kind: ProblemBusy, Mailbox: p.Mailbox, Want: p.Kind}, nil)
	case numberRight:
	}
	return nil
}

// counted compares a counter with a fresh count at a moment at which nobody
// writes to the mailbox.
func (c *check) counted(ctx context.Context, mailbox mail.ID, cacheKey string, filter, index bson.D) (want, have string, v verdict, err error) {
	for range settleTries {
		before, ok, err := c.s.sig.Get(ctx, cacheKey)
		if err != nil || !ok {
			return "", "", numberRight, err
		}
		quiet := !c.o.live || c.s.quiet(ctx, mailbox)
		n, err := c.s.messages.CountDocuments(ctx, filter, options.Count().SetHint(index))
		if err != nil {
			return "", "", numberBusy, fail("count messages", err)
		}
		want = strconv.FormatInt(n, 10)
		if before == want {
			return want, before, numberRight, nil
		}
		after, _, err := c.s.sig.Get(ctx, cacheKey)
		if err != nil {
			return "", "", numberBusy, err
		}
		if quiet && before == after && (!c.o.live || c.s.quiet(ctx, mailbox)) {
			return want, after, numberWrong, nil
		}
		if err := pause(ctx, settlePause); err != nil {
			return "", "", numberBusy, err
		}
	}
	return "", "", numberBusy, nil
}

// quota compares used storage with the sizes of the messages.
func (c *check) quota(ctx context.Context) error {
	if c.bytes == c.user.StorageUsed {
		return nil
	}
	p := Problem{Kind: ProblemQuota}
	have, v, err := c.usage(ctx)
	if err != nil {
		return err
	}
	p.Want, p.Have = strconv.FormatInt(c.bytes, 10), strconv.FormatInt(have, 10)
	return c.judge(ctx, p, v, func(ctx context.Context) error { return c.s.mendQuota(ctx, mail.ID(c.user.ID), c.bytes, have) })
}

// usage reads used storage and sizes anew until nobody wrote in between. A
// writer takes storage first, so one that is at work makes the account look
// wrong; it leaves the time at which it did.
func (c *check) usage(ctx context.Context) (have int64, v verdict, err error) {
	for range settleTries {
		before, _, err := c.storage(ctx)
		if err != nil {
			return 0, numberBusy, err
		}
		if c.orphans == 0 {
			if c.bytes, err = c.sizes(ctx); err != nil {
				return 0, numberBusy, err
			}
		}
		if c.bytes == before {
			return before, numberRight, nil
		}
		after, at, err := c.storage(ctx)
		if err != nil {
			return 0, numberBusy, err
		}
		if after == before && (!c.o.live || c.s.now().Sub(at) > gapWait) {
			return after, numberWrong, nil
		}
		if err := pause(ctx, settlePause); err != nil {
			return 0, numberBusy, err
		}
	}
	return 0, numberBusy, nil
}

// storage reads used storage and when it was taken last.
func (c *check) storage(ctx context.Context) (used int64, at time.Time, err error) {
	const op = "verify used storage"
	raw, err := c.s.users.FindOne(ctx, key("_id", c.user.ID), options.FindOne().SetProjection(key("storageUsed", 1, "eider.at", 1))).Raw()
	if err != nil {
		return 0, at, missing(op, mail.CodeNoUser, err)
	}
	return rawNumber(raw.Lookup("storageUsed")), rawTime(raw.Lookup("eider", "at")), nil
}

// sizes adds up the sizes of all messages, from an index.
func (c *check) sizes(ctx context.Context) (int64, error) {
	const op = "add up sizes"
	total := int64(0)
	for id := range c.boxes {
		cur, err := c.s.messages.Find(ctx, key("mailbox", oid(id)),
			options.Find().SetProjection(key("_id", 0, "size", 1)).SetHint(indexSnapshot).SetBatchSize(snapshotBatch))
		if err != nil {
			return 0, fail(op, err)
		}
		for cur.Next(ctx) {
			total += rawNumber(cur.Current.Lookup("size"))
		}
		if err := cur.Err(); err != nil {
			return 0, fail(op, err)
		}
	}
	return total, nil
}
