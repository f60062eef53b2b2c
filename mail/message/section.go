package message

import (
	"io"
	"strings"
)

// SectionKind is the part of IMAP's section-spec after the part number.
type SectionKind int

// Kinds of section (RFC 9051 6.4.5.1).
const (
	// SectionBody is BODY[] or BODY[1.2]: a whole message, or a part's body.
	SectionBody SectionKind = iota
	// SectionHeader is HEADER: of the message, or of a message/rfc822 part.
	SectionHeader
	// SectionHeaderFields is HEADER.FIELDS (names).
	SectionHeaderFields
	// SectionHeaderFieldsNot is HEADER.FIELDS.NOT (names).
	SectionHeaderFieldsNot
	// SectionText is TEXT: what follows the header of a message.
	SectionText
	// SectionMIME is n.MIME: the MIME header of a part.
	SectionMIME
)

// Section names a stretch of a message as IMAP does.
type Section struct {
	// Path is the part number, empty for the message itself.
	Path []int
	Kind SectionKind
	// Fields are the names for HEADER.FIELDS and HEADER.FIELDS.NOT.
	Fields []string
	// Partial selects <Start.Count>; Start and Count are bytes.
	Partial      bool
	Start, Count int64
}

// SectionReader reads a section: exactly the bytes that stand in the
// message received. HEADER.FIELDS and HEADER.FIELDS.NOT are made of the
// fields' lines, with CRLF and a blank line at the end. Only the stored parts
// that the section touches are opened. The reader may be closed
// (io.ReadCloser) when it is not read to the end.
//
// The error is ErrSection when there is no such section, or ErrCorrupt. A
// start beyond the end gives no bytes (RFC 9051 6.4.5).
func SectionReader(root *Node, patchData []byte, open Opener, spec Section) (io.Reader, error) {
	s, err := resolve(root, patchData, spec)
	if err != nil {
		return nil, err
	}
	return s.reader(open, spec), nil
}

// SectionSize is the number of bytes that SectionReader gives. It reads no
// stored part; it relies on the sizes in the tree.
func SectionSize(root *Node, patchData []byte, spec Section) (int64, error) {
	s, err := resolve(root, patchData, spec)
	if err != nil {
		return 0, err
	}
	size := s.size()
	if spec.Partial {
		size = max(0, min(size-max(spec.Start, 0), spec.Count))
	}
	return size, nil
}

// stretch is a resolved section.
type stretch struct {
	pieces []piece
	ends   *lineEnds
	// first is the number of line breaks before it.
	first uint64
}

func (s *stretch) size() int64 {
	n := totalLength(s.pieces)
	if s.ends.plain() {
		return n
	}
	return n - s.ends.short(s.first, s.first+breaksIn(s.pieces))
}

func (s *stretch) reader(open Opener, spec Section) io.Reader {
	src := newPieceReader(s.pieces, open)
	if !spec.Partial {
		return sectionReader{newLineEndReader(src, s.ends, s.first), src}
	}
	skip, count := max(spec.Start, 0), max(spec.Count, 0)
	first := s.first
	if s.ends.plain() {
		src.skip(skip)
		skip, src.most = 0, count
	} else {
		skip, first = src.skipLines(skip, s.ends, first)
	}
	r := newLineEndReader(src, s.ends, first)
	if skip > 0 {
		r = &skipReader{r, skip}
	}
	return sectionReader{io.LimitReader(r, count), src}
}

type sectionReader struct {
	io.Reader
	io.Closer
}

// skipReader drops bytes before the first read.
type skipReader struct {
	r    io.Reader
	skip int64
}

func (s *skipReader) Read(p []byte) (int, error) {
	if s.skip > 0 {
		n, err := io.CopyN(io.Discard, s.r, s.skip)
		s.skip -= n
		if err != nil {
			return 0, err
		}
	}
	return s.r.Read(p)
}

// found is the way to a node: the trees that were entered and the parts
// through which they were.
type found struct {
	node *Node
	// message: the path ends at a message (the root), not at a part.
	message bool
	// tree is the root of the tree that holds the node, through the
	// message/rfc822 parts on the way.
	tree    *Node
	through []*Node
}

// locate follows a part number. RFC 9051 6.4.5.1: every message has at least
// one part number; a message that is not multipart has part 1, its body.
func locate(root *Node, path []int) (found, bool) {
	f := found{node: root, message: true, tree: root}
	for _, k := range path {
		n, message := f.node, f.message
		if !message && n.Message != nil {
			f.through = append(f.through, n)
			n, message = n.Message, true
			f.tree = n
		}
		switch {
		case k < 1:
			return f, false
		case len(n.Children) > 0:
			if k > len(n.Children) {
				return f, false
			}
			f.node, f.message = n.Children[k-1], false
		case message && k == 1:
			f.node, f.message = n, false
		default:
			return f, false
		}
	}
	return f, true
}

// resolve finds the pieces of a section.
func resolve(root *Node, patchData []byte, spec Section) (*stretch, error) {
	p, err := readPatch(patchData)
	if err != nil {
		return nil, err
	}
	f, ok := locate(root, spec.Path)
	if !ok {
		return nil, ErrSection
	}
	if spec.Kind != SectionMIME && spec.Kind != SectionBody && !f.message {
		// HEADER and TEXT of a part are those of the message inside.
		if f.node.Message == nil {
			return nil, ErrSection
		}
		f.through = append(f.through, f.node)
		f.node, f.tree, f.message = f.node.Message, f.node.Message, true
	}
	if spec.Kind == SectionMIME && f.message {
		return nil, ErrSection
	}
	if spec.Kind == SectionHeaderFields || spec.Kind == SectionHeaderFieldsNot {
		return headerFields(f.node, spec), nil
	}
	return p.cut(root, &f, spec.Kind)
}

// cut takes the section's pieces out of the tree that holds it.
func (p *patch) cut(root *Node, f *found, kind SectionKind) (*stretch, error) {
	numbers := treeNumbers(root)
	s := &stretch{ends: p.ends}
	tree := root
	for _, part := range f.through {
		at, before, err := p.place(tree, part, numbers[tree])
		if err != nil {
			return nil, err
		}
		s.first += breaksIn(before.pieces[:at.body])
		tree = part.Message
	}
	at, pl, err := p.place(tree, f.node, numbers[tree])
	if err != nil {
		return nil, err
	}
	from, to := at.body, at.end
	switch {
	case kind == SectionHeader || kind == SectionMIME:
		from, to = at.header, at.body
	case kind == SectionBody && f.message && f.node == root:
		from, to = 0, len(pl.pieces)
	}
	s.pieces = pl.pieces[from:to]
	if !s.ends.plain() {
		s.first += breaksIn(pl.pieces[:from])
	}
	return s, nil
}

func (p *patch) place(tree, n *Node, number int) (span, *plan, error) {
	pl, err := newPlan(tree, p.tree(number), map[*Node]bool{n: true})
	if err != nil {
		return span{}, nil, err
	}
	return pl.spans[n], pl, nil
}

// treeNumbers numbers the root and the opened messages as makePatch does.
func treeNumbers(root *Node) map[*Node]int {
	numbers := map[*Node]int{root: 0}
	var walk func(n *Node)
	walk = func(n *Node) {
		if n.Message != nil {
			numbers[n.Message] = len(numbers)
			walk(n.Message)
			return
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(root)
	return numbers
}

// headerFields filters a header. RFC 9051 6.4.5.1: a blank line ends it in
// any case, and names are compared without regard to case.
func headerFields(n *Node, spec Section) *stretch {
	want := make(map[string]bool, len(spec.Fields))
	for _, name := range spec.Fields {
		want[strings.ToLower(strings.TrimSpace(name))] = true
	}
	s := &stretch{}
	for _, line := range n.Header {
		key, _, _ := splitField(line)
		if want[strings.ToLower(key)] == (spec.Kind == SectionHeaderFields) {
			s.pieces = append(s.pieces, piece{text: line}, piece{text: lineBreak})
		}
	}
	s.pieces = append(s.pieces, piece{text: lineBreak})
	return s
}
