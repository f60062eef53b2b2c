package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
)

// ends are what servers have taken for the end of the data although only
// CRLF.CRLF is (RFC 5321 4.1.1.4, 2.3.8).
var ends = []string{
	"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\n.\r", "\r.\n",
	"\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\n.\r\n", "\n\r\n.\n", "\r\n.\r.\r\n", "\n\n.\r\n",
}

const smuggled = "MAIL FROM:<evil@sender.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n"

func TestSmugglingIsRefused(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		for _, withTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("lmtp=%v,tls=%v", lmtp, withTLS), func(t *testing.T) {
				for _, end := range ends {
					smuggle(t, end, lmtp, withTLS, false)
					smuggle(t, end, lmtp, withTLS, true)
				}
			})
		}
	}
}

func smuggle(t *testing.T, end string, lmtp, withTLS, apart bool) {
	t.Helper()
	w := newWorld()
	s := start(t, options(t, w), lmtp)
	verb := "EHLO"
	if lmtp {
		verb = "LHLO"
	}
	c := greet(t, s, verb)
	if withTLS {
		c.upgrade()
		c.say(verb+" again.example", "250 ")
	}
	c.open("alice@example.org")
	text := "Subject: x\r\n\r\nfirst" + end
	if apart {
		// The client waits for an answer to what it holds for the end. Some of
		// these are decided by the byte behind them.
		c.send(text + "M")
	} else {
		c.send(text + smuggled)
	}
	if said := c.expectEnd(); !strings.HasPrefix(said, "554 5.6.0 ") || strings.Contains(said, "250") {
		t.Errorf("%q: answer %q", end, said)
	}
	if got := w.messages(); len(got) != 0 {
		t.Errorf("%q: %d messages accepted, first %q", end, len(got), got[0].Raw)
	}
}

func TestBareLineEndAnywhereIsRefused(t *testing.T) {
	for _, text := range []string{"a\nb\r\n.\r\n", "a\rb\r\n.\r\n", "\n\r\n.\r\n", "..\n\r\n.\r\n", "a\r\r\n.\r\n"} {
		w := newWorld()
		c := greet(t, start(t, options(t, w), false), "EHLO")
		c.open("alice@example.org")
		c.send(text)
		if said := c.expectEnd(); !strings.HasPrefix(said, "554 5.6.0 ") {
			t.Errorf("%q: answer %q", text, said)
		}
		if len(w.messages()) != 0 {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestBareLineEndInChunkIsRefused(t *testing.T) {
	for _, text := range []string{"a\nb\r\n", "a\rb\r\n", "ends with CR\r"} {
		w := newWorld()
		c := greet(t, start(t, options(t, w), false), "EHLO")
		c.say("MAIL FROM:<>", "250 ")
		c.say("RCPT TO:<alice@example.org>", "250 ")
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text))
		if said := c.expectEnd(); !strings.HasPrefix(said, "554 5.6.0 ") {
			t.Errorf("%q: answer %q", text, said)
		}
		if len(w.messages()) != 0 {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestPipelinedAfterDataGoesOn(t *testing.T) {
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	c.open("alice@example.org")
	// RFC 2920 3.1: the data may be followed by the next group of commands.
	c.send("Subject: one\r\n\r\n..\r\n.\r\nMAIL FROM:<b@sender.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
	c.expect("250 ")
	c.expect("250 ")
	c.expect("250 ")
	c.expect("354 ")
	c.send("Subject: two\r\n\r\ntwo\r\n.\r\n")
	c.expect("250 ")
	got := w.messages()
	if len(got) != 2 || !strings.HasSuffix(string(got[0].Raw), "Subject: one\r\n\r\n.\r\n") || !strings.HasSuffix(string(got[1].Raw), "\r\n\r\ntwo\r\n") {
		t.Fatalf("came: %v", got)
	}
}

func TestInjectionBehindStartTLS(t *testing.T) {
	// CVE-2011-0411: what comes in clear text behind STARTTLS must not be
	// executed inside TLS.
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	c.send("STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<alice@example.org>\r\n")
	c.expect("220 ")
	c.handshake()
	// No answer but to what is said inside TLS, and no transaction from before.
	c.say("NOOP", "250 2.0.0 I have")
	c.say("DATA", "502 ")
	c.say("EHLO good.example", "250 ")
	c.say("DATA", "502 ")
	if len(w.messages()) != 0 {
		t.Error("a message came")
	}
}

func TestFailedHandshakeEndsTheConnection(t *testing.T) {
	w := newWorld()
	c := greet(t, start(t, options(t, w), false), "EHLO")
	c.say("STARTTLS", "220 ")
	c.send("MAIL FROM:<evil@sender.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nx\r\n.\r\n")
	if said := c.expectEnd(); strings.Contains(said, "250") {
		t.Errorf("went on in clear text: %q", said)
	}
	if len(w.messages()) != 0 {
		t.Error("a message came")
	}
}

// TestSmugglingBeforeTheGoAhead sends the message in one packet with DATA,
// before the answer 354 that a client has to wait for.
func TestSmugglingBeforeTheGoAhead(t *testing.T) {
	for _, end := range ends {
		w := newWorld()
		c := greet(t, start(t, options(t, w), false), "EHLO")
		c.send("MAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n\r\nfirst" + end + smuggled)
		if said := c.expectEnd(); !strings.Contains(said, "554 5.6.0 ") && !strings.HasPrefix(said, "421 ") {
			t.Errorf("%q: answer %q", end, said)
		}
		if got := w.messages(); len(got) != 0 {
			t.Errorf("%q: %d messages accepted, first %q", end, len(got), got[0].Raw)
		}
	}
}
