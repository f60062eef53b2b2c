package message

import (
	"strings"

	"golang.org/x/net/idna"
)

// Envelope is the IMAP ENVELOPE of the message at n as WildDuck's array of
// ten: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to,
// message-id. Each element is nil, a string (text taken as it stands), a
// []byte (decoded text, stored as binary) or, for addresses, a []any of
// []any{name []byte, nil, local-part []byte, domain []byte}. RFC 9051 7.5.2:
// sender and reply-to default to from; a group is a start and an end marker.
func (n *Node) Envelope() []any { return n.envelope(DecodeHeader) }

// envelope has its texts in the form that f gives encoded words.
func (n *Node) envelope(f textForm) []any {
	h := n.Parsed
	from := h.Addresses("from")
	return []any{
		orNil(h.lastNonEmpty("date")),
		[]byte(strings.TrimSpace(f(h.lastNonEmpty("subject")))),
		envelopeAddresses(from, f),
		envelopeAddresses(orDefault(h.Addresses("sender"), from), f),
		envelopeAddresses(orDefault(h.Addresses("reply-to"), from), f),
		envelopeAddresses(h.Addresses("to"), f),
		envelopeAddresses(h.Addresses("cc"), f),
		envelopeAddresses(h.Addresses("bcc"), f),
		orNil(h.Get("in-reply-to")),
		orNil(h.Get("message-id")),
	}
}

// textForm is how texts with encoded words (RFC 2047) are written: decoded, or
// as they stand.
type textForm func(string) string

func asItStands(s string) string { return s }

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orDefault(list, fallback []Address) []Address {
	if len(list) == 0 {
		return fallback
	}
	return list
}

func bytesOrNil(s string) any {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func envelopeAddresses(list []Address, f textForm) any {
	if len(list) == 0 {
		return nil
	}
	return appendEnvelope(make([]any, 0, len(list)), list, f)
}

func appendEnvelope(out []any, list []Address, f textForm) []any {
	for _, a := range list {
		name := f(a.Name)
		if a.Group != nil {
			out = append(out, []any{nil, nil, []byte(name), nil})
			out = appendEnvelope(out, a.Group, f)
			out = append(out, []any{nil, nil, nil, nil})
			continue
		}
		local, domain := a.Address, ""
		if i := strings.LastIndexByte(a.Address, '@'); i >= 0 {
			local, domain = a.Address[:i], a.Address[i+1:]
		}
		if unicode, err := idna.ToUnicode(domain); err == nil {
			domain = unicode
		}
		out = append(out, []any{bytesOrNil(name), nil, bytesOrNil(f(local)), bytesOrNil(domain)})
	}
	return out
}
