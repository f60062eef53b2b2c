package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/store"
)

// dispatch builds the message and carries it to everybody.
func (s *Submitter) dispatch(ctx context.Context, o Send, r route) (Sent, error) {
	o.Compose.Domain = s.Hostname
	if o.Compose.Date.IsZero() {
		o.Compose.Date = s.Now()
	}
	// The delivered copies have no Bcc field (RFC 5322 3.6.3); the kept one has.
	o.Compose.KeepBcc = true
	kept, err := s.Build(o.Compose)
	if err != nil {
		return Sent{}, err
	}
	defer kept.Close()
	parsed, going := kept.Message, kept
	if len(o.Compose.Bcc) > 0 {
		o.Compose.MessageID, o.Compose.KeepBcc = parsed.MessageID, false
		if going, err = s.Build(o.Compose); err != nil {
			return Sent{}, err
		}
		defer going.Close()
	}
	for _, who := range r.local {
		if who.User.Quota > 0 && going.Size > who.User.Quota {
			return Sent{}, &mail.Error{Code: mail.CodeOverQuota, Op: "send", Field: "to", Err: BadRecipient{who.Address}}
		}
	}
	sent := Sent{MessageID: parsed.MessageID}
	var outbound []string
	if len(r.remote) > 0 {
		id, err := s.enqueue(ctx, o, r.remote, going.Source())
		if err != nil {
			return Sent{}, err
		}
		outbound, sent.Queued = append(outbound, id), append(sent.Queued, r.remote...)
	}
	// From here on somebody may have the message: a browser that goes away
	// must not leave it half sent.
	ctx = context.WithoutCancel(ctx)
	id, err := s.deliverLocal(ctx, o, r.local, going.Source(), &sent)
	if err != nil {
		return Sent{}, err
	}
	if id != "" {
		outbound = append(outbound, id)
	}
	if len(outbound) > 0 {
		sent.QueueID = outbound[0]
	}
	s.finish(ctx, o, parsed, outbound, &sent)
	return sent, nil
}

// Built is a message that was built, in the spool. It must be closed.
type Built struct {
	*message.Message
	held *spool.Message
}

// Source is the message's bytes.
func (b *Built) Source() *message.Source { return b.held.Source() }

// Close gives the message's room back.
func (b *Built) Close() { _ = b.held.Close() } // the file has no name, nothing is lost

// Build composes a message into the spool and parses it there. Errors:
// CodeInvalid for what cannot be composed, CodeTooBig, CodeUnavailable when the
// spool has no room, and those of the attachments.
func (s *Submitter) Build(c message.Compose) (*Built, error) {
	const op = "build message"
	held := s.Spool.New()
	err := message.BuildTo(&limited{held, store.MaxMessageSize - maxTrace}, c)
	var parsed *message.Message
	if err == nil {
		parsed, err = message.ParseSource(held.Source())
	}
	if err == nil {
		return &Built{parsed, held}, nil
	}
	_ = held.Close() // the first error says more
	var known *mail.Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, message.ErrCompose):
		err = &mail.Error{Code: mail.CodeInvalid, Op: op, Err: err}
	case errors.Is(err, spool.ErrFull):
		err = &mail.Error{Code: mail.CodeUnavailable, Op: op, Err: err}
	default:
		err = &mail.Error{Code: mail.CodeInternal, Op: op, Err: err}
	}
	return nil, err
}

// limited takes so many bytes and no more.
type limited struct {
	io.Writer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, &mail.Error{Code: mail.CodeTooBig, Op: "build message"}
	}
	return l.Writer.Write(b)
}

// maxTrace is room for the fields that delivery puts on top.
const maxTrace = 4 << 10

func (s *Submitter) enqueue(ctx context.Context, o Send, to []string, raw *message.Source) (string, error) {
	return s.Queue.Put(ctx, queue.Message{
		From: o.EnvelopeFrom, To: to, Raw: raw, User: o.User, Reason: "submit", Origin: o.Origin, SendAt: o.SendAt,
	})
}

// deliverLocal goes through the same pipeline as mail from other hosts. Who
// cannot be reached just now is queued, not lost; queueID is theirs then.
func (s *Submitter) deliverLocal(ctx context.Context, o Send, to []deliver.Recipient, raw *message.Source, sent *Sent) (queueID string, err error) {
	if len(to) == 0 {
		return "", nil
	}
	id := store.NewQueueID(s.Now())
	results := s.Deliver.Deliver(ctx, deliver.Delivery{
		ID: id, ReversePath: o.EnvelopeFrom, Recipients: to, Message: raw.Below(s.received(id)),
		Source: "API", RemoteIP: o.Origin, TransType: "HTTP", Time: s.Now(),
	})
	var failed []string
	for _, r := range results {
		if r.Err != nil {
			failed = append(failed, r.Recipient.Address)
			continue
		}
		sent.Local = append(sent.Local, r.Recipient.Address)
	}
	if len(failed) == 0 {
		return "", nil
	}
	queueID, err = s.enqueue(ctx, o, failed, raw)
	if err != nil {
		// Some may have the message already and get it again with the next
		// try; that is better than somebody not getting it.
		s.Log.LogAttrs(ctx, slog.LevelError, "local recipients neither delivered nor queued",
			slog.Any("recipients", failed), slog.Any("error", err))
		return "", err
	}
	sent.Queued = append(sent.Queued, failed...)
	return queueID, nil
}

// received is the trace field of a message that came over HTTP (RFC 5321 4.4;
// "HTTP" is registered for such use). The client's address stays out of it:
// it would tell recipients where the sender lives.
func (s *Submitter) received(id string) []byte {
	return fmt.Appendf(nil, "Received: by %s (Eider) with HTTP id %s;\r\n\t%s\r\n",
		s.Hostname, id, s.Now().UTC().Format(time.RFC1123Z))
}

// finish keeps the copy, marks the message that was answered, and removes the
// draft. The mail has gone; what fails here is logged and does not undo it.
func (s *Submitter) finish(ctx context.Context, o Send, parsed *message.Message, outbound []string, sent *Sent) {
	a := store.Append{
		User: o.User.ID, Mailbox: o.Mailbox, Use: mail.UseSent, Message: parsed,
		Flags: []mail.Flag{mail.FlagSeen}, InternalDate: o.Compose.Date, CheckQuota: true, Outbound: outbound,
		Meta: store.Meta{
			Source: "API", From: o.EnvelopeFrom, To: append(append([]string{}, sent.Local...), sent.Queued...),
			Origin: o.Origin, Session: o.Session, Time: s.Now(), Custom: o.Custom, Reference: o.Reference,
		},
	}
	done, err := s.Store.Append(ctx, a)
	if err == nil {
		sent.Mailbox, sent.UID = done.Mailbox, done.UID
	} else {
		sent.OverQuota = mail.IsCode(err, mail.CodeOverQuota)
		s.Log.LogAttrs(ctx, slog.LevelWarn, "copy in Sent not kept",
			slog.String("user", o.User.ID.String()), slog.Any("error", err))
	}
	s.markAnswered(ctx, o)
	// Without a copy the draft is all that the person has of it.
	if !o.Draft.IsZero() && err == nil {
		s.drop(ctx, o.User.ID, o.Draft)
	}
}

// markAnswered sets \Answered or $Forwarded on the message that was answered.
func (s *Submitter) markAnswered(ctx context.Context, o Send) {
	if o.Reference == nil {
		return
	}
	add := []mail.Flag{mail.FlagAnswered}
	if strings.EqualFold(o.Reference.Action, "forward") {
		add = []mail.Flag{mail.FlagForwarded}
	}
	_, err := s.Store.StoreFlags(ctx, store.Selection{
		User: o.User.ID, Mailbox: o.Reference.Mailbox, UIDs: []mail.UID{o.Reference.UID},
	}, store.FlagChange{Add: add})
	if err != nil {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "answered message not marked", slog.Any("error", err))
	}
}

// drop removes a draft for good: it lives on in what was sent or saved anew.
func (s *Submitter) drop(ctx context.Context, user mail.ID, r Ref) {
	_, err := s.Store.Expunge(ctx, store.Selection{User: user, Mailbox: r.Mailbox, UIDs: []mail.UID{r.UID}}, store.ExpungeOptions{})
	if err != nil {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "draft not removed", slog.Any("error", err))
	}
}
