package api

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

// Limits of a submission's fields, in characters, as WildDuck has them.
const (
	maxName    = 255
	maxSubject = 2048
	maxText    = 1 << 20
	maxHeader  = 100 << 10
)

// submission reads the body.
func (s *server) submission(p *params) submission {
	o := submission{isDraft: p.yes("isDraft", false), uploadOnly: p.yes("uploadOnly", false)}
	sess, ip := p.session()
	o.send = submit.Send{
		Mailbox: p.id("mailbox", false), Origin: ip, Session: sess, SendAt: p.date("sendTime"), Custom: p.metaData("meta"),
	}
	p.compose(&o.send.Compose)
	if e, ok := p.nested("envelope"); ok {
		if from, ok := e.one("from"); ok {
			o.send.EnvelopeFrom = from.Address
		}
		for _, to := range e.addresses("to", true) {
			o.send.EnvelopeTo = append(o.send.EnvelopeTo, to.Address)
		}
		p.take(e)
	}
	if d, ok := p.nested("draft"); ok {
		o.send.Draft = submit.Ref{Mailbox: d.id("mailbox", true), UID: d.uid("id")}
		p.take(d)
	}
	o.send.Reference = p.reference()
	return o
}

// compose reads what a message is made of.
func (p *params) compose(c *message.Compose) {
	if a, ok := p.one("from"); ok {
		c.From = a
	}
	if a, ok := p.one("replyTo"); ok {
		c.ReplyTo = []message.Address{a}
	}
	c.To, c.Cc, c.Bcc = p.addresses("to", false), p.addresses("cc", true), p.addresses("bcc", true)
	c.Subject = p.text("subject", false, maxSubject)
	c.Text, c.HTML = p.text("text", false, maxText), p.text("html", false, maxText)
	c.Headers, c.Attachments = p.headers("headers"), p.attachments("attachments")
	if c.Text == "" && c.HTML != "" {
		c.Text = message.HTMLToText(c.HTML)
	}
}

// reference reads which message this one answers, nil for none.
func (p *params) reference() *store.Reference {
	in, ok := p.nested("reference")
	if !ok {
		return nil
	}
	r := &store.Reference{Mailbox: in.id("mailbox", true), UID: in.uid("id"), Action: in.text("action", true, 16)}
	actions := []string{submit.ActionReply, submit.ActionReplyAll, submit.ActionForward}
	if r.Action != "" && !slices.Contains(actions, r.Action) {
		in.blame("action", "must be one of [%s]", strings.Join(actions, ", "))
	}
	p.take(in)
	return r
}

// nested reads an object by readers of its own; take brings back what was
// wrong in it.
func (p *params) nested(key string) (inner *params, ok bool) {
	m, ok := p.object(key)
	if !ok {
		return nil, false
	}
	return &params{values: m, used: map[string]bool{}, prefix: p.prefix + key + ","}, true
}

func (p *params) take(inner *params) {
	_ = inner.finish() // notes the unknown keys
	p.wrong = append(p.wrong, inner.wrong...)
}

// uid reads a required UID.
func (p *params) uid(key string) mail.UID {
	return mail.UID(p.number(key, true, 1, 1<<32-1, 0)) //nolint:gosec // bounded by the reader
}

// one reads {name, address}.
func (p *params) one(key string) (message.Address, bool) {
	if v, ok := p.get(key); !ok || v == "" {
		return message.Address{}, false
	}
	in, ok := p.nested(key)
	if !ok {
		return message.Address{}, false
	}
	a := in.mailbox(true)
	p.take(in)
	return a, true
}

// mailbox reads name and address of an object; one whose address is wrong
// comes without.
func (p *params) mailbox(strict bool) message.Address {
	a := message.Address{Name: p.text("name", false, maxName)}
	v, given := p.get("address")
	text, _ := v.(string)
	text = strings.TrimSpace(text)
	switch {
	case validAddress(text):
		a.Address = text
	case !strict:
	case !given:
		p.blame("address", "is required")
	default:
		p.blame("address", "must be a valid email")
	}
	return a
}

// addresses reads an array of {name, address}. In to, an invalid one is left
// out, as WildDuck does; elsewhere it is refused.
func (p *params) addresses(key string, strict bool) []message.Address {
	var out []message.Address
	for in := range p.each(key) {
		if a := in.mailbox(strict); a.Address != "" {
			out = append(out, a)
		}
		p.take(in)
	}
	return out
}

// each gives the objects of an array.
func (p *params) each(key string) func(func(*params) bool) {
	return func(yield func(*params) bool) {
		for i, v := range p.list(key) {
			path := fmt.Sprintf("%s,%d", key, i)
			m, ok := v.(map[string]any)
			if !ok {
				p.blame(path, "must be of type object")
				continue
			}
			if !yield(&params{values: m, used: map[string]bool{}, prefix: p.prefix + path + ","}) {
				return
			}
		}
	}
}

func (p *params) headers(key string) []message.HeaderField {
	var out []message.HeaderField
	for in := range p.each(key) {
		f := message.HeaderField{Key: in.text("key", true, maxName), Value: in.text("value", false, maxHeader)}
		if strings.ContainsFunc(f.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			in.blame("key", "is not the name of a header field")
		}
		f.Value = strings.NewReplacer("\r", " ", "\n", " ").Replace(f.Value)
		out = append(out, f)
		p.take(in)
	}
	return out
}

func (p *params) attachments(key string) []message.ComposeAttachment {
	var out []message.ComposeAttachment
	for in := range p.each(key) {
		a := message.ComposeAttachment{
			Filename: in.text("filename", false, maxName), ContentType: in.text("contentType", false, maxName),
			ContentID: in.text("cid", false, maxName),
		}
		// The composer chooses the transfer encoding.
		in.text("contentTransferEncoding", false, maxName)
		switch strings.ToLower(strings.TrimSpace(in.text("contentDisposition", false, maxName))) {
		case "inline":
			a.Inline = true
		case "", "attachment":
		default:
			in.blame("contentDisposition", "must be one of [inline, attachment]")
		}
		in.content(&a)
		out = append(out, a)
		p.take(in)
	}
	return out
}

// content reads an attachment's bytes, or says where they wait.
func (p *params) content(a *message.ComposeAttachment) {
	encoding := strings.ToLower(p.text("encoding", false, 32))
	v, ok := p.get("content")
	if held, ok := v.(spooled); ok {
		p.largeContent(a, held, encoding)
		return
	}
	a.Data = p.smallContent(v, ok, encoding)
}

// largeContent is content of a file in the spool.
func (p *params) largeContent(a *message.ComposeAttachment, held spooled, encoding string) {
	switch encoding {
	case "", "base64":
		if err := checkBase64(held.reader()); err != nil {
			p.blame("content", "must be valid base64")
		}
		a.Open = func() (io.ReadCloser, error) { return io.NopCloser(message.Decode(held.reader(), "base64")), nil }
	case "utf8", "utf-8":
		a.Open = func() (io.ReadCloser, error) { return io.NopCloser(held.reader()), nil }
	default:
		p.blame("encoding", "must be one of [base64, utf8]")
	}
}

// checkBase64 reads all of r and reports what no base64 has (RFC 4648 4), but
// for white space.
func checkBase64(r io.Reader) error {
	in := bufio.NewReaderSize(r, 32<<10)
	chars, padded := 0, false
	for {
		c, err := in.ReadByte()
		switch {
		case err == io.EOF && chars%4 == 1:
			return base64.CorruptInputError(chars)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case dropSpace(rune(c)) < 0:
		case c == '=':
			padded = true
		case padded, !isBase64(c):
			return base64.CorruptInputError(chars)
		default:
			chars++
		}
	}
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

func (p *params) smallContent(v any, ok bool, encoding string) []byte {
	text, isText := v.(string)
	switch {
	case !ok:
		p.blame("content", "is required")
	case !isText:
		p.blame("content", "must be a string")
	case encoding == "" || encoding == "base64":
		text = strings.TrimRight(strings.Map(dropSpace, text), "=")
		data, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			p.blame("content", "must be valid base64")
		}
		return data
	case encoding != "utf8" && encoding != "utf-8":
		p.blame("encoding", "must be one of [base64, utf8]")
	}
	return []byte(text)
}

func dropSpace(r rune) rune {
	if r == ' ' || r == '\r' || r == '\n' || r == '\t' {
		return -1
	}
	return r
}
