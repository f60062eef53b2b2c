package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
)

// tokenLife is how long a token of POST /authenticate lasts without use.
const tokenLife = 14 * 24 * time.Hour

// authenticate is POST /authenticate.
func (s *server) authenticate(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	sess, ip := p.session()
	login := account.Login{
		Username: p.username("username"), Password: p.text("password", true, 256),
		Protocol: p.text("protocol", false, 255), Scope: p.text("scope", false, 255),
		Session: sess, IP: ip,
	}
	wantToken := p.yes("token", false)
	p.text("appId", false, 2048)
	if login.Scope == "" {
		login.Scope = "master"
	}
	if login.Protocol == "" {
		login.Protocol = "API"
	}
	if wantToken && login.Scope != "master" {
		p.blame("scope", "must be master when a token is wanted")
	}
	if err := p.finish(); err != nil {
		return err
	}
	// The name says who it is about, so a grant for the own account is none.
	if err := s.may(c, "create", "authentication", mail.ID{}); err != nil {
		return err
	}
	result, err := s.Accounts.Authenticate(ctxOf(c), login)
	if err != nil {
		return authenticateFailed(err)
	}
	body := map[string]any{
		"success": true, "id": result.User.ID.String(), "username": result.User.Username,
		"scope": result.Scope, "require2fa": false, "requirePasswordChange": result.RequirePasswordChange,
	}
	if result.User.Address != "" {
		body["address"] = result.User.Address
	}
	if len(result.Require2FA) > 0 {
		body["require2fa"] = result.Require2FA
	}
	if wantToken && callerOf(c).role != "auth" {
		token, err := s.Accounts.NewToken(ctxOf(c), account.TokenOptions{
			User: result.User.ID, Role: "user", Description: "authenticate", TTL: tokenLife,
		})
		if err != nil {
			return err
		}
		body["token"] = token
	}
	return respond(c, http.StatusOK, body)
}

// authenticateFailed: every refusal is 403 and says no more than it must.
func authenticateFailed(err error) error {
	code := mail.CodeOf(err)
	if code == mail.CodeForbidden {
		return &apiError{status: http.StatusForbidden, code: "InvalidAuthScope", text: "Access to requested service disabled"}
	}
	if slices.Contains([]mail.Code{mail.CodeAuth, mail.CodeNoUser, mail.CodeDisabled, mail.CodeInvalid}, code) {
		return &apiError{status: http.StatusForbidden, code: "AuthFailed", text: "Authentication failed"}
	}
	return err
}
