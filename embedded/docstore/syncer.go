package docstore

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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
	log     *os.File             // opened at the first use: SQLite makes it at the first transaction
	fsync   func(*os.File) error // (*os.File).Sync, but for tests
	broken  atomic.Bool          // see flush
	mu      sync.Mutex
	waiting []*job
	dirty   bool
	busy    chan struct{} // closed when the last durable commit is on the disk; nil: it is
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

func newSyncer(path string, fsync func(*os.File) error) *syncer {
	s := &syncer{path: path + "-wal", fsync: fsync, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
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
	if waits && s.busy == nil {
		s.busy = make(chan struct{})
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

// free is closed when nothing that has to be on the disk waits for it; nil: so it
// is already.
func (s *syncer) free() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// done tells the writer that a flush has ended.
func (s *syncer) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy != nil && len(s.waiting) == 0 {
		close(s.busy)
		s.busy = nil
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
//
// After a failed fsync the system may have forgotten what it could not write, and
// a second fsync that succeeds says nothing about it: the log may have a hole, and
// whatever is written behind it would be lost with a power cut. So nothing is
// durable any more until the writer has brought everything that is in the log into
// the store's file, see repair.
func (s *syncer) flush() {
	s.mu.Lock()
	jobs, dirty := s.waiting, s.dirty
	s.waiting, s.dirty = nil, false
	s.mu.Unlock()
	if !dirty {
		return
	}
	err := errBroken
	if !s.broken.Load() {
		if err = s.sync(); err != nil {
			s.broken.Store(true)
		}
	}
	s.done()
	for _, j := range jobs {
		if err != nil {
			j.err = storageError(err)
		}
		close(j.done)
	}
}

var errBroken = errors.New("the log could not be written to the disk")

// repair makes the store durable again after a failed fsync: a checkpoint syncs
// the log, writes all of it into the store's file, syncs that, and empties the
// log. Only the writer calls it, between transactions.
func (s *syncer) repair(c *conn) error {
	row, err := c.one("PRAGMA wal_checkpoint(TRUNCATE)")
	if err != nil {
		return err
	}
	if len(row) == 0 || integer(row[0]) != 0 {
		return errBroken // a reader is in the way; the next command tries again
	}
	s.broken.Store(false)
	return nil
}

func (s *syncer) sync() error {
	if s.log == nil {
		f, err := os.OpenFile(s.path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		s.log = f
	}
	if err := s.fsync(s.log); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}
