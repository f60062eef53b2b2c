package account

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
)

// Login is one attempt.
type Login struct {
	// Username is a user name or an address.
	Username, Password string
	// Scope is master, imap, pop3 or smtp; "" for master.
	Scope string
	// Protocol is for the log: WEB, API, IMAP, SMTP. IP counts for the limit.
	Protocol, IP, Session string
}

// Result is a login that succeeded.
type Result struct {
	User  mail.User
	Scope string
	// Require2FA lists what else must be shown before the login counts.
	Require2FA []string
	// RequirePasswordChange is set for a temporary password.
	RequirePasswordChange bool
	// Event is the entry of the security log.
	Event mail.ID
}

// scopeMaster is the scope of the account's owner.
const scopeMaster = "master"

// verdict is what checking a password gave.
type verdict struct {
	ok, rehash, temporary bool
	// app is the application password that was given.
	app *store.AppPassword
}

// Authenticate checks a name and a password. Errors: CodeAuth (it does not
// tell which half was wrong, and an unknown name takes as long as a known
// one), CodeLimited with RetryAfter, CodeDisabled and CodeForbidden (scope
// switched off or not the application password's, Field scope) only to somebody
// who knows the password.
func (a *Accounts) Authenticate(ctx context.Context, l Login) (Result, error) {
	const op = "authenticate"
	if l.Scope == "" {
		l.Scope = scopeMaster
	}
	wrong := &mail.Error{Code: mail.CodeAuth, Op: op}
	if l.Password == "" || len(l.Password) > maxPassword || strings.TrimSpace(l.Username) == "" {
		return Result{}, wrong
	}
	if l.IP != "" {
		if err := a.limit.Check(ctx, limit.AuthIP, l.IP); err != nil {
			return Result{}, err
		}
	}
	creds, err := a.store.Credentials(ctx, l.Username)
	known := err == nil
	if err != nil && !mail.IsCode(err, mail.CodeNoUser) {
		return Result{}, err
	}
	// Failures of an unknown name count, too, so that limits tell nothing.
	counter := address.UsernameView(l.Username)
	if known {
		counter = creds.User.ID.String()
	}
	var v verdict
	if known {
		if v.app, err = a.appPassword(ctx, creds.User.ID, l); err != nil {
			return Result{}, err
		}
		if v.app != nil {
			// Guesses at the master password must not lock out the programs.
			return a.passed(ctx, l, &creds, v, counter)
		}
	}
	if err := a.limit.Check(ctx, limit.AuthUser, counter); err != nil {
		return Result{}, err
	}
	if err := a.hash(ctx, func() { v = check(&creds, l) }); err != nil {
		return Result{}, err
	}
	if !v.ok {
		a.failed(ctx, l, &creds, known, counter)
		return Result{}, wrong
	}
	return a.passed(ctx, l, &creds, v, counter)
}

// check verifies the password against the account's hash, the temporary one,
// or, for an account that does not exist or has none, against a hash that
// nothing matches.
func check(c *store.Credentials, l Login) verdict {
	if c.PasswordHash == "" && c.TempPassword == nil {
		VerifyPassword(nobodysHash, l.Password)
		return verdict{}
	}
	if c.TempPassword != nil && l.Scope == scopeMaster {
		if ok, _ := VerifyPassword(c.TempPassword.Hash, l.Password); ok {
			return verdict{ok: true, temporary: true}
		}
	}
	if c.PasswordHash == "" {
		return verdict{}
	}
	ok, rehash := VerifyPassword(c.PasswordHash, l.Password)
	// With a second factor the master password opens the master scope only.
	if ok && l.Scope != scopeMaster && len(c.Enabled2FA) > 0 {
		return verdict{}
	}
	return verdict{ok: ok, rehash: rehash}
}

func (a *Accounts) event(l Login, user mail.ID, result string) store.AuthEvent {
	return store.AuthEvent{
		User: user, Action: "authentication", Result: result, Protocol: l.Protocol, IP: l.IP, Session: l.Session,
		RequiredScope: l.Scope,
	}
}

// failed counts and notes a wrong password.
func (a *Accounts) failed(ctx context.Context, l Login, c *store.Credentials, known bool, counter string) {
	// A client that hangs up must not get its guess for nothing.
	ctx = context.WithoutCancel(ctx)
	for _, k := range []struct {
		kind limit.Kind
		key  string
	}{{limit.AuthUser, counter}, {limit.AuthIP, l.IP}} {
		if k.key == "" {
			continue
		}
		if err := a.limit.Take(ctx, k.kind, k.key, 1); err != nil && !mail.IsCode(err, mail.CodeLimited) {
			a.log.LogAttrs(ctx, slog.LevelWarn, "count failed login", slog.Any("err", err))
		}
	}
	if known {
		a.note(ctx, a.event(l, c.User.ID, "fail"))
	}
}

// passed applies what holds even with the right password.
func (a *Accounts) passed(ctx context.Context, l Login, c *store.Credentials, v verdict, counter string) (Result, error) {
	const op = "authenticate"
	u := c.User
	switch {
	case u.Disabled || u.Suspended || !u.Activated:
		a.note(ctx, a.event(l, u.ID, "disabled"))
		return Result{}, &mail.Error{Code: mail.CodeDisabled, Op: op}
	case slices.Contains(u.DisabledScopes, l.Scope), v.app != nil && !allows(v.app, l.Scope):
		a.note(ctx, a.event(l, u.ID, "fail"))
		return Result{}, &mail.Error{Code: mail.CodeForbidden, Op: op, Field: "scope"}
	}
	if v.app != nil {
		return a.passedApp(ctx, l, u, v.app), nil
	}
	if err := a.limit.Reset(ctx, limit.AuthUser, counter); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "reset login limit", slog.Any("err", err))
	}
	if v.rehash {
		a.rehash(ctx, c, l.Password)
	}
	e := a.event(l, u.ID, "success")
	e.Temporary = v.temporary
	r := Result{User: u, Scope: l.Scope, RequirePasswordChange: v.temporary}
	if !v.temporary {
		r.Require2FA = c.Enabled2FA
		e.Require2FA = strings.Join(c.Enabled2FA, ",")
	}
	r.Event = a.note(ctx, e)
	if err := a.store.RecordLogin(ctx, u.ID, l.IP, r.Event); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "record login", slog.String("user", u.ID.String()), slog.Any("err", err))
	}
	return r, nil
}

// passedApp notes a login with an application password, which asks for no second
// factor.
func (a *Accounts) passedApp(ctx context.Context, l Login, u mail.User, p *store.AppPassword) Result {
	e := a.event(l, u.ID, "success")
	e.ASP, e.ASPName = p.ID, p.Description
	r := Result{User: u, Scope: l.Scope, Event: a.note(ctx, e)}
	a.useAppPassword(ctx, p, r.Event, l.IP)
	if err := a.store.RecordLogin(ctx, u.ID, l.IP, r.Event); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "record login", slog.String("user", u.ID.String()), slog.Any("err", err))
	}
	return r
}

// rehash stores a hash of the default kind in place of an older one.
func (a *Accounts) rehash(ctx context.Context, c *store.Credentials, password string) {
	hash, err := HashPassword(password)
	if err == nil {
		err = a.store.Rehash(ctx, c.User.ID, c.PasswordHash, hash)
	}
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "rehash password", slog.String("user", c.User.ID.String()), slog.Any("err", err))
	}
}

// SetPassword gives an account another password. It ends its sessions and
// tokens. CodeInvalid with Field password as in Register.
func (a *Accounts) SetPassword(ctx context.Context, user mail.ID, password string) error {
	u, err := a.store.User(ctx, user)
	if err != nil {
		return err
	}
	if err := CheckPassword(password, u.Username, u.Name, u.Address); err != nil {
		return err
	}
	var hash string
	if busy := a.hash(ctx, func() { hash, err = HashPassword(password) }); busy != nil {
		return busy
	}
	if err != nil {
		return err
	}
	if err := a.store.SetPassword(ctx, user, hash); err != nil {
		return err
	}
	a.note(ctx, store.AuthEvent{User: user, Action: "password change", Result: "success", Protocol: "API"})
	// authVersion has voided them; this removes their documents.
	if err := a.store.DeleteSessions(ctx, user, ""); err != nil {
		return err
	}
	return a.store.DeleteTokens(ctx, user)
}
