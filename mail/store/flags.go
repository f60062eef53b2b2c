package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// StoreFlags changes flags. Messages that have them so already keep their
// mod-sequence and are not listed. All messages changed in one step share one
// mod-sequence.
//
// Each message is changed by one update that holds only if nobody changed it
// since it was read; otherwise it is read again and gets a fresh
// mod-sequence. So no change is lost, and a message's mod-sequence only rises.
func (s *Store) StoreFlags(ctx context.Context, sel Selection, c FlagChange) (Stored, error) {
	const op = "store flags"
	box, uids, err := s.selected(ctx, op, sel)
	if err != nil {
		return Stored{}, err
	}
	c.Add, c.Set = cleanFlags(c.Add), cleanSet(c.Set)
	if err := s.noteFlags(ctx, box, slices.Concat(c.Add, c.Set)); err != nil {
		return Stored{}, err
	}
	var out Stored
	for batch := range slices.Chunk(uids, rowBatch) {
		if err := s.storeBatch(ctx, sel, c, batch, &out); err != nil {
			return out, err
		}
	}
	slices.Sort(out.Changed)
	slices.Sort(out.Modified)
	return out, nil
}

func cleanSet(flags []mail.Flag) []mail.Flag {
	if flags == nil {
		return nil
	}
	return cleanFlags(flags)
}

// apply is the flags after the change.
func (c *FlagChange) apply(have []mail.Flag) []mail.Flag {
	if c.Set != nil {
		return c.Set
	}
	out := slices.Clone(have)
	for _, f := range c.Remove {
		out = mail.WithoutFlag(out, f)
	}
	for _, f := range c.Add {
		out = mail.WithFlag(out, f)
	}
	return out
}

func sameFlags(a, b []mail.Flag) bool {
	if len(a) != len(b) {
		return false
	}
	for _, f := range a {
		if !mail.HasFlag(b, f) {
			return false
		}
	}
	return true
}

// storeBatch changes one batch, in as many rounds as others interfere.
func (s *Store) storeBatch(ctx context.Context, sel Selection, c FlagChange, pending []mail.UID, out *Stored) error {
	const op = "store flags"
	for range maxRounds {
		rows, err := s.states(ctx, sel.Mailbox, pending)
		if err != nil {
			return err
		}
		todo := make([]flagUpdate, 0, len(rows))
		for i := range rows {
			if c.UnchangedSince > 0 && rows[i].modseq() > c.UnchangedSince {
				out.Modified = append(out.Modified, rows[i].uid())
				continue
			}
			have := flagsOf(rows[i].Flags)
			if want := c.apply(have); !sameFlags(have, want) {
				todo = append(todo, flagUpdate{row: &rows[i], flags: want})
			}
		}
		if len(todo) == 0 {
			return nil
		}
		if pending, err = s.storeRound(ctx, sel, todo, out); err != nil || len(pending) == 0 {
			return err
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}

type flagUpdate struct {
	row   *stateRecord
	flags []mail.Flag
}

// guard is the filter that holds while nobody changed the message. WildDuck's
// FETCH and its answers write flags first and raise the mod-sequence later, so
// the flags are part of it.
func (r *stateRecord) guard(mailbox mail.ID) bson.D {
	d := key("_id", r.ID, "mailbox", oid(mailbox), "uid", number(r.UID), "modseq", number(r.ModSeq))
	if r.Flags != nil {
		d = append(d, bson.E{Key: "flags", Value: stringArray(r.Flags)})
	}
	return d
}

// stateOf are the fields beside the flags that follow the mod-sequence.
func stateOf(mailbox mail.ID, modseq mail.ModSeq, flags []mail.Flag) bson.D {
	return bson.D{{Key: "modseq", Value: number(int64(modseq))}, stateSet(mailbox, modseq, flags)} //nolint:gosec // below 2^53
}

// flagUpdateDoc sets flags and the fields beside them.
func flagUpdateDoc(set bson.D, flags []mail.Flag, unset ...string) bson.D {
	update := bson.D{{Key: "$set", Value: append(flagFields(flags), set...)}}
	if mail.HasFlag(flags, mail.FlagDeleted) {
		unset = append(unset, "searchable")
	}
	if len(unset) > 0 {
		d := make(bson.D, len(unset))
		for i, name := range unset {
			d[i] = bson.E{Key: name, Value: ""}
		}
		update = append(update, bson.E{Key: "$unset", Value: d})
	}
	return update
}

// storeRound tries the updates once and gives back the UIDs to try again.
func (s *Store) storeRound(ctx context.Context, sel Selection, todo []flagUpdate, out *Stored) ([]mail.UID, error) {
	const op = "store flags"
	s.writing(ctx, sel.Mailbox)
	got, err := s.allocate(ctx, op, sel.User, sel.Mailbox, 0)
	if err != nil {
		return nil, err
	}
	models := make([]mongo.WriteModel, len(todo))
	uids := make([]mail.UID, len(todo))
	for i := range todo {
		uids[i] = todo[i].row.uid()
		models[i] = mongo.NewUpdateOneModel().SetFilter(todo[i].row.guard(sel.Mailbox)).
			SetUpdate(flagUpdateDoc(stateOf(sel.Mailbox, got.modseq, todo[i].flags), todo[i].flags))
	}
	matched, err := s.updateMessages(ctx, models)
	rest, cancel := after(ctx)
	defer cancel()
	if err == nil && matched == len(todo) {
		s.flagsStored(rest, sel, todo, &got, out)
		return nil, nil
	}
	done, readErr := s.landed(rest, sel.Mailbox, uids, got.modseq)
	if readErr != nil {
		return nil, readErr
	}
	var again []mail.UID
	kept := todo[:0]
	for i := range todo {
		if done[uids[i]] {
			kept = append(kept, todo[i])
		} else {
			again = append(again, uids[i])
		}
	}
	if len(kept) == 0 {
		s.unused(rest, sel.Mailbox, got.modseq)
	}
	s.flagsStored(rest, sel, kept, &got, out)
	return again, fail(op, err)
}

// updateStep is how many updates go in one command to the embedded store.
const updateStep = 20

// updateMessages updates messages and gives how many there were. The embedded
// store has one writer, and whoever delivers meanwhile waits for the command that
// it is at: so there they go in several small ones. It also has one log, in which
// the last, which waits for the disk, makes those before it durable as well.
func (s *Store) updateMessages(ctx context.Context, models []mongo.WriteModel) (matched int, err error) {
	step := len(models)
	if s.embedded {
		step = updateStep
	}
	for len(models) > 0 {
		n, to := min(step, len(models)), s.messages
		if n < len(models) {
			to = s.hints
		}
		res, err := to.BulkWrite(ctx, models[:n], options.BulkWrite().SetOrdered(false))
		if err != nil {
			return matched, err
		}
		matched += int(res.MatchedCount)
		models = models[n:]
	}
	return matched, nil
}

// flagsStored does what follows the durable updates.
func (s *Store) flagsStored(ctx context.Context, sel Selection, done []flagUpdate, got *allocation, out *Stored) {
	entries := make([]entry, len(done))
	unseen := 0
	for i := range done {
		row := done[i].row
		was, is := !mail.HasFlag(flagsOf(row.Flags), mail.FlagSeen), !mail.HasFlag(done[i].flags, mail.FlagSeen)
		unseen += count(is) - count(was)
		entries[i] = entry{
			mailbox: sel.Mailbox, command: mail.CommandFetch, modseq: got.modseq, uid: row.uid(), message: mail.ID(row.ID),
			thread: mail.ID(row.Thread), flags: done[i].flags, unseenChange: was != is, ignore: sel.Ignore, calm: got.calm,
		}
		out.Changed = append(out.Changed, row.uid())
	}
	if len(done) > 0 {
		out.ModSeq = got.modseq
	}
	s.adjust(ctx, sel.Mailbox, 0, unseen)
	s.recordAfter(ctx, sel.User, entries...)
}
