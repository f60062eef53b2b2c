package message

import (
	"strings"
	"unicode/utf8"
)

// DecodeHeader decodes RFC 2047 encoded words wherever they stand, and makes
// raw 8-bit text valid UTF-8. Words of one charset that follow each other are
// joined before the charset is decoded, since senders split characters
// between them. What cannot be decoded stays as it is.
func DecodeHeader(s string) string {
	if !strings.Contains(s, "=?") {
		if utf8.ValidString(s) {
			return s
		}
		return guessText([]byte(s))
	}
	d := wordDecoder{}
	for words := 0; s != "" && words < maxWords; {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, n := cutWord(s[i:])
		if n < 0 {
			break // no word ends after this place
		}
		if n == 0 {
			d.plain(s[:i+2])
			s = s[i+2:]
			continue
		}
		if i > 0 {
			d.plain(s[:i])
		}
		d.word(w)
		words++
		s = s[i+n:]
	}
	d.plain(s)
	d.flush()
	return d.out.String()
}

// encodedWord is one =?charset?encoding?text?=.
type encodedWord struct {
	charset, text string
	base64        bool
}

// cutWord reads an encoded word at the start of s and gives its length, 0 for
// none, -1 when no word can end in s. RFC 2047 2 forbids spaces inside; senders do it all the same.
func cutWord(s string) (encodedWord, int) {
	const maxCharset = 60
	rest := s[2:]
	q := strings.IndexByte(rest[:min(len(rest), maxCharset)], '?')
	if q <= 0 || q+2 >= len(rest) || rest[q+2] != '?' {
		return encodedWord{}, 0
	}
	w := encodedWord{charset: rest[:q]}
	if i := strings.IndexByte(w.charset, '*'); i >= 0 {
		w.charset = w.charset[:i]
	}
	if strings.ContainsAny(w.charset, " \t\"<>@") {
		return encodedWord{}, 0
	}
	switch rest[q+1] {
	case 'B', 'b':
		w.base64 = true
	case 'Q', 'q':
	default:
		return encodedWord{}, 0
	}
	text := rest[q+3:]
	end := endOfWord(text, w.base64)
	if end < 0 {
		return encodedWord{}, -1
	}
	w.text = text[:end]
	return w, 2 + q + 3 + end + 2
}

// endOfWord finds the closing ?=. In a Q text, "?=" may be a stray question
// mark before an escape: =?utf-8?Q?What?=3F?=.
func endOfWord(text string, isBase64 bool) int {
	for from := 0; ; {
		i := strings.Index(text[from:], "?=")
		if i < 0 {
			return -1
		}
		i += from
		if isBase64 || i+4 > len(text) {
			return i
		}
		if _, hex := unhex(text[i+2], text[i+3]); !hex || !strings.Contains(nextWordText(text[i+2:]), "?=") {
			return i
		}
		from = i + 2
	}
}

// nextWordText is the stretch in which the same word could still end.
func nextWordText(s string) string {
	s = s[:min(len(s), 80)]
	if i := strings.Index(s, "=?"); i >= 0 {
		s = s[:i]
	}
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		s = s[:i]
	}
	return s
}

// wordDecoder collects adjacent words.
type wordDecoder struct {
	out     strings.Builder
	charset string
	data    []byte
	// pending is base64 text whose last group is not complete.
	pending []byte
	words   bool
	// space is white space after a word: dropped before another word.
	space string
}

func (d *wordDecoder) plain(s string) {
	if s == "" {
		return
	}
	if d.words && strings.TrimLeft(s, " \t\r\n") == "" {
		d.space += s // RFC 2047 6.2
		return
	}
	d.flush()
	if utf8.ValidString(s) {
		d.out.WriteString(s)
		return
	}
	d.out.WriteString(guessText([]byte(s)))
}

func (d *wordDecoder) word(w encodedWord) {
	d.space = ""
	if d.words && !strings.EqualFold(d.charset, w.charset) {
		d.flush()
	}
	d.words, d.charset = true, w.charset
	if !w.base64 {
		d.endBase64()
		d.data = appendQ(d.data, w.text)
		return
	}
	for i := range len(w.text) {
		if !isSpace(w.text[i]) {
			d.pending = append(d.pending, w.text[i])
		}
	}
	if n := len(d.pending); n%4 == 0 || d.pending[n-1] == '=' {
		d.endBase64()
	}
}

func (d *wordDecoder) endBase64() {
	if len(d.pending) > 0 {
		d.data = appendBase64(d.data, d.pending)
		d.pending = d.pending[:0]
	}
}

func (d *wordDecoder) flush() {
	d.endBase64()
	if d.words {
		text, _ := decodeCharset(d.data, d.charset)
		d.out.WriteString(text)
		d.data, d.words = d.data[:0], false
	}
	d.out.WriteString(d.space)
	d.space = ""
}

// appendQ decodes the Q encoding (RFC 2047 4.2).
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			if encoded, ok := unhex(s[i+1], s[i+2]); ok {
				c = encoded
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}

const hexUpper = "0123456789ABCDEF"

// encodedWordQ writes one word of any length, for values inside the tree.
func encodedWordQ(charset string, data []byte) string {
	b := make([]byte, 0, len(data)+len(charset)+8)
	b = append(b, "=?"...)
	b = append(b, charset...)
	b = append(b, "?Q?"...)
	for _, c := range data {
		b = appendQByte(b, c)
	}
	return string(append(b, "?="...))
}

// appendQByte writes one byte so that it may stand in a phrase (RFC 2047 5).
func appendQByte(b []byte, c byte) []byte {
	switch {
	case c == ' ':
		return append(b, '_')
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '!', c == '*', c == '+', c == '/':
		return append(b, c)
	}
	return append(b, '=', hexUpper[c>>4], hexUpper[c&15])
}

// headerCharset is the charset of the first encoded word in a header that says
// more than UTF-8, "" for none. Senders use one charset throughout.
func headerCharset(lines []string) string {
	for _, line := range lines {
		for {
			i := strings.Index(line, "=?")
			if i < 0 {
				break
			}
			line = line[i:]
			w, n := cutWord(line)
			if n <= 0 {
				line = line[2:]
				continue
			}
			if label := cleanLabel(w.charset); !noLabel(label) && !isUTF8Label(label) {
				return label
			}
			line = line[n:]
		}
	}
	return ""
}
