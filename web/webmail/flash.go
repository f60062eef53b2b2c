package webmail

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/templates"
)

// How long a toast waits for the page after the redirect, and an undo for its
// press: the toast shows for 10 s and is held while it is hovered.
const (
	toastFor = time.Minute
	undoFor  = 5 * time.Minute
	// maxToken bounds what is looked up as a token.
	maxToken = 64
)

// putToast keeps a toast for the next page of the session. Losing one costs a
// word on the screen, so a failure is logged and the action stands.
func (p *pages) putToast(c echo.Context, t templates.Toast) {
	text, err := json.Marshal(t)
	if err == nil {
		err = p.Signal.Set(ctxOf(c), "eider:toast:"+sessionOf(c).ID, string(text), toastFor)
	}
	if err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "keep toast", slog.Any("error", err))
	}
}

// takeToast gives the waiting toast once. A prefetch leaves it waiting.
func (p *pages) takeToast(c echo.Context, s *account.Session) *templates.Toast {
	if prefetch(c) {
		return nil
	}
	key := "eider:toast:" + s.ID
	text, ok, err := p.Signal.Get(ctxOf(c), key)
	if err != nil || !ok {
		return nil
	}
	_ = p.Signal.Delete(ctxOf(c), key)
	var t templates.Toast
	if json.Unmarshal([]byte(text), &t) != nil {
		return nil
	}
	return &t
}

// putUndo keeps an inverse and gives the token that names it, "" when it could
// not be kept.
func (p *pages) putUndo(c echo.Context, u []inverse) string {
	text, err := json.Marshal(u)
	if err != nil {
		return ""
	}
	var b [15]byte
	_, _ = rand.Read(b[:])
	token := base64.RawURLEncoding.EncodeToString(b[:])
	if err := p.Signal.Set(ctxOf(c), undoKey(c, token), string(text), undoFor); err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "keep undo", slog.Any("error", err))
		return ""
	}
	return token
}

// takeUndo gives a kept inverse once, to the account that it belongs to.
func (p *pages) takeUndo(c echo.Context, token string) (u []inverse, ok bool) {
	if token == "" || len(token) > maxToken {
		return nil, false
	}
	key := undoKey(c, token)
	text, ok, err := p.Signal.Get(ctxOf(c), key)
	if err != nil || !ok {
		return nil, false
	}
	_ = p.Signal.Delete(ctxOf(c), key)
	return u, json.Unmarshal([]byte(text), &u) == nil
}

func undoKey(c echo.Context, token string) string {
	return "eider:undo:" + userOf(c).ID.String() + ":" + token
}
