package store

import (
	"strings"
	"unicode/utf8"
)

// WildDuck keeps header lines as "binary strings": one code point for each
// byte. In BSON such a string is UTF-8 of code points up to U+00FF.

// toBinaryString turns bytes into code points.
func toBinaryString(raw string) string {
	plain := true
	for i := range len(raw) {
		if raw[i] >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return raw
	}
	var b strings.Builder
	b.Grow(len(raw) + len(raw)/4)
	for i := range len(raw) {
		b.WriteRune(rune(raw[i]))
	}
	return b.String()
}

// fromBinaryString turns code points back into bytes. ok is false when one of
// them is beyond U+00FF, which no writer of binary strings makes.
func fromBinaryString(s string) (raw string, ok bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return s, false
		}
		out = append(out, byte(r)) //nolint:gosec // checked above
	}
	return string(out), true
}

// readable repairs a text that WildDuck derived from a binary string: where
// its code points are the bytes of UTF-8, it is that UTF-8. Other text stays.
func readable(s string) string {
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			continue
		}
		if raw, ok := fromBinaryString(s); ok && utf8.ValidString(raw) {
			return raw
		}
		return s
	}
	return s
}

// text makes any string fit for BSON, which holds valid UTF-8 only.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// cutRunes is the first n characters of s and the rest.
func cutRunes(s string, n int) (head, tail string) {
	if len(s) <= n {
		return s, ""
	}
	for i := range s {
		if n == 0 {
			return s[:i], s[i:]
		}
		n--
	}
	return s, ""
}
