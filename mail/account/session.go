package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// How long a session lasts without use.
const (
	sessionTime  = 14 * 24 * time.Hour
	rememberTime = 30 * 24 * time.Hour
	// touchAfter spares a write for each request: the expiry moves at most
	// once in this time.
	touchAfter = time.Hour
	secretSize = 32
	tokenSize  = 20
)

// SessionOptions describe a browser that signs in.
type SessionOptions struct {
	// Remember keeps the session for 30 days without use instead of 14, and
	// asks for a cookie that outlives the browser.
	Remember      bool
	IP, UserAgent string
}

// Session is a signed-in browser.
type Session struct {
	// ID is safe to show and to log; it is not the secret.
	ID   string
	User mail.User
	// CSRF goes into every form of the session and comes back with it.
	CSRF     string
	Remember bool
	Created  time.Time
	Expires  time.Time
}

// TokenOptions describe an API token.
type TokenOptions struct {
	// User is zero for a token that stands for no account.
	User        mail.ID
	Role        string
	Description string
	// TTL is how long it lasts without use, 0 for ever.
	TTL time.Duration
}

// Token is a valid API token.
type Token struct {
	User mail.ID
	Role string
}

func secretID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// csrf is derived from the session's secret, so it needs no storage and is the
// same in every process. Who has it cannot find the secret.
func (a *Accounts) csrf(secret string) string {
	h := hmac.New(sha256.New, a.secret)
	_, _ = h.Write([]byte("eider form token 1 " + secret)) // a hash never fails
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func lifetime(remember bool) time.Duration {
	if remember {
		return rememberTime
	}
	return sessionTime
}

// NewSession signs a browser in and gives the secret for its cookie. The
// database keeps the secret's hash only. A new password voids the session.
func (a *Accounts) NewSession(ctx context.Context, user mail.User, o SessionOptions) (string, error) {
	var b [secretSize]byte
	_, _ = rand.Read(b[:]) // never fails
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	now := a.now()
	err := a.store.PutSession(ctx, store.Session{
		ID: secretID(secret), User: user.ID, AuthVersion: user.AuthVersion, Remember: o.Remember, IP: o.IP, UserAgent: o.UserAgent,
		Created: now, Used: now, Expires: now.Add(lifetime(o.Remember)),
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// Session finds the session of a secret and prolongs it. CodeNotFound when
// there is none, it expired, or the account may no longer sign in.
func (a *Accounts) Session(ctx context.Context, secret string) (Session, error) {
	const op = "find session"
	none := &mail.Error{Code: mail.CodeNotFound, Op: op}
	if len(secret) != base64.RawURLEncoding.EncodedLen(secretSize) {
		return Session{}, none
	}
	x, err := a.store.FindSession(ctx, secretID(secret))
	if err != nil {
		return Session{}, err
	}
	user, err := a.store.User(ctx, x.User)
	if mail.IsCode(err, mail.CodeNoUser) {
		return Session{}, none
	}
	if err != nil {
		return Session{}, err
	}
	if user.AuthVersion != x.AuthVersion || user.Disabled || user.Suspended {
		return Session{}, none
	}
	now := a.now()
	if now.Sub(x.Used) > touchAfter {
		x.Expires = now.Add(lifetime(x.Remember))
		if err := a.store.TouchSession(ctx, x.ID, now, x.Expires); err != nil {
			return Session{}, err
		}
	}
	return Session{ID: x.ID, User: user, CSRF: a.csrf(secret), Remember: x.Remember, Created: x.Created, Expires: x.Expires}, nil
}

// EndSession signs a browser out; a session that is not there is no error.
func (a *Accounts) EndSession(ctx context.Context, secret string) error {
	return a.store.DeleteSession(ctx, secretID(secret))
}

// EndSessions signs all browsers of an account out, but for the one with the
// secret ("" for none).
func (a *Accounts) EndSessions(ctx context.Context, user mail.ID, exceptSecret string) error {
	except := ""
	if exceptSecret != "" {
		except = secretID(exceptSecret)
	}
	return a.store.DeleteSessions(ctx, user, except)
}

// NewToken makes an API token: 40 hexadecimal digits, as WildDuck's.
func (a *Accounts) NewToken(ctx context.Context, o TokenOptions) (string, error) {
	t := store.Token{User: o.User, Role: o.Role, Description: o.Description, Created: a.now(), TTL: o.TTL}
	if !o.User.IsZero() {
		user, err := a.store.User(ctx, o.User)
		if err != nil {
			return "", err
		}
		t.AuthVersion = user.AuthVersion
	}
	if o.TTL > 0 {
		t.Expires = t.Created.Add(o.TTL)
	}
	var b [tokenSize]byte
	_, _ = rand.Read(b[:]) // never fails
	token := hex.EncodeToString(b[:])
	t.ID = secretID(token)
	return token, a.store.PutToken(ctx, t)
}

// Token finds a token. CodeNotFound when there is none, it expired, or its
// account may no longer sign in.
func (a *Accounts) Token(ctx context.Context, token string) (Token, error) {
	const op = "find token"
	none := &mail.Error{Code: mail.CodeNotFound, Op: op}
	token = strings.ToLower(strings.TrimSpace(token))
	if raw, err := hex.DecodeString(token); err != nil || len(raw) != tokenSize {
		return Token{}, none
	}
	t, err := a.store.FindToken(ctx, secretID(token))
	if err != nil {
		return Token{}, err
	}
	if t.User.IsZero() {
		return Token{Role: t.Role}, nil
	}
	user, err := a.store.User(ctx, t.User)
	if mail.IsCode(err, mail.CodeNoUser) {
		return Token{}, none
	}
	if err != nil {
		return Token{}, err
	}
	if user.AuthVersion > t.AuthVersion || user.Disabled || user.Suspended {
		return Token{}, none
	}
	return Token{User: t.User, Role: t.Role}, nil
}

// EndToken ends a token; one that is not there is no error.
func (a *Accounts) EndToken(ctx context.Context, token string) error {
	return a.store.DeleteToken(ctx, secretID(strings.ToLower(strings.TrimSpace(token))))
}
