package account

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

const (
	// challengeTime is how long a browser may take for its answer.
	challengeTime = 5 * time.Minute
	// maxChallenge bounds what is looked up as a challenge, in bytes.
	maxChallenge = 64
	// maxPasskeyName is the longest name of a passkey, in characters.
	maxPasskeyName = 64
	// What a challenge is for: the words are WildDuck's (schema 9).
	challengeReg  = "reg"
	challengeAuth = "auth"
	// nobody stands for the account in the key of a challenge when it is the
	// answer that says who signs in.
	nobody = "passkey"
)

// Place is where a ceremony (WebAuthn 4) happens.
type Place struct {
	// Origin is the scheme and host that the browser shows. Its host is the
	// relying party: a passkey made at another one does not work here.
	Origin string
	// Binding is what the challenge belongs to besides the account: a session,
	// a visit. An answer with another one is refused.
	Binding string
	// IP and Session are for the limit and the log.
	IP, Session string
}

var (
	errChallenge = errors.New("the challenge is unknown, expired or used")
	errPlace     = errors.New("the answer came from another place")
	errCounter   = errors.New("the authenticator's counter did not rise")
	errHandle    = errors.New("the user handle names nobody")
	errFactor    = errors.New("passkeys are not switched on for this account")
)

// CanPasskey reports whether passkeys can be used: they need signals.
func (a *Accounts) CanPasskey() bool { return a.signal != nil }

// ceremony is what is kept between the two halves.
type ceremony struct {
	Session         webauthn.SessionData
	Binding, Origin string
	// Name is that of a passkey being made.
	Name string
}

// relyingParty is the library for one origin.
func relyingParty(op, origin string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(origin)
	if err == nil {
		timeout := webauthn.TimeoutConfig{Timeout: challengeTime, TimeoutUVD: challengeTime}
		var w *webauthn.WebAuthn
		w, err = webauthn.New(&webauthn.Config{
			RPID: u.Hostname(), RPDisplayName: "Eider", RPOrigins: []string{origin},
			AttestationPreference: protocol.PreferNoAttestation,
			Timeouts:              webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		})
		if err == nil {
			return w, nil
		}
	}
	return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "origin", Reason: "format", Err: err}
}

// passkeyUser is an account as the library sees it.
type passkeyUser struct {
	handle        []byte
	name, display string
	credentials   []webauthn.Credential
}

func (u *passkeyUser) WebAuthnID() []byte                         { return u.handle }
func (u *passkeyUser) WebAuthnName() string                       { return u.name }
func (u *passkeyUser) WebAuthnDisplayName() string                { return u.display }
func (u *passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

// passkeyUser reads an account's passkeys. flags are those of the answer,
// which stand for what WildDuck did not keep.
func (a *Accounts) passkeyUser(ctx context.Context, u mail.User, flags protocol.AuthenticatorFlags) (*passkeyUser, error) {
	list, err := a.store.Passkeys(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	out := &passkeyUser{handle: u.ID[:], name: u.Username, display: u.Name}
	if out.display == "" {
		out.display = u.Username
	}
	for _, p := range list {
		cose, err := coseOfPEM(p.PublicKey)
		if err != nil {
			a.log.LogAttrs(ctx, slog.LevelWarn, "passkey left out", slog.String("user", u.ID.String()), slog.Any("err", err))
			continue
		}
		had := flags
		if p.Known {
			had = protocol.AuthenticatorFlags(p.Flags)
		}
		c := webauthn.Credential{
			ID: p.RawID, PublicKey: cose, AttestationType: p.AttestationType, AttestationFormat: p.AttestationFormat,
			Flags: webauthn.NewCredentialFlags(had),
			Authenticator: webauthn.Authenticator{
				AAGUID: p.AAGUID, SignCount: p.Counter, Attachment: protocol.AuthenticatorAttachment(p.Attachment),
			},
		}
		for _, t := range p.Transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		out.credentials = append(out.credentials, c)
	}
	return out, nil
}

// userOfHandle is the account that a user handle names: the id's bytes, or, for
// passkeys that WildDuck's clients made, its hexadecimal form.
func userOfHandle(handle []byte) (id mail.ID, ok bool) {
	if len(handle) == hex.EncodedLen(len(id)) {
		raw, err := hex.DecodeString(string(handle))
		if err != nil {
			return id, false
		}
		handle = raw
	}
	if len(handle) != len(id) {
		return id, false
	}
	copy(id[:], handle)
	return id, true
}

// keepChallenge keeps the first half of a ceremony.
func (a *Accounts) keepChallenge(ctx context.Context, user, kind string, c ceremony) error {
	raw, err := base64.RawURLEncoding.DecodeString(c.Session.Challenge)
	if err != nil {
		return &mail.Error{Code: mail.CodeInternal, Op: "keep challenge", Err: err}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return &mail.Error{Code: mail.CodeInternal, Op: "keep challenge", Err: err}
	}
	return a.signal.Set(ctx, challengeKey(user, kind, raw), string(text), challengeTime)
}

func challengeKey(user, kind string, raw []byte) string {
	return "challenge:" + user + ":" + kind + ":" + hex.EncodeToString(raw)
}

// takeChallenge gives the first half once, to the place where it began.
func (a *Accounts) takeChallenge(ctx context.Context, user, kind, challenge string, p Place) (c ceremony, err error) {
	const op = "take challenge"
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(challenge, "="))
	if err != nil || len(raw) == 0 || len(raw) > maxChallenge {
		return c, &mail.Error{Code: mail.CodeAuth, Op: op, Err: errChallenge}
	}
	key := challengeKey(user, kind, raw)
	text, ok, err := a.signal.Get(ctx, key)
	if err != nil {
		return c, err
	}
	// Two answers may both have read it: who sets the mark first has it.
	if ok {
		if ok, err = a.signal.SetNew(ctx, key+":used", "1", challengeTime); err != nil {
			return c, err
		}
	}
	if !ok {
		return c, &mail.Error{Code: mail.CodeAuth, Op: op, Err: errChallenge}
	}
	if err := a.signal.Delete(ctx, key); err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, &mail.Error{Code: mail.CodeInternal, Op: op, Err: err}
	}
	if c.Binding != p.Binding || c.Origin != p.Origin {
		return c, &mail.Error{Code: mail.CodeAuth, Op: op, Err: errPlace}
	}
	return c, nil
}

// refused is an answer that the library did not accept.
func refused(op string, err error) error {
	var own *mail.Error
	if errors.As(err, &own) {
		return err
	}
	var p *protocol.Error
	if errors.As(err, &p) && p.DevInfo != "" {
		err = fmt.Errorf("%w (%s)", err, p.DevInfo)
	}
	return &mail.Error{Code: mail.CodeAuth, Op: op, Err: err}
}

// Passkeys lists an account's passkeys.
func (a *Accounts) Passkeys(ctx context.Context, user mail.ID) ([]store.Passkey, error) {
	return a.store.Passkeys(ctx, user)
}

// confirm checks the password of somebody who is signed in.
func (a *Accounts) confirm(ctx context.Context, user mail.User, password string, p Place) error {
	r, err := a.Authenticate(ctx, Login{
		Username: user.Username, Password: password, Protocol: "WEB", IP: p.IP, Session: p.Session,
	})
	if err == nil && r.User.ID != user.ID {
		err = &mail.Error{Code: mail.CodeAuth, Op: "confirm password"}
	}
	return err
}

// BeginPasskey begins to make a passkey for somebody who is signed in and
// knows the password. The answer is the browser's CredentialCreationOptions as
// JSON. CodeInvalid with Field description, origin or passkey; CodeAuth and CodeLimited as in
// Authenticate.
func (a *Accounts) BeginPasskey(ctx context.Context, user mail.User, p Place, name, password string) (*protocol.CredentialCreation, error) {
	const op = "begin passkey"
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "description", Reason: "empty"}
	case utf8.RuneCountInString(name) > maxPasskeyName:
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "description", Reason: "long"}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "description", Reason: "unknown"}
	}
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return nil, err
	}
	if err := a.confirm(ctx, user, password, p); err != nil {
		return nil, err
	}
	owner, err := a.passkeyUser(ctx, user, 0)
	if err != nil {
		return nil, err
	}
	if len(owner.credentials) >= store.MaxPasskeys {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "passkey", Reason: "many"}
	}
	options, session, err := rp.BeginRegistration(owner,
		webauthn.WithCredentialParameters(passkeyParameters),
		webauthn.WithExclusions(webauthn.Credentials(owner.credentials).CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred,
		}))
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "origin", Err: err}
	}
	err = a.keepChallenge(ctx, user.ID.String(), challengeReg, ceremony{Session: *session, Binding: p.Binding, Origin: p.Origin, Name: name})
	return options, err
}

func (a *Accounts) relyingParty(op, origin string) (*webauthn.WebAuthn, error) {
	if !a.CanPasskey() {
		return nil, &mail.Error{Code: mail.CodeForbidden, Op: op}
	}
	return relyingParty(op, origin)
}

// FinishPasskey keeps the passkey that the browser's answer brings. The
// account comes back with a higher AuthVersion when this was its first second
// factor: its sessions and tokens have ended then, also the one that asked.
// CodeAuth for an answer that does not hold, CodeExists and CodeInvalid as in
// store.AddPasskey.
func (a *Accounts) FinishPasskey(ctx context.Context, user mail.User, p Place, answer []byte) (mail.User, error) {
	const op = "finish passkey"
	rp, err := a.relyingParty(op, p.Origin)
	if err != nil {
		return mail.User{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return mail.User{}, refused(op, err)
	}
	begun, err := a.takeChallenge(ctx, user.ID.String(), challengeReg, parsed.Response.CollectedClientData.Challenge, p)
	if err != nil {
		return mail.User{}, err
	}
	made, err := rp.CreateCredential(&passkeyUser{handle: user.ID[:]}, begun.Session, parsed)
	if err != nil {
		return mail.User{}, refused(op, err)
	}
	key, err := pemOfCOSE(made.PublicKey)
	if err != nil {
		return mail.User{}, refused(op, err)
	}
	after, err := a.store.AddPasskey(ctx, user.ID, newPasskey(made, key, begun))
	if err != nil {
		return mail.User{}, err
	}
	a.note(ctx, p.event(user.ID, "register webauthn", "success", begun.Name))
	if after.AuthVersion == user.AuthVersion {
		return after, nil
	}
	// The version has voided them; this removes their documents.
	if err := a.store.DeleteSessions(ctx, user.ID, ""); err != nil {
		return mail.User{}, err
	}
	return after, a.store.DeleteTokens(ctx, user.ID)
}

func newPasskey(c *webauthn.Credential, key string, begun ceremony) store.Passkey {
	out := store.Passkey{
		RawID: c.ID, PublicKey: key, Counter: c.Authenticator.SignCount, Description: begun.Name, Origin: begun.Origin,
		Attachment: string(c.Authenticator.Attachment), Flags: byte(c.Flags.ProtocolValue()), AAGUID: c.Authenticator.AAGUID,
		AttestationType: c.AttestationType, AttestationFormat: c.AttestationFormat,
	}
	if out.Attachment == "" {
		// WildDuck's default; it looks for passkeys by this.
		out.Attachment = string(protocol.CrossPlatform)
	}
	for _, t := range c.Transport {
		out.Transports = append(out.Transports, string(t))
	}
	return out
}

// event is a line of the security log.
func (p Place) event(user mail.ID, action, result, target string) store.AuthEvent {
	return store.AuthEvent{
		User: user, Action: action, Result: result, Protocol: "WEB", IP: p.IP, Session: p.Session, Target: target,
	}
}

// RemovePasskey removes a passkey of somebody who is signed in and knows the
// password. CodeNotFound when there is none; CodeAuth and CodeLimited as in
// Authenticate.
func (a *Accounts) RemovePasskey(ctx context.Context, user mail.User, p Place, id mail.ID, password string) error {
	if err := a.confirm(ctx, user, password, p); err != nil {
		return err
	}
	removed, err := a.store.RemovePasskey(ctx, user.ID, id)
	if err != nil {
		return err
	}
	a.note(ctx, p.event(user.ID, "remove webauthn", "success", removed.Description))
	return nil
}

// hasPasskeyFactor reports whether passkeys open the account.
func (a *Accounts) hasPasskeyFactor(ctx context.Context, user mail.ID) (bool, error) {
	factors, err := a.store.Factors(ctx, user)
	return slices.Contains(factors, store.FactorPasskey), err
}
