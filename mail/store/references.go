package store

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	scanPage = 500
	// contentsAtOnce is how many contents one pass over the messages counts: some
	// 60 MB of memory. An installation with more has several passes.
	contentsAtOnce = 500_000
	// referenceSlack is how long before a count an operation under it may have
	// begun.
	referenceSlack = time.Minute
)

// VerifyAttachments counts the uses of every stored content, over all
// accounts, and says which reference counts differ, and which archived
// documents stand beside their own live message. It reads every message; the
// installation should be at rest. With repair it sets the counts right and
// removes those archived documents.
func (s *Store) VerifyAttachments(ctx context.Context, repair bool) (Report, error) {
	var report Report
	o := checkOptions{repair: repair, found: func(p Problem) error {
		report.Problems = append(report.Problems, p)
		return nil
	}, progress: func(messages int) error {
		report.Messages = messages
		return nil
	}}
	passes, err := s.referencePasses(ctx)
	for pass := range passes {
		if err == nil {
			err = s.checkReferences(ctx, o, pass, passes)
		}
	}
	return report, err
}

// referencePasses is how many passes a count of all contents takes.
func (s *Store) referencePasses(ctx context.Context) (int, error) {
	n, err := s.attachmentFiles.EstimatedDocumentCount(ctx)
	if err != nil {
		return 0, fail("count contents", err)
	}
	passes := 1
	for int64(passes)*contentsAtOnce < n && passes < 256 {
		passes *= 2
	}
	return passes, nil
}

// uses is how often a content is used, and the sum of magics.
type uses struct{ c, m int64 }

// referenceCheck is one pass: the contents whose hash begins with one of some
// bytes.
type referenceCheck struct {
	s          *Store
	o          checkOptions
	first, end int
	began      time.Time
	messages   int
	used       map[[32]byte]uses
	// unsure are contents whose messages changed place while they were counted.
	unsure map[[32]byte]bool
}

// checkReferences counts the uses of one part of all contents.
//
// Others may write meanwhile (live). Who adds or takes a reference leaves the
// time in metadata.cu; a message that goes to the archive, or comes back under
// a new id, does not. Contents that either touched are left for another time:
// a reference too few would delete what somebody needs.
func (s *Store) checkReferences(ctx context.Context, o checkOptions, pass, passes int) error {
	c := &referenceCheck{
		s: s, o: o, first: pass * 256 / passes, end: (pass + 1) * 256 / passes, began: s.now().Add(-referenceSlack),
		used: map[[32]byte]uses{}, unsure: map[[32]byte]bool{},
	}
	if err := c.scan(ctx, s.messages, bson.ObjectID{}, c.live); err != nil {
		return err
	}
	if err := c.scan(ctx, s.archived, bson.ObjectID{}, c.archived); err != nil {
		return err
	}
	if o.live {
		if err := c.scan(ctx, s.messages, oid(startOf(c.began)), c.doubt); err != nil {
			return err
		}
	}
	if o.progress != nil {
		if err := o.progress(c.messages); err != nil {
			return err
		}
	}
	return c.compare(ctx)
}

// scan hands all documents after an id to see, in the order of their ids.
func (c *referenceCheck) scan(ctx context.Context, from *mongo.Collection, last bson.ObjectID, see func(context.Context, bson.Raw) error) error {
	const op = "count attachment uses"
	for {
		cur, err := from.Find(ctx, key("_id", key("$gt", last)), options.Find().SetSort(key("_id", 1)).SetLimit(scanPage).
			SetProjection(key("magic", 1, "archived", 1, "mimeTree.attachmentMap", 1)))
		if err != nil {
			return fail(op, err)
		}
		var rows []bson.Raw
		if err := cur.All(ctx, &rows); err != nil {
			return fail(op, err)
		}
		for _, raw := range rows {
			last, _ = raw.Lookup("_id").ObjectIDOK()
			if err := see(ctx, raw); err != nil {
				return err
			}
		}
		if len(rows) < scanPage {
			return nil
		}
	}
}

// hashes lists the contents of a document that belong to this pass.
func (c *referenceCheck) hashes(raw bson.Raw) [][32]byte {
	all := treeHashes(raw.Lookup("mimeTree", "attachmentMap"))
	mine := all[:0]
	for _, h := range all {
		if c.mine(h) {
			mine = append(mine, h)
		}
	}
	return mine
}

func (c *referenceCheck) mine(h [32]byte) bool { return int(h[0]) >= c.first && int(h[0]) < c.end }

func (c *referenceCheck) count(raw bson.Raw) {
	for _, h := range c.hashes(raw) {
		u := c.used[h]
		u.c++
		u.m += rawNumber(raw.Lookup("magic"))
		c.used[h] = u
	}
}

func (c *referenceCheck) doubt(_ context.Context, raw bson.Raw) error {
	for _, h := range c.hashes(raw) {
		c.unsure[h] = true
	}
	return nil
}

func (c *referenceCheck) live(_ context.Context, raw bson.Raw) error {
	c.count(raw)
	if c.messages++; c.o.progress != nil && c.messages%progressEvery == 0 {
		return c.o.progress(c.messages)
	}
	return nil
}

func (c *referenceCheck) archived(ctx context.Context, raw bson.Raw) error {
	if c.o.live && rawTime(raw.Lookup("archived")).After(c.began) {
		return c.doubt(ctx, raw)
	}
	id, _ := raw.Lookup("_id").ObjectIDOK()
	double, err := c.twin(ctx, id)
	if err == nil && !double {
		c.count(raw)
	}
	return err
}

// twin reports an archived document whose message lives: a crash between
// archiving and deleting left it. Only one of the passes tells of it.
func (c *referenceCheck) twin(ctx context.Context, id bson.ObjectID) (bool, error) {
	const op = "look for archived twin"
	err := c.s.messages.FindOne(ctx, key("_id", id), options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		return false, nil
	}
	if err != nil {
		return false, fail(op, err)
	}
	if c.first > 0 && !c.o.repair {
		return true, nil
	}
	return true, c.add(ctx, Problem{Kind: ProblemArchived, Message: mail.ID(id)}, func(ctx context.Context) error {
		_, err := c.s.archived.DeleteOne(ctx, key("_id", id))
		return fail(op, err)
	})
}

func (c *referenceCheck) add(ctx context.Context, p Problem, mend func(context.Context) error) error {
	if c.o.repair && mend != nil {
		if err := mend(ctx); err != nil {
			return err
		}
		p.Mended = true
	}
	return c.o.found(p)
}

// compare compares with the reference counts.
func (c *referenceCheck) compare(ctx context.Context) error {
	const op = "compare attachment references"
	var start [32]byte
	start[0] = byte(c.first) //nolint:gosec // below 256
	beyond, last := "$gte", hashID(start)
	if c.first == 0 {
		last = bson.Binary{Data: []byte{}}
	}
	for {
		cur, err := c.s.attachmentFiles.Find(ctx, key("_id", key(beyond, last)), options.Find().SetSort(key("_id", 1)).SetLimit(scanPage).
			SetProjection(key("metadata.c", 1, "metadata.m", 1, "metadata.cu", 1)))
		if err != nil {
			return fail(op, err)
		}
		var rows []bson.Raw
		if err := cur.All(ctx, &rows); err != nil {
			return fail(op, err)
		}
		for _, raw := range rows {
			id := rawBytes(raw.Lookup("_id"))
			beyond, last = "$gt", bson.Binary{Data: id}
			if len(id) != 32 {
				continue
			}
			h := [32]byte(id)
			if !c.mine(h) {
				return c.missing(ctx)
			}
			if err := c.compareUse(ctx, h, raw); err != nil {
				return err
			}
		}
		if len(rows) < scanPage {
			return c.missing(ctx)
		}
	}
}

// missing tells of contents that messages use and nobody has.
func (c *referenceCheck) missing(ctx context.Context) error {
	for h := range c.used {
		if c.o.live && c.unsure[h] {
			continue
		}
		if err := c.add(ctx, Problem{Kind: ProblemMissingAttachment, Want: hex32(h), Have: "no file"}, nil); err != nil {
			return err
		}
	}
	return nil
}

// compareUse compares one content and takes it from those that are missing.
func (c *referenceCheck) compareUse(ctx context.Context, h [32]byte, raw bson.Raw) error {
	want := c.used[h]
	delete(c.used, h)
	have := uses{c: rawNumber(raw.Lookup("metadata", "c")), m: rawNumber(raw.Lookup("metadata", "m"))}
	if have == want {
		return nil
	}
	if c.o.live && (c.unsure[h] || rawTime(raw.Lookup("metadata", "cu")).After(c.began)) {
		return nil
	}
	p := Problem{Kind: ProblemReferences, Want: useText(h, want), Have: useText(h, have)}
	return c.add(ctx, p, func(ctx context.Context) error {
		// The difference is added, and only where nobody changed the count.
		_, err := c.s.attachmentFiles.UpdateOne(ctx,
			key("_id", hashID(h), "metadata.c", number(have.c), "metadata.m", number(have.m)), bson.D{
				{Key: "$inc", Value: key("metadata.c", number(want.c-have.c), "metadata.m", number(want.m-have.m))},
				{Key: "$set", Value: key("metadata.cu", c.s.now().Truncate(time.Millisecond))},
			})
		return fail("mend attachment references", err)
	})
}

func useText(h [32]byte, u uses) string {
	return hex32(h)[:16] + " c=" + strconv.FormatInt(u.c, 10) + " m=" + strconv.FormatInt(u.m, 10)
}
