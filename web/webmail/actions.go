package webmail

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// maxSelected bounds the messages of one form. A list page has 50 rows; the
// room above is for a script that selects over several.
const maxSelected = 1000

// inverse is how an action is undone: messages go back, or flags change back.
type inverse struct {
	Verb string `json:"v"`
	// From is where the messages are now; To is where they were, zero when
	// they did not move.
	From mail.ID    `json:"f"`
	To   mail.ID    `json:"t,omitzero"`
	UIDs []mail.UID `json:"u"`
	// Add and Remove undo a change of flags.
	Add    []mail.Flag `json:"a,omitempty"`
	Remove []mail.Flag `json:"r,omitempty"`
}

// flagVerbs are the actions that only change flags.
var flagVerbs = map[string]store.FlagChange{
	"read":   {Add: []mail.Flag{mail.FlagSeen}},
	"unread": {Remove: []mail.Flag{mail.FlagSeen}},
	"star":   {Add: []mail.Flag{mail.FlagFlagged}},
	"unstar": {Remove: []mail.Flag{mail.FlagFlagged}},
}

// moveVerbs are the actions that move into a special mailbox.
var moveVerbs = map[string]mail.SpecialUse{
	"archive": mail.UseArchive, "junk": mail.UseJunk, "delete": mail.UseTrash,
}

// order is what a form asks for.
type order struct {
	verb string
	// refs are the chosen messages by mailbox.
	refs map[mail.ID][]mail.UID
	to   string
	back string
}

// act carries out the bulk bar, a row's star and the reader's toolbar.
func (p *pages) act(c echo.Context) error {
	o, err := readOrder(c)
	if err != nil {
		return err
	}
	n, undo, err := p.perform(c, o)
	if err != nil {
		return err
	}
	if c.Request().Header.Get("Eider-Quiet") != "" {
		return c.NoContent(http.StatusNoContent)
	}
	// A star or a read mark shows in its place; the rest is told in a toast.
	if _, quiet := flagVerbs[o.verb]; !quiet || n != 1 {
		toast := templates.Toast{Text: templates.DoneText(p.page(c, "").Lang, o.verb, n), Back: o.back}
		if undo != nil {
			toast.Undo = p.putUndo(c, *undo)
		}
		p.putToast(c, toast)
	}
	return seeOther(c, o.back)
}

// readOrder reads the form.
func readOrder(c echo.Context) (order, error) {
	form, err := c.FormParams()
	if err != nil {
		return order{}, err
	}
	o := order{
		verb: form.Get("do"), to: form.Get("to"), refs: map[mail.ID][]mail.UID{},
		back: session.LocalPath(form.Get("back"), templates.MailboxURL(c.Param("mailbox"))),
	}
	if o.verb == "" && o.to != "" {
		// The folders of the move menu are buttons of their own.
		o.verb = "move"
	}
	ids := form["id"]
	for _, verb := range []string{"star", "unstar"} {
		if ref := form.Get(verb); ref != "" {
			o.verb, ids = verb, []string{ref}
		}
	}
	if len(ids) > maxSelected {
		return order{}, &mail.Error{Code: mail.CodeInvalid, Op: "read selection", Field: "id", Reason: "long"}
	}
	for _, ref := range ids {
		box, uid, err := parseRef(ref)
		if err != nil {
			return order{}, err
		}
		o.refs[box] = append(o.refs[box], uid)
	}
	return o, nil
}

// parseRef reads templates.Ref's form.
func parseRef(ref string) (mail.ID, mail.UID, error) {
	box, uid, _ := strings.Cut(ref, "-")
	id, err := mail.ParseID(box)
	if err != nil {
		return mail.ID{}, 0, err
	}
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil || n == 0 {
		return mail.ID{}, 0, &mail.Error{Code: mail.CodeInvalid, Op: "read message reference", Err: err}
	}
	return id, mail.UID(n), nil
}

// perform does the order on each mailbox that it names. The inverse is that of
// the one mailbox, nil when there were several or nothing can be taken back.
func (p *pages) perform(c echo.Context, o order) (n int, undo *inverse, err error) {
	ctx, user := ctxOf(c), userOf(c).ID
	for box, uids := range o.refs {
		sel := store.Selection{User: user, Mailbox: box, UIDs: uids}
		var done int
		if done, undo, err = p.performOn(ctx, sel, o); err != nil {
			return n, nil, err
		}
		n += done
	}
	if len(o.refs) > 1 || n == 0 {
		undo = nil
	}
	return n, undo, nil
}

func (p *pages) performOn(ctx context.Context, sel store.Selection, o order) (int, *inverse, error) {
	if change, ok := flagVerbs[o.verb]; ok {
		done, err := p.Store.StoreFlags(ctx, sel, change)
		return len(done.Changed), &inverse{
			Verb: o.verb, From: sel.Mailbox, UIDs: done.Changed, Add: change.Remove, Remove: change.Add,
		}, err
	}
	from, err := p.Store.Mailbox(ctx, sel.User, sel.Mailbox)
	if err != nil {
		return 0, nil, err
	}
	if o.verb == "delete" && from.SpecialUse == mail.UseTrash {
		gone, err := p.Store.Expunge(ctx, sel, store.ExpungeOptions{Archive: true})
		return len(gone), nil, err
	}
	to, opts, err := p.destination(ctx, sel.User, o)
	if err != nil {
		return 0, nil, err
	}
	if to.ID == from.ID {
		return 0, nil, nil
	}
	moved, err := p.Store.Move(ctx, sel, to.ID, opts)
	undo := &inverse{Verb: o.verb, From: to.ID, To: from.ID, UIDs: make([]mail.UID, len(moved))}
	for i, m := range moved {
		undo.UIDs[i] = m.To
	}
	return len(moved), undo, err
}

// destination is where a verb moves to.
func (p *pages) destination(ctx context.Context, user mail.ID, o order) (mail.Mailbox, store.MoveOptions, error) {
	if use, ok := moveVerbs[o.verb]; ok {
		to, err := p.Store.MailboxByUse(ctx, user, use, true)
		return to, store.MoveOptions{}, err
	}
	switch o.verb {
	case "notjunk":
		to, err := p.Store.MailboxByPath(ctx, user, mail.Inbox)
		return to, store.MoveOptions{}, err
	case "move":
		id, err := mail.ParseID(o.to)
		if err != nil {
			return mail.Mailbox{}, store.MoveOptions{}, err
		}
		to, err := p.Store.Mailbox(ctx, user, id)
		return to, store.MoveOptions{}, err
	default:
		err := &mail.Error{Code: mail.CodeInvalid, Op: "read action", Field: "do", Reason: "format"}
		return mail.Mailbox{}, store.MoveOptions{}, err
	}
}

// undo takes back the last action.
func (p *pages) undo(c echo.Context) error {
	back := session.LocalPath(c.FormValue("back"), templates.MailboxURL("inbox"))
	u, ok := p.takeUndo(c, c.FormValue("token"))
	lang := p.page(c, "").Lang
	if !ok {
		p.putToast(c, templates.Toast{Text: templates.T(lang, "undo.late"), Bad: true})
		return seeOther(c, back)
	}
	if err := p.revert(ctxOf(c), userOf(c).ID, u); err != nil {
		var me *mail.Error
		if !errors.As(err, &me) || me.Code != mail.CodeNoMailbox {
			return err
		}
		p.putToast(c, templates.Toast{Text: templates.T(lang, "undo.late"), Bad: true})
		return seeOther(c, back)
	}
	p.putToast(c, templates.Toast{Text: templates.DoneText(lang, "undo", 1)})
	return seeOther(c, back)
}

func (p *pages) revert(ctx context.Context, user mail.ID, u inverse) error {
	sel := store.Selection{User: user, Mailbox: u.From, UIDs: u.UIDs}
	if u.To.IsZero() {
		_, err := p.Store.StoreFlags(ctx, sel, store.FlagChange{Add: u.Add, Remove: u.Remove})
		return err
	}
	_, err := p.Store.Move(ctx, sel, u.To, store.MoveOptions{Add: u.Add, Remove: u.Remove})
	return err
}
