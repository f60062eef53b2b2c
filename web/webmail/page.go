package webmail

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// page fills what every document needs, from the account's preferences or,
// for a visitor, from the browser's.
func (p *pages) page(c echo.Context, title string) templates.Page {
	page := p.plainPage(c)
	page.Title, page.CSRF = title, p.Guard.Token(c)
	return page
}

// plainPage is page without the token of forms.
func (p *pages) plainPage(c echo.Context) templates.Page {
	page := templates.Page{Nonce: nonce(c), Lang: templates.Match(c.Request().Header.Get("Accept-Language"))}
	zone := ""
	if s := session.Of(c); s != nil {
		p.personal(&page, s.User)
		zone = s.User.Preferences.Zone
	}
	page.Now = p.Now().In(p.zoneOf(c, zone))
	return page
}

// lang is the language of the page.
func (p *pages) lang(c echo.Context) string { return p.plainPage(c).Lang }

// personal puts the account's preferences over the browser's.
func (p *pages) personal(page *templates.Page, u mail.User) {
	if u.Language != "" {
		page.Lang = templates.Match(strings.ReplaceAll(u.Language, "_", "-"))
	}
	page.Theme, page.Density = u.Preferences.Theme, u.Preferences.Density
}

// zoneCookie is where the script leaves the browser's time zone.
const zoneCookie = "eider-zone"

// zoneOf is the account's zone, else the browser's, else the server's.
func (p *pages) zoneOf(c echo.Context, preferred string) *time.Location {
	if preferred == "" {
		if cookie, err := c.Cookie(zoneCookie); err == nil {
			preferred, _ = url.PathUnescape(cookie.Value)
		}
	}
	if l, ok := p.zone(preferred); ok {
		return l
	}
	return time.Local
}

// zone finds a time zone by its IANA name. Reading its file takes longer than
// the rest of a page's head, so zones are kept.
func (p *pages) zone(name string) (*time.Location, bool) {
	// One spelling each: a path has many.
	if name == "" || name == "Local" || len(name) > 64 || strings.Contains(name, ".") || strings.Contains(name, "//") {
		return nil, false
	}
	if l, ok := p.zones.Load(name); ok {
		found, ok := l.(*time.Location)
		return found, ok
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	p.zones.Store(name, l)
	return l, true
}

// shell fills the frame around a signed-in page. current is the mailbox that
// the page shows, zero for none.
func (p *pages) shell(c echo.Context, title string, current mail.ID, boxes []mail.Mailbox) templates.Shell {
	s := session.Of(c)
	box := ""
	if !current.IsZero() {
		box = current.String()
	}
	return templates.Shell{
		Search: true, SearchBox: box,
		Page: p.page(c, title),
		Name: s.User.Name, Address: s.User.Address,
		Folders: folders(boxes, current),
		Quota:   templates.Quota{Used: max(s.User.StorageUsed, 0), Limit: s.User.Quota},
		Toast:   p.takeToast(c, s),
		Live:    templates.Live{Token: p.Live.Token(s.ID)},
	}
}

// shellOf is shell with the mailboxes still to be read.
func (p *pages) shellOf(ctx context.Context, c echo.Context, title string) (templates.Shell, error) {
	boxes, err := p.Store.Mailboxes(ctx, session.Of(c).User.ID)
	if err != nil {
		return templates.Shell{}, err
	}
	return p.shell(c, title, mail.ID{}, boxes), nil //nolint:contextcheck // c carries the same context
}

// useWords are the templates' words for special uses.
var useWords = map[mail.SpecialUse]string{
	mail.UseSent: "sent", mail.UseTrash: "trash", mail.UseDrafts: "drafts",
	mail.UseJunk: "junk", mail.UseArchive: "archive",
}

// useWord is the templates' word for a mailbox's role, "" for a folder of the user's own.
func useWord(b mail.Mailbox) string {
	if b.Path == mail.Inbox {
		return "inbox"
	}
	return useWords[b.SpecialUse]
}

// folderOrder is the order of the sidebar's first part.
var folderOrder = []string{"inbox", "drafts", "sent", "archive", "junk", "trash"}

// folders lists the standard mailboxes in their fixed order, then the user's own.
func folders(boxes []mail.Mailbox, current mail.ID) []templates.Folder {
	byUse := map[string]templates.Folder{}
	var own []templates.Folder
	for _, b := range boxes {
		if b.Hidden {
			continue
		}
		f := templates.Folder{
			ID: b.ID.String(), Use: useWord(b), Name: lastPart(b.Path),
			Total: b.Total, Unseen: b.Unseen, Current: b.ID == current,
		}
		if f.Use != "" && byUse[f.Use].ID == "" {
			byUse[f.Use] = f
			continue
		}
		f.Use, f.Depth = "", strings.Count(b.Path, "/")
		own = append(own, f)
	}
	out := make([]templates.Folder, 0, len(boxes))
	for _, use := range folderOrder {
		if f, ok := byUse[use]; ok {
			out = append(out, f)
		}
	}
	return append(out, own...)
}

func lastPart(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

// targets are the folders that messages of the current one can be moved to.
func targets(boxes []mail.Mailbox, current mail.ID) []templates.Target {
	out := make([]templates.Target, 0, len(boxes))
	for _, b := range boxes {
		use := useWord(b)
		if b.ID == current || b.Hidden || use == "drafts" {
			continue
		}
		out = append(out, templates.Target{ID: b.ID.String(), Name: b.Path, Use: use})
	}
	return out
}

// findBox gives the mailbox that a path parameter names: an id, or a use word.
func findBox(boxes []mail.Mailbox, name string) (mail.Mailbox, error) {
	for _, b := range boxes {
		if name != "" && (b.ID.String() == name || useWord(b) == name) {
			return b, nil
		}
	}
	return mail.Mailbox{}, &mail.Error{Code: mail.CodeNoMailbox, Op: "open mailbox"}
}

// userOf is the signed-in account.
func userOf(c echo.Context) mail.User { return session.Of(c).User }

// sessionOf is the signed-in session.
func sessionOf(c echo.Context) *account.Session { return session.Of(c) }
