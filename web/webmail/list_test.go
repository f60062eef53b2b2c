package webmail_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/templates"
)

var (
	rowID = regexp.MustCompile(`id="m-[0-9a-f]{24}-([0-9]+)"`)
	links = regexp.MustCompile(`href="(/mail/[^"]*(?:before|after)=[^"]*)"`)
)

func rows(a *answer) (out []string) {
	for _, m := range rowID.FindAllStringSubmatch(a.body, -1) {
		out = append(out, m[1])
	}
	return out
}

// pageLink finds a link to another page, not to a message on it.
func pageLink(a *answer, word string) string {
	for _, m := range links.FindAllStringSubmatch(a.body, -1) {
		link := html.UnescapeString(m[1])
		u, err := url.Parse(link)
		if err == nil && u.Query().Get(word) != "" && u.Query().Get("select") == "" && strings.Count(u.Path, "/") == 2 {
			return link
		}
	}
	return ""
}

func TestPaging(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	start := time.Now().Add(-time.Hour)
	for i := range 120 {
		flags := []mail.Flag{}
		if i%2 == 0 {
			flags = append(flags, mail.FlagSeen)
		}
		// Several share a moment, which the key has to tell apart.
		w.putAt(u, start.Add(time.Duration(i/3)*time.Second), text(fmt.Sprintf("m%d", i)), flags...)
	}
	b := w.browser(u)
	for _, filter := range []string{"", "?filter=unread"} {
		total, page := 120, b.get("/mail/inbox"+filter).is(http.StatusOK)
		if filter != "" {
			total = 60
		}
		if pageLink(page, "after") != "" {
			t.Error("the first page links to newer ones")
		}
		var seen []string
		var pages []*answer
		for {
			seen = append(seen, rows(page)...)
			pages = append(pages, page)
			next := pageLink(page, "before")
			if next == "" {
				break
			}
			if filter != "" && !strings.Contains(next, "filter=unread") {
				t.Errorf("the filter got lost: %s", next)
			}
			if len(pages) > 5 {
				t.Fatal("paging does not end")
			}
			page = b.get(next).is(http.StatusOK)
		}
		if len(seen) != total || len(rows(pages[0])) != 50 {
			t.Fatalf("%q: %d rows on %d pages", filter, len(seen), len(pages))
		}
		unique := map[string]bool{}
		for _, id := range seen {
			unique[id] = true
		}
		if len(unique) != total {
			t.Errorf("%q: %d rows of %d are different", filter, len(unique), total)
		}
		// And back again, to the same pages.
		for i := len(pages) - 2; i >= 0; i-- {
			page = b.get(pageLink(page, "after")).is(http.StatusOK)
			if i > 0 && strings.Join(rows(page), " ") != strings.Join(rows(pages[i]), " ") {
				t.Errorf("%q: page %d differs on the way back", filter, i)
			}
		}
		if got := rows(page); strings.Join(got, " ") != strings.Join(rows(pages[0]), " ") {
			t.Errorf("%q: the way back does not end on the first page: %d rows", filter, len(got))
		}
	}
}

func TestPagesThatHaveGone(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for i := range 51 {
		w.put(u, text(fmt.Sprintf("m%d", i)))
	}
	b := w.browser(u)
	first := b.get("/mail/inbox")
	older := pageLink(first, "before")
	last := b.get(older)
	if len(rows(last)) != 1 {
		t.Fatalf("%d rows", len(rows(last)))
	}
	inbox := w.box(u, mail.UseNone)
	b.post("/mail/inbox", "do", "delete", "id", inbox.ID.String()+"-"+rows(last)[0]).is(http.StatusSeeOther)
	if got := b.get(older).is(http.StatusOK); len(rows(got)) != 50 {
		t.Errorf("%d rows on the page that has gone", len(rows(got)))
	}
}

func TestVirtualNames(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for word, use := range map[string]mail.SpecialUse{
		"inbox": mail.UseNone, "sent": mail.UseSent, "drafts": mail.UseDrafts, "junk": mail.UseJunk, "trash": mail.UseTrash,
	} {
		box := w.box(u, use)
		b.get("/mail/" + word).is(http.StatusOK).has(`data-mailbox="` + box.ID.String() + `"`)
		b.get("/mail/" + box.ID.String()).is(http.StatusOK)
	}
	b.get("/mail/starred").is(http.StatusNotFound)
	b.get("/mail/inbox").lacks(`data-use="starred"`)
	// Another account's mailbox is none.
	other := w.box(w.user("berta"), mail.UseNone)
	b.get("/mail/" + other.ID.String()).is(http.StatusNotFound)
}

func TestFilters(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, text("plain"), mail.FlagSeen)
	w.put(u, text("fresh"))
	w.put(u, text("liked"), mail.FlagFlagged, mail.FlagSeen)
	w.put(u, withFile("filed", "a.txt", "text/plain", "hello"), mail.FlagSeen)
	b := w.browser(u)
	for filter, want := range map[string]string{"unread": "fresh", "starred": "liked", "attachments": "filed"} {
		a := b.get("/mail/inbox?filter=" + filter).is(http.StatusOK).has(want)
		if len(rows(a)) != 1 {
			t.Errorf("%s: %d rows", filter, len(rows(a)))
		}
	}
	if a := b.get("/mail/inbox?filter=other"); len(rows(a)) != 4 {
		t.Errorf("%d rows for a filter that is none", len(rows(a)))
	}
}

func TestFragments(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	m := w.put(u, text("one"))
	b := w.browser(u)
	for name, ids := range map[string][]string{
		"main":   {"sidebar", "list", "reader", "dock", "toast"},
		"list":   {"list", "sidebar", "toast"},
		"reader": {"reader", "dock", "toast"},
		"toast":  {"toast", "sidebar"},
		"draft":  {"toast", "sidebar"},
	} {
		for _, path := range []string{"/mail/inbox", at(m)} {
			a := b.get(path, "Eider-Fragment", name).is(http.StatusOK).lacks("<html", "<!doctype", "<!DOCTYPE")
			var got []string
			for _, id := range regexp.MustCompile(`id="(sidebar|list|reader|dock|toast)"`).FindAllStringSubmatch(a.body, -1) {
				got = append(got, id[1])
			}
			for _, id := range ids {
				if !strings.Contains(" "+strings.Join(got, " ")+" ", " "+id+" ") {
					t.Errorf("%s of %s lacks #%s: %v", name, path, id, got)
				}
			}
			if len(got) != len(ids) {
				t.Errorf("%s of %s has %v, want %v", name, path, got, ids)
			}
			if !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Eider-Fragment") {
				t.Errorf("%s: no Vary", name)
			}
			title := a.Header.Get("Eider-Title")
			if name == "toast" || name == "draft" {
				continue
			}
			if text, err := url.PathUnescape(title); err != nil || !strings.HasSuffix(text, "Eider") {
				t.Errorf("%s: title %q", name, title)
			}
		}
	}
	b.get("/mail/inbox", "Eider-Fragment", "other").is(http.StatusOK).has("<html")
	if a := b.get(at(m), "Eider-Fragment", "reader"); a.Header.Get("Eider-Title") != url.PathEscape("one – Eider") {
		t.Errorf("title %q", a.Header.Get("Eider-Title"))
	}
	w.visitor().get("/mail/inbox", "Eider-Fragment", "list").is(http.StatusSeeOther)
}

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

// harmless parses a page as a browser does and looks for what must not be there.
func harmless(t *testing.T, a *answer) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attrs := map[string]string{}
		for _, at := range n.Attr {
			attrs[at.Key] = at.Val
			if strings.HasPrefix(at.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(at.Val)), "javascript:") {
				t.Errorf("%s: <%s %s=%q>", a.Request.URL.Path, n.Data, at.Key, at.Val)
			}
		}
		if n.Data == "script" && attrs["nonce"] == "" || n.Data == "img" && attrs["src"] == "x" {
			t.Errorf("%s: <%s %v>", a.Request.URL.Path, n.Data, attrs)
		}
	}
}

func TestHostileWords(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	if err := w.store.SetName(t.Context(), u.ID, hostile); err != nil {
		t.Fatal(err)
	}
	box, err := w.store.CreateMailbox(t.Context(), u.ID, `own "><script>alert(1)`, mail.UseNone)
	if err != nil {
		t.Fatal(err)
	}
	raw := "From: \"\\\"><script>alert(1)</script>\" <\"\\\"><script>\"@other.example>\nTo: \"" + "\\\"><script>" + "\" <anna@eider.example>\n" +
		"Subject: " + hostile + "\nX-Odd: " + hostile + "\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\n" + hostile + " javascript:alert(1)\n--b\nContent-Type: text/html; name=\"x\\\"><script>.html\"\n" +
		"Content-Disposition: attachment; filename=\"x\\\"><script>alert(1)</script>.html\"\n\n" + hostile + "\n--b--\n"
	m := w.put(u, raw)
	b := w.browser(u)
	r := templates.Ref(m.Mailbox.String(), uint32(m.UID))
	for _, path := range []string{
		"/mail/inbox", "/mail/" + box.ID.String(), at(m), at(m) + "/headers", at(m) + "/source", at(m) + "?text=1",
		"/compose?action=reply&ref=" + r, "/compose?action=forward&ref=" + r, "/compose?action=attach&ref=" + r, "/compose?action=rewrite&ref=" + r, "/settings/profile", "/shortcuts?back=" + url.QueryEscape("/"+hostile),
		"/compose?to=" + url.QueryEscape(hostile) + "&subject=" + url.QueryEscape(hostile) + "&body=" + url.QueryEscape("</textarea>"+hostile),
		"/mail/inbox?filter=" + url.QueryEscape(hostile), "/mail/" + url.PathEscape(hostile),
	} {
		harmless(t, b.get(path))
	}
	harmless(t, w.visitor().get("/signin?next="+url.QueryEscape("/"+hostile)))
	harmless(t, b.post("/compose", "do", "send", "to", hostile, "subject", hostile, "text", hostile).is(http.StatusUnprocessableEntity))
}

func withFile(subject, name, kind, data string) string {
	return "From: Berta <berta@other.example>\nTo: anna@eider.example\nSubject: " + subject + "\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nSee the file.\n--b\nContent-Type: " + kind +
		"\nContent-Disposition: attachment; filename=\"" + name + "\"\n\n" + data + "\n--b--\n"
}
