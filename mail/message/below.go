package message

import (
	"bytes"
	"slices"
)

// Below gives the message as ParseSource would find it with head on top, which
// is whole trace fields, CRLF at the end of each line: what a delivery adds for
// one recipient. Parts, texts and attachments are shared with m, which stays as
// it is, and must not be changed.
//
// ok is false when only parsing can tell: the fields are others than Return-Path,
// Delivered-To and Received, the message has line ends of several kinds, does not
// begin with a field, or is near a limit.
func (m *Message) Below(head []byte) (out *Message, ok bool) {
	lines, ok := traceLines(head)
	if !ok || !m.takesFields(len(head), len(lines)) {
		return nil, false
	}
	patchData, ok := patchBelow(m.Patch, len(head))
	if !ok {
		return nil, false
	}
	root := *m.Root
	root.Header = slices.Concat(lines, m.Root.Header)
	root.Parsed = parsedBelow(lines, m.Root)
	below := *m
	below.Root, below.Patch = &root, patchData
	below.Size += int64(len(head))
	below.Headers = slices.Concat(indexedHeaders(lines), m.Headers)
	below.Headers = below.Headers[:min(len(below.Headers), maxIndexed)]
	return &below, true
}

// traceLines are the fields of head, none of which changes what is known of a
// message otherwise.
func traceLines(head []byte) ([]string, bool) {
	if breaks := bytes.Count(head, crlf); !bytes.HasSuffix(head, crlf) || bytes.Count(head, crlf[:1]) != breaks || bytes.Count(head, crlf[1:]) != breaks {
		return nil, false
	}
	p := &parser{text: BytesSource(head).text()}
	n := &Node{text: p.text}
	p.header(n)
	if len(p.defects) > 0 || n.at.headerEnd != len(head) || len(n.Header) == 0 {
		return nil, false
	}
	for _, line := range n.Header {
		name, value, _ := splitField(line)
		switch lowerKey(name) {
		case "return-path", "delivered-to", "received":
		default:
			return nil, false
		}
		if !isASCII(value) {
			return nil, false // what charset it is in, the message below tells
		}
	}
	return n.Header, true
}

// takesFields reports whether so many bytes and lines of header on top change
// nothing below them.
func (m *Message) takesFields(size, lines int) bool {
	first := m.Root
	if first.flat || first.text == nil || len(first.Header) == 0 || !looksLikeField([]byte(first.Header[0])) ||
		slices.Contains(m.Defects, defectHeader) || slices.Contains(m.Defects, defectGivenUp) {
		return false
	}
	own := first.at.headerEnd - first.at.header
	all, count := 0, 0
	first.Parts(func(n *Node) {
		all += n.at.headerEnd - n.at.header
		count += len(n.Header)
	})
	const near = 8 << 10 // a line that was not taken counts as well
	return own+size+near < maxHeader && all+size+near < maxHeaders && count+lines+near < maxHeaderLines
}

// patchBelow moves a patch down by size bytes.
func patchBelow(data []byte, size int) ([]byte, bool) {
	if len(data) == 0 {
		return data, true
	}
	p, err := readPatch(data)
	if err != nil || !p.ends.plain() {
		return nil, false
	}
	if len(p.trees) > 0 && len(p.trees[0]) > 0 {
		p.trees[0][0].copy += uint64(size) //nolint:gosec // not negative
	}
	data = p.marshal()
	return data, len(data) <= maxPatch
}

// parsedBelow is the analysed header with the lines on top.
func parsedBelow(lines []string, root *Node) ParsedHeader {
	index := map[string]bool{}
	for _, line := range lines {
		name, _, _ := splitField(line)
		index[lowerKey(name)] = true
	}
	top := &Node{Header: slices.Clone(lines)}
	for _, line := range root.Header {
		if name, _, _ := splitField(line); index[lowerKey(name)] {
			top.Header = append(top.Header, line)
		}
	}
	var p parser
	p.analyse(top, "")
	out := make(ParsedHeader, 0, len(root.Parsed)+len(index))
	for _, f := range top.Parsed {
		if index[f.Key] { // and not the Content-Type that is there when none is
			out = append(out, f)
		}
	}
	for _, f := range root.Parsed {
		if !index[f.Key] {
			out = append(out, f)
		}
	}
	return out
}
