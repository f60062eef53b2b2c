// Package api is the REST API with WildDuck's paths, parameters, answers and
// error codes, so that integrations go on unchanged. Where WildDuck has a
// plain defect, this does what its documentation promises; docs/differences.md
// lists each case.
//
// WildDuck's JSON lives here only, in the unexported structs of *_json.go.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

// maxBody bounds a request's body, in bytes: a 64 MiB message as base64 in JSON.
const maxBody = 96 << 20

// Options are what the API works with.
type Options struct {
	Log      *slog.Logger
	Store    *store.Store
	Accounts *account.Accounts
	Submit   *submit.Submitter
	Hub      *notify.Hub
	Signal   signal.Signal
	// Spool holds what comes in large, nil for one of its own.
	Spool *spool.Pool
	// RootToken is the configured root access token, "" for none.
	RootToken string
	// Open lets requests without any token act as root.
	Open bool
	// EmailDomain completes a user name without a domain to an address.
	EmailDomain string
	// RequestID names the request in the log.
	RequestID func(echo.Context) string
	// Stopping ends event streams when the server stops.
	Stopping context.Context
	Now      func() time.Time
	// batch bounds the messages of one store operation, so that a large change
	// never holds up deliveries. 0 is as many as Rows reads at once.
	batch int
}

// server carries the options to the handlers.
type server struct{ Options }

// Register adds the API's routes and words its errors. Log, Store, Accounts,
// Submit, Hub and Signal are required.
func Register(e *echo.Echo, o Options) {
	if o.RequestID == nil {
		o.RequestID = func(echo.Context) string { return "" }
	}
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Spool == nil {
		o.Spool = &spool.Pool{}
	}
	if o.batch == 0 {
		o.batch = store.MaxPage
	}
	s := &server{o}
	e.HTTPErrorHandler = s.failed
	// Not a group with middleware: that would ask for a token even where there
	// is no route, and WildDuck says 404 there.
	add := func(method, path string, h echo.HandlerFunc) { e.Add(method, path, h, s.limit, strict, s.authorise) }
	const (
		user     = "/users/:user"
		messages = user + "/mailboxes/:mailbox/messages"
		message  = messages + "/:message"
	)
	add(http.MethodPost, "/users", s.createUser)
	add(http.MethodGet, user, s.getUser)
	add(http.MethodGet, user+"/updates", s.updates)
	add(http.MethodPost, "/authenticate", s.authenticate)
	add(http.MethodGet, "/dkim", s.dkimKeys)
	add(http.MethodPost, "/dkim", s.setDKIM)
	add(http.MethodGet, "/dkim/resolve/:domain", s.resolveDKIM)
	add(http.MethodGet, "/dkim/:dkim", s.dkimKey)
	add(http.MethodDelete, "/dkim/:dkim", s.deleteDKIM)

	add(http.MethodGet, user+"/asps", s.asps)
	add(http.MethodPost, user+"/asps", s.createASP)
	add(http.MethodGet, user+"/asps/:asp", s.asp)
	add(http.MethodDelete, user+"/asps/:asp", s.deleteASP)
	add(http.MethodGet, user+"/autoreply", s.autoreply)
	add(http.MethodPut, user+"/autoreply", s.updateAutoreply)
	add(http.MethodDelete, user+"/autoreply", s.deleteAutoreply)

	add(http.MethodGet, user+"/mailboxes", s.mailboxes)
	add(http.MethodGet, user+"/search", s.search)
	add(http.MethodPost, user+"/search", s.searchApply)
	add(http.MethodGet, messages, s.messages)
	add(http.MethodPost, messages, s.uploadMessage)
	add(http.MethodPut, messages, s.updateMessages)
	add(http.MethodDelete, messages, s.deleteMessages)
	add(http.MethodGet, message, s.message)
	add(http.MethodPut, message, s.updateMessages)
	add(http.MethodDelete, message, s.deleteMessage)
	add(http.MethodGet, message+"/message.eml", s.source)
	add(http.MethodGet, message+"/attachments/:attachment", s.attachment)
	add(http.MethodPost, user+"/submit", s.submitMessage)
}

// strict refuses a path with an empty element: a slash at the end is another
// route, which does not exist.
func strict(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if slices.Contains(c.ParamValues(), "") {
			return echo.ErrNotFound
		}
		return next(c)
	}
}

// limit bounds the body before anything reads it.
func (s *server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		c.Response().Header().Set("X-Content-Type-Options", "nosniff")
		c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxBody)
		defer closeSpooled(c)
		return next(c)
	}
}

// caller is who a request speaks for.
type caller struct {
	role string
	// user is zero for a token that stands for no account.
	user mail.ID
}

const callerKey = "eider.caller"

func callerOf(c echo.Context) caller {
	who, _ := c.Get(callerKey).(caller)
	return who
}

// tokenOf reads the access token: query, X-Access-Token, Authorization.
func tokenOf(c echo.Context) string {
	if t := c.QueryParam("accessToken"); t != "" {
		return t
	}
	h := c.Request().Header
	if t := h.Get("X-Access-Token"); t != "" {
		return t
	}
	t := h.Get("Authorization")
	if len(t) > 7 && strings.EqualFold(t[:7], "bearer ") {
		t = t[7:]
	}
	return strings.TrimSpace(t)
}

// authorise finds out who calls.
func (s *server) authorise(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		token := tokenOf(c)
		switch {
		case token != "" && equalTokens(token, s.RootToken), token == "" && s.Open && !fromPage(c.Request()):
			c.Set(callerKey, caller{role: "root"})
			return next(c)
		case token == "":
			return errInvalidToken
		}
		t, err := s.Accounts.Token(ctxOf(c), token)
		if code := mail.CodeOf(err); err != nil && (code == mail.CodeUnavailable || code == mail.CodeInternal) {
			return err
		}
		if err != nil || !knownRole(t.Role) {
			return errInvalidToken
		}
		c.Set(callerKey, caller{role: t.Role, user: t.User})
		return next(c)
	}
}

// fromPage reports a request that a web page made. Without a token any page
// that an operator happens to visit could otherwise act on an open API.
func fromPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || (site != "" && site != "none")
}

// may checks the caller's role for a resource of the user: read, create,
// update or delete. A role with a grant for any account has it for its own.
func (s *server) may(c echo.Context, action, resource string, user mail.ID) error {
	who := callerOf(c)
	if granted(who.role, action, resource, "any") {
		return nil
	}
	if !user.IsZero() && who.user == user && granted(who.role, action, resource, "own") {
		return nil
	}
	return errPrivileges
}

// named reads a request that says no more than which account or other thing it is
// about: the id in its path, of something that the caller may do this to.
func (s *server) named(c echo.Context, name, action, resource string) (mail.ID, error) {
	p, err := readParams(c)
	if err != nil {
		return mail.ID{}, err
	}
	id := p.id(name, true)
	p.session()
	if err := p.finish(); err != nil {
		return mail.ID{}, err
	}
	owner := id
	if name != "user" {
		owner = mail.ID{} // only an account has an owner
	}
	return id, s.may(c, action, resource, owner)
}

func ctxOf(c echo.Context) context.Context { return c.Request().Context() }
