package message

import (
	"bytes"
	"io"
	"strings"
	"time"
)

// StatusReport is a machine's answer about a message that was sent: whether it was
// delivered (RFC 3464, 6533), or what its reader did with it (RFC 8098).
type StatusReport struct {
	// MTA is the server that reports, or the reader's program.
	MTA string
	// Recipients are those of a delivery status.
	Recipients []RecipientStatus
	// Disposition is what became of the message: displayed, deleted, processed
	// and so on, lower case; "" for a delivery status. Automatic: no person did it.
	Disposition string
	Automatic   bool
	// Reader is who read it, of a disposition.
	Reader string
	// OriginalID is the Message-ID of the message that was sent, OriginalSubject
	// its subject; "" when the report does not say.
	OriginalID, OriginalSubject string
}

// RecipientStatus is what became of a message to one recipient.
type RecipientStatus struct {
	// Final is the address at the end of all forwarding, Original the one that
	// the sender used, "" when it is not said.
	Final, Original string
	// Action is failed, delayed, delivered, relayed or expanded.
	Action string
	// Status is the enhanced status code (RFC 3463), such as 5.1.1.
	Status string
	// Diagnostic is the answer of the other server, RemoteMTA its name.
	Diagnostic, RemoteMTA string
	// RetryUntil is when a delayed message is given up, zero when not said.
	RetryUntil time.Time
}

const (
	maxReport     = 256 << 10
	maxRecipients = 200
)

// ReadStatusReport reads the report that a message is; nil when it is none. open
// opens parts in attachment storage. Errors are those of open.
func ReadStatusReport(root *Node, open Opener) (*StatusReport, error) {
	var status, original *Node
	disposition := false
	for _, c := range root.Children {
		switch c.mediaType() {
		case "message/delivery-status", "message/global-delivery-status":
			status = c
		case "message/disposition-notification", "message/global-disposition-notification":
			status, disposition = c, true
		case "message/rfc822", "message/global", "message/rfc822-headers", "text/rfc822-headers", "message/global-headers":
			original = c
		}
	}
	if status == nil {
		return nil, nil //nolint:nilnil // most messages are no report
	}
	body, err := readPart(status, open, maxReport)
	if err != nil {
		return nil, err
	}
	r := &StatusReport{}
	for i, fields := range fieldBlocks(body) {
		switch {
		case disposition && i == 0:
			r.disposition(fields)
		case !disposition && i == 0:
			r.MTA = typedValue(fields["reporting-mta"])
			if fields["final-recipient"] == "" {
				continue
			}
			fallthrough // the blank line between the two is missing
		case !disposition && len(r.Recipients) < maxRecipients:
			r.recipient(fields)
		}
	}
	if err := r.original(original, open); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *StatusReport) disposition(fields map[string]string) {
	mode, what, _ := strings.Cut(fields["disposition"], ";")
	what, _, _ = strings.Cut(what, "/")
	r.Disposition = lowerTrim(what)
	r.Automatic = strings.Contains(lowerASCII(mode), "automatic-action")
	r.MTA, _, _ = strings.Cut(fields["reporting-ua"], ";")
	r.MTA = strings.TrimSpace(r.MTA)
	r.Reader = typedValue(fields["final-recipient"])
	r.OriginalID = firstID(fields["original-message-id"])
}

func (r *StatusReport) recipient(fields map[string]string) {
	s := RecipientStatus{
		Final: typedValue(fields["final-recipient"]), Original: typedValue(fields["original-recipient"]),
		Action: lowerTrim(fields["action"]), Diagnostic: typedValue(fields["diagnostic-code"]), RemoteMTA: typedValue(fields["remote-mta"]),
		RetryUntil: ParseDate(fields["will-retry-until"]),
	}
	s.Status, _, _ = strings.Cut(strings.TrimSpace(fields["status"]), " ")
	if s.Final != "" || s.Original != "" {
		r.Recipients = append(r.Recipients, s)
	}
}

// original takes what the returned message, or its header, says.
func (r *StatusReport) original(n *Node, open Opener) error {
	if n == nil {
		return nil
	}
	header := n.Message
	if header == nil {
		body, err := readPart(n, open, maxReport)
		if err != nil {
			return err
		}
		header = Parse(body).Root
	}
	if id := firstID(header.Parsed.Get("message-id")); id != "" && r.OriginalID == "" {
		r.OriginalID = id
	}
	r.OriginalSubject = collapse(cleanText(DecodeHeader(header.Parsed.lastNonEmpty("subject"))))
	return nil
}

// readPart gives a part's body decoded, at most limit bytes of it.
func readPart(n *Node, open Opener, limit int64) ([]byte, error) {
	var r io.Reader = bytes.NewReader(n.Body)
	if n.AttachmentID != "" {
		if open == nil {
			return nil, ErrCorrupt
		}
		stored, err := open(n.AttachmentID, 0, -1)
		if err != nil {
			return nil, err
		}
		defer func() { _ = stored.Close() }()
		r = stored
	}
	return io.ReadAll(io.LimitReader(Decode(r, n.TransferEncoding()), limit))
}

// fieldBlocks reads groups of fields with blank lines between them. Names are
// in lower case, the first of several counts, values are decoded.
func fieldBlocks(body []byte) []map[string]string {
	var out []map[string]string
	var block map[string]string
	var name string
	for line := range strings.SplitSeq(string(body), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" {
			block = nil
			continue
		}
		if block == nil {
			if len(out) > maxRecipients {
				break
			}
			block, name = make(map[string]string), ""
			out = append(out, block)
		}
		if isWSP(line[0]) && name != "" {
			block[name] += " " + fieldText(line)
			continue
		}
		key, value, ok := splitField(line)
		if name = lowerASCII(key); !ok || !isKey(name) || block[name] != "" {
			name = ""
			continue
		}
		block[name] = fieldText(value)
	}
	return out
}

func fieldText(s string) string { return strings.TrimSpace(cleanText(DecodeHeader(s))) }

// typedValue takes the type off "rfc822; address" and undoes the escapes of
// RFC 6533 3.
func typedValue(s string) string {
	kind, value, ok := strings.Cut(s, ";")
	if !ok {
		return strings.TrimSpace(s)
	}
	value = strings.TrimSpace(value)
	if lowerTrim(kind) == "utf-8" && strings.Contains(value, `\x{`) {
		value = unescapeUTF8(value)
	}
	return value
}

// unescapeUTF8 undoes \x{41} (utf-8-addr-xtext).
func unescapeUTF8(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, `\x{`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+3:]
		digits, rest, ok := strings.Cut(s, "}")
		if !ok || digits == "" || len(digits) > 6 {
			b.WriteString(`\x{`)
			continue
		}
		r := rune(0)
		for j := range len(digits) {
			v, isHex := hexDigit(digits[j])
			ok = ok && isHex
			r = r<<4 | rune(v)
		}
		if !ok {
			b.WriteString(`\x{`)
			continue
		}
		b.WriteRune(r) // U+FFFD for what is no character
		s = rest
	}
	b.WriteString(s)
	return cleanText(b.String())
}

// ReceiptTo are the addresses that asked to be told that the message was read
// (RFC 8098 2.1).
func (n *Node) ReceiptTo() []Address {
	var out []Address
	for _, value := range n.Lookup("disposition-notification-to") {
		out = append(out, ParseAddressList(value)...)
	}
	return out[:min(len(out), 10)]
}

// AutoSubmitted reports a message that a program sent by itself (RFC 3834 5),
// to which no program should answer.
func (n *Node) AutoSubmitted() bool {
	for _, value := range n.Lookup("auto-submitted") {
		word, _, _ := strings.Cut(stripComments(value), ";")
		if word = lowerTrim(word); word != "" && word != "no" {
			return true
		}
	}
	return false
}
