package webmail_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

func searchURL(q string, more ...string) string {
	v := url.Values{"q": {q}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return "/search?" + v.Encode()
}

func TestSearchPage(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, text("Quarterly report"))
	w.put(u, text("La Crème brûlée"), mail.FlagSeen)
	w.put(u, text("北京大学"))
	b := w.browser(u)
	for q, want := range map[string]int{
		"creme": 1, "report": 1, "subject:rep*": 1, "大学": 1, "is:unread": 2, "-report": 2, "report OR creme": 2, "nothinglikethis": 0, "in:trash": 0,
	} {
		page := b.get(searchURL(q)).is(http.StatusOK)
		if got := len(rows(page)); got != want {
			t.Errorf("%s: %d rows, want %d", q, got, want)
		}
		if !strings.Contains(page.body, `value="`+html.EscapeString(q)+`"`) {
			t.Errorf("%s: the box forgot the query", q)
		}
	}
	if page := b.get(searchURL("creme brulee")); !strings.Contains(page.body, "La <mark>Crème</mark> <mark>brûlée</mark>") {
		t.Error("what was searched for is not marked")
	}
	if page := b.get(searchURL("<b>x")); strings.Contains(page.body, "<b>x") {
		t.Error("the query is not escaped")
	}
	if page := b.get("/search").is(http.StatusOK); !strings.Contains(page.body, `name="q"`) || len(rows(page)) != 0 {
		t.Error("a search page without a query")
	}
	b.get(searchURL("report", "before", "x")).is(http.StatusBadRequest)
}

func TestSearchInFolder(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, text("one report"))
	box := w.box(u, "").ID.String()
	trash := w.box(u, mail.UseTrash).ID.String()
	b := w.browser(u)
	if n := len(rows(b.get(searchURL("report", "box", trash, "in", trash)))); n != 0 {
		t.Errorf("%d rows in Trash", n)
	}
	page := b.get(searchURL("report", "box", box, "in", box)).is(http.StatusOK)
	if len(rows(page)) != 1 || strings.Count(page.body, `aria-current="true"`) == 0 {
		t.Error("a search in the inbox")
	}
	if list := b.get("/mail/inbox"); !strings.Contains(list.body, `name="box" value="`+box+`"`) {
		t.Error("the search box does not say which folder is shown")
	}
}

// TestSearchBoxFollowsTheFolder: the script changes folders without the header.
func TestSearchBoxFollowsTheFolder(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for _, use := range []mail.SpecialUse{mail.UseSent, mail.UseTrash} {
		id := w.box(u, use).ID.String()
		main := b.get("/mail/"+id, "Eider-Fragment", "main").is(http.StatusOK)
		if !strings.Contains(main.body, `id="search-box" name="box" value="`+id+`"`) {
			t.Errorf("%s: the part for the script does not say in which folder a search is", use)
		}
	}
	if found := b.get(searchURL("x"), "Eider-Fragment", "main"); !strings.Contains(found.body, `id="search-box" name="box" value="" disabled`) {
		t.Error("a search in all folders leaves the last folder in the header")
	}
}

// TestFoundMessageKeepsItsSearch: without script a message that was found is shown
// beside what was found, and its neighbours are those of the search.
func TestFoundMessageKeepsItsSearch(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, text("first report"))
	w.put(u, text("something else"))
	w.put(u, text("second report"))
	w.put(u, text("something else again"))
	w.put(u, text("third report"))
	b := w.browser(u)
	list := b.get(searchURL("is:unread report"))
	links := linksToFound(list)
	if len(links) != 3 {
		t.Fatalf("%d links to messages that were found: %v", len(links), links)
	}
	page := b.get(links[1]).is(http.StatusOK)
	if got, want := rows(page), rows(list); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("beside the message are %v, want what was found: %v", got, want)
	}
	if !strings.Contains(page.body, `value="is:unread report"`) || !strings.Contains(page.body, `data-back="`+html.EscapeString(searchURL("is:unread report"))+`"`) {
		t.Error("the message does not lead back to the search")
	}
	for rel, link := range map[string]string{"newer": links[0], "older": links[2]} {
		if !strings.Contains(page.body, `href="`+html.EscapeString(link)+`" data-nav="reader"`) {
			t.Errorf("the %s neighbour is not %s", rel, link)
		}
	}
	if got := strings.Count(page.body, `class="row unread`); got != 2 {
		t.Errorf("%d rows are unread, want the two that were not opened", got)
	}
	if n := len(rows(b.get(searchURL("is:unread report")))); n != 2 {
		t.Errorf("%d unread after one was opened", n)
	}
	reader := b.get(links[2], "Eider-Fragment", "reader").is(http.StatusOK)
	if !strings.Contains(reader.body, "first report") || strings.Contains(reader.body, "something else") {
		t.Error("the part for the script is not the message that was found")
	}
	b.get(strings.Replace(links[0], "/mail/", "/mail/x", 1)).is(http.StatusNotFound)
}

// linksToFound are the rows' links, each once.
func linksToFound(a *answer) (out []string) {
	for _, part := range strings.Split(a.body, `href="/mail/`)[1:] {
		link := html.UnescapeString("/mail/" + part[:strings.IndexByte(part, '"')])
		if strings.Contains(link, "q=") && !slices.Contains(out, link) {
			out = append(out, link)
		}
	}
	return out
}

// TestOlderMailNotSearchedYet: where one page may not search far enough to find
// anything it says so, and goes on from there.
func TestOlderMailNotSearchedYet(t *testing.T) {
	w := newWorldOn(t, func(o *store.Options) { o.SearchBudget = 1 })
	u := w.user("anna")
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.putAt(u, at, strings.Replace(text("oldest"), "24 Nov 2026", "24 Nov 2025", 1))
	for i := range 30 {
		w.putAt(u, at.Add(time.Duration(i+1)*time.Hour), text(fmt.Sprintf("m%d", i)))
	}
	b := w.browser(u)
	// No index holds dates, so that each message is read, one in a call.
	if n := len(rows(b.get(searchURL("header:date=2026")).is(http.StatusOK))); n == 0 || n >= 30 {
		t.Errorf("%d rows on a page that may look at some twenty", n)
	}
	page := b.get(searchURL("header:date=2025")).is(http.StatusOK)
	if len(rows(page)) != 0 || !strings.Contains(page.body, "Older mail has not been searched yet.") {
		t.Fatalf("%d rows; the page does not say that it stopped early", len(rows(page)))
	}
	for range 5 {
		next := linkTo(page, "before")
		if next == "" {
			break
		}
		page = b.get(next).is(http.StatusOK)
	}
	if got := rows(page); len(got) != 1 || linkTo(page, "before") != "" {
		t.Errorf("the last page has %v, next %q", got, linkTo(page, "before"))
	}
	if strings.Contains(page.body, "Older mail has not been searched yet.") {
		t.Error("the last page says that there is more")
	}
}

func TestSearchPaging(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for i := range 70 {
		w.put(u, text(fmt.Sprintf("report %d", i)))
	}
	b := w.browser(u)
	page := b.get(searchURL("report"))
	first := rows(page)
	next := linkTo(page, "before")
	if len(first) != 50 || next == "" {
		t.Fatalf("%d rows, next %q", len(first), next)
	}
	page = b.get(next).is(http.StatusOK)
	if len(rows(page)) != 20 || linkTo(page, "before") != "" {
		t.Errorf("%d rows on the last page", len(rows(page)))
	}
	if back := rows(b.get(linkTo(page, "after"))); strings.Join(back, " ") != strings.Join(first, " ") {
		t.Error("the way back gives another page")
	}
}

// linkTo finds a link of a search to another position.
func linkTo(a *answer, word string) string {
	for _, part := range strings.Split(a.body, `href="`)[1:] {
		link := html.UnescapeString(part[:strings.IndexByte(part, '"')])
		if u, err := url.Parse(link); err == nil && u.Path == "/search" && u.Query().Get(word) != "" && u.Query().Get("select") == "" {
			return link
		}
	}
	return ""
}
