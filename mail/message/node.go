package message

import "io"

// Node is one part of the MIME tree, with WildDuck's fields. A tree that was
// read back from the database has the exported fields only; that is all
// Rebuild, SectionReader, Envelope and BodyStructure need.
type Node struct {
	// Header has the header lines as raw bytes, the lines of a folded field
	// joined with CRLF, without a final line end. The database keeps them as
	// strings of one code point per byte.
	Header []string
	// Parsed is the analysed header.
	Parsed ParsedHeader
	// Body is the body of an inline part, or the text before the first
	// boundary of a multipart, with line ends made CRLF. It is nil when the
	// body moved to attachment storage; AttachmentID then says its name.
	Body []byte
	// AttachmentID is ATTnnnnn for a part in attachment storage, else "".
	AttachmentID string
	// Multipart is the multipart's subtype in lower case, "" for other parts
	// and for a multipart in which no boundary was found.
	Multipart string
	// Boundary is valid when HasBoundary. It is the one in use, which is not
	// the declared one when that does not occur.
	Boundary    string
	HasBoundary bool
	// LineCount is the number of line breaks in the body.
	LineCount int
	// Size is the length of the body in bytes after line ends became CRLF.
	Size     int64
	Children []*Node
	// Message is the tree inside message/rfc822, when the part is not encoded.
	Message *Node

	// text is what the node was parsed from, and at where it stands there; nil
	// in a tree from the database.
	text *text
	at   place
	hash [32]byte
	// lineLen and decodedSize are those of base64 text that can be made again
	// from its decoded bytes; lineLen is 0 for all other.
	lineLen     int
	decodedSize int64
	// flat: the structure was given up; the body is kept as received.
	flat bool
}

// place says where a node was found in the text that was parsed.
type place struct {
	// delim is the start of the delimiter line before the part, delimEnd the
	// end of its text.
	delim, delimEnd int
	// header to headerEnd are the header lines with their line ends; body is
	// the start of the body, end its end, without the line break that belongs
	// to the next delimiter; own is the end of the node's own body, which for a
	// multipart is the start of the first delimiter line.
	header, headerEnd, body, own, end int
	// close is the start of the closing delimiter line, -1 for none.
	close, closeEnd int
}

// start gives up to limit bytes of the own body of a node just parsed, encoded
// as it is in the message.
func (n *Node) start(limit int) []byte {
	return n.text.bytes(n.at.body, min(n.at.own, n.at.body+limit))
}

// reader reads the own body of a node just parsed.
func (n *Node) reader() io.Reader { return n.text.reader(n.at.body, n.at.own) }

// IsMultipart reports a part that has parts.
func (n *Node) IsMultipart() bool { return n.HasBoundary }

// ContentType gives the part's Content-Type; it is never nil.
func (n *Node) ContentType() *ContentValue {
	if v, ok := n.Parsed.value("content-type").(*ContentValue); ok {
		return v
	}
	return defaultContentType
}

// Disposition gives the part's Content-Disposition, nil when it has none.
func (n *Node) Disposition() *ContentValue {
	v, _ := n.Parsed.value("content-disposition").(*ContentValue)
	return v
}

// TransferEncoding is the Content-Transfer-Encoding in lower case, "7bit" when
// there is none (RFC 2045 6.1), and the right name when it is misspelt.
func (n *Node) TransferEncoding() string {
	return canonicalEncoding(n.Parsed.Get("content-transfer-encoding"))
}

// Lookup gives the raw values of a header field, in order of appearance,
// unfolded but not decoded. The name is compared without regard to case.
func (n *Node) Lookup(name string) []string {
	var out []string
	for _, line := range n.Header {
		key, value, ok := splitField(line)
		if ok && equalFoldASCII(key, name) {
			out = append(out, unfold(value))
		}
	}
	return out
}
