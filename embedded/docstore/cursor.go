package docstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/project"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/wire"
)

const (
	maxCursors   = 10_000
	cursorIdle   = 10 * time.Minute
	defaultBatch = 101
	maxDocument  = 16 << 20
	maxBatch     = 16 << 20 // bytes of one batch, but at least one document
)

// source gives a cursor's documents, batch by batch. It holds no transaction.
type source interface {
	// next fills the batch; done tells that there is nothing behind it.
	next(q *request, b *batch) (done bool, err error)
}

// batch is a reply in the making: the documents of one batch go straight into it.
type batch struct {
	out                *wire.Buffer
	buf                []byte
	doc, cursor, array int32 // where these begin
	n                  int
	limit              int64 // documents
}

// newBatch begins a reply with firstBatch or nextBatch.
func newBatch(name string, limit int64, out *wire.Buffer) *batch {
	if out == nil {
		out = &wire.Buffer{}
	}
	b := &batch{limit: limit, out: out, buf: append(out.B[:0], make([]byte, wire.ReplyHead)...)}
	b.doc, b.buf = bsoncore.AppendDocumentStart(b.buf)
	b.cursor, b.buf = bsoncore.AppendDocumentElementStart(b.buf, "cursor")
	b.array, b.buf = bsoncore.AppendArrayElementStart(b.buf, name)
	return b
}

// finish ends the reply.
func (b *batch) finish(id int64, ns namespace) bson.Raw {
	b.buf, _ = bsoncore.AppendArrayEnd(b.buf, b.array)
	b.buf = bsoncore.AppendInt64Element(b.buf, "id", id)
	b.buf = bsoncore.AppendStringElement(b.buf, "ns", ns.String())
	b.buf, _ = bsoncore.AppendDocumentEnd(b.buf, b.cursor)
	b.buf = bsoncore.AppendDoubleElement(b.buf, "ok", 1)
	b.buf, _ = bsoncore.AppendDocumentEnd(b.buf, b.doc)
	b.out.B = b.buf
	return b.buf[wire.ReplyHead:]
}

// add appends a document; false if it does not fit any more.
func (b *batch) add(doc bson.Raw) bool {
	if b.full() || (b.n > 0 && len(b.buf)+len(doc) > maxBatch) {
		return false
	}
	b.buf = bsoncore.AppendDocumentElement(b.buf, itoa(b.n), bsoncore.Document(doc))
	b.n++
	return true
}

func (b *batch) full() bool { return int64(b.n) >= b.limit }

// findSource streams a scan.
type findSource struct {
	scan  *scan
	proj  *project.Projection // nil: whole documents
	skip  int64
	limit int64 // documents still to give
}

func (s *findSource) next(q *request, b *batch) (done bool, err error) {
	if b.full() {
		return s.limit == 0, nil
	}
	again := q.cmd == &getMoreCommand
	s.scan.q = q
	err = q.e.read(func(c *conn) error {
		done, err = s.scan.run(c, func(_ int64, doc bson.Raw) (verdict, error) { return s.take(doc, b) })
		return err
	})
	if err == nil && again && !s.scan.p.stands(q.e.catalog.Load()) || errors.Is(err, errStale) && again {
		return false, refuse(175, "QueryPlanKilled", "the collection or the index of the cursor was dropped")
	}
	return done || s.limit == 0, err
}

func (s *findSource) take(doc bson.Raw, b *batch) (verdict, error) {
	if s.skip > 0 {
		s.skip--
		return goOn, nil
	}
	if s.proj != nil && !s.scan.answer {
		var err error
		if doc, err = s.proj.Apply(doc); err != nil {
			return goOn, err
		}
	}
	if !b.add(doc) {
		return stopAt, nil
	}
	s.limit--
	if s.limit == 0 || b.full() {
		return stopAfter, nil
	}
	return goOn, nil
}

// listSource gives documents that are in memory.
type listSource struct{ docs []bson.Raw }

func (s *listSource) next(_ *request, b *batch) (done bool, err error) {
	for len(s.docs) > 0 && b.add(s.docs[0]) {
		s.docs[0] = nil
		s.docs = s.docs[1:]
	}
	return len(s.docs) == 0, nil
}

// cursor is an open cursor.
type cursor struct {
	id   int64
	ns   namespace
	lsid bson.Raw // the session that opened it; nil for none
	src  source
	used time.Time
	busy bool
}

// cursors are the open ones.
type cursors struct {
	mu   sync.Mutex
	open map[int64]*cursor
}

func (cs *cursors) init() { cs.open = map[int64]*cursor{} }

func (cs *cursors) clear() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	clear(cs.open)
}

// add keeps a source for later batches.
func (cs *cursors) add(ns namespace, lsid bson.Raw, src source, now time.Time) (int64, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= maxCursors {
		return 0, refuse(146, "ExceededMemoryLimit", "too many open cursors")
	}
	for {
		id := rand.Int64() //nolint:gosec // only the process's own driver sees it
		if _, taken := cs.open[id]; !taken && id > 0 {
			cs.open[id] = &cursor{id: id, ns: ns, lsid: lsid, src: src, used: now}
			return id, nil
		}
	}
}

// take gives a cursor to one getMore.
func (cs *cursors) take(id int64, ns namespace, lsid bson.Raw) (*cursor, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	if c == nil {
		return nil, refuse(43, "CursorNotFound", "cursor id "+itoa(int(id))+" not found")
	}
	if c.ns != ns {
		return nil, refuse(13, "Unauthorized", "Requested getMore on namespace '"+ns.String()+"', but cursor belongs to a different namespace "+c.ns.String())
	}
	if err := c.sameSession(lsid); err != nil {
		return nil, err
	}
	if c.busy {
		return nil, refuse(12051, "CursorInUse", "cursor id "+itoa(int(id))+" is already in use")
	}
	c.busy = true
	return c, nil
}

// sameSession: a cursor is read in the session that opened it.
func (c *cursor) sameSession(lsid bson.Raw) error {
	switch {
	case bytes.Equal(c.lsid, lsid):
		return nil
	case c.lsid == nil:
		return value.Errorf(50736, "Cannot run getMore on cursor %d, which was not created in a session, in session %s", c.id, lsid)
	case lsid == nil:
		return value.Errorf(50737, "Cannot run getMore on cursor %d, which was created in session %s, without an lsid", c.id, c.lsid)
	default:
		return value.Errorf(50738, "Cannot run getMore on cursor %d, which was created in session %s, in session %s", c.id, c.lsid, lsid)
	}
}

// give takes it back, or ends it.
func (cs *cursors) give(c *cursor, ended bool, now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.busy, c.used = false, now
	if ended {
		delete(cs.open, c.id)
	}
}

// kill ends a cursor; false if there is none.
func (cs *cursors) kill(id int64, ns namespace) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	if c == nil || c.ns != ns {
		return false
	}
	delete(cs.open, id)
	return true
}

// expire ends those that nobody has asked for a long time, and those of a
// collection that is gone.
func (cs *cursors) expire(now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, c := range cs.open {
		if !c.busy && now.Sub(c.used) > cursorIdle {
			delete(cs.open, id)
		}
	}
}

// cursorReply makes the reply of a first or a later batch, and keeps the source
// if there is more.
func (q *request) cursorReply(ns namespace, src source, batchSize int64, single bool) (bson.Raw, error) {
	b := newBatch("firstBatch", batchSize, q.out)
	done, err := src.next(q, b)
	if err != nil {
		return nil, err
	}
	var id int64
	if !done && !single {
		if id, err = q.e.cursors.add(ns, bytes.Clone(q.lsid), src, q.e.now()); err != nil {
			return nil, err
		}
	}
	return b.finish(id, ns), nil
}

var getMoreCommand = command{
	fields:   map[string]kind{"collection": kindString, "batchSize": kindCount},
	required: []string{"collection"},
	stable:   true,
	run:      runGetMore,
}

func runGetMore(q *request) (bson.Raw, error) {
	if q.first.Type != bson.TypeInt64 {
		return nil, wrongType("getMore", "getMore", q.first.Type, "long")
	}
	if q.has("maxTimeMS") {
		return nil, value.BadValue("cannot set maxTimeMS on getMore command for a non-awaitData cursor")
	}
	ns := namespace{q.db, q.str("collection")}
	c, err := q.e.cursors.take(q.first.Int64(), ns, q.lsid)
	if err != nil {
		return nil, err
	}
	limit := q.int("batchSize", 0)
	if limit == 0 {
		limit = noLimit
	}
	b := newBatch("nextBatch", limit, q.out)
	done, err := c.src.next(q, b)
	q.e.cursors.give(c, done || err != nil, q.e.now())
	if err != nil {
		return nil, err
	}
	id := c.id
	if done {
		id = 0
	}
	return b.finish(id, ns), nil
}
