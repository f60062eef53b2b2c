package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
)

// searchAction is what POST /users/:user/search does with the matches.
type searchAction struct {
	moveTo mail.ID
	change store.FlagChange
	remove bool
}

// searchApply is POST /users/:user/search: the matches of now are written down as
// bulk operations, which go on in the background.
func (s *server) searchApply(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	p.open = true
	user := p.id("user", true)
	query := s.searchQuery(p)
	do := readSearchAction(p)
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "messages", user); err != nil {
		return err
	}
	if _, err := s.Store.Account(ctxOf(c), user); err != nil {
		return err
	}
	found, err := s.matches(c, user, query)
	if err != nil {
		return err
	}
	scheduled := mail.NewID()
	for box, uids := range found {
		b := store.Bulk{User: user, Mailbox: box, UIDs: uids}
		switch {
		case do.remove:
			b.Kind, b.Archive = store.BulkExpunge, true
		case len(do.change.Add)+len(do.change.Remove) > 0:
			b.Kind, b.Change = store.BulkFlags, do.change
		case box == do.moveTo:
			continue
		default:
			b.Kind, b.Target = store.BulkMove, do.moveTo
		}
		job, err := s.Store.StartBulk(ctxOf(c), b)
		if err != nil {
			return err
		}
		scheduled = job.ID
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "scheduled": scheduled.String(), "existing": false})
}

// readSearchAction: WildDuck lets delete stand alone, and prefers flags to a move.
func readSearchAction(p *params) (do searchAction) {
	action, ok := p.object("action")
	if !ok {
		p.blame("action", "is required")
		return do
	}
	in := &params{values: action, used: map[string]bool{}, prefix: "action,"}
	do.moveTo, do.remove = in.id("moveTo", false), in.yes("delete", false)
	for name, flag := range map[string]mail.Flag{"seen": mail.FlagSeen, "flagged": mail.FlagFlagged} {
		switch on := in.maybe(name); {
		case on == nil:
		case *on:
			do.change.Add = append(do.change.Add, flag)
		default:
			do.change.Remove = append(do.change.Remove, flag)
		}
	}
	p.wrong = append(p.wrong, in.wrong...)
	others := !do.moveTo.IsZero() || len(do.change.Add)+len(do.change.Remove) > 0
	switch {
	case do.remove && others:
		p.blame("action", "delete must be the only action")
	case !do.remove && !others:
		p.blame("action", "must have at least 1 key")
	}
	return do
}

// matches are the UIDs of all messages found, by mailbox, rising.
func (s *server) matches(c echo.Context, user mail.ID, q search.Query) (map[mail.ID][]mail.UID, error) {
	out := map[mail.ID][]mail.UID{}
	o := store.Search{User: user, Query: q, Limit: store.MaxPage}
	for {
		page, err := s.Store.Search(ctxOf(c), o)
		if err != nil {
			return nil, err
		}
		for i := range page.Messages {
			m := &page.Messages[i]
			out[m.Mailbox] = append(out[m.Mailbox], m.UID)
		}
		if o.Before = page.Older; o.Before == nil {
			break
		}
	}
	for box := range out {
		slices.Sort(out[box])
	}
	return out, nil
}
