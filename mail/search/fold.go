package search

import (
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// class is what a folded character is to the analysis.
type class uint8

const (
	// separator ends a word.
	separator class = iota
	// word characters make words that blanks or marks separate.
	word
	// pairs is writing without blanks whose characters say much (Han, Kana,
	// Hangul): it is indexed by bigrams.
	pairs
	// triples is writing without blanks and with an alphabet (Thai, Lao, Khmer,
	// Burmese, Tibetan): it is indexed by trigrams.
	triples
)

// folded is one character's folded form and the class of its last character.
type folded struct {
	text  string
	class class
	// mark: it may change the character before it.
	mark bool
}

// page caches the folding of 256 characters. It is a pure function's memory,
// filled as characters are met.
type page [256]folded

var pages [(unicode.MaxRune + 1) >> 8]atomic.Pointer[page]

func foldRune(r rune) *folded {
	if r < 0 || r > unicode.MaxRune {
		r = utf8.RuneError
	}
	p := pages[r>>8].Load()
	if p == nil {
		p = new(page)
		for i := range p {
			p[i] = makeFolded(r&^0xff | rune(i))
		}
		pages[r>>8].Store(p)
	}
	return &p[r&0xff]
}

func makeFolded(r rune) folded {
	s := foldedText(r)
	f := folded{text: s, mark: isComposing(r)}
	if s != "" {
		last, _ := utf8.DecodeLastRuneInString(s)
		f.class = classOf(last)
	}
	return f
}

// foldedText is a character without case, accents and compatibility forms.
func foldedText(r rune) string {
	switch {
	case isDropped(r):
		return ""
	case r < utf8.RuneSelf:
		return string(unicode.ToLower(r))
	case unicode.Is(unicode.Hangul, r), unicode.In(r, unicode.Hiragana, unicode.Katakana):
		// A voicing mark makes another sound, a jamo is part of a syllable: these
		// only lose their width and presentation.
		return norm.NFKC.String(string(r))
	}
	if l := unicode.ToLower(r); isLetterOfItsOwn(l) {
		return string(l)
	}
	var out []rune
	for _, d := range norm.NFKD.String(string(r)) {
		d = unicode.ToLower(d)
		if s, ok := alike[d]; ok {
			out = append(out, []rune(s)...)
			continue
		}
		if n := decimal(d); n >= 0 {
			d = '0' + n
		}
		if !isDropped(d) {
			out = append(out, d)
		}
	}
	return string(out)
}

// isDropped: accents, points and signs that do not tell words apart, and what
// has no width. Vowel signs of the Indic scripts do, and stay.
func isDropped(r rune) bool {
	switch {
	case r >= 0x300 && r <= 0x36f, r >= 0x1ab0 && r <= 0x1aff, r >= 0x1dc0 && r <= 0x1dff, r >= 0xfe20 && r <= 0xfe2f: // Latin, Greek, Cyrillic
		return true
	case r >= 0x483 && r <= 0x489: // Old Church Slavonic
		return true
	case r >= 0x591 && r <= 0x5bd, r == 0x5bf, r == 0x5c1, r == 0x5c2, r == 0x5c4, r == 0x5c5, r == 0x5c7: // niqqud
		return true
	case r >= 0x610 && r <= 0x61a, r >= 0x64b && r <= 0x65f, r == 0x670, r >= 0x6d6 && r <= 0x6ed && unicode.Is(unicode.M, r): // harakat
		return true
	case r == 0x640: // tatweel
		return true
	case r == 0xad, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff: // no width
		return true
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef: // variation selectors
		return true
	case r >= 0x1f3fb && r <= 0x1f3ff: // skin tones
		return true
	}
	return false
}

// isComposing: what may make another letter of the one before it: the breve and
// the two dots of Cyrillic, voicing marks, jamo.
func isComposing(r rune) bool {
	return r == 0x306 || r == 0x308 || r == 0x301 || r == 0x3099 || r == 0x309a || r == 0xff9e || r == 0xff9f || (r >= 0x1160 && r <= 0x11ff)
}

// isLetterOfItsOwn: letters that only look like others with an accent. ё is not
// among them, since Russian mostly writes е for it.
func isLetterOfItsOwn(r rune) bool {
	switch r {
	case 'й', 'ї', 'ў', 'ѓ', 'ќ':
		return true
	}
	return false
}

// alike are letters that Unicode does not decompose and people write for each
// other.
var alike = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ŧ': "t", 'ı': "i", 'ŋ': "n", 'ĸ': "k",
	'ς': "σ", 'ϐ': "β", 'ϑ': "θ", 'ϕ': "φ", 'ϖ': "π",
	'ٱ': "ا", 'ى': "ي", 'ی': "ي", 'ې': "ي", 'ے': "ي", 'ة': "ه", 'ۀ': "ه", 'ہ': "ه", 'ھ': "ه", 'ک': "ك", 'ګ': "ك", 'ء': "",
	'ך': "כ", 'ם': "מ", 'ן': "נ", 'ף': "פ", 'ץ': "צ",
	'’': "'", '‘': "'", '`': "'", '´': "'",
}

// decimal is the value of a digit of any script, or -1.
func decimal(r rune) rune {
	if r < utf8.RuneSelf || !unicode.Is(unicode.Nd, r) {
		return -1
	}
	// Digits of a script stand in a row, from its zero on; the row's start is
	// found by going back to what is no digit, at most nine steps.
	n := rune(0)
	for n < 9 && unicode.Is(unicode.Nd, r-n-1) {
		n++
	}
	if r >= 0x1d7ce && r <= 0x1d7ff { // five rows without a gap
		return (r - 0x1d7ce) % 10
	}
	return n
}

func classOf(r rune) class {
	switch {
	case r < utf8.RuneSelf:
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return word
		}
		return separator
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo), r == 'ー', r == 0x3099, r == 0x309a:
		return pairs
	case unicode.In(r, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan) && (unicode.IsLetter(r) || unicode.IsMark(r)):
		return triples
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return word
	}
	return separator
}

// ascii is the fast half of foldRune.
var ascii = func() (t [utf8.RuneSelf]byte) {
	for i := range t {
		t[i] = byte(unicode.ToLower(rune(i)))
	}
	return t
}()

// appendFold appends the folded form of s: letters and digits normalised, all
// else as it is. at, if not nil, gets for every byte appended where in s the
// character begins that it came from.
func appendFold(dst []byte, at *[]int32, s string) []byte {
	last := 0 // where the last character of dst begins, to compose with
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			last = len(dst)
			dst = append(dst, ascii[c])
			if at != nil {
				*at = append(*at, int32(i))
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		f := foldRune(r)
		if f.mark && last < len(dst) {
			if c := composed(dst[last:], r); c != "" {
				dst = append(dst[:last], c...)
				if at != nil {
					start := (*at)[last]
					*at = (*at)[:last]
					for range len(c) {
						*at = append(*at, start)
					}
				}
				i += size
				continue
			}
		}
		if f.text != "" {
			last = len(dst)
			dst = append(dst, f.text...)
			if at != nil {
				for range len(f.text) {
					*at = append(*at, int32(i))
				}
			}
		}
		i += size
	}
	return dst
}

// composed is the letter that a mark makes of the one before it, or "".
func composed(before []byte, mark rune) string {
	if mark == 0xff9e {
		mark = 0x3099
	}
	if mark == 0xff9f {
		mark = 0x309a
	}
	s := norm.NFC.String(string(before) + string(mark))
	r, size := utf8.DecodeRuneInString(s)
	if size != len(s) || foldRune(r).text != s {
		return ""
	}
	return s
}

// Fold is the text without case, accents and compatibility forms.
func Fold(s string) string { return string(appendFold(make([]byte, 0, len(s)), nil, s)) }
