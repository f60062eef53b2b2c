package docstore

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// syncDelay is how long a commit that nobody waits for may lie unsynced, as
// MongoDB's journal does by default.
const syncDelay = 100 * time.Millisecond

// syncer makes commits durable. SQLite commits into the write-ahead log without
// waiting for the disk (synchronous = NORMAL), so that the writer goes on at
// once; one fsync of the log then serves every command that committed before it.
// The log is valid up to its last whole transaction, in commit order, so a later
// durable write makes all earlier ones durable too.
type syncer struct {
	path    string
	log     *os.File // opened at the first use: SQLite makes it at the first transaction
	mu      sync.Mutex
	waiting []*job
	dirty   bool
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

func newSyncer(path string) *syncer {
	s := &syncer{path: path + "-wal", wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.run()
	return s
}

// committed takes the jobs of a commit. Those that want to be durable are
// answered after the next fsync, the others now.
func (s *syncer) committed(jobs []*job) {
	waits := false
	s.mu.Lock()
	s.dirty = true
	for _, j := range jobs {
		if j.durable && j.err == nil {
			s.waiting = append(s.waiting, j)
			waits = true
		}
	}
	s.mu.Unlock()
	for _, j := range jobs {
		if !j.durable || j.err != nil {
			close(j.done)
		}
	}
	if waits {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// close makes the rest durable and ends the goroutine.
func (s *syncer) close() {
	close(s.stop)
	<-s.stopped
}

func (s *syncer) run() {
	defer close(s.stopped)
	late := time.NewTicker(syncDelay)
	defer late.Stop()
	for {
		select {
		case <-s.wake:
			s.flush()
		case <-late.C:
			s.flush()
		case <-s.stop:
			s.flush()
			if s.log != nil {
				_ = s.log.Close()
			}
			return
		}
	}
}

// flush syncs the log when there is something in it, and answers who waited.
func (s *syncer) flush() {
	s.mu.Lock()
	jobs, dirty := s.waiting, s.dirty
	s.waiting, s.dirty = nil, false
	s.mu.Unlock()
	if !dirty {
		return
	}
	err := s.sync()
	for _, j := range jobs {
		if err != nil {
			j.err = storageError(err)
		}
		close(j.done)
	}
}

func (s *syncer) sync() error {
	if s.log == nil {
		f, err := os.OpenFile(s.path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		s.log = f
	}
	if err := s.log.Sync(); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}
