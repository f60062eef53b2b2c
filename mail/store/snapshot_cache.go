package store

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/eidermail/eider/mail"
)

// DefaultSnapshotBytes is how much memory snapshots may take where the options
// say nothing: 64 MiB, some three million messages.
const DefaultSnapshotBytes = 64 << 20

// snapshotCache keeps the snapshots of the mailboxes that were used last. A
// session that holds a snapshot keeps its memory for itself; the cache forgets
// it all the same.
type snapshotCache struct {
	mu    sync.Mutex
	limit int
	bytes int
	boxes map[mail.ID]*snapshotSource
	// order has the source used last in front.
	order *list.List
}

func newSnapshotCache(limit int) *snapshotCache {
	if limit <= 0 {
		limit = DefaultSnapshotBytes
	}
	return &snapshotCache{limit: limit, boxes: map[mail.ID]*snapshotSource{}, order: list.New()}
}

// source gives the one source of a mailbox's snapshots in this process.
func (c *snapshotCache) source(mailbox mail.ID) *snapshotSource {
	c.mu.Lock()
	defer c.mu.Unlock()
	src := c.boxes[mailbox]
	if src == nil {
		src = &snapshotSource{mailbox: mailbox, turn: make(chan struct{}, 1), holes: map[mail.ModSeq]time.Time{}}
		src.element = c.order.PushFront(src)
		c.boxes[mailbox] = src
	}
	return src
}

// used notes what a source holds now and forgets others beyond the limit.
func (c *snapshotCache) used(src *snapshotSource, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.boxes[src.mailbox] != src {
		return
	}
	c.bytes += bytes - src.bytes
	src.bytes = bytes
	c.order.MoveToFront(src.element)
	for c.bytes > c.limit {
		last, ok := c.order.Back().Value.(*snapshotSource)
		if !ok || last == src {
			return
		}
		c.remove(last)
	}
}

// forget drops a source, for a mailbox that is gone or a failed load.
func (c *snapshotCache) forget(mailbox mail.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if src := c.boxes[mailbox]; src != nil {
		c.remove(src)
	}
}

func (c *snapshotCache) remove(src *snapshotSource) {
	c.bytes -= src.bytes
	c.order.Remove(src.element)
	delete(c.boxes, src.mailbox)
}

// snapshotSource makes the snapshots of one mailbox, one caller at a time.
type snapshotSource struct {
	mailbox mail.ID
	// element and bytes are the cache's.
	element *list.Element
	bytes   int
	// turn is held by who loads or catches up.
	turn chan struct{}

	snap   *Snapshot
	tables *snapshotTables
	// high is the mailbox's mod-sequence when snap was made, low the one up to
	// which all changes are in it for certain. Between them writers may still
	// be at work, so the journal is read again from low.
	high, low mail.ModSeq
	marks     []snapshotMark
	// holes are mod-sequences whose entry did not come in time, and when they
	// were given up.
	holes map[mail.ModSeq]time.Time
	// read is when the journal was read last: what it forgets since is lost.
	read time.Time
}

// snapshotMark says that the mailbox had a mod-sequence at a time. Once that
// is gapWait ago, writers up to it are done.
type snapshotMark struct {
	at     time.Time
	modseq mail.ModSeq
}

func (src *snapshotSource) take(ctx context.Context) error {
	select {
	case src.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fail("wait for a snapshot", ctx.Err())
	}
}

func (src *snapshotSource) give() { <-src.turn }

// mark notes the mod-sequence of now, a few times a second at most.
func (src *snapshotSource) mark(now time.Time) {
	if n := len(src.marks); n > 0 {
		last := src.marks[n-1]
		if last.modseq >= src.high || now.Sub(last.at) < gapWait/8 {
			return
		}
	}
	if src.high > src.low {
		src.marks = append(src.marks, snapshotMark{now, src.high})
	}
}

// settled gives the newest mod-sequence whose writers are done, and drops the
// marks up to it.
func (src *snapshotSource) settled(now time.Time) mail.ModSeq {
	done := src.low
	for len(src.marks) > 0 && now.Sub(src.marks[0].at) > gapWait {
		done = max(done, src.marks[0].modseq)
		src.marks = src.marks[1:]
	}
	return done
}

// marked is the newest mod-sequence that the mailbox had at a time.
func (src *snapshotSource) marked(at time.Time) (m mail.ModSeq) {
	for _, k := range src.marks {
		if k.at.Before(at) {
			m = k.modseq
		}
	}
	return m
}

// expireHoles forgets those whose writer cannot live any more.
func (src *snapshotSource) expireHoles(now time.Time) {
	for m, since := range src.holes {
		if now.Sub(since) > crashWindow {
			delete(src.holes, m)
		}
	}
}
