package message

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Line ends. The tree knows CRLF only (WildDuck normalises bodies, and RFC
// 5322 2.1 knows nothing else). What the message really had is kept as a list
// of run lengths: so many CRLF, then so many LF, and so on, in turn; the kind
// after the last number goes on to the end. A message without a single LF
// that has CRs is taken as one with CR line ends throughout.

type lineEnds struct {
	// cr: every line break was a bare CR.
	cr   bool
	runs []uint64
}

func (l *lineEnds) plain() bool { return l == nil || (!l.cr && len(l.runs) == 0) }

var crlf = []byte("\r\n")

// normalise gives raw with CRLF line ends, raw itself when it has no others.
// A CR that no LF follows stays as it is.
func normalise(raw []byte) ([]byte, *lineEnds) {
	first, bare := firstBareLF(raw)
	if first < 0 {
		return raw, nil // no LF at all, and no CR
	}
	if !bare {
		if raw[first] == '\n' {
			return raw, nil
		}
		return bytes.ReplaceAll(raw, []byte{'\r'}, crlf), &lineEnds{cr: true}
	}
	out := make([]byte, 0, len(raw)+bytes.Count(raw[first:], []byte{'\n'}))
	ends := &lineEnds{}
	var run uint64
	lf := false
	for pos := 0; pos < len(raw); {
		i := bytes.IndexByte(raw[pos:], '\n')
		if i < 0 {
			out = append(out, raw[pos:]...)
			break
		}
		i += pos
		isLF := i == 0 || raw[i-1] != '\r'
		if isLF != lf {
			ends.runs = append(ends.runs, run)
			run, lf = 0, isLF
		}
		run++
		out = append(out, raw[pos:i]...)
		if isLF {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		pos = i + 1
	}
	return out, ends
}

// firstBareLF finds the first LF without a CR (bare true). Without one it
// gives the place of some LF, else that of the first CR, else -1.
func firstBareLF(raw []byte) (at int, bare bool) {
	at = -1
	for pos := 0; ; {
		i := bytes.IndexByte(raw[pos:], '\n')
		if i < 0 {
			break
		}
		at = pos + i
		if at == 0 || raw[at-1] != '\r' {
			return at, true
		}
		pos = at + 1
	}
	if at < 0 {
		return bytes.IndexByte(raw, '\r'), false
	}
	return at, false
}

func (l *lineEnds) append(b []byte) []byte {
	if l.plain() {
		return append(b, 0)
	}
	if l.cr {
		return append(b, 1)
	}
	b = append(b, 2)
	b = binary.AppendUvarint(b, uint64(len(l.runs)))
	for _, n := range l.runs {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func readLineEnds(b []byte) (*lineEnds, []byte, error) {
	if len(b) == 0 || b[0] > 2 {
		return nil, nil, ErrCorrupt
	}
	kind, b := b[0], b[1:]
	switch kind {
	case 0:
		return nil, b, nil
	case 1:
		return &lineEnds{cr: true}, b, nil
	}
	count, b, err := uvarint(b)
	if err != nil || count > uint64(len(b)) {
		return nil, nil, ErrCorrupt
	}
	l := &lineEnds{runs: make([]uint64, count)}
	for i := range l.runs {
		if l.runs[i], b, err = uvarint(b); err != nil {
			return nil, nil, err
		}
	}
	return l, b, nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, ErrCorrupt
	}
	return v, b[n:], nil
}

// short counts how many of the line breaks from the one numbered first up to
// last (exclusive) were one byte long.
func (l *lineEnds) short(first, last uint64) int64 {
	if l.plain() || first >= last {
		return 0
	}
	if l.cr {
		return int64(last - first) //nolint:gosec // bounded by a message's size
	}
	var total, at uint64
	for i := 0; at < last; i++ {
		end := last
		if i < len(l.runs) && l.runs[i] < last-at {
			end = at + l.runs[i]
		}
		if i%2 == 1 && end > first {
			total += end - max(at, first)
		}
		at = end
		if i >= len(l.runs) {
			break
		}
	}
	return int64(total) // bounded by a message's size
}

// lineEndReader turns CRLF back into what the message had, beginning with the
// break numbered next.
type lineEndReader struct {
	src  io.Reader
	ends *lineEnds
	// run and left say where in ends we are: left breaks of run number run.
	run  int
	left uint64
	buf  []byte
	in   []byte // unread part of buf
	err  error
}

func newLineEndReader(src io.Reader, ends *lineEnds, next uint64) io.Reader {
	if ends.plain() {
		return src
	}
	r := &lineEndReader{src: src, ends: ends, buf: make([]byte, 32<<10)}
	if ends.cr {
		return r
	}
	for r.run < len(ends.runs) && next >= ends.runs[r.run] {
		next -= ends.runs[r.run]
		r.run++
	}
	if r.run < len(ends.runs) {
		r.left = ends.runs[r.run] - next
	}
	return r
}

// take counts one line break and gives its bytes.
func (r *lineEndReader) take() []byte {
	if r.ends.cr {
		return crlf[:1]
	}
	for r.run < len(r.ends.runs) && r.left == 0 {
		r.run++
		if r.run < len(r.ends.runs) {
			r.left = r.ends.runs[r.run]
		}
	}
	if r.run < len(r.ends.runs) {
		r.left--
	}
	if r.run%2 == 1 {
		return crlf[1:]
	}
	return crlf
}

func (r *lineEndReader) Read(p []byte) (int, error) {
	n := 0
	for n+2 <= len(p) || (n == 0 && len(p) > 0) {
		if !r.fill() {
			break
		}
		i := bytes.IndexByte(r.in, '\r')
		if i != 0 {
			if i < 0 {
				i = len(r.in)
			}
			c := copy(p[n:], r.in[:i])
			n += c
			r.in = r.in[c:]
			continue
		}
		if len(r.in) == 1 && r.err == nil {
			r.more()
			continue
		}
		if len(r.in) < 2 || r.in[1] != '\n' {
			p[n] = '\r'
			n++
			r.in = r.in[1:]
			continue
		}
		if len(p) == 1 {
			// No room for a CRLF: give the CR and leave the LF to the next call.
			return r.single(p), nil
		}
		n += copy(p[n:], r.take())
		r.in = r.in[2:]
	}
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// single writes one byte of a line break into a buffer of one byte.
func (r *lineEndReader) single(p []byte) int {
	end := r.take()
	p[0] = end[0]
	if len(end) == 2 {
		r.in = r.in[1:] // the LF that is left is copied as it is
	} else {
		r.in = r.in[2:]
	}
	return 1
}

// fill makes sure that there is input, if any is left.
func (r *lineEndReader) fill() bool {
	for len(r.in) == 0 && r.err == nil {
		n, err := r.src.Read(r.buf)
		r.in, r.err = r.buf[:n], err
	}
	return len(r.in) > 0
}

// more reads on behind a CR at the end of the input.
func (r *lineEndReader) more() {
	r.buf[0] = r.in[0]
	n, err := r.src.Read(r.buf[1:])
	r.in, r.err = r.buf[:1+n], err
}
