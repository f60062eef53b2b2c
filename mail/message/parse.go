package message

import (
	"bytes"
	"strings"
)

// parser reads one message in a single pass. All multiparts that are open
// share one table of boundaries, so that each delimiter line is looked up
// once whatever the depth.
type parser struct {
	text *text // CRLF line ends only
	pos  int
	// open maps the boundaries in use to their depth in the nesting.
	open  map[string]int
	depth int
	// hit is the delimiter line that ended the part just read.
	hit delimiter

	parts, headerBytes, headerLines int
	messages, sniffs, preambles     int
	// stopped: a bound was reached; delimiters are not looked for any more.
	stopped bool
	defects defects
}

// delimiter is a line that begins with -- and a boundary in use.
type delimiter struct {
	start, end, next int // of the line, of its text, of the line after it
	level            int // 0 for none
	closing          bool
}

// parseTree reads the MIME tree of a message with CRLF line ends.
func parseTree(t *text, found *defects) *Node {
	p := &parser{text: t, defects: *found}
	root := p.node("")
	*found = p.defects
	return root
}

// node reads one part or message at p.pos up to the next delimiter of an
// outer multipart, or to the end. fallback is the Content-Type of a part
// that names none.
func (p *parser) node(fallback string) *Node {
	p.parts++
	p.hit = delimiter{}
	n := &Node{text: p.text, at: place{delim: -1, close: -1, header: p.pos}}
	p.header(n)
	p.analyse(n, fallback)
	if p.hit.level != 0 {
		n.at.body, n.at.end = p.hit.start, p.hit.start
		p.leaf(n)
		return n
	}
	n.at.body = p.pos
	p.depth++
	switch ct := n.ContentType(); {
	case p.stopped:
		p.hit = delimiter{}
		n.at.end = p.text.size
		p.leaf(n)
	case ct.Type == "multipart":
		p.multipart(n, ct)
	case ct.Type == "message" && (ct.Subtype == "rfc822" || ct.Subtype == "global"):
		p.message(n)
	default:
		p.hit = p.find(p.pos)
		n.at.end = p.endBefore(n.at.body)
		p.leaf(n)
	}
	p.depth--
	return n
}

// leaf fills in the body's fields. A body in memory is the part's at once, one
// in a file when it is to be kept.
func (p *parser) leaf(n *Node) {
	n.ownUpTo(n.at.end)
	if n.text.file == nil {
		n.Body = n.start(int(n.Size))
	}
}

// ownUpTo says where the node's own body ends.
func (n *Node) ownUpTo(end int) {
	n.at.own = max(end, n.at.body)
	n.Size = int64(n.at.own - n.at.body)
	n.LineCount = n.text.breaks(n.at.body, n.at.own)
}

// endBefore is where content ends that began at from and was ended by p.hit.
// RFC 2046 5.1.1: the line break before a delimiter belongs to the delimiter.
func (p *parser) endBefore(from int) int {
	if p.hit.level == 0 {
		return p.text.size
	}
	return max(from, p.hit.start-2)
}

// message opens a message/rfc822 that is not encoded.
func (p *parser) message(n *Node) {
	switch n.TransferEncoding() {
	case "7bit", "8bit", "binary":
	default:
		// RFC 2046 5.2.1 forbids it. The part is kept as an attachment.
		p.defects.add(defectEncodedPart)
		p.skipLeaf(n)
		return
	}
	if p.messages >= maxMessages || p.depth >= maxDepth || p.parts >= maxParts {
		p.defects.add(defectDepth)
		p.skipLeaf(n)
		return
	}
	p.messages++
	inner := p.node("")
	p.messages--
	n.at.end = p.endBefore(n.at.body)
	p.leaf(n)
	if n.Size > 0 {
		n.Message = inner
	}
}

func (p *parser) skipLeaf(n *Node) {
	p.hit = p.find(p.pos)
	n.at.end = p.endBefore(n.at.body)
	p.leaf(n)
}

// multipart reads the parts between delimiters. Where none is found the body
// is kept whole.
func (p *parser) multipart(n *Node, ct *ContentValue) {
	boundary := strings.TrimRight(DecodeHeader(ct.Param("boundary")), " \t")
	switch enc := n.TransferEncoding(); enc {
	case "base64", "quoted-printable":
		p.defects.add(defectEncodedPart) // RFC 2045 6.4; the structure is mostly there all the same
	}
	if p.depth >= maxDepth {
		p.defects.add(defectDepth)
		p.skipLeaf(n)
		return
	}
	if len(boundary) > maxBoundary {
		boundary = ""
	}
	if _, used := p.open[boundary]; used {
		p.defects.add(defectSameBoundary)
		p.skipLeaf(n)
		return
	}
	found := boundary != "" && p.firstDelimiter(n, boundary)
	if !found {
		if boundary == "" {
			p.defects.add(defectNoBoundary)
		} else {
			p.defects.add(defectWrong)
		}
		if boundary, found = p.sniff(n); found {
			found = p.firstDelimiter(n, boundary)
		}
	}
	if !found {
		p.skipLeaf(n)
		return
	}
	n.Multipart, n.Boundary, n.HasBoundary = ct.Subtype, boundary, true
	n.ownUpTo(p.hit.start)
	n.Body = n.start(maxPreamble)
	p.children(n, ct)
	delete(p.open, boundary)
}

// firstDelimiter opens the boundary and looks for its first delimiter line.
// When there is none before an outer delimiter it closes the boundary again.
func (p *parser) firstDelimiter(n *Node, boundary string) bool {
	if p.open == nil {
		p.open = make(map[string]int, 4)
	}
	p.open[boundary] = p.depth
	hit := p.find(n.at.body)
	for hit.level == p.depth && hit.closing {
		hit = p.find(hit.next)
	}
	if size := hit.start - n.at.body; hit.level == p.depth && size <= maxPreamble && p.preambles+size <= maxPreambles {
		p.preambles += size
		p.hit = hit
		return true
	}
	if hit.level == p.depth {
		p.defects.add(defectPreamble)
	}
	delete(p.open, boundary)
	return false
}

// children reads the parts; p.hit is the first delimiter.
func (p *parser) children(n *Node, ct *ContentValue) {
	level, fallback := p.depth, ""
	if ct.Subtype == "digest" {
		fallback = "message/rfc822" // RFC 2046 5.1.5
	}
	last := n.at.body
	for p.hit.level == level {
		hit := p.hit
		if hit.closing {
			n.at.close, n.at.closeEnd, last = hit.start, hit.end, hit.end
			p.hit = p.find(hit.next)
			for p.hit.level == level && p.hit.closing {
				p.hit = p.find(p.hit.next)
			}
			continue
		}
		if n.at.close >= 0 {
			p.defects.add(defectAfterClose)
			n.at.close = -1
		}
		if p.parts+1 >= maxParts {
			p.defects.add(defectParts)
			p.stopped = true
		}
		p.pos = hit.next
		child := p.node(fallback)
		child.at.delim, child.at.delimEnd = hit.start, hit.end
		n.Children = append(n.Children, child)
		last = child.at.end
	}
	if n.at.close < 0 {
		p.defects.add(defectNoClose)
	}
	n.at.end = p.endBefore(last)
}

// find looks for the next delimiter line of any open multipart, from a place
// that is the start of a line.
func (p *parser) find(from int) delimiter {
	if len(p.open) == 0 || p.stopped {
		return delimiter{}
	}
	if d := p.delimiterAt(from); d.level != 0 {
		return d
	}
	for {
		if from = p.text.dashedLine(from); from < 0 {
			return delimiter{}
		}
		if d := p.delimiterAt(from); d.level != 0 {
			return d
		}
	}
}

var (
	dashes     = []byte("--")
	lineDashes = []byte("\n--")
)

// maxDelimiter is the longest delimiter line: RFC 2046 5.1.1 allows white
// space after the boundary.
const maxDelimiter = maxBoundary + 256

// delimiterAt looks whether the line at start is a delimiter.
func (p *parser) delimiterAt(start int) delimiter {
	b := p.text.at(start, maxDelimiter+2)
	if !bytes.HasPrefix(b, dashes) {
		return delimiter{}
	}
	line, next := cutLine(b, 0)
	return p.delimiter(line, start, start+next)
}

// delimiter looks whether the line, which stands at start and is followed by
// another at next, is a delimiter.
func (p *parser) delimiter(line []byte, start, next int) delimiter {
	if len(p.open) == 0 || p.stopped || len(line) > maxDelimiter || !bytes.HasPrefix(line, dashes) {
		return delimiter{}
	}
	text := bytes.TrimRight(line[2:], " \t\r")
	d := delimiter{start: start, next: next}
	if level := p.open[string(text)]; level != 0 {
		d.level, d.end = level, start+2+len(text)
		return d
	}
	if inner, ok := bytes.CutSuffix(text, dashes); ok {
		if level := p.open[string(inner)]; level != 0 {
			d.level, d.end, d.closing = level, start+2+len(text), true
		}
	}
	return d
}

// sniff looks for a line that works as a delimiter: -- and a word, followed
// by a header field. Mail without a usable boundary parameter is mostly of
// this shape.
func (p *parser) sniff(n *Node) (string, bool) {
	if p.sniffs >= maxSniffs || p.stopped {
		return "", false
	}
	p.sniffs++
	end := p.text.size
	if outer := p.find(n.at.body); outer.level != 0 {
		end = outer.start
	}
	for at := n.at.body; at < end; {
		if text, ok := p.sniffAt(at, end); ok {
			return text, true
		}
		i := p.text.find(lineDashes, at, end)
		if i < 0 {
			break
		}
		at = i + 1
	}
	return "", false
}

// sniffAt looks whether the line at a place would do as a delimiter.
func (p *parser) sniffAt(at, end int) (boundary string, ok bool) {
	const fieldStart = 100 // as much as looksLikeField looks at
	b := p.text.at(at, min(maxBoundary+2+2+fieldStart, end-at))
	if !bytes.HasPrefix(b, dashes) {
		return "", false
	}
	line, next := cutLine(b, 0)
	if len(line) > maxBoundary+2 || next >= end-at {
		return "", false
	}
	text := bytes.TrimRight(line[2:], " \t\r")
	after, _ := cutLine(b, next)
	if len(text) == 0 || bytes.HasSuffix(text, dashes) || !looksLikeField(after) || p.open[string(text)] != 0 {
		return "", false
	}
	return string(text), true
}
