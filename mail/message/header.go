package message

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Get gives a text value, the last one of several; "" when there is none or
// it is not a text. The key is in lower case.
func (h ParsedHeader) Get(key string) string {
	switch v := h.value(key).(type) {
	case string:
		return v
	case []string:
		if len(v) > 0 {
			return v[len(v)-1]
		}
	case *ContentValue:
		return v.Value
	}
	return ""
}

// Addresses gives an address list with names still encoded.
func (h ParsedHeader) Addresses(key string) []Address {
	v, _ := h.value(key).([]Address)
	return v
}

// Has reports whether the key occurs.
func (h ParsedHeader) Has(key string) bool { return h.value(key) != nil }

func (h ParsedHeader) value(key string) any {
	for i := range h {
		if h[i].Key == key {
			return h[i].Value
		}
	}
	return nil
}

// isSingle: of these the last one counts.
func isSingle(key string) bool {
	switch key {
	case "in-reply-to", "message-id", "content-transfer-encoding", "content-id", "content-description",
		"content-language", "content-md5", "content-location":
		return true
	}
	return false
}

func isAddressKey(key string) bool {
	switch key {
	case "from", "sender", "reply-to", "to", "cc", "bcc":
		return true
	}
	return false
}

var defaultContentType = &ContentValue{Value: "text/plain", Type: "text", Subtype: "plain"}

// analyse makes n.Parsed from n.Header.
func (p *parser) analyse(n *Node, fallback string) {
	index := keyIndex{fields: make(ParsedHeader, 0, len(n.Header)+1)}
	for i, line := range n.Header {
		name, value, _ := splitField(line)
		if i == 0 && strings.HasPrefix(name, byteOrderMark) {
			name = name[len(byteOrderMark):] // an editor's mark before the first field
			p.defects.add(defectDirt)
		}
		if !isKey(name) {
			continue
		}
		key := lowerKey(name)
		field, seen := index.field(key)
		if seen && isUnique(key) {
			p.noteRepeated(key)
		}
		field.Value = p.merge(field.Value, key, p.headerText(unfold(value)))
	}
	for i := range index.fields {
		p.finish(&index.fields[i])
	}
	if field, _ := index.field("content-type"); field.Value == nil {
		field.Value = defaultContentType
		if fallback != "" {
			field.Value = parseContentValue(fallback)
		}
	}
	n.Parsed = index.fields
}

// keyIndex finds fields by their keys.
type keyIndex struct {
	fields ParsedHeader
	places map[string]int // once there are many
}

const manyKeys = 40

// field gives the field of the key; when there is none, an empty new one.
func (x *keyIndex) field(key string) (f *ParsedField, seen bool) {
	if i := x.place(key); i >= 0 {
		return &x.fields[i], true
	}
	if len(x.fields) == manyKeys {
		x.places = make(map[string]int, cap(x.fields))
		for i := range x.fields {
			x.places[x.fields[i].Key] = i
		}
	}
	if x.places != nil {
		x.places[key] = len(x.fields)
	}
	x.fields = append(x.fields, ParsedField{Key: key})
	return &x.fields[len(x.fields)-1], false
}

func (x *keyIndex) place(key string) int {
	if x.places != nil {
		if i, ok := x.places[key]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(x.fields, func(f ParsedField) bool { return f.Key == key })
}

// lowerKey is lowerASCII for field names: the usual ones cost nothing.
func lowerKey(name string) string {
	if key, ok := usualKeys[name]; ok {
		return key
	}
	return lowerASCII(name)
}

var usualKeys = func() map[string]string {
	keys := make(map[string]string)
	for name := range strings.FieldsSeq(`Received From To Cc Subject Date Message-ID Message-Id MIME-Version Mime-Version Content-Type Content-Transfer-Encoding
		Content-Disposition Content-ID Content-Id Reply-To Sender References In-Reply-To Return-Path Delivered-To DKIM-Signature Authentication-Results
		List-Id List-Unsubscribe List-Unsubscribe-Post List-Post List-Help User-Agent X-Mailer Precedence Received-SPF ARC-Seal ARC-Message-Signature
		ARC-Authentication-Results X-Google-DKIM-Signature X-Received Feedback-ID Thread-Index Thread-Topic Content-Language`) {
		keys[name] = lowerASCII(name)
	}
	return keys
}()

const byteOrderMark = "\xef\xbb\xbf"

// isUnique: RFC 5322 3.6 and 2045 allow these once. Several From fields have a
// defect of their own.
func isUnique(key string) bool {
	switch key {
	case "date", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject", "content-type",
		"content-transfer-encoding", "content-disposition", "content-id", "mime-version":
		return true
	}
	return false
}

func (p *parser) noteRepeated(key string) {
	if key == "content-type" {
		p.defects.add(defectManyTypes)
		return
	}
	p.defects.add(defectRepeated)
}

// merge adds one more value to those of a key.
func (p *parser) merge(have any, key, value string) any {
	switch {
	case isAddressKey(key):
		list, _ := have.([]Address)
		more, cut := parseAddresses(value, maxAddresses-len(list))
		if cut {
			p.defects.add(defectAddresses)
		}
		if list == nil {
			list = []Address{}
		}
		return append(list, more...)
	case isSingle(key), key == "content-type", key == "content-disposition":
		return value
	}
	switch v := have.(type) {
	case string:
		return []string{v, value}
	case []string:
		return append(v, value)
	}
	return value
}

// finish analyses structured values. An empty one counts as none.
func (p *parser) finish(f *ParsedField) {
	if f.Key != "content-type" && f.Key != "content-disposition" {
		return
	}
	s, _ := f.Value.(string)
	v := parseContentValue(s)
	if len(v.Params) >= maxParams {
		p.defects.add(defectParams)
	}
	if f.Key == "content-type" {
		if s == "" {
			f.Value = nil
			return
		}
		if v.Type == "" || v.Subtype == "" {
			p.defects.add(defectContentType)
		}
	}
	f.Value = v
}

// headerText makes a header value valid UTF-8. RFC 6532 says UTF-8; raw bytes
// of another charset are guessed.
func (p *parser) headerText(s string) string {
	if isASCII(s) {
		return s
	}
	if utf8.ValidString(s) {
		return s
	}
	p.defects.add(defectRawHeader)
	return guessText([]byte(s[:min(len(s), maxRawValue)]))
}
