package store

import (
	"context"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
)

// Move moves messages to another mailbox of the account and may change flags
// on the way. A message keeps its id and gets a new UID. What is gone is
// skipped.
//
// Each message moves by one atomic update of its document (WildDuck inserts a
// copy and deletes the source), so a crash leaves it in one of the two
// mailboxes, whole, and attachment references stay right. UIDs and
// mod-sequences of both mailboxes are taken first: a reader that finds the
// journal short sees it by them.
func (s *Store) Move(ctx context.Context, sel Selection, to mail.ID, o MoveOptions) ([]Moved, error) {
	const op = "move messages"
	from, uids, err := s.selected(ctx, op, sel)
	if err != nil {
		return nil, err
	}
	target, err := s.mailboxRecord(ctx, op, key("_id", oid(to), "user", oid(sel.User)))
	if err != nil {
		return nil, err
	}
	if err := s.noteFlags(ctx, target, cleanFlags(o.Add)); err != nil {
		return nil, err
	}
	m := &mover{
		s: s, sel: sel, from: from, to: target,
		change: FlagChange{Add: cleanFlags(o.Add), Remove: o.Remove},
	}
	for batch := range slices.Chunk(uids, rowBatch) {
		if err := m.batch(ctx, batch); err != nil {
			return m.moved, err
		}
	}
	return m.moved, nil
}

// mover is one Move under way.
type mover struct {
	s        *Store
	sel      Selection
	from, to *mailboxRecord
	change   FlagChange
	moved    []Moved
}

// step is one message of one round.
type step struct {
	row   *stateRecord
	uid   mail.UID
	flags []mail.Flag
}

func (m *mover) batch(ctx context.Context, pending []mail.UID) error {
	const op = "move messages"
	for range maxRounds {
		rows, err := m.s.states(ctx, m.sel.Mailbox, pending)
		if err != nil || len(rows) == 0 {
			return err
		}
		if pending, err = m.round(ctx, rows); err != nil || len(pending) == 0 {
			return err
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}

// round tries each message once and gives back the UIDs to try again.
func (m *mover) round(ctx context.Context, rows []stateRecord) ([]mail.UID, error) {
	const op = "move messages"
	s, toID := m.s, mail.ID(m.to.ID)
	s.writing(ctx, m.sel.Mailbox, toID)
	source, err := s.allocate(ctx, op, m.sel.User, m.sel.Mailbox, 0)
	if err != nil {
		return nil, err
	}
	target, err := s.allocate(ctx, op, m.sel.User, toID, len(rows))
	if err != nil {
		return nil, err
	}
	steps := make([]step, len(rows))
	models := make([]mongo.WriteModel, len(rows))
	fresh := make([]mail.UID, len(rows))
	for i := range rows {
		fresh[i] = target.uid + mail.UID(i) // checked by allocate
		steps[i] = step{row: &rows[i], uid: fresh[i], flags: m.change.apply(flagsOf(rows[i].Flags))}
		models[i] = mongo.NewUpdateOneModel().SetFilter(rows[i].guard(m.sel.Mailbox)).SetUpdate(m.update(&steps[i], target.modseq))
	}
	matched, err := m.write(ctx, models)
	rest, cancel := after(ctx)
	defer cancel()
	if err == nil && matched == len(steps) {
		m.finish(rest, steps, &source, &target)
		return nil, nil
	}
	done, readErr := s.landed(rest, toID, fresh, target.modseq)
	if readErr != nil {
		return nil, readErr
	}
	var again []mail.UID
	kept := steps[:0]
	for i := range steps {
		if done[steps[i].uid] {
			kept = append(kept, steps[i])
		} else {
			again = append(again, steps[i].row.uid())
		}
	}
	m.finish(rest, kept, &source, &target)
	if betweenShards(err) {
		return again, nil
	}
	return again, fail(op, err)
}

// write sends the updates and tells how many found their message.
//
// Mailbox and UID are the shard key. A router takes an update that changes it
// as a retryable write, which the driver makes of each update of one document,
// with the whole key in the filter; where the document goes to another shard,
// such an update must be alone in its command. So each has a command of its own
// there, and they share one elsewhere. One that fails ends no other: a command that
// is given up may still be done, after it has been looked at what was.
func (m *mover) write(ctx context.Context, models []mongo.WriteModel) (matched int, err error) {
	if !m.s.sharded {
		return m.s.updateMessages(ctx, models)
	}
	var found atomic.Int64
	var group errgroup.Group
	group.SetLimit(workers)
	for _, model := range models {
		group.Go(func() error {
			res, err := m.s.messages.BulkWrite(ctx, []mongo.WriteModel{model})
			if err == nil {
				found.Add(res.MatchedCount)
			}
			return err
		})
	}
	err = group.Wait()
	return int(found.Load()), err
}

// update is the one change that moves a message.
func (m *mover) update(st *step, modseq mail.ModSeq) bson.D {
	set := append(stateOf(mail.ID(m.to.ID), modseq, st.flags),
		bson.E{Key: "mailbox", Value: m.to.ID}, bson.E{Key: "uid", Value: number(int64(st.uid))},
	)
	set = append(set, m.to.stayIn(m.s.now())...)
	var unset []string
	if m.to.Retention <= 0 {
		unset = append(unset, "rdate")
	}
	switch m.to.use() {
	case mail.UseJunk:
		set = append(set, bson.E{Key: "junk", Value: true})
	case mail.UseTrash:
		// What was junk stays marked in Trash.
	case mail.UseNone, mail.UseSent, mail.UseDrafts, mail.UseArchive:
		unset = append(unset, "junk")
	}
	return flagUpdateDoc(set, st.flags, unset...)
}

// finish does what follows the durable updates.
func (m *mover) finish(ctx context.Context, done []step, source, target *allocation) {
	if len(done) == 0 {
		m.s.unused(ctx, m.sel.Mailbox, source.modseq)
		m.s.unused(ctx, mail.ID(m.to.ID), target.modseq)
		return
	}
	toID, junk := mail.ID(m.to.ID), count(m.to.use() == mail.UseJunk)
	if m.from.use() == mail.UseJunk {
		junk--
	}
	gone, here := make([]entry, len(done)), make([]entry, len(done))
	unseenFrom, unseenTo := 0, 0
	for i := range done {
		row := done[i].row
		was, is := !mail.HasFlag(flagsOf(row.Flags), mail.FlagSeen), !mail.HasFlag(done[i].flags, mail.FlagSeen)
		unseenFrom += count(was)
		unseenTo += count(is)
		id, thread := mail.ID(row.ID), mail.ID(row.Thread)
		gone[i] = entry{
			mailbox: m.sel.Mailbox, command: mail.CommandExpunge, modseq: source.modseq, uid: row.uid(), message: id,
			thread: thread, unseen: was, ignore: m.sel.Ignore, calm: source.calm,
		}
		here[i] = entry{
			mailbox: toID, command: mail.CommandExists, modseq: target.modseq, uid: done[i].uid, message: id,
			thread: thread, unseen: is, idate: rawTime(row.IDate), junk: junk, ignore: m.sel.Ignore, calm: target.calm,
		}
		m.moved = append(m.moved, Moved{From: row.uid(), To: done[i].uid, ID: id})
	}
	m.s.adjust(ctx, m.sel.Mailbox, -len(done), -unseenFrom)
	m.s.adjust(ctx, toID, len(done), unseenTo)
	m.s.recordAfter(ctx, m.sel.User, slices.Concat(gone, here)...)
}
