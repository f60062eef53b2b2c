package rtf

import "strconv"

// charsetWord takes the words that say what bytes of text mean.
func (r *reader) charsetWord(word string, number int) bool {
	switch word {
	case "ansi":
		r.setDocument("windows-1252")
	case "mac":
		r.setDocument("macintosh")
	case "pc", "pca":
		r.setDocument("cp850")
	case "ansicpg":
		r.setDocument(CodePage(number))
	case "fonttbl":
		r.to = fontTable
	case "f":
		switch charset, ok := r.fonts[number]; {
		case r.to == fontTable:
			r.font = number
		case ok && charset != "":
			r.setCharset(charset)
		default:
			r.setCharset(r.ansi)
		}
	case "plain":
		r.setCharset(r.ansi)
	case "fcharset":
		r.setFont(fontCharsets[number])
	case "cpg":
		r.setFont(CodePage(number))
	default:
		return false
	}
	return true
}

func (r *reader) setDocument(charset string) {
	r.ansi = charset
	r.setCharset(charset)
}

func (r *reader) setCharset(charset string) {
	if charset != r.charset {
		r.flush()
		r.charset = charset
	}
}

func (r *reader) setFont(charset string) {
	if r.to == fontTable && len(r.fonts) < maxFonts {
		r.fonts[r.font] = charset
	}
}

// fontCharsets are the numbers of \fcharset; those that are not here mean the
// document's charset.
var fontCharsets = map[int]string{
	0: "windows-1252", 77: "macintosh", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "windows-1253", 162: "windows-1254",
	163: "windows-1258", 177: "windows-1255", 178: "windows-1256", 186: "windows-1257", 204: "windows-1251", 222: "windows-874",
	238: "windows-1250", 254: "cp437", 255: "cp850",
}

// CodePage names a Windows code page as message charsets are labelled.
func CodePage(page int) string {
	switch page {
	case 0:
		return "windows-1252"
	case 65001:
		return "utf-8"
	case 10000:
		return "macintosh"
	case 20127:
		return "us-ascii"
	case 20866:
		return "koi8-r"
	case 21866:
		return "koi8-u"
	case 1200:
		return "utf-16le"
	case 50220, 50221, 50222:
		return "iso-2022-jp"
	case 51932:
		return "euc-jp"
	case 51949:
		return "euc-kr"
	case 54936:
		return "gb18030"
	case 874:
		return "windows-874"
	}
	if page >= 28591 && page <= 28605 {
		return "iso-8859-" + strconv.Itoa(page-28590)
	}
	if page >= 1250 && page <= 1258 {
		return "windows-" + strconv.Itoa(page)
	}
	return "cp" + strconv.Itoa(page)
}
