package webmail

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// pageRows is the length of a list page.
const pageRows = 50

// view is what the address bar says about a list: mailbox, filter, position.
type view struct {
	mailbox string
	filter  string
	// before and after are keyset positions as in the query, at most one set.
	before, after string
	selectAll     bool
	// search is what a message was found by: its list is then that of the search.
	search question
}

// viewOf reads the view of a request.
func viewOf(c echo.Context) view {
	v := view{mailbox: c.Param("mailbox"), before: c.QueryParam("before"), after: c.QueryParam("after")}
	switch f := c.QueryParam("filter"); f {
	case "unread", "starred", "attachments":
		v.filter = f
	}
	v.selectAll = c.QueryParam("select") == "all"
	return v
}

// query is the view's part of an address, with its question mark.
func (v view) query() string {
	if v.search.text != "" {
		return "?" + v.search.params()
	}
	q := url.Values{}
	if v.filter != "" {
		q.Set("filter", v.filter)
	}
	if v.before != "" {
		q.Set("before", v.before)
	} else if v.after != "" {
		q.Set("after", v.after)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// at is the view moved to another position.
func (v view) at(before, after string) view {
	v.before, v.after = before, after
	return v
}

// url is the list of the view, of which mailbox is the id.
func (v view) url(mailbox string) string {
	if v.search.text != "" {
		return v.search.url()
	}
	return templates.MailboxURL(mailbox) + v.query()
}

// list is the store's question for the view.
func (v view) list(user, mailbox mail.ID) (store.List, error) {
	l := store.List{
		User: user, Mailbox: mailbox, Limit: pageRows, ThreadCounts: true,
		Filter: store.ListFilter{
			Unseen: v.filter == "unread", Flagged: v.filter == "starred", Attachments: v.filter == "attachments",
		},
	}
	var err error
	if v.before != "" {
		l.Before, err = parseKey(v.before)
	} else if v.after != "" {
		l.After, err = parseKey(v.after)
	}
	return l, err
}

// formatKey writes a list position for an address: milliseconds and id.
func formatKey(k store.Key) string {
	var b [20]byte
	binary.BigEndian.PutUint64(b[:8], uint64(k.Date.UnixMilli()))
	copy(b[8:], k.ID[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func parseKey(s string) (*store.Key, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 20 {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "read list position", Err: err}
	}
	k := &store.Key{Date: time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]))).UTC()} //nolint:gosec // see formatKey
	copy(k.ID[:], b[8:])
	return k, nil
}

// listing is what the store said about a view.
type listing struct {
	view  view
	boxes []mail.Mailbox
	box   mail.Mailbox
	page  store.Page
	// since is the journal position from before the page was read, so that
	// nothing between the two is missed.
	since mail.ID
}

// load reads the mailboxes with their counters, the journal position and the
// page of rows; the first two at the same time.
func (p *pages) load(ctx context.Context, user mail.ID, v view) (*listing, error) {
	l := &listing{view: v}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { l.boxes, err = p.Store.Mailboxes(gctx, user); return err })
	g.Go(func() (err error) { l.since, err = p.Store.LastChange(gctx, user); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var err error
	if l.box, err = findBox(l.boxes, v.mailbox); err != nil {
		return nil, err
	}
	question, err := v.list(user, l.box.ID)
	if err != nil {
		return nil, err
	}
	if l.page, err = p.Store.Messages(ctx, question); err != nil {
		return nil, err
	}
	// Paging towards newer rows may end on a short first page: show the whole
	// first page instead of a stump. The same when all rows of a page have gone.
	stump := v.after != "" && !l.page.Newer && len(l.page.Messages) < pageRows
	if stump || v.before != "" && len(l.page.Messages) == 0 {
		l.view = v.at("", "")
		question.After, question.Before = nil, nil
		l.page, err = p.Store.Messages(ctx, question)
	}
	return l, err
}

// mailbox shows a list.
func (p *pages) mailbox(c echo.Context) error {
	if onlyToast(c) {
		return p.toast(c)
	}
	l, err := p.load(ctxOf(c), userOf(c).ID, viewOf(c))
	if err != nil {
		return err
	}
	vm := p.mailboxView(c, l, 0)
	return renderMailbox(c, vm)
}

// onlyToast reports a request of the script that wants nothing of the list.
func onlyToast(c echo.Context) bool {
	return fragment(c) == templates.FragmentToast || fragment(c) == templates.FragmentDraft
}

// toast answers with the news and the folders, after an action of the script.
func (p *pages) toast(c echo.Context) error {
	shell, err := p.shellOf(ctxOf(c), c, "")
	if err != nil {
		return err
	}
	// The script shows its page already; what it is called does not change.
	for i := range shell.Folders {
		shell.Folders[i].Current = shell.Folders[i].ID == c.Param("mailbox") || shell.Folders[i].Use == c.Param("mailbox")
	}
	return render(c, http.StatusOK, templates.ToastFragment(shell))
}

// mailboxView fills the view model of a list; open is the message in the reader, 0 for none.
func (p *pages) mailboxView(c echo.Context, l *listing, open mail.UID) templates.Mailbox {
	shell := p.shell(c, boxTitle(l.box), l.box.ID, l.boxes)
	shell.Live.Since = l.since.String()
	return templates.Mailbox{Shell: shell, List: listView(l, open)}
}

// boxTitle is a mailbox's name in the window title; the templates translate
// those with a use.
func boxTitle(b mail.Mailbox) string { return lastPart(b.Path) }

func listView(l *listing, open mail.UID) templates.List {
	id := l.box.ID.String()
	here := templates.MailboxURL(id) + l.view.query()
	out := templates.List{
		Mailbox: id, Name: lastPart(l.box.Path), Use: useWord(l.box),
		Total: l.box.Total, Unseen: l.box.Unseen, Here: here,
		Filter: l.view.filter, MoveTo: targets(l.boxes, l.box.ID), SelectAll: l.view.selectAll,
	}
	rows := l.page.Messages
	for i := range rows {
		row := rowView(&rows[i], out.Use, l.view.query())
		row.Open = rows[i].UID == open
		out.Rows = append(out.Rows, row)
	}
	if n := len(rows); n > 0 {
		if l.page.Newer {
			out.Newer = templates.MailboxURL(id) + l.view.at("", formatKey(store.KeyOf(&rows[0]))).query()
		}
		if l.page.Older {
			out.Older = templates.MailboxURL(id) + l.view.at(formatKey(store.KeyOf(&rows[n-1])), "").query()
		}
	}
	return out
}

// orderOf words a key so that texts compare as keys do, also before 1970.
func orderOf(k store.Key) string {
	return fmt.Sprintf("%016x%x", uint64(k.Date.UnixMilli())^1<<63, k.ID[:])
}

// rowView fills one row. In Sent and Drafts the row names the recipient.
func rowView(m *mail.Message, use, query string) templates.Row {
	box := m.Mailbox.String()
	row := templates.Row{
		Mailbox: box, UID: uint32(m.UID), Href: templates.MessageURL(box, uint32(m.UID)) + query,
		Name: m.From.Name, Address: m.From.Address,
		Draft: m.Has(mail.FlagDraft), Subject: m.Subject, Intro: m.Intro, Count: m.ThreadCount,
		Unread: m.Unseen(), Starred: m.Has(mail.FlagFlagged), Attachments: m.HasAttachments,
		Date: m.InternalDate, Order: orderOf(store.KeyOf(m)),
	}
	if use == "sent" || use == "drafts" {
		row.Name, row.Address = "", ""
		if len(m.To) > 0 {
			row.Name, row.Address = m.To[0].Name, m.To[0].Address
		}
	}
	return row
}

// rowHTML renders a row for the live socket, as it would stand in the list of
// its mailbox.
func (p *pages) rowHTML(ctx context.Context, c echo.Context, m *mail.Message, box mail.Mailbox) (string, error) {
	page, use := p.page(c, ""), useWord(box)
	var b strings.Builder
	err := templates.RowFragment(page, rowView(m, use, "")).Render(ctx, &b)
	return b.String(), err
}

// renderMailbox answers with the page or the part that the script asked for.
func renderMailbox(c echo.Context, vm templates.Mailbox) error {
	title(c, vm.Page)
	switch fragment(c) {
	case templates.FragmentMain:
		return render(c, http.StatusOK, templates.MailboxFragment(vm))
	case templates.FragmentList:
		return render(c, http.StatusOK, templates.ListFragment(vm))
	case templates.FragmentReader:
		return render(c, http.StatusOK, templates.ReaderFragment(vm))
	default:
		return render(c, http.StatusOK, templates.MailboxPage(vm))
	}
}
