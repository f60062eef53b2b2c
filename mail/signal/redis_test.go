package signal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eidermail/eider/mail"
)

func TestRedisRestart(t *testing.T) {
	srv := startServer(t)
	var text bytes.Buffer // slog serialises writes; read after Close
	s, err := NewRedis(t.Context(), srv.uri(), slog.New(slog.NewTextHandler(&text, nil)))
	must(t, err)
	ctx := t.Context()
	sub, err := s.Subscribe(ctx, "channel")
	must(t, err)
	quiet, err := s.Subscribe(ctx, "quiet")
	must(t, err)
	must(t, s.Set(ctx, "key", "v", time.Hour))

	srv.kill()
	for range 5 {
		_, _, err := s.Get(ctx, "key")
		wantCode(t, err, mail.CodeUnavailable)
	}
	eventually(t, "a new subscription to be refused", func() bool {
		extra, err := s.Subscribe(ctx, "extra")
		if err == nil {
			extra.Close()
			return false
		}
		wantCode(t, err, mail.CodeUnavailable)
		return true
	})
	_, err = s.Lock(ctx, "lock:x", time.Second)
	wantCode(t, err, mail.CodeUnavailable)

	srv.start(t)
	eventually(t, "signals to be back", func() bool { return s.Ping(ctx) == nil })
	receive(t, "Lost", sub.Lost())
	receive(t, "Lost of a quiet channel", quiet.Lost())
	must(t, s.Publish(ctx, "channel", []byte("after")))
	if got := string(receive(t, "a message", sub.C())); got != "after" {
		t.Errorf("%q", got)
	}
	if c, err := s.Count(ctx, "count", 1, 1, 0); err != nil || !c.Allowed {
		t.Errorf("%+v %v: scripts must be loaded again", c, err)
	}
	must(t, s.Close())
	if n := strings.Count(text.String(), "signals are away"); n != 1 {
		t.Errorf("away logged %d times:\n%s", n, text.String())
	}
	if n := strings.Count(text.String(), "signals are back"); n != 1 {
		t.Errorf("back logged %d times:\n%s", n, text.String())
	}
}

func TestRedisCutSubscription(t *testing.T) {
	srv := startServer(t)
	s, err := NewRedis(t.Context(), srv.uri(), slog.New(slog.DiscardHandler))
	must(t, err)
	sub, err := s.Subscribe(t.Context(), "channel")
	must(t, err)
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: srv.socket})
	defer func() { _ = client.Close() }()
	for range 3 {
		must(t, client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
		receive(t, "Lost", sub.Lost())
		must(t, s.Publish(t.Context(), "channel", []byte("x")))
		receive(t, "a message", sub.C())
	}
	must(t, s.Close())
	if _, open := <-sub.C(); open {
		t.Error("open after Signal.Close")
	}
	sub.Close()
}

// TestRedisKeys checks what WildDuck's processes see on the same server.
func TestRedisKeys(t *testing.T) {
	srv := startServer(t)
	s, err := NewRedis(t.Context(), srv.uri(), slog.New(slog.DiscardHandler))
	must(t, err)
	defer func() { must(t, s.Close()) }()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: srv.socket, DB: 3})
	defer func() { _ = client.Close() }()
	ctx := t.Context()

	// A counter of theirs, with its EXPIRE in seconds, goes on counting here.
	must(t, client.Set(ctx, "wdr:1", "1999", 100*time.Second).Err())
	if c, err := s.Count(ctx, "wdr:1", 1, 2000, time.Hour); err != nil || !c.Allowed || c.Value != 2000 || c.TTL > 100*time.Second {
		t.Errorf("%+v %v", c, err)
	}
	if v := client.Get(ctx, "wdr:1").Val(); v != "2000" {
		t.Errorf("%q", v)
	}

	l, err := s.Lock(ctx, "mail:mbwr:abc", time.Minute)
	must(t, err)
	if index, counter := client.HGet(ctx, "mail:mbwr:abc", "index").Val(), client.Get(ctx, "mailindex").Val(); index != "1" || counter != "1" {
		t.Errorf("index %q, counter %q", index, counter)
	}
	released := client.Subscribe(ctx, "mail-release")
	defer func() { _ = released.Close() }()
	if _, err := released.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	must(t, l.Release(ctx))
	if m, err := released.ReceiveMessage(ctx); err != nil || m.Payload != "mail:mbwr:abc" {
		t.Errorf("%v %v", m, err)
	}

	// A set of theirs.
	sets, ok := s.(Sets)
	if !ok {
		t.Fatal("no sets")
	}
	for _, c := range []struct{ in, changes bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		changed, err := sets.SetMember(ctx, "feature:indexing", "u1", c.in)
		if there := client.SIsMember(ctx, "feature:indexing", "u1").Val(); err != nil || changed != c.changes || there != c.in {
			t.Errorf("%+v: changed %v, there %v, %v", c, changed, there, err)
		}
	}

	// A lock of theirs is waited for.
	must(t, client.HSet(ctx, "mail:mbwr:abc", "index", "77").Err())
	must(t, client.PExpire(ctx, "mail:mbwr:abc", 80*time.Millisecond).Err())
	l, err = s.Lock(ctx, "mail:mbwr:abc", time.Minute)
	must(t, err)
	must(t, l.Release(ctx))
}

func TestRedisClosed(t *testing.T) {
	srv := startServer(t)
	s, err := NewRedis(t.Context(), srv.uri(), slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Close())
	must(t, s.Close())
	if err := s.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Subscribe(t.Context(), "x"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestNewRedisErrors(t *testing.T) {
	_, err := NewRedis(t.Context(), "http://:secret@host", slog.New(slog.DiscardHandler))
	wantCode(t, err, mail.CodeInvalid)
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in %v", err)
	}
	_, err = NewRedis(context.Background(), "unix:///nowhere/eider.sock", slog.New(slog.DiscardHandler))
	wantCode(t, err, mail.CodeUnavailable)
}
