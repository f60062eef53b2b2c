package message

import (
	"regexp"
	"strings"
)

// fields fills in what comes from the root's header.
func (d *deriver) fields() {
	m, h := d.m, d.m.Root.Parsed
	m.ContentType = m.Root.mediaType()
	m.From = decodeAddresses(h.Addresses("from"))
	m.Sender = decodeAddresses(h.Addresses("sender"))
	m.ReplyTo = decodeAddresses(h.Addresses("reply-to"))
	m.To = decodeAddresses(h.Addresses("to"))
	m.Cc = decodeAddresses(h.Addresses("cc"))
	m.Bcc = decodeAddresses(h.Addresses("bcc"))
	m.Subject = collapse(cleanText(DecodeHeader(h.lastNonEmpty("subject"))))
	m.MessageID = firstID(h.Get("message-id"))
	m.InReplyTo = firstID(h.Get("in-reply-to"))
	m.References = messageIDs(h.Get("references"), maxReferences)
	m.ThreadSubject = normaliseSubject(m.Subject)
	m.ThreadRefs = ThreadRefs(h)
	m.Headers = indexedHeaders(m.Root.Header)
	date := h.lastNonEmpty("date")
	m.Date = ParseDate(date)
	switch {
	case date == "":
		d.defects.add(defectNoDate)
	case m.Date.IsZero():
		d.defects.add(defectBadDate)
	}
	switch froms := len(m.Root.Lookup("from")); {
	case froms > 1:
		d.defects.add(defectManyFrom)
	case len(m.From) == 0:
		d.defects.add(defectNoFrom)
	}
	d.noteDeceit()
}

// noteDeceit records what makes a reader take the message for another's.
func (d *deriver) noteDeceit() {
	m := d.m
	if badWord(m.Root.Parsed.lastNonEmpty("subject")) {
		d.defects.add(defectEncodedWord)
	}
	turned := turnsDirection(m.Subject)
	for _, a := range m.From {
		turned = turned || turnsDirection(a.Name)
		if otherAddress(a) {
			d.defects.add(defectNameIsAddress)
		}
	}
	if turned {
		d.defects.add(defectDirection)
	}
}

// badWord: the value has what looks like an encoded word and is none.
func badWord(s string) bool {
	for {
		i := strings.Index(s, "=?")
		if i < 0 {
			return false
		}
		s = s[i:]
		if _, n := cutWord(s); n > 0 {
			s = s[n:]
			continue
		}
		charset, rest, ok := strings.Cut(s[2:], "?")
		if ok && isToken(charset) && len(rest) > 1 && rest[1] == '?' {
			return true
		}
		s = s[2:]
	}
}

// turnsDirection: right-to-left text needs no override characters.
func turnsDirection(s string) bool { return strings.ContainsAny(s, "\u202d\u202e") }

var addressInName = regexp.MustCompile(`^[^@\s]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}$`)

// otherAddress: the name shows an address that is not the sender's.
func otherAddress(a Address) bool {
	if strings.IndexByte(a.Name, '@') < 0 {
		return false
	}
	for word := range strings.FieldsSeq(a.Name) {
		word = strings.Trim(word, `"'<>()[],;`)
		if addressInName.MatchString(word) && !strings.EqualFold(word, a.Address) {
			return true
		}
	}
	return false
}

// lastNonEmpty is the last value of a repeated field that is not blank.
func (h ParsedHeader) lastNonEmpty(key string) string {
	list, ok := h.value(key).([]string)
	if !ok {
		return h.Get(key)
	}
	for i := len(list) - 1; i >= 0; i-- {
		if strings.TrimSpace(list[i]) != "" {
			return list[i]
		}
	}
	return ""
}

// Limits of the indexed headers, in bytes.
const (
	maxIndexKey   = 255
	maxIndexValue = 880
	indexCut      = 4
	maxIndexed    = 200
)

func isIndexed(key string) bool {
	switch key {
	case "to", "cc", "subject", "from", "sender", "reply-to", "message-id", "thread-index", "list-id", "delivered-to":
		return true
	}
	return false
}

// indexedHeaders are the header fields that the database indexes.
func indexedHeaders(lines []string) []HeaderField {
	var out []HeaderField
	for _, line := range lines {
		name, value, ok := splitField(line)
		if !ok || len(name) > maxIndexKey {
			continue
		}
		key := lowerKey(name)
		if !isIndexed(key) || len(out) >= maxIndexed {
			continue
		}
		value = unfold(value)
		if len(value) > 16<<10 {
			value = value[:16<<10] // far more than is kept
		}
		value = strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(DecodeHeader(value), "\uFFFD")))
		if key == "list-id" {
			value = insideAngles(value)
		}
		if len(value) > maxIndexValue {
			value = cutUTF8(value, maxIndexValue-indexCut)
		}
		out = append(out, HeaderField{key, value})
	}
	return out
}

func insideAngles(s string) string {
	open := strings.LastIndexByte(s, '<')
	if open < 0 {
		return s
	}
	inner, _, ok := strings.Cut(s[open+1:], ">")
	if !ok {
		return s
	}
	return strings.TrimSpace(inner)
}
