package smtpd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestTooManyRecipients(t *testing.T) {
	c := greet(t, start(t, options(t, newWorld()), false), "EHLO")
	c.say("MAIL FROM:<>", "250 ")
	for range 5 {
		c.say("RCPT TO:<alice@example.org>", "250 ")
	}
	c.say("RCPT TO:<alice@example.org>", "452 4.5.3")
}

func TestTooManyErrors(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		o := options(t, newWorld())
		o.MaxErrors = 3
		c := greet(t, start(t, o, false), "EHLO")
		if withTLS {
			c.upgrade()
			c.say("EHLO x", "250 ")
		}
		c.say("MAIL FROM:<>", "250 ")
		for range 3 {
			c.say("RCPT TO:<nobody@example.org>", "550 5.1.1")
		}
		c.send("RCPT TO:<nobody@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n")
		c.expect("550 5.1.1")
		if said := c.expectEnd(); said != "421 4.7.0 Too many errors\r\n" {
			t.Errorf("tls=%v: %q", withTLS, said)
		}
	}
}

func TestTooManyCommands(t *testing.T) {
	c := greet(t, start(t, options(t, newWorld()), false), "EHLO")
	go func() { _, _ = io.WriteString(c.c, strings.Repeat("NOOP\r\n", 1000)) }()
	if said := c.expectEnd(); !strings.Contains(said, "421 4.7.0 Too many commands") {
		t.Errorf("ended with %.100q", said)
	}
}

func TestLongCommand(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	c := greet(t, s, "EHLO")
	c.send("MAIL FROM:<" + strings.Repeat("a", 5000) + "@x.example>\r\nNOOP\r\n")
	if said := c.expectEnd(); !strings.HasPrefix(said, "500 ") || strings.Contains(said, "250") {
		t.Errorf("said %q", said)
	}
}

func TestLongTextLine(t *testing.T) {
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	c.open("alice@example.org")
	c.send("X: y\r\n\r\n" + strings.Repeat("z", 256<<10) + "\r\n.\r\n")
	c.expect("250 ")
	c.open("alice@example.org")
	c.send("X: y\r\n\r\n" + strings.Repeat("z", 256<<10+1) + "\r\n.\r\n")
	c.expect("554 5.6.0")
	c.say("NOOP", "250 ")
	w.one(t)
}

func TestTooManyConnections(t *testing.T) {
	o := options(t, newWorld())
	o.PerIP = 1
	s := start(t, o, false)
	first := greet(t, s, "EHLO")
	if said := dial(t, s).expectEnd(); !strings.HasPrefix(said, "421 4.7.0 ") {
		t.Errorf("second connection: %q", said)
	}
	first.say("QUIT", "221 ")
	first.expectEnd()
	// The place is free when the server has closed, which it has.
	greet(t, s, "EHLO")
}

func TestTooMuchMemory(t *testing.T) {
	w := newWorld()
	w.hold = make(chan struct{})
	o := options(t, w)
	o.Memory = 256 << 10
	s := start(t, o, false)
	first, second := greet(t, s, "EHLO"), greet(t, s, "EHLO")
	first.open("alice@example.org")
	first.send("X: y\r\n\r\n.\r\n")
	<-w.arrived
	second.open("alice@example.org")
	second.send("X: y\r\n\r\n.\r\n")
	second.expect("452 4.3.1")
	close(w.hold)
	first.expect("250 ")
	second.open("alice@example.org")
	second.send("X: y\r\n\r\n.\r\n")
	second.expect("250 ")
}

func TestIdle(t *testing.T) {
	o := options(t, newWorld())
	o.Idle = 50 * time.Millisecond
	s := start(t, o, false)
	c := dial(t, s)
	c.expect("220 ")
	if said := c.expectEnd(); !strings.HasPrefix(said, "421 4.4.2") {
		t.Errorf("idle client hears %q", said)
	}
	// In a message, too; and what comes later is not taken for commands.
	w := newWorld()
	o.Deliver = w
	s = start(t, o, false)
	c = greet(t, s, "EHLO")
	c.open("alice@example.org")
	c.send("X: y\r\n\r\nhalf")
	if said := c.expectEnd(); strings.Contains(said, "250") || !strings.HasPrefix(said, "4") {
		t.Errorf("stalled message: %q", said)
	}
	if len(w.messages()) != 0 {
		t.Error("half a message was delivered")
	}
}

func TestWholeMessageTime(t *testing.T) {
	w := newWorld()
	o := options(t, w)
	o.Transfer = 60 * time.Millisecond
	c := greet(t, start(t, o, false), "EHLO")
	c.open("alice@example.org")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := io.WriteString(c.c, "drip\r\n"); err != nil {
					return
				}
			}
		}
	}()
	said := c.expectEnd()
	close(stop)
	<-done
	if strings.Contains(said, "250") || len(w.messages()) != 0 {
		t.Errorf("dripping message: %q", said)
	}
}

func TestAnswerComesAfterTheWrite(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		w := newWorld()
		w.hold = make(chan struct{})
		c := greet(t, start(t, options(t, w), lmtp), map[bool]string{false: "EHLO", true: "LHLO"}[lmtp])
		c.open("alice@example.org")
		c.send("X: y\r\n\r\n.\r\n")
		<-w.arrived
		_ = c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if b, err := c.r.Peek(1); err == nil {
			t.Errorf("answer %q before the message is stored", b)
		}
		_ = c.c.SetReadDeadline(time.Now().Add(5 * time.Second))
		close(w.hold)
		c.expect("250 ")
	}
}

func TestStopFinishesMessagesInHand(t *testing.T) {
	w := newWorld()
	w.hold = make(chan struct{})
	s := start(t, options(t, w), false)
	idle := greet(t, s, "EHLO")
	secure := greet(t, s, "EHLO")
	secure.upgrade()
	secure.say("EHLO x", "250 ")
	reading, filing := greet(t, s, "EHLO"), greet(t, s, "EHLO")
	reading.open("alice@example.org")
	reading.send("X: y\r\n\r\nhal")
	filing.open("bob@example.org")
	filing.send("X: y\r\n\r\n.\r\n")
	<-w.arrived
	done := make(chan error, 1)
	go func() { done <- s.Stop(context.Background()) }()
	for _, c := range []*client{idle, secure} {
		if said := c.expectEnd(); !strings.HasPrefix(said, "421 4.3.2 ") {
			t.Errorf("waiting client hears %q", said)
		}
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("a connection was taken after the stop")
	}
	reading.send("f\r\n.\r\n")
	<-w.arrived
	close(w.hold)
	for _, c := range []*client{reading, filing} {
		c.expect("250 ")
		if said := c.expectEnd(); !strings.HasPrefix(said, "421 4.3.2 ") {
			t.Errorf("after its message a client hears %q", said)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(w.messages()); n != 2 {
		t.Errorf("%d messages came", n)
	}
}

func TestStopCutsAtTheDeadline(t *testing.T) {
	s := start(t, options(t, newWorld()), false)
	c := greet(t, s, "EHLO")
	c.open("alice@example.org")
	c.send("X: y\r\n")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	c.expectEnd()
}
