package docstore

import (
	"errors"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// groupLimit is how many commands may share one commit.
const groupLimit = 64

// gatherYields is how often the writer lets others run before it commits.
const gatherYields = 2

// writer is the one goroutine that changes the store. Each command is a job in a
// savepoint of its own; the jobs that wait at the same time share a transaction.
// A durable job is answered after its transaction is on the disk (syncer.go),
// another after its commit.
type writer struct {
	c       *conn
	sync    *syncer
	e       *Engine
	jobs    chan *job
	stop    chan struct{}
	stopped chan struct{}
	cat     *catalog // with the changes of the open transaction
	deltas  map[*stats]delta
}

type job struct {
	run     func(*tx) error
	durable bool
	err     error
	done    chan struct{}
}

type delta struct{ id, count, size int64 }

// tx is what a job sees: the store with the changes so far, and what it adds.
type tx struct {
	*writer
	deltas map[*stats]delta
}

func newWriter(e *Engine, c *conn, cat *catalog) *writer {
	return &writer{
		c: c, e: e, cat: cat, sync: newSyncer(e.path, e.fsync),
		jobs: make(chan *job, 4*groupLimit), stop: make(chan struct{}), stopped: make(chan struct{}),
		deltas: map[*stats]delta{},
	}
}

var errClosed = &value.Error{Code: 91, Name: "ShutdownInProgress", Message: "the store is closing"}

// write runs a job and waits until it is committed and, when durable, on the
// disk. An error undoes the job; only a failure of the disk itself, after the
// commit, leaves open whether it is there.
func (w *writer) write(durable bool, run func(*tx) error) error {
	j := &job{run: run, durable: durable, done: make(chan struct{})}
	select {
	case <-w.stop:
		return errClosed
	case w.jobs <- j:
	}
	select {
	case <-j.done:
		return j.err
	case <-w.stopped:
		select {
		case <-j.done:
			return j.err
		default:
			return errClosed
		}
	}
}

// run is the goroutine. It ends after stop is closed.
func (w *writer) run() {
	defer close(w.stopped)
	for {
		select {
		case <-w.stop:
			w.sync.close()
			return
		case j := <-w.jobs:
			w.group(j)
		}
	}
}

// group runs a job and those that wait behind it, and commits.
func (w *writer) group(first *job) {
	before := w.cat
	err := w.begin()
	jobs := make([]*job, 0, 8)
	if err == nil {
		for j := first; j != nil && err == nil; j = w.nextJob(len(jobs)) {
			jobs = append(jobs, j)
			err = w.one(j)
		}
	} else {
		jobs = append(jobs, first)
	}
	if err == nil {
		err = w.commit(before)
	}
	if err != nil {
		_ = w.c.exec("ROLLBACK")
		w.cat = before
		w.e.catalog.Store(before)
		w.e.faults.failed(w.e.log, err)
	} else {
		for s, d := range w.deltas {
			s.count.Add(d.count)
			s.size.Add(d.size)
		}
		if w.cat != before {
			w.e.catalog.Store(w.cat)
		}
	}
	clear(w.deltas)
	if err == nil {
		if slices.ContainsFunc(jobs, func(j *job) bool { return j.err == nil }) {
			w.e.faults.worked(w.e.log)
		}
		w.sync.committed(jobs)
		return
	}
	for _, j := range jobs {
		j.err = storageError(err)
		close(j.done)
	}
}

// begin opens the transaction, once the log can be relied on.
func (w *writer) begin() error {
	if w.sync.broken.Load() {
		if err := w.sync.repair(w.c); err != nil {
			return err
		}
	}
	return w.c.exec("BEGIN IMMEDIATE")
}

func (w *writer) nextJob(have int) *job {
	if have >= groupLimit {
		return nil
	}
	for range gatherYields {
		select {
		case j := <-w.jobs:
			return j
		default:
			// Others are about to ask: what they share costs one commit.
			runtime.Gosched()
		}
	}
	return nil
}

func (w *writer) commit(before *catalog) error {
	for _, d := range w.deltas {
		if err := w.c.exec("UPDATE colls SET n = n + ?, size = size + ? WHERE id = ?", d.count, d.size, d.id); err != nil {
			return err
		}
	}
	if w.cat != before {
		w.e.catalog.Store(visible(before, w.cat))
	}
	return w.c.exec("COMMIT")
}

// one runs a job in its savepoint. It returns an error only when the whole
// transaction is lost.
func (w *writer) one(j *job) error {
	if err := w.c.exec("SAVEPOINT job"); err != nil {
		return err
	}
	cat := w.cat
	t := &tx{writer: w, deltas: map[*stats]delta{}}
	j.err = w.protect(t, j.run)
	if j.err == nil {
		for s, d := range t.deltas {
			sum := w.deltas[s]
			w.deltas[s] = delta{d.id, sum.count + d.count, sum.size + d.size}
		}
		return w.c.exec("RELEASE job")
	}
	w.cat = cat
	cause := j.err
	if lite.Is(cause) {
		w.e.faults.failed(w.e.log, cause)
		j.err = storageError(cause)
	}
	if err := w.c.exec("ROLLBACK TO job"); err != nil {
		// SQLite gives the whole transaction up when the disk is full or fails.
		return errors.Join(cause, err)
	}
	return w.c.exec("RELEASE job")
}

// protect turns a panic of a job into an error.
func (w *writer) protect(t *tx, run func(*tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.e.panicked(p, debug.Stack())
		}
	}()
	return run(t)
}

// count notes that documents came or went.
func (t *tx) count(coll *collection, count, size int64) {
	d := t.deltas[coll.stats]
	t.deltas[coll.stats] = delta{coll.id, d.count + count, d.size + size}
}

// replace puts a changed collection into the catalog.
func (t *tx) replace(coll *collection) {
	cat := t.cat.clone()
	cat.colls[coll.ns] = coll
	t.cat = cat
}
