package message

import (
	"bytes"
	"strings"
)

// canonicalEncoding reads a Content-Transfer-Encoding as it is written in the
// wild: quoted, with a comment or parameters, misspelt. RFC 2045 6.1: 7bit
// when there is none. What is unknown stays as it is; its bytes are passed
// through (RFC 2045 6.4).
func canonicalEncoding(s string) string {
	s = lowerTrim(s)
	switch s {
	case "":
		return "7bit"
	case "7bit", "8bit", "binary", "base64", "quoted-printable":
		return s
	}
	s = strings.Trim(strings.TrimSpace(stripComments(s)), `"' `)
	if i := strings.IndexAny(s, ";,"); i >= 0 {
		s = strings.TrimSpace(s[:i])
	}
	switch strings.NewReplacer(" ", "", "-", "", "_", "").Replace(s) {
	case "":
		return "7bit"
	case "base64", "b64", "xbase64":
		return "base64"
	case "quotedprintable", "quoteprintable", "quotedprintible", "qp":
		return "quoted-printable"
	case "7bit", "7bits":
		return "7bit"
	case "8bit", "8bits":
		return "8bit"
	case "binary":
		return "binary"
	case "xuuencode", "uuencode", "xuue", "uue":
		return uuencoding
	}
	return s
}

// isKnownEncoding reports an encoding that Decode undoes or passes rightly.
func isKnownEncoding(s string) bool {
	switch s {
	case "7bit", "8bit", "binary", "base64", "quoted-printable", uuencoding:
		return true
	}
	return false
}

// dirtyQP reports what RFC 2045 6.7 forbids in quoted-printable: raw 8-bit
// bytes, and = that begins neither an escape nor a soft line break.
func dirtyQP(b []byte) bool {
	if hasHigh(b) {
		return true
	}
	for rest := b; ; {
		i := bytes.IndexByte(rest, '=')
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
		if len(rest) >= 2 {
			if _, ok := unhex(rest[0], rest[1]); ok {
				continue
			}
		}
		if after := bytes.TrimLeft(rest[:min(len(rest), 80)], " \t"); len(after) > 0 && after[0] != '\r' && after[0] != '\n' {
			return true
		}
	}
}

// cutFooter parts base64 text from plain text behind it: mailing lists add
// their footer without looking at the encoding. It begins at a blank line after
// which something stands that is no base64.
func cutFooter(b []byte) (encoded, footer []byte) {
	blank, n := -1, 0
	for at := 0; at < len(b); {
		line, next := lineAt(b, at)
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
			if blank < 0 && n > 0 && n%4 == 0 {
				blank = at
			}
		case !isStrictBase64(line):
			if blank < 0 {
				return b, nil // dirt in the middle: skipped when decoding
			}
			return b[:blank], b[blank:]
		default:
			n += len(line)
		}
		at = next
	}
	return b, nil
}

func isStrictBase64(line []byte) bool {
	for _, c := range line {
		if c != '=' && (base64Value(c) == 0xff || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
