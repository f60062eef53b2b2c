// Package webmail is the pages: sign-in and registration, the mailbox in three
// panes, messages, the composer, settings. Each page is a plain GET and each
// action a plain POST that redirects; the script asks for parts of the same
// pages with the header Eider-Fragment.
//
// A handler authorises, reads its input, asks the store once or twice, fills a
// view model and renders it to a buffer.
package webmail

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
	"github.com/eidermail/eider/static"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/imageproxy"
	"github.com/eidermail/eider/web/live"
	"github.com/eidermail/eider/web/session"
)

// Bounds of request bodies, in bytes.
const (
	maxForm = 256 << 10
	// composeOverhead is what a form adds around the files of a message.
	composeOverhead = 1 << 20
)

// ImagePath is where the image proxy is mounted.
const ImagePath = "/image"

// Options are what the pages work with. All are required but Registration.
type Options struct {
	Log      *slog.Logger
	Store    *store.Store
	Accounts *account.Accounts
	Submit   *submit.Submitter
	Deliver  *deliver.Deliverer
	Limit    *limit.Limiter
	Signal   signal.Signal
	Guard    *session.Guard
	Proxy    *imageproxy.Proxy
	// ContentKey signs the addresses of inline parts inside the message frame.
	ContentKey []byte
	// Live is the socket of the tabs; its rows are rendered here.
	Live *live.Live
	// MaxMessage is the largest message, in bytes.
	MaxMessage int64
	// RequestID names the request in an error page.
	RequestID func(echo.Context) string
	// Now is the clock.
	Now func() time.Time
}

// pages carries the options to the handlers.
type pages struct {
	Options
	// safe keeps what the sanitiser made, so that a page and its frame do the
	// work once.
	safe *safeCache
	// zones are the time zones that were loaded; only names that exist get in.
	zones sync.Map
}

// Register adds the webmail's routes, in the order of a visit.
func Register(e *echo.Echo, o Options) {
	p := &pages{Options: o, safe: newSafeCache(o.Now)}
	o.Live.Row = p.rowHTML
	e.HTTPErrorHandler = p.failed
	// On the whole Echo, so that also an answer without a route has the headers.
	e.Use(p.secure)

	get(e, "/static/*", echo.WrapHandler(static.Handler()))
	get(e, "/favicon.ico", func(c echo.Context) error {
		return c.Redirect(http.StatusMovedPermanently, static.URL("favicon.svg"))
	})
	get(e, "/robots.txt", func(c echo.Context) error { return c.String(http.StatusOK, "User-agent: *\nDisallow: /\n") })

	// Content inside a message frame has an opaque origin and no cookie; its
	// addresses are signed instead.
	get(e, contentRoute, p.content)
	get(e, ImagePath, p.image)
	e.GET(templates.PathLive, o.Live.Handle, o.Guard.Load)

	p.visitors(e.Group("", o.Guard.Load, p.limitBody, o.Guard.Check, compress()))
}

// visitors adds the routes that need no session, and those that do.
func (p *pages) visitors(app *echo.Group) {
	get(app, templates.PathHome, p.home)
	get(app, templates.PathSignIn, p.signInPage)
	app.POST(templates.PathSignIn, p.signIn)
	app.POST(templates.PathSignOut, p.signOut)
	get(app, templates.PathSignedOut, p.signedOut)
	get(app, templates.PathRegister, p.registerPage)
	app.POST(templates.PathRegister, p.register)
	app.POST(templates.PathStrength, p.strength)
	p.passkeySignIn(app)

	in := app.Group("", p.signedIn)
	get(in, templates.PathMail, p.home)
	get(in, templates.PathSearch, p.search)
	get(in, "/mail/:mailbox", p.mailbox)
	in.POST("/mail/:mailbox", p.act)
	in.POST(templates.PathUndo, p.undo)
	get(in, "/mail/:mailbox/:uid", p.message)
	get(in, "/mail/:mailbox/:uid/headers", p.headers)
	get(in, "/mail/:mailbox/:uid/source", p.source)
	get(in, rawRoute, p.raw)
	get(in, attachmentRoute, p.attachment)
	get(in, "/mail/:mailbox/:uid/frame", p.frame)
	get(in, templates.PathCompose, p.composePage)
	in.POST(templates.PathCompose, p.compose)
	get(in, templates.PathProfile, p.profilePage)
	in.POST(templates.PathProfile, p.profile)
	p.passkeys(in)
	get(in, templates.PathShortcuts, p.shortcuts)
	app.RouteNotFound("/*", func(echo.Context) error { return echo.ErrNotFound })
}

// Routes that are named more than once.
const (
	contentRoute    = "/content/:user/:mailbox/:uid/:attachment"
	rawRoute        = "/mail/:mailbox/:uid/message.eml"
	attachmentRoute = "/mail/:mailbox/:uid/attachments/:attachment"
)

// router is an Echo or a group of one.
type router interface {
	Match(methods []string, path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) []*echo.Route
}

// get routes GET, and HEAD with it: RFC 9110 9.1 asks for both.
func get(r router, path string, h echo.HandlerFunc) {
	r.Match([]string{http.MethodGet, http.MethodHead}, path, h)
}

// compress shrinks pages. Static files are stored compressed, and attachments
// are sent as they are.
func compress() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		Level: 5, MinLength: 1024,
		Skipper: func(c echo.Context) bool {
			switch c.Path() {
			case rawRoute, attachmentRoute:
				return true
			}
			return c.Request().Method == http.MethodHead
		},
	})
}

// limitBody bounds what is read of a request before anything parses it, and
// removes the files that parsing left. Only people with a session may send
// much.
func (p *pages) limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		bound := int64(maxForm)
		if c.Path() == templates.PathCompose && session.Of(c) != nil {
			bound = p.MaxMessage + composeOverhead
		}
		r := c.Request()
		if r.ContentLength > bound {
			return echo.ErrStatusRequestEntityTooLarge
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, bound)
		defer func() {
			if r.MultipartForm == nil {
				return
			}
			if err := r.MultipartForm.RemoveAll(); err != nil {
				p.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "remove uploaded files", slog.Any("error", err))
			}
		}()
		return next(c)
	}
}

// signedIn sends visitors to the sign-in page and back afterwards.
func (p *pages) signedIn(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if session.Of(c) != nil {
			return next(c)
		}
		to := templates.PathSignIn
		if m := c.Request().Method; m == http.MethodGet || m == http.MethodHead {
			to += "?next=" + queryEscape(c.Request().URL.RequestURI())
		}
		return c.Redirect(http.StatusSeeOther, to)
	}
}

// home is the way in.
func (p *pages) home(c echo.Context) error {
	if session.Of(c) == nil {
		return c.Redirect(http.StatusSeeOther, templates.PathSignIn)
	}
	return c.Redirect(http.StatusSeeOther, templates.MailboxURL("inbox"))
}

// ctxOf is the request's context.
func ctxOf(c echo.Context) context.Context { return c.Request().Context() }
