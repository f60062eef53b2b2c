// Package account is policy about accounts: who may be made, how a password is
// judged, hashed and checked, how often one may guess, and what a signed-in
// browser or an API client carries. The documents lie in mail/store.
//
// Password hashes are WildDuck's: PBKDF2 (RFC 8018) in PHC strings by default,
// and older kinds for checking.
package account

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

// Options say what the accounts work with.
type Options struct {
	// Store and Limit are required. Limit counts wrong passwords and registrations.
	Store *store.Store
	Limit *limit.Limiter
	// Signal keeps the challenges of passkeys; without it there are none.
	Signal signal.Signal
	Log    *slog.Logger
	// Domains are those that people may register in; the first is the default.
	Domains []string
	// Registration allows people to make their own accounts.
	Registration bool
	// Quota is bytes for a registered account, 0 for the installation's default.
	Quota int64
	// Reserved are further user names that nobody may register.
	Reserved []string
	// Secret keys the form tokens of sessions, so that somebody who reads a
	// cookie from a log cannot make them. It is the same on every instance; nil
	// derives them from the session's secret alone.
	Secret []byte
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// Accounts is the policy over one store. It may be used from several goroutines.
type Accounts struct {
	store    *store.Store
	limit    *limit.Limiter
	signal   signal.Signal
	log      *slog.Logger
	domains  []string
	open     bool
	quota    int64
	reserved map[string]bool
	secret   []byte
	now      func() time.Time
	// hashing bounds how many passwords are hashed at once: each takes a core
	// for a tenth of a second, and strangers can ask for it.
	hashing chan struct{}
}

// errOptions says that Options are not complete.
var errOptions = errors.New("a store and a limiter are needed")

// New makes the accounts. CodeInvalid for a domain that is none.
func New(o Options) (*Accounts, error) {
	const op = "set up accounts"
	if o.Store == nil || o.Limit == nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Err: errOptions}
	}
	a := &Accounts{
		store: o.Store, limit: o.Limit, signal: o.Signal, log: o.Log, open: o.Registration, quota: o.Quota, now: o.Now, secret: o.Secret,
		reserved: reservedSkeletons(o.Reserved), hashing: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	for _, text := range o.Domains {
		d, err := address.Domain(text)
		if err != nil {
			return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "domain", Reason: "format", Err: err}
		}
		a.domains = append(a.domains, d)
	}
	return a, nil
}

// Domains lists the domains that people may register in, in Unicode.
func (a *Accounts) Domains() []string { return append([]string{}, a.domains...) }

// Open reports whether people may make their own accounts.
func (a *Accounts) Open() bool { return a.open && len(a.domains) > 0 }

// hash runs work that takes a core for a while, some at a time.
func (a *Accounts) hash(ctx context.Context, work func()) error {
	select {
	case a.hashing <- struct{}{}:
	case <-ctx.Done():
		return &mail.Error{Code: mail.CodeUnavailable, Op: "hash password", Err: ctx.Err()}
	}
	defer func() { <-a.hashing }()
	work()
	return nil
}
