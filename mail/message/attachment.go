package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode"
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

// Filename is the part's file name: decoded and safe to show and to save
// under, "" when it has none.
func (n *Node) Filename() string {
	name := ""
	if d := n.Disposition(); d != nil {
		name = d.Param("filename")
	}
	if name == "" {
		name = n.ContentType().Param("name")
	}
	return safeFilename(decodeFilename(name))
}

// decodeFilename reads what a file name parameter may hold: encoded words,
// raw 8-bit text, or percent-encoding where RFC 2231 was meant.
func decodeFilename(s string) string {
	if rest, ok := strings.CutPrefix(lowerASCII(s[:min(len(s), 7)]), "utf-8''"); ok && rest == "" {
		return string(appendPercent(nil, s[7:]))
	}
	return DecodeHeader(s)
}

// maxFilename is in bytes; file systems mostly take 255.
const maxFilename = 200

// safeFilename drops paths, control characters, and characters that reverse
// the direction of text, with which evil.exe can look like fdp.exe.
func safeFilename(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0xfeff:
			return -1
		case strings.ContainsRune(`:*?"<>|`, r):
			return '_'
		}
		return r
	}, s)
	s = strings.Trim(s, " .")
	if len(s) <= maxFilename {
		return s
	}
	ext := ""
	if i := strings.LastIndexByte(s, '.'); i >= len(s)-20 {
		ext = s[i:]
	}
	return strings.TrimRight(cutUTF8(s, maxFilename-len(ext)), " .") + ext
}

// makeFilename names a part that has no name.
func makeFilename(contentType string, hash []byte) string {
	return fmt.Sprintf("%x.%s", hash[:4], extensionFor(contentType))
}

func extensionFor(contentType string) string {
	if ext, ok := extensions[contentType]; ok {
		return ext
	}
	typ, sub, _ := strings.Cut(contentType, "/")
	if typ != "application" && isToken(sub) && len(sub) <= 5 {
		return sub // image/png, audio/ogg, font/woff2
	}
	return "bin"
}

// extensions of the types that mail has most.
var extensions = map[string]string{
	"message/rfc822": "eml", "message/global": "eml", "text/plain": "txt", "text/calendar": "ics", "text/vcard": "vcf",
	"text/x-vcard": "vcf", "text/markdown": "md", "text/x-patch": "patch", "image/jpeg": "jpg", "image/svg+xml": "svg",
	"image/vnd.microsoft.icon": "ico", "audio/mpeg": "mp3", "video/quicktime": "mov", "application/pdf": "pdf",
	"application/zip": "zip", "application/x-zip-compressed": "zip", "application/gzip": "gz", "application/json": "json",
	"application/xml": "xml", "application/rtf": "rtf", "application/msword": "doc", "application/ics": "ics",
	"application/vnd.ms-excel": "xls", "application/vnd.ms-powerpoint": "ppt", "application/ms-tnef": "dat",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   "docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         "xlsx",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
	"application/vnd.oasis.opendocument.text":                                   "odt",
	"application/vnd.oasis.opendocument.spreadsheet":                            "ods",
	"application/pgp-signature":                                                 "asc", "application/pgp-encrypted": "asc", "application/pgp-keys": "asc",
	"application/pkcs7-signature": "p7s", "application/x-pkcs7-signature": "p7s", "application/pkcs7-mime": "p7m",
	"application/x-pkcs7-mime": "p7m",
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
