package store_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// place is one message's UID in one mailbox; no place is used twice.
type place struct {
	mailbox mail.ID
	uid     mail.UID
}

// model is what the results of all operations add up to. An operation's
// result tells exactly which messages it changed, so their order does not
// matter.
type model struct {
	mu     sync.Mutex
	placed map[place]mail.ID
	gone   map[place]bool
	// marks are the changes of each actor's own keyword, in its order.
	marks []mark
	err   error
}

type mark struct {
	actor int
	place place
	on    bool
}

func (m *model) put(p place, id mail.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, twice := m.placed[p]; twice {
		m.fail("UID %d was given twice", p.uid)
	}
	m.placed[p] = id
}

func (m *model) take(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone[p] {
		m.fail("UID %d went twice", p.uid)
	}
	m.gone[p] = true
}

func (m *model) mark(actor int, p place, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks = append(m.marks, mark{actor, p, on})
}

// marked is the last state of each actor's keyword on a message.
func (m *model) marked() map[mail.ID]map[int]bool {
	out := map[mail.ID]map[int]bool{}
	for _, k := range m.marks {
		id := m.placed[k.place]
		if out[id] == nil {
			out[id] = map[int]bool{}
		}
		out[id][k.actor] = k.on
	}
	return out
}

func (m *model) fail(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}

// op is one operation of one actor. n chooses among what the actor sees.
type op struct {
	kind    int
	from    int
	to      int
	n, span int
}

const (
	opAppend = iota
	opAppendFile
	opMove
	opCopy
	opFlag
	opSeen
	opExpunge
	opArchive
	opRestore
	opDuckAppend
	opDuckStore
	opDuckRead
	opDuckUpdate
	opLook
	opKinds
)

func genOps(t *rapid.T, label string) []op {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
		return op{
			kind: rapid.IntRange(0, opKinds-1).Draw(t, "kind"), from: rapid.IntRange(0, 2).Draw(t, "from"),
			to: rapid.IntRange(0, 2).Draw(t, "to"), n: rapid.IntRange(0, 30).Draw(t, "n"), span: rapid.IntRange(1, 6).Draw(t, "span"),
		}
	}), 3, 12).Draw(t, label)
}

// actor runs its operations against one of the stores.
type actor struct {
	s     *store.Store
	no    int
	user  mail.ID
	boxes []mail.ID
	m     *model
	// poke wakes the reader of the journal.
	poke chan<- struct{}
	// duck writes as WildDuck does, beside the stores.
	duck *duck
}

func (a *actor) keyword() mail.Flag { return mail.Flag(fmt.Sprintf("$actor%d", a.no)) }

func (a *actor) run(ctx context.Context, ops []op) error {
	for i, o := range ops {
		if err := a.do(ctx, o, a.no*1000+i); err != nil {
			return fmt.Errorf("actor %d, operation %+v: %w", a.no, o, err)
		}
		select {
		case a.poke <- struct{}{}:
		default:
		}
	}
	return nil
}

func (a *actor) do(ctx context.Context, o op, n int) error {
	from, to := a.boxes[o.from], a.boxes[o.to]
	switch o.kind {
	case opAppend, opAppendFile:
		msg := textMessage(n)
		if o.kind == opAppendFile {
			// Few contents: actors meet in storing and releasing the same one.
			msg = fileMessage(n, fmt.Sprintf("content %d", o.n%3))
		}
		got, err := a.s.Append(ctx, store.Append{User: a.user, Mailbox: from, Message: msg})
		if err == nil {
			a.m.put(place{from, got.UID}, got.ID)
		}
		return err
	case opRestore:
		return a.restore(ctx, o)
	case opDuckAppend:
		uid, id, err := a.duck.append(ctx, a.user, from)
		if err == nil {
			a.m.put(place{from, uid}, id)
		}
		return err
	}
	all, err := a.s.UIDs(ctx, a.user, from, 0, store.ListFilter{}, 0)
	if err != nil || len(all) == 0 {
		return err
	}
	start := o.n % len(all)
	sel := store.Selection{User: a.user, Mailbox: from, UIDs: all[start:min(start+o.span, len(all))]}
	return a.change(ctx, o, sel, to)
}

// restore brings back one of the archived messages, if others are not faster.
func (a *actor) restore(ctx context.Context, o op) error {
	list, err := a.s.Archived(ctx, a.user, mail.ID{}, 0)
	if err != nil || len(list) == 0 {
		return err
	}
	got, err := a.s.Restore(ctx, a.user, list[o.n%len(list)].ID, mail.ID{})
	if mail.IsCode(err, mail.CodeNoMessage) {
		return nil
	}
	if err == nil {
		a.m.put(place{got.Mailbox, got.UID}, got.ID)
	}
	return err
}

func (a *actor) change(ctx context.Context, o op, sel store.Selection, to mail.ID) error {
	switch o.kind {
	case opMove:
		moved, err := a.s.Move(ctx, sel, to, store.MoveOptions{})
		for _, mv := range moved {
			a.m.take(place{sel.Mailbox, mv.From})
			a.m.put(place{to, mv.To}, mv.ID)
		}
		return err
	case opCopy:
		copies, err := a.s.Copy(ctx, sel, to)
		for _, c := range copies {
			a.m.put(place{to, c.To}, c.ID)
		}
		return err
	case opFlag:
		on := o.n%2 == 0
		change := store.FlagChange{Remove: []mail.Flag{a.keyword()}}
		if on {
			change = store.FlagChange{Add: []mail.Flag{a.keyword()}}
		}
		got, err := a.s.StoreFlags(ctx, sel, change)
		for _, uid := range got.Changed {
			a.m.mark(a.no, place{sel.Mailbox, uid}, on)
		}
		return err
	case opDuckStore:
		return a.duck.store(ctx, a.user, sel.Mailbox, sel.UIDs[0], runtime.Gosched)
	case opDuckRead:
		return a.duck.read(ctx, a.user, sel.Mailbox, sel.UIDs[0], runtime.Gosched)
	case opDuckUpdate:
		return a.duck.update(ctx, a.user, sel.Mailbox, sel.UIDs[0], runtime.Gosched)
	case opLook:
		_, err := a.s.Snapshot(ctx, a.user, sel.Mailbox)
		return err
	case opSeen:
		change := store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}
		if o.n%3 == 0 {
			change = store.FlagChange{Remove: []mail.Flag{mail.FlagSeen}}
		}
		_, err := a.s.StoreFlags(ctx, sel, change)
		return err
	default:
		gone, err := a.s.Expunge(ctx, sel, store.ExpungeOptions{Archive: o.kind == opArchive})
		for _, uid := range gone {
			a.m.take(place{sel.Mailbox, uid})
		}
		return err
	}
}

// Several actors in two processes change one account at the same time. At rest
// what is stored, what is counted and what the journal says are equal.
func TestModel(t *testing.T) {
	rounds(t, "8")
	env := storetest.New(t)
	one, two := env.Open(nil), env.Open(nil)
	wild := newDuck(t, env)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		actors := rapid.IntRange(2, 4).Draw(rt, "actors")
		scripts := make([][]op, actors)
		for i := range scripts {
			scripts[i] = genOps(rt, fmt.Sprintf("actor %d", i))
		}
		modelRound(t, rt, one, two, wild, fmt.Sprintf("user%d", n), scripts)
	})
}

func modelRound(t *testing.T, rt *rapid.T, one, two *store.Store, wild *duck, name string, scripts [][]op) {
	ctx := context.Background()
	u := newUser(t, one, name)
	boxes := []mail.ID{inbox(t, one, u.ID).ID, byUse(t, one, u.ID, mail.UseTrash).ID, byUse(t, one, u.ID, mail.UseJunk).ID}
	start := must(one.LastChange(ctx, u.ID))(t)
	m := &model{placed: map[place]mail.ID{}, gone: map[place]bool{}}
	for i := range 5 {
		got := appendTo(t, one, u.ID, boxes[0], fileMessage(i, "content 0"))
		m.put(place{boxes[0], got.UID}, got.ID)
	}
	// The counters are cached before the storm, so that it must adjust them.
	must(one.Mailboxes(ctx, u.ID))(t)

	stop, poke := make(chan struct{}), make(chan struct{}, 1)
	watched := make(chan map[place]bool, 1)
	go func() { watched <- watch(ctx, two, u.ID, start, stop, poke) }()
	var wg sync.WaitGroup
	errs := make([]error, len(scripts))
	for i, ops := range scripts {
		a := &actor{s: []*store.Store{one, two}[i%2], no: i, user: u.ID, boxes: boxes, m: m, poke: poke, duck: wild}
		wg.Go(func() { errs[i] = a.run(ctx, ops) })
	}
	wg.Wait()
	close(stop)
	seen := <-watched
	for _, err := range append(errs, m.err) {
		if err != nil {
			rt.Fatal(err)
		}
	}
	compare(ctx, rt, one, u.ID, boxes, m, seen)
	for _, s := range []*store.Store{one, two} {
		compareSnapshots(ctx, rt, s, u.ID, boxes)
	}
	wantClean(t, two, u.ID)
}

// compareSnapshots holds the snapshots, which lived through the changes,
// against the messages.
func compareSnapshots(ctx context.Context, rt *rapid.T, s *store.Store, user mail.ID, boxes []mail.ID) {
	for _, box := range boxes {
		snap, err := s.Snapshot(ctx, user, box)
		if err != nil {
			rt.Fatal(err)
		}
		for _, have := range snap.Rows(0, snap.Len()) {
			row, err := s.Row(ctx, user, box, have.UID)
			if err != nil || row.ModSeq != have.ModSeq || len(row.Flags) != len(have.Flags) || row.Thread != have.Thread {
				rt.Fatalf("the snapshot says %+v of %+v (%v)", have, row, err)
			}
			for _, f := range have.Flags {
				if !row.Has(f) {
					rt.Fatalf("the snapshot says %+v of %+v", have, row)
				}
			}
		}
	}
}

// watch replays the journal while it is written and gives the places that are
// there in the end.
func watch(ctx context.Context, s *store.Store, user, start mail.ID, stop, poke <-chan struct{}) map[place]bool {
	feed := s.Follow(user, start)
	live, gone := map[place]bool{}, map[place]bool{}
	for last := false; ; {
		select {
		case <-stop:
			last = true
		case <-poke:
		}
		changes, complete, err := feed.Next(ctx)
		if err != nil || !complete {
			return nil
		}
		for _, c := range changes {
			switch p := (place{c.Mailbox, c.UID}); c.Command {
			case mail.CommandExists:
				live[p] = true
			case mail.CommandExpunge:
				gone[p] = true
			case mail.CommandFetch, mail.CommandCreate, mail.CommandRename, mail.CommandDelete:
				// They place no message and take none away.
			}
		}
		if last && len(changes) == 0 {
			for p := range gone {
				delete(live, p)
			}
			return live
		}
	}
}

func compare(ctx context.Context, rt *rapid.T, s *store.Store, user mail.ID, boxes []mail.ID, m *model, seen map[place]bool) {
	total, marked := 0, m.marked()
	for _, box := range boxes {
		var want, fromJournal []mail.UID
		for p := range m.placed {
			if p.mailbox == box && !m.gone[p] {
				want = append(want, p.uid)
			}
		}
		for p := range seen {
			if p.mailbox == box {
				fromJournal = append(fromJournal, p.uid)
			}
		}
		slices.Sort(want)
		slices.Sort(fromJournal)
		have, err := s.UIDs(ctx, user, box, 0, store.ListFilter{}, 0)
		if err != nil || !slices.Equal(have, want) {
			rt.Fatalf("mailbox holds %v, want %v (%v)", have, want, err)
		}
		if !slices.Equal(fromJournal, want) {
			rt.Fatalf("journal gives %v, want %v", fromJournal, want)
		}
		b, err := s.Mailbox(ctx, user, box)
		if err != nil || b.Total != len(want) {
			rt.Fatalf("counter says %d, want %d (%v)", b.Total, len(want), err)
		}
		unseen, err := s.UIDs(ctx, user, box, 0, store.ListFilter{Unseen: true}, 0)
		if err != nil || b.Unseen != len(unseen) {
			rt.Fatalf("unseen counter says %d, want %d (%v)", b.Unseen, len(unseen), err)
		}
		for _, uid := range want {
			id := m.placed[place{box, uid}]
			row, err := s.Row(ctx, user, box, uid)
			if err != nil || row.ID != id || row.ModSeq > b.ModSeq || row.UID >= b.UIDNext {
				rt.Fatalf("row %+v of mailbox %+v (%v)", row, b, err)
			}
			for no, on := range marked[id] {
				if row.Has(mail.Flag(fmt.Sprintf("$actor%d", no))) != on {
					rt.Fatalf("message %v: flags %v, actor %d set its own to %v", id, row.Flags, no, on)
				}
			}
		}
		total += len(want)
	}
	if r, err := s.Verify(ctx, user); err != nil || r.Messages != total {
		rt.Fatalf("verified %d messages, want %d (%v)", r.Messages, total, err)
	}
}

// rounds sets how often rapid tries, for tests that are not cheap.
func rounds(t *testing.T, n string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	old := f.Value.String()
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", old) })
}
