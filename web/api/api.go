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
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/signal"
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
	// RootToken is the configured root access token, "" for none.
	RootToken string
	// Open lets requests without any token act as root.
	Open bool
	// Hostname completes a user name without a domain; EmailDomain goes before it.
	EmailDomain string
	// RequestID names the request in the log.
	RequestID func(echo.Context) string
	// Stopping ends event streams when the server stops.
	Stopping context.Context
	Now      func() time.Time
}

// server carries the options to the handlers.
type server struct{ Options }

// Register adds the API's routes.
func Register(e *echo.Echo, o Options) {
	s := &server{o}
	e.HTTPErrorHandler = s.failed
	r := e.Group("", s.limit, s.authorise)

	r.POST("/users", s.createUser)
	r.GET("/users/:user", s.getUser)
	r.GET("/users/:user/updates", s.updates)
	r.POST("/authenticate", s.authenticate)

	r.GET("/users/:user/mailboxes", s.mailboxes)
	r.GET("/users/:user/mailboxes/:mailbox/messages", s.messages)
	r.PUT("/users/:user/mailboxes/:mailbox/messages", s.updateMessages)
	r.DELETE("/users/:user/mailboxes/:mailbox/messages", s.deleteMessages)
	r.GET("/users/:user/mailboxes/:mailbox/messages/:message", s.message)
	r.PUT("/users/:user/mailboxes/:mailbox/messages/:message", s.updateMessages)
	r.DELETE("/users/:user/mailboxes/:mailbox/messages/:message", s.deleteMessage)
	r.GET("/users/:user/mailboxes/:mailbox/messages/:message/message.eml", s.source)
	r.GET("/users/:user/mailboxes/:mailbox/messages/:message/attachments/:attachment", s.attachment)
	r.POST("/users/:user/submit", s.submitMessage)
}

// limit bounds the body before anything reads it.
func (s *server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		c.Response().Header().Set("X-Content-Type-Options", "nosniff")
		c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxBody)
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
		case token != "" && equalTokens(token, s.RootToken), token == "" && s.Open:
			c.Set(callerKey, caller{role: "root"})
			return next(c)
		case token == "":
			return errInvalidToken
		}
		t, err := s.Accounts.Token(ctxOf(c), token)
		if code := mail.CodeOf(err); err != nil && (code == mail.CodeUnavailable || code == mail.CodeInternal) {
			return err
		}
		if err != nil {
			return errInvalidToken
		}
		c.Set(callerKey, caller{role: t.Role, user: t.User})
		return next(c)
	}
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

// userParam reads the user of the path; "me" is the token's own.
func (s *server) userParam(c echo.Context, p *params) mail.ID {
	if c.Param("user") == "me" && !callerOf(c).user.IsZero() {
		return callerOf(c).user
	}
	return p.id("user", true)
}

func ctxOf(c echo.Context) context.Context { return c.Request().Context() }
