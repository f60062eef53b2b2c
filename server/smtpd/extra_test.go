package smtpd_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/eidermail/eider/mail/deliver"
)

// A client that goes away in the middle of its last chunk has sent no message.
func TestCutChunkIsNoMessage(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		for _, withTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("lmtp=%v,tls=%v", lmtp, withTLS), func(t *testing.T) {
				w := newWorld()
				verb := map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]
				c := greet(t, start(t, options(t, w), lmtp), verb)
				if withTLS {
					c.upgrade()
					c.say(verb+" again.example", "250 ")
				}
				c.say("MAIL FROM:<a@sender.example>", "250 ")
				c.say("RCPT TO:<alice@example.org>", "250 ")
				c.send("BDAT 1000 LAST\r\nSubject: cut\r\n\r\ntext\r\n")
				if half, ok := c.c.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
					t.Fatal("cannot close")
				}
				if said := c.expectEnd(); strings.Contains(said, "250") {
					t.Errorf("answer %q", said)
				}
				if got := w.messages(); len(got) != 0 {
					t.Errorf("a cut message was stored: %q", got[0].Raw)
				}
			})
		}
	}
}

// A transfer by chunks that was given up must not answer for the next one.
func TestChunksAfterReset(t *testing.T) {
	for _, give := range []string{"RSET", "EHLO again.example"} {
		w := newWorld()
		c := greet(t, start(t, options(t, w), false), "EHLO")
		c.say("MAIL FROM:<a@sender.example>", "250 ")
		c.say("RCPT TO:<alice@example.org>", "250 ")
		c.send("BDAT 0\r\n" + give + "\r\nMAIL FROM:<b@sender.example>\r\nRCPT TO:<bob@example.org>\r\nBDAT 14 LAST\r\nSubject: x\r\n\r\nQUIT\r\n")
		said := c.expectEnd()
		got := w.messages()
		switch {
		case len(got) > 1, len(got) == 1 && got[0].ReversePath != "b@sender.example":
			t.Errorf("%s: %d messages", give, len(got))
		case len(got) == 1 && !strings.Contains(said, "queued"), len(got) == 0 && strings.Contains(said, "queued"):
			t.Errorf("%s: %d messages, answers %q", give, len(got), said)
		}
	}
}

// The package comment says what the library's parser does not allow.
func TestPostmaster(t *testing.T) {
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<Postmaster>", "501 ")
	c.say("RCPT TO:<Postmaster@example.org>", "250 ")
	c.say("DATA", "354 ")
	c.send("Subject: x\r\n\r\n.\r\n")
	c.expect("250 ")
	w.one(t)
}

func TestLongReversePath(t *testing.T) {
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	verp := "bounces+" + strings.Repeat("0123456789", 9) + "=user=x.example@list.example"
	c.say("MAIL FROM:<"+verp+">", "250 ")
	c.say("RSET", "250 ")
	for _, bad := range []string{"a\rb@x.example", "a\x00b@x.example", "a@x\x7f.example", "a@x.\xff\xfe", strings.Repeat("a", 1500) + "@x.example"} {
		c.say("MAIL FROM:<"+bad+">", "5")
		c.say("RSET", "250 ")
	}
	c.open("alice@example.org")
	c.send(".\r\n")
	c.expect("250 ")
}

// panicking fails in a way that nobody foresaw.
type panicking struct{ *world }

func (panicking) DeliverAll(context.Context, deliver.Delivery) error         { panic("boom") }
func (panicking) Deliver(context.Context, deliver.Delivery) []deliver.Result { panic("boom") }

func (p panicking) Resolve(ctx context.Context, rcpt string) (deliver.Recipient, error) {
	if strings.HasPrefix(rcpt, "panic@") {
		panic("boom")
	}
	return p.world.Resolve(ctx, rcpt)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestPanicIsATemporaryFailure(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		for _, chunks := range []bool{false, true} {
			t.Run(fmt.Sprintf("lmtp=%v,chunks=%v", lmtp, chunks), func(t *testing.T) {
				var log safeBuffer
				o := options(t, newWorld())
				o.Deliver, o.Log = panicking{newWorld()}, slog.New(slog.NewTextHandler(&log, nil))
				s := start(t, o, lmtp)
				c := greet(t, s, map[bool]string{false: "EHLO", true: "LHLO"}[lmtp])
				for range 2 {
					c.say("MAIL FROM:<>", "250 ")
					c.say("RCPT TO:<panic@example.org>", "451 ")
					c.say("RCPT TO:<alice@example.org>", "250 ")
					if chunks {
						c.send("BDAT 14 LAST\r\nSubject: x\r\n\r\n")
					} else {
						c.say("DATA", "354 ")
						c.send("Subject: x\r\n\r\n.\r\n")
					}
					c.expect("451 ")
				}
				if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "boom") {
					t.Errorf("log %q", log.String())
				}
			})
		}
	}
}

// A whole session in one packet (RFC 2920), from the greeting's answer on.
func TestWholeSessionPipelined(t *testing.T) {
	w := newWorld()
	c := dial(t, start(t, options(t, w), false))
	c.expect("220 ")
	c.send("EHLO x.example\r\nMAIL FROM:<a@sender.example> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<alice@example.org>\r\n" +
		"RCPT TO:<x@elsewhere.example>\r\nDATA\r\nSubject: x\r\n\r\n..text\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 4\r\nA: bBDAT 4 LAST\r\n\r\n\r\nNOOP\r\nQUIT\r\n")
	for _, want := range []string{"250 ", "250 2.0.0", "550 5.1.1", "250 ", "550 5.7.1", "354 ", "250 ", "250 ", "250 ", "250 ", "250 ", "250 2.0.0", "221 "} {
		c.expect(want)
	}
	got := w.messages()
	if len(got) != 2 || !bytes.HasSuffix(got[0].Raw, []byte("\r\n\r\n.text\r\n")) || !bytes.HasSuffix(got[1].Raw, []byte("A: b\r\n\r\n")) {
		t.Errorf("came %+v", got)
	}
	if len(got) == 2 && (got[1].ReversePath != "" || len(got[0].Recipients) != 1) {
		t.Errorf("envelopes %+v", got)
	}
}

// HELO must not break out of Received, whatever is in it.
func TestHeloIsHarmless(t *testing.T) {
	for _, helo := range []string{"a\rX-Evil: 1", "a;b(c)<d>", "\xff\xfe", "a\x00b", "привет", strings.Repeat("x", 2000)} {
		w := newWorld()
		c := dial(t, start(t, options(t, w), false))
		c.expect("220 ")
		c.send("EHLO " + helo + "\r\n")
		if last, _ := c.reply(); !strings.HasPrefix(last, "250 ") {
			continue
		}
		c.open("alice@example.org")
		c.send("Subject: x\r\n\r\n.\r\n")
		c.expect("250 ")
		raw := w.one(t).Raw
		head := raw[:bytes.Index(raw, []byte("Subject:"))]
		rest := bytes.ReplaceAll(head, []byte("\r\n\t"), nil)
		if bytes.Count(rest, []byte("\r\n")) != 1 || bytes.Count(rest, []byte("\r")) != 1 || bytes.Count(rest, []byte("\n")) != 1 || bytes.ContainsAny(rest, "\x00") {
			t.Errorf("HELO %q gives %q", helo, head)
		}
	}
}

// Everybody who was accepted at RCPT has an answer of his own, twice if given twice.
func TestLMTPSameRecipientTwice(t *testing.T) {
	w := newWorld()
	w.fail["bob@example.org"] = &net.OpError{Op: "x", Err: net.ErrClosed}
	c := greet(t, start(t, options(t, w), true), "LHLO")
	c.say("MAIL FROM:<>", "250 ")
	for _, r := range []string{"alice", "bob", "alice"} {
		c.say("RCPT TO:<"+r+"@example.org>", "250 ")
	}
	c.say("DATA", "354 ")
	c.send("Subject: x\r\n\r\n.\r\n")
	c.expect("250 2.0.0 <alice@example.org>")
	c.expect("451 4.3.0 <bob@example.org>")
	c.expect("250 2.0.0 <alice@example.org>")
	c.say("NOOP", "250 ")
}

// A chunk may end between CR and LF (RFC 3030 2: octets are counted, not lines).
func TestChunksMayEndAnywhere(t *testing.T) {
	text := "Subject: x\r\n\r\n.\r\n..\r\nend\r\n"
	for at := 1; at < len(text); at++ {
		w := newWorld()
		c := greet(t, start(t, options(t, w), false), "EHLO")
		c.say("MAIL FROM:<>", "250 ")
		c.say("RCPT TO:<alice@example.org>", "250 ")
		c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", at, text[:at], len(text)-at, text[at:]))
		c.expect("250 ")
		c.expect("250 ")
		if raw := w.one(t).Raw; !bytes.HasSuffix(raw, []byte("\r\n"+text)) {
			t.Fatalf("split at %d: %q", at, raw)
		}
	}
}
