package message

import (
	"strings"
	"unicode/utf8"
)

// Flowed lines are at most flowWidth characters with their quote marks; RFC
// 3676 4.2 wants them under 79.
const flowWidth = 76

// EncodeFlowed writes text as format=flowed (RFC 3676, DelSp=no): long lines
// are broken at spaces so that a reader may join them again. Line ends may be
// CRLF or LF; the result has LF. Spaces at the end of a line go, as 4.2 wants,
// but for those of the signature mark. A line that begins with ">" is quoted;
// one space behind its marks belongs to them. A word longer than a line stays
// whole. DecodeFlowed gives the same text back, apart from these spaces.
func EncodeFlowed(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/16)
	for first := true; s != "" || first; first = false {
		line, rest, more := strings.Cut(s, "\n")
		flowLine(&b, strings.TrimSuffix(line, "\r"))
		if more {
			b.WriteByte('\n')
		}
		s = rest
	}
	return b.String()
}

// flowLine writes one line in as many as it takes.
func flowLine(b *strings.Builder, line string) {
	text := strings.TrimLeft(line, ">")
	marks := line[:len(line)-len(text)]
	if marks != "" {
		text = strings.TrimPrefix(text, " ")
	}
	if text != "-- " {
		text = strings.TrimRight(text, " ")
	}
	for {
		piece := text
		if text != "-- " {
			piece = text[:flowBreak(text, flowWidth-len(marks))]
		}
		b.WriteString(marks)
		if needsStuffing(marks, piece) {
			b.WriteByte(' ')
		}
		b.WriteString(piece)
		if text = text[len(piece):]; text == "" {
			return
		}
		b.WriteByte('\n')
	}
}

// needsStuffing: RFC 3676 4.4, what would read as a quote, as stuffing or as
// the start of a mailbox file's message. Quoted text is stuffed for the eye.
func needsStuffing(marks, piece string) bool {
	if marks != "" {
		return piece != ""
	}
	return strings.HasPrefix(piece, " ") || strings.HasPrefix(piece, ">") || strings.HasPrefix(piece, "From ")
}

// flowBreak is where a text is to be broken: behind the last space that fits,
// else behind the first one, else at its end. Nothing is broken off that would
// read as the signature mark (4.3).
func flowBreak(s string, width int) int {
	if utf8.RuneCountInString(s) <= width {
		return len(s)
	}
	at, column := 0, 0
	for i, r := range s {
		column++
		if column > width && at > 0 {
			break
		}
		if r == ' ' && s[:i+1] != "-- " && i+1 < len(s) {
			at = i + 1
		}
	}
	if at == 0 {
		return len(s)
	}
	return at
}
