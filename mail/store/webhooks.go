package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// Webhook is told of events by HTTP.
type Webhook struct {
	ID mail.ID
	// Types are event names, or * for all, or user.* for all that begin so.
	Types []string
	// User narrows it to one account; zero for all.
	User    mail.ID
	URL     string
	Created time.Time
}

func (s *Store) webhookKind() *kind[Webhook] {
	return &kind[Webhook]{
		collection: s.webhooks, name: "webhook", none: mail.CodeNotFound, order: "_id",
		read: decoded((*webhookRecord).webhook), doc: webhookDoc,
	}
}

// AddWebhook adds one. CodeInvalid without types or URL.
func (s *Store) AddWebhook(ctx context.Context, w Webhook) (Webhook, error) {
	if len(w.Types) == 0 || w.URL == "" {
		return w, &mail.Error{Code: mail.CodeInvalid, Op: "add webhook", Field: "url", Reason: "empty"}
	}
	w.ID, w.Created = mail.NewIDAt(s.now()), s.now()
	return w, s.webhookKind().insert(ctx, w.ID, &w, bson.E{Key: "created", Value: w.Created})
}

// Webhooks lists them; typ and user narrow the list where they are given.
func (s *Store) Webhooks(ctx context.Context, typ string, user mail.ID, p Paging) ([]Webhook, Cursors, error) {
	filter := bson.D{}
	if typ != "" {
		filter = append(filter, bson.E{Key: "type", Value: typ})
	}
	if !user.IsZero() {
		filter = append(filter, bson.E{Key: "user", Value: oid(user)})
	}
	return s.webhookKind().page(ctx, filter, p)
}

// maxWebhooks bounds who is told of one event.
const maxWebhooks = 1000

// WebhooksFor are those to be told of an event: all accounts' and the account's.
func (s *Store) WebhooksFor(ctx context.Context, event string, user mail.ID) ([]Webhook, error) {
	types := bson.A{"*", event}
	for i := range event {
		if event[i] == '.' {
			types = append(types, event[:i+1]+"*")
		}
	}
	users := bson.A{nil}
	if !user.IsZero() {
		users = append(users, oid(user))
	}
	return s.webhookKind().list(ctx, key("type", key("$in", types), "user", key("$in", users)), maxWebhooks)
}

// Webhook reads one. CodeNotFound.
func (s *Store) Webhook(ctx context.Context, id mail.ID) (Webhook, error) {
	return s.webhookKind().get(ctx, key("_id", oid(id)))
}

// DeleteWebhook removes one. CodeNotFound.
func (s *Store) DeleteWebhook(ctx context.Context, id mail.ID) error {
	return s.webhookKind().remove(ctx, key("_id", oid(id)))
}
