package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// bulkBench is the store in this process, with its work in the background.
type bulkBench struct {
	st          *store.Store
	user, other mail.ID
	in, trash   mail.ID
}

// bulks times deliveries to another account while bulk operations run over a
// large mailbox, beside deliveries at rest. What a delivery waits for a bulk
// is the difference of the two.
func bulks(ctx context.Context, r report, messages int) (err error) {
	r.section(fmt.Sprintf("Delivery during a bulk, %d messages", messages))
	dir, err := os.MkdirTemp("", "eider-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.DiscardHandler)
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(dir, "eider.db"), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	sig := signal.NewMemory(signal.MemoryOptions{})
	defer func() { err = errors.Join(err, sig.Close()) }()
	o := store.Options{URI: docstore.URI, Dialer: engine, Signal: sig, Log: log, Alone: true}
	st, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close(ctx)) }()
	b := &bulkBench{st: st}
	if err := b.fill(ctx, min(messages, patternMessages)); err != nil {
		return err
	}
	if messages > patternMessages {
		if err := storetest.Multiply(ctx, o, b.user, b.in, messages-patternMessages); err != nil {
			return err
		}
	}
	if _, err := b.st.IndexTerms(ctx, b.user); err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { st.Work(work) })
	defer done.Wait()
	defer stop()
	return b.run(ctx, r)
}

func (b *bulkBench) fill(ctx context.Context, n int) error {
	large, err := b.st.CreateUser(ctx, store.NewUser{Username: "large", Quota: 1 << 40})
	if err != nil {
		return err
	}
	other, err := b.st.CreateUser(ctx, store.NewUser{Username: "other", Quota: 1 << 40})
	if err != nil {
		return err
	}
	b.user, b.other = large.ID, other.ID
	in, err := b.st.MailboxByPath(ctx, b.user, mail.Inbox)
	if err != nil {
		return err
	}
	trash, err := b.st.MailboxByUse(ctx, b.user, mail.UseTrash, true)
	if err != nil {
		return err
	}
	b.in, b.trash = in.ID, trash.ID
	const writers = 8
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := w; i < n; i += writers {
				if _, err := b.st.Append(ctx, store.Append{User: b.user, Message: bulkMessage(i)}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		err = errors.Join(err, <-errs)
	}
	return err
}

func bulkMessage(n int) *message.Message {
	return message.Parse(fmt.Appendf(nil, "From: load@elsewhere.example\r\nSubject: number %d\r\nMessage-ID: <%d@bench.example>\r\n\r\nText of some length.\r\n", n, n))
}

func (b *bulkBench) run(ctx context.Context, r report) error {
	rest, err := b.deliver(ctx, func() (bool, error) { return false, nil }, 500)
	if err != nil {
		return err
	}
	r.line("deliveries at rest", rest.tail(), "")
	for _, k := range []store.Bulk{
		{Kind: store.BulkFlags, Change: store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}},
		{Kind: store.BulkCopy, Target: b.trash},
		{Kind: store.BulkMove, Target: b.trash},
		{Kind: store.BulkExpunge, Archive: true},
	} {
		k.User, k.Mailbox = b.user, b.in
		if k.Kind == store.BulkExpunge {
			k.Mailbox = b.trash
		}
		start := time.Now()
		job, err := b.st.StartBulk(ctx, k)
		if err != nil {
			return err
		}
		got, err := b.deliver(ctx, func() (bool, error) {
			job, err = b.st.BulkJob(ctx, b.user, job.ID)
			return job.State.Ended(), err
		}, 0)
		if err != nil {
			return err
		}
		if job.State != store.JobDone {
			return fmt.Errorf("%s: %s, %s", k.Kind, job.State, job.Failure)
		}
		later := func(p float64) time.Duration { return round(max(got.percentile(p)-rest.percentile(p), 0)) }
		r.line(fmt.Sprintf("deliveries during %s, %.0f messages/s", k.Kind, float64(job.Total)/time.Since(start).Seconds()),
			got.tail(), fmt.Sprintf("p99 later by %s, max by %s, goal ≤ 50 ms", later(.99), later(1)))
	}
	return nil
}

// deliver appends one message after another until ended says so, or n times.
func (b *bulkBench) deliver(ctx context.Context, ended func() (bool, error), n int) (sample, error) {
	var times sample
	for i := 0; n == 0 || i < n; i++ {
		if i%20 == 0 {
			if end, err := ended(); end || err != nil {
				return times, err
			}
		}
		start := time.Now()
		if _, err := b.st.Append(ctx, store.Append{User: b.other, Message: bulkMessage(i)}); err != nil {
			return times, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// tail is the slow end of a sample.
func (s sample) tail() string {
	return fmt.Sprintf("p50 %s  p99 %s  max %s", round(s.percentile(.5)), round(s.percentile(.99)), round(s.percentile(1)))
}
