package webmail

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// searchCalls bounds how far one page searches.
const searchCalls = 20

// question is what the address bar says about a search.
type question struct {
	text string
	// box is the folder that the person came from, in the same one where only
	// that is searched.
	box, in       string
	before, after string
	selectAll     bool
}

func questionOf(c echo.Context) question {
	return question{
		text: strings.TrimSpace(c.QueryParam("q")), box: c.QueryParam("box"), in: c.QueryParam("in"),
		before: c.QueryParam("before"), after: c.QueryParam("after"), selectAll: c.QueryParam("select") == "all",
	}
}

func (q question) url() string { return templates.PathSearch + "?" + q.params() }

// params is the question as it stands in an address.
func (q question) params() string {
	v := url.Values{}
	for _, f := range []struct{ name, value string }{{"q", q.text}, {"box", q.box}, {"in", q.in}, {"before", q.before}, {"after", q.after}} {
		if f.value != "" {
			v.Set(f.name, f.value)
		}
	}
	return v.Encode()
}

// at is the question at another position.
func (q question) at(before, after string) question {
	q.before, q.after = before, after
	return q
}

// formatSearchKey writes a position for an address: milliseconds and two ids.
func formatSearchKey(k store.SearchKey) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(k.Date.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(append(b, k.Root[:]...), k.ID[:]...))
}

func parseSearchKey(s string) (*store.SearchKey, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // no position
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "read search position", Err: err}
	}
	k := &store.SearchKey{Date: time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]))).UTC()} //nolint:gosec // see formatSearchKey
	copy(k.Root[:], b[8:20])
	copy(k.ID[:], b[20:])
	return k, nil
}

// query is what is asked of the store. Trash and Junk are left out where nobody
// asked for a folder.
func (q question) query(now time.Time, boxes []mail.Mailbox) search.Query {
	parsed := search.People{Now: now, Zone: now.Location()}.Parse(q.text)
	out := search.And{parsed.Query}
	switch box, err := findBox(boxes, q.in); {
	case err == nil:
		out = append(out, search.In{Mailbox: box.ID})
	case !parsed.Place:
		out = append(out, search.Searchable{})
	}
	return out
}

// search shows what was found.
func (p *pages) search(c echo.Context) error {
	if onlyToast(c) {
		return p.toast(c)
	}
	ctx, user, q := ctxOf(c), userOf(c).ID, questionOf(c)
	boxes, err := p.Store.Mailboxes(ctx, user)
	if err != nil {
		return err
	}
	r, err := p.ask(ctx, user, q, p.plainPage(c).Now, boxes)
	if err != nil {
		return err
	}
	return renderMailbox(c, p.searchView(c, q, boxes, r))
}

// asked is a search and what it found.
type asked struct {
	query search.Query
	found store.Found
}

// ask searches, unless there is nothing to look for.
func (p *pages) ask(ctx context.Context, user mail.ID, q question, now time.Time, boxes []mail.Mailbox) (r asked, err error) {
	if q.text == "" {
		return r, nil
	}
	r.query = q.query(now, boxes)
	o := store.Search{User: user, Query: r.query, Limit: pageRows, ThreadCounts: true}
	if o.Before, err = parseSearchKey(q.before); err != nil {
		return r, err
	}
	if o.Before == nil {
		if o.After, err = parseSearchKey(q.after); err != nil {
			return r, err
		}
	}
	r.found, err = p.Store.SearchThrough(ctx, o, searchCalls)
	return r, err
}

// searchView fills the view model of a search.
func (p *pages) searchView(c echo.Context, q question, boxes []mail.Mailbox, r asked) templates.Mailbox {
	vm := templates.Mailbox{Shell: p.shell(c, "", mail.ID{}, boxes), List: q.list(boxes)}
	vm.Query, vm.SearchBox = q.text, vm.List.Search.Box
	if r.query != nil {
		q.results(&vm.List, &r.found, r.query, boxes)
	}
	return vm
}

// list is the page without results.
func (q question) list(boxes []mail.Mailbox) templates.List {
	out := templates.List{Mailbox: "inbox", Here: q.url(), Query: q.text, SelectAll: q.selectAll, MoveTo: targets(boxes, mail.ID{}), Search: &templates.Search{}}
	if box, err := findBox(boxes, q.box); err == nil {
		all, only := q.at("", ""), q.at("", "")
		all.in, only.in = "", q.box
		out.Search = &templates.Search{
			Folder: lastPart(box.Path), Use: useWord(box), InFolder: q.in != "", AllURL: all.url(), FolderURL: only.url(), Box: q.box, In: q.in,
		}
	}
	return out
}

func (q question) results(out *templates.List, found *store.Found, query search.Query, boxes []mail.Mailbox) {
	uses := make(map[mail.ID]string, len(boxes))
	for i := range boxes {
		uses[boxes[i].ID] = useWord(boxes[i])
	}
	out.Search.Indexing = found.Indexing
	for i := range found.Messages {
		m := &found.Messages[i]
		row := rowView(m, uses[m.Mailbox], "?"+q.params())
		row.SubjectParts = parts(query, search.InSubject, m.Subject)
		row.IntroParts = parts(query, search.InBody, m.Intro)
		out.Rows = append(out.Rows, row)
	}
	if found.Newer != nil {
		out.Newer = q.at("", formatSearchKey(*found.Newer)).url()
	}
	if found.Older != nil {
		out.Older = q.at(formatSearchKey(*found.Older), "").url()
	}
}

// parts cuts a text at what was searched for; nil where nothing is in it.
func parts(q search.Query, in search.Fields, text string) []templates.Part {
	spans := search.Highlights(q, in, text)
	if len(spans) == 0 {
		return nil
	}
	var out []templates.Part
	last := 0
	for _, s := range spans {
		if s.From > last {
			out = append(out, templates.Part{Text: text[last:s.From]})
		}
		out = append(out, templates.Part{Text: text[s.From:s.To], Hit: true})
		last = s.To
	}
	if last < len(text) {
		out = append(out, templates.Part{Text: text[last:]})
	}
	return out
}
