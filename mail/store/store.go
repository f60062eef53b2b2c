// Package store keeps accounts and mail in MongoDB, in WildDuck's documents,
// field names and indexes, so that WildDuck and its plugins may read and write
// the same database at the same time. It is the only package that knows the
// database driver.
//
// It speaks in operations: Append, Copy, Move, StoreFlags, Expunge, Messages,
// Raw, Changes. Each write does four things in one place: the change, the
// counters, the journal, the publication. There are no transactions over
// several documents. One atomic update of the mailbox hands out UID and
// MODSEQ, and the order of the other writes is chosen so that a crash between
// two of them loses nothing that was acknowledged; docs/store.md states each
// order. Verify tells what a crash left behind, and Repair mends it.
//
// UIDs and mod-sequences follow RFC 9051 2.3.1.1 and RFC 7162.
package store

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/seal"
	"github.com/eidermail/eider/mail/signal"
)

// Limits of one message and of one call.
const (
	// MaxMessageSize is the largest message that Append takes, in bytes.
	MaxMessageSize = 64 << 20
	// MaxSelection is the most UIDs that one Selection may name.
	MaxSelection = 10_000
	// MaxPage is the most rows that one page of Messages has.
	MaxPage = 250
	// DefaultQuota is an account's storage where neither it nor the options say otherwise: 1 GiB.
	DefaultQuota = 1 << 30
)

// Dialer opens connections to the database. The embedded engine is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Options say where the data lies and what the store works with.
type Options struct {
	// URI is the MongoDB connection string.
	URI string
	// Dialer replaces the network, nil for none.
	Dialer Dialer
	// Database is the main database's name, "" for "wildduck". The others
	// default to it, but for SenderDatabase, which defaults to "zone-mta". Each
	// of the others may also be a connection string, for one that lies on a
	// server of its own; the name is then the one in its path.
	Database, UsersDatabase, GridFSDatabase, SenderDatabase string
	// Secrets encrypt keys at rest.
	Secrets Secrets
	// Signal holds counters, locks and the publish channel. Required.
	Signal signal.Signal
	// Notify publishes changes; nil publishes on Signal alone.
	Notify *notify.Hub
	// Log receives what nobody else is told; nil discards.
	Log *slog.Logger
	// DefaultQuota is bytes for an account without an own quota, 0 for the package's default.
	DefaultQuota int64
	// SnapshotBytes bounds the memory of the mailbox snapshots, 0 for DefaultSnapshotBytes.
	SnapshotBytes int
	// Now is the clock, nil for time.Now.
	Now func() time.Time
	// DeferTerms leaves new messages out of the term index until a search or
	// IndexTerms takes them in, as it does with those of others.
	DeferTerms bool
	// FreshTerms is how many new messages of an account the term index gathers
	// before it merges them, 0 for 64. For tests.
	FreshTerms int
	// SearchBudget is what one call of Search may cost, in messages of the index
	// that are looked at; 0 for 20,000.
	SearchBudget int
	// Alone: no other process writes to the database, and this one opens it once.
	// What others might do at the same moment is then not looked for.
	Alone bool
	// Monitor sees each command that goes to the database. For tests.
	Monitor *event.CommandMonitor
}

// Secrets are what keys are encrypted with at rest, as WildDuck does with its
// settings of the same names. An empty one leaves them clear.
type Secrets struct {
	// DKIM is for private keys of DKIM, Certs for those of certificates,
	// Settings for settings that ask for it, TOTP for the seeds of codes.
	DKIM, Certs, Settings, TOTP string
	// Cipher is that of texts in WildDuck's old form, "" for aes192.
	Cipher string
}

// boxes are the open secrets.
type boxes struct{ dkim, certs, settings, totp *seal.Box }

func (o *Secrets) open() (b boxes, err error) {
	for _, x := range []struct {
		secret string
		box    **seal.Box
	}{{o.DKIM, &b.dkim}, {o.Certs, &b.certs}, {o.Settings, &b.settings}, {o.TOTP, &b.totp}} {
		if *x.box, err = seal.New(x.secret, o.Cipher); err != nil {
			return b, &mail.Error{Code: mail.CodeInvalid, Op: "open store", Field: "cipher", Err: err}
		}
	}
	return b, nil
}

// Store is the open database. Its methods may be called at the same time.
type Store struct {
	client *mongo.Client
	// clients are all connections: client's, and those of databases on other servers.
	clients []*mongo.Client
	secrets boxes
	wakes   wakes
	sig     signal.Signal
	hub     *notify.Hub
	log     *slog.Logger
	now     func() time.Time
	quota   int64
	// journalLocks order the journal entries of an account (striped by its id),
	// threadLocks keep two messages of one conversation from founding it twice.
	journalLocks, threadLocks [64]sync.Mutex
	met                       meetings
	// merges of conversations in this process; alone: there is no other one.
	merges merges
	alone  bool

	users, addresses, aliases, domains, authlog     *mongo.Collection
	deletedUsers, asps, webhooks, mcpTokens         *mongo.Collection
	filters, autoreplies, domainAccess              *mongo.Collection
	dkim, certs, audits, tasks, jobs                *mongo.Collection
	mailboxes, messages, archived, threads, journal *mongo.Collection
	addressRegister, settings                       *mongo.Collection
	// usage and numbers are users and mailboxes for the writes before a deciding
	// one: used storage, and UIDs with mod-sequences.
	usage, numbers *mongo.Collection
	// hints and boxHints are messages and mailboxes for what makes reading faster
	// and nothing else.
	hints, boxHints *mongo.Collection
	// snapshots are shared by all sessions of the process.
	snapshots *snapshotCache
	// sharded: the main database is behind a router.
	sharded bool
	// embedded: the database is the engine in this process.
	embedded                                         bool
	attachmentFiles, attachmentChunks                *mongo.Collection
	queue, queueFiles, queueChunks, sessions, tokens *mongo.Collection
	// terms is the index of words (docs/search.md), which worker keeps in shape.
	terms      *mongo.Collection
	worker     *termsWorker
	freshBatch int
	budget     int
	deferTerms bool
}
