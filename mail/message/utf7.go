package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeUTF7 reads RFC 2152. What is no UTF-7 is kept as it is.
func decodeUTF7(b []byte, shift byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for i := 0; i < len(b); {
		if b[i] != shift {
			out.WriteByte(b[i] & 0x7f)
			i++
			continue
		}
		end := i + 1
		for end < len(b) && isBase64(b[end]) {
			end++
		}
		switch {
		case end == i+1 && end < len(b) && b[end] == '-':
			out.WriteByte(shift)
		default:
			utf7Run(&out, b[i+1:end])
		}
		i = end
		if i < len(b) && b[i] == '-' {
			i++
		}
	}
	return out.String()
}

// utf7Run decodes one run of modified base64: UTF-16, big endian.
func utf7Run(out *strings.Builder, b []byte) {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(b)))
	n, _ := base64.RawStdEncoding.Decode(raw, b) // what decodes before an error is kept
	unit := func(i int) rune { return rune(raw[i])<<8 | rune(raw[i+1]) }
	for i := 0; i+1 < n; i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			var low rune
			if i+3 < n {
				low = unit(i + 2)
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 2
			}
		}
		out.WriteRune(r)
	}
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}
