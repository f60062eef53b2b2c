// Package limit says no to too much: tries to log in, registrations,
// recipients a day, bytes a day. Limits count on mail/signal under WildDuck's
// keys, so that processes of both count together.
//
// A window is fixed: it starts with the first use and ends after its length,
// whatever happens in between. A use is refused when the limit had been
// reached before, so one use of several at once may overshoot.
package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
)

// Option changes a Limiter.
type Option func(*Limiter)

// WithLog says where to log that signals are away; without it slog.Default.
func WithLog(log *slog.Logger) Option {
	return func(l *Limiter) { l.log = log }
}

// WithRule replaces the limit and window of a kind. A window of 0 keeps the
// kind's own.
func WithRule(kind Kind, r Rule) Option {
	return func(l *Limiter) {
		if !kind.valid() {
			return
		}
		l.rules[kind].Limit = r.Limit
		if r.Window > 0 {
			l.rules[kind].Window = r.Window
		}
	}
}

// Limiter counts uses. It may be used from several goroutines.
type Limiter struct {
	sig   signal.Signal
	log   *slog.Logger
	rules [kinds]Rule
	away  atomic.Bool
}

// New returns a Limiter with the default rules.
func New(sig signal.Signal, opts ...Option) *Limiter {
	l := &Limiter{sig: sig, log: slog.Default(), rules: defaultRules()}
	for _, o := range opts {
		o(l)
	}
	return l
}

// Rule gives the limit and window of a kind.
func (l *Limiter) Rule(kind Kind) Rule {
	if !kind.valid() {
		return Rule{}
	}
	return l.rules[kind]
}

// Take counts n uses by the key, which is what the kind's comment says. n 0
// only looks.
//
// Errors: CodeLimited with RetryAfter when the limit had been reached, nothing
// is counted then; CodeInvalid for a negative n. When signals are away Take
// allows the use and logs that once, except for kinds whose comment says
// "closed": these give CodeUnavailable.
func (l *Limiter) Take(ctx context.Context, kind Kind, key string, n int64) error {
	return l.TakeLimit(ctx, kind, key, n, 0)
}

// TakeLimit is Take with a limit of the key's own, such as an account's
// recipients a day, in place of the rule's. 0 means the rule's.
func (l *Limiter) TakeLimit(ctx context.Context, kind Kind, key string, n, limit int64) error {
	if !kind.valid() || n < 0 || limit < 0 {
		return &mail.Error{Code: mail.CodeInvalid, Op: "limit", Err: errors.New("kind, amount or limit out of range")}
	}
	rule := l.rules[kind]
	if limit == 0 {
		limit = rule.Limit
	}
	if limit == 0 {
		return nil
	}
	op := "limit " + rule.name
	counted, err := l.sig.Count(ctx, rule.key(key), n, limit, rule.Window)
	if err != nil {
		return l.uncounted(ctx, rule, op, err)
	}
	l.works()
	if counted.Allowed {
		return nil
	}
	return &mail.Error{Code: mail.CodeLimited, Op: op, RetryAfter: seconds(counted.TTL)}
}

// Check says whether a use would be allowed, without counting one. Errors are
// those of Take.
func (l *Limiter) Check(ctx context.Context, kind Kind, key string) error {
	return l.TakeLimit(ctx, kind, key, 0, 0)
}

// Reset forgets the uses by the key, as a successful login does. That signals
// are away is no error: the window ends by itself.
func (l *Limiter) Reset(ctx context.Context, kind Kind, key string) error {
	if !kind.valid() {
		return &mail.Error{Code: mail.CodeInvalid, Op: "reset limit", Err: errors.New("no such kind")}
	}
	rule := l.rules[kind]
	if err := l.sig.Delete(ctx, rule.key(key)); err != nil {
		if ctx.Err() == nil && mail.IsCode(err, mail.CodeUnavailable) {
			l.fails(ctx, err)
			return nil
		}
		return fmt.Errorf("reset limit %s: %w", rule.name, err)
	}
	l.works()
	return nil
}

// uncounted decides about a use that could not be counted.
func (l *Limiter) uncounted(ctx context.Context, rule Rule, op string, err error) error {
	if ctx.Err() != nil {
		return &mail.Error{Code: mail.CodeUnavailable, Op: op, Err: err}
	}
	l.fails(ctx, err)
	if rule.closed {
		return &mail.Error{Code: mail.CodeUnavailable, Op: op, Err: err}
	}
	return nil
}

func (l *Limiter) fails(ctx context.Context, err error) {
	if !l.away.Swap(true) {
		l.log.LogAttrs(ctx, slog.LevelWarn, "limits are not counted", slog.Any("error", err))
	}
}

func (l *Limiter) works() {
	if l.away.Load() && l.away.Swap(false) {
		l.log.Info("limits are counted again")
	}
}

// seconds rounds up, so that a client that waits this long is not refused
// again for the same window.
func seconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}
