package signal

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
)

// lockPoll bounds how long a waiter sleeps without asking again, should the
// message of the release be lost.
const lockPoll = time.Second

// redisLock is a lock of the kind that WildDuck takes: a hash with the value
// of a counter that only rises, so that a late holder cannot touch the lock of
// the next one.
type redisLock struct {
	r     *redisSignal
	key   string
	index string
}

// lockNames gives the index counter and the release channel of a lock's key
// "<namespace>:<id>".
func lockNames(key string) (counter, channel string) {
	namespace, _, _ := strings.Cut(key, ":")
	return namespace + "index", namespace + "-release"
}

func (r *redisSignal) Lock(ctx context.Context, key string, ttl time.Duration) (Lock, error) {
	if err := checkTTL("lock signal", ttl, false); err != nil {
		return nil, err
	}
	lock, _, err := r.tryLock(ctx, key, ttl)
	if err != nil || lock != nil {
		return lockOrNil(lock), err
	}
	_, channel := lockNames(key)
	sub, err := r.Subscribe(ctx, channel)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	for {
		// Asked again after subscribing: a release in between is not missed.
		lock, left, err := r.tryLock(ctx, key, ttl)
		if err != nil || lock != nil {
			return lockOrNil(lock), err
		}
		waitRelease(ctx, sub, key, min(left+time.Millisecond, lockPoll))
	}
}

// lockOrNil keeps a nil pointer from becoming a Lock that is not nil.
func lockOrNil(l *redisLock) Lock {
	if l == nil {
		return nil
	}
	return l
}

// waitRelease returns when the lock may be free, or ctx ended, or the wait is over.
func waitRelease(ctx context.Context, sub Subscription, key string, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case released, ok := <-sub.C():
			if !ok || string(released) == key {
				return
			}
		case <-sub.Lost():
			return
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// tryLock takes the lock, or gives nil and how long the holder still has it.
func (r *redisSignal) tryLock(ctx context.Context, key string, ttl time.Duration) (*redisLock, time.Duration, error) {
	const op = "lock signal"
	counter, _ := lockNames(key)
	var reply []int64
	err := r.do(ctx, op, func() (err error) {
		reply, err = scriptLock.Run(ctx, r.client, []string{key, counter}, ttl.Milliseconds()).Int64Slice()
		return err
	})
	switch {
	case err != nil:
		return nil, 0, err
	case len(reply) != 2:
		return nil, 0, &mail.Error{Code: mail.CodeInternal, Op: op, Err: errReply}
	case reply[0] == 0 && reply[1] < 0:
		// A key without an end under this name is no lock; asking at once
		// again and again would not help.
		return nil, lockPoll, nil
	case reply[0] == 0:
		return nil, time.Duration(reply[1]) * time.Millisecond, nil
	}
	return &redisLock{r: r, key: key, index: strconv.FormatInt(reply[0], 10)}, 0, nil
}

func (l *redisLock) Extend(ctx context.Context, ttl time.Duration) error {
	const op = "extend lock"
	if err := checkTTL(op, ttl, false); err != nil {
		return err
	}
	return l.owned(ctx, op, func() (int64, error) {
		return scriptExtend.Run(ctx, l.r.client, []string{l.key}, l.index, ttl.Milliseconds()).Int64()
	})
}

func (l *redisLock) Release(ctx context.Context) error {
	_, channel := lockNames(l.key)
	return l.owned(ctx, "release lock", func() (int64, error) {
		return scriptRelease.Run(ctx, l.r.client, []string{l.key}, l.index, channel).Int64()
	})
}

// owned runs a script that answers 0 when the lock is not ours any more.
func (l *redisLock) owned(ctx context.Context, op string, script func() (int64, error)) error {
	var ours int64
	err := l.r.do(ctx, op, func() (err error) {
		ours, err = script()
		return err
	})
	if err == nil && ours == 0 {
		return &mail.Error{Code: mail.CodeConflict, Op: op, Err: errLockLost}
	}
	return err
}

var _ Lock = (*redisLock)(nil)
