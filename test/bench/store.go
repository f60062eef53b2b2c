package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// storeSizes are the sizes of the store's part: the mailbox is filled to each
// of Mailboxes in turn and measured there; Import is how many messages the
// import takes, into a mailbox of its own.
type storeSizes struct {
	mailboxes []int
	imported  int
	rounds    int
	seconds   time.Duration
	// parts names what is measured: deliveries, operations, import.
	parts string
	// dir keeps the filled mailboxes for the next run, "" for none.
	dir string
}

func parseSizes(text string) ([]int, error) {
	var out []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("--mailboxes %q: give sizes such as 10000,100000", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// storeBench is one database of the store's part.
type storeBench struct {
	engine *docstore.Engine
	sig    signal.Signal
	s      *store.Store
	dir    string
	// keep leaves the folder when the bench is closed.
	keep  bool
	user  mail.ID
	inbox mail.ID
	trash mail.ID
	next  atomic.Int64
}

func openStoreBench(ctx context.Context) (b *storeBench, err error) {
	dir, err := os.MkdirTemp("", "eider-bench-")
	if err != nil {
		return nil, err
	}
	return openStoreBenchIn(ctx, dir, false)
}

// openStoreBenchIn opens the database in a folder, or makes one.
func openStoreBenchIn(ctx context.Context, dir string, keep bool) (b *storeBench, err error) {
	b = &storeBench{dir: dir, keep: keep}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.engine, err = docstore.Open(ctx, docstore.Options{Path: filepath.Join(b.dir, "eider.db"), Log: slog.New(slog.DiscardHandler)}); err != nil {
		return b, err
	}
	b.sig = signal.NewMemory(signal.MemoryOptions{})
	if b.s, err = b.open(ctx); err != nil {
		return b, err
	}
	b.user, b.inbox, err = b.account(ctx, "ann")
	if err != nil {
		return b, err
	}
	box, err := b.s.MailboxByUse(ctx, b.user, mail.UseTrash, true)
	b.trash = box.ID
	return b, err
}

func (b *storeBench) options() store.Options {
	return store.Options{URI: docstore.URI, Dialer: b.engine, Signal: b.sig, DefaultQuota: 1 << 50, Alone: true}
}

func (b *storeBench) open(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, b.options())
}

// account finds an account, or makes it.
func (b *storeBench) account(ctx context.Context, name string) (user, inbox mail.ID, err error) {
	u, err := b.s.FindUser(ctx, name)
	if mail.IsCode(err, mail.CodeNoUser) {
		u, err = b.s.CreateUser(ctx, store.NewUser{Username: name, Address: name + "@example.com"})
	}
	if err != nil {
		return user, inbox, err
	}
	box, err := b.s.MailboxByPath(ctx, u.ID, mail.Inbox)
	return u.ID, box.ID, err
}

func (b *storeBench) close(ctx context.Context) error {
	var errs []error
	if b.s != nil {
		errs = append(errs, b.s.Close(ctx))
	}
	if b.sig != nil {
		errs = append(errs, b.sig.Close())
	}
	if b.engine != nil {
		errs = append(errs, b.engine.Close())
	}
	if !b.keep {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// storeMessage is a message of some size; every fourth answers an earlier one.
func storeMessage(n int64, size int) *message.Message {
	refs := ""
	if n%4 == 0 && n > 8 {
		refs = fmt.Sprintf("References: <%d@bench.example>\r\n", n-3)
	}
	subject := n
	if refs != "" {
		subject = n - 3
	}
	return message.Parse([]byte(fmt.Sprintf("From: Ann %d <ann%d@example.org>\r\nTo: bob@example.com\r\nSubject: number %d\r\nMessage-ID: <%d@bench.example>\r\n%s"+
		"Date: Mon, 2 Mar 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s", n%500, n%500, subject, n, refs,
		strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", size/46))))
}

func (b *storeBench) deliver(ctx context.Context, user, box mail.ID, size int) error {
	n := b.next.Add(1)
	a := store.Append{User: user, Mailbox: box, Message: storeMessage(n, size)}
	if n%3 != 0 {
		a.Flags = []mail.Flag{mail.FlagSeen}
	}
	_, err := b.s.Append(ctx, a)
	return err
}

// tenth is what a tenth of a filling took.
type tenth struct{ clock, processor time.Duration }

// fill delivers n messages with some writers and gives what each tenth of them
// took.
func (b *storeBench) fill(ctx context.Context, user, box mail.ID, n, size, writers int) ([]tenth, error) {
	var parts []tenth
	for range 10 {
		var left atomic.Int64
		left.Store(int64(n / 10))
		var wg sync.WaitGroup
		errs := make(chan error, writers)
		start, before := time.Now(), processorTime()
		for range writers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := b.deliver(ctx, user, box, size); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		if err := <-errs; err != nil {
			return nil, err
		}
		parts = append(parts, tenth{time.Since(start), processorTime() - before})
	}
	return parts, nil
}

// storeFigures is the store without any surface: each operation at growing
// mailbox sizes, snapshots, deliveries, an import.
func storeFigures(ctx context.Context, r report, sizes storeSizes) error {
	r.section("Store")
	for _, part := range []struct {
		name string
		run  func(context.Context, report, storeSizes) error
	}{{"deliveries", storeDeliveries}, {"operations", storeOperations}, {"import", storeImport}} {
		if !strings.Contains(sizes.parts, part.name) {
			continue
		}
		if err := part.run(ctx, r, sizes); err != nil {
			return err
		}
	}
	return nil
}

func storeDeliveries(ctx context.Context, r report, sizes storeSizes) (err error) {
	b, err := openStoreBench(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	type target struct{ user, box mail.ID }
	targets := make([]target, 16)
	for i := range targets {
		if targets[i].user, targets[i].box, err = b.account(ctx, fmt.Sprintf("load%d", i)); err != nil {
			return err
		}
	}
	for _, writers := range []int{1, 16} {
		var n atomic.Int64
		var wg sync.WaitGroup
		errs := make(chan error, writers)
		until, before := time.Now().Add(sizes.seconds), processorTime()
		for i := range writers {
			wg.Go(func() {
				for time.Now().Before(until) {
					if err := b.deliver(ctx, targets[i].user, targets[i].box, 10_000); err != nil {
						errs <- err
						return
					}
					n.Add(1)
				}
			})
		}
		wg.Wait()
		close(errs)
		if err := <-errs; err != nil {
			return err
		}
		each := (processorTime() - before) / time.Duration(max(n.Load(), 1))
		r.line(fmt.Sprintf("Append 10 kB, %d writers", writers), fmt.Sprintf("%.0f/s", float64(n.Load())/sizes.seconds.Seconds()), fmt.Sprintf("processor %s", round(each)))
	}
	return nil
}

// processorTime is what this process has used, store and engine together.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// operation is one call to be measured. It says how it went with a key that
// tells rounds apart.
type operation struct {
	name string
	run  func(ctx context.Context, round int) error
	// most bounds the rounds, 0 for the usual number.
	most int
}

func storeOperations(ctx context.Context, r report, sizes storeSizes) error {
	first := map[string]time.Duration{}
	for _, size := range sizes.mailboxes {
		if err := storeOperationsAt(ctx, r, sizes, size, first); err != nil {
			return err
		}
	}
	return nil
}

// patternMessages are delivered to a mailbox before it is filled with copies of
// them.
const patternMessages = 2000

// filledBench opens a database with a mailbox of so many messages, one of an
// earlier run where that was kept.
func filledBench(ctx context.Context, keepIn string, size int) (b *storeBench, err error) {
	dir := ""
	if keepIn == "" {
		if dir, err = os.MkdirTemp("", "eider-bench-"); err != nil {
			return nil, err
		}
	} else {
		dir = filepath.Join(keepIn, "mailbox-"+strconv.Itoa(size))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	b, err = openStoreBenchIn(ctx, dir, keepIn != "")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	box, err := b.s.MailboxByPath(ctx, b.user, mail.Inbox)
	if err != nil {
		return b, err
	}
	have := int(box.UIDNext) - 1
	b.next.Store(int64(have))
	if have < patternMessages {
		if _, err := b.fill(ctx, b.user, b.inbox, min(size, patternMessages)-have, 2000, 16); err != nil {
			return b, err
		}
		have = min(size, patternMessages)
	}
	if have >= size {
		return b, nil
	}
	if err := storetest.Multiply(ctx, b.options(), b.user, b.inbox, size-have); err != nil {
		return b, err
	}
	b.next.Store(int64(size))
	// The counters were those of the patterns.
	return b, b.sig.Delete(ctx, "total:"+b.inbox.String(), "unseen:"+b.inbox.String())
}

func storeOperationsAt(ctx context.Context, r report, sizes storeSizes, size int, first map[string]time.Duration) (err error) {
	b, err := filledBench(ctx, sizes.dir, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	// The index of words looks through what it has not seen; that is not to happen
	// while something else is measured.
	if _, err := b.s.IndexTerms(ctx, b.user); err != nil {
		return err
	}
	r.line(fmt.Sprintf("with %d messages in the mailbox", size), "", "")
	for _, o := range b.operations() {
		before := processorTime()
		times, err := measure(ctx, o, sizes.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		// The processor's time says more than the clock on a busy machine.
		each := (processorTime() - before) / time.Duration(len(times))
		note := fmt.Sprintf("processor %s", round(each))
		if was, ok := first[o.name]; ok {
			note += fmt.Sprintf(", %.2f × the smallest", float64(each)/float64(max(was, 1)))
		} else {
			first[o.name] = each
		}
		r.line("  "+o.name, times.String(), note)
	}
	snap, err := b.s.Snapshot(ctx, b.user, b.inbox)
	if err != nil {
		return err
	}
	r.line("  snapshot, memory", fmt.Sprintf("%.2f MiB, %.1f bytes a message", float64(snap.Bytes())/(1<<20), float64(snap.Bytes())/float64(snap.Len())), "goal ≤ 2 MiB for 100,000")
	return nil
}

func measure(ctx context.Context, o operation, rounds int) (sample, error) {
	if o.most > 0 {
		rounds = min(rounds, o.most)
	}
	var times sample
	for i := range rounds {
		start := time.Now()
		if err := o.run(ctx, i); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// operations are the store's calls on the mailbox as it is now.
func (b *storeBench) operations() []operation {
	ctx := context.Background()
	snap, err := b.s.Snapshot(ctx, b.user, b.inbox)
	if err != nil || snap.Len() == 0 {
		return []operation{{name: "snapshot", run: func(context.Context, int) error { return err }}}
	}
	middle := snap.Row(snap.Len() / 2)
	uid := func(round int) mail.UID { return snap.UID((snap.Len()/2 + round*37) % snap.Len()) }
	one := func(round int) store.Selection {
		return store.Selection{User: b.user, Mailbox: b.inbox, UIDs: []mail.UID{uid(round)}}
	}
	many := func(round int) store.Selection {
		sel := one(round)
		for i := range 499 {
			sel.UIDs = append(sel.UIDs, snap.UID((snap.Len()/3+i)%snap.Len()))
		}
		return sel
	}
	page := func(l store.List) func(context.Context, int) error {
		l.User, l.Mailbox = b.user, b.inbox
		return func(ctx context.Context, _ int) error {
			_, err := b.s.Messages(ctx, l)
			return err
		}
	}
	toggle := func(sel func(int) store.Selection) func(context.Context, int) error {
		return func(ctx context.Context, round int) error {
			c := store.FlagChange{Add: []mail.Flag{mail.FlagFlagged}}
			if round%2 == 1 {
				c = store.FlagChange{Remove: []mail.Flag{mail.FlagFlagged}}
			}
			_, err := b.s.StoreFlags(ctx, sel(round/2), c)
			return err
		}
	}
	return []operation{
		{name: "page, newest, with conversations", run: page(store.List{ThreadCounts: true})},
		{name: "page, middle", run: page(store.List{Before: &store.Key{Date: middle.InternalDate}})},
		{name: "page, unseen", run: page(store.List{Filter: store.ListFilter{Unseen: true}})},
		{name: "message", run: func(ctx context.Context, i int) error {
			_, err := b.s.Message(ctx, b.user, b.inbox, uid(i))
			return err
		}},
		{name: "conversation", run: func(ctx context.Context, i int) error {
			_, err := b.s.Thread(ctx, b.user, snap.Row((i*4)%snap.Len()).Thread, store.ThreadOptions{})
			return err
		}},
		{name: "mailbox list with counters", run: func(ctx context.Context, _ int) error {
			_, err := b.s.Mailboxes(ctx, b.user)
			return err
		}},
		{name: "Append 10 kB", run: func(ctx context.Context, _ int) error { return b.deliver(ctx, b.user, b.inbox, 10_000) }},
		{name: "StoreFlags, 1 message", run: toggle(one)},
		{name: "StoreFlags, 500 messages", most: 10, run: toggle(many)},
		{name: "Copy, 1 message", run: func(ctx context.Context, i int) error {
			_, err := b.s.Copy(ctx, one(i), b.trash)
			return err
		}},
		{name: "Move, 1 message", run: func(ctx context.Context, i int) error {
			_, err := b.s.Move(ctx, one(i+1000), b.trash, store.MoveOptions{})
			return err
		}},
		{name: "Expunge, 1 message", run: func(ctx context.Context, i int) error {
			_, err := b.s.Expunge(ctx, one(i+2000), store.ExpungeOptions{Archive: true})
			return err
		}},
		{name: "snapshot, warm", run: func(ctx context.Context, _ int) error {
			_, err := b.s.Snapshot(ctx, b.user, b.inbox)
			return err
		}},
		{name: "all UIDs of the mailbox, from the snapshot", run: func(ctx context.Context, _ int) error {
			s, err := b.s.Snapshot(ctx, b.user, b.inbox)
			if err == nil && len(s.UIDs(0, store.ListFilter{}, s.Len())) != s.Len() {
				err = errors.New("some UIDs are missing")
			}
			return err
		}},
		{name: "snapshot, loaded anew", most: 5, run: b.loadAnew},
	}
}

// loadAnew loads the snapshot as a process that just started does.
func (b *storeBench) loadAnew(ctx context.Context, _ int) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	_, err = s.Snapshot(ctx, b.user, b.inbox)
	return errors.Join(err, s.Close(ctx))
}

func storeImport(ctx context.Context, r report, sizes storeSizes) (err error) {
	b, err := openStoreBench(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	start, before := time.Now(), processorTime()
	parts, err := b.fill(ctx, b.user, b.inbox, sizes.imported, 4000, 8)
	if err != nil {
		return err
	}
	for i, d := range parts {
		each := d.processor / time.Duration(max(sizes.imported/10, 1))
		r.line(fmt.Sprintf("  tenth %d", i+1), fmt.Sprintf("%.0f/s", float64(sizes.imported/10)/d.clock.Seconds()), fmt.Sprintf("processor %s each", round(each)))
	}
	r.line(fmt.Sprintf("import of %d messages of 4 kB", sizes.imported), fmt.Sprintf("%.0f/s", float64(sizes.imported)/time.Since(start).Seconds()), fmt.Sprintf("goal ≥ 500/s; processor %s each", round((processorTime()-before)/time.Duration(sizes.imported))))
	r.line("  the last tenth beside the first", fmt.Sprintf("%.2f ×", parts[9].clock.Seconds()/parts[0].clock.Seconds()), fmt.Sprintf("goal ≤ 1.2 ×; processor %.2f ×", parts[9].processor.Seconds()/parts[0].processor.Seconds()))
	kb, err := resident(os.Getpid())
	if err != nil {
		return err
	}
	r.line("  resident, generator and store", fmt.Sprintf("%.0f MB", float64(kb)/1024), "goal ≤ 512 MB")
	info, err := os.Stat(filepath.Join(b.dir, "eider.db"))
	if err != nil {
		return err
	}
	r.line("  on disk", fmt.Sprintf("%.0f bytes a message", float64(info.Size())/float64(sizes.imported)), "")
	return nil
}
