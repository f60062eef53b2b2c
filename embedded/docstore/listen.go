package docstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/eidermail/eider/embedded/docstore/wire"
)

// Limits of connections from other programs. The time limits concern a message
// that has begun and an answer that is being sent; a connection may be idle.
const (
	maxTools     = 256
	toolsMemory  = 4 * wire.MaxMessage // bytes of messages in hand, all connections
	toolReadTime = 30 * time.Second
	toolSendTime = 60 * time.Second
	acceptPause  = 100 * time.Millisecond // after a failed accept, such as for want of file descriptors
)

// ErrNotLoopback refuses to listen where another machine could reach the store.
var ErrNotLoopback = errors.New("the store listens on loopback addresses only, such as 127.0.0.1:27018")

// Listener lets other programs of this machine use the store over TCP. It knows no
// authentication: whoever can open the port can read and change everything.
type Listener struct {
	e        *Engine
	l        net.Listener
	memory   *semaphore.Weighted
	stopping chan struct{}
	stopOnce sync.Once
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen opens a port for tools: host is a loopback address or localhost, port 0
// takes a free one. Stop it before the Engine is closed, or let Close cut it.
func (e *Engine) Listen(ctx context.Context, address string) (*Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1" // whatever the name is resolved to
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s: %w", address, ErrNotLoopback)
	}
	nl, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listening for tools: %w", err)
	}
	l := &Listener{
		e: e, l: nl, memory: semaphore.NewWeighted(toolsMemory),
		stopping: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = nl.Close()
		return nil, net.ErrClosed
	}
	e.listeners = append(e.listeners, l)
	l.serving.Add(1)
	go l.accept()
	return l, nil
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.l.Addr() }

// Stop takes no more connections, lets commands in hand be answered, and closes.
// When ctx ends first, the connections are cut and its error is returned.
func (l *Listener) Stop(ctx context.Context) error {
	l.refuse()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes those that wait for a message
	}
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		l.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		l.cut()
		<-done
		return ctx.Err()
	}
}

// refuse closes the port.
func (l *Listener) refuse() {
	l.stopOnce.Do(func() {
		close(l.stopping)
		_ = l.l.Close()
	})
}

// cut closes the port and all connections; their commands still end by themselves.
func (l *Listener) cut() {
	l.refuse()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *Listener) accept() {
	defer l.serving.Done()
	for {
		c, err := l.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.warn("store_accept_failed", err)
			select {
			case <-l.stopping:
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		if !l.add(c) {
			_ = c.Close()
		}
	}
}

// add serves a connection; false when there are too many or the end has come.
func (l *Listener) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stopping:
		return false
	default:
	}
	if len(l.conns) >= maxTools {
		l.warn("store_connection_refused", fmt.Errorf("%d connections are open", maxTools))
		return false
	}
	l.conns[c] = struct{}{}
	l.serving.Add(1)
	go l.serve(c)
	return true
}

// serve answers the messages of one connection until it ends.
func (l *Listener) serve(c net.Conn) {
	defer l.serving.Done()
	defer func() {
		_ = c.Close()
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	for {
		if err := l.exchange(c, r); err != nil {
			if !ended(err) {
				l.warn("store_message_refused", err)
			}
			return
		}
	}
}

// exchange reads a message and answers it. The memory for a large message is
// asked for before it is taken.
func (l *Listener) exchange(c net.Conn, r *bufio.Reader) error {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	select {
	case <-l.stopping: // closed before Stop sets its deadline
		return net.ErrClosed
	default:
	}
	head, err := r.Peek(4)
	if err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(toolReadTime)); err != nil {
		return err
	}
	size := min(int64(binary.LittleEndian.Uint32(head)), wire.MaxMessage) // a longer one is refused by Read
	ctx, cancel := context.WithTimeout(context.Background(), toolReadTime)
	err = l.memory.Acquire(ctx, size)
	cancel()
	if err != nil {
		return fmt.Errorf("waiting for memory for a message of %d bytes: %w", size, err)
	}
	defer l.memory.Release(size)
	m, err := wire.Read(r)
	if err != nil {
		return err
	}
	body := l.e.answer(m)
	if m.MoreToCome {
		return nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(toolSendTime)); err != nil {
		return err
	}
	return l.e.send(c, m, body)
}

// ended tells the end of a connection from a fault in what it sent.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (l *Listener) warn(what string, err error) {
	l.e.log.LogAttrs(context.Background(), slog.LevelWarn, what, slog.String("error", err.Error()))
}
