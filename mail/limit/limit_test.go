package limit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T, err error) int {
	t.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Code != mail.CodeLimited {
		t.Fatalf("error %v, want limited", err)
	}
	return e.RetryAfter
}

func TestLoginWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(signal.NewMemory(signal.MemoryOptions{}))
		ctx := t.Context()
		for range 12 {
			must(t, l.Check(ctx, AuthUser, "1"))
			must(t, l.Take(ctx, AuthUser, "1", 1))
			time.Sleep(time.Second)
		}
		if after := limited(t, l.Check(ctx, AuthUser, "1")); after != 108 {
			t.Errorf("retry after %d s, want 108", after)
		}
		limited(t, l.Take(ctx, AuthUser, "1", 1))
		must(t, l.Take(ctx, AuthUser, "2", 1))
		must(t, l.Reset(ctx, AuthUser, "1"))
		must(t, l.Take(ctx, AuthUser, "1", 12))
		time.Sleep(119*time.Second + 500*time.Millisecond)
		if after := limited(t, l.Check(ctx, AuthUser, "1")); after != 1 {
			t.Errorf("retry after %d s, want 1", after)
		}
		time.Sleep(500 * time.Millisecond)
		must(t, l.Check(ctx, AuthUser, "1"))
	})
}

func TestOwnLimitAndOvershoot(t *testing.T) {
	l := New(signal.NewMemory(signal.MemoryOptions{}))
	ctx := t.Context()
	must(t, l.TakeLimit(ctx, RcptUser, "u", 4, 5))
	must(t, l.TakeLimit(ctx, RcptUser, "u", 4, 5))
	limited(t, l.TakeLimit(ctx, RcptUser, "u", 1, 5))
	must(t, l.Take(ctx, RcptUser, "u", 1))
	for _, err := range []error{l.Take(ctx, RcptUser, "u", -1), l.TakeLimit(ctx, RcptUser, "u", 1, -1), l.Take(ctx, -1, "u", 1), l.Take(ctx, Kind(kinds), "u", 1), l.Reset(ctx, Kind(kinds), "u")} {
		if !mail.IsCode(err, mail.CodeInvalid) {
			t.Errorf("error %v", err)
		}
	}
}

func TestKeysAreWildDucks(t *testing.T) {
	sig := signal.NewMemory(signal.MemoryOptions{})
	l := New(sig)
	ctx := t.Context()
	for kind, want := range map[Kind]string{
		AuthUser: "auth_user:k", AuthTOTP: "auth_user:totp:k", AuthIP: "auth_ip:k", RcptUser: "wdr:k", ForwardUser: "wdf:k",
		Receive: "rl:rcpt:k", IMAPUpload: "iup:k", IMAPDownload: "idw:k", POP3Download: "pdw:k",
	} {
		must(t, l.Take(ctx, kind, "k", 3))
		if v, _, err := sig.Get(ctx, want); v != "3" || err != nil {
			t.Errorf("%s holds %q, %v", want, v, err)
		}
	}
	must(t, l.Take(ctx, ReceiveIP, ReceiveIPKey("192.0.2.1", "u"), 1))
	if v, _, err := sig.Get(ctx, "rl:rcptIp:192.0.2.1:u"); v != "1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestEveryKindHasARule(t *testing.T) {
	l := New(signal.NewMemory(signal.MemoryOptions{}))
	seen := map[string]bool{}
	for kind := range Kind(kinds) {
		r := l.Rule(kind)
		if r.Limit <= 0 || r.Window <= 0 || r.name == "" || !strings.HasSuffix(r.prefix, ":") || seen[r.prefix] {
			t.Errorf("kind %d: %+v", kind, r)
		}
		seen[r.prefix] = true
	}
	if l.Rule(-1) != (Rule{}) {
		t.Error("a rule for no kind")
	}
}

func TestIPv6CountsByNetwork(t *testing.T) {
	l := New(signal.NewMemory(signal.MemoryOptions{}), WithRule(Register, Rule{Limit: 1}), WithRule(AuthIP, Rule{Limit: 0}), WithRule(-1, Rule{Limit: 1}))
	ctx := t.Context()
	must(t, l.Take(ctx, Register, "2001:db8:1:2::1", 1))
	limited(t, l.Take(ctx, Register, "2001:db8:1:2:ffff::9%eth0", 1))
	must(t, l.Take(ctx, Register, "2001:db8:1:3::1", 1))
	must(t, l.Take(ctx, Register, "::ffff:192.0.2.1", 1))
	limited(t, l.Take(ctx, Register, "192.0.2.1", 1))
	must(t, l.Take(ctx, Register, "192.0.2.2", 1))
	for range 300 {
		must(t, l.Take(ctx, AuthIP, "192.0.2.1", 1)) // 0 is off
	}
	if w := l.Rule(Register).Window; w != time.Hour {
		t.Errorf("window %s", w)
	}
}

// away is signals that do not answer while down.
type away struct {
	signal.Signal
	down bool
}

var errDown = &mail.Error{Code: mail.CodeUnavailable, Op: "test"}

func (a *away) Count(ctx context.Context, key string, by, limit int64, window time.Duration) (signal.Counted, error) {
	if a.down {
		return signal.Counted{}, errDown
	}
	return a.Signal.Count(ctx, key, by, limit, window)
}

func (a *away) Delete(ctx context.Context, keys ...string) error {
	if a.down {
		return errDown
	}
	return a.Signal.Delete(ctx, keys...)
}

func TestSignalsAway(t *testing.T) {
	var text bytes.Buffer
	sig := &away{Signal: signal.NewMemory(signal.MemoryOptions{}), down: true}
	l := New(sig, WithLog(slog.New(slog.NewTextHandler(&text, nil))))
	ctx := t.Context()
	for range 30 {
		must(t, l.Take(ctx, AuthUser, "1", 1))
		must(t, l.Reset(ctx, AuthUser, "1"))
		for _, closed := range []Kind{AuthTOTP, Register} {
			if err := l.Take(ctx, closed, "1", 1); !mail.IsCode(err, mail.CodeUnavailable) {
				t.Fatalf("kind %d: %v", closed, err)
			}
		}
	}
	sig.down = false
	for range 3 {
		must(t, l.Take(ctx, AuthUser, "1", 1))
	}
	if n := strings.Count(text.String(), "\n"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, text.String())
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := l.Take(ended, AuthUser, "1", 1); !mail.IsCode(err, mail.CodeUnavailable) {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(text.String(), "\n"); n != 2 {
		t.Error("the caller's end was logged as signals that are away")
	}
}

func TestNetworkProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-f:]{2,20}`), rapid.StringMatching(`[0-9]{1,3}\.0\.2\.1`)).Draw(t, "ip")
		if n := network(s); network(n) != n || (n == "") != (s == "") {
			t.Fatalf("%q: %q, then %q", s, n, network(n))
		}
	})
}
