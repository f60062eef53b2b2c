// Package rtf reads what Outlook and Exchange keep as the body of a message
// in winmail.dat: compressed Rich Text Format (MS-OXRTFCP), its plain text, and
// the HTML that is encapsulated in it (MS-OXRTFEX).
//
// A stranger writes it: everything is bounded, linear in the size of the input,
// and never fails; what is no RTF is text.
package rtf

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Decoder makes text of bytes in a charset, which is a label such as
// "windows-1252".
type Decoder func(b []byte, charset string) string

// Bounds: deeper groups are passed over, more fonts are not looked at.
const (
	maxGroups = 500
	maxFonts  = 2000
)

// Text gives the plain text of RTF, about limit bytes of it at most.
func Text(b []byte, decode Decoder, limit int) string { return read(b, decode, limit, false) }

// HTML gives the HTML that is encapsulated in RTF, about limit bytes of it at
// most; false when there is none.
func HTML(b []byte, decode Decoder, limit int) (string, bool) {
	// MS-OXRTFEX 2.1.3.1.1: it says so in its first words.
	if !bytes.Contains(b[:min(len(b), 1<<10)], []byte(`\fromhtml1`)) {
		return "", false
	}
	return read(b, decode, limit, true), true
}

// destination is what the text of a group is for.
type destination byte

const (
	shown destination = iota
	ignored
	fontTable
	htmlTag
)

// group is what a group may set and its end undoes.
type group struct {
	to destination
	// hidden: what RTF readers see instead of HTML, or hidden text.
	hidden bool
	// uc is how many characters stand behind \u for readers that do not know it.
	uc      int
	charset string
}

type reader struct {
	in     []byte
	decode Decoder
	limit  int
	html   bool

	group
	outer []group
	// deeper is how many groups beyond maxGroups are open.
	deeper int
	// star: \* was read; the next word names a destination that may be unknown.
	star bool
	// skip is how many characters are still to be passed over behind \u.
	skip int
	// high is the first half of a surrogate pair.
	high rune

	ansi  string // the document's charset
	fonts map[int]string
	font  int // the one that the font table tells about

	out     strings.Builder
	pending []byte // bytes in the group's charset
	short   map[shortText]string
}

func read(b []byte, decode Decoder, limit int, html bool) string {
	r := &reader{
		in: b, decode: decode, limit: limit, html: html, ansi: "windows-1252", fonts: map[int]string{}, short: map[shortText]string{},
		group: group{uc: 1, charset: "windows-1252"},
	}
	for len(r.in) > 0 && r.out.Len()+len(r.pending) < limit {
		r.token()
	}
	r.flush()
	return r.out.String()
}

func (r *reader) token() {
	c := r.in[0]
	r.in = r.in[1:]
	switch c {
	case '{':
		r.open()
	case '}':
		r.close()
	case '\\':
		r.control()
	case '\r', '\n', 0:
	default:
		r.char(c)
	}
}

func (r *reader) open() {
	r.skip, r.star = 0, false
	if len(r.outer) >= maxGroups {
		r.deeper++
		return
	}
	r.outer = append(r.outer, r.group)
}

func (r *reader) close() {
	r.skip, r.star = 0, false
	switch {
	case r.deeper > 0:
		r.deeper--
	case len(r.outer) > 0:
		last := len(r.outer) - 1
		r.setCharset(r.outer[last].charset)
		r.group, r.outer = r.outer[last], r.outer[:last]
	}
}

// control reads what follows a backslash.
func (r *reader) control() {
	if len(r.in) == 0 {
		return
	}
	c := r.in[0]
	if isLetter(c) {
		word, number, has := r.word()
		r.obey(string(word), number, has) // not kept, so it costs no memory
		return
	}
	r.in = r.in[1:]
	switch c {
	case '\'':
		if len(r.in) >= 2 {
			if v, ok := unhex(r.in[0], r.in[1]); ok {
				r.in = r.in[2:]
				r.char(v)
			}
		}
	case '*':
		r.star = true
	case '~':
		r.symbol("\u00a0", "&nbsp;")
	case '_':
		r.symbol("\u2011", "&shy;")
	case '-': // where a word may be parted
	case '\r', '\n':
		r.symbol("\n", "\r\n")
	case '\\', '{', '}':
		r.char(c)
	}
}

// word reads letters, a number, and the space that may end them.
func (r *reader) word() (word []byte, number int, has bool) {
	n := 0
	for n < len(r.in) && n < 32 && isLetter(r.in[n]) {
		n++
	}
	word, r.in = r.in[:n], r.in[n:]
	sign := 1
	if len(r.in) > 1 && r.in[0] == '-' && isDigit(r.in[1]) {
		sign, r.in = -1, r.in[1:]
	}
	for n = 0; n < len(r.in) && n < 10 && isDigit(r.in[n]); n++ {
		number, has = number*10+int(r.in[n]-'0'), true
	}
	if r.in = r.in[n:]; len(r.in) > 0 && r.in[0] == ' ' {
		r.in = r.in[1:]
	}
	return word, sign * number, has
}

func (r *reader) obey(word string, number int, has bool) {
	star := r.star
	r.star = false
	switch word {
	case "bin":
		r.in = r.in[min(max(number, 0), len(r.in)):]
		r.skip = max(0, r.skip-1)
	case "u":
		r.unicode(number)
	case "uc":
		r.uc = min(max(number, 0), 100)
	case "htmlrtf":
		if r.html {
			r.flush()
			r.hidden = !has || number != 0
		}
	case "v":
		if !r.html {
			r.flush()
			r.hidden = !has || number != 0
		}
	case "htmltag":
		if r.html && star && r.to == shown {
			r.flush()
			r.to, r.hidden = htmlTag, false
			return
		}
		r.ignore(star)
	default:
		if s, ok := symbols[word]; ok {
			r.symbol(s.text, s.html)
			return
		}
		if !r.charsetWord(word, number) {
			r.ignore(star || destinations[word])
		}
	}
}

func (r *reader) ignore(yes bool) {
	if yes {
		r.flush()
		r.to = ignored
	}
}

// symbol is a character that has a word of its own.
func (r *reader) symbol(text, html string) {
	switch {
	case r.skip > 0:
		r.skip--
	case r.html:
		r.write(html)
	default:
		r.write(text)
	}
}

// unicode takes \u: a UTF-16 unit as a signed number.
func (r *reader) unicode(number int) {
	unit := rune(uint16(number)) //nolint:gosec // 16 bits by the specification
	r.skip = r.uc
	switch {
	case utf16.IsSurrogate(unit) && unit < 0xdc00:
		r.high = unit
		return
	case utf16.IsSurrogate(unit):
		unit = utf16.DecodeRune(r.high, unit)
	}
	r.high = 0
	if unit >= ' ' && unit != utf8.RuneError {
		r.write(string(unit))
	}
}

// char takes a byte of text.
func (r *reader) char(c byte) {
	switch {
	case r.skip > 0:
		r.skip--
	case r.visible():
		r.pending = append(r.pending, c)
	}
}

func (r *reader) visible() bool {
	return r.deeper == 0 && !r.hidden && (r.to == shown || r.to == htmlTag)
}

func (r *reader) write(s string) {
	if r.visible() {
		r.flush()
		r.out.WriteString(s)
	}
}

func (r *reader) flush() {
	switch n := len(r.pending); {
	case n == 0:
		return
	case r.isPlain():
		r.out.Write(r.pending)
	case n > maxShort:
		r.out.WriteString(r.decode(r.pending, r.charset))
	default:
		// Text that changes its charset often is short between changes.
		key := shortText{charset: r.charset, size: n}
		copy(key.text[:], r.pending)
		s, ok := r.short[key]
		if !ok {
			s = r.decode(r.pending, r.charset)
			if len(r.short) < maxShorts {
				r.short[key] = s
			}
		}
		r.out.WriteString(s)
	}
	r.pending = r.pending[:0]
}

// Short texts that were decoded already are remembered, so many of them.
const (
	maxShort  = 8
	maxShorts = 2000
)

type shortText struct {
	charset string
	text    [maxShort]byte
	size    int
}

// isPlain reports pending ASCII in a charset that has it at its place.
func (r *reader) isPlain() bool {
	switch r.charset {
	case "utf-16le", "iso-2022-jp", "cp65000":
		return false
	}
	for _, c := range r.pending {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// symbols are words that stand for text, in text and in HTML.
var symbols = map[string]struct{ text, html string }{
	"par": {"\n", "\r\n"}, "line": {"\n", "\r\n"}, "sect": {"\n", "\r\n"}, "page": {"\n", "\r\n"}, "row": {"\n", "\r\n"},
	"tab": {"\t", "\t"}, "cell": {"\t", "\t"},
	"lquote": {"\u2018", "&lsquo;"}, "rquote": {"\u2019", "&rsquo;"}, "ldblquote": {"\u201c", "&ldquo;"}, "rdblquote": {"\u201d", "&rdquo;"},
	"bullet": {"\u2022", "&bull;"}, "endash": {"\u2013", "&ndash;"}, "emdash": {"\u2014", "&mdash;"},
	"enspace": {"\u2002", "&ensp;"}, "emspace": {"\u2003", "&emsp;"}, "qmspace": {"\u2005", "&#8197;"},
	"zwj": {"\u200d", "&zwj;"}, "zwnj": {"\u200c", "&zwnj;"}, "ltrmark": {"\u200e", "&lrm;"}, "rtlmark": {"\u200f", "&rlm;"},
}

// destinations are groups whose text is not the document's and that do not say
// so with \*.
var destinations = map[string]bool{
	"colortbl": true, "stylesheet": true, "info": true, "pict": true, "objdata": true, "nonshppict": true, "header": true, "headerl": true, "headerr": true,
	"headerf": true, "footer": true, "footerl": true, "footerr": true, "footerf": true, "fldinst": true, "xe": true, "tc": true, "rxe": true, "template": true,
	"listtable": true, "listoverridetable": true, "revtbl": true, "filetbl": true, "themedata": true, "datastore": true,
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func unhex(a, b byte) (byte, bool) {
	high, low := strings.IndexByte(hexDigits, a|0x20), strings.IndexByte(hexDigits, b|0x20)
	return byte(high<<4 | low), high >= 0 && low >= 0 //nolint:gosec // two digits
}

const hexDigits = "0123456789abcdef"
