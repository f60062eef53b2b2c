package webmail_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/static"
	"github.com/eidermail/eider/templates"
)

var policy = regexp.MustCompile(`^default-src 'none'; script-src 'nonce-([A-Za-z0-9+/]{22})' 'strict-dynamic'; ` +
	`style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; ` +
	`form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; ` +
	`require-trusted-types-for 'script'; trusted-types eider$`)

// appHeaders checks what every answer of the app has and gives the nonce.
func appHeaders(t *testing.T, what string, a *answer) string {
	t.Helper()
	m := policy.FindStringSubmatch(a.Header.Get("Content-Security-Policy"))
	if m == nil {
		t.Errorf("%s: policy %q", what, a.Header.Get("Content-Security-Policy"))
		return ""
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "private, no-cache",
	} {
		if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if a.Header.Get("Permissions-Policy") == "" || a.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: headers missing", what)
	}
	return m[1]
}

func TestHeadersEverywhere(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	m := w.put(u, text("one"))
	b, visitor := w.browser(u), w.visitor()
	nonces := map[string]bool{}
	for what, a := range map[string]*answer{
		"home":        b.get("/"),
		"inbox":       b.get("/mail/inbox"),
		"message":     b.get(at(m)),
		"headers":     b.get(at(m) + "/headers"),
		"source":      b.get(at(m) + "/source"),
		"compose":     b.get("/compose"),
		"profile":     b.get("/settings/profile"),
		"shortcuts":   b.get("/shortcuts"),
		"sign-in":     visitor.get("/signin"),
		"register":    visitor.get("/register"),
		"redirect":    visitor.get("/mail/inbox"),
		"no page":     b.get("/nowhere"),
		"no mailbox":  b.get("/mail/none"),
		"no message":  b.get("/mail/inbox/77"),
		"bad place":   b.get("/mail/inbox?before=x"),
		"method":      b.do(http.MethodDelete, "/mail/inbox", "", nil),
		"forged":      visitor.post("/signin"),
		"after post":  b.post("/mail/inbox", "do", "star", "id", ref(m)),
		"fragment":    b.get("/mail/inbox", "Eider-Fragment", "list"),
		"favicon":     b.get("/favicon.ico"),
		"robots":      b.get("/robots.txt"),
		"head":        b.do(http.MethodHead, "/mail/inbox", "", nil),
		"head, no":    b.do(http.MethodHead, "/mail/inbox/77", "", nil),
		"live, plain": b.get("/live"),
	} {
		nonce := appHeaders(t, what, a)
		if nonces[nonce] {
			t.Errorf("%s: the nonce came twice", what)
		}
		nonces[nonce] = true
	}
	page := b.get("/mail/inbox")
	nonce := appHeaders(t, "inbox", page)
	if !strings.Contains(strings.ReplaceAll(page.body, "&#43;", "+"), `nonce="`+nonce+`"`) {
		t.Error("the page does not carry its nonce")
	}
	if page.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS without TLS")
	}
}

func TestErrorPages(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.user("anna"))
	for path, status := range map[string]int{
		"/nowhere": 404, "/mail/starred": 404, "/mail/": 404, "/mail/inbox/0": 404, "/mail/inbox/x": 404, "/mail/inbox/99999999999": 404,
		"/mail/inbox?before=x": 400, "/mail/inbox/1/frame": 400, "/mail/aaaaaaaaaaaaaaaaaaaaaaaa/1/frame": 404,
		"/mail/aaaaaaaaaaaaaaaaaaaaaaaa/1/attachments/ATT00001": 404, "/mail/aaaaaaaaaaaaaaaaaaaaaaaa/1/message.eml": 404,
		"/compose?action=reply&ref=x": 400, "/compose?action=dance&ref=aaaaaaaaaaaaaaaaaaaaaaaa-1": 400,
		"/compose?action=edit&ref=aaaaaaaaaaaaaaaaaaaaaaaa-1": 404,
	} {
		b.get(path).is(status).lacks("Something broke", "mail.Error", "no such mailbox")
	}
	// An error page has no form and gives a visitor no cookie.
	if a := w.visitor().get("/nowhere").is(http.StatusNotFound); len(a.Cookies()) > 0 {
		t.Errorf("cookies %v", a.Cookies())
	}
}

func TestHead(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	m := w.put(u, text("one"))
	b := w.browser(u)
	for _, path := range []string{"/mail/inbox", at(m), at(m) + "/message.eml", "/compose", "/settings/profile", static.URL("app.css")} {
		if a := b.do(http.MethodHead, path, "", nil).is(http.StatusOK); a.body != "" {
			t.Errorf("%s has a body", path)
		}
	}
	if w.row(u, m.Mailbox, m.UID).Has("\\Seen") {
		t.Error("HEAD marked the message read")
	}
}

func TestCompression(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.user("anna"))
	a := b.get("/mail/inbox", "Accept-Encoding", "gzip").is(http.StatusOK)
	if a.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	r, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(plain), "</html>") {
		t.Errorf("%v, %d bytes", err, len(plain))
	}
	if vary := strings.Join(a.Header.Values("Vary"), ","); !strings.Contains(vary, templates.FragmentHeader) || !strings.Contains(vary, "Accept-Encoding") {
		t.Errorf("Vary %q", vary)
	}
}

func TestBodyLimits(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	big := strings.Repeat("x", 300<<10)
	a := b.post("/mail/inbox", "do", "read", "pad", big).is(http.StatusRequestEntityTooLarge)
	a.has("This is too big")
	// Without a length the reader finds out.
	body := io.MultiReader(strings.NewReader("csrf="+b.csrf+"&pad="), strings.NewReader(big))
	b.do(http.MethodPost, "/mail/inbox", "application/x-www-form-urlencoded", body).is(http.StatusRequestEntityTooLarge)
	// A message may be bigger, up to its own limit.
	b.post("/compose", "do", "save", "subject", "big", "text", big).is(http.StatusSeeOther)
	b.upload("/compose", []file{{"a.bin", "application/octet-stream", strings.Repeat("y", 3<<20)}}, nil, "do", "save").is(http.StatusRequestEntityTooLarge)
	// But not for somebody without a session.
	v := w.visitor()
	v.get("/signin")
	v.upload("/compose", []file{{"a.bin", "application/octet-stream", strings.Repeat("y", 300<<10)}}, nil).is(http.StatusRequestEntityTooLarge)
	b.do(http.MethodPost, "/compose", "multipart/form-data; boundary=x", strings.NewReader("--x\r\nbroken")).is(http.StatusBadRequest)
}

func TestUploadsLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	w := newWorld(t)
	b := w.browser(w.user("anna"))
	data := strings.Repeat("z", 700<<10)
	files := []file{{"a.bin", "application/octet-stream", data}, {"b.bin", "application/octet-stream", data}}
	b.upload("/compose", files, nil, "do", "save").is(http.StatusSeeOther)
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "multipart") {
			t.Errorf("left behind: %s", f.Name())
		}
	}
}
