// Package submit is the outbound side for people: drafts, and sending. It
// sees to it that the sender is the account's own, that the day's limit holds,
// that the message is complete, that everybody gets a copy, and that one copy
// stays in Sent. Webmail, API and SMTP submission end in the same Send.
package submit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/store"
)

// MaxRecipients is the most recipients of one message (WildDuck's
// const:max:rcpt_to).
const MaxRecipients = 400

// Options are what the submitter works with.
type Options struct {
	Store   *store.Store
	Deliver *deliver.Deliverer
	Queue   *queue.Queue
	Limit   *limit.Limiter
	Log     *slog.Logger
	// Spool holds messages while they are built and sent, nil for one of its own.
	Spool *spool.Pool
	// Hostname is ours in Received and Message-ID.
	Hostname string
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// Submitter sends. It may be used from several goroutines.
type Submitter struct {
	Options
	hand hand
}

// New makes a submitter.
func New(o Options) *Submitter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Spool == nil {
		o.Spool = &spool.Pool{}
	}
	return &Submitter{Options: o}
}

// Ref names a message of the account.
type Ref struct {
	Mailbox mail.ID
	UID     mail.UID
}

// IsZero reports no reference.
func (r Ref) IsZero() bool { return r.UID == 0 }

// Send is an order to send.
type Send struct {
	User mail.User
	// Compose is the message. From is checked and replaced by the account's
	// own address where the account may not use it.
	Compose message.Compose
	// EnvelopeFrom and EnvelopeTo replace what the header says, when set.
	EnvelopeFrom string
	EnvelopeTo   []string
	// Origin is the client's IP address, Session the API session.
	Origin, Session string
	// SendAt delays mail for other hosts, zero means now.
	SendAt time.Time
	// Reference is the message that this one answers.
	Reference *store.Reference
	// Draft is removed when the message has gone.
	Draft Ref
	// Mailbox is where the copy goes, zero for Sent.
	Mailbox mail.ID
	// Custom is JSON of the API's client.
	Custom string
}

// Sent is what became of it.
type Sent struct {
	MessageID string
	// QueueID is empty when nobody elsewhere gets the message.
	QueueID string
	// Local got the message at once, Queued wait for a sender.
	Local, Queued []string
	// Mailbox and UID are the copy's; UID is 0 when it was not kept.
	Mailbox mail.ID
	UID     mail.UID
	// OverQuota: the message went out, but no copy could be kept.
	OverQuota bool
}

// route is the recipients by the way that they are reached.
type route struct {
	local  []deliver.Recipient
	remote []string
}

// Send sends. The order of the writes loses nothing in a crash: first the mail
// for others is queued, then local mailboxes get it, then Sent its copy; the
// draft goes last. A crash between two of them leaves the draft, so the worst
// is that the person sends twice.
//
// Errors: CodeInvalid with Field to and Reason empty, long or unknown (an
// address of ours that nobody has; Error.Err names it); CodeLimited for the
// day's recipients; CodeDisabled; CodeOverQuota for a local recipient without
// room; the store's.
func (s *Submitter) Send(ctx context.Context, o Send) (Sent, error) {
	if o.User.Disabled || o.User.Suspended {
		return Sent{}, &mail.Error{Code: mail.CodeDisabled, Op: "send"}
	}
	if err := s.own(ctx, &o); err != nil {
		return Sent{}, err
	}
	to, err := recipients(o)
	if err != nil {
		return Sent{}, err
	}
	r, err := s.route(ctx, to)
	if err != nil {
		return Sent{}, err
	}
	if err := s.Limit.TakeLimit(ctx, limit.RcptUser, o.User.ID.String(), int64(len(to)), int64(o.User.MaxRecipients)); err != nil {
		return Sent{}, err
	}
	return s.dispatch(ctx, o, r)
}

// own sets From and the reverse-path to addresses that the account may use.
func (s *Submitter) own(ctx context.Context, o *Send) error {
	list, err := s.Store.Addresses(ctx, o.User.ID)
	if err != nil {
		return err
	}
	may := func(a string) bool { return mayUse(a, o.User, list) }
	if o.Compose.From.Address == "" || !may(o.Compose.From.Address) {
		o.Compose.From.Address = o.User.Address
	}
	if o.Compose.From.Name == "" {
		o.Compose.From.Name = o.User.Name
	}
	if o.EnvelopeFrom == "" || !may(o.EnvelopeFrom) {
		o.EnvelopeFrom = o.Compose.From.Address
	}
	return nil
}

// mayUse: the account's addresses, label and dots aside, and its whitelist
// (exact, or one * at either end).
func mayUse(given string, u mail.User, list []store.AddressRecord) bool {
	a, err := address.Parse(given)
	if err != nil {
		return false
	}
	for _, own := range list {
		if o, err := address.Parse(own.Address); err == nil && o.View() == a.View() {
			return true
		}
	}
	n := a.Normal()
	return slices.ContainsFunc(u.FromWhitelist, func(w string) bool {
		w = strings.ToLower(w)
		switch {
		case strings.HasPrefix(w, "*"):
			return strings.HasSuffix(n, w[1:])
		case strings.HasSuffix(w, "*"):
			return strings.HasPrefix(n, w[:len(w)-1])
		default:
			return n == w
		}
	})
}

// recipients lists the distinct forward-paths.
func recipients(o Send) ([]string, error) {
	list := o.EnvelopeTo
	if list == nil {
		for _, field := range [][]message.Address{o.Compose.To, o.Compose.Cc, o.Compose.Bcc} {
			list = append(list, flatten(field)...)
		}
	}
	seen := map[string]bool{}
	var out []string
	for _, text := range list {
		a, err := address.Parse(text)
		if err != nil {
			return nil, invalidTo("format", text)
		}
		if full := a.String(); !seen[strings.ToLower(full)] {
			seen[strings.ToLower(full)] = true
			out = append(out, full)
		}
	}
	if len(out) == 0 {
		return nil, invalidTo("empty", "")
	}
	if len(out) > MaxRecipients {
		return nil, invalidTo("long", "")
	}
	return out, nil
}

func flatten(list []message.Address) (out []string) {
	for _, a := range list {
		if a.Group != nil {
			out = append(out, flatten(a.Group)...)
		} else if a.Address != "" {
			out = append(out, a.Address)
		}
	}
	return out
}

// BadRecipient is the cause inside an error about one recipient.
type BadRecipient struct{ Address string } //nolint:errname // callers know it by this name

// Error names the address, for the log.
func (b BadRecipient) Error() string { return "recipient " + b.Address }

func invalidTo(reason, text string) error {
	e := &mail.Error{Code: mail.CodeInvalid, Op: "send", Field: "to", Reason: reason}
	if text != "" {
		e.Err = BadRecipient{text}
	}
	return e
}

// route finds out who is here. An address in a domain of ours that nobody has
// is refused now, while the person can still correct it.
func (s *Submitter) route(ctx context.Context, to []string) (r route, err error) {
	for _, text := range to {
		who, err := s.Deliver.Resolve(ctx, text)
		var me *mail.Error
		switch {
		case err == nil:
			r.local = append(r.local, who)
		case errors.As(err, &me) && me.Code == mail.CodeNoUser && me.Reason == "relay",
			errors.As(err, &me) && me.Code == mail.CodeUnavailable && me.Reason == "forwarding":
			// A forwarding address waits in the queue for the release that forwards.
			r.remote = append(r.remote, text)
		case errors.As(err, &me) && (me.Code == mail.CodeNoUser || me.Code == mail.CodeDisabled):
			return r, invalidTo("unknown", text)
		case errors.As(err, &me) && me.Code == mail.CodeOverQuota:
			return r, &mail.Error{Code: mail.CodeOverQuota, Op: "send", Field: "to", Err: BadRecipient{text}}
		default:
			return r, err
		}
	}
	return r, nil
}
