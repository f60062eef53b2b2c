package deliver

import "bytes"

// hops counts the Received fields of a message's header.
func hops(raw []byte) int {
	n := 0
	for len(raw) > 0 && raw[0] != '\r' && raw[0] != '\n' {
		if hasFieldName(raw, "received") {
			n++
		}
		raw = raw[fieldEnd(raw):]
	}
	return n
}

// hasFieldName reports whether the text begins with the field, in any case.
func hasFieldName(raw []byte, name string) bool {
	return len(raw) > len(name) && raw[len(name)] == ':' && bytes.EqualFold(raw[:len(name)], []byte(name))
}

// fieldEnd is where the field at the beginning ends, its folded lines included
// (RFC 5322 2.2.3).
func fieldEnd(raw []byte) int {
	at := 0
	for {
		i := bytes.IndexByte(raw[at:], '\n')
		if i < 0 {
			return len(raw)
		}
		at += i + 1
		if at >= len(raw) || raw[at] != ' ' && raw[at] != '\t' {
			return at
		}
	}
}
