package api

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
)

// apiError is an answer in WildDuck's form: {"error", "code"} and details.
type apiError struct {
	status     int
	text, code string
	details    map[string]any
	// router marks errors from before the handler, which have the form
	// {"code", "message"}.
	router bool
	// expected marks answers with a status of 500 that are the client's doing,
	// as WildDuck gives them. They are not logged as failures.
	expected bool
}

func (e *apiError) Error() string { return e.code + ": " + e.text }

var (
	errInvalidToken = &apiError{status: http.StatusForbidden, code: "InvalidToken", text: "Invalid accessToken value", router: true}
	errPrivileges   = &apiError{status: http.StatusForbidden, code: "MissingPrivileges", text: "Not enough privileges"}
	errNoUser       = &apiError{status: http.StatusNotFound, code: "UserNotFound", text: "This user does not exist"}
	errNoMailbox    = &apiError{status: http.StatusNotFound, code: "NoSuchMailbox", text: "This mailbox does not exist"}
	errNoMessage    = &apiError{status: http.StatusNotFound, code: "MessageNotFound", text: "This message does not exist"}
	errNoAttachment = &apiError{status: http.StatusNotFound, code: "AttachmentNotFound", text: "This attachment does not exist"}
)

// wording is the one exhaustive switch from the domain's codes to this surface.
func wording(err *mail.Error) *apiError {
	switch err.Code {
	case mail.CodeNoUser:
		return errNoUser
	case mail.CodeNoMailbox:
		return errNoMailbox
	case mail.CodeNoMessage:
		return errNoMessage
	case mail.CodeNotFound:
		return &apiError{status: http.StatusNotFound, code: "NotFound", text: "No such object"}
	case mail.CodeInvalid:
		return &apiError{status: http.StatusBadRequest, code: "InputValidationError", text: invalidText(err)}
	case mail.CodeExists:
		if err.Field == "address" {
			return &apiError{status: http.StatusBadRequest, code: "AddressExistsError", text: "This email address already exists"}
		}
		if err.Field == "username" {
			return &apiError{status: http.StatusBadRequest, code: "UserExistsError", text: "This username already exists"}
		}
		return &apiError{status: http.StatusBadRequest, code: "MailboxExistsError", text: "This mailbox already exists"}
	case mail.CodeAuth:
		return &apiError{status: http.StatusForbidden, code: "AuthFailed", text: "Authentication failed"}
	case mail.CodeForbidden:
		return &apiError{status: http.StatusForbidden, code: "NotPermitted", text: "Not permitted"}
	case mail.CodeDisabled:
		return &apiError{status: http.StatusForbidden, code: "UserDisabled", text: "User account is disabled"}
	case mail.CodeOverQuota:
		return &apiError{status: http.StatusBadRequest, code: "OverQuotaError", text: "User is over quota"}
	case mail.CodeTooBig:
		return &apiError{status: http.StatusRequestEntityTooLarge, code: "MessageTooLarge", text: "The message is too large"}
	case mail.CodeLimited:
		return &apiError{
			status: http.StatusForbidden, code: "RateLimitedError", text: "You have reached a limit. Try again later",
			details: map[string]any{"retryAfter": err.RetryAfter},
		}
	case mail.CodeConflict:
		return &apiError{status: http.StatusConflict, code: "Conflict", text: "Somebody else changed this first"}
	case mail.CodeUnavailable:
		return &apiError{status: http.StatusServiceUnavailable, code: "InternalDatabaseError", text: "MongoDB Error: not available, try again"}
	case mail.CodeInternal:
		return internal
	}
	return internal
}

var internal = &apiError{status: http.StatusInternalServerError, code: "InternalError", text: "Internal error"}

func invalidText(err *mail.Error) string {
	if err.Field == "" {
		return "The request is not valid"
	}
	if err.Reason == "" {
		return `"` + err.Field + `" is not valid`
	}
	return `"` + err.Field + `" is not valid (` + err.Reason + `)`
}

// retrySoon is seconds after which what was away may be back.
const retrySoon = "5"

// failed is Echo's error handler.
func (s *server) failed(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	answer := s.answerFor(err, c)
	if ctxOf(c).Err() != nil {
		// The client has gone; nobody reads an answer, and nothing is broken.
		s.Log.LogAttrs(ctxOf(c), slog.LevelDebug, "api client left", slog.String("route", c.Path()), slog.Any("error", err))
		return
	}
	if answer.status >= http.StatusInternalServerError && !answer.expected {
		s.Log.LogAttrs(ctxOf(c), slog.LevelError, "api request failed",
			slog.String("request_id", s.RequestID(c)), slog.String("route", c.Path()), slog.Any("error", err))
	}
	if answer.status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", retrySoon)
	}
	text := "error"
	if answer.router {
		text = "message"
	}
	body := map[string]any{text: answer.text}
	if answer.code != "" {
		body["code"] = answer.code
	}
	maps.Copy(body, answer.details)
	if err := respond(c, answer.status, body); err != nil {
		s.Log.LogAttrs(ctxOf(c), slog.LevelDebug, "answer not sent", slog.Any("error", err))
	}
}

func (s *server) answerFor(err error, c echo.Context) *apiError {
	var ae *apiError
	var me *mail.Error
	var he *echo.HTTPError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &ae):
		return ae
	case errors.As(err, &tooBig):
		return &apiError{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", text: "The request is too large", router: true}
	case errors.As(err, &me):
		return wording(me)
	case errors.As(err, &he) && he.Code == http.StatusNotFound:
		return &apiError{status: he.Code, code: "ResourceNotFound", text: c.Request().URL.Path + " does not exist", router: true}
	case errors.As(err, &he) && he.Code == http.StatusMethodNotAllowed:
		return &apiError{status: he.Code, code: "MethodNotAllowed", text: c.Request().Method + " is not allowed", router: true}
	case errors.As(err, &he) && he.Code < http.StatusInternalServerError:
		return &apiError{status: he.Code, code: http.StatusText(he.Code), text: http.StatusText(he.Code), router: true}
	default:
		return wording(&mail.Error{Code: mail.CodeOf(err)})
	}
}
