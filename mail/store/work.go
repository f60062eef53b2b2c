package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eidermail/eider/mail"
)

const (
	// workPoll is how often work of other processes is looked for.
	workPoll = 2 * time.Second
	// releaseEvery is how often delayed tasks are looked at.
	releaseEvery = 5 * time.Second
	// jobWorkers is how many bulk operations one process runs at a time. More
	// would only share the same writer.
	jobWorkers = 2
)

// wakes are how this process's workers learn of new work at once.
type wakes struct{ jobs, tasks chan struct{} }

func newWakes() wakes { return wakes{make(chan struct{}, 1), make(chan struct{}, 1)} }

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Work does what is to be done in the background until ctx ends: bulk
// operations, WildDuck's tasks, the removal of what has run out. Several
// processes may work; each job is in one process's hands. It returns when the
// step under way is finished.
func (s *Store) Work(ctx context.Context) {
	var all sync.WaitGroup
	for range jobWorkers {
		all.Go(func() { s.loop(ctx, workPoll, s.wakes.jobs, s.workJobs) })
	}
	all.Go(func() { s.loop(ctx, releaseEvery, s.wakes.tasks, s.workTasks) })
	all.Go(func() { s.loop(ctx, sweepEvery, nil, s.workSweep) })
	all.Wait()
}

// loop calls do, again after each pause, earlier when woken, until ctx ends.
func (s *Store) loop(ctx context.Context, every time.Duration, wake <-chan struct{}, do func(context.Context) error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		}
		if err := do(ctx); err != nil && ctx.Err() == nil && !mail.IsCode(err, mail.CodeConflict) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "background work", slog.Any("err", err))
		}
		timer.Reset(every)
	}
}

func (s *Store) workJobs(ctx context.Context) error {
	for ctx.Err() == nil {
		r, err := s.claimJob(ctx)
		if err != nil || r == nil {
			return err
		}
		s.runJob(ctx, r)
	}
	return nil
}

func (s *Store) workTasks(ctx context.Context) error {
	if err := s.releaseTasks(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		t, lock, err := s.claimTask(ctx)
		if err != nil || t == nil {
			return err
		}
		s.runTask(ctx, t, lock)
	}
	return nil
}

func (s *Store) workSweep(ctx context.Context) error {
	if err := s.finishDeletions(ctx); err != nil {
		return err
	}
	if err := s.dropHalfMade(ctx); err != nil {
		return err
	}
	done, err := s.Sweep(ctx)
	if done != (Swept{}) {
		s.log.LogAttrs(ctx, slog.LevelInfo, "swept", slog.Int("expired", done.Expired), slog.Int("purged", done.Purged), slog.Int("contents", done.Contents))
	}
	return err
}
