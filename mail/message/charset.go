package message

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
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
	return decodeHinted(b, label, "")
}

// decodeHinted is decodeCharset with a charset that is tried before the
// statistics when the label is of no use; "" for none.
func decodeHinted(b []byte, label, hint string) (text string, sure bool) {
	label = cleanLabel(label)
	if plainText(b) && !isStateful(label) {
		return string(b), true
	}
	switch {
	case isISO2022(label):
		return decodeISO2022(b), true
	case isUTF8Label(label):
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if utf8.Valid(b) && !hasISO2022(string(b)) {
			return string(b), true
		}
		return guessHinted(b, hint), false
	case isUTF7Label(label):
		return strings.ToValidUTF8(decodeUTF7(b, '+'), "\uFFFD"), true
	case noLabel(label):
		return guessHinted(b, hint), false
	}
	enc := encodingFor(label)
	if enc == nil {
		return guessHinted(b, hint), false
	}
	// Text labelled as Western that is valid UTF-8 is UTF-8: by accident it
	// would be nonsense in Western text.
	if isWestern(label) && utf8.Valid(b) {
		return guessHinted(b, hint), !hasHigh(b)
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return guessHinted(b, hint), false
	}
	if bad := bytes.Count(out, []byte("\uFFFD")); bad > 0 {
		// A label that is wrong shows in characters that do not exist.
		if guess := guessHinted(b, hint); 2*strings.Count(guess, "\uFFFD") < bad {
			return guess, false
		}
	}
	return string(out), true
}

func hasHigh(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return true
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// plainText reports ASCII without escapes.
func plainText(b []byte) bool { return bytes.IndexByte(b, 0x1b) < 0 && !hasHigh(b) }

// isStateful: charsets in which ASCII bytes do not mean themselves.
func isStateful(label string) bool {
	return strings.Contains(label, "utf-7") || strings.Contains(label, "utf7") || strings.HasPrefix(label, "utf-16") ||
		strings.HasPrefix(label, "utf-32") || strings.HasPrefix(label, "hz") || strings.Contains(label, "unicode") || strings.Contains(label, "ucs-") ||
		strings.HasPrefix(label, "utf16") || strings.HasPrefix(label, "utf32") || label == "cp65000" || label == "cp037" || label == "ibm037" || isISO2022(label)
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
func guessText(b []byte) string { return guessHinted(b, "") }

// guessHinted tries a byte order mark, escapes, UTF-8, the hint, then
// statistics.
func guessHinted(b []byte, hint string) string {
	switch {
	case len(b) >= 4 && (bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff"))):
		if out, err := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Bytes(b); err == nil {
			return string(out)
		}
	case hasISO2022(string(b)):
		return decodeISO2022(b)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if utf8.Valid(b) {
		return string(b)
	}
	if mostlyUTF8(b) {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	if text, ok := tryHint(b, hint); ok {
		return text
	}
	return guessPlain(b)
}

// tryHint decodes with a charset that other parts of the message use.
func tryHint(b []byte, hint string) (string, bool) {
	hint = cleanLabel(hint)
	if noLabel(hint) || isUTF8Label(hint) || isUTF7Label(hint) || isStateful(hint) {
		return "", false
	}
	enc := encodingFor(hint)
	if enc == nil {
		return "", false
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil || bytes.Contains(out, []byte("\uFFFD")) {
		return "", false
	}
	return string(out), true
}

// guessPlain asks the statistics; windows-1252 when they do not know.
func guessPlain(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	label := likeliest(guessSample(b))
	if label == "" || label == "iso-8859-1" {
		label = "windows-1252"
	}
	enc := encodingFor(label)
	if enc == nil {
		enc = charmap.Windows1252
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err == nil && !bytes.Contains(out, []byte("\uFFFD")) {
		return string(out)
	}
	if text := guessEastern(b); text != "" {
		return text
	}
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// likeliest is the charset that the statistics name, "" for none. They list
// equals in no order, and the same bytes have to give the same text each time.
func likeliest(b []byte) string {
	list, err := chardet.NewTextDetector().DetectAll(b)
	if err != nil {
		return ""
	}
	label, confidence := "", 29
	for _, r := range list {
		if name := lowerTrim(r.Charset); r.Confidence > confidence || r.Confidence == confidence && label != "" && name < label {
			label, confidence = name, r.Confidence
		}
	}
	return label
}

// eastern are charsets of two bytes. The statistics need more text than a
// subject or a file name has.
var eastern = []encoding.Encoding{japanese.ShiftJIS, japanese.EUCJP, simplifiedchinese.GBK, traditionalchinese.Big5, korean.EUCKR}

// guessEastern decodes in the charset that gives the most plausible text of
// East Asia, "" when none gives text without holes.
func guessEastern(b []byte) string {
	best, bestScore := "", 0
	for _, enc := range eastern {
		out, err := enc.NewDecoder().Bytes(b)
		if err != nil || bytes.Contains(out, []byte("\uFFFD")) {
			continue
		}
		if score := easternScore(string(out)); score > bestScore {
			best, bestScore = string(out), score
		}
	}
	return best
}

// easternScore: kana and Hangul are sure signs of right decoding, rare
// characters and half-width katakana of wrong one.
func easternScore(s string) int {
	score := 0
	for _, r := range s {
		switch {
		case r < 0x80:
		case r >= 0x3040 && r <= 0x30ff:
			score += 4
		case r >= 0x4e00 && r <= 0x9fff, r >= 0xac00 && r <= 0xd7a3:
			score += 3
		case r >= 0x3000 && r <= 0x303f, r >= 0xff01 && r <= 0xff5e:
			score++
		default:
			score -= 2
		}
	}
	return score
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
