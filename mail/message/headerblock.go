package message

import (
	"bytes"
	"strings"
)

// header reads the header lines at p.pos and leaves p.pos at the body. A
// delimiter line ends a header as well; then p.hit is set.
func (p *parser) header(n *Node) {
	// A line that is cut off at the end of the block is over the limit.
	b := blockReader{p: p, first: p.pos, block: p.text.at(p.pos, maxHeader+maxDelimiter)}
	places := make([]int, 2*usualLines)
	b.starts, b.ends = places[:0:usualLines], places[usualLines:usualLines]
	for !b.done {
		b.next()
	}
	n.at.headerEnd = b.first + b.end
	n.Header = b.lines()
	p.headerBytes += b.end
	p.headerLines += len(n.Header)
}

// usualLines are as many as most messages have.
const usualLines = 32

// blockReader finds the fields of one header.
type blockReader struct {
	p     *parser
	first int // place of the block in the text
	block []byte
	pos   int // place in the block, like all that follow
	end   int // end of the last line that belongs to it, with its line end
	// starts are the places where fields begin, ends where their text ends.
	starts, ends []int
	done         bool
}

func (b *blockReader) next() {
	if b.pos >= len(b.block) {
		b.stop(b.pos)
		return
	}
	line, next := cutLine(b.block, b.pos)
	if b.block[b.pos] == '-' {
		if hit := b.p.delimiter(line, b.first+b.pos, b.first+next); hit.level != 0 {
			b.stop(b.pos)
			b.p.hit = hit
			return
		}
	}
	if isBlank(line) && next > b.pos+len(line) {
		b.stop(next)
		return
	}
	if b.overLimit(next) {
		b.p.defects.add(defectHeader)
		b.stop(b.pos)
		return
	}
	switch {
	case len(b.starts) > 0 && isWSP(line[0]):
		b.ends[len(b.ends)-1] = b.pos + len(line)
	case !b.isField(line, next):
		b.p.defects.add(defectNoBlank)
		b.stop(b.pos)
		return
	default:
		b.starts = append(b.starts, b.pos)
		b.ends = append(b.ends, b.pos+len(line))
	}
	b.pos = next
}

// stop ends the header; the body begins at the place.
func (b *blockReader) stop(body int) {
	b.done, b.end = true, b.pos
	b.p.pos = b.first + body
}

func (b *blockReader) overLimit(next int) bool {
	return next > maxHeader || b.p.headerBytes+next > maxHeaders || b.p.headerLines+len(b.starts) >= maxHeaderLines
}

// isField decides about a line that is neither blank nor a continuation. A
// line without a field name mostly means that the blank line is missing; but
// when a field follows right after it, it is dirt between fields: a badly
// folded line, or the From_ line of a mailbox file.
func (b *blockReader) isField(line []byte, next int) bool {
	if fieldName(line) > 0 {
		return true
	}
	if isWSP(line[0]) {
		return false
	}
	after, _ := cutLine(b.block, min(next, len(b.block)))
	if !looksLikeField(after) {
		return false
	}
	b.p.defects.add(defectDirt)
	return true
}

// lines makes the strings, all from one copy of the block.
func (b *blockReader) lines() []string {
	if len(b.starts) == 0 {
		return nil
	}
	block := string(b.block[:b.end])
	out := make([]string, len(b.starts))
	for i := range out {
		out[i] = block[b.starts[i]:b.ends[i]]
	}
	return out
}

// cutLine gives the text of the line at start, and the start of the next.
func cutLine(block []byte, start int) (line []byte, next int) {
	rest := block[start:]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		return rest, len(block)
	}
	end := i
	if end > 0 && rest[end-1] == '\r' {
		end--
	}
	return rest[:end], start + i + 1
}

// isBlank reports an empty line; CRs alone do not fill it.
func isBlank(line []byte) bool { return len(bytes.Trim(line, "\r")) == 0 }

// fieldName gives the length of the field name that the line begins with, 0
// for none. RFC 5322 2.2: printable characters but the colon; RFC 5322 4.5
// allows white space before the colon.
func fieldName(line []byte) int {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return 0
	}
	for i > 0 && isWSP(line[i-1]) {
		i--
	}
	for _, c := range line[:i] {
		if c <= ' ' || c == 0x7f {
			return 0
		}
	}
	return i
}

// looksLikeField is stricter: a plain name, a colon, then white space or the
// end of the line.
func looksLikeField(line []byte) bool {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || i > 76 || (line[0]|0x20 < 'a' || line[0]|0x20 > 'z') {
		return false
	}
	for _, c := range line[:i] {
		if !isKeyChar(c) {
			return false
		}
	}
	return i+1 == len(line) || isSpace(line[i+1])
}

// isKeyChar: WildDuck analyses fields and parameters with such names only.
func isKeyChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '*'
}

func isKey(s string) bool {
	if s == "" || len(s) >= 100 {
		return false
	}
	for i := range len(s) {
		if !isKeyChar(s[i]) {
			return false
		}
	}
	return true
}

// splitField divides a header line into its name and the rest, both trimmed.
func splitField(line string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(line, ":")
	return strings.TrimSpace(key), strings.TrimSpace(value), ok
}

// unfold removes line breaks (RFC 5322 2.2.3), with the white space around
// each made one space, as WildDuck does.
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(strings.TrimRight(s[:i], " \t\r"))
		b.WriteByte(' ')
		s = strings.TrimLeft(s[i+1:], " \t\r\n")
	}
}
