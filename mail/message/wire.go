package message

import "strconv"

// WireVersion is the form of what AppendEnvelope and AppendBodyStructure write.
// Stored bytes of another version are to be made anew.
const WireVersion = 1

// maxQuoted bounds a quoted string; what is longer is a literal.
const maxQuoted = 1000

// AppendEnvelope appends the ENVELOPE of n as IMAP writes it (RFC 9051 7.5.2).
// Encoded words stay as they are; bytes beyond ASCII go into literals, which
// every client takes.
func (n *Node) AppendEnvelope(dst []byte) []byte { return appendWire(dst, n.envelope(asItStands)) }

// AppendBodyStructure appends the BODYSTRUCTURE of n as IMAP writes it.
func (n *Node) AppendBodyStructure(dst []byte) []byte {
	return appendWire(dst, n.bodyStructure(asItStands))
}

// appendWire writes one value of the nested arrays.
func appendWire(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(dst, v)
	case []byte:
		return appendString(dst, string(v))
	case int64:
		return strconv.AppendInt(dst, max(v, 0), 10)
	case int:
		return strconv.AppendInt(dst, int64(max(v, 0)), 10)
	case []any:
		return appendList(dst, v)
	}
	return append(dst, "NIL"...)
}

// appendList writes a list. RFC 9051 9: the addresses of env-from and the
// bodies of body-type-mpart, which stand in front, have no space between them.
func appendList(dst []byte, list []any) []byte {
	dst = append(dst, '(')
	front := true
	for i, v := range list {
		_, isList := v.([]any)
		front = front && isList
		if i > 0 && !front {
			dst = append(dst, ' ')
		}
		dst = appendWire(dst, v)
	}
	return append(dst, ')')
}

// appendString writes a quoted string, or a literal for what cannot be quoted.
// NUL, which neither may hold, is left out.
func appendString(dst []byte, s string) []byte {
	if len(s) <= maxQuoted {
		start := len(dst)
		dst = append(dst, '"')
		for i := 0; ; i++ {
			if i == len(s) {
				return append(dst, '"')
			}
			c := s[i]
			if c < ' ' || c > '~' {
				break
			}
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = dst[:start]
	}
	clean := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] != 0 {
			clean = append(clean, s[i])
		}
	}
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(clean)), 10)
	dst = append(dst, "}\r\n"...)
	return append(dst, clean...)
}
