package message

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
)

// isInlineText: these stay in the tree and are shown, unless they are
// attached or large.
func isInlineText(n *Node, contentType string) bool {
	switch contentType {
	case "text/plain", "text/html", "text/rfc822-headers", "message/delivery-status":
	default:
		return false
	}
	switch n.dispositionType() {
	case "", "inline":
		return true
	}
	return false
}

// dispositionType is the disposition in lower case, "" when there is none or
// it is no token.
func (n *Node) dispositionType() string {
	if d := n.Disposition(); d != nil && isToken(d.Type) {
		return d.Type
	}
	return ""
}

// mediaType is the Content-Type's value in lower case. RFC 2045 5.2: what is
// no media type counts as text/plain; encoded in base64 it is hardly text.
func (n *Node) mediaType() string {
	ct := n.ContentType()
	switch {
	case ct.Type != "" && ct.Subtype != "":
		return ct.FullType()
	case n.TransferEncoding() == "base64" && ct.Type != "text":
		return "application/octet-stream"
	}
	return "text/plain"
}

// contentID is the Content-ID without its brackets.
func (n *Node) contentID() string {
	return strings.TrimSpace(angles.Replace(n.Parsed.Get("content-id")))
}

// moveOut gives a part its number and takes the body out of the tree.
func (d *deriver) moveOut(n *Node, contentType string, related, listed bool) {
	d.stored = append(d.stored, n)
	n.AttachmentID = fmt.Sprintf("ATT%05d", len(d.stored))
	n.hash = d.digest(n)
	n.Body = nil
	cid := n.contentID()
	if cid != "" {
		if d.cids == nil {
			d.cids = make(map[string]string)
		}
		d.cids[cid] = n.AttachmentID
	}
	if !listed {
		return
	}
	a := Attachment{
		ID: n.AttachmentID, Filename: n.Filename(), ContentType: contentType, Disposition: n.dispositionType(),
		TransferEncoding: n.TransferEncoding(), Related: related, Size: n.Size, Hash: n.hash,
	}
	if a.Filename == "" {
		a.Filename = makeFilename(contentType, n.hash[:])
	}
	if cid != "" {
		a.ContentID = "<" + cid + ">"
	}
	size := n.Size
	if a.TransferEncoding == "base64" {
		size = decodedSize(size)
	}
	a.SizeKb = int((size + 1023) / 1024)
	d.m.Attachments = append(d.m.Attachments, a)
	d.m.HasAttachments = d.m.HasAttachments || !related
	if deceives(decodeFilename(n.rawFilename())) {
		d.defects.add(defectFilename)
	}
	if !isKnownEncoding(a.TransferEncoding) {
		d.defects.add(defectEncoding)
	}
	if a.TransferEncoding == "base64" {
		d.noteBase64(lastLine(n.tail(1000))) // all of it would cost more than the rest of the analysis
	}
	d.detect(n)
	if isTNEF(n, contentType) {
		d.listTNEF(n)
	}
}

// detect looks at the first bytes of the attachment just listed.
func (d *deriver) detect(n *Node) {
	const most = 2 << 10
	a := &d.m.Attachments[len(d.m.Attachments)-1]
	if typ := n.ContentType().Type; typ == "message" || typ == "multipart" {
		return
	}
	found := guessType(decodeBytes(n.start(most), a.TransferEncoding))
	if contradicts(a.ContentType, found) {
		a.Detected = found
	}
	if isDisguised(a.Filename, a.ContentType, found) {
		d.defects.add(defectDisguised)
	}
}

// decodedSize is about what base64 text of lines of 76 stands for.
func decodedSize(size int64) int64 {
	chars := size - size/78*2
	return (chars*3 + 3) / 4
}

// digest is the SHA-256 of a node's body.
func (d *deriver) digest(n *Node) (sum [32]byte) {
	if n.text.file == nil {
		return sha256.Sum256(n.start(int(n.Size)))
	}
	h := sha256.New()
	if d.buf == nil {
		d.buf = make([]byte, 32<<10)
	}
	if _, err := io.CopyBuffer(onlyWriter{h}, onlyReader{n.reader()}, d.buf); err != nil {
		n.text.fail(err)
	}
	h.Sum(sum[:0])
	return sum
}
