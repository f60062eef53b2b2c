package message

import "strings"

// DecodeFlowed joins the flowed lines of format=flowed text (RFC 3676).
// delSp is the DelSp parameter. Quote marks stay at the start of each joined
// line. Line ends may be CRLF or LF; the result has LF.
func DecodeFlowed(s string, delSp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	depth, open := 0, false // a paragraph is open at this quote depth
	for first := true; s != "" || first; first = false {
		line, rest, more := strings.Cut(s, "\n")
		if more {
			line = strings.TrimSuffix(line, "\r")
		}
		text := strings.TrimLeft(line, ">")
		quotes := len(line) - len(text)
		text = strings.TrimPrefix(text, " ") // RFC 3676 4.4: space-stuffing
		signature := text == "-- "           // RFC 3676 4.3: never flowed
		if open && (quotes != depth || signature) {
			b.WriteByte('\n')
			open = false
		}
		if !open && quotes > 0 {
			b.WriteString(line[:quotes])
			if text != "" {
				b.WriteByte(' ')
			}
		}
		depth = quotes
		open = !signature && more && strings.HasSuffix(text, " ")
		if open && delSp {
			text = text[:len(text)-1]
		}
		b.WriteString(text)
		if !open && more {
			b.WriteByte('\n')
		}
		s = rest
	}
	return b.String()
}
