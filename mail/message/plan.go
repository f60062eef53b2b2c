package message

import (
	"bytes"
	"io"
	"strings"
)

// The canonical text of a tree is what WildDuck's fields say: header lines,
// blank line, body or preamble, and for each part its delimiter line and
// text, then the closing delimiter. plan lists it as pieces, without copying
// and without reading stored parts. A patch turns the pieces of the canonical
// text into those of the text that was received.

// piece is a stretch of a message: text, bytes, a stored part, or a stretch of
// the source that the tree was parsed from.
type piece struct {
	text string
	data []byte
	// id names a stored part, src the source; from and size choose a range of
	// it. breaks is the number of line breaks in it. whole: all of it, even when
	// it is not as long as the tree says (WildDuck's parts may not be).
	id         string
	src        *text
	from, size int64
	whole      bool
	breaks     int
}

// far reports a piece that is not in memory.
func (p *piece) far() bool { return p.id != "" || p.src != nil }

func (p *piece) length() int64 {
	if p.far() {
		return p.size
	}
	return int64(len(p.text) + len(p.data))
}

// cut gives n bytes from offset off.
func (p *piece) cut(off, n int64) piece {
	if off == 0 && n == p.length() {
		return *p
	}
	switch {
	case p.far():
		return piece{id: p.id, src: p.src, from: p.from + off, size: n}
	case p.data != nil:
		return piece{data: p.data[off : off+n]}
	}
	return piece{text: p.text[off : off+n]}
}

// span says where a node's header, body and end are, as indexes of pieces.
type span struct{ header, body, end int }

// plan is a list of pieces with the places of all nodes in it. While it is
// made it applies the tree's operations.
type plan struct {
	pieces []piece
	// check sees the pieces instead of the list; it may refuse one.
	check func(*piece) bool
	spans map[*Node]span
	ops   *opReader
	bad   bool
	// last is the piece that is being put, here so that it is no allocation.
	last piece
}

// newPlan lists the tree's text with its operations applied. want limits
// spans to the nodes that somebody asks for; nil for none.
func newPlan(root *Node, ops []op, want map[*Node]bool) (*plan, error) {
	p := &plan{ops: newOpReader(ops)}
	if want != nil {
		p.spans = make(map[*Node]span, len(want))
	}
	if !p.whole(root, want) {
		return nil, ErrCorrupt
	}
	return p, nil
}

// checkPlan shows the pieces of a plan, one after another, and reports whether
// all were taken.
func checkPlan(root *Node, ops []op, check func(*piece) bool) bool {
	p := &plan{ops: newOpReader(ops), check: check}
	return p.whole(root, nil)
}

func (p *plan) whole(root *Node, want map[*Node]bool) bool {
	p.node(root, want)
	p.mark()
	return !p.bad && p.ops.finished()
}

func (p *plan) put(c *piece) {
	if p.check == nil {
		p.pieces = append(p.pieces, *c)
	} else if !p.bad {
		p.bad = !p.check(c)
	}
}

const lineBreak = "\r\n"

func (p *plan) node(n *Node, want map[*Node]bool) {
	s := span{}
	if want[n] {
		s.header = len(p.pieces) // what is inserted here belongs to the blank line
	}
	for _, line := range n.Header {
		p.str(line)
		p.str(lineBreak)
	}
	p.str(lineBreak)
	if want[n] {
		s.body = p.mark()
	}
	switch {
	case n.AttachmentID != "" && !n.HasBoundary:
		p.add(piece{id: n.AttachmentID, size: n.Size, whole: true, breaks: n.LineCount})
	case len(n.Body) > 0:
		p.add(piece{data: n.Body})
	case n.text != nil && n.Size > 0:
		p.add(piece{src: n.text, from: int64(n.at.body), size: n.Size, breaks: n.LineCount})
	}
	if n.HasBoundary {
		p.parts(n, want)
	}
	if want[n] {
		s.end = p.mark()
		p.spans[n] = s
	}
}

func (p *plan) parts(n *Node, want map[*Node]bool) {
	for _, child := range n.Children {
		p.str("--")
		p.str(n.Boundary)
		p.str(lineBreak)
		p.node(child, want)
		p.str(lineBreak)
	}
	p.str("--")
	p.str(n.Boundary)
	p.str("--\r\n")
}

func (p *plan) str(s string) {
	if s != "" {
		p.add(piece{text: s})
	}
}

// add applies the operations to one piece of canonical text.
func (p *plan) add(c piece) {
	if p.ops == nil {
		p.last = c
		p.put(&p.last)
		return
	}
	for off, left := int64(0), c.length(); left > 0; {
		kind, n := p.ops.next(left)
		switch kind {
		case opCopy:
			p.last = c.cut(off, n)
			p.put(&p.last)
		case opInsert:
			p.put(&piece{data: p.ops.insert()})
			continue
		case opSkip:
		}
		off, left = off+n, left-n
	}
}

// mark takes what is inserted here and gives the index of the next piece.
func (p *plan) mark() int {
	for p.ops.insertDue() {
		p.put(&piece{data: p.ops.insert()})
	}
	return len(p.pieces)
}

func totalLength(pieces []piece) int64 {
	var n int64
	for i := range pieces {
		n += pieces[i].length()
	}
	return n
}

// breaksIn counts CRLFs. Pieces are cut at line borders where it matters, so
// a CRLF is divided between two of them only by an operation.
func breaksIn(pieces []piece) uint64 {
	var n uint64
	for i := range pieces {
		n += pieces[i].lineBreaks()
	}
	return n
}

func (p *piece) lineBreaks() uint64 {
	if p.far() {
		return uint64(max(p.breaks, 0))
	}
	return uint64(strings.Count(p.text, "\n") + bytes.Count(p.data, crlf[1:])) //nolint:gosec // not negative
}

// pieceReader reads pieces one after another, opening stored parts when their
// turn comes.
type pieceReader struct {
	pieces []piece
	open   Opener
	at     int64 // place in the first piece
	// most is how many bytes are wanted from here on, -1 for all.
	most int64
	far  io.ReadCloser
}

func newPieceReader(pieces []piece, open Opener) *pieceReader {
	return &pieceReader{pieces: pieces, open: open, most: -1}
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if r.most >= 0 && int64(len(p)) > r.most {
		p = p[:r.most]
	}
	if len(p) == 0 {
		if r.most == 0 {
			return 0, io.EOF
		}
		return 0, nil
	}
	n, err := r.read(p)
	if r.most > 0 {
		r.most -= int64(n)
	}
	return n, err
}

func (r *pieceReader) read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(r.pieces) > 0 {
		q := &r.pieces[0]
		var c int
		done := false
		switch {
		case q.far() && n > 0:
			return n, nil
		case q.far():
			var err error
			if c, done, err = r.readFar(p, q); err != nil {
				return c, err
			}
		case q.data != nil:
			c = copy(p[n:], q.data[r.at:])
		default:
			c = copy(p[n:], q.text[r.at:])
		}
		n += c
		r.at += int64(c)
		if !done && (q.whole || r.at < q.length()) {
			continue
		}
		if err := r.advance(); err != nil {
			return n, err
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// advance goes to the next piece.
func (r *pieceReader) advance() error {
	r.pieces, r.at = r.pieces[1:], 0
	return r.closeFar()
}

func (r *pieceReader) closeFar() error {
	if r.far == nil {
		return nil
	}
	err := r.far.Close()
	r.far = nil
	return err
}

// readFar reads some of a piece that is not in memory.
func (r *pieceReader) readFar(p []byte, q *piece) (n int, done bool, err error) {
	if r.far == nil {
		if err := r.openFar(q); err != nil {
			return 0, false, err
		}
	}
	if !q.whole {
		p = p[:min(int64(len(p)), q.size-r.at)]
	}
	n, err = r.far.Read(p)
	if err == io.EOF {
		return n, true, nil
	}
	return n, false, err
}

func (r *pieceReader) openFar(q *piece) (err error) {
	from, count := q.from+r.at, q.size-r.at
	if q.whole {
		count = -1
	}
	if r.most >= 0 && (count < 0 || r.most < count) {
		count = r.most
	}
	switch {
	case q.src != nil:
		r.far = io.NopCloser(q.src.reader(int(from), int(from+count)))
	case r.open == nil:
		err = ErrCorrupt
	default:
		r.far, err = r.open(q.id, from, count)
	}
	return err
}

// beginsWithLF reports a piece that may begin inside a line break.
func (p *piece) beginsWithLF() bool {
	return strings.HasPrefix(p.text, "\n") || bytes.HasPrefix(p.data, crlf[1:])
}

// skip moves on by n bytes without opening what lies before.
func (r *pieceReader) skip(n int64) {
	for n > 0 && len(r.pieces) > 0 {
		l := r.pieces[0].length()
		if n < l {
			r.at = n
			return
		}
		n -= l
		r.pieces = r.pieces[1:]
	}
}

// skipLines is skip where line ends are not all CRLF. It moves on by whole
// pieces; the result is what is still to be skipped, and the number of the
// next line break.
func (r *pieceReader) skipLines(n int64, ends *lineEnds, next uint64) (left int64, first uint64) {
	for n > 0 && len(r.pieces) > 0 {
		q := &r.pieces[0]
		breaks := q.lineBreaks()
		length := q.length() - ends.short(next, next+breaks)
		if n < length || length < 0 || len(r.pieces) > 1 && r.pieces[1].beginsWithLF() {
			break
		}
		n -= length
		next += breaks
		r.pieces = r.pieces[1:]
	}
	return n, next
}

// Close lets go of a stored part that is open.
func (r *pieceReader) Close() error {
	r.pieces = nil
	return r.closeFar()
}
