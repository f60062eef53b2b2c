// Package docstore is the embedded store: a document engine inside the process
// that speaks MongoDB's OP_MSG to the official driver over an in-process
// connection, and keeps documents and secondary indexes in one SQLite file.
//
// Rule one: it answers exactly as MongoDB does, or it refuses. Every command,
// field, option, stage and operator that it does not know is an error with
// MongoDB's code; nothing is accepted and ignored.
//
// Commands run on a goroutine for each connection. Reads use a pool of SQLite
// connections; all writes go through one goroutine (writer.go), a savepoint a
// command, up to 64 commands a commit. A write is answered when it is on the disk,
// unless its write concern asks for less (syncer.go).
package docstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/wire"
)

// URI is the connection string for a driver whose dialer is an Engine.
const URI = "mongodb://embedded/?directConnection=true"

// Options configure an Engine.
type Options struct {
	Path string           // the file; made if absent
	Log  *slog.Logger     // nil: nothing is logged
	Now  func() time.Time // nil: time.Now

	// SetName is the replica set that hello names. With one, drivers send their
	// writes with transaction numbers and retry them. Empty: a standalone server.
	SetName string

	fsync    func(*os.File) error // tests: instead of (*os.File).Sync
	logPages int64                // tests: instead of logPages
}

// Engine is an open store. It is a dialer for the driver.
type Engine struct {
	path     string
	log      *slog.Logger
	now      func() time.Time
	setName  string
	lock     *conn
	catalog  atomic.Pointer[catalog]
	writer   *writer
	readers  pool
	cursors  cursors
	faults   faults
	fsync    func(*os.File) error
	logPages int64
	started  time.Time

	closing chan struct{}
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	// listeners are those for tools; a stopped one stays, which costs nothing.
	listeners []*Listener
	serving   sync.WaitGroup // connections and the sweeper
	requests  atomic.Int32
	ids       atomic.Uint32
	panics    atomic.Int64
}

// Open opens or makes the store. Errors are sentences for people; see ErrInUse,
// ErrForeign, ErrNewer and ErrDamaged.
func Open(_ context.Context, o Options) (*Engine, error) {
	e := &Engine{
		path: o.Path, log: o.Log, now: o.Now, setName: o.SetName, fsync: o.fsync, logPages: o.logPages,
		closing: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.fsync == nil {
		e.fsync = (*os.File).Sync
	}
	e.started = e.now()
	e.cursors.init()
	var err error
	if e.lock, err = lockStore(o.Path); err != nil {
		return nil, err
	}
	c, err := openStore(o.Path)
	if err != nil {
		_ = e.lock.close()
		return nil, err
	}
	cat, err := loadCatalog(c)
	if err != nil {
		_ = c.close()
		_ = e.lock.close()
		return nil, damaged(o.Path, err)
	}
	gone, err := leftOver(c)
	if err != nil {
		_ = c.close()
		_ = e.lock.close()
		return nil, err
	}
	e.catalog.Store(cat)
	e.writer = newWriter(e, c, cat)
	n := max(4, 2*runtime.GOMAXPROCS(0))
	e.readers.slots = make(chan struct{}, n)
	go e.writer.run()
	e.serving.Add(1)
	e.serving.Add(1)
	go e.clear(gone) //nolint:gosec // it ends before Close
	go e.sweep()     //nolint:gosec // the sweeper lives until Close
	return e, nil
}

// DialContext gives a connection to the store, whatever the address is. It makes
// an Engine a dialer for the driver.
func (e *Engine) DialContext(_ context.Context, _, _ string) (net.Conn, error) {
	client, server := wire.Pipe()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, net.ErrClosed
	}
	e.conns[server] = struct{}{}
	e.serving.Add(1)
	go e.serve(server) //nolint:gosec // the connection outlives the dialing
	return client, nil
}

// Close ends all connections, lets running commands finish and closes the file.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.closing)
	for c := range e.conns {
		_ = c.Close()
	}
	listeners := e.listeners
	e.mu.Unlock()
	for _, l := range listeners {
		l.cut()
		l.serving.Wait()
	}
	e.serving.Wait()
	close(e.writer.stop)
	<-e.writer.stopped
	e.cursors.clear()
	return errors.Join(e.readers.close(), e.writer.c.close(), e.lock.close())
}

// serve answers the messages of one connection until it ends.
func (e *Engine) serve(nc net.Conn) {
	defer e.serving.Done()
	defer func() {
		_ = nc.Close()
		e.mu.Lock()
		delete(e.conns, nc)
		e.mu.Unlock()
	}()
	gone := func() bool { return false }
	if p, ok := nc.(interface{ Gone() bool }); ok {
		gone = p.Gone
	}
	for {
		m, err := wire.Read(nc)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				e.log.LogAttrs(context.Background(), slog.LevelWarn, "store_message_refused", slog.String("error", err.Error()))
			}
			return
		}
		m.Out, m.Gone = takeBuffer(), gone
		body := e.answer(m)
		if !m.MoreToCome {
			err = e.send(nc, m, body)
		}
		giveBuffer(m.Out)
		if err != nil {
			return
		}
	}
}

// buffers are for the replies of reads, whose size varies from a row to megabytes.
var buffers = sync.Pool{New: func() any { return &wire.Buffer{B: make([]byte, 0, 4096)} }}

// keptBuffer bounds what stays in the pool.
const keptBuffer = 4 << 20

func takeBuffer() *wire.Buffer {
	b, _ := buffers.Get().(*wire.Buffer)
	return b
}

func giveBuffer(b *wire.Buffer) {
	if cap(b.B) <= keptBuffer {
		b.B = b.B[:0]
		buffers.Put(b)
	}
}

// send writes a reply, all at once, and without copying it if it lies in the
// message's buffer.
func (e *Engine) send(nc net.Conn, m *wire.Message, body []byte) error {
	id := e.requests.Add(1)
	var whole []byte
	if m.Out.Holds(body) && !m.Query {
		whole = m.Out.B
		wire.AppendReplyHead(whole[:0], m, id, len(body))
	} else {
		whole = wire.AppendReply(make([]byte, 0, len(body)+64), m, id, body)
	}
	if _, err := nc.Write(whole); err != nil {
		return fmt.Errorf("sending a reply: %w", err)
	}
	return nil
}

// panicked makes the error of a command that panicked. Each is logged, the first
// ones with the stack.
func (e *Engine) panicked(p any, stack []byte) error {
	attrs := []slog.Attr{slog.String("panic", fmt.Sprint(p))}
	if e.panics.Add(1) <= 10 {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	e.log.LogAttrs(context.Background(), slog.LevelError, "store_command_panicked", attrs...)
	return &value.Error{Code: 8, Name: "UnknownError", Message: "the command failed inside the store"}
}

// protect turns a panic into an error.
func (e *Engine) protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = e.panicked(p, debug.Stack())
		}
	}()
	return f()
}
