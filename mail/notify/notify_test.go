package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
)

// flaky is memory signals whose publications and subscriptions can be cut.
type flaky struct {
	signal.Signal
	away atomic.Bool

	mu   sync.Mutex
	lost []chan struct{}
}

func (f *flaky) Publish(ctx context.Context, channel string, payload []byte) error {
	if f.away.Load() {
		return &mail.Error{Code: mail.CodeUnavailable, Op: "publish"}
	}
	return f.Signal.Publish(ctx, channel, payload)
}

func (f *flaky) Subscribe(ctx context.Context, channel string) (signal.Subscription, error) {
	if f.away.Load() {
		return nil, &mail.Error{Code: mail.CodeUnavailable, Op: "subscribe"}
	}
	sub, err := f.Signal.Subscribe(ctx, channel)
	if err != nil {
		return nil, err
	}
	lost := make(chan struct{}, 1)
	f.mu.Lock()
	f.lost = append(f.lost, lost)
	f.mu.Unlock()
	return lossy{sub, lost}, nil
}

// lose tells all subscribers that they missed something.
func (f *flaky) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.lost {
		c <- struct{}{}
	}
}

type lossy struct {
	signal.Subscription
	lost chan struct{}
}

func (l lossy) Lost() <-chan struct{} { return l.lost }

func newFlaky(t *testing.T) *flaky {
	f := &flaky{Signal: signal.NewMemory(signal.MemoryOptions{})}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// run starts a Hub that the test's end stops.
func run(t *testing.T, sig signal.Signal) *Hub {
	t.Helper()
	h := New(sig, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return h
}

func next(t *testing.T, s *Subscription) Event {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case e := <-s.C():
		return e
	case <-timer.C:
		t.Fatal("no event came")
		return Event{}
	}
}

func want(t *testing.T, s *Subscription, events ...Event) {
	t.Helper()
	for _, w := range events {
		if e := next(t, s); e != w {
			t.Fatalf("got %+v (%s), want %+v", e, e.Kind, w)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoProcesses(t *testing.T) {
	sig := newFlaky(t)
	a, b := run(t, sig), run(t, sig)
	<-a.Ready()
	<-b.Ready()
	user, other, box := mail.NewID(), mail.NewID(), mail.NewID()
	here, there, stranger := a.Subscribe(user), b.Subscribe(user), b.Subscribe(other)
	defer here.Close()
	defer there.Close()
	ctx := t.Context()
	must(t, a.Changed(ctx, user))
	want(t, here, Event{Kind: Changed})
	want(t, there, Event{Kind: Changed})
	must(t, a.Drop(ctx, user, box))
	must(t, a.Logout(ctx, user, `Password "changed" & <gone>`))
	for _, s := range []*Subscription{here, there} {
		want(t, s, Event{Kind: Drop, Mailbox: box}, Event{Kind: Logout, Reason: `Password "changed" & <gone>`})
	}
	must(t, a.Changed(ctx, other))
	want(t, stranger, Event{Kind: Changed})
	stranger.Close()
	stranger.Close()
	if _, open := <-stranger.C(); open {
		t.Error("open after Close")
	}
	if len(b.users) != 1 {
		t.Errorf("%d accounts kept", len(b.users))
	}
}

func TestWildDuckMessages(t *testing.T) {
	sig := newFlaky(t)
	h := run(t, sig)
	<-h.Ready()
	raw, err := sig.Subscribe(t.Context(), "wd_events")
	must(t, err)
	defer raw.Close()
	user, err := mail.ParseID("5f0c1e2d3b4a596877665544")
	must(t, err)
	box, err := mail.ParseID("0123456789abcdef01234567")
	must(t, err)
	must(t, h.Changed(t.Context(), user))
	must(t, h.Logout(t.Context(), user, "why"))
	must(t, h.Drop(t.Context(), user, box))
	for _, w := range []string{
		`{"e":"5f0c1e2d3b4a596877665544"}`,
		`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"LOGOUT","reason":"why"}}`,
		`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"DROP","mailbox":"0123456789abcdef01234567"}}`,
	} {
		if got := string(<-raw.C()); got != w {
			t.Errorf("got %s", got)
		}
	}
	for message, w := range map[string]Event{
		`{"e":"5f0c1e2d3b4a596877665544"}`:                                   {Kind: Changed},
		`{"e":"5F0C1E2D3B4A596877665544"}`:                                   {Kind: Changed},
		`{ "e": "5f0c1e2d3b4a596877665544" }`:                                {Kind: Changed},
		`{"e":"5f0c1e2d3b4a596877665544","p":"COPY"}`:                        {Kind: Changed},
		`{"e":"5f0c1e2d3b4a596877665544","p":null}`:                          {Kind: Changed},
		`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"NEW"}}`:             {Kind: Changed},
		`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"DROP"}}`:            {Kind: Changed},
		`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"LOGOUT"},"x":[{}]}`: {Kind: Logout},
	} {
		if u, e, err := decode([]byte(message)); err != nil || u != user || e != w {
			t.Errorf("%s: %v, %+v, %v", message, u, e, err)
		}
	}
	for _, message := range []string{"", "{}", "null", `{"e":"5f0c"}`, `{"e":"5f0c1e2d3b4a59687766554g"}`, strings.Repeat("[", 1000)} {
		if _, e, err := decode([]byte(message)); err == nil {
			t.Errorf("%.40s: %+v", message, e)
		}
	}
}

func TestSlowSessionMerges(t *testing.T) {
	h := New(newFlaky(t), slog.New(slog.DiscardHandler))
	user := mail.NewID()
	s := h.Subscribe(user)
	defer s.Close()
	box := mail.NewID()
	for range 1000 {
		h.dispatch(user, Event{Kind: Changed})
	}
	h.dispatch(user, Event{Kind: Drop, Mailbox: box})
	h.dispatch(user, Event{Kind: Drop, Mailbox: box})
	h.dispatch(user, Event{Kind: Changed})
	h.dispatch(user, Event{Kind: Logout, Reason: "first"})
	h.dispatch(user, Event{Kind: Logout, Reason: "second"})
	want(t, s, Event{Kind: Changed}, Event{Kind: Drop, Mailbox: box}, Event{Kind: Logout, Reason: "first"})
	for range 50 {
		h.dispatch(user, Event{Kind: Drop, Mailbox: mail.NewID()})
	}
	h.dispatch(user, Event{Kind: Logout, Reason: "still heard"})
	kinds := map[Kind]int{}
	for len(s.C()) > 0 {
		kinds[next(t, s).Kind]++
	}
	if kinds[Resync] != 1 || kinds[Logout] != 1 {
		t.Errorf("got %v", kinds)
	}
}

func TestLostMeansResync(t *testing.T) {
	sig := newFlaky(t)
	h := run(t, sig)
	<-h.Ready()
	a, b := h.Subscribe(mail.NewID()), h.Subscribe(mail.NewID())
	defer a.Close()
	defer b.Close()
	sig.lose()
	want(t, a, Event{Kind: Resync})
	want(t, b, Event{Kind: Resync})
}

func TestSignalsAway(t *testing.T) {
	sig := newFlaky(t)
	h, far := run(t, sig), run(t, sig)
	<-h.Ready()
	<-far.Ready()
	user := mail.NewID()
	here, there := h.Subscribe(user), far.Subscribe(user)
	defer here.Close()
	defer there.Close()
	sig.away.Store(true)
	for range 3 {
		if err := h.Changed(t.Context(), user); !mail.IsCode(err, mail.CodeUnavailable) {
			t.Fatalf("error %v", err)
		}
	}
	want(t, here, Event{Kind: Changed})
	if len(h.unsent) != 1 {
		t.Errorf("%d kept", len(h.unsent))
	}
	sig.away.Store(false)
	want(t, there, Event{Kind: Changed})
}

func TestStartsWhileAway(t *testing.T) {
	sig := newFlaky(t)
	sig.away.Store(true)
	h := run(t, sig)
	user := mail.NewID()
	s := h.Subscribe(user)
	defer s.Close()
	sig.away.Store(false)
	<-h.Ready()
	want(t, s, Event{Kind: Resync})
	must(t, h.Changed(t.Context(), user))
	want(t, s, Event{Kind: Changed})
}

func TestRunEndsWithSignals(t *testing.T) {
	sig := newFlaky(t)
	h := New(sig, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context()) }()
	<-h.Ready()
	must(t, sig.Close())
	if err := <-done; !mail.IsCode(err, mail.CodeUnavailable) || !errors.Is(err, errEnded) {
		t.Errorf("Run: %v", err)
	}
}

// TestMergeProperties: whatever happens to a queue, it stays bounded and no
// news, logout or lost mailbox is forgotten.
func TestMergeProperties(t *testing.T) {
	boxes := make([]mail.ID, 12)
	for i := range boxes {
		boxes[i] = mail.NewID()
	}
	rapid.Check(t, func(t *rapid.T) {
		var queue []Event
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			e := Event{Kind: Kind(rapid.IntRange(1, 4).Draw(t, "kind"))}
			switch e.Kind {
			case Drop:
				e.Mailbox = rapid.SampledFrom(boxes).Draw(t, "mailbox")
			case Logout:
				e.Reason = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "reason")
			case Changed, Resync:
			}
			before := queue
			queue = merge(queue, e)
			if len(queue) > queueLength {
				t.Fatalf("%d events", len(queue))
			}
			for _, earlier := range append(before[:len(before):len(before)], e) {
				if !covered(queue, earlier) {
					t.Fatalf("%+v is forgotten in %+v", earlier, queue)
				}
			}
			if len(queue) > 0 && rapid.IntRange(0, 3).Draw(t, "read") == 0 {
				queue = queue[1:]
			}
		}
	})
}

func covered(queue []Event, e Event) bool {
	for _, q := range queue {
		if q == e || q.Kind == Logout && e.Kind == Logout || q.Kind == Resync && e.Kind != Logout {
			return true
		}
	}
	return false
}

func TestConcurrent(t *testing.T) {
	sig := newFlaky(t)
	h := run(t, sig)
	<-h.Ready()
	user := mail.NewID()
	var wg sync.WaitGroup
	for range 4 {
		s := h.Subscribe(user)
		wg.Go(func() {
			defer s.Close()
			for e := range s.C() {
				if e.Kind == Logout {
					return
				}
			}
		})
	}
	for range 200 {
		must(t, h.Changed(t.Context(), user))
		must(t, h.Drop(t.Context(), user, mail.NewID()))
	}
	must(t, h.Logout(t.Context(), user, "end"))
	// The last message may have been lost in the hub's own queue; Resync said so.
	h.dispatch(user, Event{Kind: Logout, Reason: "end"})
	wg.Wait()
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"e":"5f0c1e2d3b4a596877665544"}`))
	f.Add([]byte(`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"LOGOUT","reason":"why"}}`))
	f.Add([]byte(`{"e":"5f0c1e2d3b4a596877665544","p":{"command":"DROP","mailbox":"0123456789abcdef01234567"}}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		user, event, err := decode(message)
		if err != nil {
			return
		}
		if event.Kind == Changed && len(encode(user, event)) != plainLength {
			t.Fatal("a plain message of another length")
		}
		u, e, err := decode(encode(user, event))
		if err != nil || u != user || e != event {
			t.Fatalf("%q: %+v came back as %+v, %v", message, event, e, err)
		}
	})
}
