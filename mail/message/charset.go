package message

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// Charsets. Labels are those of the WHATWG Encoding Standard, which is what
// browsers read, and a few more that mail uses. A label that is missing,
// unknown or plainly wrong leads to a guess: UTF-8 when the bytes are valid
// UTF-8, else statistics, else windows-1252.

// maxGuess is how many bytes the statistics look at.
const maxGuess = 4 << 10

// decodeCharset makes UTF-8 of text in the labelled charset. sure is false
// when the label was of no use.
func decodeCharset(b []byte, label string) (text string, sure bool) {
	label = strings.Trim(lowerTrim(label), `"'`)
	if i := strings.IndexByte(label, '*'); i >= 0 {
		label = label[:i] // RFC 2231 5: a language tag
	}
	if plainText(b) && !isStateful(label) {
		return string(b), true
	}
	switch label {
	case "utf-8", "utf8", "unicode-1-1-utf-8", "utf8mb4", "utf-8-mac":
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if utf8.Valid(b) {
			return string(b), true
		}
		if mostlyUTF8(b) {
			return strings.ToValidUTF8(string(b), "\uFFFD"), false
		}
		return guessText(b), false
	case "utf-7", "unicode-1-1-utf-7", "x-utf-7", "csunicode11utf7":
		return decodeUTF7(b, '+'), true
	case "", "us-ascii", "ascii", "usascii", "ansi_x3.4-1968", "7bit", "8bit", "unknown", "unknown-8bit", "x-unknown", "default", "binary", "none":
		return guessText(b), false
	}
	enc := encodingFor(label)
	if enc == nil {
		return guessText(b), false
	}
	// Text labelled as Western that is valid UTF-8 is UTF-8: by accident it
	// would be nonsense in Western text.
	if isWestern(label) && utf8.Valid(b) {
		return string(b), false
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return guessText(b), false
	}
	return string(out), true
}

// plainText reports ASCII without escapes.
func plainText(b []byte) bool {
	const high = 0x8080808080808080
	if bytes.IndexByte(b, 0x1b) >= 0 {
		return false
	}
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// isStateful: charsets in which ASCII bytes do not mean themselves.
func isStateful(label string) bool {
	return strings.Contains(label, "utf-7") || strings.Contains(label, "utf7") || strings.HasPrefix(label, "utf-16") ||
		strings.HasPrefix(label, "utf-32") || strings.HasPrefix(label, "hz") || label == "unicode" || strings.HasPrefix(label, "ucs")
}

func isWestern(label string) bool {
	switch label {
	case "iso-8859-1", "latin1", "windows-1252", "cp1252", "iso8859-1", "iso_8859-1", "iso-8859-15":
		return true
	}
	return false
}

// moreLabels are charsets of mail that browsers do not know.
func moreLabels(label string) encoding.Encoding {
	switch label {
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "cp936", "ms936", "windows-936", "x-gbk", "gb_1988-80":
		return simplifiedchinese.GB18030
	case "cp437", "ibm437":
		return charmap.CodePage437
	case "cp850", "ibm850":
		return charmap.CodePage850
	case "cp852", "ibm852":
		return charmap.CodePage852
	case "cp855", "ibm855":
		return charmap.CodePage855
	case "cp858", "ibm00858":
		return charmap.CodePage858
	case "utf-16", "unicode", "ucs-2", "iso-10646-ucs-2":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	return nil
}

// labelAlias maps spellings of mail to labels that htmlindex has.
func labelAlias(label string) string {
	switch label {
	case "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-ms", "cp50220", "cp50221":
		return "iso-2022-jp"
	case "cp932", "windows-932", "sjis", "x-ms-cp932":
		return "shift_jis"
	case "cp949", "ms949", "uhc":
		return "euc-kr"
	case "cp950":
		return "big5"
	case "cp874":
		return "windows-874"
	case "koi8":
		return "koi8-r"
	}
	if rest, ok := strings.CutPrefix(label, "cp-"); ok {
		return "windows-" + rest
	}
	if rest, ok := strings.CutPrefix(label, "win-"); ok {
		return "windows-" + rest
	}
	if rest, ok := strings.CutPrefix(label, "iso 8859"); ok {
		return "iso-8859" + rest
	}
	return label
}

func encodingFor(label string) encoding.Encoding {
	if enc := moreLabels(label); enc != nil {
		return enc
	}
	enc, err := htmlindex.Get(labelAlias(label))
	if err != nil || enc == encoding.Replacement {
		return nil
	}
	return enc
}

func validUTF8(b []byte) bool { return utf8.Valid(b) }

// mostlyUTF8: far more valid multi-byte characters than bad bytes, as in a
// text cut in the middle of a character.
func mostlyUTF8(b []byte) bool {
	good, bad := 0, 0
	for i := 0; i < len(b); {
		if b[i] < 0x80 {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			bad++
		} else {
			good++
		}
		i += n
	}
	return good > 2*bad
}

// guessText makes UTF-8 of text whose charset nobody said.
func guessText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	if mostlyUTF8(b) {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	label := "windows-1252"
	if best, err := chardet.NewTextDetector().DetectBest(guessSample(b)); err == nil && best.Confidence >= 30 {
		label = lowerTrim(best.Charset)
	}
	if label == "iso-8859-1" {
		label = "windows-1252"
	}
	enc := encodingFor(label)
	if enc == nil {
		enc = charmap.Windows1252
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// guessSample is a stretch around the first byte that is not ASCII.
func guessSample(b []byte) []byte {
	if len(b) <= maxGuess {
		return b
	}
	for i, c := range b {
		if c >= 0x80 || c == 0x1b {
			from := min(max(0, i-64), len(b)-maxGuess)
			return b[from : from+maxGuess]
		}
	}
	return b[:maxGuess]
}
