package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
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
	n.hash = sha256.Sum256(n.data)
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
		d.noteBase64(lastLine(n.data)) // all of it would cost more than the rest of the analysis
	}
	if isTNEF(n, contentType) {
		d.listTNEF(n)
	}
}

// decodedSize is about what base64 text of lines of 76 stands for.
func decodedSize(size int64) int64 {
	chars := size - size/78*2
	return (chars*3 + 3) / 4
}

// Blobs gives every part that moves to attachment storage, in the order of
// their numbers. Base64 is decoded where EncodeBlob restores it exactly.
func (m *Message) Blobs() []Blob {
	blobs := make([]Blob, 0, len(m.stored))
	for _, n := range m.stored {
		b := Blob{
			ID: n.AttachmentID, Hash: n.hash, ContentType: n.mediaType(), TransferEncoding: n.TransferEncoding(),
			EncodedSize: n.Size, Data: n.data,
		}
		if b.TransferEncoding == "base64" {
			b.decode()
		}
		sum := sha256.Sum256(b.Data)
		b.FileContentHash = base64.StdEncoding.EncodeToString(sum[:])
		blobs = append(blobs, b)
	}
	return blobs
}

// Opener serves the stored parts of a message that is in memory.
func (m *Message) Opener() Opener {
	return func(id string) (io.ReadCloser, error) {
		for _, n := range m.stored {
			if n.AttachmentID == id {
				return io.NopCloser(bytes.NewReader(n.data)), nil
			}
		}
		return nil, ErrCorrupt
	}
}

// maxLineLen: RFC 5321 4.5.3.1.6 allows 998 characters in a line.
const maxLineLen = 998

// decode replaces base64 text by what it stands for, if every line but the
// last has one length, with CRLF between them, and nothing else is there.
func (b *Blob) decode() {
	text := b.Data
	lineLen := bytes.Index(text, crlf)
	if lineLen < 0 {
		if lineLen = len(text); lineLen < 76 {
			lineLen = 76
		}
	}
	if lineLen > maxLineLen || lineLen < 4 || lineLen%4 != 0 {
		return
	}
	out := make([]byte, 0, len(text)/4*3)
	for at := 0; at < len(text); {
		line := text[at:min(len(text), at+lineLen)]
		at += len(line)
		last := at == len(text)
		if !last && (at+2 >= len(text) || text[at] != '\r' || text[at+1] != '\n') {
			return
		}
		at += 2
		from := len(out)
		out = append(out, make([]byte, base64.StdEncoding.DecodedLen(len(line)))...)
		n, err := base64.StdEncoding.Strict().Decode(out[from:], line)
		if err != nil || !last && n != lineLen/4*3 || bytes.ContainsAny(line, "\r\n") {
			return
		}
		out = out[:from+n]
	}
	b.Data, b.Decoded, b.LineLen = out, true, lineLen
}
