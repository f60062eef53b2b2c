// Package messagetest makes messages that are meant to hurt a parser: each
// bomb repeats one idea until it fills a size. It is for tests and benches.
package messagetest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// Bomb is one message.
type Bomb struct {
	Name string
	Raw  []byte
}

// header is how much of a bomb may stand in a header: a longer one would be
// cut off before it does harm.
const header = 250 << 10

const mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

// Bombs makes all bombs of about the size in bytes.
func Bombs(size int) []Bomb {
	rep := func(s string) string { return strings.Repeat(s, max(1, size/len(s))) }
	head := func(s string) string { return strings.Repeat(s, max(1, min(size, header)/len(s))) }
	var out []Bomb
	add := func(name string, parts ...string) {
		out = append(out, Bomb{name, []byte(strings.Join(parts, ""))})
	}
	structure(size, rep, add)
	headers(rep, head, add)
	bodies(rep, add)
	html(rep, add)
	files(size, rep, add)
	return out
}

func structure(size int, rep func(string) string, add func(string, ...string)) {
	add("parts", mixed, rep("--b\r\n\r\nx\r\n"))
	add("empty parts", mixed, rep("--b\r\n"))
	add("closing delimiters", mixed, "--b\r\n\r\nx\r\n", rep("--b--\r\n"))
	add("dashes", mixed, rep("--\r\n"))
	add("nearly delimiters", mixed, rep("--b \t \t x\r\n"))
	add("wrong boundaries", mixed, "--b\r\n", rep("Content-Type: multipart/mixed; boundary=no\r\n\r\n--b\r\n"))
	add("boundaries to be guessed", rep("Content-Type: multipart/mixed\r\n\r\n--x: y\r\n"))
	add("preamble", mixed, rep("text\r\n"), "--b\r\n\r\nx\r\n--b--\r\n")
	add("preambles", nested(size, strings.Repeat("preamble\r\n", 700)))
	add("epilogue", mixed, "--b\r\n\r\nx\r\n--b--\r\n", rep("epilogue\r\n"))
	add("nested multiparts", nested(size, ""))
	add("nested messages", rep("Content-Type: message/rfc822\r\n\r\n"))
	add("nested digests", rep("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"))
	add("a message in each part", mixed, rep("--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nx\r\n"))
	add("line ends", "\n", rep("a\nb\r\n"))
	add("bare CR", "\r\n\r\n", rep("\r"))
	add("only CR", rep("a\r"))
}

func nested(size int, preamble string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n%s--b%d\r\n", i, preamble, i)
	}
	return b.String()
}

func headers(rep, head func(string) string, add func(string, ...string)) {
	add("header fields", rep("X: y\r\n"))
	add("header line", "X: ", rep("y"))
	add("folds", "Subject: a\r\n", head(" b\r\n"))
	add("same field", head("Subject: a\r\n"))
	add("addresses", "To: ", head("a@b,"))
	add("address fields", head("To: a@b\r\n"))
	add("angles", "To: ", head("<,"))
	add("angles and quotes", "To: ", head("<\"\\"))
	add("quotes", "To: ", head("\"\\\""))
	add("nested comments", "To: ", head("("))
	add("groups", "To: ", head("a:;"))
	add("brackets", "To: ", head("["))
	add("parameters", "Content-Type: a/b", head(";a=b"))
	add("many parameters", "Content-Type: a/b", numbered("; k%d=v"))
	add("parameter quotes", "Content-Type: a/b; x=", head("\"\\\""))
	add("continuations", "Content-Type: a/b", numbered("; name*%d*=%%41"))
	add("comments in a parameter", "Content-Type: a/b; x=", head("()"))
	add("encoded words cut off", "Subject: ", head("=?a?q?"))
	add("encoded words", "Subject: ", head("=?utf-8?b?QQ?= "))
	add("encoded words of many charsets", "Subject: ", head("=?utf-8?q?a?= =?koi8-r?q?=C1?= =?iso-2022-jp?b?GyRCJEE=?= =?gb18030?q?=A1?= "))
	add("encoded word marks", "Subject: =?utf-8?q?", head("?=3"))
	add("replies", "Subject: ", head("re: "))
	add("subject tags", "Subject: ", head("[x]"), " y")
	add("references", "References: ", head("<a@b> "))
	add("raw bytes", "Subject: ", head("\xff\x81"))
}

func numbered(format string) string {
	var b strings.Builder
	for i := 0; b.Len() < header; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func bodies(rep func(string) string, add func(string, ...string)) {
	add("base64 dirt", "Content-Transfer-Encoding: base64\r\n\r\n", rep("QUJD_Q="))
	add("base64 in lines of one", "Content-Transfer-Encoding: base64\r\n\r\n", rep("Q\r\n"))
	add("base64 file in lines of four", "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n", rep("QUJD\r\n"))
	add("soft breaks", "Content-Transfer-Encoding: quoted-printable\r\n\r\n", rep("=\r\n"))
	add("quoted-printable marks", "Content-Transfer-Encoding: quoted-printable\r\n\r\n", rep("="))
	add("blanks at the end of a line", "Content-Transfer-Encoding: quoted-printable\r\n\r\n", rep(" "))
	add("long line", "\r\n", rep("x"))
	add("empty lines", "\r\n", rep("\r\n"))
	add("flowed", "Content-Type: text/plain; format=flowed\r\n\r\n", rep("> \r\n"))
	add("quotes in flowed text", "Content-Type: text/plain; format=flowed\r\n\r\n", rep(">"))
	add("utf-7", "Content-Type: text/plain; charset=utf-7\r\n\r\n", rep("+"))
	add("charset switches", "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", rep("\x1b$B\x1b(B"))
	add("wrong charset", "Content-Type: text/plain; charset=utf-8\r\n\r\n", rep("\xff"))
	add("no charset", "Content-Type: text/plain\r\n\r\n", rep("\xc3\xa9\xff"))
}

func html(rep func(string) string, add func(string, ...string)) {
	const page = "Content-Type: text/html\r\n\r\n"
	add("html tags", page, rep("<a>"))
	add("html nesting", page, rep("<div><table><tr><td>"))
	add("html lists", page, rep("<ul><li>"))
	add("html quotes", page, rep("<blockquote>a"))
	add("html hidden", page, rep("<p hidden>"))
	add("html open", page, rep("<"))
	add("html entities", page, rep("&amp;&#x41;&"))
	add("html comments", page, rep("<!--"))
	add("html attributes", page, "<a ", rep("a=b "))
	add("html scripts", page, rep("<script>"))
	add("html parts", mixed, rep("--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n"))
	add("cid links", page, rep("cid:"))
	add("cid links that lead somewhere", mixed, "--b\r\nContent-Type: image/png\r\nContent-ID: <x>\r\n\r\nx\r\n--b\r\n", page, rep("<img src=cid:x>"))
}

func files(size int, rep func(string) string, add func(string, ...string)) {
	add("uuencoded files", "\r\n", rep("begin 644 a\r\n#86)C\r\n`\r\nend\r\n"))
	add("uuencode begun", "\r\n", rep("begin 644 a\r\n"))
	const winmail = "Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	add("TNEF attachments", winmail, tnef(size/4*3))
	add("TNEF with RTF that changes its charset", winmail, tnefText(size/4*3, `{\ansicpg1251 \'c0}`))
	add("TNEF with RTF groups", winmail, tnefText(size/4*3, `{{{{{{{{{{{{{{{{{{{`))
	add("TNEF with RTF words", winmail, tnefText(size/4*3, `\f1\fs20\u1234 ?\par `))
	add("TNEF with HTML in RTF", winmail, tnefText(size/4*3, `\fromhtml1{\*\htmltag <p>}`))
	add("parts with names", mixed, rep("--b\r\nContent-Type: application/x; name=\"a.exe\"\r\n\r\nx\r\n"))
}

// tnef is a stream that begins an attachment over and over: attAttachRenddata
// (MS-OXTNEF 2.1.3.3.15) without anything that follows.
func tnef(size int) string {
	attribute := make([]byte, 0, 32)
	attribute = append(attribute, 2)
	attribute = binary.LittleEndian.AppendUint32(attribute, 0x00069002)
	attribute = binary.LittleEndian.AppendUint32(attribute, 14)
	attribute = append(append(attribute, make([]byte, 14)...), 0, 0)
	stream := append([]byte{0x78, 0x9f, 0x3e, 0x22, 1, 0}, []byte(strings.Repeat(string(attribute), size/len(attribute)))...)
	return lines(stream)
}

// tnefText is a stream whose text is compressed RTF (MS-OXRTFCP) that repeats
// the seed as often as it unpacks to.
func tnefText(size int, seed string) string {
	const window, filled, longest = 4096, 207, 17
	packed := make([]byte, 16, size)
	binary.LittleEndian.PutUint32(packed[8:], 0x75465a4c)
	at := filled
	for i, c := range []byte(seed) {
		if i%8 == 0 {
			packed = append(packed, 0)
		}
		packed, at = append(packed, c), at+1
	}
	for range (8 - len(seed)%8) % 8 { // to the end of the run
		packed, at = append(packed, ' '), at+1
	}
	period := at - filled
	for len(packed)+17 < size {
		packed = append(packed, 0xff)
		for range 8 {
			reference := (at-period)%window<<4 | (longest - 2)
			packed = binary.BigEndian.AppendUint16(packed, uint16(reference)) //nolint:gosec // twelve bits and four
			at += longest
		}
	}
	binary.LittleEndian.PutUint32(packed, u32(len(packed)-4))
	binary.LittleEndian.PutUint32(packed[4:], 1<<30)
	properties := binary.LittleEndian.AppendUint32(nil, 1)
	properties = append(properties, 0x02, 0x01, 0x09, 0x10)
	properties = binary.LittleEndian.AppendUint32(properties, 1)
	properties = binary.LittleEndian.AppendUint32(properties, u32(len(packed)))
	properties = append(append(properties, packed...), 0, 0, 0)
	stream := []byte{0x78, 0x9f, 0x3e, 0x22, 1, 0, 1}
	stream = binary.LittleEndian.AppendUint32(stream, 0x00069003)
	stream = binary.LittleEndian.AppendUint32(stream, u32(len(properties)))
	return lines(append(append(stream, properties...), 0, 0))
}

func u32(n int) uint32 { return uint32(n) } //nolint:gosec // a bomb is shorter

// lines is base64 as mail has it.
func lines(b []byte) string {
	text := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(text) > 76 {
		out.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return out.String() + text + "\r\n"
}
