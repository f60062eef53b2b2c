// Package smtpd receives mail from other hosts: SMTP in the role of an MX
// (RFC 5321) with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 (RFC 6531), CHUNKING
// (RFC 3030), ENHANCEDSTATUSCODES (RFC 2034) and STARTTLS (RFC 3207). AUTH is
// not offered: people submit elsewhere.
//
// A message is accepted only after it is durably stored for every recipient.
// The session's transaction is shared with package lmtpd, which answers for
// each recipient.
//
// RCPT TO:<Postmaster> without a domain (RFC 5321 4.5.1) is refused with 501:
// the library's path parser wants a domain. Postmaster with a domain is an
// address like any other.
package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/server/conn"
)

// Bounds of a session where the options do not say otherwise.
const (
	// idle is RFC 5321 4.5.3.2.7's five minutes.
	idle = 5 * time.Minute
	// transfer bounds one message: 64 MiB in an hour is 19 kB/s.
	transfer = time.Hour
	// answerTime bounds the writing of one answer.
	answerTime = time.Minute
	// commandLine is RFC 5321 4.5.3.1.4's 512 octets with room for parameters,
	// and so short that each answer fits the library's buffer.
	commandLine = 2 << 10
	// textLine is the longest line of a message. RFC 5321 4.5.3.1.6 asks for
	// 1000 octets; real mail has whole documents in one line. A longer line is
	// refused, not cut.
	textLine = 256 << 10
	// maxErrors is refused commands before the session ends with 421: unknown
	// recipients by the dozen are a search for addresses.
	maxErrors = 20
	// spareCommands is commands between two messages, beside one for each recipient.
	spareCommands = 100
	// total and perIP are connections at the same time.
	total = 1000
	perIP = 50
	// memory and disk bound the bytes of all messages in hand.
	memory = 512 << 20
	disk   = 8 << 30
)

// Deliverer is what the session asks of mail/deliver.
type Deliverer interface {
	Resolve(ctx context.Context, rcpt string) (deliver.Recipient, error)
	Deliver(ctx context.Context, m deliver.Delivery) []deliver.Result
	DeliverAll(ctx context.Context, m deliver.Delivery) error
}

// Options are what a server works with.
type Options struct {
	Deliver Deliverer
	Log     *slog.Logger
	// Hostname is in the greeting and in Received.
	Hostname string
	// TLS is offered by STARTTLS, nil for none.
	TLS *tls.Config
	// MaxMessage is bytes, MaxRecipients a transaction's.
	MaxMessage    int64
	MaxRecipients int
	// Idle and Transfer are how long a client may be silent and how long one
	// message may take; 0 for 5 minutes and one hour.
	Idle, Transfer time.Duration
	// Total and PerIP bound connections at the same time, 0 for the defaults.
	// LMTP has no bound by address: its client is the site's own MTA.
	Total, PerIP int
	// MaxErrors is refused commands before 421, 0 for 20.
	MaxErrors int
	// Memory and Disk bound the bytes of all messages in hand, 0 for 512 MiB and
	// 8 GiB. A message of more than a MiB is on disk, in an unnamed file in
	// Folder ("" for the system's temporary folder), where one can be made.
	Memory, Disk int64
	Folder       string
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

func (o Options) complete(lmtp bool) Options {
	o.Idle, o.Transfer = or(o.Idle, idle), or(o.Transfer, transfer)
	o.Total, o.PerIP = or(o.Total, total), or(o.PerIP, perIP)
	o.MaxErrors, o.Memory, o.Disk = or(o.MaxErrors, maxErrors), or(o.Memory, memory), or(o.Disk, disk)
	if lmtp {
		o.PerIP = 0
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Server is one listener with its sessions.
type Server struct {
	o        Options
	lmtp     bool
	wrap     func(*Session) smtp.Session
	listener net.Listener
	log      *slog.Logger
	guard    conn.Guard
	spool    spool.Pool

	// ctx ends when work in hand is given up.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	stopping bool
	conns    map[*conn.Conn]struct{}
}

// Start serves SMTP on the listener until Stop.
func Start(l net.Listener, o Options) *Server {
	return start(l, o, false, func(s *Session) smtp.Session { return s })
}

// StartLMTP serves LMTP; wrap makes the session that answers for each
// recipient. It is for package lmtpd.
func StartLMTP(l net.Listener, o Options, wrap func(*Session) smtp.Session) *Server {
	return start(l, o, true, wrap)
}

func start(l net.Listener, o Options, lmtp bool, wrap func(*Session) smtp.Session) *Server {
	o = o.complete(lmtp)
	proto := "smtp"
	if lmtp {
		proto = "lmtp"
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		o: o, lmtp: lmtp, wrap: wrap, listener: l, log: o.Log.With(slog.String("proto", proto)),
		ctx: ctx, cancel: cancel, conns: map[*conn.Conn]struct{}{},
	}
	s.guard.Total, s.guard.PerIP = o.Total, o.PerIP
	s.spool.Folder, s.spool.Memory, s.spool.Disk = o.Folder, o.Memory, o.Disk
	s.wg.Go(s.accept)
	return s
}

// Addr is the listener's real address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// accept takes connections until the listener is closed. A failure such as too
// many open files passes when other connections end.
func (s *Server) accept() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		c, err := s.listener.Accept()
		switch {
		case err == nil:
			s.take(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		s.log.LogAttrs(s.ctx, slog.LevelError, "connection not accepted", slog.Any("error", err))
		pause.Reset(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// take starts a session, or tells a client that there are too many.
func (s *Server) take(raw net.Conn) {
	leave, ok := s.guard.Enter(raw.RemoteAddr())
	if !ok {
		s.log.LogAttrs(s.ctx, slog.LevelWarn, "too many connections", slog.String("remote", conn.IP(raw.RemoteAddr())))
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(raw, "421 4.7.0 Too many connections, try again later\r\n")
		_ = raw.Close()
		return
	}
	limits := conn.Limits{
		Idle: s.o.Idle, Transfer: s.o.Transfer, CommandLine: commandLine, LongLine: smtp.ErrTooLongLine, BareLine: errBare,
		Errors: s.o.MaxErrors, Commands: s.o.MaxRecipients + spareCommands,
	}
	var c *conn.Conn
	if s.log.Enabled(s.ctx, slog.LevelDebug) {
		limits.Trace = func(fromClient bool, line string) {
			s.log.LogAttrs(s.ctx, slog.LevelDebug, "trace",
				slog.String("sid", c.ID), slog.Bool("from_client", fromClient), slog.String("line", line))
		}
	}
	c = conn.New(raw, limits, func() {
		leave()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
	s.mu.Lock()
	s.conns[c] = struct{}{}
	if s.stopping {
		c.Drain()
	}
	s.mu.Unlock()
	s.wg.Go(func() { s.serve(c) })
}

// serve runs the library on one connection. Each has a library server of its
// own, because that is what has the tap at which a Conn sees the text in clear.
func (s *Server) serve(c *conn.Conn) {
	one := smtp.NewServer(smtp.BackendFunc(func(sc *smtp.Conn) (smtp.Session, error) {
		return s.wrap(newSession(s, sc, c)), nil
	}))
	one.Domain = s.o.Hostname
	one.LMTP = s.lmtp
	one.TLSConfig = s.o.TLS
	one.MaxMessageBytes = s.o.MaxMessage
	one.MaxRecipients = s.o.MaxRecipients
	// Lines are measured at the tap and by the reader of the message.
	one.MaxLineLength = 0
	one.WriteTimeout = answerTime
	one.EnableSMTPUTF8 = true
	one.ErrorLog = quietLog{s.log}
	one.Debug = c.Tap()
	// Serve ends when the connection is closed, Shutdown when its handler has ended.
	_ = one.Serve(&only{c: c, closed: c.Done()})
	_ = one.Shutdown(context.WithoutCancel(s.ctx))
}

// only is a listener that has one connection.
type only struct {
	c      *conn.Conn
	once   sync.Once
	closed <-chan struct{}
}

// Accept gives the connection, and an error when that is closed.
func (o *only) Accept() (c net.Conn, err error) {
	o.once.Do(func() { c = o.c })
	if c != nil {
		return c, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

// Close does nothing: the connection closes itself.
func (o *only) Close() error { return nil }

// Addr is the connection's.
func (o *only) Addr() net.Addr { return o.c.LocalAddr() }

// Stop takes no new connection, lets messages in hand end until ctx does, and
// then closes what is left. Clients that wait hear 421 at once.
func (s *Server) Stop(ctx context.Context) error {
	defer s.cancel()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	s.each((*conn.Conn).Drain)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
	}
	s.cancel()
	s.each(func(c *conn.Conn) { _ = c.Close() })
	<-done
	return errors.Join(err, fmt.Errorf("stop: %w", ctx.Err()))
}

func (s *Server) each(do func(*conn.Conn)) {
	s.mu.Lock()
	s.stopping = true
	list := make([]*conn.Conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		do(c)
	}
}

// quietLog takes the library's log lines: they tell of peers' mistakes and
// broken connections, which nobody needs to be woken for.
type quietLog struct{ log *slog.Logger }

// Printf is the library's.
func (q quietLog) Printf(format string, v ...any) {
	q.log.LogAttrs(context.Background(), slog.LevelDebug, "session", slog.String("text", fmt.Sprintf(format, v...)))
}

// Println is the library's.
func (q quietLog) Println(v ...any) {
	q.log.LogAttrs(context.Background(), slog.LevelDebug, "session", slog.String("text", fmt.Sprint(v...)))
}
