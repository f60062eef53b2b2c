package signal

import (
	"context"
	"time"

	"github.com/eidermail/eider/mail"
)

// memoryLock is one holding of a lock. It stays in memory.locks until it is
// released or the next holder finds it ended, so a key that is locked once and
// never released or asked for again stays until the sweep.
type memoryLock struct {
	m     *memory
	key   string
	until time.Time
	// gone is closed when the lock is released.
	gone chan struct{}
}

// firstSweep is the number of locks at which a new one removes the ended ones.
const firstSweep = 1024

func (m *memory) Lock(ctx context.Context, key string, ttl time.Duration) (Lock, error) {
	const op = "lock signal"
	if err := checkTTL(op, ttl, false); err != nil {
		return nil, err
	}
	for {
		mine, other, wait, err := m.tryLock(ctx, key, ttl)
		if err != nil {
			return nil, err
		}
		if mine != nil {
			return mine, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-other:
		case <-timer.C:
		case <-m.done:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// tryLock takes the lock, or says what to wait for.
func (m *memory) tryLock(ctx context.Context, key string, ttl time.Duration) (mine *memoryLock, gone <-chan struct{}, wait time.Duration, err error) {
	now, err := m.enter(ctx, "lock signal")
	if err != nil {
		return nil, nil, 0, err
	}
	defer m.mu.Unlock()
	if held := m.locks[key]; held != nil && held.until.After(now) {
		return nil, held.gone, held.until.Sub(now), nil
	}
	if len(m.locks) >= m.sweepAt {
		m.sweepLocks(now)
	}
	mine = &memoryLock{m: m, key: key, until: now.Add(ttl), gone: make(chan struct{})}
	m.locks[key] = mine
	return mine, nil, 0, nil
}

func (m *memory) sweepLocks(now time.Time) {
	for key, l := range m.locks {
		if !l.until.After(now) {
			delete(m.locks, key)
		}
	}
	m.sweepAt = max(firstSweep, 2*len(m.locks))
}

// held enters and checks that the lock is still ours. The caller unlocks after nil.
func (l *memoryLock) held(ctx context.Context, op string) (now time.Time, err error) {
	now, err = l.m.enter(ctx, op)
	if err != nil {
		return now, err
	}
	if l.m.locks[l.key] != l || !l.until.After(now) {
		l.m.mu.Unlock()
		return now, &mail.Error{Code: mail.CodeConflict, Op: op, Err: errLockLost}
	}
	return now, nil
}

func (l *memoryLock) Extend(ctx context.Context, ttl time.Duration) error {
	const op = "extend lock"
	if err := checkTTL(op, ttl, false); err != nil {
		return err
	}
	now, err := l.held(ctx, op)
	if err != nil {
		return err
	}
	defer l.m.mu.Unlock()
	l.until = now.Add(ttl)
	return nil
}

func (l *memoryLock) Release(ctx context.Context) error {
	if _, err := l.held(ctx, "release lock"); err != nil {
		return err
	}
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.key)
	close(l.gone)
	return nil
}

var _ Lock = (*memoryLock)(nil)
