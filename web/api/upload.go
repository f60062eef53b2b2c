package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

var errEmptyMessage = &apiError{status: http.StatusBadRequest, code: "EmptyMessage", text: "Empty message provided"}

// uploaded is POST …/messages, decoded.
type uploaded struct {
	send   submit.Send
	append store.Append
	// raw is the message itself, nil when it is to be composed.
	raw *message.Source
	// previous is an older draft that this message takes the place of.
	previous submit.Ref
	replaces bool
}

// uploadMessage is POST …/messages: it stores a message as it is, or one that
// is composed here.
func (s *server) uploadMessage(c echo.Context) error {
	p, err := s.readLarge(c)
	if err != nil {
		return err
	}
	user := p.id("user", true)
	order := s.uploaded(p)
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "create", "messages", user); err != nil {
		return err
	}
	if order.raw == nil && isEmpty(&order.send.Compose) {
		return errEmptyMessage
	}
	if order.send.User, err = s.Store.User(ctxOf(c), user); err != nil {
		return err
	}
	if order.send.User.Disabled || order.send.User.Suspended {
		return &mail.Error{Code: mail.CodeDisabled, Op: "upload message"}
	}
	done, err := s.appendOrder(c, order)
	if err != nil {
		return err
	}
	body := map[string]any{"success": true, "message": map[string]any{
		"id": done.UID, "mailbox": done.Mailbox.String(), "size": done.Size,
	}}
	if order.replaces {
		s.replace(c, user, order.previous, body)
	}
	return respond(c, http.StatusOK, body)
}

func (s *server) appendOrder(c echo.Context, o *uploaded) (store.Appended, error) {
	if o.raw == nil {
		if err := s.reference(c, &o.send); err != nil {
			return store.Appended{}, err
		}
		return s.appendComposed(c, o.send, o.append)
	}
	parsed, err := message.ParseSource(o.raw)
	if err != nil {
		return store.Appended{}, orFull(err)
	}
	o.append.Message = parsed
	return s.appendUploaded(c, o.send, o.append)
}

// replace removes the older draft. The new one is stored: what fails here is
// told beside that, as WildDuck does.
func (s *server) replace(c echo.Context, user mail.ID, previous submit.Ref, body map[string]any) {
	err := s.Submit.DiscardDraft(ctxOf(c), user, previous)
	body["previousDeleted"] = err == nil
	if err != nil {
		body["previousDeleteError"] = s.answerFor(err, c).text
		s.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "draft not removed", slog.Any("error", err))
	}
}

// uploaded reads the body.
func (s *server) uploaded(p *params) *uploaded {
	o := &uploaded{}
	o.append.Mailbox, o.append.InternalDate = p.id("mailbox", true), p.date("date")
	o.append.Flags = uploadFlags(p)
	o.append.SkipAddressRegister = slices.Contains(o.append.Flags, mail.FlagDraft)
	sess, ip := p.session()
	o.send = submit.Send{Session: sess, Origin: ip, Custom: p.metaData("metaData")}
	o.raw = p.raw("raw")
	c := &o.send.Compose
	p.compose(c)
	c.Date = o.append.InternalDate
	o.send.Reference = p.reference()
	if o.send.Reference != nil && !o.append.SkipAddressRegister {
		// WildDuck: what answers a message is a draft.
		o.append.Flags, o.append.SkipAddressRegister = append(o.append.Flags, mail.FlagDraft), true
	}
	if in, ok := p.nested("replacePrevious"); ok {
		o.replaces = true
		o.previous = submit.Ref{Mailbox: in.id("mailbox", false), UID: in.uid("id")}
		if o.previous.Mailbox.IsZero() {
			o.previous.Mailbox = o.append.Mailbox
		}
		p.take(in)
	}
	return o
}

func uploadFlags(p *params) []mail.Flag {
	var flags []mail.Flag
	if !p.yes("unseen", false) {
		flags = append(flags, mail.FlagSeen)
	}
	if p.yes("flagged", false) {
		flags = append(flags, mail.FlagFlagged)
	}
	if p.yes("draft", false) {
		flags = append(flags, mail.FlagDraft)
	}
	return flags
}

// raw reads a whole message; nil when there is none.
func (p *params) raw(key string) *message.Source {
	v, ok := p.get(key)
	if !ok {
		return nil
	}
	var src *message.Source
	switch v := v.(type) {
	case spooled:
		src = v.Source()
	case string:
		src = message.BytesSource([]byte(v))
	default:
		p.blame(key, "must be a buffer or a string")
		return nil
	}
	if src.Size() > store.MaxMessageSize {
		p.blame(key, "length must be less than or equal to %d characters long", store.MaxMessageSize)
	}
	if start, err := src.Start(1 << 10); err == nil && len(bytes.TrimSpace(start)) == 0 && src.Size() <= 1<<10 {
		return nil
	}
	return src
}

func isEmpty(c *message.Compose) bool {
	return c.Text == "" && c.HTML == "" && c.Subject == "" && len(c.Attachments)+len(c.Headers)+len(c.To)+len(c.Cc)+len(c.Bcc) == 0
}
