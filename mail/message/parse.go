package message

import (
	"bytes"
	"strings"
)

// parser reads one message in a single pass. All multiparts that are open
// share one table of boundaries, so that each delimiter line is looked up
// once whatever the depth.
type parser struct {
	raw []byte // CRLF line ends only
	pos int
	// open maps the boundaries in use to their depth in the nesting.
	open  map[string]int
	depth int
	// hit is the delimiter line that ended the part just read.
	hit delimiter

	parts, headerBytes, headerLines int
	messages, sniffs                int
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
func parseTree(raw []byte) (*Node, defects) {
	p := &parser{raw: raw}
	root := p.node("")
	return root, p.defects
}

// node reads one part or message at p.pos up to the next delimiter of an
// outer multipart, or to the end. fallback is the Content-Type of a part
// that names none.
func (p *parser) node(fallback string) *Node {
	p.parts++
	p.hit = delimiter{}
	n := &Node{at: place{delim: -1, close: -1, header: p.pos}}
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
		n.at.end = len(p.raw)
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

// leaf fills in the body's fields.
func (p *parser) leaf(n *Node) {
	n.data = p.raw[n.at.body:n.at.end:n.at.end]
	n.Body = n.data
	n.Size = int64(len(n.data))
	n.LineCount = bytes.Count(n.data, crlf[1:])
}

// endBefore is where content ends that began at from and was ended by p.hit.
// RFC 2046 5.1.1: the line break before a delimiter belongs to the delimiter.
func (p *parser) endBefore(from int) int {
	if p.hit.level == 0 {
		return len(p.raw)
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
	n.data = p.raw[n.at.body:p.hit.start:p.hit.start]
	n.Body = n.data
	n.Size = int64(len(n.data))
	n.LineCount = bytes.Count(n.data, crlf[1:])
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
	if hit.level == p.depth && hit.start-n.at.body <= maxPreamble {
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
		i := bytes.Index(p.raw[from:], []byte("\n--"))
		if i < 0 {
			return delimiter{}
		}
		from += i + 1
		if d := p.delimiterAt(from); d.level != 0 {
			return d
		}
	}
}

// delimiterAt looks whether the line at start is a delimiter. RFC 2046 5.1.1
// allows white space after the boundary.
func (p *parser) delimiterAt(start int) delimiter {
	if len(p.open) == 0 || p.stopped || !bytes.HasPrefix(p.raw[start:], []byte("--")) {
		return delimiter{}
	}
	line, next := p.line(start)
	if len(line) > maxBoundary+256 {
		return delimiter{}
	}
	text := bytes.TrimRight(line[2:], " \t\r")
	d := delimiter{start: start, next: next}
	if level := p.open[string(text)]; level != 0 {
		d.level, d.end = level, start+2+len(text)
		return d
	}
	if inner, ok := bytes.CutSuffix(text, []byte("--")); ok {
		if level := p.open[string(inner)]; level != 0 {
			d.level, d.end, d.closing = level, start+2+len(text), true
		}
	}
	return d
}

// line gives the text of the line at start, and the start of the next.
func (p *parser) line(start int) (text []byte, next int) {
	rest := p.raw[start:]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		return rest, len(p.raw)
	}
	end := i
	if end > 0 && rest[end-1] == '\r' {
		end--
	}
	return rest[:end], start + i + 1
}

// sniff looks for a line that works as a delimiter: -- and a word, followed
// by a header field. Mail without a usable boundary parameter is mostly of
// this shape.
func (p *parser) sniff(n *Node) (string, bool) {
	if p.sniffs >= maxSniffs || p.stopped {
		return "", false
	}
	p.sniffs++
	end := len(p.raw)
	if outer := p.find(n.at.body); outer.level != 0 {
		end = outer.start
	}
	for at := n.at.body; at < end; {
		if bytes.HasPrefix(p.raw[at:end], []byte("--")) {
			line, next := p.line(at)
			text := strings.TrimRight(string(line[2:min(len(line), maxBoundary+2)]), " \t\r")
			after, _ := p.line(next)
			if text != "" && !strings.HasSuffix(text, "--") && len(line) <= maxBoundary+2 &&
				next < end && looksLikeField(after) && p.open[text] == 0 {
				return text, true
			}
		}
		i := bytes.Index(p.raw[at:end], []byte("\n--"))
		if i < 0 {
			break
		}
		at += i + 1
	}
	return "", false
}
