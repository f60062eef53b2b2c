package signal

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestMemoryEvictsSoonest(t *testing.T) {
	s := NewMemory(MemoryOptions{MaxKeys: 3})
	ctx := t.Context()
	must(t, s.Set(ctx, "forever", "v", 0))
	must(t, s.Set(ctx, "late", "v", 2*time.Hour))
	must(t, s.Set(ctx, "soon", "v", time.Hour))
	must(t, s.Set(ctx, "soon", "w", time.Hour)) // no new key
	must(t, s.Set(ctx, "newer", "v", 30*time.Minute))
	for key, want := range map[string]bool{"forever": true, "late": true, "soon": false, "newer": true} {
		if _, ok, err := s.Get(ctx, key); ok != want || err != nil {
			t.Errorf("%s: %v, %v", key, ok, err)
		}
	}
	must(t, s.Close())
}

func TestMemoryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory(MemoryOptions{})
		ctx := t.Context()
		must(t, s.Set(ctx, "a", "v", time.Minute))
		time.Sleep(time.Minute - time.Nanosecond) // in synctest time costs nothing
		if _, ok, _ := s.Get(ctx, "a"); !ok {
			t.Error("ended early")
		}
		time.Sleep(time.Nanosecond)
		if _, ok, _ := s.Get(ctx, "a"); ok {
			t.Error("did not end")
		}
		l, err := s.Lock(ctx, "l", time.Minute)
		must(t, err)
		must(t, l.Extend(ctx, time.Hour))
		start := time.Now()
		_, err = s.Lock(ctx, "l", time.Minute)
		if must(t, err); time.Since(start) != time.Hour {
			t.Errorf("waited %s for a lock of an hour", time.Since(start))
		}
		must(t, s.Close())
	})
}

func TestMemoryClosed(t *testing.T) {
	s := NewMemory(MemoryOptions{})
	sub, err := s.Subscribe(t.Context(), "c")
	must(t, err)
	_, err = s.Lock(t.Context(), "l", time.Hour)
	must(t, err)
	waiting := make(chan error)
	go func() {
		_, err := s.Lock(t.Context(), "l", time.Hour)
		waiting <- err
	}()
	must(t, s.Close())
	must(t, s.Close())
	if err := receive(t, "the waiter", waiting); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, open := <-sub.C(); open {
		t.Error("open after Signal.Close")
	}
	sub.Close()
	if err := s.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestMemorySweepsLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ok := NewMemory(MemoryOptions{}).(*memory)
		if !ok {
			t.Fatal("another type")
		}
		for i := range 10 * firstSweep {
			_, err := m.Lock(t.Context(), strconv.Itoa(i), time.Millisecond)
			must(t, err)
			time.Sleep(time.Millisecond)
		}
		if len(m.locks) > firstSweep {
			t.Errorf("%d ended locks", len(m.locks))
		}
	})
}

// TestTableProperties: the table agrees with a plain map, whatever the order.
func TestTableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1e9, 0)
		now := start
		tab := newTable(1000)
		model := map[string]time.Time{}
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				until := now.Add(time.Duration(rapid.IntRange(1, 9).Draw(t, "ttl")) * time.Second)
				tab.put(key, key, until)
				model[key] = until
			case 1:
				tab.put(key, key, time.Time{})
				model[key] = time.Time{}
			case 2:
				if e := tab.get(key); e != nil {
					tab.remove(e)
				}
				delete(model, key)
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "wait")) * time.Second)
				tab.purge(now)
				for k, until := range model {
					if !until.IsZero() && !until.After(now) {
						delete(model, k)
					}
				}
			}
			if len(tab.byKey) != len(model) || len(tab.order) != len(model) {
				t.Fatalf("%d keys, %d in order, want %d", len(tab.byKey), len(tab.order), len(model))
			}
			for i, e := range tab.order {
				if until, ok := model[e.key]; !ok || !until.Equal(e.until) || e.index != i {
					t.Fatalf("%+v at %d, want %v", e, i, until)
				}
			}
		}
	})
}
