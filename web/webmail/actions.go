package webmail

import (
	"context"
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

// inverse is how an action on one mailbox is undone: messages go back, or
// flags change back.
type inverse struct {
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
	"archive": mail.UseArchive, "junk": mail.UseJunk, verbDelete: mail.UseTrash,
}

// verbDelete moves to Trash; in Trash it becomes verbForever.
const (
	verbDelete  = "delete"
	verbForever = "forever"
)

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
	done, err := p.perform(c, o)
	if err != nil {
		return err
	}
	if c.Request().Header.Get("Eider-Quiet") != "" {
		return c.NoContent(http.StatusNoContent)
	}
	p.tell(c, o, done)
	return seeOther(c, o.back)
}

// tell puts what was done into a toast. A single star or read mark shows in its
// place and needs no words.
func (p *pages) tell(c echo.Context, o order, done outcome) {
	lang := p.lang(c)
	_, flags := flagVerbs[o.verb]
	switch {
	case len(o.refs) == 0:
		p.putToast(c, templates.Toast{Text: templates.T(lang, "done.none")})
	case done.n == 0 || flags && done.n == 1:
	default:
		toast := templates.Toast{Text: templates.DoneText(lang, done.verb, done.n), Back: o.back}
		if len(done.undo) > 0 {
			toast.Undo = p.putUndo(c, done.undo)
		}
		p.putToast(c, toast)
	}
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

// outcome is what an order did.
type outcome struct {
	// n counts messages; verb is what happened to them.
	n    int
	verb string
	// undo takes it back, mailbox by mailbox; empty when that is not possible.
	undo []inverse
}

// perform does the order on each mailbox that it names.
func (p *pages) perform(c echo.Context, o order) (outcome, error) {
	out := outcome{verb: o.verb}
	ctx, user := ctxOf(c), userOf(c).ID
	forever := 0
	for box, uids := range o.refs {
		n, undo, err := p.performOn(ctx, store.Selection{User: user, Mailbox: box, UIDs: uids}, o)
		if err != nil {
			return out, err
		}
		out.n += n
		switch {
		case n == 0:
		case undo == nil:
			forever += n
		default:
			out.undo = append(out.undo, *undo)
		}
	}
	if forever > 0 && forever == out.n {
		out.verb = verbForever
	}
	return out, nil
}

// performOn does the order in one mailbox. The inverse is nil for what cannot
// be taken back.
func (p *pages) performOn(ctx context.Context, sel store.Selection, o order) (int, *inverse, error) {
	if change, ok := flagVerbs[o.verb]; ok {
		done, err := p.Store.StoreFlags(ctx, sel, change)
		return len(done.Changed), &inverse{
			From: sel.Mailbox, UIDs: done.Changed, Add: change.Remove, Remove: change.Add,
		}, err
	}
	from, err := p.Store.Mailbox(ctx, sel.User, sel.Mailbox)
	if err != nil {
		return 0, nil, err
	}
	if o.verb == verbDelete && from.SpecialUse == mail.UseTrash {
		gone, err := p.Store.Expunge(ctx, sel, store.ExpungeOptions{Archive: true})
		return len(gone), nil, err
	}
	to, err := p.destination(ctx, sel.User, o)
	if err != nil || to.ID == from.ID {
		return 0, nil, err
	}
	moved, err := p.Store.Move(ctx, sel, to.ID, store.MoveOptions{})
	undo := &inverse{From: to.ID, To: from.ID, UIDs: make([]mail.UID, len(moved))}
	for i, m := range moved {
		undo.UIDs[i] = m.To
	}
	return len(moved), undo, err
}

// destination is where a verb moves to.
func (p *pages) destination(ctx context.Context, user mail.ID, o order) (mail.Mailbox, error) {
	if use, ok := moveVerbs[o.verb]; ok {
		return p.Store.MailboxByUse(ctx, user, use, true)
	}
	switch o.verb {
	case "notjunk":
		return p.Store.MailboxByPath(ctx, user, mail.Inbox)
	case "move":
		id, err := mail.ParseID(o.to)
		if err != nil {
			return mail.Mailbox{}, err
		}
		return p.Store.Mailbox(ctx, user, id)
	default:
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeInvalid, Op: "read action", Field: "do", Reason: "format"}
	}
}

// undo takes back the last action.
func (p *pages) undo(c echo.Context) error {
	back := session.LocalPath(c.FormValue("back"), templates.MailboxURL("inbox"))
	toast := templates.Toast{Text: templates.DoneText(p.lang(c), "undo", 1)}
	steps, ok := p.takeUndo(c, c.FormValue("token"))
	for _, u := range steps {
		err := p.revert(ctxOf(c), userOf(c).ID, u)
		if mail.IsCode(err, mail.CodeNoMailbox) {
			ok = false
		} else if err != nil {
			return err
		}
	}
	if !ok {
		toast = templates.Toast{Text: templates.T(p.lang(c), "undo.late"), Bad: true}
	}
	p.putToast(c, toast)
	return seeOther(c, back)
}

func (p *pages) revert(ctx context.Context, user mail.ID, u inverse) error {
	sel := store.Selection{User: user, Mailbox: u.From, UIDs: u.UIDs}
	if u.To.IsZero() {
		_, err := p.Store.StoreFlags(ctx, sel, store.FlagChange{Add: u.Add, Remove: u.Remove})
		return err
	}
	_, err := p.Store.Move(ctx, sel, u.To, store.MoveOptions{})
	return err
}
