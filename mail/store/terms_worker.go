package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// maxWaiting accounts may wait for the worker; more are left to the next
	// delivery or search of theirs.
	maxWaiting = 10_000
	// maxCounted accounts have their new messages counted.
	maxCountedAccounts = 50_000
	// purgeEvery is how often accounts are looked for whose deleted words are due.
	purgeEvery = 15 * time.Minute
	// turnWait is how long the worker waits for an account that another process
	// works on.
	turnWait = 5 * time.Second
)

// termsWorker keeps the indexes of accounts in shape, one account after the
// other, in one goroutine that Close waits for.
type termsWorker struct {
	s    *Store
	stop context.CancelFunc
	wake chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	waiting map[mail.ID]bool
	order   []mail.ID
	fresh   map[mail.ID]int
}

func (s *Store) startWorker(ctx context.Context) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &termsWorker{
		s: s, stop: stop, wake: make(chan struct{}, 1), waiting: map[mail.ID]bool{}, fresh: map[mail.ID]int{},
	}
	s.worker = w
	w.done.Go(func() { w.run(ctx) })
}

func (w *termsWorker) close() {
	w.stop()
	w.done.Wait()
}

// delivered counts a message; a batch of them is worth a segment.
func (w *termsWorker) delivered(user mail.ID) {
	w.mu.Lock()
	if len(w.fresh) >= maxCountedAccounts {
		clear(w.fresh)
	}
	w.fresh[user]++
	full := w.fresh[user] >= w.s.freshBatch
	if full {
		delete(w.fresh, user)
	}
	w.mu.Unlock()
	if full {
		w.nudge(user)
	}
}

// nudge asks for work on an account.
func (w *termsWorker) nudge(user mail.ID) {
	w.mu.Lock()
	if !w.waiting[user] && len(w.order) < maxWaiting {
		w.waiting[user] = true
		w.order = append(w.order, user)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *termsWorker) take() (mail.ID, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		return mail.ID{}, false
	}
	user := w.order[0]
	w.order = w.order[1:]
	delete(w.waiting, user)
	return user, true
}

func (w *termsWorker) run(ctx context.Context) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.due(ctx)
		case <-w.wake:
		}
		for ctx.Err() == nil {
			user, ok := w.take()
			if !ok {
				break
			}
			wait, cancel := context.WithTimeout(ctx, turnWait)
			_, err := w.s.indexAccount(ctx, wait, user, false)
			cancel()
			if err != nil && ctx.Err() == nil {
				w.s.log.LogAttrs(ctx, slog.LevelWarn, "keep a term index in shape", slog.String("user", user.String()), slog.Any("err", err))
			}
		}
	}
}

// due finds accounts with words of deleted messages that have stayed long enough.
func (w *termsWorker) due(ctx context.Context) {
	cur, err := w.s.terms.Find(ctx, key("gone", key("$lt", w.s.now().Add(-purgeAfter))),
		options.Find().SetProjection(key("_id", 1)).SetHint(indexGone).SetLimit(maxWaiting/10))
	if err != nil {
		return
	}
	var rows []indexRecord
	if cur.All(ctx, &rows) != nil {
		return
	}
	for i := range rows {
		w.nudge(mail.ID(rows[i].ID))
	}
}
