package conn

import (
	"bytes"
	"errors"
	"io"
)

// Errors of a StrictReader.
var (
	// ErrBareLineEnd: a CR or an LF that does not belong to a CRLF. Servers
	// differ in what they take such a byte for, which lets a sender smuggle a
	// second message past one of them (RFC 5321 2.3.8 forbids it).
	ErrBareLineEnd = errors.New("CR or LF outside CRLF")
	// ErrLongLine: a line over the limit.
	ErrLongLine = errors.New("line too long")
)

// StrictReader passes text through as long as its lines end with CRLF and
// none is over the limit. After an error it gives nothing more.
type StrictReader struct {
	r    io.Reader
	max  int
	line int
	cr   bool
	err  error
}

// NewStrictReader reads from r. max is the longest line in bytes without its
// CRLF, 0 for no limit.
func NewStrictReader(r io.Reader, max int) *StrictReader { return &StrictReader{r: r, max: max} }

// Read reads text. Bytes that came before a mistake are given first.
func (s *StrictReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	good, bad := s.check(p[:n])
	if bad != nil {
		s.err = bad
		return good, bad
	}
	if err != nil {
		s.err = err
		if errors.Is(err, io.EOF) && s.cr {
			// The text ends with a CR.
			s.err = ErrBareLineEnd
		}
	}
	return n, s.err
}

// check gives how much of p is good, and what is wrong behind it.
func (s *StrictReader) check(p []byte) (int, error) {
	for at := 0; at < len(p); {
		if s.cr {
			if p[at] != '\n' {
				return at, ErrBareLineEnd
			}
			s.cr, s.line = false, 0
			at++
			continue
		}
		end := bytes.IndexAny(p[at:], "\r\n")
		if end < 0 {
			end = len(p) - at
		}
		s.line += end
		if s.max > 0 && s.line > s.max {
			return at + end - (s.line - s.max), ErrLongLine
		}
		at += end
		if at == len(p) {
			break
		}
		if p[at] == '\n' {
			return at, ErrBareLineEnd
		}
		s.cr = true
		at++
	}
	return len(p), nil
}
