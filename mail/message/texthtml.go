package message

import "strings"

// textToHTML shows plain text as HTML: paragraphs and line breaks. It ends
// where the database would cut it.
func textToHTML(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/16 + 16)
	b.WriteString("<p>")
	empty, begun, plain := 0, false, !hasSpecial(s)
	for more := true; more; {
		var line string
		if line, s, more = strings.Cut(s, "\n"); line != "" {
			line = trimLineEnd(line)
		}
		if line == "" {
			empty++
			continue
		}
		if begun {
			if empty > 0 {
				b.WriteString("</p><p>")
			} else {
				b.WriteString("<br/>")
			}
		}
		begun, empty = true, 0
		switch {
		case b.Len() >= maxText:
		case plain:
			b.WriteString(line)
		default:
			writeEscaped(&b, line)
		}
	}
	b.WriteString("</p>")
	return b.String()
}

// hasSpecial: some character means something in HTML.
func hasSpecial(s string) bool {
	for i := range len(htmlSpecial) {
		if strings.IndexByte(s, htmlSpecial[i]) >= 0 { // five fast passes beat one slow one
			return true
		}
	}
	return false
}

const htmlSpecial = `&'<>"`

// writeEscaped does what html.EscapeString does, up to maxText.
func writeEscaped(b *strings.Builder, s string) {
	done := 0
	for i := 0; i < len(s) && b.Len()+i-done < maxText; i++ {
		var escaped string
		switch s[i] {
		case '&':
			escaped = "&amp;"
		case '\'':
			escaped = "&#39;"
		case '<':
			escaped = "&lt;"
		case '>':
			escaped = "&gt;"
		case '"':
			escaped = "&#34;"
		default:
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(escaped)
		done = i + 1
	}
	b.WriteString(s[done:])
}

// trimLineEnd cuts off the blanks and CRs at the end.
func trimLineEnd(line string) string {
	n := len(line)
	for n > 0 && (isWSP(line[n-1]) || line[n-1] == '\r') {
		n--
	}
	return line[:n]
}
