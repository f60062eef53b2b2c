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
	points  *checkpointer
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
	plain   bool // see writePlain
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
		c: c, e: e, cat: cat, sync: newSyncer(e.path, e.fsync), points: newCheckpointer(e, e.logPages),
		jobs: make(chan *job, 4*groupLimit), stop: make(chan struct{}), stopped: make(chan struct{}),
		deltas: map[*stats]delta{},
	}
}

var errClosed = &value.Error{Code: 91, Name: "ShutdownInProgress", Message: "the store is closing"}

// write runs a job and waits until it is committed and, when durable, on the
// disk. An error undoes the job; only a failure of the disk itself, after the
// commit, leaves open whether it is there.
func (w *writer) write(durable bool, run func(*tx) error) error {
	return w.do(&job{run: run, durable: durable, done: make(chan struct{})})
}

// writePlain is write for a job that looks before it changes anything: what it
// refuses has changed nothing. It runs without a savepoint, for which SQLite copies
// every page that is changed. A failure of the store in its midst costs the
// transaction, and the other jobs run again. So run is called anew sometimes.
func (w *writer) writePlain(durable bool, run func(*tx) error) error {
	return w.do(&job{run: run, durable: durable, plain: true, done: make(chan struct{})})
}

func (w *writer) do(j *job) error {
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
			w.points.close()
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
	jobs := make([]*job, 0, 16)
	if err == nil {
		for j := first; j != nil && err == nil; j = w.nextJob(jobs) {
			jobs = append(jobs, j)
			if err = w.one(j); errors.Is(err, errHalf) {
				err = w.again(before, jobs)
			}
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
		w.points.committed(w.c.Written())
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
	w.points.finish(w.c)
	if w.sync.broken.Load() {
		if err := w.sync.repair(w.c); err != nil {
			return err
		}
	}
	return w.c.exec("BEGIN IMMEDIATE")
}

// nextJob gives another job of the group; nil when it is time to commit. While the
// disk is busy with an earlier commit, one more would only wait for it: the group
// goes on until the disk is free, unless a job wants its commit and no more.
func (w *writer) nextJob(have []*job) *job {
	if len(have) >= groupLimit {
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
	free := w.sync.free()
	if free == nil || slices.ContainsFunc(have, func(j *job) bool { return !j.durable }) {
		return nil
	}
	select {
	case j := <-w.jobs:
		return j
	case <-free:
		return nil
	case <-w.stop:
		return nil
	}
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

// errHalf tells that a plain job failed after it had changed something.
var errHalf = errors.New("the job is half done")

// onePlain runs a job that needs no savepoint.
func (w *writer) onePlain(j *job) error {
	cat, changes := w.cat, w.c.Changes()
	t := &tx{writer: w, deltas: map[*stats]delta{}}
	j.err = w.protect(t, j.run)
	switch {
	case j.err == nil:
		w.add(t.deltas)
		return nil
	case w.cat != cat || w.c.Changes() != changes:
		return errHalf
	default:
		w.failed(j)
		return nil
	}
}

// again starts a transaction over whose last job failed halfway: its jobs run once
// more, each in a savepoint.
func (w *writer) again(before *catalog, jobs []*job) error {
	w.cat = before
	clear(w.deltas)
	if err := w.c.exec("ROLLBACK"); err != nil {
		return errors.Join(jobs[len(jobs)-1].err, err)
	}
	if err := w.begin(); err != nil {
		return err
	}
	for _, j := range jobs {
		j.plain = false
		if err := w.one(j); err != nil {
			return err
		}
	}
	return nil
}

// add takes over what a job counted.
func (w *writer) add(deltas map[*stats]delta) {
	for s, d := range deltas {
		sum := w.deltas[s]
		w.deltas[s] = delta{d.id, sum.count + d.count, sum.size + d.size}
	}
}

// failed words a job's error for the client.
func (w *writer) failed(j *job) {
	if lite.Is(j.err) {
		w.e.faults.failed(w.e.log, j.err)
		j.err = storageError(j.err)
	}
}

// one runs a job in its savepoint, if it needs one. It returns an error only when
// the whole transaction is lost; errHalf when it can be done again.
func (w *writer) one(j *job) error {
	if j.plain {
		return w.onePlain(j)
	}
	if err := w.c.exec("SAVEPOINT job"); err != nil {
		return err
	}
	cat := w.cat
	t := &tx{writer: w, deltas: map[*stats]delta{}}
	j.err = w.protect(t, j.run)
	if j.err == nil {
		w.add(t.deltas)
		return w.c.exec("RELEASE job")
	}
	w.cat = cat
	cause := j.err
	w.failed(j)
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
