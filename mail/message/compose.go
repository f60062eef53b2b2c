package message

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// Compose is a message to be built.
type Compose struct {
	From                 Address
	To, Cc, Bcc, ReplyTo []Address
	Subject              string
	// Text and HTML are the two forms of the body; either may be empty.
	Text, HTML string
	// Flowed writes Text as format=flowed (RFC 3676), which narrow screens join
	// again. It takes the spaces at line ends.
	Flowed bool
	// Report makes the message a report to people and programs; nil for none.
	Report *Report
	// InReplyTo and References are identifiers, with or without angle brackets.
	InReplyTo  string
	References []string
	// MessageID is made from Domain when it is empty.
	MessageID string
	// Date is now when it is zero.
	Date time.Time
	// Headers are further fields. Values are unstructured text.
	Headers     []HeaderField
	Attachments []ComposeAttachment
	// Domain is the right side of a Message-ID that is made here; the domain
	// of From when it is empty.
	Domain string
	// KeepBcc writes the Bcc field: for drafts and the copy in Sent.
	KeepBcc bool
}

// ComposeAttachment is one file of a message to be built.
type ComposeAttachment struct {
	Filename string
	// ContentType is application/octet-stream when it is empty.
	ContentType string
	// ContentID is with or without angle brackets. An Inline attachment that
	// has one goes beside the HTML (multipart/related).
	ContentID string
	Inline    bool
	// Data is the content. Where Open is set the content is read from there,
	// perhaps more than once, and is never in memory.
	Data []byte
	Open func() (io.ReadCloser, error)
}

// reader opens the content.
func (a *ComposeAttachment) reader() (io.ReadCloser, error) {
	if a.Open != nil {
		return a.Open()
	}
	return io.NopCloser(bytes.NewReader(a.Data)), nil
}

// Report is what a multipart/report (RFC 6522) says beside the text.
type Report struct {
	// Type is delivery-status (RFC 3464) or disposition-notification (RFC 8098).
	Type string
	// Groups are the fields for programs: those of the message, then those of
	// each recipient. Values are ASCII, or UTF-8 for addresses (RFC 6533).
	Groups [][]HeaderField
	// Original is the message that is reported on, or its header alone; nil to
	// leave it out. Its bytes stay as they are, but for line ends.
	Original   []byte
	HeaderOnly bool
}

// Build composes a message: multipart/alternative for text and HTML,
// multipart/related for inline parts, multipart/mixed for attachments,
// multipart/report around the text of a report; CRLF line ends; lines of at most 998 bytes; ASCII only, unless an address with a
// local-part beyond ASCII needs RFC 6532. Bcc is left out unless KeepBcc.
//
// Line breaks in header values become spaces, so that no value can begin a
// field of its own. The error wraps ErrCompose and says which value cannot be
// used: a bad field name, an address or content type with control characters.
func Build(c Compose) ([]byte, error) {
	b := builder{c: &c}
	b.out.Grow(c.size())
	b.header()
	b.body()
	if b.err != nil {
		return nil, b.err
	}
	return b.out.Bytes(), nil
}

// BuildTo is Build to a writer, which gets the message in portions: attachments
// that have an Open are not held in memory. Errors are also those of w and of
// Open; part of the message may be written then.
func BuildTo(w io.Writer, c Compose) error {
	b := builder{c: &c, to: w}
	b.header()
	b.body()
	b.flush(0)
	return b.err
}

// flush hands on what was built once it is more than so many bytes.
func (b *builder) flush(most int) {
	if b.to == nil || b.err != nil || b.out.Len() <= most {
		return
	}
	if _, err := b.to.Write(b.out.Bytes()); err != nil {
		b.err = err
	}
	b.out.Reset()
}

// buildPortion is how much is built before it is handed on.
const buildPortion = 64 << 10

// size is a guess at the size of the result.
func (c *Compose) size() int {
	n := 2048 + (len(c.Text)+len(c.HTML))*5/4
	for i := range c.Attachments {
		n += len(c.Attachments[i].Data)*37/27 + 512
	}
	return n
}

type builder struct {
	c   *Compose
	out bytes.Buffer
	// to is where out goes from time to time, nil to keep it.
	to io.Writer
	// utf8: an address needs RFC 6532.
	utf8       bool
	boundaries int
	err        error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %s", ErrCompose, fmt.Sprintf(format, args...))
	}
}

// header writes the message's header, without the MIME fields of its body.
func (b *builder) header() {
	c := b.c
	date := c.Date
	if date.IsZero() {
		date = time.Now()
	}
	b.raw("Date", date.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	if c.From.Address != "" || c.From.Group != nil {
		b.addresses("From", []Address{c.From})
	}
	b.addresses("Reply-To", c.ReplyTo)
	b.addresses("To", c.To)
	b.addresses("Cc", c.Cc)
	if c.KeepBcc {
		b.addresses("Bcc", c.Bcc)
	}
	b.text("Subject", c.Subject)
	b.raw("Message-ID", b.messageID())
	if c.InReplyTo != "" {
		b.ids("In-Reply-To", []string{c.InReplyTo})
	}
	b.ids("References", c.References)
	for _, f := range c.Headers {
		b.extra(f)
	}
	b.raw("MIME-Version", "1.0")
}

// extra writes one of Compose.Headers.
func (b *builder) extra(f HeaderField) {
	if f.Key == "" || len(f.Key) > 76 || fieldName([]byte(f.Key+":")) != len(f.Key) || !isASCII(f.Key) {
		b.fail("field name %q", f.Key)
		return
	}
	switch key := strings.ToLower(f.Key); {
	case key == "mime-version", strings.HasPrefix(key, "content-"):
		b.fail("field %q is made by the composer", f.Key)
		return
	case isOwnField(key):
		b.fail("field %q has a place of its own", f.Key)
		return
	case key == "sender" || key == "disposition-notification-to":
		b.addresses(f.Key, ParseAddressList(oneLine(f.Value)))
		return
	case isStructuredField(key):
		b.raw(f.Key, strings.TrimSpace(oneLine(f.Value)))
		return
	}
	b.text(f.Key, f.Value)
}

// isOwnField: these come from the other fields of Compose; a second one would
// break RFC 5322 3.6.
func isOwnField(key string) bool {
	switch key {
	case "date", "from", "reply-to", "to", "cc", "bcc", "subject", "message-id", "in-reply-to", "references":
		return true
	}
	return false
}

// isStructuredField: fields in whose values an encoded word has no place
// (RFC 2047 5).
func isStructuredField(key string) bool {
	switch key {
	case "received", "return-path", "auto-submitted", "precedence", "list-id", "list-unsubscribe", "list-unsubscribe-post",
		"resent-message-id", "x-auto-response-suppress":
		return true
	}
	return false
}

// messageID is the one given, or a new one.
func (b *builder) messageID() string {
	if id := bracketed(b.c.MessageID); id != "" {
		return id
	}
	domain := b.c.Domain
	if domain == "" {
		_, domain, _ = strings.Cut(b.c.From.Address, "@")
	}
	if ascii, ok := domainASCII(domain); ok && domain != "" {
		domain = ascii
	} else {
		domain = "localhost.localdomain"
	}
	return NewMessageID(domain)
}

// NewMessageID makes an identifier that no other message has, with angle
// brackets (RFC 5322 3.6.4).
func NewMessageID(domain string) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	return "<" + hex.EncodeToString(random[:]) + "@" + domain + ">"
}

// bracketed cleans an identifier, "" when nothing is left.
func bracketed(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	if s == "" || len(s) > maxLineLen-40 {
		return ""
	}
	return "<" + s + ">"
}

// newBoundary cannot occur in a body: quoted-printable and base64 have no
// "=_" and the rest is random (RFC 2045 6.7).
func (b *builder) newBoundary() string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	b.boundaries++
	return fmt.Sprintf("=_%d_%s", b.boundaries, hex.EncodeToString(random[:]))
}
