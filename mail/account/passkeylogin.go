package account

import (
	"context"
	"log/slog"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
)

// BeginSecond begins the second step of a sign-in whose password was right.
// The answer is the browser's CredentialRequestOptions as JSON. CodeForbidden
// when the account has no passkey to show.
func (a *Accounts) BeginSecond(ctx context.Context, user mail.User, p Place) (*protocol.CredentialAssertion, error) {
	const op = "begin second step"
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return nil, err
	}
	owner, err := a.passkeyUser(ctx, user, 0)
	if err != nil {
		return nil, err
	}
	if len(owner.credentials) == 0 {
		return nil, &mail.Error{Code: mail.CodeForbidden, Op: op, Field: "passkey", Reason: "empty"}
	}
	// The password was the proof of who it is: a key that only notices a touch will do.
	options, session, err := rp.BeginLogin(owner, webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "origin", Err: err}
	}
	return options, a.keepChallenge(ctx, user.ID.String(), challengeAuth, ceremony{Session: *session, Binding: p.Binding, Origin: p.Origin})
}

// FinishSecond checks the browser's answer. CodeAuth for one that does not
// hold, CodeLimited after too many of them, CodeDisabled and CodeForbidden as
// in Authenticate.
func (a *Accounts) FinishSecond(ctx context.Context, user mail.User, p Place, answer []byte) (mail.User, error) {
	const op = "finish second step"
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return mail.User{}, err
	}
	if err := a.limit.Check(ctx, limit.AuthUser, user.ID.String()); err != nil {
		return mail.User{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, user.ID, p, checkSecond, refused(op, err))
	}
	begun, err := a.takeChallenge(ctx, user.ID.String(), challengeAuth, parsed.Response.CollectedClientData.Challenge, p)
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, user.ID, p, checkSecond, err)
	}
	owner, err := a.passkeyUser(ctx, user, parsed.Response.AuthenticatorData.Flags)
	if err != nil {
		return mail.User{}, err
	}
	if id, ok := userOfHandle(parsed.Response.UserHandle); ok && id == user.ID {
		// In whichever form it was written.
		owner.handle, begun.Session.UserID = parsed.Response.UserHandle, parsed.Response.UserHandle
	}
	shown, err := rp.ValidateLogin(owner, begun.Session, parsed)
	if err == nil {
		err = a.usePasskey(ctx, user.ID, shown)
	}
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, user.ID, p, checkSecond, refused(op, err))
	}
	return a.enter(ctx, user, p, checkSecond)
}

// Actions of the security log.
const (
	checkSecond   = "check 2fa webauthn"
	checkPassword = "authentication"
)

// BeginPasskeyLogin begins a sign-in by a passkey alone: the browser offers
// those that it has for this site. CodeLimited after too many failures or too many
// beginnings from the address.
func (a *Accounts) BeginPasskeyLogin(ctx context.Context, p Place) (*protocol.CredentialAssertion, error) {
	const op = "begin passkey login"
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return nil, err
	}
	if err := a.checkIP(ctx, p); err != nil {
		return nil, err
	}
	if err := a.countBegun(ctx, op, p); err != nil {
		return nil, err
	}
	// It stands for password and second step together, so the authenticator
	// must have made sure who holds it.
	options, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "origin", Err: err}
	}
	return options, a.keepChallenge(ctx, nobody, challengeAuth, ceremony{Session: *session, Binding: p.Binding, Origin: p.Origin})
}

// maxBegun bounds the challenges that strangers from one address may have
// waiting: each takes room in the signals.
const maxBegun = 120

func (a *Accounts) countBegun(ctx context.Context, op string, p Place) error {
	n, err := a.signal.Count(ctx, "eider:challenges:"+p.IP, 1, maxBegun, challengeTime)
	if err != nil {
		return err
	}
	if !n.Allowed {
		return &mail.Error{Code: mail.CodeLimited, Op: op, RetryAfter: int(n.TTL.Seconds()) + 1}
	}
	return nil
}

func (a *Accounts) checkIP(ctx context.Context, p Place) error {
	if p.IP == "" {
		return nil
	}
	return a.limit.Check(ctx, limit.AuthIP, p.IP)
}

// FinishPasskeyLogin checks the browser's answer and gives the account that it
// names. Errors as of FinishSecond.
func (a *Accounts) FinishPasskeyLogin(ctx context.Context, p Place, answer []byte) (mail.User, error) {
	const op = "finish passkey login"
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return mail.User{}, err
	}
	if err := a.checkIP(ctx, p); err != nil {
		return mail.User{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, mail.ID{}, p, checkPassword, refused(op, err))
	}
	begun, err := a.takeChallenge(ctx, nobody, challengeAuth, parsed.Response.CollectedClientData.Challenge, p)
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, mail.ID{}, p, checkPassword, err)
	}
	var user mail.User
	shown, err := rp.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		named, err := a.handleOwner(ctx, handle)
		user = named
		if err != nil {
			return nil, err
		}
		owner, err := a.passkeyUser(ctx, user, parsed.Response.AuthenticatorData.Flags)
		if err != nil {
			return nil, err
		}
		owner.handle = handle
		return owner, nil
	}, begun.Session, parsed)
	if err == nil {
		err = a.usePasskey(ctx, user.ID, shown)
	}
	if err != nil {
		return mail.User{}, a.passkeyFailed(ctx, user.ID, p, checkPassword, refused(op, err))
	}
	return a.enter(ctx, user, p, checkPassword)
}

// handleOwner finds the account that a user handle names, if a passkey may
// open it and nobody has guessed too often.
func (a *Accounts) handleOwner(ctx context.Context, handle []byte) (mail.User, error) {
	const op = "find owner of passkey"
	id, ok := userOfHandle(handle)
	if !ok {
		return mail.User{}, &mail.Error{Code: mail.CodeAuth, Op: op, Err: errHandle}
	}
	user, err := a.store.User(ctx, id)
	if mail.IsCode(err, mail.CodeNoUser) {
		return mail.User{}, &mail.Error{Code: mail.CodeAuth, Op: op, Err: errHandle}
	}
	if err != nil {
		return mail.User{}, err
	}
	if err := a.limit.Check(ctx, limit.AuthUser, id.String()); err != nil {
		return mail.User{}, err
	}
	on, err := a.hasPasskeyFactor(ctx, id)
	if err == nil && !on {
		err = &mail.Error{Code: mail.CodeAuth, Op: op, Err: errFactor}
	}
	return user, err
}

// usePasskey keeps the counter. One that did not rise tells of a copy.
func (a *Accounts) usePasskey(ctx context.Context, user mail.ID, c *webauthn.Credential) error {
	const op = "use passkey"
	if c.Authenticator.CloneWarning {
		return &mail.Error{Code: mail.CodeAuth, Op: op, Err: errCounter}
	}
	err := a.store.UsePasskey(ctx, user, c.ID, c.Authenticator.SignCount, byte(c.Flags.ProtocolValue()))
	if mail.IsCode(err, mail.CodeConflict) {
		return &mail.Error{Code: mail.CodeAuth, Op: op, Err: errCounter}
	}
	return err
}

// passkeyFailed counts and notes an answer that does not hold, and gives err
// back. user is zero while it is not known.
func (a *Accounts) passkeyFailed(ctx context.Context, user mail.ID, p Place, action string, err error) error {
	if !mail.IsCode(err, mail.CodeAuth) {
		return err
	}
	// A client that hangs up must not get its guess for nothing.
	ctx = context.WithoutCancel(ctx)
	a.count(ctx, limit.AuthIP, p.IP)
	if !user.IsZero() {
		a.count(ctx, limit.AuthUser, user.String())
		a.note(ctx, p.event(user, action, "fail", passkeyTarget))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "passkey refused", slog.String("user", user.String()), slog.String("ip", p.IP), slog.Any("err", err))
	return err
}

// passkeyTarget tells the entries of passkeys from those of passwords.
const passkeyTarget = "passkey"

// count adds one failure; reaching the limit is told at the next try.
func (a *Accounts) count(ctx context.Context, kind limit.Kind, key string) {
	if key == "" {
		return
	}
	if err := a.limit.Take(ctx, kind, key, 1); err != nil && !mail.IsCode(err, mail.CodeLimited) {
		a.log.LogAttrs(ctx, slog.LevelWarn, "count failed login", slog.Any("err", err))
	}
}

// enter applies what holds even with the right passkey, and notes the login.
func (a *Accounts) enter(ctx context.Context, user mail.User, p Place, action string) (mail.User, error) {
	const op = "enter with passkey"
	switch {
	case user.Disabled || user.Suspended || !user.Activated:
		a.note(ctx, p.event(user.ID, action, "disabled", passkeyTarget))
		return mail.User{}, &mail.Error{Code: mail.CodeDisabled, Op: op}
	case slices.Contains(user.DisabledScopes, scopeMaster):
		a.note(ctx, p.event(user.ID, action, "fail", passkeyTarget))
		return mail.User{}, &mail.Error{Code: mail.CodeForbidden, Op: op, Field: "scope"}
	}
	if err := a.limit.Reset(ctx, limit.AuthUser, user.ID.String()); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "reset login limit", slog.Any("err", err))
	}
	e := p.event(user.ID, action, "success", passkeyTarget)
	e.RequiredScope, e.Source = scopeMaster, store.FactorPasskey
	event := a.note(ctx, e)
	if err := a.store.RecordLogin(ctx, user.ID, p.IP, event); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "record login", slog.String("user", user.ID.String()), slog.Any("err", err))
	}
	return user, nil
}
