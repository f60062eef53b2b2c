package templates

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"golang.org/x/net/html"

	"github.com/eidermail/eider/static"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parsed(t *testing.T, text string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func has(n *html.Node, name string) bool {
	_, ok := attr(n, name)
	return ok
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// TestPagesKeepTheContentPolicy reads every page back, with friendly and with
// hostile words in it.
func TestPagesKeepTheContentPolicy(t *testing.T) {
	for _, lang := range []string{"en", "de", "ru", "ar", "xx"} {
		p := samplePage()
		p.Lang = lang
		for _, s := range slices.Concat(pages(p), hostilePages(p)) {
			t.Run(lang+"/"+s.name, func(t *testing.T) { checkPage(t, render(t, s.page)) })
		}
	}
}

func checkPage(t *testing.T, text string) {
	t.Helper()
	nodes := parsed(t, text)
	ids, labelled := map[string]bool{}, map[string]bool{}
	for _, n := range nodes {
		if id, ok := attr(n, "id"); ok {
			if ids[id] || id == "" {
				t.Errorf("id %q twice or empty", id)
			}
			ids[id] = true
		}
		if target, ok := attr(n, "for"); ok && n.Data == "label" {
			labelled[target] = true
		}
	}
	for _, n := range nodes {
		checkSafety(t, n)
		checkNames(t, n, labelled)
		for _, name := range []string{"aria-describedby", "aria-labelledby", "form"} {
			if id, ok := attr(n, name); ok && !ids[id] {
				t.Errorf("<%s %s=%q> names nothing", n.Data, name, id)
			}
		}
		if href, ok := attr(n, "href"); ok && n.Data == "use" && !ids[strings.TrimPrefix(href, "#")] {
			t.Errorf("icon %s is not in the sprite", href)
		}
	}
}

// ours reports a script that static serves.
func ours(src string) bool {
	return slices.ContainsFunc([]string{appScript, visitScript, passkeyScript}, func(name string) bool { return src == static.URL(name) })
}

func checkSafety(t *testing.T, n *html.Node) {
	t.Helper()
	for _, a := range n.Attr {
		switch {
		case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
			t.Errorf("<%s> has %s", n.Data, a.Key)
		case a.Key == "srcdoc":
			t.Errorf("<%s> has srcdoc", n.Data)
		case slices.Contains([]string{"href", "src", "action", "formaction"}, a.Key):
			checkLink(t, n, a.Val)
		}
	}
	switch n.Data {
	case "script":
		nonce, _ := attr(n, "nonce")
		if src, _ := attr(n, "src"); nonce == "" || !ours(src) || n.FirstChild != nil {
			t.Errorf("script %v", n.Attr)
		}
	case "style", "img", "base", "object", "embed":
		t.Errorf("<%s> in a page", n.Data)
	case "iframe":
		if s, _ := attr(n, "sandbox"); strings.Contains(s, "same-origin") || !has(n, "sandbox") || !has(n, "title") {
			t.Errorf("frame %v", n.Attr)
		}
	case "form":
		checkForm(t, n)
	}
}

func checkLink(t *testing.T, n *html.Node, link string) {
	t.Helper()
	u, err := url.Parse(link)
	switch {
	case err != nil:
		t.Errorf("<%s> link %q: %v", n.Data, link, err)
	case u.Scheme == "" && u.Host == "" && !strings.HasPrefix(link, "//") && !strings.HasPrefix(link, "/\\"):
	case n.Data == "a" && (u.Scheme == "https" || u.Scheme == "http"):
		if rel, _ := attr(n, "rel"); !strings.Contains(rel, "noopener") || !strings.Contains(rel, "noreferrer") {
			t.Errorf("link away %q with rel %q", link, rel)
		}
	default:
		t.Errorf("<%s> link %q", n.Data, link)
	}
}

func checkForm(t *testing.T, n *html.Node) {
	t.Helper()
	if method, _ := attr(n, "method"); method != "post" {
		return
	}
	for d := range n.Descendants() {
		if name, _ := attr(d, "name"); name == "csrf" && d.Data == "input" {
			return
		}
	}
	t.Errorf("form %v has no csrf field", n.Attr)
}

// checkNames wants a name for everything that one can use.
func checkNames(t *testing.T, n *html.Node, labelled map[string]bool) {
	t.Helper()
	kind, _ := attr(n, "type")
	id, _ := attr(n, "id")
	label, _ := attr(n, "aria-label")
	inLabel := n.Parent != nil && n.Parent.Data == "label"
	switch n.Data {
	case "input", "select", "textarea", "meter":
		if kind != "hidden" && label == "" && !labelled[id] && !inLabel {
			t.Errorf("<%s %v> has no label", n.Data, n.Attr)
		}
	case "button", "a", "summary":
		if hiddenFrom, _ := attr(n, "aria-hidden"); label == "" && textOf(n) == "" && hiddenFrom != "true" && !has(n, "hidden") {
			t.Errorf("<%s %v> has no name", n.Data, n.Attr)
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	for _, s := range hostilePages(samplePage()) {
		text := render(t, s.page)
		if strings.Contains(text, "<script>alert") || strings.Contains(text, "onerror=alert(2)>") && !strings.Contains(text, "&lt;img") {
			t.Errorf("%s: hostile markup came through", s.name)
		}
		if !strings.Contains(text, "&lt;script&gt;") {
			t.Errorf("%s: the hostile text is missing", s.name)
		}
	}
}

func TestWeight(t *testing.T) {
	p := samplePage()
	m := sampleMailbox(p, false)
	rows := m.List.Rows
	m.List.Rows = nil
	for i := range 50 {
		r := rows[i%len(rows)]
		r.UID = uint32(1000 - i)
		r.Subject, r.Intro = fmt.Sprintf("%s %d", r.Subject, i*7919), fmt.Sprintf("%d %s", i*104729, r.Intro)
		m.List.Rows = append(m.List.Rows, r)
	}
	mailbox := render(t, MailboxPage(m))
	signin := render(t, SignInPage(SignIn{Page: p, Register: true}))
	shared := 15_000 + 25_000 + 1_000 // the limits that the static tests hold css, script and icon to
	for _, c := range []struct {
		name, text   string
		limit, nodes int
	}{{"mailbox", mailbox, 70_000 - shared, 1500}, {"signin", signin, 3_000, 100}} {
		size, nodes := zipped(t, c.text), len(parsed(t, c.text))
		t.Logf("%s: %d bytes, %d compressed, %d elements", c.name, len(c.text), size, nodes)
		if size > c.limit || nodes > c.nodes {
			t.Errorf("%s: %d bytes compressed (limit %d), %d elements (limit %d)", c.name, size, c.limit, nodes, c.nodes)
		}
	}
}

func zipped(t *testing.T, text string) int {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

func TestFragmentsHaveTheirRegions(t *testing.T) {
	m := sampleMailbox(samplePage(), true)
	for _, c := range []struct {
		name string
		page templ.Component
		want []string
	}{
		{FragmentMain, MailboxFragment(m), []string{"sidebar", "tt", "search-box", "list", "reader", "dock", "toast"}},
		{FragmentList, ListFragment(m), []string{"list", "sidebar", "tt", "toast"}},
		{FragmentReader, ReaderFragment(m), []string{"reader", "dock", "toast"}},
		{FragmentToast, ToastFragment(m.Shell), []string{"toast", "sidebar"}},
		{FragmentCompose, ComposeFragment(m.Page, sampleCompose()), []string{"compose"}},
		{FragmentDraft, DraftFragment(m.Page, sampleCompose()), []string{"compose-state"}},
		{"row", RowFragment(m.Page, m.List.Rows[0]), []string{"m-a1-900"}},
	} {
		var got []string
		for _, n := range parsed(t, render(t, c.page)) {
			if id, ok := attr(n, "id"); ok && n.Parent.Data == "body" {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: regions %v, want %v", c.name, got, c.want)
		}
	}
	// The regions of a page and of a fragment are the same bytes.
	page := render(t, MailboxPage(m))
	if !strings.Contains(page, render(t, readerPane(m))) || !strings.Contains(page, render(t, list(m))) {
		t.Error("a fragment differs from its page")
	}
}
