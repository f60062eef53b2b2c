package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
)

// mailboxJSON is a row of GET /users/:user/mailboxes.
type mailboxJSON struct {
	ID              string  `json:"id"`
	Name            string  `json:"name"`
	Path            string  `json:"path"`
	SpecialUse      *string `json:"specialUse"`
	ModifyIndex     uint64  `json:"modifyIndex"`
	Subscribed      bool    `json:"subscribed"`
	Hidden          bool    `json:"hidden"`
	EncryptMessages bool    `json:"encryptMessages"`
	Retention       int64   `json:"retention,omitempty"`
	Total           *int    `json:"total,omitempty"`
	Unseen          *int    `json:"unseen,omitempty"`
}

// mailboxes is GET /users/:user/mailboxes.
func (s *server) mailboxes(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user := p.id("user", true)
	special, hidden, counters := p.yes("specialUse", false), p.yes("showHidden", false), p.yes("counters", false)
	if p.yes("sizes", false) {
		p.blame("sizes", "is not supported by this version")
	}
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "mailboxes", user); err != nil {
		return err
	}
	if _, err := s.Store.User(ctxOf(c), user); err != nil {
		return err
	}
	boxes, err := s.Store.Mailboxes(ctxOf(c), user)
	if err != nil {
		return err
	}
	slices.SortStableFunc(boxes, compareMailboxes)
	rows := []mailboxJSON{}
	for _, b := range boxes {
		if b.Hidden && !hidden || special && b.SpecialUse == "" && b.Path != mail.Inbox {
			continue
		}
		rows = append(rows, mailboxRow(b, counters))
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "results": rows})
}

// compareMailboxes: INBOX, what is below it, subscribed before unsubscribed, path.
func compareMailboxes(a, b mail.Mailbox) int {
	rank := func(m mail.Mailbox) int {
		switch {
		case m.Path == mail.Inbox:
			return 0
		case strings.HasPrefix(m.Path, mail.Inbox+"/"):
			return 1
		case m.Subscribed:
			return 2
		default:
			return 3
		}
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(strings.ToLower(a.Path), strings.ToLower(b.Path))
}

func mailboxRow(b mail.Mailbox, counters bool) mailboxJSON {
	row := mailboxJSON{
		ID: b.ID.String(), Name: b.Path[strings.LastIndexByte(b.Path, '/')+1:], Path: b.Path,
		ModifyIndex: uint64(b.ModSeq), Subscribed: b.Subscribed, Hidden: b.Hidden,
		Retention: b.Retention.Milliseconds(),
	}
	if b.SpecialUse != "" {
		use := string(b.SpecialUse)
		row.SpecialUse = &use
	}
	if counters {
		row.Total, row.Unseen = &b.Total, &b.Unseen
	}
	return row
}
