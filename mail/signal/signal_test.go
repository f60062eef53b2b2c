package signal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
)

// TestSignal runs one suite over both implementations.
func TestSignal(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		s := NewMemory(MemoryOptions{})
		suite(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("redis", func(t *testing.T) { suite(t, openRedis(t)) })
}

func suite(t *testing.T, s Signal) {
	for name, test := range map[string]func(*testing.T, Signal, string){
		"Count": testCount, "CountExpires": testCountExpires, "CountConcurrent": testCountConcurrent, "NotANumber": testNotANumber,
		"Adjust": testAdjust, "Values": testValues, "ValuesExpire": testValuesExpire, "TTL": testTTL,
		"Lock": testLock, "LockExpires": testLockExpires, "LockExclusive": testLockExclusive, "LockContext": testLockContext,
		"Publish": testPublish, "SlowSubscriber": testSlowSubscriber, "Resubscribe": testResubscribe, "Context": testContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, "eidertest:"+mail.NewID().String()) })
	}
	if err := s.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code mail.Code) {
	t.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func testCount(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	count := func(by, limit int64) Counted {
		t.Helper()
		c, err := s.Count(ctx, key, by, limit, time.Hour)
		must(t, err)
		return c
	}
	if c := count(0, 3); c != (Counted{Allowed: true}) {
		t.Errorf("looking at nothing: %+v", c)
	}
	if _, ok, err := s.Get(ctx, key); err != nil || ok {
		t.Errorf("looking made the key: %v %v", ok, err)
	}
	if c := count(2, 3); !c.Allowed || c.Value != 2 || c.TTL <= 59*time.Minute || c.TTL > time.Hour {
		t.Errorf("first: %+v", c)
	}
	if c := count(5, 3); !c.Allowed || c.Value != 7 {
		t.Errorf("an addition below the limit may overshoot: %+v", c)
	}
	if c := count(1, 3); c.Allowed || c.Value != 7 || c.TTL <= 0 {
		t.Errorf("at the limit: %+v", c)
	}
	if c := count(-4, 3); c.Allowed || c.Value != 7 {
		t.Errorf("negative only looks: %+v", c)
	}
	if c := count(1, 0); !c.Allowed || c.Value != 8 {
		t.Errorf("no limit: %+v", c)
	}
	if value, ok, err := s.Get(ctx, key); value != "8" || !ok || err != nil {
		t.Errorf("stored as %q, %v, %v", value, ok, err)
	}
	c, err := s.Count(ctx, key+"default", 1, 3, 0)
	if must(t, err); c.TTL <= 23*time.Hour || c.TTL > 24*time.Hour {
		t.Errorf("default window: %+v", c)
	}
}

func testCountExpires(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	for range 2 {
		// The second addition must not lengthen the window.
		_, err := s.Count(ctx, key, 1, 2, 150*time.Millisecond)
		must(t, err)
	}
	c, err := s.Count(ctx, key, 1, 2, time.Hour)
	if must(t, err); c.Allowed || c.TTL > 150*time.Millisecond {
		t.Fatalf("%+v", c)
	}
	eventually(t, "the window to end", func() bool {
		c, err := s.Count(ctx, key, 1, 2, time.Hour)
		must(t, err)
		return c.Allowed && c.Value == 1
	})
}

func testCountConcurrent(t *testing.T, s Signal, key string) {
	const limit = 40
	var mu sync.Mutex
	allowed := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				c, err := s.Count(t.Context(), key, 1, limit, time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if c.Allowed {
					allowed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if allowed != limit {
		t.Errorf("%d allowed, want %d", allowed, limit)
	}
}

func testNotANumber(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	must(t, s.Set(ctx, key, "word", time.Hour))
	_, err := s.Count(ctx, key, 1, 3, time.Hour)
	wantCode(t, err, mail.CodeInternal)
	wantCode(t, s.Adjust(ctx, key, 1, time.Hour), mail.CodeInternal)
	must(t, s.Ping(ctx))
}

func testAdjust(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	value := func() string {
		t.Helper()
		v, ok, err := s.Get(ctx, key)
		must(t, err)
		if !ok {
			return "none"
		}
		return v
	}
	must(t, s.Adjust(ctx, key, 5, time.Hour))
	if v := value(); v != "none" {
		t.Errorf("made a key: %s", v)
	}
	must(t, s.Set(ctx, key, "3", 100*time.Millisecond))
	must(t, s.Adjust(ctx, key, 2, time.Hour))
	must(t, s.Adjust(ctx, key, -5, time.Hour))
	if v := value(); v != "0" {
		t.Errorf("3+2-5 = %s", v)
	}
	c, err := s.Count(ctx, key, 0, 0, 0)
	if must(t, err); c.TTL <= 59*time.Minute {
		t.Errorf("the time to live was not set anew: %+v", c)
	}
	must(t, s.Adjust(ctx, key, -1, time.Hour))
	if v := value(); v != "none" {
		t.Errorf("below zero: %s", v)
	}
}

func testValues(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	if v, ok, err := s.Get(ctx, key); v != "" || ok || err != nil {
		t.Errorf("%q %v %v", v, ok, err)
	}
	first, err := s.SetNew(ctx, key, "a\x00б", 0)
	must(t, err)
	second, err := s.SetNew(ctx, key, "c", time.Hour)
	must(t, err)
	if v, ok, err := s.Get(ctx, key); !first || second || v != "a\x00б" || !ok || err != nil {
		t.Errorf("%v %v %q %v %v", first, second, v, ok, err)
	}
	must(t, s.Set(ctx, key, "", time.Hour))
	if v, ok, err := s.Get(ctx, key); v != "" || !ok || err != nil {
		t.Errorf("%q %v %v", v, ok, err)
	}
	must(t, s.Delete(ctx, key, key+"missing"))
	must(t, s.Delete(ctx))
	if again, err := s.SetNew(ctx, key, "d", time.Hour); !again || err != nil {
		t.Errorf("%v %v", again, err)
	}
}

func testValuesExpire(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	must(t, s.Set(ctx, key, "v", 50*time.Millisecond))
	eventually(t, "the value to end", func() bool {
		_, ok, err := s.Get(ctx, key)
		must(t, err)
		return !ok
	})
	must(t, s.Set(ctx, key, "v", 50*time.Millisecond))
	eventually(t, "the key to be new", func() bool {
		ok, err := s.SetNew(ctx, key, "w", time.Hour)
		must(t, err)
		return ok
	})
	// Writing anew takes the old end away.
	must(t, s.Set(ctx, key, "x", 0))
	c, err := s.Count(ctx, key+"n", 0, 0, 0)
	if must(t, err); c.TTL != 0 {
		t.Errorf("%+v", c)
	}
}

func testTTL(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	_, err := s.Count(ctx, key, 1, 1, -time.Second)
	wantCode(t, err, mail.CodeInvalid)
	wantCode(t, s.Adjust(ctx, key, 1, 0), mail.CodeInvalid)
	wantCode(t, s.Set(ctx, key, "v", -1), mail.CodeInvalid)
	_, err = s.SetNew(ctx, key, "v", time.Microsecond)
	wantCode(t, err, mail.CodeInvalid)
	_, err = s.Lock(ctx, key, 0)
	wantCode(t, err, mail.CodeInvalid)
}

func testLock(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	first, err := s.Lock(ctx, key, time.Hour)
	must(t, err)
	got := make(chan Lock)
	go func() {
		second, err := s.Lock(ctx, key, time.Hour)
		if err != nil {
			t.Error(err)
		}
		got <- second
	}()
	must(t, first.Extend(ctx, 2*time.Hour))
	must(t, first.Release(ctx))
	second := receive(t, "the lock", got)
	wantCode(t, first.Release(ctx), mail.CodeConflict)
	wantCode(t, first.Extend(ctx, time.Hour), mail.CodeConflict)
	must(t, second.Release(ctx))
}

func testLockExpires(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	first, err := s.Lock(ctx, key, 60*time.Millisecond)
	must(t, err)
	second, err := s.Lock(ctx, key, time.Hour)
	must(t, err)
	wantCode(t, first.Extend(ctx, time.Hour), mail.CodeConflict)
	wantCode(t, first.Release(ctx), mail.CodeConflict)
	must(t, second.Release(ctx))
}

func testLockExclusive(t *testing.T, s Signal, key string) {
	var inside, total int // guarded by the lock itself: the race detector looks
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				l, err := s.Lock(t.Context(), key, time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				if inside++; inside != 1 {
					t.Error("two holders")
				}
				total++
				inside--
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if total != 20 {
		t.Errorf("%d turns", total)
	}
}

func testLockContext(t *testing.T, s Signal, key string) {
	held, err := s.Lock(t.Context(), key, time.Hour)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l, err := s.Lock(ctx, key, time.Hour)
	wantCode(t, err, mail.CodeUnavailable)
	if l != nil {
		t.Error("a lock beside the error")
	}
	must(t, held.Release(t.Context()))
}

func testPublish(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	must(t, s.Publish(ctx, key, []byte("to nobody")))
	a, err := s.Subscribe(ctx, key)
	must(t, err)
	defer a.Close()
	b, err := s.Subscribe(ctx, key)
	must(t, err)
	other, err := s.Subscribe(ctx, key+"other")
	must(t, err)
	defer other.Close()
	payload := []byte("0")
	for i := range 50 {
		payload = fmt.Appendf(payload[:0], "%d", i)
		must(t, s.Publish(ctx, key, payload))
	}
	must(t, s.Publish(ctx, key+"other", []byte("\xff\x00")))
	for _, sub := range []Subscription{a, b} {
		for i := range 50 {
			if got := string(receive(t, "a message", sub.C())); got != strconv.Itoa(i) {
				t.Fatalf("%q at %d", got, i)
			}
		}
	}
	if got := string(receive(t, "a message", other.C())); got != "\xff\x00" {
		t.Errorf("%q", got)
	}
	b.Close()
	b.Close()
	if _, open := <-b.C(); open {
		t.Error("open after Close")
	}
	must(t, s.Publish(ctx, key, []byte("last")))
	if got := string(receive(t, "a message", a.C())); got != "last" {
		t.Errorf("%q", got)
	}
	select {
	case <-a.Lost():
		t.Error("nothing was lost")
	default:
	}
}

func testSlowSubscriber(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	slow, err := s.Subscribe(ctx, key)
	must(t, err)
	defer slow.Close()
	quick, err := s.Subscribe(ctx, key)
	must(t, err)
	defer quick.Close()
	for i := range 2 * queueLength {
		must(t, s.Publish(ctx, key, fmt.Append(nil, i)))
		if got := string(receive(t, "a message", quick.C())); got != strconv.Itoa(i) {
			t.Fatalf("quick: %q at %d", got, i)
		}
	}
	receive(t, "the word that messages were lost", slow.Lost())
	if got := string(receive(t, "a message", slow.C())); got != "0" {
		t.Errorf("slow: %q", got)
	}
	select {
	case <-quick.Lost():
		t.Error("the quick one lost nothing")
	default:
	}
}

// testResubscribe leaves and enters a channel in a hurry: each subscription
// that stands must work.
func testResubscribe(t *testing.T, s Signal, key string) {
	ctx := t.Context()
	for i := range 50 {
		sub, err := s.Subscribe(ctx, key)
		must(t, err)
		must(t, s.Publish(ctx, key, fmt.Append(nil, i)))
		awaitOrLost(t, sub, strconv.Itoa(i))
		sub.Close()
	}
}

// awaitOrLost waits for a message, past older ones, or for the word that it is lost.
func awaitOrLost(t *testing.T, sub Subscription, want string) {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for {
		select {
		case <-sub.Lost():
			return
		case got := <-sub.C():
			if string(got) == want {
				return
			}
		case <-timer.C:
			t.Fatalf("%s did not come", want)
		}
	}
}

func testContext(t *testing.T, s Signal, key string) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Count(ctx, key, 1, 1, 0)
	wantCode(t, err, mail.CodeUnavailable)
	_, err = s.Subscribe(ctx, key)
	wantCode(t, err, mail.CodeUnavailable)
	_, err = s.Lock(ctx, key, time.Second)
	wantCode(t, err, mail.CodeUnavailable)
	wantCode(t, s.Publish(ctx, key, nil), mail.CodeUnavailable)
	must(t, s.Ping(t.Context()))
}
