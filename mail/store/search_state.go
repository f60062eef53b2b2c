package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// stateLeast and stateMost are how many dates are read at once.
const stateLeast, stateMost = 64, 2048

// stateDates tells of which internal dates there are messages in the state that a
// search asks for, unread or starred. The lists' indexes say that by themselves,
// so that candidates in another state cost no look at their rows. A message of the
// same date may be in that state, and another one be the candidate.
type stateDates struct {
	q      *searching
	older  bool
	filter bson.D
	hint   any
	// dates are some of them in the order of the search, from at on those that no
	// candidate has passed; the next step reads step. done: none are behind these.
	dates []int64
	at    int
	step  int
	done  bool
	// asked is for how many candidates they served.
	asked int
}

// stateDates is nil for a search that does not ask for a state.
func (q *searching) stateDates(older bool) *stateDates {
	f := ListFilter{Flagged: q.place.flagged}
	f.Unseen = q.place.unseen && !f.Flagged
	if !f.Unseen && !f.Flagged {
		return nil
	}
	d := &stateDates{q: q, older: older, filter: f.filter(mail.ID{}), hint: f.index(), step: stateLeast}
	d.filter[0].Value = key("$in", q.mailboxIDs())
	return d
}

// has is asked for dates in the order of the search.
func (d *stateDates) has(ctx context.Context, date int64) (bool, error) {
	for d.at < len(d.dates) && d.dates[d.at] != date && d.dates[d.at] > date == d.older {
		d.at++
	}
	if d.at == len(d.dates) && !d.done {
		if d.step = min(2*d.step, stateMost); d.asked < stateLeast/16 {
			d.step = stateLeast // candidates lie farther apart than what was read
		}
		if err := d.read(ctx, date); err != nil {
			return false, err
		}
	}
	d.asked++
	return d.at < len(d.dates) && d.dates[d.at] == date, nil
}

// read reads the dates from one on.
func (d *stateDates) read(ctx context.Context, from int64) error {
	const op = "read dates of a state"
	edge, direction := "$gte", 1
	if d.older {
		edge, direction = "$lte", -1
	}
	filter := append(d.filter[:len(d.filter):len(d.filter)], bson.E{Key: "idate", Value: key(edge, time.UnixMilli(from))})
	cur, err := d.q.s.messages.Find(ctx, filter, options.Find().SetProjection(key("_id", 0, "idate", 1)).SetHint(d.hint).
		SetSort(key("idate", direction)).SetLimit(int64(d.step)).SetBatchSize(int32(d.step))) //nolint:gosec // small
	if err != nil {
		return fail(op, err)
	}
	d.dates, d.at, d.asked = d.dates[:0], 0, 0
	for cur.Next(ctx) {
		d.dates = append(d.dates, rawTime(cur.Current.Lookup("idate")).UnixMilli())
	}
	d.done = len(d.dates) < d.step
	d.q.budget -= len(d.dates) / skipWeight
	return fail(op, errors.Join(cur.Err(), cur.Close(ctx)))
}
