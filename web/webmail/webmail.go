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
}

// Register adds the webmail's routes, in the order of a visit.
func Register(e *echo.Echo, o Options) {
	p := &pages{Options: o}
	o.Live.Row = p.rowHTML
	e.HTTPErrorHandler = p.failed

	e.GET("/static/*", echo.WrapHandler(static.Handler()))
	e.HEAD("/static/*", echo.WrapHandler(static.Handler()))
	e.GET("/favicon.ico", func(c echo.Context) error {
		return c.Redirect(http.StatusMovedPermanently, static.URL("favicon.svg"))
	})
	e.GET("/robots.txt", func(c echo.Context) error { return c.String(http.StatusOK, "User-agent: *\nDisallow: /\n") })

	// Content inside a message frame has an opaque origin and no cookie; its
	// addresses are signed instead.
	e.GET("/content/:user/:mailbox/:uid/:attachment", p.content)
	e.GET(ImagePath, p.image)

	app := e.Group("", p.secure, p.limitBody, o.Guard.Load, o.Guard.Check, compress())
	app.GET(templates.PathHome, p.home)
	app.GET(templates.PathSignIn, p.signInPage)
	app.POST(templates.PathSignIn, p.signIn)
	app.POST(templates.PathSignOut, p.signOut)
	app.GET(templates.PathSignedOut, p.signedOut)
	app.GET(templates.PathRegister, p.registerPage)
	app.POST(templates.PathRegister, p.register)
	app.POST(templates.PathStrength, p.strength)

	in := app.Group("", p.signedIn)
	in.GET(templates.PathMail, p.home)
	in.GET("/mail/:mailbox", p.mailbox)
	in.POST("/mail/:mailbox", p.act)
	in.POST(templates.PathUndo, p.undo)
	in.GET("/mail/:mailbox/:uid", p.message)
	in.GET("/mail/:mailbox/:uid/headers", p.headers)
	in.GET("/mail/:mailbox/:uid/source", p.source)
	in.GET("/mail/:mailbox/:uid/message.eml", p.raw)
	in.GET("/mail/:mailbox/:uid/attachments/:attachment", p.attachment)
	in.GET("/mail/:mailbox/:uid/frame", p.frame)
	in.GET(templates.PathCompose, p.composePage)
	in.POST(templates.PathCompose, p.compose)
	in.GET(templates.PathProfile, p.profilePage)
	in.POST(templates.PathProfile, p.profile)
	in.GET(templates.PathShortcuts, p.shortcuts)
	e.GET(templates.PathLive, o.Live.Handle, o.Guard.Load)
	// Everything else gets the same headers and a page of its own.
	app.RouteNotFound("/*", func(echo.Context) error { return echo.ErrNotFound })
}

// compress shrinks pages. Static files are stored compressed, and attachments
// are sent as they are.
func compress() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		Level: 5, MinLength: 1024,
		Skipper: func(c echo.Context) bool {
			switch c.Path() {
			case "/mail/:mailbox/:uid/message.eml", "/mail/:mailbox/:uid/attachments/:attachment", "/static/*":
				return true
			}
			return false
		},
	})
}

// limitBody bounds what is read of a request before anything parses it.
func (p *pages) limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		bound := int64(maxForm)
		if c.Path() == templates.PathCompose {
			bound = p.MaxMessage + composeOverhead
		}
		r := c.Request()
		if r.ContentLength > bound {
			return echo.ErrStatusRequestEntityTooLarge
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, bound)
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
		if c.Request().Method == http.MethodGet {
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
