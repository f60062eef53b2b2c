package message

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// cleanLabel takes off what surrounds charset names in the wild: quotes, an
// RFC 2231 language, and what follows the name ("iso-8859-1http-equiv...").
func cleanLabel(label string) string {
	label = lowerTrim(label)
	label = strings.Trim(label, `"'<>=;, `)
	if i := strings.IndexAny(label, "*;, \t\"'"); i >= 0 && !strings.HasPrefix(label, "iso 8859") && !strings.HasPrefix(label, "windows ") {
		label = label[:i]
	}
	if i := strings.Index(label, "http"); i > 0 {
		label = label[:i]
	}
	return strings.TrimPrefix(label, "charset=")
}

// noLabel are labels that say nothing.
func noLabel(label string) bool {
	switch label {
	case "", "us-ascii", "ascii", "usascii", "us_ascii", "us", "ansi_x3.4-1968", "iso646-us", "7bit", "8bit", "unknown", "unknown-8bit", "x-unknown",
		"default", "default_charset", "default_charset_name", "binary", "none", "null", "undefined", "_autodetect", "_autodetect_all", "x-user-defined", "ansi", "text", "plain":
		return true
	}
	return false
}

func isUTF8Label(label string) bool {
	switch label {
	case "utf-8", "utf8", "utf", "utf_8", "utf-8-sig", "unicode-1-1-utf-8", "utf8mb4", "utf8mb3", "utf-8-mac", "utf-8n", "cp65001", "x-unicode20utf8":
		return true
	}
	return false
}

func isUTF7Label(label string) bool {
	switch label {
	case "utf-7", "utf7", "unicode-1-1-utf-7", "x-utf-7", "csunicode11utf7", "x-unicode-2-0-utf-7", "cp65000":
		return true
	}
	return false
}

// moreLabels are charsets of mail that browsers do not know.
func moreLabels(label string) encoding.Encoding {
	switch label {
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "cp936", "ms936", "windows-936", "x-gbk", "gb_1988-80", "gb-18030", "gb18030-2000", "gb18030-2005", "euc-cn", "x-euc-cn", "gb":
		return simplifiedchinese.GB18030
	case "cp037", "ibm037":
		return charmap.CodePage037
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
	case "cp860", "ibm860":
		return charmap.CodePage860
	case "cp862", "ibm862":
		return charmap.CodePage862
	case "cp863", "ibm863":
		return charmap.CodePage863
	case "cp865", "ibm865":
		return charmap.CodePage865
	case "iso-8859-9e":
		return charmap.ISO8859_9
	}
	return wideLabels(label)
}

// wideLabels are those of two and four bytes. Without a mark of the byte
// order UTF-16 in mail is big endian (RFC 2781 4.3).
func wideLabels(label string) encoding.Encoding {
	switch label {
	case "utf-16", "utf16", "unicode", "ucs-2", "iso-10646-ucs-2", "csunicode":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-16be", "utf16be", "ucs-2be", "unicodebig":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "utf-16le", "utf16le", "ucs-2le", "unicodelittle":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-32", "utf32", "ucs-4", "iso-10646-ucs-4":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32be", "utf32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case "utf-32le", "utf32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	}
	return nil
}

// labelAlias maps spellings of mail to labels that htmlindex has.
func labelAlias(label string) string {
	switch label {
	case "cp932", "windows-932", "sjis", "x-ms-cp932", "ms932", "mskanji", "shift-jis", "shiftjis", "windows-31j", "sjis-win", "shift_jis-2004", "shift_jisx0213", "sjis-mac":
		return "shift_jis"
	case "ujis", "eucjp", "eucjp-ms", "eucjp-win", "euc-jp-ms", "euc_jp", "euc-jis-2004", "cp51932", "x-eucjp":
		return "euc-jp"
	case "cp949", "ms949", "uhc", "euckr", "euc_kr", "x-windows-949", "cp51949", "ksc5601", "ksc_5601-1987", "ks-c-5601", "ks_c_5601", "5601":
		return "euc-kr"
	case "cp950", "ms950", "big-5", "x-x-big5", "windows-950", "big5-hkscs2004", "big5hkscs", "euc-tw":
		return "big5"
	case "cp874", "tis620", "iso-8859-11", "x-windows-874":
		return "windows-874"
	case "koi8", "koi8r", "koi-8-r", "koi8_r", "cp20866", "cp878", "koi8-rtf":
		return "koi8-r"
	case "koi8u", "koi8_u", "koi8-ru", "koi-8-u", "cp21866":
		return "koi8-u"
	case "latin1", "latin-1", "latin_1", "iso-latin-1", "iso8859", "iso-8859", "8859", "8859-1", "8859_1", "iso-88591", "iso-8859-1-windows-3.1-latin-1",
		"iso-8859-1-windows", "windows1252", "cp819", "w1252", "western":
		return "windows-1252"
	case "latin2", "latin-2":
		return "iso-8859-2"
	case "latin9", "latin-9", "latin0":
		return "iso-8859-15"
	case "mac", "macroman", "mac-roman", "x-macroman", "macintosh-roman":
		return "macintosh"
	case "x-mac-ukraine", "mac-cyrillic", "maccyrillic":
		return "x-mac-cyrillic"
	case "866", "dos-866", "alt":
		return "ibm866"
	}
	return numberedAlias(label)
}

// numberedAlias repairs Windows and ISO names by their number: win-1251,
// cp-1250, iso 8859-5, iso_8859_7, 1251.
func numberedAlias(label string) string {
	for _, prefix := range []string{"windows-", "windows_", "windows ", "windows", "win-", "win_", "win", "cp-", "cp_", "cp", "ms-", "x-cp", "x-windows-", "ansi-", "ms-ansi-", ""} {
		if rest, ok := strings.CutPrefix(label, prefix); ok && len(rest) == 4 && strings.HasPrefix(rest, "125") {
			return "windows-" + rest
		}
	}
	for _, prefix := range []string{"iso-8859_", "iso_8859_", "iso_8859-", "iso 8859 ", "iso 8859-", "iso8859_", "iso8859-", "iso8859", "8859-", "8859_", "iso-8859", "iso-8859-", "isolatin"} {
		if rest, ok := strings.CutPrefix(label, prefix); ok && rest != "" && len(rest) <= 2 && strings.Trim(rest, "0123456789") == "" {
			return "iso-8859-" + rest
		}
	}
	return label
}

// encodingFor finds the charset of a clean label, nil for none.
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

func isWestern(label string) bool {
	switch labelAlias(label) {
	case "iso-8859-1", "windows-1252", "iso-8859-15", "ascii", "l1", "cp819", "ibm819", "iso_8859-1:1987", "iso_8859-1", "iso8859-1", "x-cp1252":
		return true
	}
	return false
}
