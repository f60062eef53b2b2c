package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// entity is a part of the body to be written.
type entity struct {
	contentType string
	params      []string // of the content type
	// disposition with its parameters, empty for none.
	disposition string
	dispParams  []string
	contentID   string
	// text or file is the content of a leaf; parts those of a multipart.
	text     string
	isText   bool
	file     *ComposeAttachment
	encoding string
	parts    []entity
}

// body builds the tree of parts and writes it.
func (b *builder) body() {
	e := b.textEntity()
	var related, mixed []entity
	for i := range b.c.Attachments {
		a := &b.c.Attachments[i]
		if a.Inline && a.ContentID != "" && b.c.HTML != "" {
			related = append(related, b.attachment(a))
		} else {
			mixed = append(mixed, b.attachment(a))
		}
	}
	if len(related) > 0 {
		e = b.withRelated(e, related)
	}
	if b.c.Report != nil {
		e = b.report(e, b.c.Report)
	}
	if len(mixed) > 0 {
		e = entity{contentType: "multipart/mixed", parts: append([]entity{e}, mixed...)}
	}
	b.entity(&e)
}

func (b *builder) textEntity() entity {
	plain := entity{contentType: "text/plain", text: b.c.Text, isText: true}
	if b.c.Flowed {
		plain.text, plain.params = EncodeFlowed(b.c.Text), []string{"format=flowed"}
	}
	if b.c.HTML == "" {
		return plain
	}
	rich := entity{contentType: "text/html", text: b.c.HTML, isText: true}
	if b.c.Text == "" {
		return rich
	}
	// RFC 2046 5.1.4: the best form comes last.
	return entity{contentType: "multipart/alternative", parts: []entity{plain, rich}}
}

// withRelated puts the parts that HTML shows beside it (RFC 2387).
func (b *builder) withRelated(e entity, related []entity) entity {
	rich := &e
	if len(e.parts) > 0 {
		rich = &e.parts[len(e.parts)-1]
	}
	*rich = entity{
		contentType: "multipart/related", params: []string{`type="text/html"`},
		parts: append([]entity{*rich}, related...),
	}
	return e
}

func (b *builder) attachment(a *ComposeAttachment) entity {
	e := entity{contentType: lowerTrim(a.ContentType), file: a, disposition: "attachment"}
	if e.contentType == "" {
		e.contentType = "application/octet-stream"
	}
	ct := parseContentValue(a.ContentType)
	if a.ContentType != "" {
		e.contentType = ct.FullType()
	}
	if !isMediaType(e.contentType) {
		b.fail("content type %q", a.ContentType)
		return e
	}
	for _, p := range ct.Params {
		if p.Key != "name" && p.Key != "boundary" && isKey(p.Key) {
			e.params = append(e.params, param(p.Key, DecodeHeader(p.Value))...)
		}
	}
	if a.Inline {
		e.disposition = "inline"
	}
	if id := bracketed(a.ContentID); id != "" {
		e.contentID = id
	}
	if name := safeFilename(a.Filename); name != "" {
		e.dispParams = param("filename", name)
		if isASCII(name) {
			e.params = append(e.params, param("name", name)...)
		}
	}
	e.encoding = "base64"
	if strings.HasPrefix(e.contentType, "message/") {
		// RFC 2046 5.2.1: no encoding but 7bit, 8bit, binary.
		is8bit, longLine := b.look(a)
		if e.encoding = "7bit"; is8bit {
			e.encoding = "8bit"
		}
		isMail := e.contentType == "message/rfc822" || e.contentType == "message/global"
		switch {
		case isMail && longLine:
			// RFC 6532 3.7: message/global may have any encoding.
			e.contentType, e.encoding = "message/global", "base64"
		case e.encoding != "7bit" && !isMail:
			e.encoding = "base64"
		}
	}
	if strings.HasPrefix(e.contentType, "multipart/") {
		b.fail("content type %q", a.ContentType)
	}
	return e
}

// isMediaType: type/subtype in RFC 2045's token characters.
func isMediaType(s string) bool {
	typ, sub, ok := strings.Cut(s, "/")
	return ok && isToken(typ) && isToken(sub)
}

func isToken(s string) bool {
	for i := range len(s) {
		if !isAtext(s[i]) && s[i] != '.' || strings.IndexByte("/=?", s[i]) >= 0 {
			return false
		}
	}
	return s != "" && len(s) < 128
}

// look reports bytes beyond ASCII, and a line longer than SMTP takes (RFC 5321
// 4.5.3.1.6).
func (b *builder) look(a *ComposeAttachment) (is8bit, longLine bool) {
	column := 0
	b.read(a, func(part []byte) {
		for _, c := range part {
			is8bit = is8bit || c >= 0x80
			switch c {
			case '\r':
			case '\n':
				column = 0
			default:
				column++
			}
			longLine = longLine || column > maxLineLen
		}
	})
	return is8bit, longLine
}

// read shows an attachment's content in portions, each a multiple of what a line
// of base64 holds, but for the last.
func (b *builder) read(a *ComposeAttachment, show func([]byte)) {
	if b.err != nil {
		return
	}
	r, err := a.reader()
	if err != nil {
		b.err = err
		return
	}
	defer r.Close()
	for part := make([]byte, 500*base64Line); ; {
		n, err := io.ReadFull(r, part)
		if n > 0 {
			show(part[:n])
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return
		case err != nil:
			b.err = err
			return
		}
	}
}

// entity writes the MIME fields of a part and its content.
func (b *builder) entity(e *entity) {
	if e.isText {
		e.encoding = textEncoding(e.text)
		e.params = append([]string{"charset=utf-8"}, e.params...)
	}
	boundary := ""
	if len(e.parts) > 0 {
		boundary = b.newBoundary()
		e.params = append(e.params, `boundary="`+boundary+`"`)
	}
	b.params("Content-Type", e.contentType, e.params)
	if e.encoding != "" {
		b.fold("Content-Transfer-Encoding", []string{e.encoding})
	}
	if e.disposition != "" {
		b.params("Content-Disposition", e.disposition, e.dispParams)
	}
	if e.contentID != "" {
		b.fold("Content-ID", []string{e.contentID})
	}
	b.out.WriteString("\r\n")
	for i := range e.parts {
		b.out.WriteString("--" + boundary + "\r\n")
		b.entity(&e.parts[i])
		b.out.WriteString("\r\n")
		b.flush(buildPortion)
	}
	if boundary != "" {
		b.out.WriteString("--" + boundary + "--\r\n")
		return
	}
	b.content(e)
}

func (b *builder) params(key, value string, params []string) {
	words := []string{value}
	for _, p := range params {
		words[len(words)-1] += ";"
		words = append(words, p)
	}
	b.fold(key, words)
}

// content writes a leaf's body. Text ends with a line break.
func (b *builder) content(e *entity) {
	switch {
	case e.isText:
		b.textContent(e)
	case e.file == nil:
	case e.encoding == "base64":
		first := true
		b.read(e.file, func(part []byte) {
			if !first {
				b.out.WriteString("\r\n")
			}
			first = false
			b.base64(part)
			b.flush(buildPortion)
		})
	default:
		var ends crlfWriter
		b.read(e.file, func(part []byte) {
			ends.write(&b.out, part)
			b.flush(buildPortion)
		})
	}
}

// crlfWriter is toCRLF for text in portions.
type crlfWriter struct{ cr bool }

func (w *crlfWriter) write(out *bytes.Buffer, part []byte) {
	for _, c := range part {
		if c == '\n' && w.cr {
			w.cr = false
			continue // its CR has become a line break
		}
		if w.cr = c == '\r'; w.cr || c == '\n' {
			out.Write(crlf)
			continue
		}
		out.WriteByte(c)
	}
}

func (b *builder) textContent(e *entity) {
	text := toCRLF(strings.ToValidUTF8(e.text, "\uFFFD"))
	if text != "" && !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	switch e.encoding {
	case "base64":
		b.base64([]byte(text))
	case "quoted-printable":
		writeQP(&b.out, text)
	default:
		b.out.WriteString(text)
	}
}

// toCRLF makes every line break CRLF.
func toCRLF(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// base64Line is how many bytes a line of 76 characters holds.
const base64Line = 57

func (b *builder) base64(data []byte) {
	line := make([]byte, 0, 80)
	for first := true; len(data) > 0; first = false {
		if !first {
			b.out.WriteString("\r\n")
		}
		n := min(base64Line, len(data))
		line = base64.StdEncoding.AppendEncode(line[:0], data[:n])
		b.out.Write(line)
		data = data[n:]
	}
}

// textEncoding chooses: 7bit for ASCII with lines that SMTP takes, base64 for
// mostly non-ASCII text, else quoted-printable. "From " at a line start is
// encoded, since mailbox files change it (RFC 4155), and so is a lone dot.
func textEncoding(s string) string {
	nonASCII, line := 0, 0
	plain := !strings.HasPrefix(s, "From ") && !strings.Contains(s, "\nFrom ")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			line = 0
			continue
		case c >= 0x80:
			nonASCII++
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			plain = false
		}
		if line++; line > maxLineLen {
			plain = false
		}
	}
	switch {
	case nonASCII == 0 && plain:
		return "7bit"
	case nonASCII*2 > len(s):
		return "base64"
	}
	return "quoted-printable"
}

// writeQP writes quoted-printable (RFC 2045 6.7) in lines of at most 76. s
// has CRLF line ends.
func writeQP(out *bytes.Buffer, s string) {
	for s != "" {
		line, rest, more := strings.Cut(s, "\r\n")
		qpLine(out, line)
		if more {
			out.WriteString("\r\n")
		}
		s = rest
	}
}

func qpLine(out *bytes.Buffer, line string) {
	column := 0
	for i := range len(line) {
		c := line[i]
		last := i == len(line)-1
		literal := c > ' ' && c < 0x7f && c != '=' || isWSP(c) && !last
		if column == 0 && (c == '.' && last || c == 'F' && strings.HasPrefix(line[i:], "From ")) {
			literal = false
		}
		size := 3
		if literal {
			size = 1
		}
		room := 75 // one for the soft break
		if last {
			room = 76
		}
		if column+size > room {
			out.WriteString("=\r\n")
			column = 0
		}
		if literal {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'=', hexUpper[c>>4], hexUpper[c&15]})
		}
		column += size
	}
}
