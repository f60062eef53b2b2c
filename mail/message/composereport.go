package message

import "bytes"

// report puts what programs read behind the text (RFC 6522 3). What is not
// ASCII needs the types of RFC 6533.
func (b *builder) report(text entity, r *Report) entity {
	if r.Type != "delivery-status" && r.Type != "disposition-notification" {
		b.fail("report type %q", r.Type)
	}
	status := entity{contentType: "message/" + r.Type, data: b.reportFields(r.Groups)}
	if status.encoding = identity(status.data); status.encoding == "8bit" {
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
	e := entity{contentType: "message/rfc822", data: r.Original}
	switch {
	case r.HeaderOnly && global:
		e.contentType, e.data = "message/global-headers", header
	case r.HeaderOnly:
		e.contentType, e.data = "text/rfc822-headers", header
	case global:
		e.contentType = "message/global"
	}
	e.encoding = identity(e.data)
	if hasLongLine(e.data) {
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
