package message

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
)

// Decode undoes a Content-Transfer-Encoding (RFC 2045 6): base64,
// quoted-printable and uuencode; everything else is passed through. It is tolerant: bytes
// outside the alphabet are skipped, text cut off gives what it stands for, and
// raw bytes in quoted-printable are kept. Errors are those of r.
func Decode(r io.Reader, transferEncoding string) io.Reader {
	switch canonicalEncoding(transferEncoding) {
	case "base64":
		return &base64Reader{src: r}
	case "quoted-printable":
		return &qpReader{src: bufio.NewReaderSize(r, 4<<10)}
	case uuencoding:
		return &uuReader{src: bufio.NewReaderSize(r, uuLine)}
	}
	return r
}

// decodeBytes is Decode for a body in memory.
func decodeBytes(b []byte, transferEncoding string) []byte {
	switch transferEncoding {
	case "base64":
		return appendBase64(make([]byte, 0, len(b)/4*3+3), b)
	case "quoted-printable":
		return decodeQP(b)
	case uuencoding:
		return decodeUU(b)
	}
	return b
}

// base64Value is the value of a character of the alphabet, also of the one for
// URLs (RFC 4648 5), or 0xff.
func base64Value(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return 0xff
}

// appendBase64 decodes all of b, tolerantly. Padding in the middle ends a
// group: concatenated base64 texts decode to their concatenation.
func appendBase64(dst, b []byte) []byte {
	var s base64State
	dst = s.append(dst, b)
	return s.finish(dst)
}

// base64State is a decoder between two portions.
type base64State struct {
	acc uint32
	n   int
}

func (s *base64State) append(dst, b []byte) []byte {
	for len(b) > 0 {
		run := base64Run(b)
		if s.n == 0 && len(run) >= 8 {
			// Whole groups of a clean line go through the fast decoder.
			n := len(run) &^ 3
			at := len(dst)
			dst = append(dst, make([]byte, n/4*3)...)
			if m, err := base64.StdEncoding.Decode(dst[at:], run[:n]); err == nil {
				dst, b = dst[:at+m], b[n:]
				continue
			}
			dst = dst[:at]
		}
		for _, c := range run {
			dst = s.one(dst, c)
		}
		b = b[len(run):]
	}
	return dst
}

// base64Run is what comes before the next line end, or the line ends that b
// begins with; never empty.
func base64Run(b []byte) []byte {
	const most = 8 << 10
	b = b[:min(len(b), most)]
	n := bytes.IndexByte(b, '\n')
	switch {
	case n < 0:
		return b
	case n > 0 && b[n-1] == '\r':
		n--
	}
	if n == 0 {
		return b[:1]
	}
	return b[:n]
}

func (s *base64State) one(dst []byte, c byte) []byte {
	if c == '=' {
		return s.finish(dst)
	}
	v := base64Value(c)
	if v == 0xff {
		return dst
	}
	s.acc = s.acc<<6 | uint32(v)
	if s.n++; s.n == 4 {
		dst = append(dst, byte(s.acc>>16&0xFF), byte(s.acc>>8&0xFF), byte(s.acc&0xFF))
		s.n, s.acc = 0, 0
	}
	return dst
}

func (s *base64State) finish(dst []byte) []byte {
	switch s.n {
	case 2:
		dst = append(dst, byte(s.acc>>4&0xFF))
	case 3:
		dst = append(dst, byte(s.acc>>10&0xFF), byte(s.acc>>2&0xFF))
	}
	s.n, s.acc = 0, 0
	return dst
}

type base64Reader struct {
	src   io.Reader
	state base64State
	in    []byte
	out   []byte
	err   error
}

func (r *base64Reader) Read(p []byte) (int, error) {
	if r.in == nil {
		r.in = make([]byte, 16<<10)
	}
	buf := r.out
	for len(r.out) == 0 && r.err == nil {
		n, err := r.src.Read(r.in)
		buf = r.state.append(buf[:0], r.in[:n])
		if err != nil {
			r.err = err
			buf = r.state.finish(buf)
		}
		r.out = buf
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// decodeQP decodes quoted-printable (RFC 2045 6.7). White space at line ends
// is removed, a soft line break may have white space behind it, a bad escape
// stays as it is.
func decodeQP(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		line, rest := b, []byte(nil)
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, rest = b[:i+1], b[i+1:]
		}
		out = appendQPLine(out, line)
		b = rest
	}
	return out
}

// appendQPLine decodes one line with its line end.
func appendQPLine(dst, line []byte) []byte {
	text, end := line, []byte(nil)
	if n := len(line); n > 0 && line[n-1] == '\n' {
		text, end = line[:n-1], crlf[1:]
		if n > 1 && line[n-2] == '\r' {
			text, end = line[:n-2], crlf
		}
	}
	text = bytes.TrimRight(text, " \t")
	if n := len(text); n > 0 && text[n-1] == '=' {
		text, end = text[:n-1], nil
	}
	for {
		i := bytes.IndexByte(text, '=')
		if i < 0 {
			break
		}
		dst = append(dst, text[:i]...)
		if i+2 < len(text) {
			if c, ok := unhex(text[i+1], text[i+2]); ok {
				dst = append(dst, c)
				text = text[i+3:]
				continue
			}
		}
		dst = append(dst, '=')
		text = text[i+1:]
	}
	dst = append(dst, text...)
	return append(dst, end...)
}

type qpReader struct {
	src  *bufio.Reader
	line []byte
	out  []byte
	err  error
}

// maxQPLine: a longer line is decoded in portions.
const maxQPLine = 64 << 10

func (r *qpReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *qpReader) fill() {
	for len(r.line) < maxQPLine {
		part, err := r.src.ReadSlice('\n')
		r.line = append(r.line, part...)
		if err == bufio.ErrBufferFull { //nolint:errorlint // bufio returns it unwrapped
			continue
		}
		r.err = err
		r.out = appendQPLine(r.out[:0], r.line)
		r.line = r.line[:0]
		return
	}
	// Hold back what may be the start of an escape or trailing white space.
	keep := len(r.line)
	for keep > len(r.line)-1024 && (isWSP(r.line[keep-1]) || r.line[keep-1] == '\r') {
		keep--
	}
	if i := bytes.LastIndexByte(r.line[max(0, keep-2):keep], '='); i >= 0 {
		keep = max(0, keep-2) + i
	}
	r.out = append(appendQPLine(r.out[:0], append(r.line[:keep:keep], '|')), []byte(nil)...)
	r.out = r.out[:len(r.out)-1] // the bar kept the end from being trimmed
	r.line = append(r.line[:0], r.line[keep:]...)
}
