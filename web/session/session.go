// Package session ties a browser to an account: the cookie, the guard against
// forged requests, and the account of the request at hand. It knows no page.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
)

// Names of the cookies. Over TLS they carry the __Host- prefix, which binds
// them to this host and to https (RFC 6265bis 4.1.3.2).
const (
	cookieName = "eider"
	anonName   = "eider-visit"
)

// rememberFor is how long a remembered browser keeps its cookie.
const rememberFor = 30 * 24 * time.Hour

// Accounts is what this package asks of the accounts.
type Accounts interface {
	Session(ctx context.Context, secret string) (account.Session, error)
}

// Guard checks requests.
type Guard struct {
	accounts Accounts
	// key signs the form token of a visitor who has not signed in.
	key []byte
	// behindProxy trusts X-Forwarded-Proto.
	behindProxy bool
}

// NewGuard makes a guard. key has at least 16 bytes and is the same on every
// instance.
func NewGuard(accounts Accounts, key []byte, behindProxy bool) *Guard {
	return &Guard{accounts: accounts, key: key, behindProxy: behindProxy}
}

// contextKey is the Echo context's key of the request's session.
const contextKey = "eider.session"

// Load looks the cookie up. A missing or void session is no error; whoever
// needs one asks Of.
func (g *Guard) Load(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		secret := g.secret(c)
		if secret == "" {
			return next(c)
		}
		s, err := g.accounts.Session(c.Request().Context(), secret)
		switch code := mail.CodeOf(err); {
		case err == nil:
			c.Set(contextKey, &s)
		case code == mail.CodeUnavailable || code == mail.CodeInternal:
			// The cookie may well be good: do not send its owner to the sign-in page.
			return err
		default:
			g.Forget(c)
		}
		return next(c)
	}
}

// Of is the session of the request, nil for a visitor.
func Of(c echo.Context) *account.Session {
	s, _ := c.Get(contextKey).(*account.Session)
	return s
}

// secret reads the cookie's value.
func (g *Guard) secret(c echo.Context) string {
	cookie, err := c.Cookie(g.name(c, cookieName))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// Secret is the cookie's value, for ending the session.
func (g *Guard) Secret(c echo.Context) string { return g.secret(c) }

// Keep sets the session cookie. remember outlives the browser.
func (g *Guard) Keep(c echo.Context, secret string, remember bool) {
	cookie := g.cookie(c, cookieName, secret)
	if remember {
		cookie.MaxAge = int(rememberFor / time.Second)
	}
	c.SetCookie(cookie)
}

// Forget removes the session cookie.
func (g *Guard) Forget(c echo.Context) {
	cookie := g.cookie(c, cookieName, "")
	cookie.MaxAge = -1
	c.SetCookie(cookie)
}

func (g *Guard) cookie(c echo.Context, name, value string) *http.Cookie {
	return &http.Cookie{
		Name: g.name(c, name), Value: value, Path: "/",
		HttpOnly: true, Secure: g.Secure(c), SameSite: http.SameSiteLaxMode,
	}
}

func (g *Guard) name(c echo.Context, name string) string {
	if g.Secure(c) {
		return "__Host-" + name
	}
	return name
}

// Secure reports whether the browser came over TLS.
func (g *Guard) Secure(c echo.Context) bool {
	r := c.Request()
	return r.TLS != nil || g.behindProxy && r.Header.Get("X-Forwarded-Proto") == "https"
}

// Origin is the scheme and host that the browser shows.
func (g *Guard) Origin(c echo.Context) string {
	if g.Secure(c) {
		return "https://" + c.Request().Host
	}
	return "http://" + c.Request().Host
}

// ErrForged is the cause of a refused request.
var ErrForged = errors.New("form token or origin does not match")

// SameOrigin refuses a request that another site made: by Sec-Fetch-Site
// where the browser sends it, by Origin otherwise.
func (g *Guard) SameOrigin(c echo.Context) bool {
	h := c.Request().Header
	if site := h.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	switch origin := h.Get("Origin"); origin {
	case "":
		return true
	case "null":
		// A form of a page with Referrer-Policy: no-referrer says this. Over TLS
		// and on loopback Sec-Fetch-Site vouches for it; over plain HTTP browsers
		// leave that out, and the form token alone decides.
		return h.Get("Sec-Fetch-Site") != "" || !g.Secure(c)
	default:
		return origin == g.Origin(c)
	}
}

// maxFormMemory is how much of a form with files is held in memory; what is
// beyond goes to temporary files.
const maxFormMemory = 1 << 20

// parseForm reads the form. An error of the body, such as one over its limit,
// is not mistaken for a missing field.
func parseForm(r *http.Request) error {
	// ParseMultipartForm forgets what ParseForm said when there are no parts.
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(maxFormMemory)
	}
	var tooBig *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, http.ErrNotMultipart):
		return nil
	case errors.As(err, &tooBig):
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge).SetInternal(err)
	}
	return echo.NewHTTPError(http.StatusBadRequest).SetInternal(fmt.Errorf("read form: %w", err))
}

// Check is middleware that lets a changing request pass only from our own
// pages: same origin, and the form field or header with the session's token.
func (g *Guard) Check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		switch c.Request().Method {
		case http.MethodGet, http.MethodHead:
			return next(c)
		}
		forged := echo.NewHTTPError(http.StatusForbidden).SetInternal(ErrForged)
		if !g.SameOrigin(c) {
			return forged
		}
		if err := parseForm(c.Request()); err != nil {
			return err
		}
		given := c.Request().Header.Get("Eider-Csrf")
		if given == "" {
			// The body only: a token in an address would end in logs.
			given = c.Request().PostFormValue("csrf")
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(g.Token(c))) != 1 {
			return forged
		}
		return next(c)
	}
}

// Token is the form token: the session's, or for a visitor one that belongs
// to a cookie made on the way.
func (g *Guard) Token(c echo.Context) string {
	if s := Of(c); s != nil {
		return s.CSRF
	}
	visit := ""
	if cookie, err := c.Cookie(g.name(c, anonName)); err == nil {
		visit = cookie.Value
	}
	if v, ok := c.Get(anonName).(string); ok {
		visit = v
	}
	if visit == "" {
		var b [16]byte
		_, _ = rand.Read(b[:])
		visit = base64.RawURLEncoding.EncodeToString(b[:])
		c.Set(anonName, visit)
		c.SetCookie(g.cookie(c, anonName, visit))
	}
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte("visit " + visit))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// maxPath bounds a path that goes into a Location field, in bytes.
const maxPath = 2048

// LocalPath gives p when it is a path of this site, and fallback otherwise, so
// that a link cannot send people elsewhere after signing in.
func LocalPath(p, fallback string) string {
	if len(p) > maxPath {
		return fallback
	}
	u, err := url.Parse(p)
	if err != nil || p == "" || p[0] != '/' || u.Host != "" || u.Scheme != "" || u.User != nil {
		return fallback
	}
	// Browsers read // and /\ as the start of a host.
	if len(p) > 1 && (p[1] == '/' || p[1] == '\\') {
		return fallback
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f || r == '\\' {
			return fallback
		}
	}
	return p
}
