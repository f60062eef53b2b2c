package signal

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/eidermail/eider/mail"
)

// defaultMaxKeys keeps the memory implementation below some 64 MiB.
const defaultMaxKeys = 1 << 18

// MemoryOptions configures NewMemory.
type MemoryOptions struct {
	// MaxKeys bounds counters and values, 0 for 262144. At the bound the key
	// that would expire first makes room. Locks are not counted: each has a
	// holder.
	MaxKeys int
}

// memory is Signal for one process. It has no goroutines: every call first
// removes what has ended.
type memory struct {
	mu          sync.Mutex
	closed      bool
	done        chan struct{}
	keys        *table
	locks       map[string]*memoryLock
	sweepAt     int // the number of locks at which to look for ended ones
	subscribers map[string]map[*queue]struct{}
}

// NewMemory returns signals for an installation of one process.
func NewMemory(o MemoryOptions) Signal {
	if o.MaxKeys <= 0 {
		o.MaxKeys = defaultMaxKeys
	}
	return &memory{
		done:        make(chan struct{}),
		keys:        newTable(o.MaxKeys),
		locks:       make(map[string]*memoryLock),
		sweepAt:     firstSweep,
		subscribers: make(map[string]map[*queue]struct{}),
	}
}

// enter locks and removes what has ended. The caller unlocks after nil.
func (m *memory) enter(ctx context.Context, op string) (now time.Time, err error) {
	if err := checkContext(ctx, op); err != nil {
		return now, err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return now, unavailable(op, ErrClosed)
	}
	now = time.Now()
	m.keys.purge(now)
	return now, nil
}

func (m *memory) Count(ctx context.Context, key string, by, limit int64, window time.Duration) (Counted, error) {
	const op = "count signal"
	if window == 0 {
		window = defaultWindow
	}
	if err := checkTTL(op, window, false); err != nil {
		return Counted{}, err
	}
	now, err := m.enter(ctx, op)
	if err != nil {
		return Counted{}, err
	}
	defer m.mu.Unlock()
	value, until := int64(0), time.Time{}
	if e := m.keys.get(key); e != nil {
		if value, err = e.number(op); err != nil {
			return Counted{}, err
		}
		until = e.until
	}
	allowed := limit <= 0 || value < limit
	if allowed && by > 0 {
		if value == 0 {
			until = now.Add(window)
		}
		value += by
		m.keys.put(key, strconv.FormatInt(value, 10), until)
	}
	c := Counted{Allowed: allowed, Value: value}
	if !until.IsZero() {
		c.TTL = until.Sub(now)
	}
	return c, nil
}

func (e *entry) number(op string) (int64, error) {
	n, err := strconv.ParseInt(e.value, 10, 64)
	if err != nil {
		return 0, &mail.Error{Code: mail.CodeInternal, Op: op, Err: errNotNumber}
	}
	return n, nil
}

func (m *memory) Adjust(ctx context.Context, key string, by int64, ttl time.Duration) error {
	const op = "adjust signal"
	if err := checkTTL(op, ttl, false); err != nil {
		return err
	}
	now, err := m.enter(ctx, op)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	e := m.keys.get(key)
	if e == nil {
		return nil
	}
	n, err := e.number(op)
	if err != nil {
		return err
	}
	if n += by; n < 0 {
		m.keys.remove(e)
		return nil
	}
	m.keys.put(key, strconv.FormatInt(n, 10), now.Add(ttl))
	return nil
}

func (m *memory) Get(ctx context.Context, key string) (string, bool, error) {
	if _, err := m.enter(ctx, "get signal"); err != nil {
		return "", false, err
	}
	defer m.mu.Unlock()
	if e := m.keys.get(key); e != nil {
		return e.value, true, nil
	}
	return "", false, nil
}

func (m *memory) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	_, err := m.set(ctx, key, value, ttl, false)
	return err
}

func (m *memory) SetNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	return m.set(ctx, key, value, ttl, true)
}

func (m *memory) set(ctx context.Context, key, value string, ttl time.Duration, onlyNew bool) (bool, error) {
	const op = "set signal"
	if err := checkTTL(op, ttl, true); err != nil {
		return false, err
	}
	now, err := m.enter(ctx, op)
	if err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	if onlyNew && m.keys.get(key) != nil {
		return false, nil
	}
	until := time.Time{}
	if ttl > 0 {
		until = now.Add(ttl)
	}
	m.keys.put(key, value, until)
	return true, nil
}

func (m *memory) Delete(ctx context.Context, keys ...string) error {
	if _, err := m.enter(ctx, "delete signal"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, key := range keys {
		if e := m.keys.get(key); e != nil {
			m.keys.remove(e)
		}
	}
	return nil
}

func (m *memory) Publish(ctx context.Context, channel string, payload []byte) error {
	if _, err := m.enter(ctx, "publish signal"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if len(m.subscribers[channel]) == 0 {
		return nil
	}
	payload = bytes.Clone(payload)
	for q := range m.subscribers[channel] {
		q.send(payload)
	}
	return nil
}

func (m *memory) Subscribe(ctx context.Context, channel string) (Subscription, error) {
	if _, err := m.enter(ctx, "subscribe to signals"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	q := newQueue(func(q *queue) {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.subscribers[channel], q)
		if len(m.subscribers[channel]) == 0 {
			delete(m.subscribers, channel)
		}
	})
	if m.subscribers[channel] == nil {
		m.subscribers[channel] = make(map[*queue]struct{})
	}
	m.subscribers[channel][q] = struct{}{}
	return q, nil
}

func (m *memory) Ping(ctx context.Context) error {
	if _, err := m.enter(ctx, "ping signals"); err != nil {
		return err
	}
	m.mu.Unlock()
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	close(m.done)
	for _, queues := range m.subscribers {
		for q := range queues {
			q.end()
		}
	}
	return nil
}

var _ Signal = (*memory)(nil)
