package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail/store"
)

// Bounds of an autoreply's fields, in characters.
const (
	maxReplyName    = 128
	maxReplySubject = 2048
	maxReplyText    = 128 << 10
)

// given reads a text that may be missing, and takes the white space off its ends.
func (p *params) given(key string, limit int) *string {
	if _, ok := p.get(key); !ok {
		return nil
	}
	text := strings.TrimSpace(p.text(key, false, limit))
	return &text
}

// bound reads a date that may be missing, or false for none.
func (p *params) bound(key string) *time.Time {
	v, ok := p.get(key)
	if !ok || v == "" {
		return nil
	}
	if v == false || v == "false" {
		return &time.Time{}
	}
	t := p.date(key)
	return &t
}

// updateAutoreply is PUT /users/:user/autoreply: what is given is changed.
func (s *server) updateAutoreply(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, status := p.id("user", true), p.maybe("status")
	name, subject := p.given("name", maxReplyName), p.given("subject", maxReplySubject)
	text, html := p.given("text", maxReplyText), p.given("html", maxReplyText)
	start, end := p.bound("start"), p.bound("end")
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "update", "autoreplies", user); err != nil {
		return err
	}
	a, err := s.Store.SetAutoreply(ctxOf(c), user, func(a *store.Autoreply) error {
		replace(&a.Status, status)
		replace(&a.Name, name)
		replace(&a.Subject, subject)
		replace(&a.Text, text)
		replace(&a.HTML, html)
		replace(&a.Start, start)
		replace(&a.End, end)
		return nil
	})
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "id": a.ID.String()})
}

// replace sets what was given.
func replace[T any](to *T, with *T) {
	if with != nil {
		*to = *with
	}
}

// autoreply is GET /users/:user/autoreply. An unknown account has none, which is
// WildDuck's answer.
func (s *server) autoreply(c echo.Context) error {
	user, err := s.named(c, "user", "read", "autoreplies")
	if err != nil {
		return err
	}
	a, err := s.Store.Autoreply(ctxOf(c), user)
	if err != nil {
		return err
	}
	body := map[string]any{"success": true, "status": a.Status, "name": a.Name, "subject": a.Subject, "text": a.Text, "html": a.HTML}
	for key, t := range map[string]time.Time{"start": a.Start, "end": a.End, "created": a.Created} {
		if !t.IsZero() {
			body[key] = stamp(t)
		}
	}
	return respond(c, http.StatusOK, body)
}

// deleteAutoreply is DELETE /users/:user/autoreply.
func (s *server) deleteAutoreply(c echo.Context) error {
	user, err := s.named(c, "user", "delete", "autoreplies")
	if err != nil {
		return err
	}
	if err := s.Store.DeleteAutoreply(ctxOf(c), user); err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true})
}
