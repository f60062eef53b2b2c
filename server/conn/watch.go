package conn

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// maxKept is how much of a command is looked at.
const maxKept = 512

// watch follows the clear text of a line-based protocol at the library's tap.
type watch struct {
	// kept is the beginning of the current command, length its length so far.
	kept   []byte
	length int
	// chunk is bytes of a BDAT chunk (RFC 3030) that are still to come.
	chunk int64
	// dot follows "." at the beginning of a line and the CR behind it.
	dot dotState
	// cr: the last byte was a CR. bare: a message had a CR or LF outside CRLF.
	cr, bare bool
	// ended: the end of the data was seen; what follows are commands again.
	ended bool

	greeting         string
	errors, commands int
}

type dotState int

const (
	dotNone dotState = iota
	dotLine
	dotDot
	dotCR
)

// between starts the account between two messages anew.
func (w *watch) between() {
	w.kept, w.length, w.commands, w.chunk, w.ended = w.kept[:0], 0, 0, 0, false
}

// Tap gives the writer that the library copies the clear text to, both ways.
func (c *Conn) Tap() io.Writer { return tap{c} }

type tap struct{ c *Conn }

// Write tells the two directions apart by what happened at the socket just
// before: the library writes to the socket first and to its tap then.
func (t tap) Write(p []byte) (int, error) {
	c := t.c
	c.mu.Lock()
	ours := c.wrote
	c.wrote = false
	var last string
	var err error
	if ours {
		last = c.spoken(p)
	} else {
		last, err = c.heard(p)
	}
	c.mu.Unlock()
	if last != "" {
		c.Refuse(last)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// spoken looks at an answer and gives the last word when there were too many
// refusals. The answers to a message are not the client's mistakes.
func (c *Conn) spoken(p []byte) (last string) {
	if c.limits.Trace != nil {
		c.limits.Trace(false, string(bytes.TrimRight(p, "\r\n")))
	}
	switch {
	case bytes.HasPrefix(p, []byte("220 2.0.0 Ready to start TLS")):
		c.above = nil
	case bytes.HasPrefix(p, []byte("550 5.0.0 Handshake error")):
		// Nothing after a failed handshake can be trusted to be a command.
		c.above = c.Conn
		return "421 4.7.0 TLS failed\r\n"
	case !c.transfer && len(p) > 3 && (p[0] == '4' || p[0] == '5') && p[3] == ' ':
		c.errors++
		if c.limits.Errors > 0 && c.errors > c.limits.Errors {
			return sayErrors
		}
	}
	return ""
}

// heard looks at what the client says.
func (c *Conn) heard(p []byte) (last string, err error) {
	for _, b := range p {
		c.follow(b, c.transfer && !c.ended)
		switch {
		case c.bare:
			return "", c.limits.BareLine
		case c.transfer:
		case c.chunk > 0:
			c.chunk--
		case b == '\n':
			if c.limits.Trace != nil {
				c.limits.Trace(true, Redact(strings.TrimSpace(string(c.kept))))
			}
			c.command()
			if c.limits.Commands > 0 && c.commands > c.limits.Commands {
				return sayCommands, io.EOF
			}
		default:
			c.length++
			if len(c.kept) < maxKept {
				c.kept = append(c.kept, b)
			}
			if c.limits.CommandLine > 0 && c.length >= c.limits.CommandLine {
				return "", c.limits.LongLine
			}
		}
	}
	return "", nil
}

// follow finds a CR or LF outside CRLF as soon as it comes, so that a client
// that takes such a byte for a line end hears at once. Wherever it stands it
// finds a CR without LF behind a dot that begins a line: the library swallows
// both when it removes the dot (RFC 5321 4.5.2), so that no reader above it can
// see them.
func (w *watch) follow(b byte, message bool) {
	if message && w.cr != (b == '\n') {
		w.bare = true
	}
	w.cr = b == '\r'
	before := w.dot
	w.dot = dotNone
	switch {
	case b == '\n':
		w.dot = dotLine
		if message && before == dotCR {
			w.ended = true
		}
	case before == dotLine && b == '.':
		w.dot = dotDot
	case before == dotDot && b == '\r':
		w.dot = dotCR
	}
	if before == dotCR && b != '\n' {
		w.bare = true
	}
}

// Redact takes the secrets out of a command line: what follows AUTH and its
// mechanism, PASS, and the arguments of LOGIN and AUTHENTICATE behind an IMAP tag.
func Redact(line string) string {
	fields := strings.Fields(line)
	keep := len(fields)
	for i, f := range fields[:min(2, len(fields))] {
		switch strings.ToUpper(f) {
		case "PASS", "LOGIN", "APOP":
			keep = min(keep, i+1)
		case "AUTH", "AUTHENTICATE":
			keep = min(keep, i+2)
		}
	}
	if keep == len(fields) {
		return line
	}
	return strings.Join(fields[:keep], " ") + " [hidden]"
}

// command notes a complete command.
func (w *watch) command() {
	w.commands++
	fields := strings.Fields(string(w.kept))
	w.kept, w.length = w.kept[:0], 0
	if len(fields) == 0 {
		return
	}
	switch verb := strings.ToUpper(fields[0]); verb {
	case "HELO", "EHLO", "LHLO":
		w.greeting = verb
	case "BDAT":
		if len(fields) > 1 {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 {
				w.chunk = n
			}
		}
	}
}

// Bare reports a CR or LF outside CRLF in a message. It stays: such a
// connection must not go on.
func (c *Conn) Bare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bare
}

// Greeting is the verb of the client's last greeting: HELO, EHLO or LHLO.
func (c *Conn) Greeting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greeting
}
