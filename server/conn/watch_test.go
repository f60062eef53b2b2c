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
	if want := []string{"ehlo x", "AUTH PLAIN [hidden]", "BDAT 300 LAST", "noop"}; !slices.Equal(traced, want) {
		t.Errorf("traced %q", traced)
	}
	if err := hear(c, strings.Repeat("y", 100), 30); !errors.Is(err, errLong) {
		t.Errorf("long command: %v", err)
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
		rest := strings.ReplaceAll(message, "\r\n", "")
		// A CR at the very end may still become a CRLF.
		if len(message) == len(text) {
			rest = strings.TrimSuffix(rest, "\r")
		}
		want := strings.ContainsAny(rest, "\r\n")
		// Behind the end of the data only what the library hides counts.
		if !want && len(message) < len(text) {
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
