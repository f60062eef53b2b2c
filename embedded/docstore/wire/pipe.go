package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeLimit is how many bytes one direction of a pipe may hold before a writer
// waits for the reader. It bounds memory; it cannot deadlock, because each side
// reads a whole message before it writes one.
const pipeLimit = 1 << 20

// lendFrom is the size from which a writer lends its bytes to the reader instead
// of copying them: it waits until they are read.
const lendFrom = 8 << 10

// Pipe makes a connection inside the process: what is written to one end is read
// from the other. Unlike net.Pipe it is buffered, so that a small message costs no
// hand-over between goroutines.
func Pipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &end{in: down, out: up}, &end{in: up, out: down}
}

// stream is one direction.
type stream struct {
	writing       sync.Mutex // one writer at a time
	mu            sync.Mutex
	readable      sync.Cond
	writable      sync.Cond
	buf           []byte
	off           int
	lent          []byte // what a waiting writer still has, behind buf
	closed        bool   // by either side: no more bytes come in
	readClosed    bool   // the reader has gone
	readDeadline  deadline
	writeDeadline deadline
}

// deadline wakes the waiting side when its time has come.
type deadline struct {
	timer   *time.Timer
	expired bool
	seq     int
}

func newStream() *stream {
	s := &stream{}
	s.readable.L, s.writable.L = &s.mu, &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readClosed:
			return 0, io.ErrClosedPipe
		case s.readDeadline.expired:
			return 0, os.ErrDeadlineExceeded
		case s.off < len(s.buf):
			n := copy(p, s.buf[s.off:])
			s.off += n
			if s.off == len(s.buf) {
				s.off = 0
				s.buf = s.buf[:0]
				if cap(s.buf) > pipeLimit/4 {
					s.buf = nil // an idle connection keeps little
				}
			}
			s.writable.Signal()
			return n, nil
		case len(s.lent) > 0:
			n := copy(p, s.lent)
			if s.lent = s.lent[n:]; len(s.lent) == 0 {
				s.writable.Signal()
			}
			return n, nil
		case s.closed:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		s.readable.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) >= lendFrom && !s.closed && !s.readClosed {
		return s.lend(p)
	}
	for {
		switch {
		case s.closed || s.readClosed:
			return n, io.ErrClosedPipe
		case s.writeDeadline.expired:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		if room := pipeLimit - (len(s.buf) - s.off); room > 0 {
			m := min(room, len(p))
			s.buf = append(s.buf, p[:m]...)
			p, n = p[m:], n+m
			s.readable.Signal()
			if s.off > pipeLimit/4 {
				s.buf = append(s.buf[:0], s.buf[s.off:]...)
				s.off = 0
			}
			continue
		}
		s.writable.Wait()
	}
}

// lend lets the reader take the bytes from the writer's memory.
func (s *stream) lend(p []byte) (n int, err error) {
	s.lent = p
	defer func() { s.lent = nil }()
	s.readable.Signal()
	for {
		switch n = len(p) - len(s.lent); {
		case n == len(p):
			return n, nil
		case s.closed || s.readClosed:
			return n, io.ErrClosedPipe
		case s.writeDeadline.expired:
			return n, os.ErrDeadlineExceeded
		}
		s.writable.Wait()
	}
}

func (s *stream) close(reader bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if reader {
		s.readClosed = true
		s.buf, s.off = nil, 0
	}
	s.readDeadline.stop()
	s.writeDeadline.stop()
	s.readable.Broadcast()
	s.writable.Broadcast()
}

func (s *stream) setDeadline(d *deadline, cond *sync.Cond, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	if s.closed {
		return
	}
	d.expired = false
	d.seq++
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.expired = true
		cond.Broadcast()
		return
	}
	seq := d.seq
	d.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.seq == seq {
			d.expired = true
			cond.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// end is one end of a pipe.
type end struct{ in, out *stream }

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close closes both directions. The peer may still read what was written.
func (e *end) Close() error {
	e.in.close(true)
	e.out.close(false)
	return nil
}

// Gone tells if the peer has closed its end.
func (e *end) Gone() bool {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	return e.out.readClosed
}

func (e *end) LocalAddr() net.Addr  { return addr{} }
func (e *end) RemoteAddr() net.Addr { return addr{} }

func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readDeadline, &e.in.readable, t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeDeadline, &e.out.writable, t)
	return nil
}

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "embedded" }
