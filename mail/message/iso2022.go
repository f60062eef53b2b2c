package message

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// ISO-2022 charsets of mail: Japanese (RFC 1468, 1554, 2237, and the forms
// that real senders use: CP50220 to CP50222 with half-width katakana, NEC and
// IBM rows, ISO-2022-JP-3 and -2004), Korean (RFC 1557), Chinese (RFC 1922).
// Escapes of all of them are understood whatever the label says.

// isoSet is a set of characters that an escape selects.
type isoSet uint8

const (
	setASCII isoSet = iota
	setKatakana
	setJIS0208 // also JIS X 0213 plane 1, which extends it
	setJIS0212
	setGB2312
	setKSC5601
	setUnknown // JIS X 0213 plane 2, CNS 11643: two bytes each, no table
)

// isoEscapes are the designations, without ESC. RFC 1468, 1554, 1557, 1922;
// JIS X 0213 annex 2.
var isoEscapes = []struct {
	seq string
	set isoSet
	// shifted: the set is used after SO, not at once.
	shifted bool
}{
	{"$(D", setJIS0212, false},
	{"$(C", setKSC5601, false},
	{"$(A", setGB2312, false},
	{"$(B", setJIS0208, false},
	{"$(@", setJIS0208, false},
	{"$(O", setJIS0208, false},
	{"$(Q", setJIS0208, false},
	{"$(P", setUnknown, false},
	{"$)A", setGB2312, true},
	{"$)C", setKSC5601, true},
	{"$)E", setUnknown, true},
	{"$)G", setUnknown, true},
	{"$*H", setUnknown, true},
	{"$B", setJIS0208, false},
	{"$@", setJIS0208, false},
	{"$A", setGB2312, false},
	{"(B", setASCII, false},
	{"(J", setASCII, false},
	{"(H", setASCII, false},
	{"(I", setKatakana, false},
	{")I", setKatakana, true},
}

// isISO2022 reports a charset in which escapes choose the characters.
func isISO2022(label string) bool {
	return strings.HasPrefix(label, "iso-2022") || strings.HasPrefix(label, "iso2022") || label == "csiso2022jp" || label == "csiso2022kr" ||
		label == "cp50220" || label == "cp50221" || label == "cp50222" || label == "jis" || label == "x-jis" || label == "jis7" ||
		label == "windows-50220" || label == "windows-50221" || label == "windows-50222"
}

// hasISO2022 finds a designation of a double-byte set in unlabelled text.
func hasISO2022(s string) bool {
	for {
		i := strings.IndexByte(s, 0x1b)
		if i < 0 || i+2 >= len(s) {
			return false
		}
		s = s[i+1:]
		if s[0] == '$' && strings.IndexByte("B@A()", s[1]) >= 0 {
			return true
		}
	}
}

// iso2022 is one pass over such a text.
type iso2022 struct {
	out strings.Builder
	// set is in use; other is the one after SO (G1), high those after SS2 (G2).
	set, shifted isoSet
	shiftOut     bool
	high         encoding.Encoding
}

// decodeISO2022 makes UTF-8 of s. It never fails; a double byte without a
// character becomes U+FFFD.
func decodeISO2022(b []byte) string {
	d := iso2022{shifted: setKSC5601, high: charmap.ISO8859_1}
	s := string(b)
	d.out.Grow(len(s) + len(s)/2)
	for s != "" {
		switch c := s[0]; c {
		case 0x1b:
			s = d.escape(s)
		case 0x0e:
			d.shiftOut, s = true, s[1:]
		case 0x0f:
			d.shiftOut, s = false, s[1:]
		case '\n', '\r':
			// RFC 1468: a line begins in ASCII; designations for SO last (RFC 1557).
			d.set, d.shiftOut = setASCII, false
			d.out.WriteByte(c)
			s = s[1:]
		default:
			n := strings.IndexAny(s, "\x1b\x0e\x0f\r\n")
			if n < 0 {
				n = len(s)
			}
			d.run(s[:n])
			s = s[n:]
		}
	}
	return d.out.String()
}

// escape takes a designation or single shift and gives what follows.
func (d *iso2022) escape(s string) string {
	rest := s[1:]
	for _, e := range isoEscapes {
		if strings.HasPrefix(rest, e.seq) {
			if e.shifted {
				d.shifted = e.set
			} else {
				d.set = e.set
			}
			return rest[len(e.seq):]
		}
	}
	switch {
	case strings.HasPrefix(rest, ".A"):
		d.high = charmap.ISO8859_1 // RFC 1554
		return rest[2:]
	case strings.HasPrefix(rest, ".F"):
		d.high = charmap.ISO8859_7
		return rest[2:]
	case len(rest) >= 2 && rest[0] == 'N':
		d.decode(d.high, []byte{rest[1] | 0x80}) // SS2
		return rest[2:]
	}
	return rest // an escape that means nothing here shows nothing
}

// run writes characters of the set in use.
func (d *iso2022) run(s string) {
	set := d.set
	if d.shiftOut {
		set = d.shifted
	}
	switch set {
	case setKatakana:
		for i := range len(s) {
			if c := s[i] & 0x7f; c >= 0x21 && c <= 0x5f {
				d.out.WriteRune(0xff61 + rune(c-0x21))
			} else {
				d.out.WriteByte(c)
			}
		}
	case setASCII:
		d.ascii(s)
	case setJIS0208, setJIS0212, setGB2312, setKSC5601, setUnknown:
		d.doubles(set, s)
	}
}

// ascii keeps ASCII; raw 8-bit bytes are half-width katakana in Japanese mail
// (JIS X 0201) often enough, but Shift_JIS or UTF-8 as often: they are guessed.
func (d *iso2022) ascii(s string) {
	if isASCII(s) {
		d.out.WriteString(s)
		return
	}
	d.out.WriteString(guessPlain([]byte(s)))
}

// doubles decodes pairs of bytes through the 8-bit form of the set.
func (d *iso2022) doubles(set isoSet, s string) {
	buf := make([]byte, 0, len(s)+len(s)/2)
	for i := 0; i < len(s); {
		c := s[i] & 0x7f
		if c < 0x21 || c == 0x7f {
			buf = append(buf, c) // a space or control among them stands for itself
			i++
			continue
		}
		if i+1 >= len(s) {
			break // half a character
		}
		if set == setJIS0212 {
			buf = append(buf, 0x8f)
		}
		buf = append(buf, c|0x80, s[i+1]|0x80)
		i += 2
	}
	switch set {
	case setJIS0208, setJIS0212:
		d.decode(japanese.EUCJP, buf)
	case setGB2312:
		d.decode(simplifiedchinese.GBK, buf)
	case setKSC5601:
		d.decode(korean.EUCKR, buf)
	case setASCII, setKatakana, setUnknown:
		d.out.WriteString(strings.Repeat("\uFFFD", len(buf)/2))
	}
}

func (d *iso2022) decode(enc encoding.Encoding, b []byte) {
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		d.out.WriteRune('\uFFFD')
		return
	}
	d.out.Write(out)
}
