package message

import (
	"bytes"
	"io"
)

// Source is the bytes of a message as received: in memory, or behind an
// io.ReaderAt such as a spool file, of which only windows are held. It must
// not change, nor be closed, while a Message made from it is in use.
type Source struct {
	mem  []byte
	file io.ReaderAt // nil: everything is in mem
	size int64
}

// BytesSource is a message in memory. It keeps b.
func BytesSource(b []byte) *Source { return &Source{mem: b, size: int64(len(b))} }

// FileSource is a message of size bytes that r holds.
func FileSource(r io.ReaderAt, size int64) *Source { return &Source{file: r, size: size} }

// Size is the length in bytes.
func (s *Source) Size() int64 { return s.size }

// Reader reads the message from its beginning.
func (s *Source) Reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.mem)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

// Start gives the first n bytes, fewer when there are not so many. It may be
// a part of the source itself and must not be changed.
func (s *Source) Start(n int) ([]byte, error) {
	n = int(min(int64(n), s.size))
	if s.file == nil {
		return s.mem[:n:n], nil
	}
	b := make([]byte, n)
	_, err := io.ReadFull(s.Reader(), b)
	return b, err
}

// Below is the source with head on top. The source stays as it is.
func (s *Source) Below(head []byte) *Source {
	size := s.size + int64(len(head))
	if s.file == nil {
		mem := make([]byte, 0, size)
		return &Source{mem: append(append(mem, head...), s.mem...), size: size}
	}
	return &Source{file: &joined{head: head, rest: s.file}, size: size}
}

// joined is bytes in front of what a ReaderAt holds.
type joined struct {
	head []byte
	rest io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(j.head)) {
		n = copy(p, j.head[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := j.rest.ReadAt(p[n:], off+int64(n)-int64(len(j.head)))
	return n + m, err
}

// windowSize is how much of a file is looked at at a time. It has room for
// the longest header.
const windowSize = 320 << 10

// text is what the parser reads: a message with CRLF line ends, of a memory
// source the bytes, of any other a window that moves.
type text struct {
	mem  []byte
	file io.ReaderAt
	size int
	// window holds the bytes from off on.
	window []byte
	off    int
	// err is the first failure of file. After it the text seems to end.
	err error
}

func (s *Source) text() *text { return &text{mem: s.mem, file: s.file, size: int(s.size)} }

// at gives n bytes from a place on, n at most windowSize; fewer at the end of
// the text. The bytes of a file are good until the next call.
func (t *text) at(from, n int) []byte {
	to := min(from+n, t.size)
	if from >= to {
		return nil
	}
	if t.file == nil {
		return t.mem[from:to]
	}
	if from < t.off || to > t.off+len(t.window) {
		t.fill(from)
	}
	if to > t.off+len(t.window) {
		to = t.off + len(t.window)
	}
	return t.window[from-t.off : to-t.off]
}

// fill moves the window.
func (t *text) fill(from int) {
	if t.window == nil {
		t.window = make([]byte, min(windowSize, t.size))
	}
	want := t.window[:min(cap(t.window), t.size-from)]
	n, err := t.file.ReadAt(want, int64(from))
	if n < len(want) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		t.fail(err)
	}
	t.window, t.off = want[:n], from
}

func (t *text) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.size = 0
}

// step is how much is searched at a time.
const step = 64 << 10

// find gives the place of the pattern in [from, to), -1 for none.
func (t *text) find(pattern []byte, from, to int) int {
	to = min(to, t.size)
	if t.file == nil {
		if from >= to {
			return -1
		}
		if i := bytes.Index(t.mem[from:to], pattern); i >= 0 {
			return from + i
		}
		return -1
	}
	for from < to {
		b := t.at(from, min(step, to-from))
		if i := bytes.Index(b, pattern); i >= 0 {
			return from + i
		}
		if len(b) < step {
			return -1
		}
		from += len(b) - len(pattern) + 1
	}
	return -1
}

// dashedLine gives the start of the next line after the one at from that begins
// with --, -1 for none. Text has fewer hyphens than line breaks, so they are
// looked for.
func (t *text) dashedLine(from int) int {
	if t.file != nil {
		if i := t.find(lineDashes, from, t.size); i >= 0 {
			return i + 1
		}
		return -1
	}
	for at := from + 1; at < t.size; {
		i := bytes.Index(t.mem[at:t.size], dashes)
		if i < 0 {
			return -1
		}
		at += i
		if t.mem[at-1] == '\n' {
			return at
		}
		for at += len(dashes); at < t.size && t.mem[at] == '-'; at++ {
		}
	}
	return -1
}

// breaks counts the line breaks in [from, to).
func (t *text) breaks(from, to int) int {
	if t.file == nil {
		return bytes.Count(t.mem[from:to], crlf[1:])
	}
	n := 0
	for from < to {
		b := t.at(from, min(step, to-from))
		if len(b) == 0 {
			break
		}
		n += bytes.Count(b, crlf[1:])
		from += len(b)
	}
	return n
}

// has reports whether b stands at a place.
func (t *text) has(from int, b []byte) bool {
	if from+len(b) > t.size {
		return false
	}
	if t.file == nil {
		return bytes.Equal(t.mem[from:from+len(b)], b)
	}
	for len(b) > 0 {
		have := t.at(from, min(step, len(b)))
		if len(have) == 0 || !bytes.Equal(have, b[:len(have)]) {
			return false
		}
		from, b = from+len(have), b[len(have):]
	}
	return true
}

// bytes gives [from, to): a part of the text in memory, else a copy.
func (t *text) bytes(from, to int) []byte {
	if t.file == nil {
		return t.mem[from:to:to]
	}
	b := make([]byte, to-from)
	if n, err := io.ReadFull(t.reader(from, to), b); err != nil {
		t.fail(err)
		return b[:n]
	}
	return b
}

// reader reads [from, to).
func (t *text) reader(from, to int) io.Reader {
	if t.file == nil {
		return bytes.NewReader(t.mem[from:to])
	}
	return io.NewSectionReader(t.file, int64(from), int64(to-from))
}
