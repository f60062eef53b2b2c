package docstore

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// logPages is how many pages the log takes before they are brought into the file:
// 48 MB.
const logPages = 12_000

// restPages is about what is left to the writer: the log can begin anew only when
// all of it is in the file, which it never is while there are writes.
const restPages = 1000

// checkpoints is how often a checkpoint goes over the log before it leaves the rest
// to the writer.
const checkpoints = 4

// logsBehind is how many times as long the log may become while it is brought into
// the file. Who writes faster than that waits.
const logsBehind = 3

// checkpointer brings the log into the store's file, on a connection of its own and
// beside the writer: two syncs of a disk and the writes between them would keep the
// commands waiting that fall upon them.
type checkpointer struct {
	e       *Engine
	pages   int64 // of the log, when it is time
	written int64 // by the writer, since the last time; only the writer's
	behind  int64 // and since the log could begin anew
	wake    chan struct{}
	one     sync.Mutex  // one at a time
	rest    atomic.Bool // the writer is to do the rest
	stop    chan struct{}
	stopped chan struct{}
}

func newCheckpointer(e *Engine, pages int64) *checkpointer {
	if pages == 0 {
		pages = logPages
	}
	k := &checkpointer{e: e, pages: pages, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	go k.run()
	return k
}

// committed takes what a commit wrote.
func (k *checkpointer) committed(pages int64) {
	k.written += pages
	k.behind += pages
	if k.behind >= logsBehind*k.pages {
		k.rest.Store(true)
	}
	if k.written < k.pages {
		return
	}
	k.written = 0
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *checkpointer) close() {
	close(k.stop)
	<-k.stopped
}

func (k *checkpointer) run() {
	defer close(k.stopped)
	for {
		select {
		case <-k.wake:
		case <-k.stop:
			return
		}
		if err := k.checkpoint(); err != nil {
			k.failed(err)
		}
	}
}

// failed tells of a checkpoint that failed. What it was about is still in the log;
// but whether the log is on the disk is not known.
func (k *checkpointer) failed(err error) {
	k.e.log.LogAttrs(context.Background(), slog.LevelError, "store_checkpoint_failed", slog.String("error", err.Error()))
	k.e.writer.sync.broken.Store(true)
}

// checkpoint brings most of the log into the file.
func (k *checkpointer) checkpoint() error {
	c, err := openConn(k.e.path, "busy_timeout = 10000", "synchronous = NORMAL")
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	k.one.Lock()
	defer k.one.Unlock()
	done := int64(0)
	for range checkpoints {
		was := done
		if done, err = checkpoint(c); err != nil {
			return err
		}
		if done-was < min(restPages, k.pages/4) {
			break // so little came meanwhile
		}
	}
	k.rest.Store(true)
	return nil
}

// finish brings the rest of the log into the file, if it is time. Only the writer
// calls it, between transactions.
func (k *checkpointer) finish(c *conn) {
	if !k.rest.CompareAndSwap(true, false) {
		return
	}
	k.behind = 0
	k.one.Lock()
	defer k.one.Unlock()
	if _, err := checkpoint(c); err != nil {
		k.failed(err)
	}
}

// checkpoint brings as much of the log into the file as readers allow: what was in
// it when it began. done is how many pages of the log are in the file now.
func checkpoint(c *conn) (done int64, err error) {
	row, err := c.one("PRAGMA wal_checkpoint(PASSIVE)")
	if err != nil || len(row) < 3 {
		return 0, err
	}
	return integer(row[2]), nil
}
