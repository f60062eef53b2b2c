package address

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ParseMailbox reads what a person types for one recipient: an addr-spec, or
// a display name, quoted or not, with the addr-spec in angle brackets, or an
// addr-spec with the name in a comment behind it. Unlike RFC 5322 3.4 the name
// may hold any character; control characters become spaces, so that it is safe
// in a header. The error is an *Error.
func ParseMailbox(s string) (name string, a Address, err error) {
	s = strings.TrimSpace(s)
	open := strings.LastIndexByte(s, '<')
	if open < 0 || !strings.HasSuffix(s, ">") {
		spec, comment := cutComment(s)
		a, err = Parse(spec)
		return cleanName(comment), a, err
	}
	a, err = Parse(strings.TrimSpace(s[open+1 : len(s)-1]))
	if err != nil {
		return "", Address{}, err
	}
	return cleanName(unquoteName(strings.TrimSpace(s[:open]))), a, nil
}

// cutComment splits "a@example.org (Name)".
func cutComment(s string) (spec, comment string) {
	if !strings.HasSuffix(s, ")") {
		return s, ""
	}
	open := strings.LastIndex(s, " (")
	if open < 0 {
		return s, ""
	}
	return strings.TrimSpace(s[:open]), s[open+2 : len(s)-1]
}

// unquoteName takes away the quotation marks around a whole name.
func unquoteName(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	escaped := false
	for _, r := range s[1 : len(s)-1] {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		b.WriteRune(r)
		escaped = false
	}
	return b.String()
}

func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return norm.NFC.String(strings.Join(strings.Fields(s), " "))
}

// SplitList splits a typed list of recipients at commas, semicolons and line
// ends that stand outside quotation marks and angle brackets. Marks that are
// not closed on their line are ordinary characters. Empty entries are left out.
func SplitList(s string) []string {
	var list []string
	for line := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
		list = splitLine(list, line)
	}
	return list
}

func splitLine(list []string, line string) []string {
	add := func(entry string) {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	// Once a closing mark was not found there is none further on either: the
	// search is not repeated, so the time stays linear.
	noQuote, noAngle := false, false
	start := 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ',' || c == ';':
			add(line[start:i])
			start = i + 1
		case c == '"' && !noQuote:
			if end := closingQuote(line[i+1:]); end >= 0 {
				i += 1 + end
			} else {
				noQuote = true
			}
		case c == '<' && !noAngle:
			if end := strings.IndexByte(line[i+1:], '>'); end >= 0 {
				i += 1 + end
			} else {
				noAngle = true
			}
		}
	}
	add(line[start:])
	return list
}

// closingQuote finds the next quotation mark without a backslash before it.
func closingQuote(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
