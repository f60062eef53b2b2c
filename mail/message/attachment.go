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
	d.digest(n)
	n.Body = nil
	cid := n.contentID()
	if cid != "" {
		d.setCID(cid, n.AttachmentID)
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
	d.detect(n)
	if isTNEF(n, contentType) {
		d.listTNEF(n)
	}
}

// setCID says which attachment a Content-ID means.
func (d *deriver) setCID(cid, id string) {
	if d.cids == nil {
		d.cids = make(map[string]string)
	}
	d.cids[cid] = id
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

// digest finds the SHA-256 of a node's body and, on the same way through it,
// what is wrong with its base64 and how that is stored.
func (d *deriver) digest(n *Node) {
	var scan *base64Scan
	if n.TransferEncoding() == "base64" {
		scan = &base64Scan{}
	}
	if n.text.file == nil {
		d.digestMemory(n, scan)
	} else {
		d.digestFile(n, scan)
	}
	if scan != nil {
		d.noteBase64(scan)
		n.lineLen, n.decodedSize = scan.even()
	}
}

// digestStep is how much is hashed at a time: little enough that it is still
// near when the base64 is looked at.
const digestStep = 32 << 10

func (d *deriver) digestMemory(n *Node, scan *base64Scan) {
	body := n.start(int(n.Size))
	if scan == nil {
		n.hash = sha256.Sum256(body)
		return
	}
	h := sha256.New()
	for len(body) > 0 {
		part := body[:min(len(body), digestStep)]
		_, _ = h.Write(part) // a hash never fails
		scan.add(part)
		body = body[len(part):]
	}
	h.Sum(n.hash[:0])
}

func (d *deriver) digestFile(n *Node, scan *base64Scan) {
	h := sha256.New()
	w := io.Writer(onlyWriter{h})
	if scan != nil {
		w = io.MultiWriter(h, scan)
	}
	if d.buf == nil {
		d.buf = make([]byte, digestStep)
	}
	if _, err := io.CopyBuffer(w, onlyReader{n.reader()}, d.buf); err != nil {
		n.text.fail(err)
	}
	h.Sum(n.hash[:0])
}
