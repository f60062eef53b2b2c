package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// selectorPattern is N, N,N,… or N:M, with * for the open end.
var selectorPattern = regexp.MustCompile(`^\d+(,\d+)*$|^\d+:(\d+|\*)$`)

// selector is a choice of UIDs: a list, or a range.
type selector struct {
	list        []mail.UID
	first, last mail.UID
}

func parseSelector(text string) (sel selector, ok bool) {
	if !selectorPattern.MatchString(text) {
		return sel, false
	}
	number := func(s string) mail.UID {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			ok = false
		}
		return mail.UID(n)
	}
	ok = true
	if from, to, isRange := strings.Cut(text, ":"); isRange {
		sel.first, sel.last = number(from), 1<<32-1
		if to != "*" {
			sel.last = number(to)
		}
		if sel.first > sel.last {
			sel.first, sel.last = sel.last, sel.first
		}
		return sel, ok
	}
	for part := range strings.SplitSeq(text, ",") {
		sel.list = append(sel.list, number(part))
	}
	slices.Sort(sel.list)
	sel.list = slices.Compact(sel.list)
	return sel, ok
}

// each calls do with batches of the UIDs that the selector names and the mailbox holds.
func (s *server) each(ctx context.Context, user, box mail.ID, sel selector, do func([]mail.UID) error) error {
	if sel.list != nil {
		for uids := range slices.Chunk(sel.list, s.batch) {
			if err := do(uids); err != nil {
				return err
			}
		}
		return nil
	}
	after := mail.UID(0)
	if sel.first > 0 {
		after = sel.first - 1
	}
	for {
		uids, err := s.Store.UIDs(ctx, user, box, after, store.ListFilter{}, s.batch)
		if err != nil || len(uids) == 0 {
			return err
		}
		after = uids[len(uids)-1]
		full := len(uids) == s.batch
		for len(uids) > 0 && uids[len(uids)-1] > sel.last {
			uids, full = uids[:len(uids)-1], false
		}
		if len(uids) > 0 {
			if err := do(uids); err != nil {
				return err
			}
		}
		if !full {
			return nil
		}
	}
}

// updateMessages is PUT …/messages and PUT …/messages/:message: flags, or a move.
func (s *server) updateMessages(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, box, to := p.id("user", true), p.id("mailbox", true), p.id("moveTo", false)
	text := p.text("message", true, 1<<20)
	change, named := flagChange(p)
	p.session()
	for _, key := range []string{"expires", "metaData"} {
		if v, ok := p.get(key); ok && v != "" {
			p.blame(key, "is not supported by this version")
		}
	}
	sel, ok := parseSelector(text)
	if text != "" && !ok {
		p.blame("message", "with value %q fails to match the required pattern", text)
	}
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "update", "messages", user); err != nil {
		return err
	}
	if !to.IsZero() {
		return s.move(c, user, box, to, sel, change)
	}
	if !named {
		return &apiError{status: http.StatusInternalServerError, text: "Nothing was changed", expected: true}
	}
	found := 0
	err = s.each(ctxOf(c), user, box, sel, func(uids []mail.UID) error {
		on := store.Selection{User: user, Mailbox: box, UIDs: uids}
		rows, err := s.Store.Rows(ctxOf(c), on)
		if err != nil {
			return err
		}
		found += len(rows)
		_, err = s.Store.StoreFlags(ctxOf(c), on, change)
		return err
	})
	if err != nil {
		return asNoMessage(err)
	}
	if found == 0 {
		return errNoMessage
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "updated": found})
}

// flagChange reads seen, deleted, flagged and draft.
func flagChange(p *params) (change store.FlagChange, named bool) {
	for _, f := range []struct {
		key  string
		flag mail.Flag
	}{{"seen", mail.FlagSeen}, {"deleted", mail.FlagDeleted}, {"flagged", mail.FlagFlagged}, {"draft", mail.FlagDraft}} {
		switch v := p.maybe(f.key); {
		case v == nil:
		case *v:
			change.Add, named = append(change.Add, f.flag), true
		default:
			change.Remove, named = append(change.Remove, f.flag), true
		}
	}
	return change, named
}

func (s *server) move(c echo.Context, user, box, to mail.ID, sel selector, change store.FlagChange) error {
	pairs := [][2]mail.UID{}
	err := s.each(ctxOf(c), user, box, sel, func(uids []mail.UID) error {
		moved, err := s.Store.Move(ctxOf(c), store.Selection{User: user, Mailbox: box, UIDs: uids}, to,
			store.MoveOptions{Add: change.Add, Remove: change.Remove})
		for _, m := range moved {
			pairs = append(pairs, [2]mail.UID{m.From, m.To})
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		return errNoMessage
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "mailbox": to.String(), "id": pairs})
}

// deleteMessage is DELETE …/messages/:message: to the archive unless a draft.
func (s *server) deleteMessage(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, box, uid, err := s.one(c, p, "delete", "messages")
	if err != nil {
		return err
	}
	gone, err := s.Store.Expunge(ctxOf(c), store.Selection{User: user, Mailbox: box, UIDs: []mail.UID{uid}},
		store.ExpungeOptions{Archive: true})
	if err != nil && !mail.IsCode(err, mail.CodeNoMailbox) {
		return err
	}
	if len(gone) == 0 {
		return &apiError{status: http.StatusNotFound, text: "Message was not found"}
	}
	return respond(c, http.StatusOK, map[string]any{"success": true})
}

// deleteMessages is DELETE …/messages: everything in the mailbox.
func (s *server) deleteMessages(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, box := p.id("user", true), p.id("mailbox", true)
	archive := !p.yes("skipArchive", false)
	p.session()
	if p.yes("async", false) {
		p.blame("async", "is not supported by this version")
	}
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "delete", "messages", user); err != nil {
		return err
	}
	deleted := 0
	all := selector{first: 1, last: 1<<32 - 1}
	err = s.each(ctxOf(c), user, box, all, func(uids []mail.UID) error {
		gone, err := s.Store.Expunge(ctxOf(c), store.Selection{User: user, Mailbox: box, UIDs: uids},
			store.ExpungeOptions{Archive: archive})
		deleted += len(gone)
		return err
	})
	if err != nil && !mail.IsCode(err, mail.CodeNoMailbox) {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "deleted": deleted, "errors": 0})
}
