// Package notify carries "something changed" to the sessions of an account, in
// this process and in all others on the same signals: IMAP IDLE, the web
// socket, the event stream.
//
// It tells that there is news, not what it is: a session reads the journal
// from where it stopped. So any number of notices may be merged into one, and
// queues stay short. A Hub has one subscription to the channel of WildDuck's
// notifier, in its message format. Run owns the only goroutine.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
)

// Channel is the channel that WildDuck's processes use too.
const Channel = "wd_events"

const (
	// subscribePause is how long Run waits before it subscribes again.
	subscribePause = 250 * time.Millisecond
	// resendEvery is how often Run sends again what could not be published.
	resendEvery = time.Second
	// maxUnsent bounds what waits to be sent again. Beyond it other processes
	// learn of a change with the account's next one.
	maxUnsent = 8192
)

// Hub takes notices from the signals and hands them to subscriptions.
type Hub struct {
	sig signal.Signal
	log *slog.Logger
	// ready is closed when Run has subscribed for the first time.
	ready     chan struct{}
	readyOnce sync.Once

	mu    sync.RWMutex
	users map[mail.ID]map[*Subscription]struct{}

	unsentMu sync.Mutex
	// unsent holds payloads that could not be published; equal ones are one.
	unsent map[string]struct{}
	// wake has a token when unsent got its first entry.
	wake chan struct{}
}

// New returns a Hub. Nothing arrives before Run.
func New(sig signal.Signal, log *slog.Logger) *Hub {
	return &Hub{
		sig: sig, log: log, ready: make(chan struct{}),
		users:  make(map[mail.ID]map[*Subscription]struct{}),
		unsent: make(map[string]struct{}), wake: make(chan struct{}, 1),
	}
}

// Ready is closed when Run has subscribed for the first time. Before that
// notices may be missed; whoever has subscribed by then gets Resync.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Run receives notices until ctx ends, and then returns nil. When signals go
// away it waits for them, and every subscription gets Resync when they are
// back. It returns an error of CodeUnavailable when the signals were closed.
func (h *Hub) Run(ctx context.Context) error {
	for {
		sub, err := h.sig.Subscribe(ctx, Channel)
		if err == nil {
			// Also the first time: a session may have begun before.
			h.resync()
			h.readyOnce.Do(func() { close(h.ready) })
			h.receive(ctx, sub)
			sub.Close()
			err = &mail.Error{Code: mail.CodeUnavailable, Op: "receive notices", Err: errEnded}
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how Run is stopped
		}
		if !mail.IsCode(err, mail.CodeUnavailable) || h.closed(ctx) {
			return err
		}
		timer := time.NewTimer(subscribePause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

var errEnded = errors.New("the subscription ended")

// closed reports signals that were closed, as opposed to being away.
func (h *Hub) closed(ctx context.Context) bool {
	return errors.Is(h.sig.Ping(ctx), signal.ErrClosed)
}

// receive hands out notices until ctx or the subscription ends.
func (h *Hub) receive(ctx context.Context, sub signal.Subscription) {
	timer := time.NewTimer(resendEvery)
	defer timer.Stop()
	for {
		select {
		case payload, ok := <-sub.C():
			if !ok {
				return
			}
			h.take(ctx, payload)
		case <-sub.Lost():
			h.resync()
			h.resend(ctx)
		case <-h.wake:
			timer.Reset(resendEvery)
		case <-timer.C:
			if h.resend(ctx) {
				timer.Reset(resendEvery)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) take(ctx context.Context, payload []byte) {
	user, event, err := decode(payload)
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelDebug, "notice not understood", slog.Int("bytes", len(payload)), slog.Any("error", err))
		return
	}
	h.dispatch(user, event)
}

func (h *Hub) dispatch(user mail.ID, event Event) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.users[user] {
		s.add(event)
	}
}

func (h *Hub) resync() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, subs := range h.users {
		for s := range subs {
			s.add(Event{Kind: Resync})
		}
	}
}

// Changed tells all sessions of the account to read the journal. When the
// signals are away the sessions of this process learn it all the same, the
// others later; the error is then CodeUnavailable and needs no other care than
// a place in a log.
func (h *Hub) Changed(ctx context.Context, user mail.ID) error {
	return h.publish(ctx, user, Event{Kind: Changed})
}

// Logout ends all sessions of the account. The reason is shown to people.
// Errors are those of Changed.
func (h *Hub) Logout(ctx context.Context, user mail.ID, reason string) error {
	return h.publish(ctx, user, Event{Kind: Logout, Reason: reason})
}

// Drop ends all sessions that have the mailbox open: it was deleted. Errors
// are those of Changed.
func (h *Hub) Drop(ctx context.Context, user, mailbox mail.ID) error {
	return h.publish(ctx, user, Event{Kind: Drop, Mailbox: mailbox})
}

func (h *Hub) publish(ctx context.Context, user mail.ID, event Event) error {
	payload := encode(user, event)
	// The write that this tells of is done; that its caller has gone away must
	// not keep the news from others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	err := h.sig.Publish(ctx, Channel, payload)
	if err != nil {
		h.dispatch(user, event)
		h.keep(payload)
	}
	return err
}

// publishTimeout bounds a publication, which a delivery waits for.
const publishTimeout = 3 * time.Second

// keep remembers a payload to send again.
func (h *Hub) keep(payload []byte) {
	h.unsentMu.Lock()
	defer h.unsentMu.Unlock()
	if len(h.unsent) >= maxUnsent {
		return
	}
	h.unsent[string(payload)] = struct{}{}
	if len(h.unsent) == 1 {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// resend publishes what was kept and reports whether some is left.
func (h *Hub) resend(ctx context.Context) (left bool) {
	h.unsentMu.Lock()
	payloads := make([]string, 0, len(h.unsent))
	for p := range h.unsent {
		payloads = append(payloads, p)
	}
	h.unsentMu.Unlock()
	for _, p := range payloads {
		if h.sig.Publish(ctx, Channel, []byte(p)) != nil {
			return true
		}
		h.unsentMu.Lock()
		delete(h.unsent, p)
		h.unsentMu.Unlock()
	}
	return false
}
