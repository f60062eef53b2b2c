package message

import "bytes"

// report puts what programs read behind the text (RFC 6522 3). What is not
// ASCII needs the types of RFC 6533.
func (b *builder) report(text entity, r *Report) entity {
	if r.Type != "delivery-status" && r.Type != "disposition-notification" {
		b.fail("report type %q", r.Type)
	}
	fields := b.reportFields(r.Groups)
	status := entity{contentType: "message/" + r.Type, file: &ComposeAttachment{Data: fields}}
	if status.encoding = identity(fields); status.encoding == "8bit" {
		status.contentType = "message/global-" + r.Type
	}
	e := entity{contentType: "multipart/report", params: []string{"report-type=" + r.Type}, parts: []entity{text, status}}
	if r.Original != nil {
		e.parts = append(e.parts, original(r))
	}
	return e
}

// original is the message reported on, or its header.
func original(r *Report) entity {
	header := r.Original
	if at := bodyStart(header); at >= 0 {
		header = header[:at]
	}
	global := identity(header) == "8bit"
	e, data := entity{contentType: "message/rfc822"}, r.Original
	switch {
	case r.HeaderOnly && global:
		e.contentType, data = "message/global-headers", header
	case r.HeaderOnly:
		e.contentType, data = "text/rfc822-headers", header
	case global:
		e.contentType = "message/global"
	}
	e.file, e.encoding = &ComposeAttachment{Data: data}, identity(data)
	if hasLongLine(data) {
		e.encoding = "base64"
		if !r.HeaderOnly {
			e.contentType = "message/global"
		}
	}
	return e
}

// bodyStart is where the first empty line ends, -1 for none.
func bodyStart(raw []byte) int {
	at := -1
	for _, end := range []string{"\n\n", "\n\r\n"} {
		if i := bytes.Index(raw, []byte(end)); i >= 0 && (at < 0 || i+1 < at) {
			at = i + 1
		}
	}
	return at
}

// reportFields writes the groups with an empty line between them.
func (b *builder) reportFields(groups [][]HeaderField) []byte {
	inner := builder{c: b.c, utf8: true}
	for i, group := range groups {
		if i > 0 {
			inner.out.WriteString("\r\n")
		}
		for _, f := range group {
			if f.Key == "" || fieldName([]byte(f.Key+":")) != len(f.Key) || !isASCII(f.Key) {
				b.fail("field name %q", f.Key)
				continue
			}
			inner.raw(f.Key, f.Value)
		}
	}
	if inner.err != nil && b.err == nil {
		b.err = inner.err
	}
	return inner.out.Bytes()
}

// identity is 7bit, or 8bit where bytes beyond ASCII need it.
func identity(data []byte) string {
	for _, c := range data {
		if c >= 0x80 {
			return "8bit"
		}
	}
	return "7bit"
}

// hasLongLine: a line longer than SMTP takes (RFC 5321 4.5.3.1.6).
func hasLongLine(data []byte) bool {
	for line := range bytes.Lines(data) {
		if len(bytes.TrimRight(line, "\r\n")) > maxLineLen {
			return true
		}
	}
	return false
}
