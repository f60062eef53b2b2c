package storetest

import (
	"context"
	"time"

	"github.com/eidermail/eider/mail/signal"
)

// prefixed keeps the keys of tests that share one Redis apart.
type prefixed struct {
	signal.Signal
	prefix string
}

// Count implements signal.Signal.
func (p prefixed) Count(ctx context.Context, key string, by, limit int64, window time.Duration) (signal.Counted, error) {
	return p.Signal.Count(ctx, p.prefix+key, by, limit, window)
}

// Adjust implements signal.Signal.
func (p prefixed) Adjust(ctx context.Context, key string, by int64, ttl time.Duration) error {
	return p.Signal.Adjust(ctx, p.prefix+key, by, ttl)
}

// Get implements signal.Signal.
func (p prefixed) Get(ctx context.Context, key string) (string, bool, error) {
	return p.Signal.Get(ctx, p.prefix+key)
}

// Set implements signal.Signal.
func (p prefixed) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return p.Signal.Set(ctx, p.prefix+key, value, ttl)
}

// SetNew implements signal.Signal.
func (p prefixed) SetNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	return p.Signal.SetNew(ctx, p.prefix+key, value, ttl)
}

// SetMember implements signal.Sets.
func (p prefixed) SetMember(ctx context.Context, key, member string, in bool) (bool, error) {
	sets, ok := p.Signal.(signal.Sets)
	if !ok {
		return false, nil
	}
	return sets.SetMember(ctx, p.prefix+key, member, in)
}

// Delete implements signal.Signal.
func (p prefixed) Delete(ctx context.Context, keys ...string) error {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = p.prefix + k
	}
	return p.Signal.Delete(ctx, all...)
}

// Lock implements signal.Signal.
func (p prefixed) Lock(ctx context.Context, key string, ttl time.Duration) (signal.Lock, error) {
	return p.Signal.Lock(ctx, p.prefix+key, ttl)
}

// Publish implements signal.Signal.
func (p prefixed) Publish(ctx context.Context, channel string, payload []byte) error {
	return p.Signal.Publish(ctx, p.prefix+channel, payload)
}

// Subscribe implements signal.Signal.
func (p prefixed) Subscribe(ctx context.Context, channel string) (signal.Subscription, error) {
	return p.Signal.Subscribe(ctx, p.prefix+channel)
}
