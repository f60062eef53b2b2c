package smtpd_test

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/server/smtpd"
)

// pipes is a listener of connections in memory, whose time is the test's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(t *testing.T) *client {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return &client{t, ours, bufio.NewReader(ours)}
}

// A message may take longer than any one silence, as long as it goes on.
func TestSlowMessageIsTaken(t *testing.T) {
	for _, chunks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, l := newWorld(), newPipes()
			o := options(t, w)
			o.TLS = nil
			s := smtpd.Start(l, o)
			c := l.dial(t)
			c.expect("220 ")
			c.say("EHLO x.example", "250 ")
			c.say("MAIL FROM:<a@sender.example>", "250 ")
			c.say("RCPT TO:<alice@example.org>", "250 ")
			if !chunks {
				c.say("DATA", "354 ")
			}
			const pieces = 12
			for range pieces {
				<-time.After(4*time.Minute + 50*time.Second)
				if chunks {
					c.send("BDAT 8\r\nX: y")
					<-time.After(2 * time.Second)
					c.send("yy\r\n")
					c.expect("250 ")
				} else {
					c.send("X: y")
					<-time.After(2 * time.Second)
					c.send("yy\r\n")
				}
			}
			if chunks {
				c.say("BDAT 0 LAST", "250 ")
			} else {
				c.say("\r\n.", "250 ")
			}
			w.one(t)
			// The client that says nothing any more hears so.
			before := time.Now()
			c.expect("421 4.4.2")
			if d := time.Since(before); d != 5*time.Minute {
				t.Errorf("idle for %v", d)
			}
			_ = c.c.Close()
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A command in single bytes is no way to hold a connection.
func TestDrippingCommandIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		o := options(t, newWorld())
		o.TLS = nil
		s := smtpd.Start(l, o)
		c := l.dial(t)
		c.expect("220 ")
		before := time.Now()
		go func() {
			for {
				<-time.After(time.Minute)
				if _, err := c.c.Write([]byte("N")); err != nil {
					return
				}
			}
		}()
		// The library takes the unfinished line for a command first.
		if said := c.expectEnd(); !strings.Contains(said, "421 4.4.2") {
			t.Errorf("answer %q", said)
		}
		if d := time.Since(before); d != 5*time.Minute {
			t.Errorf("cut after %v", d)
		}
		_ = c.c.Close()
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		<-time.After(2 * time.Minute)
	})
}
