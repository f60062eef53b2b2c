package conn

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errLong, errBare = errors.New("long"), errors.New("bare")

// pair gives a Conn and its client's side.
func pair(t testing.TB, l Limits) (*Conn, net.Conn) {
	t.Helper()
	server, client := net.Pipe()
	l.Idle, l.Transfer, l.LongLine, l.BareLine = time.Minute, time.Minute, errLong, errBare
	c := New(server, l, nil)
	t.Cleanup(func() { _, _ = c.Close(), client.Close() })
	if _, err := c.Tap().Write([]byte("220 greeting\r\n")); err != nil {
		t.Fatal(err)
	}
	return c, client
}

// hear passes text through the tap in steps, as a library reads it.
func hear(c *Conn, text string, step int) error {
	for len(text) > 0 {
		n := min(step, len(text))
		if _, err := c.Tap().Write([]byte(text[:n])); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func TestTapFollowsCommands(t *testing.T) {
	var traced []string
	c, _ := pair(t, Limits{CommandLine: 100, Trace: func(_ bool, line string) { traced = append(traced, line) }})
	text := "ehlo x\r\nAUTH PLAIN c2VjcmV0\r\nBDAT 300 LAST\r\n" + strings.Repeat("x", 300) + "noop\r\n"
	if err := hear(c, text, 7); err != nil {
		t.Fatal(err)
	}
	if c.Greeting() != "EHLO" {
		t.Errorf("greeting %q", c.Greeting())
	}
	if want := []string{"ehlo x", "AUTH PLAIN [hidden]", "BDAT 300 LAST", "noop"}; !slices.Equal(traced[1:], want) {
		t.Errorf("traced %q", traced)
	}
	if err := hear(c, strings.Repeat("y", 100), 30); !errors.Is(err, errLong) {
		t.Errorf("long command: %v", err)
	}
}

// TestDirection: what a client says is never taken for an answer, whatever it
// looks like and whatever was written meanwhile, before TLS and inside it.
func TestDirection(t *testing.T) {
	c, client := pair(t, Limits{Errors: 1})
	go func() { _, _ = client.Read(make([]byte, 100)) }()
	ours, theirs := make([]byte, 4096), make([]byte, 4096)
	write := func(buffer []byte, from int, text string) {
		t.Helper()
		n := copy(buffer[from:], text)
		if _, err := c.Tap().Write(buffer[from : from+n]); err != nil {
			t.Fatal(err)
		}
	}
	// pair's greeting came from another buffer: begin anew.
	c.watch = watch{}
	write(ours, 0, "220 greeting\r\n")
	for range 2 {
		write(theirs, 0, "EHLO one\r\n")
		if _, err := c.Write([]byte("key update")); err != nil {
			t.Fatal(err)
		}
		write(theirs, 10, "550 5.0.0 Handshake error\r\nLHLO two\r\n")
		write(make([]byte, 9), 0, "NOOP\r\n")
		if c.Greeting() != "LHLO" || c.errors != 0 || c.Dead() {
			t.Fatalf("greeting %q, %d errors", c.Greeting(), c.errors)
		}
		write(ours, 0, "500 no\r\n")
		if c.errors != 1 {
			t.Fatalf("%d errors", c.errors)
		}
		c.errors = 0
		write(ours, 0, "220 2.0.0 Ready to start TLS\r\n")
		ours, theirs = make([]byte, 4096), make([]byte, 4096)
		write(theirs, 0, "EHLO three\r\n")
		write(ours, 0, "250 Hello\r\n")
		go func() { _, _ = client.Read(make([]byte, 100)) }()
	}
}

func TestRedact(t *testing.T) {
	for line, want := range map[string]string{
		"MAIL FROM:<a@b.example>": "MAIL FROM:<a@b.example>", "PASS secret word": "PASS [hidden]",
		"auth login dXNlcg==": "auth login [hidden]", "a1 LOGIN user secret": "a1 LOGIN [hidden]",
		"a1 AUTHENTICATE PLAIN AGE=": "a1 AUTHENTICATE PLAIN [hidden]", "APOP user digest": "APOP [hidden]", "": "", "AUTH PLAIN": "AUTH PLAIN",
	} {
		if got := Redact(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// FuzzTap: in a message, the tap objects exactly to a CR or LF outside CRLF
// before the end of the data, however the bytes arrive.
func FuzzTap(f *testing.F) {
	f.Add("a\r\n.\r\nQUIT\n", 1)
	f.Add("a\r\n.\rMAIL", 2)
	f.Add("\n.\n", 3)
	f.Add(".\r\n", 1)
	f.Fuzz(func(t *testing.T, text string, step int) {
		c, _ := pair(t, Limits{})
		if err := hear(c, "DATA\r\n", 6); err != nil {
			t.Fatal(err)
		}
		c.Begin()
		err := hear(c, text, 1+abs(step)%16)
		message := text
		if strings.HasPrefix(text, ".\r\n") {
			message = ""
		} else if end := strings.Index(text, "\r\n.\r\n"); end >= 0 {
			message = text[:end]
		}
		// A CR at the very end may still become a CRLF.
		if len(message) == len(text) {
			message = strings.TrimSuffix(message, "\r")
		}
		rest := strings.ReplaceAll(message, "\r\n", "")
		want := strings.ContainsAny(rest, "\r\n")
		// Behind the end of the data only what the library hides counts.
		if !want && len(message) < len(text)-1 {
			return
		}
		if want != errors.Is(err, errBare) || want != c.Bare() {
			t.Fatalf("%q: %v, want %v", text, err, want)
		}
	})
}

func TestReadAfterFailureGivesNothing(t *testing.T) {
	c, client := pair(t, Limits{})
	c.limits.Idle = time.Millisecond
	if _, err := c.Read(make([]byte, 8)); err == nil {
		t.Fatal("a silent client was read")
	}
	c.limits.Idle = time.Minute
	go func() { _, _ = client.Write([]byte("late")) }()
	if n, err := c.Read(make([]byte, 8)); err == nil {
		t.Errorf("%d bytes were read after the time was over", n)
	}
}
