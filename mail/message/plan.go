package message

import "io"

// The canonical text of a tree is what WildDuck's fields say: header lines,
// blank line, body or preamble, and for each part its delimiter line and
// text, then the closing delimiter. plan lists it as pieces, without copying
// and without reading stored parts. A patch turns the pieces of the canonical
// text into those of the text that was received.

// piece is a stretch of a message: text, bytes, or a stored part.
type piece struct {
	text string
	data []byte
	// id names a stored part; from and size choose a range of it. breaks is
	// the number of line breaks in all of it.
	id         string
	from, size int64
	whole      bool
	breaks     int
}

func (p *piece) length() int64 {
	if p.id != "" {
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
	case p.id != "":
		return piece{id: p.id, from: p.from + off, size: n}
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
	spans  map[*Node]span
	ops    *opReader
	bad    bool
}

// newPlan lists the tree's text with its operations applied. want limits
// spans to the nodes that somebody asks for; nil for none.
func newPlan(root *Node, ops []op, want map[*Node]bool) (*plan, error) {
	p := &plan{ops: newOpReader(ops)}
	if want != nil {
		p.spans = make(map[*Node]span, len(want))
	}
	p.node(root, want)
	p.mark()
	if p.bad || !p.ops.finished() {
		return nil, ErrCorrupt
	}
	return p, nil
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
	if n.AttachmentID != "" && !n.HasBoundary {
		p.add(piece{id: n.AttachmentID, size: n.Size, whole: true, breaks: n.LineCount})
	} else if len(n.Body) > 0 {
		p.add(piece{data: n.Body})
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
		p.pieces = append(p.pieces, c)
		return
	}
	for off, left := int64(0), c.length(); left > 0; {
		kind, n := p.ops.next(left)
		switch kind {
		case opCopy:
			p.pieces = append(p.pieces, c.cut(off, n))
		case opInsert:
			p.pieces = append(p.pieces, piece{data: p.ops.insert()})
			continue
		case opSkip:
		}
		off, left = off+n, left-n
	}
}

// mark takes what is inserted here and gives the index of the next piece.
func (p *plan) mark() int {
	for p.ops.insertDue() {
		p.pieces = append(p.pieces, piece{data: p.ops.insert()})
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
		switch q := &pieces[i]; {
		case q.id != "":
			n += uint64(max(q.breaks, 0))
		default:
			for j := range len(q.text) {
				if q.text[j] == '\n' {
					n++
				}
			}
			for _, c := range q.data {
				if c == '\n' {
					n++
				}
			}
		}
	}
	return n
}

// pieceReader reads pieces one after another, opening stored parts when their
// turn comes.
type pieceReader struct {
	pieces []piece
	open   Opener
	at     int64 // place in the first piece
	stored io.ReadCloser
	left   int64 // what is still to be read of a range; -1 for all
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := 0
	for n < len(p) && len(r.pieces) > 0 {
		q := &r.pieces[0]
		if q.id != "" {
			if n > 0 {
				return n, nil
			}
			c, done, err := r.readStored(p, q)
			if err != nil {
				return c, err
			}
			n += c
			if done {
				r.advance()
			} else if c > 0 {
				return n, nil
			}
			continue
		}
		var c int
		if q.data != nil {
			c = copy(p[n:], q.data[r.at:])
		} else {
			c = copy(p[n:], q.text[r.at:])
		}
		n += c
		if r.at += int64(c); r.at >= q.length() {
			r.advance()
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *pieceReader) advance() { r.pieces, r.at = r.pieces[1:], 0 }

// readStored reads some of a stored part.
func (r *pieceReader) readStored(p []byte, q *piece) (n int, done bool, err error) {
	if r.stored == nil {
		if err := r.openStored(q); err != nil {
			return 0, false, err
		}
	}
	if r.left >= 0 && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	if len(p) > 0 {
		n, err = r.stored.Read(p)
	}
	if r.left >= 0 {
		r.left -= int64(n)
	}
	if err == io.EOF || r.left == 0 { //nolint:errorlint // readers return io.EOF itself
		done, err = true, nil
	}
	if done || err != nil {
		closeErr := r.stored.Close()
		r.stored = nil
		if err == nil {
			err = closeErr
		}
	}
	return n, done, err
}

func (r *pieceReader) openStored(q *piece) error {
	if r.open == nil {
		return ErrCorrupt
	}
	stored, err := r.open(q.id)
	if err != nil {
		return err
	}
	if skip := q.from + r.at; skip > 0 {
		if _, err := io.CopyN(io.Discard, stored, skip); err != nil {
			_ = stored.Close() // the first error says more
			return err
		}
	}
	r.stored, r.left = stored, q.size-r.at
	if q.whole {
		r.left = -1
	}
	return nil
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
		r.advance()
	}
}

// Close lets go of a stored part that is open.
func (r *pieceReader) Close() error {
	r.pieces = nil
	if r.stored == nil {
		return nil
	}
	err := r.stored.Close()
	r.stored = nil
	return err
}
