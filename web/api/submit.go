package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

// submission is POST /users/:user/submit, decoded.
type submission struct {
	send       submit.Send
	isDraft    bool
	uploadOnly bool
}

// submitMessage composes, sends and stores in one call.
func (s *server) submitMessage(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	p.open = true
	user := s.userParam(c, p)
	order := s.submission(p)
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "create", "messages", user); err != nil {
		return err
	}
	if order.send.User, err = s.Store.User(ctxOf(c), user); err != nil {
		return err
	}
	if err := s.reference(c, &order.send); err != nil {
		return err
	}
	if order.isDraft || order.uploadOnly || nobody(order.send) {
		return s.upload(c, order)
	}
	sent, err := s.Submit.Send(ctxOf(c), order.send)
	if err != nil {
		return submitFailed(err)
	}
	body := map[string]any{"id": any(false), "mailbox": any(false), "queueId": any(false)}
	if sent.UID != 0 {
		body["id"], body["mailbox"] = sent.UID, sent.Mailbox.String()
	}
	if sent.QueueID != "" {
		body["queueId"] = sent.QueueID
	}
	if sent.OverQuota {
		body["overQuota"] = true
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "message": body})
}

// submitFailed keeps to WildDuck's status: a submission that fails has 500 and
// a code that says why.
func submitFailed(err error) error {
	var me *mail.Error
	if !errors.As(err, &me) {
		return err
	}
	answer := *wording(me)
	switch me.Code {
	case mail.CodeInvalid:
		answer = apiError{status: http.StatusBadRequest, code: "InputValidationError", text: invalidText(me)}
		var bad submit.BadRecipient
		if errors.As(err, &bad) {
			answer.text = fmt.Sprintf("%q is not valid (%s): %s", me.Field, me.Reason, bad.Address)
		}
	case mail.CodeLimited, mail.CodeDisabled:
		answer.status = http.StatusInternalServerError
	default:
	}
	return &answer
}

func nobody(o submit.Send) bool {
	c := o.Compose
	return o.EnvelopeTo == nil && len(c.To)+len(c.Cc)+len(c.Bcc) == 0
}

// submission reads the body.
func (s *server) submission(p *params) submission {
	o := submission{isDraft: p.yes("isDraft", false), uploadOnly: p.yes("uploadOnly", false)}
	o.send = submit.Send{
		Mailbox: p.id("mailbox", false), Origin: p.text("ip", false, 64), Session: p.text("sess", false, 255),
		SendAt: p.date("sendTime"), Custom: p.metaData("meta"),
	}
	c := &o.send.Compose
	if a, ok := p.one("from"); ok {
		c.From = a
	}
	if a, ok := p.one("replyTo"); ok {
		c.ReplyTo = []message.Address{a}
	}
	c.To, c.Cc, c.Bcc = p.addresses("to", false), p.addresses("cc", true), p.addresses("bcc", true)
	c.Subject = p.text("subject", false, 2048)
	c.Text, c.HTML = p.text("text", false, 1<<20), p.text("html", false, 1<<20)
	c.Headers, c.Attachments = p.headers("headers"), p.attachments("attachments")
	if c.Text == "" && c.HTML != "" {
		c.Text = message.HTMLToText(c.HTML)
	}
	if m, ok := p.object("envelope"); ok {
		o.send.EnvelopeFrom, o.send.EnvelopeTo = envelopeOf(p, m)
	}
	if m, ok := p.object("draft"); ok {
		o.send.Draft = submit.Ref{Mailbox: objectID(p, "draft,mailbox", m["mailbox"]), UID: objectUID(p, "draft,id", m["id"])}
	}
	if m, ok := p.object("reference"); ok {
		action := fmt.Sprint(m["action"])
		if action != submit.ActionReply && action != submit.ActionReplyAll && action != submit.ActionForward {
			p.blame("reference,action", "must be one of [reply, replyAll, forward]")
		}
		o.send.Reference = &store.Reference{
			Mailbox: objectID(p, "reference,mailbox", m["mailbox"]), UID: objectUID(p, "reference,id", m["id"]), Action: action,
		}
	}
	return o
}

func objectID(p *params, path string, v any) mail.ID {
	id, err := mail.ParseID(strings.ToLower(fmt.Sprint(v)))
	if err != nil {
		p.blame(path, "length must be 24 characters long")
	}
	return id
}

func objectUID(p *params, path string, v any) mail.UID {
	var n uint32
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil || n == 0 {
		p.blame(path, "must be a number")
	}
	return mail.UID(n)
}

// one reads {name, address}.
func (p *params) one(key string) (message.Address, bool) {
	v, ok := p.get(key)
	if !ok || v == "" {
		return message.Address{}, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.blame(key, "must be of type object")
		return message.Address{}, false
	}
	a := addressIn(m)
	if !validAddress(a.Address) {
		p.blame(key+",address", "must be a valid email")
	}
	return a, true
}

func addressIn(m map[string]any) message.Address {
	name, _ := m["name"].(string)
	addr, _ := m["address"].(string)
	return message.Address{Name: name, Address: strings.TrimSpace(addr)}
}

// addresses reads an array of {name, address}. In to, an invalid one is left
// out, as WildDuck does; elsewhere it is refused.
func (p *params) addresses(key string, strict bool) []message.Address {
	var out []message.Address
	for i, v := range p.list(key) {
		m, ok := v.(map[string]any)
		a := addressIn(m)
		if ok && validAddress(a.Address) {
			out = append(out, a)
			continue
		}
		if strict || !ok {
			p.blame(fmt.Sprintf("%s,%d,address", key, i), "must be a valid email")
		}
	}
	return out
}

func (p *params) headers(key string) []message.HeaderField {
	var out []message.HeaderField
	for i, v := range p.list(key) {
		m, _ := v.(map[string]any)
		name, ok1 := m["key"].(string)
		value, ok2 := m["value"].(string)
		if !ok1 || !ok2 || name == "" || strings.ContainsAny(name, "\r\n: ") || len(value) > 100<<10 {
			p.blame(fmt.Sprintf("%s,%d", key, i), "is not a valid header")
			continue
		}
		out = append(out, message.HeaderField{Key: name, Value: strings.NewReplacer("\r", " ", "\n", " ").Replace(value)})
	}
	return out
}

func (p *params) attachments(key string) []message.ComposeAttachment {
	var out []message.ComposeAttachment
	for i, v := range p.list(key) {
		m, _ := v.(map[string]any)
		text := func(k string) string { s, _ := m[k].(string); return s }
		a := message.ComposeAttachment{
			Filename: text("filename"), ContentType: text("contentType"), ContentID: text("cid"),
			Inline: strings.EqualFold(strings.TrimSpace(text("contentDisposition")), "inline"), Data: []byte(text("content")),
		}
		if encoding := text("encoding"); encoding == "" || strings.EqualFold(encoding, "base64") {
			data, err := base64.StdEncoding.DecodeString(strings.Map(dropSpace, text("content")))
			if err != nil {
				p.blame(fmt.Sprintf("%s,%d,content", key, i), "must be valid base64")
			}
			a.Data = data
		}
		if _, ok := m["content"].(string); !ok {
			p.blame(fmt.Sprintf("%s,%d,content", key, i), "is required")
		}
		out = append(out, a)
	}
	return out
}

func dropSpace(r rune) rune {
	if r == ' ' || r == '\r' || r == '\n' || r == '\t' {
		return -1
	}
	return r
}

func envelopeOf(p *params, m map[string]any) (from string, to []string) {
	if f, ok := m["from"].(map[string]any); ok {
		from = addressIn(f).Address
	}
	list, _ := m["to"].([]any)
	for i, v := range list {
		one, _ := v.(map[string]any)
		a := addressIn(one)
		if !validAddress(a.Address) {
			p.blame(fmt.Sprintf("envelope,to,%d,address", i), "must be a valid email")
			continue
		}
		to = append(to, a.Address)
	}
	return from, to
}

// reference fills what an answer takes from the message that it answers: the
// chain, the subject and, for a reply without recipients, those.
func (s *server) reference(c echo.Context, o *submit.Send) error {
	if o.Reference == nil {
		return nil
	}
	ref := submit.Ref{Mailbox: o.Reference.Mailbox, UID: o.Reference.UID}
	d, err := s.Submit.Answer(ctxOf(c), o.User, ref, o.Reference.Action, time.UTC)
	if err != nil {
		return err
	}
	o.Compose.InReplyTo, o.Compose.References = d.InReplyTo, d.References
	if o.Compose.Subject == "" {
		o.Compose.Subject = d.Subject
	}
	if nobody(*o) && o.Reference.Action != submit.ActionForward {
		o.Compose.To, o.Compose.Cc = submit.Parsed(d.To), submit.Parsed(d.Cc)
	}
	return nil
}

// upload stores the message without sending it: a draft, or a copy.
func (s *server) upload(c echo.Context, o submission) error {
	compose := o.send.Compose
	if compose.From.Address == "" {
		compose.From = message.Address{Name: o.send.User.Name, Address: o.send.User.Address}
	}
	compose.KeepBcc, compose.Domain = true, s.EmailDomain
	if compose.Date.IsZero() {
		compose.Date = s.Now()
	}
	raw, err := message.Build(compose)
	if err != nil {
		return &apiError{status: http.StatusInternalServerError, code: "ERRCOMPOSE", text: "The message cannot be composed"}
	}
	a := store.Append{
		User: o.send.User.ID, Mailbox: o.send.Mailbox, Use: mail.UseSent, Message: message.Parse(raw), CheckQuota: true,
		Flags: []mail.Flag{mail.FlagSeen}, SkipAddressRegister: o.isDraft,
		Meta: store.Meta{
			Source: "API", Origin: o.send.Origin, TransType: "UPLOAD", Time: s.Now(), Custom: o.send.Custom,
			Reference: o.send.Reference, Session: o.send.Session,
		},
	}
	if o.isDraft {
		a.Use, a.Flags = mail.UseDrafts, append(a.Flags, mail.FlagDraft)
	}
	done, err := s.Store.Append(ctxOf(c), a)
	if err != nil {
		return err
	}
	if err := s.Submit.DiscardDraft(ctxOf(c), o.send.User.ID, o.send.Draft); err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "message": map[string]any{
		"id": done.UID, "mailbox": done.Mailbox.String(), "queueId": false,
	}})
}
