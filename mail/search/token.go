package search

import (
	"bytes"
	"unicode/utf8"
)

// MaxToken is the longest token in bytes; of a longer word the start is kept.
const MaxToken = 48

// maxWhole is the longest address or host name that is also kept whole.
const maxWhole = 96

// Tokens analyses text. It keeps buffers, so it is for one goroutine.
type Tokens struct {
	buf []byte
	// Cut tells whether a word was longer than MaxToken since the last Reset.
	Cut bool
	// pairs, if not nil, takes the runs as well.
	pairs *pairing
}

// Each calls f for every token of the text: words, grams of writing without
// blanks, and addresses and host names whole. f must not keep the bytes.
func (t *Tokens) Each(s string, f func(token []byte)) {
	t.buf = appendFold(t.buf[:0], nil, s)
	t.scan(t.buf, f)
}

// scan goes over folded text run by run. A compound is runs of word characters
// that single joiners hold together, as in an address.
func (t *Tokens) scan(b []byte, f func([]byte)) {
	start, dotted := -1, false // of the compound
	for i := 0; i < len(b); {
		c, size := classAt(b, i)
		if c == separator {
			if start >= 0 && !joins(b, i) {
				t.whole(b[start:i], dotted, f)
				start, dotted = -1, false
			}
			dotted = dotted || (start >= 0 && (b[i] == '.' || b[i] == '@'))
			i += size
			continue
		}
		end := runEnd(b, i, c)
		if t.pairs != nil {
			t.pairs.run(b[i:end], c)
		}
		if c == word {
			if start < 0 {
				start = i
			}
			t.word(b[i:end], f)
		} else {
			if start >= 0 {
				t.whole(b[start:i], dotted, f)
				start, dotted = -1, false
			}
			grams(b[i:end], gramSize(c), f)
		}
		i = end
	}
	if start >= 0 {
		t.whole(b[start:], dotted, f)
	}
}

// joins tells whether the separator at i holds two runs of a compound together.
func joins(b []byte, i int) bool {
	switch b[i] {
	case '.', '@', '-', '_', '+':
	default:
		return false
	}
	if i+1 >= len(b) {
		return false
	}
	c, _ := classAt(b, i+1)
	return c == word
}

func (t *Tokens) word(b []byte, f func([]byte)) {
	if len(b) > MaxToken {
		t.Cut = true
		b = wholeRunes(b[:MaxToken])
	}
	f(b)
}

// wholeRunes takes an incomplete last character away.
func wholeRunes(b []byte) []byte {
	for n := 1; n <= utf8.UTFMax && n <= len(b); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return b[:len(b)-n]
			}
			return b
		}
	}
	return b
}

// whole gives a compound that looks like an address or a host name, and the
// host of an address.
func (t *Tokens) whole(b []byte, dotted bool, f func([]byte)) {
	if !dotted || len(b) > maxWhole {
		return
	}
	b = bytes.TrimRight(b, ".@-_+")
	at := bytes.LastIndexByte(b, '@')
	if at < 0 && bytes.IndexByte(b, '.') < 0 {
		return
	}
	f(b)
	if host := b[at+1:]; at > 0 && bytes.IndexByte(host, '.') > 0 {
		f(host)
	}
}

// grams gives the n characters from every position; the last ones are shorter,
// so that a search for fewer characters is a search for a prefix.
func grams(b []byte, n int, f func([]byte)) {
	for len(b) > 0 {
		end := 0
		for k := 0; k < n && end < len(b); k++ {
			_, size := utf8.DecodeRune(b[end:])
			end += size
		}
		f(b[:end])
		_, size := utf8.DecodeRune(b)
		b = b[size:]
	}
}

func gramSize(c class) int {
	if c == triples {
		return 3
	}
	return 2
}

// classAt is the class and the size of the character at i of folded text.
func classAt(b []byte, i int) (class, int) {
	if c := b[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, size := utf8.DecodeRune(b[i:])
	return foldedClass(r), size
}

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for i := range t {
		t[i] = classOf(rune(i))
	}
	return t
}()

// foldedClass is the class of a character that is folded already: its own, as
// folding it again changes nothing.
func foldedClass(r rune) class {
	if f := foldRune(r); f.text != "" {
		return f.class
	}
	return classOf(r)
}

// runEnd is where the run of characters of one class ends that begins at i.
func runEnd(b []byte, i int, c class) int {
	for i < len(b) {
		next, size := classAt(b, i)
		if next != c {
			break
		}
		i += size
	}
	return i
}

// normal is text as phrases see it: folded, one blank between words, and one
// where writing with blanks meets writing without. at is where each byte came
// from, if it was asked for.
type normal struct {
	b  []byte
	at []int32
}

func normalise(s string, offsets bool) normal {
	var from []int32
	at := (*[]int32)(nil)
	if offsets {
		at = &from
	}
	return normaliseFolded(appendFold(make([]byte, 0, len(s)), at, s), from)
}

func normaliseFolded(b []byte, from []int32) normal {
	out := normal{b: make([]byte, 0, len(b)+2)}
	for i := 0; i < len(b); {
		c, size := classAt(b, i)
		if c == separator {
			i += size
			continue
		}
		end := runEnd(b, i, c)
		if len(out.b) > 0 {
			out.b = append(out.b, ' ')
			if from != nil {
				out.at = append(out.at, from[i])
			}
		}
		out.b = append(out.b, b[i:end]...)
		if from != nil {
			out.at = append(out.at, from[i:end]...)
		}
		i = end
	}
	return out
}

// find gives where the phrase stands in the text, from a byte on, or -1. A phrase
// that begins or ends with a word asks for a whole word there; with prefix its end
// may be inside one.
func (n normal) find(phrase []byte, prefix bool, from int) int {
	if len(phrase) == 0 {
		return -1
	}
	first, _ := classAt(phrase, 0)
	r, _ := utf8.DecodeLastRune(phrase)
	last := foldedClass(r)
	for from < len(n.b) {
		i := bytes.Index(n.b[from:], phrase)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(phrase)
		opens := first != word || i == 0 || n.b[i-1] == ' '
		closes := prefix || last != word || end == len(n.b) || n.b[end] == ' '
		if opens && closes {
			return i
		}
		from = i + 1
	}
	return -1
}

// Normalise is the words of a text as a phrase is compared: folded, with one
// blank between them.
func Normalise(s string) string { return string(normalise(s, false).b) }
