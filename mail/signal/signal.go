// Package signal is what several processes of one installation share for a
// short while: counters and values that expire, locks, and messages to whoever
// listens now. Nothing in it is durable; losing all of it loses no mail.
//
// There are two implementations behind one interface: Redis, with WildDuck's
// key names, values and channels, and memory for an installation of one
// process.
package signal

import (
	"context"
	"time"
)

// Counted is the answer of Signal.Count.
type Counted struct {
	// Allowed is false when the limit had been reached before; nothing was added then.
	Allowed bool
	// Value is the counter after the call.
	Value int64
	// TTL is how long the window still runs, 0 when no window runs.
	TTL time.Duration
}

// Signal is the shared short-lived state. All methods may be called from
// several goroutines. Keys and values pass through unchanged.
//
// Errors are *mail.Error: CodeUnavailable when the server is away, the Signal
// is closed or ctx ended; CodeInvalid for a time to live that makes no sense;
// CodeConflict for a lock that is no longer held; CodeInternal for a value of
// another kind under the key.
type Signal interface {
	// Count adds by to a counter whose window starts with its first addition.
	// When the counter has reached limit nothing is added and Allowed is false;
	// an addition may overshoot. limit 0 means no limit, by 0 or less only
	// looks. window 0 means 24 hours.
	Count(ctx context.Context, key string, by, limit int64, window time.Duration) (Counted, error)
	// Adjust adds by, which may be negative, to a cached number if the key
	// exists, and sets its time to live anew. A result below zero deletes the
	// key: the cache was wrong. ttl must be positive.
	Adjust(ctx context.Context, key string, by int64, ttl time.Duration) error
	// Get reads a value; ok is false when there is none.
	Get(ctx context.Context, key string) (value string, ok bool, err error)
	// Set writes a value; ttl 0 means it does not expire.
	Set(ctx context.Context, key, value string, ttl time.Duration) error
	// SetNew writes a value if the key does not exist and reports whether it did.
	SetNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error)
	// Delete removes keys; missing ones are no error.
	Delete(ctx context.Context, keys ...string) error
	// Lock waits until it holds the lock or ctx ends. The lock ends by itself
	// after ttl. Lock keys are apart from keys of values.
	Lock(ctx context.Context, key string, ttl time.Duration) (Lock, error)
	// Publish sends to all who are subscribed now. It does not wait for them.
	Publish(ctx context.Context, channel string, payload []byte) error
	// Subscribe returns when messages published from now on will arrive; some
	// that were published just before may too.
	Subscribe(ctx context.Context, channel string) (Subscription, error)
	// Ping reports whether the signals work.
	Ping(ctx context.Context) error
	// Close ends all subscriptions and waits for the Signal's goroutines.
	Close() error
}

// Sets is what a Signal can do that shares its keys with WildDuck: it keeps
// sets which only WildDuck reads.
type Sets interface {
	// SetMember puts a member into a set or takes it out, and reports whether
	// that changed the set. Errors are those of Signal.
	SetMember(ctx context.Context, key, member string, in bool) (changed bool, err error)
}

// Lock is a lock that is held.
type Lock interface {
	// Extend sets the time to live anew. CodeConflict: the lock had ended.
	Extend(ctx context.Context, ttl time.Duration) error
	// Release gives the lock back. CodeConflict: it had ended before.
	Release(ctx context.Context) error
}

// Subscription receives the messages of one channel in the order of their
// publication. Its queue is bounded: what does not fit is dropped and told by
// Lost.
type Subscription interface {
	// C gives the messages. It is closed by Close and by Signal.Close. The
	// bytes are shared with other subscribers and must not be changed.
	C() <-chan []byte
	// Lost holds one token when messages may have been missed: the connection
	// was made anew, or the queue was full.
	Lost() <-chan struct{}
	// Close ends the subscription. It may be called twice.
	Close()
}
