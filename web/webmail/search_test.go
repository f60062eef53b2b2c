package webmail_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail"
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
