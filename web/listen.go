package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Bounds of a connection. The size of a body is its handler's affair. Time is
// bounded by progress, not in all: a large message over a slow line may take
// long, but a client that stands still loses its connection.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// stallTimeout is how long one piece of a body or of an answer may take.
	stallTimeout = 30 * time.Second
	// writePiece is what goes out under one deadline, in bytes.
	writePiece = 64 << 10
)

// Server is one HTTP listener.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// Listen opens the address and serves the handler until Stop. tlsConfig may be
// nil for plain HTTP. The error names the address.
func Listen(ctx context.Context, name, addr string, h http.Handler, tlsConfig *tls.Config, log *slog.Logger) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s cannot be opened: %w", name, addr, err)
	}
	s := &Server{
		listener: stallGuard{l, stallTimeout},
		done:     make(chan error, 1),
		http: &http.Server{
			Handler:           bodyInTime(h, stallTimeout),
			ReadHeaderTimeout: readHeaderTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			TLSConfig:         tlsConfig,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
	go func() {
		if tlsConfig != nil {
			s.done <- s.http.ServeTLS(s.listener, "", "")
		} else {
			s.done <- s.http.Serve(s.listener)
		}
	}()
	return s, nil
}

// Addr is the real address, with the port that was taken for port 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stop lets requests in hand end until ctx does, then closes what is left.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// bodyInTime gives each piece of a request's body the time to arrive, and no
// more. The deadline is lifted with the body's end, so that event streams and
// sockets live on.
func bodyInTime(h http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.ContentLength != 0 {
			b := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: stall}
			b.extend()
			r.Body = b
		}
		h.ServeHTTP(w, r)
	})
}

type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
}

// extend sets the deadline anew. A writer without deadlines (of a test) is
// served without.
func (b *timedBody) extend() { _ = b.control.SetReadDeadline(time.Now().Add(b.stall)) }

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// stallGuard hands out connections whose writes end when the peer takes
// nothing for a while.
type stallGuard struct {
	net.Listener
	stall time.Duration
}

// Accept implements net.Listener.
func (l stallGuard) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: c, stall: l.stall}, nil
}

type guardedConn struct {
	net.Conn
	stall time.Duration
	// own is set while somebody else has set a write deadline, which then
	// holds: event streams and sockets do.
	own atomic.Bool
}

// SetWriteDeadline implements net.Conn.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *guardedConn) SetDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// Write implements net.Conn.
func (c *guardedConn) Write(p []byte) (n int, err error) {
	for {
		if !c.own.Load() {
			if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
				return n, err
			}
		}
		piece := p[n:min(n+writePiece, len(p))]
		done, err := c.Conn.Write(piece)
		n += done
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
