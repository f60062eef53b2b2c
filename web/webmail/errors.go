package webmail

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// retrySoon is seconds after which what was away may be back.
const retrySoon = "5"

// status words a code in HTTP.
func status(code mail.Code) int {
	switch code {
	case mail.CodeNoUser, mail.CodeNoMailbox, mail.CodeNoMessage, mail.CodeNotFound:
		return http.StatusNotFound
	case mail.CodeInvalid:
		return http.StatusBadRequest
	case mail.CodeExists, mail.CodeConflict:
		return http.StatusConflict
	case mail.CodeAuth, mail.CodeForbidden, mail.CodeDisabled:
		return http.StatusForbidden
	case mail.CodeOverQuota:
		return http.StatusInsufficientStorage
	case mail.CodeTooBig:
		return http.StatusRequestEntityTooLarge
	case mail.CodeLimited:
		return http.StatusTooManyRequests
	case mail.CodeUnavailable:
		return http.StatusServiceUnavailable
	case mail.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// failed is Echo's error handler: one log line for what is our fault, and a
// page without the chain.
func (p *pages) failed(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	var code int
	var he *echo.HTTPError
	var tooBig *http.MaxBytesError
	var me *mail.Error
	switch {
	case errors.As(err, &tooBig):
		code = http.StatusRequestEntityTooLarge
	case errors.As(err, &me):
		code = status(me.Code)
	case errors.As(err, &he):
		// A page has no status of its own for a wrong method: there is no such page.
		code = he.Code
	case ctxOf(c).Err() != nil:
		// The browser has gone; nobody reads an answer.
		return
	default:
		code = status(mail.CodeOf(err))
	}
	if code >= http.StatusInternalServerError && code != http.StatusInsufficientStorage {
		p.Log.LogAttrs(ctxOf(c), slog.LevelError, "page failed",
			slog.String("request_id", p.RequestID(c)), slog.String("route", c.Path()), slog.Any("error", err))
	}
	switch {
	case me != nil && me.RetryAfter > 0:
		c.Response().Header().Set("Retry-After", strconv.Itoa(me.RetryAfter))
	case code == http.StatusServiceUnavailable:
		c.Response().Header().Set("Retry-After", retrySoon)
	}
	p.errorPage(c, code)
}

// errorPage answers with a page, or with the bare status where no person looks.
func (p *pages) errorPage(c echo.Context, code int) {
	// No form, so no token, and so no cookie for a visitor.
	page := templates.ErrorPage{Page: p.plainPage(c), Status: code, SignedIn: session.Of(c) != nil}
	if code >= http.StatusInternalServerError {
		page.Code = p.RequestID(c)
	}
	if c.Request().Method == http.MethodHead || c.Path() == templates.PathLive {
		_ = c.NoContent(code)
		return
	}
	if err := render(c, code, templates.Error(page)); err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelError, "error page failed", slog.Any("error", err))
	}
}

// fieldOf gives the input that an error blames, and why.
func fieldOf(err error) (field, reason string) {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Field, e.Reason
	}
	return "", ""
}
