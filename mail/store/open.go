package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
)

// selectionTimeout is how long a call waits for a usable server.
const selectionTimeout = 10 * time.Second

// Open connects, makes missing indexes and returns the store. A database that
// is away gives CodeUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "open store"
	if o.Signal == nil || o.URI == "" {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Err: errors.New("a database address and signals are needed")}
	}
	client, err := mongo.Connect(clientOptions(o))
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "mongo", Err: err}
	}
	s := &Store{client: client, sig: o.Signal, hub: o.Notify, log: o.Log, now: o.Now, quota: o.DefaultQuota, snapshots: newSnapshotCache(o.SnapshotBytes)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.quota <= 0 {
		s.quota = DefaultQuota
	}
	if s.hub == nil {
		s.hub = notify.New(o.Signal, s.log)
	}
	s.name(o)
	if err := s.start(ctx); err != nil {
		_ = client.Disconnect(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

// clientOptions: every write waits for a majority and the journal, because an
// answer to SMTP or IMAP promises that the message is safe. Reads go to the
// primary, so that a session sees its own writes and its cursor never goes
// backwards.
func clientOptions(o Options) *options.ClientOptions {
	journaled := true
	wc := writeconcern.Majority()
	wc.Journal = &journaled
	co := options.Client().ApplyURI(o.URI).
		SetAppName("eider").
		SetWriteConcern(wc).
		SetReadPreference(readpref.Primary()).
		SetServerSelectionTimeout(selectionTimeout)
	if o.Dialer != nil {
		co.SetDialer(o.Dialer)
	}
	if o.Monitor != nil {
		co.SetMonitor(o.Monitor)
	}
	return co
}

func or(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// name binds the collections to their logical databases (schema of WildDuck:
// main, users, gridfs, sender).
func (s *Store) name(o Options) {
	mainName := or(o.Database, "wildduck")
	main := s.client.Database(mainName)
	users := s.client.Database(or(o.UsersDatabase, mainName))
	grid := s.client.Database(or(o.GridFSDatabase, mainName))
	sender := s.client.Database(or(o.SenderDatabase, "zone-mta"))

	// Not every write of an operation decides (docs/store.md). What goes before
	// the deciding one is made durable by it where both lie in one log: that is
	// the embedded store's, and MongoDB's where both lie in one database that is
	// not sharded. Mailbox numbers must hold in any case, so over a network they
	// wait like the deciding write; bookkeeping that Repair can mend does not.
	soon := options.Collection().SetWriteConcern(writeconcern.W1())
	ordered := options.Collection()
	s.embedded = o.Dialer != nil
	if s.embedded {
		ordered = soon
	}
	s.users, s.addresses = users.Collection("users"), users.Collection("addresses")
	s.usage = users.Collection("users", soon)
	s.numbers = main.Collection("mailboxes", ordered)
	s.aliases, s.authlog = users.Collection("domainaliases"), users.Collection("authlog")
	s.domains = users.Collection("domaincache")
	s.sessions, s.tokens = users.Collection("eider_sessions"), users.Collection("eider_tokens")
	s.mailboxes, s.messages = main.Collection("mailboxes"), main.Collection("messages")
	s.hints = main.Collection("messages", soon)
	s.archived, s.threads = main.Collection("archived"), main.Collection("threads", soon)
	s.journal, s.settings = main.Collection("journal", soon), main.Collection("settings")
	s.addressRegister = main.Collection("addressregister", soon)
	s.attachmentFiles = grid.Collection("attachments.files", ordered)
	s.attachmentChunks = grid.Collection("attachments.chunks", ordered)
	s.queue = sender.Collection("zone-queue")
	s.queueFiles, s.queueChunks = sender.Collection("mail.files"), sender.Collection("mail.chunks")
}

func (s *Store) start(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	if err := s.ensureIndexes(ctx); err != nil {
		return err
	}
	return s.fillDomains(ctx)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx, nil); err != nil {
		return &mail.Error{Code: mail.CodeUnavailable, Op: "ping database", Err: err}
	}
	return nil
}

// Close ends the connections. Operations under way get an error.
func (s *Store) Close(ctx context.Context) error {
	if err := s.client.Disconnect(ctx); err != nil {
		return &mail.Error{Code: mail.CodeInternal, Op: "close store", Err: err}
	}
	return nil
}
