package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/store"
)

// An account that is away answers its mail, by RFC 3834 and WildDuck's rules:
// nobody twice within some hours, and never a program, a list or itself. It
// answers when the message is stored, and never instead: whatever fails here is
// logged, and the sender of the message gets no error for it.

const (
	// answerTime bounds what the delivery waits for an answer.
	answerTime = 15 * time.Second
	// answerInterval is how long a sender is not answered again, where the
	// setting does not say otherwise.
	answerInterval   = 4 * time.Hour
	answerSetting    = "const:autoreply:interval" // milliseconds
	maxAnswersPerDay = 2000
)

// answer answers the message that was just stored for a recipient.
func (d *Deliverer) answer(ctx context.Context, m Delivery, r *Result, own *message.Message) {
	// The message is stored: neither a client that leaves nor a defect of ours
	// may make it look otherwise.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	log := d.Log.With(slog.String("id", m.ID), slog.String("user", r.Recipient.User.ID.String()), slog.String("to", m.ReversePath))
	defer func() {
		if p := recover(); p != nil {
			log.LogAttrs(ctx, slog.LevelError, "panic while answering", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if r.Appended.SpecialUse == mail.UseJunk || r.Recipient.User.Suspended || !mayAnswer(m, r.Recipient, own) {
		return
	}
	sender, err := address.Parse(m.ReversePath)
	if err != nil {
		return
	}
	sent, err := d.answerTo(ctx, m, r.Recipient, own, sender)
	switch {
	case err != nil:
		log.LogAttrs(ctx, slog.LevelWarn, "not answered", slog.Any("error", err))
	case sent:
		log.LogAttrs(ctx, slog.LevelInfo, "answered")
	}
}

// mayAnswer reports a message from a person to the recipient.
func mayAnswer(m Delivery, r Recipient, own *message.Message) bool {
	root := own.Root
	if root.AutoSubmitted() || root.List() != nil || isProgram(m.ReversePath) || !isVisible(r.Address, own) {
		return false
	}
	// RFC 3834 2: reports are never answered.
	if ct := root.ContentType(); ct.FullType() == "multipart/report" {
		return false
	}
	for _, value := range root.Lookup("precedence") {
		switch strings.ToLower(strings.TrimSpace(value)) {
		case "list", "junk", "bulk":
			return false
		}
	}
	for _, value := range root.Lookup("x-auto-response-suppress") {
		for word := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "oof", "autoreply", "all":
				return false
			}
		}
	}
	return true
}

// isProgram reports the null sender and those that nobody reads (RFC 3834 2).
func isProgram(reversePath string) bool {
	local := strings.ToLower(reversePath)
	if i := strings.LastIndexByte(local, '@'); i >= 0 {
		local = local[:i]
	}
	for _, word := range []string{"mailer-daemon", "no-reply", "noreply"} {
		if strings.Contains(local, word) {
			return true
		}
	}
	return local == "" || local == "postmaster" || strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-request")
}

// isVisible: the message names the recipient, and did not come by a list or a
// blind copy.
func isVisible(rcpt string, own *message.Message) bool {
	want, err := address.Parse(rcpt)
	if err != nil {
		return false
	}
	var named func(list []message.Address) bool
	named = func(list []message.Address) bool {
		for _, a := range list {
			if got, err := address.Parse(a.Address); err == nil && got.View() == want.View() || named(a.Group) {
				return true
			}
		}
		return false
	}
	return named(own.To) || named(own.Cc)
}

// answerTo builds the answer and sends it; sent is false when none is due.
func (d *Deliverer) answerTo(ctx context.Context, m Delivery, r Recipient, own *message.Message, sender address.Address) (sent bool, err error) {
	away, err := d.Store.Autoreply(ctx, r.User.ID)
	now := d.Now()
	if err != nil || !away.Status || !away.Start.IsZero() && now.Before(away.Start) || !away.End.IsZero() && now.After(away.End) {
		return false, err
	}
	local, err := d.Resolve(ctx, sender.String())
	switch {
	case err == nil && local.User.ID == r.User.ID:
		return false, nil // mail to oneself
	case err != nil && !isElsewhere(err):
		return false, err
	}
	isLocal := err == nil
	raw, err := message.Build(composeAnswer(away, r, own, sender, now))
	if err != nil {
		return false, err
	}
	key, err := d.takeAnswer(ctx, away, sender)
	if key == "" || err != nil {
		return false, err
	}
	src := message.BytesSource(raw)
	if isLocal {
		err = d.answerHere(ctx, m, local, src)
	} else {
		_, err = d.Queue.Put(ctx, queue.Message{
			To: []string{sender.String()}, Raw: src, User: r.User, Interface: "autoreplies", Reason: "autoreply", ParentID: m.ID, Origin: m.RemoteIP,
		})
	}
	if err != nil {
		// The next message of that sender may be answered.
		_ = d.Signal.Delete(ctx, key)
	}
	return err == nil, err
}

// isElsewhere: who is not here, and who is reached by a forward only, is the
// queue's business. An address here that does not exist is nobody's.
func isElsewhere(err error) bool {
	var e *mail.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == mail.CodeNoUser && e.Reason == "relay" || e.Code == mail.CodeUnavailable && e.Reason == "forwarding"
}

// takeAnswer notes that the sender is answered; "" when he was not long ago, or
// the account has answered too often today. Without the signals nobody is
// answered: two programs could answer each other for ever.
func (d *Deliverer) takeAnswer(ctx context.Context, away store.Autoreply, sender address.Address) (key string, err error) {
	key = "eider:autoreply:" + away.ID.String() + ":" + sender.View()
	fresh, err := d.Signal.SetNew(ctx, key, "1", d.answerInterval(ctx))
	if err != nil || !fresh {
		return "", err
	}
	count, err := d.Signal.Count(ctx, "wda:"+away.ID.String(), 1, maxAnswersPerDay, 24*time.Hour)
	if err != nil || !count.Allowed {
		return "", err
	}
	return key, nil
}

// answerInterval reads WildDuck's setting.
func (d *Deliverer) answerInterval(ctx context.Context) time.Duration {
	setting, err := d.Store.Setting(ctx, answerSetting)
	var ms int64
	if err != nil || json.Unmarshal([]byte(setting.Value), &ms) != nil || ms <= 0 || ms > int64(30*24*time.Hour/time.Millisecond) {
		return answerInterval
	}
	return time.Duration(ms) * time.Millisecond
}

// composeAnswer is the answer (RFC 3834 3).
func composeAnswer(away store.Autoreply, r Recipient, own *message.Message, sender address.Address, now time.Time) message.Compose {
	subject := away.Subject
	if subject == "" && own.Subject != "" {
		subject = "Re: " + own.Subject
	}
	c := message.Compose{
		From: message.Address{Name: away.Name, Address: r.Address}, To: []message.Address{{Address: sender.String()}},
		Subject: strings.TrimSpace("Auto: " + subject), Text: away.Text, HTML: away.HTML, Date: now,
		InReplyTo: own.MessageID, References: references(own),
		Headers: []message.HeaderField{{Key: "Auto-Submitted", Value: "auto-replied"}},
	}
	if c.From.Name == "" {
		c.From.Name = r.User.Name
	}
	if own.MessageID != "" {
		c.Headers = append(c.Headers, message.HeaderField{Key: "X-WD-Autoreply-For", Value: own.MessageID})
	}
	if c.Text == "" && c.HTML != "" {
		c.Text = message.HTMLToText(c.HTML)
	}
	return c
}

// references continues the conversation (RFC 5322 3.6.4).
func references(own *message.Message) []string {
	const most = 50
	out := own.References
	if len(out) == 0 && own.InReplyTo != "" {
		out = []string{own.InReplyTo}
	}
	if len(out) > most {
		out = out[len(out)-most:]
	}
	if own.MessageID != "" {
		out = append(out[:len(out):len(out)], own.MessageID)
	}
	return out
}

// answerHere delivers to somebody here. The answer has the null sender, so that
// nobody answers it.
func (d *Deliverer) answerHere(ctx context.Context, m Delivery, to Recipient, raw *message.Source) error {
	out := d.Deliver(ctx, Delivery{
		ID: store.NewQueueID(d.Now()), Recipients: []Recipient{to}, Message: raw, Source: "AUTO", RemoteIP: m.RemoteIP, TransType: "AUTO", Time: d.Now(),
	})
	if err := out[0].Err; err != nil {
		return fmt.Errorf("deliver the answer: %w", err)
	}
	return nil
}
