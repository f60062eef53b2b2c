// Package queue is the spool of mail for other hosts. An entry is ZoneMTA's
// documents: the body as a file, the envelope beside it, one row for each
// recipient; so a ZoneMTA on the same database sends what Eider queued.
package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// Queue puts mail into the spool.
type Queue struct {
	store *store.Store
	log   *slog.Logger
}

// New makes a queue over the store.
func New(s *store.Store, log *slog.Logger) *Queue { return &Queue{store: s, log: log} }

// Message is one message for one or more recipients.
type Message struct {
	// From is the reverse-path, "" for the null sender. To are the recipients.
	From string
	To   []string
	// Raw is the whole message. Bcc fields must be gone from it.
	Raw *message.Source
	// User is the account that sends, zero for none.
	User mail.User
	// Interface is maildrop, forwarder or autoreplies ("" for maildrop), Reason
	// submit, forward or autoreply.
	Interface, Reason string
	// ParentID is the queue id of the message that this one came from, or "".
	ParentID string
	// Origin is the client's IP address.
	Origin string
	// SendAt is the earliest attempt, zero means now.
	SendAt time.Time
}

// Put queues the message durably and gives its queue id. Errors are the
// store's; after one nothing is queued.
func (q *Queue) Put(ctx context.Context, m Message) (id string, err error) {
	id, err = q.store.QueuePut(ctx, store.QueueMessage{
		From: m.From, To: m.To, Raw: m.Raw, User: m.User.ID, UserAddress: m.User.Address,
		Interface: m.Interface, Reason: m.Reason, ParentID: m.ParentID, Origin: m.Origin, TransType: "API", SendAt: m.SendAt,
	})
	if err != nil {
		return "", err
	}
	// One line for each recipient, for the postmaster who looks for a message.
	for _, to := range m.To {
		q.log.LogAttrs(ctx, slog.LevelInfo, "queued",
			slog.String("queue_id", id), slog.String("reverse_path", m.From), slog.String("recipient", to))
	}
	return id, nil
}
