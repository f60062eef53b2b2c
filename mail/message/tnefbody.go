package message

import (
	"strings"

	"github.com/eidermail/eider/mail/message/rtf"
)

// maxRTF is how much RTF is looked at, decompressed.
const maxRTF = 3 << 20

// textOfTNEF takes the text in winmail.dat for the message's when it has no
// other: Exchange then sends nothing else (MS-OXCMAIL 2.1.3.1). HTML counts before
// plain text, and RTF where there is neither.
func (d *deriver) textOfTNEF() {
	if d.tnef == nil || !d.isBlank() {
		return
	}
	var unpacked []byte
	if len(d.tnef.HTML) == 0 {
		unpacked = d.unpackRTF()
	}
	html := d.htmlOfTNEF(unpacked)
	plain, _ := decodeCharset(d.tnef.Text, d.tnef.TextCharset)
	if html == "" && strings.TrimSpace(plain) == "" {
		plain = rtf.Text(unpacked, rtfText, maxText)
	}
	if plain = strings.ReplaceAll(d.cutText(plain), "\x00", ""); plain == "" && html == "" {
		return
	}
	d.text, d.html, d.htmlIntro = []string{plain}, []string{html}, html
	if html == "" {
		d.html = []string{textToHTML(plain)}
	}
}

// htmlOfTNEF gives the HTML, which may be encapsulated in the RTF; "" for none.
func (d *deriver) htmlOfTNEF(inRTF []byte) string {
	html := ""
	if len(d.tnef.HTML) > 0 {
		html = d.decodeCharset(d.tnef.HTML, "text/html", d.tnef.HTMLCharset)
	} else if found, ok := rtf.HTML(inRTF, rtfText, maxText); ok {
		html = found
	}
	return strings.TrimSpace(strings.ReplaceAll(d.cutText(html), "\x00", ""))
}

func (d *deriver) cutText(s string) string {
	if len(s) <= maxText {
		return s
	}
	d.defects.add(defectText)
	return cutUTF8(s, maxText)
}

// unpackRTF decompresses the RTF; nil for none.
func (d *deriver) unpackRTF() []byte {
	if len(d.tnef.RTF) == 0 {
		return nil
	}
	b, err := rtf.Decompress(d.tnef.RTF, maxRTF)
	if err != nil {
		d.defects.add(defectTNEF)
	}
	return b
}

func rtfText(b []byte, charset string) string {
	text, _ := decodeCharset(b, charset)
	return text
}

// isBlank reports that nothing outside winmail.dat shows any text.
func (d *deriver) isBlank() bool {
	for _, s := range d.text {
		if strings.TrimSpace(s) != "" {
			return false
		}
	}
	return d.htmlIntro == "" || htmlToText(cutUTF8(d.htmlIntro, maxIntroHTML), introSource, false) == ""
}
