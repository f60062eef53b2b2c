package message

import (
	"sort"
	"strconv"
	"strings"
)

// ParseContentValue analyses a Content-Type or Content-Disposition value.
// It never fails; a value without sense has empty fields.
func ParseContentValue(s string) *ContentValue { return parseContentValue(s) }

// parseContentValue follows RFC 2045 5.1, 2183 and 2231, and takes what is in
// the wild: unquoted values with spaces, missing semicolons after quotes,
// single quotes, encoded words.
func parseContentValue(s string) *ContentValue {
	s = unfold(s)
	value, rest := cutUnquoted(s, ';')
	v := &ContentValue{Value: strings.TrimSpace(stripComments(value))}
	typ, sub, _ := strings.Cut(v.Value, "/")
	v.Type, v.Subtype = lowerTrim(typ), lowerTrim(sub)
	if i := strings.IndexAny(v.Subtype, " \t,"); i >= 0 {
		v.Subtype = v.Subtype[:i]
	}
	var extended []extendedParam
	for count := 0; rest != "" && count < maxParams; count++ {
		var part string
		part, rest = nextParam(rest)
		key, raw, ok := strings.Cut(part, "=")
		key = lowerTrim(stripComments(key))
		if !ok || !isKey(key) {
			continue
		}
		v.HasParams = true
		if strings.IndexByte(key, '*') > 0 {
			if e, ok := extendedKey(key, paramValue(raw)); ok {
				extended = append(extended, e)
				continue
			}
		}
		v.setParam(key, paramValue(raw))
	}
	v.joinExtended(extended)
	return v
}

// setParam keeps one value per key, the last, as a map would.
func (v *ContentValue) setParam(key, value string) {
	for i := range v.Params {
		if v.Params[i].Key == key {
			v.Params[i].Value = value
			return
		}
	}
	v.Params = append(v.Params, Param{key, value})
}

// nextParam cuts one parameter off. A quoted value ends its parameter even
// where the semicolon is missing.
func nextParam(s string) (part, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ';':
			return s[:i], s[i+1:]
		case '"':
			end := quotedEnd(s, i)
			if end < 0 {
				// The quote is never closed: a semicolon ends the value.
				return cutAt(s, strings.IndexByte(s, ';'))
			}
			if after := strings.TrimLeft(s[end:], " \t"); after != "" && after[0] != ';' && startsParam(after) {
				return s[:end], after
			}
			i = end - 1
		}
	}
	return s, ""
}

// startsParam reports text that begins with name=.
func startsParam(s string) bool {
	i := strings.IndexByte(s[:min(len(s), 100)], '=')
	return i > 0 && isKey(strings.TrimSpace(s[:i]))
}

// quotedEnd gives the place after the closing quote, -1 when there is none.
func quotedEnd(s string, open int) int {
	for i := open + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// cutUnquoted cuts at the first sep outside quotes.
func cutUnquoted(s string, sep byte) (before, after string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case sep:
			return s[:i], s[i+1:]
		case '"':
			end := quotedEnd(s, i)
			if end < 0 {
				return cutAt(s, strings.IndexByte(s, sep))
			}
			i = end - 1
		}
	}
	return s, ""
}

func cutAt(s string, i int) (before, after string) {
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// paramValue unquotes. Backslashes are undone before a quote or backslash
// only: file names with Windows paths are commoner than quoted letters.
func paramValue(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	if s[0] == '"' {
		end := quotedEnd(s, 0)
		inner := s[1:]
		if end > 0 {
			inner = s[1 : end-1]
		}
		return unescapeQuotes(inner)
	}
	s = strings.TrimSpace(stripComments(s))
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	return s
}

func unescapeQuotes(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// stripComments removes RFC 5322 comments outside quotes. One that is not
// closed is kept: it is then part of a bad value.
func stripComments(s string) string {
	open := strings.IndexByte(s, '(')
	if open < 0 || strings.IndexByte(s, ')') < open || strings.IndexByte(s, '"') >= 0 {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	if depth > 0 {
		return s
	}
	return b.String()
}

// extendedParam is one piece of an RFC 2231 value.
type extendedParam struct {
	name, value string
	section     int
	encoded     bool
}

// extendedKey reads name*, name*0, name*0*.
func extendedKey(key, value string) (extendedParam, bool) {
	name, rest, _ := strings.Cut(key, "*")
	e := extendedParam{name: name, value: value}
	if rest == "" {
		e.encoded = true
		return e, true
	}
	rest, e.encoded = strings.CutSuffix(rest, "*")
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 || n > 9999 {
		return e, false
	}
	e.section = n
	return e, true
}

// joinExtended puts the pieces together. As in WildDuck the result is an
// encoded word, so that DecodeHeader reads every parameter.
func (v *ContentValue) joinExtended(list []extendedParam) {
	sort.SliceStable(list, func(i, j int) bool { return list[i].section < list[j].section })
	done := make(map[string]bool, 2)
	for _, first := range list {
		if done[first.name] {
			continue
		}
		done[first.name] = true
		v.setParam(first.name, joinOne(first.name, list))
	}
}

func joinOne(name string, list []extendedParam) string {
	charset, encoded, started := "", false, false
	var data []byte
	for _, e := range list {
		if e.name != name {
			continue
		}
		value := e.value
		if !started {
			started = true
			if e.encoded {
				charset, value = cutCharset(value)
			}
		}
		if e.encoded {
			encoded = true
			data = appendPercent(data, value)
		} else {
			data = append(data, value...)
		}
	}
	if !encoded && !strings.ContainsRune(string(data), '%') {
		return string(data)
	}
	if !encoded {
		// Pieces without the star whose text is percent-encoded all the same.
		charset, data = "utf-8", appendPercent(nil, string(data))
	}
	if charset == "" {
		charset = "utf-8"
		if !validUTF8(data) {
			charset = "iso-8859-1"
		}
	}
	return encodedWordQ(strings.ToUpper(charset), data)
}

// cutCharset reads charset'language'text.
func cutCharset(s string) (charset, text string) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok || len(charset) > 40 {
		return "", s
	}
	_, text, ok = strings.Cut(rest, "'")
	if !ok {
		return charset, rest
	}
	return charset, text
}

func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, ok := unhex(s[i+1], s[i+2]); ok {
				dst = append(dst, c)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

// unhex gives the byte that two hexadecimal digits of any case stand for.
func unhex(high, low byte) (c byte, ok bool) {
	h, ok1 := hexDigit(high)
	l, ok2 := hexDigit(low)
	return h<<4 | l, ok1 && ok2
}

func hexDigit(c byte) (v byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
