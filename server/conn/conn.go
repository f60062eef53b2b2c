// Package conn holds what the sessions of all protocols share: a connection
// with a session id, deadlines, a limit on command lines, a budget of errors,
// a graceful end, and the reader that lets nothing but CRLF end a line.
//
// A protocol library sits above a Conn and may put TLS between itself and the
// Conn. What the client says in clear text is therefore seen at the library's
// tap (Conn.Tap), not in Conn.Read.
//
// RFC 5321 2.3.8 (line ends), 4.5.3.1 (sizes), 4.5.3.2 (timeouts); RFC 3207
// (STARTTLS).
package conn

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Limits bound one connection.
type Limits struct {
	// Idle is how long the client may take for its next command, and for the
	// next bytes of a message. RFC 5321 4.5.3.2.7 asks for 5 minutes.
	Idle time.Duration
	// Transfer bounds one whole message.
	Transfer time.Duration
	// CommandLine is the longest command in bytes, its line end included.
	CommandLine int
	// LongLine and BareLine are the errors that the library gets at its tap for
	// a command too long, and for a message with a CR or LF outside CRLF.
	LongLine, BareLine error
	// Errors is how many refused commands are borne before the connection is
	// ended with 421; Commands how many commands there may be between two
	// messages. 0 is no limit.
	Errors, Commands int
	// Trace, when set, gets each command and answer, secrets taken out, and
	// never a line of a message. It must not block.
	Trace func(fromClient bool, line string)
}

// What a client hears when the server ends the connection.
const (
	sayStopping = "421 4.3.2 This server is stopping, try again shortly\r\n"
	sayErrors   = "421 4.7.0 Too many errors\r\n"
	sayCommands = "421 4.7.0 Too many commands without a message\r\n"
	sayGivenUp  = "421 4.5.0 A message begun in chunks is given up, connect again\r\n"
)

// linger is how long the end of a connection waits for the client to read the
// last answer; a socket closed on unread input loses what was written to it.
const linger = 2 * time.Second

// lingerBytes is how much input is thrown away meanwhile.
const lingerBytes = 1 << 20

// Conn is a client's connection.
type Conn struct {
	net.Conn
	// ID names the session in the log.
	ID string

	limits  Limits
	onClose func()
	once    sync.Once
	closed  chan struct{}

	mu sync.Mutex
	// above is where text for the client goes: the socket, or TLS on it. It is
	// nil while TLS is being set up.
	above io.Writer
	// waiting is since when the client may speak.
	waiting time.Time
	// busy: a message is being received or filed. transfer: until its answer
	// is written.
	busy, transfer bool
	until          time.Time
	stopping       bool
	// dead is what every further Read gives. A connection that failed once is
	// not read again: the rest of a message must never be taken for commands.
	dead error

	watch
}

// New takes a connection over. onClose is called once, when it is closed.
func New(c net.Conn, l Limits, onClose func()) *Conn {
	var id [8]byte
	_, _ = rand.Read(id[:])
	k := &Conn{Conn: c, ID: hex.EncodeToString(id[:]), limits: l, onClose: onClose, closed: make(chan struct{}), waiting: time.Now()}
	k.above = c
	return k
}

// SetAbove names where text for the client goes from now on: the TLS
// connection on top of this one.
func (c *Conn) SetAbove(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.above = w
}

// Begin marks the start of a message. It reports false on a connection that
// has ended.
func (c *Conn) Begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.transfer = true, true
	c.until = time.Now().Add(c.limits.Transfer)
	return c.dead == nil
}

// End marks that nothing is in hand any more. The message's answer may still
// have to be written.
func (c *Conn) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if c.stopping {
		c.wake()
	}
}

// Answered marks that the answer is written and commands follow.
func (c *Conn) Answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transfer = false
	c.waiting = time.Now()
	c.between()
}

// Dead reports a connection that has ended or is about to.
func (c *Conn) Dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead != nil
}

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.closed }

// Drain ends the connection as soon as no message is in hand.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if !c.busy {
		c.wake()
	}
}

// wake makes a waiting Read return.
func (c *Conn) wake() { _ = c.Conn.SetReadDeadline(time.Unix(1, 0)) }

// Read reads for the library, within the deadlines.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.mayRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err == nil {
		if c.Dead() {
			return 0, io.EOF
		}
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && c.shouldStop() {
		c.say(sayStopping)
		_ = c.Close()
		return 0, io.EOF
	}
	c.mu.Lock()
	if c.dead == nil {
		c.dead = err
	}
	c.mu.Unlock()
	return n, err
}

func (c *Conn) shouldStop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping && !c.busy
}

// mayRead sets the deadline of the next Read.
func (c *Conn) mayRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != nil {
		return c.dead
	}
	if c.stopping && !c.busy {
		c.wake()
		return nil
	}
	// The whole command has to come within the time, so that a client cannot
	// hold a connection with a byte now and then.
	deadline := c.waiting.Add(c.limits.Idle)
	if c.transfer {
		deadline = time.Now().Add(c.limits.Idle)
		if c.until.Before(deadline) {
			deadline = c.until
		}
	}
	return c.Conn.SetReadDeadline(deadline)
}

// Write writes for the library.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	c.waiting = time.Now()
	c.mu.Unlock()
	return n, err
}

// SetReadDeadline does nothing: deadlines are set here.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetDeadline sets the deadline of writes alone.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

// Close closes the connection. Further calls do nothing.
func (c *Conn) Close() (err error) {
	c.once.Do(func() {
		c.mu.Lock()
		if c.dead == nil {
			c.dead = io.EOF
		}
		c.mu.Unlock()
		// First, so that a client who sees the end finds his place free.
		if c.onClose != nil {
			c.onClose()
		}
		err = c.Conn.Close()
		close(c.closed)
	})
	return err
}

// Refuse says a last word and ends the connection. It must be called from the
// goroutine that answers the client.
func (c *Conn) Refuse(text string) {
	c.mu.Lock()
	if c.dead != nil {
		c.mu.Unlock()
		return
	}
	c.dead = io.EOF
	c.mu.Unlock()
	c.say(text)
	c.finish()
}

// say writes to the client, through TLS where there is TLS.
func (c *Conn) say(text string) {
	c.mu.Lock()
	above := c.above
	c.mu.Unlock()
	if above == nil {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(linger))
	_, _ = io.WriteString(above, text)
	if t, ok := above.(interface{ CloseWrite() error }); ok && above != io.Writer(c.Conn) {
		_ = t.CloseWrite()
	}
}

// finish closes so that the client can read the last answer: first our half,
// then, when the client has closed his or the time is over, the rest.
func (c *Conn) finish() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.Conn.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	_ = c.Close()
}
