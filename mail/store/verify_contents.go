package store

import (
	"context"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// contentBatch is how many contents, and how many journal entries, are looked
// for in one query.
const contentBatch = 500

// contentCheck looks whether each attachment's content is there, whole.
type contentCheck struct {
	check *check
	// uses are contents not looked at yet, with a message that has each.
	uses map[[32]byte]mail.ID
}

func (c *contentCheck) add(ctx context.Context, r *verifyRecord) error {
	for _, h := range treeHashes(r.MimeTree.Map) {
		c.uses[h] = mail.ID(r.State.ID)
	}
	if len(c.uses) < contentBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *contentCheck) flush(ctx context.Context) error {
	if len(c.uses) == 0 {
		return nil
	}
	states, err := c.check.s.contentStates(ctx, c.uses)
	if err != nil {
		return err
	}
	for h, id := range c.uses {
		if states[h] == "" {
			continue
		}
		p := Problem{Kind: ProblemMissingAttachment, Message: id, Want: hex32(h), Have: states[h]}
		if err := c.check.add(ctx, p, nil); err != nil {
			return err
		}
	}
	clear(c.uses)
	return nil
}

// contentStates says what is wrong with stored contents, "" for nothing.
func (s *Store) contentStates(ctx context.Context, uses map[[32]byte]mail.ID) (map[[32]byte]string, error) {
	const op = "verify attachments"
	ids := make(bson.A, 0, len(uses))
	out := make(map[[32]byte]string, len(uses))
	for h := range uses {
		ids = append(ids, hashID(h))
		out[h] = "no file"
	}
	cur, err := s.attachmentFiles.Find(ctx, key("_id", key("$in", ids)), options.Find().SetProjection(key("length", 1, "metadata.c", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var files []struct {
		ID       bson.Binary `bson:"_id"`
		Length   int64       `bson:"length"`
		Metadata struct {
			C int64 `bson:"c"`
		} `bson:"metadata"`
	}
	if err := cur.All(ctx, &files); err != nil {
		return nil, fail(op, err)
	}
	chunks, err := s.chunkCounts(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range files {
		h := [32]byte(files[i].ID.Data) // one that was asked for
		want := (files[i].Length + chunkSize - 1) / chunkSize
		switch {
		case files[i].Metadata.C <= 0:
			out[h] = fmt.Sprintf("%d references", files[i].Metadata.C)
		case chunks[h] < want:
			out[h] = fmt.Sprintf("%d of %d chunks", chunks[h], want)
		default:
			out[h] = ""
		}
	}
	return out, nil
}

// chunkCounts counts the chunks of contents, from the index.
func (s *Store) chunkCounts(ctx context.Context, ids bson.A) (map[[32]byte]int64, error) {
	const op = "count chunks"
	cur, err := s.attachmentChunks.Find(ctx, key("files_id", key("$in", ids)),
		options.Find().SetProjection(key("_id", 0, "files_id", 1)).SetHint(key("files_id", 1, "n", 1)).SetBatchSize(snapshotBatch))
	if err != nil {
		return nil, fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	out := map[[32]byte]int64{}
	for cur.Next(ctx) {
		if id := rawBytes(cur.Current.Lookup("files_id")); len(id) == 32 {
			out[[32]byte(id)]++
		}
	}
	return out, fail(op, cur.Err())
}

// journalCheck looks for the entry of each message that is younger than
// entries live.
type journalCheck struct {
	check *check
	young map[mail.ID][]youngMessage
	n     int
}

type youngMessage struct {
	id     mail.ID
	uid    mail.UID
	modseq mail.ModSeq
}

func (c *journalCheck) add(ctx context.Context, r *verifyRecord) error {
	box := mail.ID(r.Mailbox)
	c.young[box] = append(c.young[box], youngMessage{mail.ID(r.State.ID), r.State.uid(), r.State.modseq()})
	if c.n++; c.n < contentBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *journalCheck) flush(ctx context.Context) error {
	for box, list := range c.young {
		lacking, err := c.lacking(ctx, box, list)
		if err != nil {
			return err
		}
		if len(lacking) > 0 && c.check.o.live {
			// Their writers may not be done yet.
			if err := pause(ctx, gapWait); err != nil {
				return err
			}
			if lacking, err = c.lacking(ctx, box, lacking); err != nil {
				return err
			}
		}
		for _, m := range lacking {
			if err := c.report(ctx, box, m); err != nil {
				return err
			}
		}
	}
	clear(c.young)
	c.n = 0
	return nil
}

// lacking gives the messages whose entry is not there.
func (c *journalCheck) lacking(ctx context.Context, box mail.ID, list []youngMessage) ([]youngMessage, error) {
	const op = "verify journal"
	modseqs := make(bson.A, len(list))
	for i := range list {
		modseqs[i] = number(int64(list[i].modseq)) //nolint:gosec // below 2^53
	}
	cur, err := c.check.s.journal.Find(ctx, key("mailbox", oid(box), "modseq", key("$in", modseqs), "user", c.check.user.ID),
		options.Find().SetProjection(key("_id", 0, "uid", 1, "modseq", 1)).SetHint(key("mailbox", 1, "modseq", 1)))
	if err != nil {
		return nil, fail(op, err)
	}
	var entries []changeRecord
	if err := cur.All(ctx, &entries); err != nil {
		return nil, fail(op, err)
	}
	type place struct{ uid, modseq int64 }
	have := make(map[place]bool, len(entries))
	for i := range entries {
		have[place{entries[i].UID, entries[i].ModSeq}] = true
	}
	var out []youngMessage
	for _, m := range list {
		if !have[place{int64(m.uid), int64(m.modseq)}] { //nolint:gosec // below 2^53
			out = append(out, m)
		}
	}
	return out, nil
}

// report tells of a message without an entry, if it still is where it was.
func (c *journalCheck) report(ctx context.Context, box mail.ID, m youngMessage) error {
	r, err := c.check.s.stateByID(ctx, mail.ID(c.check.user.ID), m.id)
	if mail.IsCode(err, mail.CodeNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	if mail.ID(r.Mailbox) != box || r.State.modseq() != m.modseq {
		return nil
	}
	p := Problem{Kind: ProblemJournal, Mailbox: box, Message: m.id, Want: strconv.FormatUint(uint64(m.modseq), 10)}
	return c.check.add(ctx, p, func(ctx context.Context) error { return c.check.s.mendJournal(ctx, mail.ID(c.check.user.ID), r) })
}
