package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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
	p, err := s.readLarge(c)
	if err != nil {
		return err
	}
	p.open = true
	user := p.id("user", true)
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
	if err := s.later(c, &order.send); err != nil {
		return err
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
	var bad submit.BadRecipient
	named := errors.As(err, &bad)
	switch {
	case me.Code == mail.CodeInvalid && me.Field == "":
		answer = *errCompose
	case me.Code == mail.CodeInvalid && named:
		answer.text = fmt.Sprintf("%q is not valid (%s): %s", me.Field, me.Reason, bad.Address)
	case me.Code == mail.CodeOverQuota && named:
		answer = apiError{
			status: http.StatusInternalServerError, code: "MessageRejected", expected: true,
			text: "The mailbox of a recipient is full: " + bad.Address,
		}
	case me.Code == mail.CodeLimited, me.Code == mail.CodeDisabled:
		answer.status, answer.expected = http.StatusInternalServerError, true
	}
	return &answer
}

var errCompose = &apiError{
	status: http.StatusInternalServerError, code: "ERRCOMPOSE", text: "The message cannot be composed", expected: true,
}

// later refuses to send at a later time to somebody here: local mail is
// delivered at once, and would come too early.
func (s *server) later(c echo.Context, o *submit.Send) error {
	if !o.SendAt.After(s.Now()) {
		o.SendAt = time.Time{}
		return nil
	}
	for _, to := range recipientsOf(o) {
		if _, err := s.Submit.Deliver.Resolve(ctxOf(c), to); err == nil {
			return invalid("sendTime", "is not supported by this version for local recipients")
		}
	}
	return nil
}

func recipientsOf(o *submit.Send) []string {
	if o.EnvelopeTo != nil {
		return o.EnvelopeTo
	}
	var out []string
	for _, a := range slices.Concat(o.Compose.To, o.Compose.Cc, o.Compose.Bcc) {
		out = append(out, a.Address)
	}
	return out
}

func nobody(o submit.Send) bool {
	c := o.Compose
	return o.EnvelopeTo == nil && len(c.To)+len(c.Cc)+len(c.Bcc) == 0
}

// reference fills what an answer takes from the message that it answers: the
// chain, the subject and, for a reply without recipients, those. When that
// message is there no more the new one goes out all the same.
func (s *server) reference(c echo.Context, o *submit.Send) error {
	if o.Reference == nil {
		return nil
	}
	ref := submit.Ref{Mailbox: o.Reference.Mailbox, UID: o.Reference.UID}
	d, err := s.Submit.Answer(ctxOf(c), o.User, ref, o.Reference.Action, time.UTC)
	if code := mail.CodeOf(err); err != nil && (code == mail.CodeNoMessage || code == mail.CodeNoMailbox) {
		o.Reference = nil
		return nil
	}
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
	a := store.Append{Mailbox: o.send.Mailbox, Use: mail.UseSent, Flags: []mail.Flag{mail.FlagSeen}, SkipAddressRegister: o.isDraft}
	if o.isDraft {
		a.Use, a.Flags = mail.UseDrafts, append(a.Flags, mail.FlagDraft)
	}
	done, err := s.appendComposed(c, o.send, a)
	if err != nil {
		return err
	}
	if err := s.Submit.DiscardDraft(ctxOf(c), o.send.User.ID, o.send.Draft); err != nil {
		// The message is stored; an older draft beside it does no harm, and an
		// error would make the client store it again.
		s.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "draft not removed", slog.Any("error", err))
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "message": map[string]any{
		"id": done.UID, "mailbox": done.Mailbox.String(), "queueId": false,
	}})
}

// appendComposed builds what an order has and stores it.
func (s *server) appendComposed(c echo.Context, o submit.Send, a store.Append) (store.Appended, error) {
	compose := o.Compose
	if compose.From.Address == "" {
		compose.From = message.Address{Name: o.User.Name, Address: o.User.Address}
	}
	compose.KeepBcc, compose.Domain = true, s.EmailDomain
	if compose.Date.IsZero() {
		compose.Date = s.Now()
	}
	built, err := s.Submit.Build(compose)
	if mail.IsCode(err, mail.CodeInvalid) {
		return store.Appended{}, errCompose
	}
	if err != nil {
		return store.Appended{}, err
	}
	defer built.Close()
	a.Message = built.Message
	return s.appendUploaded(c, o, a)
}

// appendUploaded stores a message that a client gave.
func (s *server) appendUploaded(c echo.Context, o submit.Send, a store.Append) (store.Appended, error) {
	a.User, a.CheckQuota = o.User.ID, true
	a.Meta = store.Meta{
		Source: "API", From: o.EnvelopeFrom, To: recipientsOf(&o), Origin: o.Origin, TransType: "UPLOAD", Time: s.Now(), Custom: o.Custom,
		Reference: o.Reference, Session: o.Session,
	}
	return s.Store.Append(ctxOf(c), a)
}
