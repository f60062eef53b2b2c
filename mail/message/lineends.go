package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"sort"
)

// Line ends. The tree knows CRLF only (WildDuck normalises bodies, and RFC
// 5322 2.1 knows nothing else). What the message really had is kept as a list
// of run lengths: so many CRLF, then so many LF, and so on, in turn; the kind
// after the last number goes on to the end. A message without a single LF
// that has CRs is taken as one with CR line ends throughout.

type lineEnds struct {
	// cr: every line break was a bare CR.
	cr bool
	// count is the number of runs, runs their lengths as uvarints.
	count int
	runs  []byte
}

func (l *lineEnds) plain() bool { return l == nil || (!l.cr && l.count == 0) }

// size is about how many bytes of a patch they take.
func (l *lineEnds) size() int {
	if l == nil {
		return 0
	}
	return len(l.runs)
}

var crlf = []byte("\r\n")

// endScan looks at the line ends of a message, portion by portion.
type endScan struct {
	ends lineEnds
	// pos is how many bytes were seen, crs, lfs and bare how many CR, LF, and LF
	// without CR.
	pos, crs, lfs, bare int
	nul                 bool
	last                byte
	// run is the length of the current run, lf its kind.
	run uint64
	lf  bool
}

func (s *endScan) add(b []byte) {
	s.nul = s.nul || bytes.IndexByte(b, 0) >= 0
	s.crs += bytes.Count(b, crlf[:1])
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			break
		}
		i += at
		before := s.last
		if i > 0 {
			before = b[i-1]
		}
		s.lineEnd(before != '\r')
		at = i + 1
	}
	if len(b) > 0 {
		s.pos, s.last = s.pos+len(b), b[len(b)-1]
	}
}

func (s *endScan) lineEnd(bare bool) {
	s.lfs++
	if bare {
		s.bare++
	}
	if bare != s.lf {
		if len(s.ends.runs) <= maxPatch { // more of them are not kept anyway
			s.ends.runs = binary.AppendUvarint(s.ends.runs, s.run)
			s.ends.count++
		}
		s.run, s.lf = 0, bare
	}
	s.run++
}

// result gives the line ends, nil for a message with CRLF only. bareCR says
// that there is a CR that no LF follows.
func (s *endScan) result() (ends *lineEnds, bareCR bool) {
	switch {
	case s.lfs == 0 && s.crs > 0:
		return &lineEnds{cr: true}, true
	case s.bare > 0:
		ends = &s.ends
	}
	return ends, s.crs > s.lfs-s.bare
}

// normalise gives the text with CRLF line ends, the source itself when it has
// no others. A CR that no LF follows stays as it is.
func (s *Source) normalise(found *defects) (*text, *lineEnds, error) {
	t := s.text()
	var scan endScan
	marks, err := scan.all(t)
	if err != nil {
		return nil, nil, err
	}
	ends, bareCR := scan.result()
	noteBytes(ends, bareCR, scan.nul, found)
	switch {
	case ends == nil || ends.size() > maxPatch:
	case t.file != nil:
		c := &crlfFile{src: t.file, size: t.size, cr: ends.cr, marks: marks}
		t = &text{file: c, size: c.end()}
	case ends.cr:
		t = BytesSource(bytes.ReplaceAll(t.mem, []byte{'\r'}, crlf)).text()
	default:
		t = BytesSource(appendCRLF(make([]byte, 0, t.size+scan.bare), t.mem, 0)).text()
	}
	return t, ends, nil
}

// all looks at a whole text, at a file portion by portion.
func (s *endScan) all(t *text) (marks []mark, err error) {
	if t.file == nil {
		s.add(t.mem)
		return nil, nil
	}
	b := make([]byte, min(markStep, t.size))
	for s.pos < t.size {
		marks = append(marks, mark{bare: s.bare, crs: s.crs})
		b = b[:min(markStep, t.size-s.pos)]
		if n, err := t.file.ReadAt(b, int64(s.pos)); n < len(b) {
			return nil, errors.Join(io.ErrUnexpectedEOF, err)
		}
		s.add(b)
	}
	return append(marks, mark{bare: s.bare, crs: s.crs}), nil
}

// noteBytes records odd line ends and NULs.
func noteBytes(ends *lineEnds, bareCR, nul bool, found *defects) {
	if !ends.plain() && !ends.cr {
		found.add(defectLineEnds)
	}
	if bareCR {
		found.add(defectBareCR)
	}
	if nul {
		found.add(defectNUL)
	}
}

// appendCRLF writes b with CRLF for each LF; before is the byte in front of b.
func appendCRLF(dst, b []byte, before byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(dst, b...)
		}
		if i > 0 {
			before = b[i-1]
		}
		dst = append(dst, b[:i]...)
		if before != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		before, b = '\n', b[i+1:]
	}
	return dst
}

// crlfFile is a file with other line ends, read as if it had CRLF.
type crlfFile struct {
	src  io.ReaderAt
	size int
	cr   bool
	// marks has one for the start of each portion, and one for the end.
	marks []mark
}

// mark counts what comes before a place in a file.
type mark struct{ bare, crs int }

// markStep is the length of a portion.
const markStep = 64 << 10

// place is where portion number i begins in the text with CRLF.
func (c *crlfFile) place(i int) int {
	at := min(i*markStep, c.size)
	if c.cr {
		return at + c.marks[i].crs
	}
	return at + c.marks[i].bare
}

func (c *crlfFile) end() int { return c.place(len(c.marks) - 1) }

// ReadAt implements io.ReaderAt.
func (c *crlfFile) ReadAt(p []byte, off int64) (n int, err error) {
	at := int(off)
	i := sort.Search(len(c.marks), func(i int) bool { return c.place(i) > at }) - 1
	for ; n < len(p) && i >= 0 && i < len(c.marks)-1; i++ {
		b, err := c.portion(i)
		if err != nil {
			return n, err
		}
		m := copy(p[n:], b[at-c.place(i):])
		n, at = n+m, at+m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// portion reads portion number i and gives it with CRLF.
func (c *crlfFile) portion(i int) ([]byte, error) {
	from, to := i*markStep, min((i+1)*markStep, c.size)
	lead := min(from, 1) // the byte in front says whether an LF is bare
	b := make([]byte, to-from+lead)
	if n, err := c.src.ReadAt(b, int64(from-lead)); n < len(b) {
		return nil, err
	}
	before := b[0]
	if lead == 0 {
		before = 0
	}
	b = b[lead:]
	if c.cr {
		return bytes.ReplaceAll(b, []byte{'\r'}, crlf), nil
	}
	return appendCRLF(make([]byte, 0, c.place(i+1)-c.place(i)), b, before), nil
}

func (l *lineEnds) append(b []byte) []byte {
	if l.plain() {
		return append(b, 0)
	}
	if l.cr {
		return append(b, 1)
	}
	b = append(b, 2)
	b = binary.AppendUvarint(b, uint64(l.count)) //nolint:gosec // not negative
	return append(b, l.runs...)
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
	rest := b
	for range count {
		if _, rest, err = uvarint(rest); err != nil {
			return nil, nil, err
		}
	}
	return &lineEnds{count: int(count), runs: b[:len(b)-len(rest)]}, rest, nil //nolint:gosec // at most len(b)
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, ErrCorrupt
	}
	return v, b[n:], nil
}

// runReader goes through the runs: left breaks are still to come of the
// current one, which is one of LF when lf.
type runReader struct {
	rest []byte
	left uint64
	lf   bool
	// last: the run goes on to the end.
	last bool
}

// reader begins with the break numbered next.
func (l *lineEnds) reader(next uint64) runReader {
	r := runReader{rest: l.runs, lf: true}
	r.turn()
	for r.left <= next && !r.last {
		next -= r.left
		r.turn()
	}
	r.left -= next
	return r
}

func (r *runReader) turn() {
	r.lf = !r.lf
	v, n := binary.Uvarint(r.rest)
	if r.left, r.last = v, n <= 0; r.last {
		r.left = math.MaxUint64
		return
	}
	r.rest = r.rest[n:]
}

// take counts n breaks, all of them in the current run, which is not used up
// then or is the last.
func (r *runReader) take(n uint64) {
	if !r.last {
		r.left -= n
	}
	for r.left == 0 && !r.last {
		r.turn()
	}
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
	var total uint64
	r := l.reader(first)
	for first < last {
		n := min(r.left, last-first)
		if r.lf {
			total += n
		}
		first += n
		r.take(n)
	}
	return int64(total)
}

// lineEndReader turns CRLF back into what the message had, beginning with the
// break numbered next.
type lineEndReader struct {
	src io.Reader
	cr  bool
	run runReader
	buf []byte
	in  []byte // unread part of buf
	err error
}

func newLineEndReader(src io.Reader, ends *lineEnds, next uint64) io.Reader {
	if ends.plain() {
		return src
	}
	r := &lineEndReader{src: src, cr: ends.cr, buf: make([]byte, 32<<10)}
	if !ends.cr {
		r.run = ends.reader(next)
	}
	return r
}

// take counts one line break and gives its bytes.
func (r *lineEndReader) take() []byte {
	if r.cr {
		return crlf[:1]
	}
	lf := r.run.lf
	r.run.take(1)
	if lf {
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
