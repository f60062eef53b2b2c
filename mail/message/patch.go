package message

import "encoding/binary"

// A patch is what WildDuck's fields cannot express. Its bytes are:
//
//	version 1
//	line ends (lineends.go): what CRLFs stand for in the message received
//	number of trees, then for each: number of operations, then each one as
//	  copy n, skip n, insert length, inserted bytes
//
// Trees are the root and each opened message/rfc822, in walk order; the text
// of the latter is the body of its part. What follows the last operation is
// copied. Numbers are uvarints. An ordinary message has no patch.
const patchVersion = 1

// op copies from the canonical text, then skips, then inserts.
type op struct {
	copy, skip uint64
	insert     []byte
}

type patch struct {
	ends  *lineEnds
	trees [][]op
}

func (p *patch) marshal() []byte {
	trees := p.trees
	for len(trees) > 0 && len(trees[len(trees)-1]) == 0 {
		trees = trees[:len(trees)-1]
	}
	if p.ends.plain() && len(trees) == 0 {
		return nil
	}
	b := p.ends.append([]byte{patchVersion})
	b = binary.AppendUvarint(b, uint64(len(trees)))
	for _, ops := range trees {
		b = binary.AppendUvarint(b, uint64(len(ops)))
		for i := range ops {
			b = binary.AppendUvarint(b, ops[i].copy)
			b = binary.AppendUvarint(b, ops[i].skip)
			b = binary.AppendUvarint(b, uint64(len(ops[i].insert)))
			b = append(b, ops[i].insert...)
		}
	}
	return b
}

func readPatch(b []byte) (*patch, error) {
	p := &patch{}
	if len(b) == 0 {
		return p, nil
	}
	if b[0] != patchVersion {
		return nil, ErrCorrupt
	}
	var err error
	if p.ends, b, err = readLineEnds(b[1:]); err != nil {
		return nil, err
	}
	trees, b, err := uvarint(b)
	if err != nil || trees > uint64(len(b)) {
		return nil, ErrCorrupt
	}
	for range trees {
		var ops []op
		if ops, b, err = readOps(b); err != nil {
			return nil, err
		}
		p.trees = append(p.trees, ops)
	}
	if len(b) > 0 {
		return nil, ErrCorrupt
	}
	return p, nil
}

func readOps(b []byte) ([]op, []byte, error) {
	count, b, err := uvarint(b)
	if err != nil || count > uint64(len(b)) {
		return nil, nil, ErrCorrupt
	}
	ops := make([]op, count)
	for i := range ops {
		o := &ops[i]
		if o.copy, b, err = uvarint(b); err != nil {
			return nil, nil, err
		}
		if o.skip, b, err = uvarint(b); err != nil {
			return nil, nil, err
		}
		var n uint64
		if n, b, err = uvarint(b); err != nil || n > uint64(len(b)) {
			return nil, nil, ErrCorrupt
		}
		o.insert, b = b[:n:n], b[n:]
	}
	return ops, b, nil
}

// tree gives the operations of the tree with the number.
func (p *patch) tree(i int) []op {
	if i < len(p.trees) {
		return p.trees[i]
	}
	return nil
}

type opKind int

const (
	opCopy opKind = iota
	opSkip
	opInsert
)

// opReader hands operations out in portions. nil copies everything.
type opReader struct {
	ops []op
	cur op
	// live: cur still has something to say.
	live bool
}

func newOpReader(ops []op) *opReader {
	if len(ops) == 0 {
		return nil
	}
	return &opReader{ops: ops[1:], cur: ops[0], live: true}
}

// settle moves on from an operation that is done.
func (r *opReader) settle() {
	for r.live && r.cur.copy == 0 && r.cur.skip == 0 && len(r.cur.insert) == 0 {
		if len(r.ops) == 0 {
			r.live = false
			return
		}
		r.cur, r.ops = r.ops[0], r.ops[1:]
	}
}

// next says what to do with up to left bytes of canonical text.
func (r *opReader) next(left int64) (opKind, int64) {
	r.settle()
	limit := uint64(left) //nolint:gosec // left is positive
	switch {
	case !r.live:
		return opCopy, left
	case r.cur.copy > 0:
		n := min(limit, r.cur.copy)
		r.cur.copy -= n
		return opCopy, int64(n) //nolint:gosec // at most left
	case r.cur.skip > 0:
		n := min(limit, r.cur.skip)
		r.cur.skip -= n
		return opSkip, int64(n) //nolint:gosec // at most left
	}
	return opInsert, 0
}

func (r *opReader) insertDue() bool {
	if r == nil {
		return false
	}
	r.settle()
	return r.live && r.cur.copy == 0 && r.cur.skip == 0
}

func (r *opReader) insert() []byte {
	b := r.cur.insert
	r.cur.insert = nil
	return b
}

func (r *opReader) finished() bool {
	if r == nil {
		return true
	}
	r.settle()
	return !r.live
}

// differ finds the operations that lead from a tree's canonical text to the
// text it was parsed from. It walks the tree as plan does.
type differ struct {
	text  *text
	cur   int // place in the text
	limit int // end of the tree's text
	ops   []op
	// size is about how many bytes the operations take. Over maxPatch they are
	// not complete.
	size int
}

// treeOps gives the operations for the tree at root, whose text is [from, to).
func treeOps(t *text, root *Node, from, to int) (ops []op, size int) {
	d := &differ{text: t, cur: from, limit: to}
	d.node(root)
	d.insertTo(to)
	return d.finish(), d.size
}

// finish drops a copy at the end, which is implied.
func (d *differ) finish() []op {
	if n := len(d.ops); n > 0 && d.ops[n-1].skip == 0 && len(d.ops[n-1].insert) == 0 {
		return d.ops[:n-1]
	}
	return d.ops
}

func (d *differ) node(n *Node) {
	// The header lines are in the text as they are in the tree, line ends
	// included.
	d.stretch(n.at.header, n.at.headerEnd)
	if len(n.Header) > 0 && (n.at.headerEnd-n.at.header < 2 || !d.text.has(n.at.headerEnd-2, crlf)) {
		d.skip(2)
	}
	d.blank(min(n.at.body, d.limit))
	d.stretch(n.at.body, n.at.own)
	if n.HasBoundary {
		d.parts(n)
	}
}

// blank is the line that ends a header; body is where the body begins. The
// line may hold CRs, or be missing.
func (d *differ) blank(body int) {
	if body-d.cur < 2 {
		d.skip(2)
	} else {
		d.insertTo(body - 2)
		d.same(crlf)
	}
	d.insertTo(body)
}

func (d *differ) parts(n *Node) {
	delim := []byte("--" + n.Boundary)
	for _, c := range n.Children {
		d.insertTo(c.at.delim)
		d.same(delim)
		d.insertTo(c.at.delimEnd)
		d.padding(c.at.header)
		d.same(crlf)
		d.node(c)
		d.insertTo(c.at.end)
		d.lineBreak(n.at.end)
	}
	if n.at.close < 0 {
		d.skip(len(delim) + 4)
		return
	}
	d.insertTo(n.at.close)
	d.same(append(delim, "--"...))
	d.insertTo(n.at.closeEnd)
	d.padding(d.lineEnd(n.at.closeEnd))
	d.lineBreak(n.at.end)
	d.insertTo(n.at.end)
}

// padding inserts what stands between a delimiter and its line end; next is
// the start of the next line.
func (d *differ) padding(next int) {
	end := min(next, d.limit)
	if end-2 >= d.cur && d.text.has(end-2, crlf) {
		end -= 2
	}
	d.insertTo(end)
}

func (d *differ) lineEnd(from int) int {
	if i := d.text.find(crlf[1:], from, d.text.size); i >= 0 {
		return i + 1
	}
	return d.text.size
}

// lineBreak is a CRLF that is there only when it lies before end.
func (d *differ) lineBreak(end int) {
	if d.cur+2 <= min(end, d.limit) && d.text.has(d.cur, crlf) {
		d.same(crlf)
		return
	}
	d.skip(2)
}

// stretch: the canonical text goes on with [from, to) of the text itself.
func (d *differ) stretch(from, to int) {
	n := 0
	if d.cur == from {
		n = max(0, min(to, d.limit)-from)
	}
	d.agree(n)
	d.skip(to - from - n)
}

// same: the canonical text goes on with c, and so does the text, as far as
// they agree. c is short.
func (d *differ) same(c []byte) {
	have := d.text.at(d.cur, min(len(c), d.limit-d.cur))
	n := 0
	for n < len(have) && have[n] == c[n] {
		n++
	}
	d.agree(n)
	d.skip(len(c) - n)
}

// agree: both have the next n bytes.
func (d *differ) agree(n int) {
	if n <= 0 {
		return
	}
	d.cur += n
	o := d.op()
	if o.skip > 0 || len(o.insert) > 0 {
		o = d.add()
	}
	o.copy += uint64(n)
}

func (d *differ) skip(n int) {
	if n <= 0 {
		return
	}
	o := d.op()
	if len(o.insert) > 0 {
		o = d.add()
	}
	o.skip += uint64(n)
}

// insertTo: the text has something up to the place that the canonical text lacks.
func (d *differ) insertTo(to int) {
	to = min(to, d.limit)
	if to <= d.cur {
		return
	}
	if d.size += to - d.cur; d.size <= maxPatch {
		o := d.op()
		o.insert = append(o.insert, d.text.bytes(d.cur, to)...)
	}
	d.cur = to
}

func (d *differ) op() *op {
	if len(d.ops) == 0 {
		return d.add()
	}
	return &d.ops[len(d.ops)-1]
}

func (d *differ) add() *op {
	d.ops = append(d.ops, op{})
	d.size += 6
	return &d.ops[len(d.ops)-1]
}
