package api

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/spool"
)

// A message or a file comes as one long string in a JSON body. spiller takes
// long strings out of the text on its way to the JSON reader, into the spool,
// and leaves a short name in each one's place, which nobody can guess.

// longString is how many bytes of JSON text of a string stay in memory.
const longString = 64 << 10

// spooled is a value that waits in the spool.
type spooled struct{ *spool.Message }

// reader reads the value.
func (s spooled) reader() io.Reader { return s.Source().Reader() }

const spooledKey = "eider.spooled"

// spoolFor gives a value in the spool that lives as long as the request.
func (s *server) spoolFor(c echo.Context) spooled {
	held := spooled{s.Spool.New()}
	list, _ := c.Get(spooledKey).([]spooled)
	c.Set(spooledKey, append(list, held))
	return held
}

// closeSpooled lets go of what the request had in the spool.
func closeSpooled(c echo.Context) {
	list, _ := c.Get(spooledKey).([]spooled)
	for _, held := range list {
		_ = held.Close() // its file has no name, nothing is lost
	}
}

var errJSONString = errors.New("a string that is not JSON")

// spiller is the JSON text without its long strings.
type spiller struct {
	src *bufio.Reader
	// fresh makes room for one more value.
	fresh func() spooled
	// longest is how many bytes of a string's text stay in the document.
	longest int
	// name begins the names of the values taken out.
	name   string
	values []spooled

	buf, out []byte // out is what of buf is to be read
	err      error

	inString bool
	// text is the string at hand as it stands in the JSON text; long is where it
	// goes once it is too long for that.
	text    []byte
	escaped bool
	long    *unescaper
}

func newSpiller(src io.Reader, fresh func() spooled) *spiller {
	return &spiller{src: bufio.NewReaderSize(src, 32<<10), fresh: fresh, longest: longString, name: rand.Text() + "-"}
}

// Read implements io.Reader.
func (s *spiller) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.fill()
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// fill takes what the source has at hand.
func (s *spiller) fill() {
	s.out = s.buf[:0]
	defer func() { s.buf = s.out }()
	if _, s.err = s.src.Peek(1); s.err != nil {
		if s.inString {
			s.out, s.text, s.inString = append(s.out, s.text...), nil, false // cut off: the JSON reader says so
		}
		return
	}
	b, _ := s.src.Peek(s.src.Buffered()) // what is buffered is there
	n := len(b)
	for len(b) > 0 && s.err == nil {
		b = s.step(b)
	}
	_, _ = s.src.Discard(n) // so is this
}

// step takes some of b and gives the rest.
func (s *spiller) step(b []byte) []byte {
	if !s.inString {
		i := indexByte(b, '"')
		s.out = append(s.out, b[:i]...)
		if b = b[i:]; len(b) > 0 {
			s.inString, s.escaped, s.text = true, false, append(s.text[:0], '"')
			b = b[1:]
		}
		return b
	}
	i := s.endOfString(b)
	s.add(b[:i])
	if b = b[i:]; len(b) > 0 {
		s.end()
		b = b[1:]
	}
	return b
}

func indexByte(b []byte, c byte) int {
	for i := range b {
		if b[i] == c {
			return i
		}
	}
	return len(b)
}

// endOfString is the place of the quote that ends the string, or the end of b.
func (s *spiller) endOfString(b []byte) int {
	for i, c := range b {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			return i
		}
	}
	return len(b)
}

// add takes more of the string at hand.
func (s *spiller) add(b []byte) {
	if s.long == nil && len(s.text)+len(b) <= s.longest {
		s.text = append(s.text, b...)
		return
	}
	if s.long == nil {
		value := s.fresh()
		s.values = append(s.values, value)
		s.long = &unescaper{to: value}
		s.err = s.long.write(s.text[1:])
	}
	if s.err == nil {
		s.err = s.long.write(b)
	}
}

// end writes the string, or the name of its value.
func (s *spiller) end() {
	s.inString = false
	if s.long == nil {
		s.out = append(append(s.out, s.text...), '"')
		return
	}
	if s.err == nil {
		s.err = s.long.end()
	}
	s.long = nil
	s.out = append(s.out, '"')
	s.out = append(s.out, s.name...)
	s.out = append(strconv.AppendInt(s.out, int64(len(s.values)-1), 10), '"')
}

// restore puts the values into the decoded document, in place of their names.
func (s *spiller) restore(v any) any {
	switch v := v.(type) {
	case string:
		if number, ok := strings.CutPrefix(v, s.name); ok {
			if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(s.values) {
				return s.values[i]
			}
		}
	case []any:
		for i := range v {
			v[i] = s.restore(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = s.restore(v[key])
		}
	}
	return v
}

// unescaper writes what a JSON string stands for (RFC 8259 7). Bytes that are
// not UTF-8 stay as they are: a message may have them.
type unescaper struct {
	to  io.Writer
	out []byte
	// state is 0 outside of an escape, 1 behind the backslash, 2 to 5 at the
	// digits of \u; unit is their value so far, high a first surrogate.
	state int
	unit  rune
	high  rune
}

func (u *unescaper) write(b []byte) error {
	u.out = u.out[:0]
	for _, c := range b {
		if err := u.one(c); err != nil {
			return err
		}
	}
	_, err := u.to.Write(u.out)
	return err
}

func (u *unescaper) one(c byte) error {
	switch {
	case u.state == 0 && c == '\\':
		u.state = 1
	case u.state == 0 && c < ' ':
		return errJSONString
	case u.state == 0:
		u.lone()
		u.out = append(u.out, c)
	case u.state == 1 && c == 'u':
		u.state, u.unit = 2, 0
	case u.state == 1:
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 {
			return errJSONString
		}
		u.lone()
		u.state, u.out = 0, append(u.out, "\"\\/\b\f\n\r\t"[i])
	default:
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return errJSONString
		}
		u.unit = u.unit<<4 | rune(i) //nolint:gosec // a digit
		if u.state++; u.state == 6 {
			u.state = 0
			u.rune(u.unit)
		}
	}
	return nil
}

// rune takes a UTF-16 unit.
func (u *unescaper) rune(unit rune) {
	if r := utf16.DecodeRune(u.high, unit); u.high != 0 && r != utf8.RuneError {
		u.high = 0
		u.out = utf8.AppendRune(u.out, r)
		return
	}
	u.lone()
	if utf16.IsSurrogate(unit) && unit < 0xdc00 {
		u.high = unit
		return
	}
	u.out = utf8.AppendRune(u.out, unit) // U+FFFD for half a pair
}

// lone writes a first surrogate that no second one follows.
func (u *unescaper) lone() {
	if u.high != 0 {
		u.high = 0
		u.out = utf8.AppendRune(u.out, utf8.RuneError)
	}
}

func (u *unescaper) end() error {
	u.out = u.out[:0]
	u.lone()
	if u.state != 0 {
		return errJSONString
	}
	_, err := u.to.Write(u.out)
	return err
}

// orFull makes the spool's failure one that the client may try again.
func orFull(err error) error {
	if errors.Is(err, spool.ErrFull) {
		return &mail.Error{Code: mail.CodeUnavailable, Op: "read request", Err: err}
	}
	return err
}
