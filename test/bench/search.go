package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

const (
	searchWriters = 16
	// searchPage is how many results a search is timed to, searchCalls how many
	// calls of the store it may take, as in the webmail.
	searchPage, searchCalls = 50, 20
)

// searchSizes says what the account is that is searched.
type searchSizes struct {
	letters, rounds int
	// share: measure first what indexing costs a delivery.
	share bool
	// kinds is a part of the names of the kinds that are measured.
	kinds string
	// account is a folder that keeps the account for the next run; "" for none.
	account string
}

// searches fills one account with generated mail in many languages and searches it.
func searches(ctx context.Context, r report, sizes searchSizes) error {
	r.section(fmt.Sprintf("Search in %d messages", sizes.letters))
	if sizes.share {
		if err := termsShare(ctx, r, min(sizes.letters, 4000)); err != nil {
			return err
		}
	}
	dir := sizes.account
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "eider-search-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	w, err := openSearchStore(ctx, dir, false)
	if err != nil {
		return err
	}
	defer func() { w.close(ctx) }()
	kept, err := w.account(ctx, r, sizes.letters)
	if err != nil {
		return err
	}
	size, err := w.s.TermsSize(ctx, w.user)
	if err != nil {
		return err
	}
	r.line("index beside text", fmt.Sprintf("%.1f %% of %.1f MB", 100*float64(size)/float64(kept.Text), float64(kept.Text)/1e6), "goal ≤ 30 %")
	if sizes.rounds == 0 {
		return nil
	}
	return w.measure(ctx, r, sizes)
}

// termsShare compares deliveries with and without indexing, in turns.
func termsShare(ctx context.Context, r report, messages int) error {
	var rates [2][]float64
	work := [2]time.Duration{1 << 62, 1 << 62}
	for i := range 6 {
		dir, err := os.MkdirTemp("", "eider-search-")
		if err != nil {
			return err
		}
		w, err := openSearchStore(ctx, dir, i%2 == 1)
		if err != nil {
			return err
		}
		before := processorTime()
		rate, _, err := w.fill(ctx, messages)
		w.close(ctx)
		work[i%2] = min(work[i%2], (processorTime()-before)/time.Duration(messages))
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		rates[i%2] = append(rates[i%2], rate)
	}
	with, without := best(rates[0]), best(rates[1])
	r.line("time of a delivery that goes into indexing", fmt.Sprintf("%.0f %% (%.0f/s, without %.0f/s)", 100*(1-with/without), with, without), "goal ≤ 25 %")
	r.line("processor time of a delivery that goes into it", fmt.Sprintf("%.0f %% (%s, without %s)", 100*(1-float64(work[1])/float64(work[0])), round(work[0]), round(work[1])), "")
	return nil
}

func best(list []float64) float64 {
	out := 0.0
	for _, v := range list {
		out = max(out, v)
	}
	return out
}

// searchStore is a store of the bench's own.
type searchStore struct {
	dir    string
	engine *docstore.Engine
	sig    signal.Signal
	s      *store.Store
	user   mail.ID
	inbox  mail.ID
	words  *babel
}

func openSearchStore(ctx context.Context, dir string, deferred bool) (*searchStore, error) {
	w := &searchStore{dir: dir, words: newBabel()}
	if err := w.open(ctx, deferred); err != nil {
		return nil, err
	}
	u, err := w.s.FindUser(ctx, "reader")
	if mail.IsCode(err, mail.CodeNoUser) {
		u, err = w.s.CreateUser(ctx, store.NewUser{Username: "reader", Name: "Reader", Address: "reader@example.com", Quota: 1 << 40})
	}
	if err != nil {
		return nil, err
	}
	box, err := w.s.MailboxByPath(ctx, u.ID, mail.Inbox)
	w.user, w.inbox = u.ID, box.ID
	return w, err
}

func (w *searchStore) open(ctx context.Context, deferred bool) (err error) {
	log := slog.New(slog.DiscardHandler)
	if w.engine, err = docstore.Open(ctx, docstore.Options{Path: filepath.Join(w.dir, "mail.db"), Log: log}); err != nil {
		return err
	}
	w.sig = signal.NewMemory(signal.MemoryOptions{})
	w.s, err = store.Open(ctx, store.Options{URI: docstore.URI, Dialer: w.engine, Signal: w.sig, Log: log, DeferTerms: deferred})
	return err
}

func (w *searchStore) close(ctx context.Context) {
	_ = w.s.Close(ctx)
	_ = w.sig.Close()
	_ = w.engine.Close()
}

// keptAccount is what a filled account tells the next run.
type keptAccount struct {
	Letters int
	// Text is the bytes of all texts.
	Text int64
}

// account fills the account, unless an earlier run has.
func (w *searchStore) account(ctx context.Context, r report, letters int) (kept keptAccount, err error) {
	note := filepath.Join(w.dir, "account.json")
	if data, err := os.ReadFile(note); err == nil {
		if err := json.Unmarshal(data, &kept); err != nil {
			return kept, err
		}
		if kept.Letters != letters {
			return kept, fmt.Errorf("%s holds an account of %d messages: ask for as many, or remove it", w.dir, kept.Letters)
		}
		return kept, nil
	}
	rate, text, err := w.fill(ctx, letters)
	if err != nil {
		return kept, err
	}
	r.line(fmt.Sprintf("delivered, %d writers, words indexed", searchWriters), fmt.Sprintf("%.0f/s", rate), "")
	start := time.Now()
	if _, err := w.s.IndexTerms(ctx, w.user); err != nil {
		return kept, err
	}
	r.line("rest of the merging", round(time.Since(start)).String(), "")
	kept = keptAccount{Letters: letters, Text: text}
	data, err := json.Marshal(kept)
	if err == nil {
		err = os.WriteFile(note, data, 0o600)
	}
	return kept, err
}

// fill delivers messages and gives the rate and the bytes of their texts.
func (w *searchStore) fill(ctx context.Context, messages int) (rate float64, text int64, err error) {
	var next, size atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, searchWriters)
	start := time.Now()
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for range searchWriters {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(messages); i = next.Add(1) {
				raw, n := w.words.letter(int(i))
				size.Add(n)
				a := store.Append{User: w.user, Mailbox: w.inbox, Message: message.Parse(raw), InternalDate: begin.Add(time.Duration(i) * 15 * time.Minute)}
				if i%unreadEvery != 0 {
					a.Flags = []mail.Flag{mail.FlagSeen}
				}
				_, err := w.s.Append(ctx, a)
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err = <-errs:
	default:
	}
	return float64(messages) / time.Since(start).Seconds(), size.Load(), err
}

// measure times each kind of query to its first results, after the caches were
// dropped and once more.
func (w *searchStore) measure(ctx context.Context, r report, sizes searchSizes) error {
	r.line(fmt.Sprintf("first %d results of %d searches", searchPage, sizes.rounds), "cold: store opened anew, files dropped from the system's cache", "goal p95 ≤ 150 ms")
	for _, kind := range w.words.queries(sizes.letters) {
		if !strings.Contains(kind.name, sizes.kinds) {
			continue
		}
		var cold, warm, coldWork, warmWork sample
		found, calls := 0, 0
		for i := range sizes.rounds {
			o := store.Search{User: w.user, Query: search.People{}.Parse(kind.make(i)).Query, Limit: searchPage}
			if err := w.cool(ctx); err != nil {
				return err
			}
			for k, times := range []*sample{&cold, &warm} {
				start, before := time.Now(), processorTime()
				page, err := w.s.SearchThrough(ctx, o, searchCalls)
				if err != nil {
					return fmt.Errorf("%s: %w", kind.make(i), err)
				}
				*times = append(*times, time.Since(start))
				work := []*sample{&coldWork, &warmWork}[k]
				if *work = append(*work, processorTime()-before); times == &warm {
					found += len(page.Messages)
					calls = max(calls, page.Calls)
				}
			}
		}
		r.line(fmt.Sprintf("%s (%.0f found, calls ≤ %d)", kind.name, float64(found)/float64(sizes.rounds), calls), "warm "+warm.String()+"  cold "+cold.String(),
			verdict(warm, cold)+fmt.Sprintf("; processor p95 warm %s, cold %s", round(warmWork.percentile(.95)), round(coldWork.percentile(.95))))
	}
	return nil
}

// searchGoal is what the slowest of twenty searches may take.
const searchGoal = 150 * time.Millisecond

func verdict(times ...sample) string {
	for _, s := range times {
		if s.percentile(.95) > searchGoal {
			return "missed"
		}
	}
	return "met"
}

// cool opens the store anew, so that its own caches are empty, and has the system
// forget the files where it lets us.
func (w *searchStore) cool(ctx context.Context) error {
	w.close(ctx)
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return forgetFile(path)
	})
	if err != nil {
		return err
	}
	runtime.GC()
	return w.open(ctx, false)
}
