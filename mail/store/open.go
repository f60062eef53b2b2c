package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

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
	secrets, err := o.Secrets.open()
	if err != nil {
		return nil, err
	}
	s := &Store{
		secrets: secrets, wakes: newWakes(), snapshots: newSnapshotCache(o.SnapshotBytes),
		sig: o.Signal, hub: o.Notify, log: o.Log, now: o.Now, quota: o.DefaultQuota,
	}
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
	if s.freshBatch = o.FreshTerms; s.freshBatch <= 0 {
		s.freshBatch = freshBatch
	}
	if s.budget = o.SearchBudget; s.budget <= 0 {
		s.budget = searchBudget
	}
	s.deferTerms, s.alone = o.DeferTerms, o.Alone
	err = s.connect(o)
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// connect opens the logical databases: main, users, gridfs and sender, each by
// its name on the first server, or on a server of its own.
func (s *Store) connect(o Options) error {
	client, err := s.dial(o, "mongo")
	if err != nil {
		return err
	}
	s.client = client
	mainName := or(o.Database, "wildduck")
	d := databases{main: client.Database(mainName)}
	for _, x := range []struct {
		setting, field string
		otherwise      string
		database       **mongo.Database
	}{
		{o.UsersDatabase, "mongo-users", mainName, &d.users},
		{o.GridFSDatabase, "mongo-gridfs", mainName, &d.grid},
		{o.SenderDatabase, "mongo-sender", "zone-mta", &d.sender},
	} {
		if !isURI(x.setting) {
			*x.database = client.Database(or(x.setting, x.otherwise))
			continue
		}
		parsed, err := connstring.Parse(x.setting)
		if err != nil {
			return &mail.Error{Code: mail.CodeInvalid, Op: "open store", Field: x.field, Err: err}
		}
		other := o
		other.URI, other.Dialer = x.setting, nil
		own, err := s.dial(other, x.field)
		if err != nil {
			return err
		}
		*x.database = own.Database(or(parsed.Database, x.otherwise))
	}
	s.name(o, d)
	return nil
}

// isURI tells a connection string from the name of a database, which holds no
// slash.
func isURI(setting string) bool { return strings.Contains(setting, "://") }

func (s *Store) dial(o Options, field string) (*mongo.Client, error) {
	client, err := mongo.Connect(clientOptions(o))
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "open store", Field: field, Err: err}
	}
	s.clients = append(s.clients, client)
	return client, nil
}

// databases are the logical ones of WildDuck's schema.
type databases struct{ main, users, grid, sender *mongo.Database }

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

// name binds the collections to their logical databases.
func (s *Store) name(o Options, d databases) {
	main, users, grid, sender := d.main, d.users, d.grid, d.sender

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
	s.hints, s.boxHints = main.Collection("messages", soon), main.Collection("mailboxes", soon)
	s.archived, s.threads = main.Collection("archived"), main.Collection("threads", soon)
	s.journal, s.settings = main.Collection("journal", soon), main.Collection("settings")
	s.terms = main.Collection("eider_terms", ordered)
	s.addressRegister = main.Collection("addressregister", soon)
	s.attachmentFiles = grid.Collection("attachments.files", ordered)
	s.attachmentChunks = grid.Collection("attachments.chunks", ordered)
	s.deletedUsers, s.asps, s.webhooks = users.Collection("deletedusers"), users.Collection("asps"), users.Collection("webhooks")
	s.mcpTokens = users.Collection("mcptokens")
	s.filters, s.autoreplies = main.Collection("filters"), main.Collection("autoreplies")
	s.domainAccess, s.dkim, s.certs = main.Collection("domainaccess"), main.Collection("dkim"), main.Collection("certs")
	s.audits, s.tasks, s.jobs = main.Collection("audits"), main.Collection("tasks"), main.Collection("eider_jobs")
	s.queue = sender.Collection("zone-queue")
	s.queueFiles, s.queueChunks = sender.Collection("mail.files"), sender.Collection("mail.chunks")
}

func (s *Store) start(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	if err := s.lookForShards(ctx); err != nil {
		return err
	}
	if err := s.ensureIndexes(ctx); err != nil {
		return err
	}
	if err := s.fillDomains(ctx); err != nil {
		return err
	}
	s.startWorker(ctx)
	return nil
}

// lookForShards asks whether the main database is behind a router.
func (s *Store) lookForShards(ctx context.Context) error {
	raw, err := s.messages.Database().RunCommand(ctx, key("hello", 1)).Raw()
	if err != nil {
		return fail("ask the database what it is", err)
	}
	s.sharded = rawString(raw.Lookup("msg")) == "isdbgrid"
	return nil
}

// Ping reports whether all databases answer.
func (s *Store) Ping(ctx context.Context) error {
	for _, c := range s.clients {
		if err := c.Ping(ctx, nil); err != nil {
			return &mail.Error{Code: mail.CodeUnavailable, Op: "ping database", Err: err}
		}
	}
	return nil
}

// Reach reports whether the server of a connection string answers.
func Reach(ctx context.Context, uri string) error {
	s := &Store{}
	if _, err := s.dial(Options{URI: uri}, "mongo"); err != nil {
		return err
	}
	return errors.Join(s.Ping(ctx), s.Close(context.WithoutCancel(ctx)))
}

// Close ends the connections. Operations under way get an error.
func (s *Store) Close(ctx context.Context) error {
	if s.worker != nil {
		s.worker.close()
	}
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Disconnect(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return &mail.Error{Code: mail.CodeInternal, Op: "close store", Err: err}
	}
	return nil
}
