package webmail

import (
	"slices"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// foundMessage shows a message beside the search that found it.
func (p *pages) foundMessage(c echo.Context, v view, uid mail.UID) error {
	ctx, user := ctxOf(c), userOf(c).ID
	o := &opened{listing: &listing{view: v}}
	var err error
	if o.boxes, err = p.Store.Mailboxes(ctx, user); err != nil {
		return err
	}
	if o.box, err = findBox(o.boxes, v.mailbox); err != nil {
		return err
	}
	now := p.plainPage(c).Now
	var r asked
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { r, err = p.ask(gctx, user, v.search, now, o.boxes); return err })
	g.Go(func() (err error) {
		// Its parts are read for as long as the request lasts, not the group.
		if o.detail, err = p.Store.Message(ctx, user, o.box.ID, uid); err == nil {
			o.thread, err = p.Store.Thread(gctx, user, o.detail.Thread, store.ThreadOptions{Limit: conversationRows, Include: o.box.ID})
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return p.show(c, o, func() templates.Mailbox {
		vm := p.searchView(c, v.search, o.boxes, r)
		id := o.box.ID.String()
		for i := range vm.List.Rows {
			if row := &vm.List.Rows[i]; row.Mailbox == id && row.UID == uint32(uid) {
				row.Open = true
				row.Unread = row.Unread && !marks(c)
			}
		}
		return vm
	})
}

// besideFound are the addresses of the rows beside the open one.
func besideFound(rows []templates.Row) (newer, older string) {
	i := slices.IndexFunc(rows, func(r templates.Row) bool { return r.Open })
	if i > 0 {
		newer = rows[i-1].Href
	}
	if i >= 0 && i+1 < len(rows) {
		older = rows[i+1].Href
	}
	return newer, older
}
