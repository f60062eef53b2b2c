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
	// ours is the end of the buffer that the library writes answers from;
	// theirs, that of the one it reads into after TLS has begun; plain is ours
	// from before, kept so that no new buffer can lie there.
	ours, theirs, plain *byte
	// upgrading: the next text that is not ours is the first inside TLS.
	upgrading bool
	// kept is the beginning of the current command, length its length so far.
	kept   []byte
	length int
	// chunk is bytes of a BDAT chunk (RFC 3030) that are still to come; last
	// tells that it ends its message. chunks: the message comes in chunks.
	// open: a message has begun in chunks whose last is not announced yet.
	chunk              int64
	last, chunks, open bool
	// whole counts messages in chunks that have come completely.
	whole int
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
func (w *watch) between() { w.commands, w.ended, w.open = 0, false, false }

// Tap gives the writer that the library copies the clear text to, both ways.
// The first text is the server's greeting.
func (c *Conn) Tap() io.Writer { return tap{c} }

type tap struct{ c *Conn }

// Write tells the two directions apart and looks at the text.
func (t tap) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c := t.c
	c.mu.Lock()
	var last string
	var err error
	if c.answer(p) {
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

// answer tells whether the text is ours. The library writes all answers from
// one buffer, so the buffer's end tells; what the text says and what happened
// at the socket do not, because a client has a hand in both. The first text of
// a connection is our greeting. TLS begins with new buffers, and there the
// client speaks first: then the other buffer is ours.
func (w *watch) answer(p []byte) bool {
	end := &p[:cap(p)][cap(p)-1]
	switch {
	case w.upgrading && end != w.ours:
		w.upgrading, w.plain, w.ours, w.theirs = false, w.ours, nil, end
		return false
	case w.ours == nil && end != w.theirs:
		w.ours = end
	}
	return end == w.ours
}

// spoken looks at an answer and gives the last word when there were too many
// refusals. The answers to a message are not the client's mistakes.
func (c *Conn) spoken(p []byte) (last string) {
	if c.limits.Trace != nil {
		c.limits.Trace(false, string(bytes.TrimRight(p, "\r\n")))
	}
	switch {
	case bytes.HasPrefix(p, []byte("220 2.0.0 Ready to start TLS")):
		c.above, c.upgrading = nil, true
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
	if c.bare {
		return "", c.limits.BareLine
	}
	for i := 0; i < len(p); i++ {
		if c.chunk > 0 {
			// Octets that a count announced are no lines; the reader above sees
			// all of them.
			n := min(c.chunk, int64(len(p)-i))
			c.chunk -= n
			i += int(n) - 1
			c.chunkDone()
			continue
		}
		message := c.transfer && !c.ended && !c.chunks
		if message && c.dot == dotNone && !c.cr {
			// Within a line only its end matters.
			end := bytes.IndexAny(p[i:], "\r\n")
			if end < 0 {
				break
			}
			i += end
		}
		b := p[i]
		c.follow(b, message)
		switch {
		case c.bare:
			return "", c.limits.BareLine
		case message:
		case b == '\n':
			if last := c.command(); last != "" {
				return last, io.EOF
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

// command notes a complete command, and gives a last word where the
// connection cannot go on after it.
func (c *Conn) command() (last string) {
	if c.limits.Trace != nil {
		c.limits.Trace(true, Redact(strings.TrimSpace(string(c.kept))))
	}
	c.commands++
	fields := strings.Fields(string(c.kept))
	c.kept, c.length = c.kept[:0], 0
	if c.limits.Commands > 0 && c.commands > c.limits.Commands {
		return sayCommands
	}
	if len(fields) == 0 {
		return ""
	}
	switch verb := strings.ToUpper(fields[0]); verb {
	case "HELO", "EHLO", "LHLO":
		c.greeting = verb
		fallthrough
	case "RSET", "STARTTLS":
		if c.open {
			// The library would take the outcome of the message that is given
			// up for the next one's.
			return sayGivenUp
		}
	case "DATA":
		c.chunks = false
	case "BDAT":
		c.announced(fields[1:])
	}
	return ""
}

// announced notes a BDAT command, if it is one by the library's rules: octets
// follow only then.
func (w *watch) announced(args []string) {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && !strings.EqualFold(args[1], "LAST") {
		return
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return
	}
	w.chunks, w.chunk, w.last = true, int64(n), len(args) == 2
	w.open = !w.last
	w.chunkDone()
}

// chunkDone notes the end of a chunk. What comes next begins a line.
func (w *watch) chunkDone() {
	if w.chunk > 0 {
		return
	}
	w.dot, w.cr = dotNone, false
	if w.last {
		w.whole++
	}
}

// Whole reports that a message in chunks has come completely. The library does
// not tell a connection that ended within the last chunk from its end.
func (c *Conn) Whole() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whole == 0 || c.chunk > 0 && c.dead != nil {
		return false
	}
	c.whole--
	return true
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
