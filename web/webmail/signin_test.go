package webmail_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/web/webmail"
)

const password = "correct horse battery staple"

func registered(t *testing.T, w *world) *browser {
	t.Helper()
	b := w.visitor()
	b.get("/register").is(http.StatusOK).has("eider.example")
	b.post("/register", "name", "Anna", "username", "anna", "domain", "eider.example", "password", password).to("/mail/inbox")
	return b
}

func cookie(a *answer, name string) *http.Cookie {
	for _, c := range a.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestVisit(t *testing.T) {
	w := newWorld(t)
	b := registered(t, w)
	b.get("/mail/inbox").is(http.StatusOK).has("anna@eider.example", "Nothing here yet")
	b.get("/signin").to("/mail/inbox")
	b.get("/register").to("/mail/inbox")
	out := b.post("/signout").to("/signed-out")
	if !strings.Contains(out.Header.Get("Clear-Site-Data"), "cache") {
		t.Error("signing out leaves the cache")
	}
	b.follow(out).is(http.StatusOK).has("You are signed out")
	b.get("/mail/inbox?filter=unread").to("/signin?next=" + url.QueryEscape("/mail/inbox?filter=unread"))

	b.get("/signin?next=/mail/inbox").is(http.StatusOK).has(`name="next" value="/mail/inbox"`)
	wrong := b.post("/signin", "username", "anna", "password", "wrong", "next", "/compose").is(http.StatusUnprocessableEntity)
	wrong.has("do not match", `value="anna"`, `name="next" value="/compose"`)
	unknown := b.post("/signin", "username", "nobody", "password", "wrong").is(http.StatusUnprocessableEntity)
	unknown.has("do not match")

	in := b.post("/signin", "username", "anna@eider.example", "password", password, "remember", "1", "next", "/compose").to("/compose")
	c := cookie(in, "eider")
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge < 86400 || c.Secure {
		t.Errorf("cookie %+v", c)
	}
}

func TestSessionCookieForTheWindow(t *testing.T) {
	w := newTLSWorld(t)
	b := w.visitor()
	a := b.get("/register").is(http.StatusOK)
	visit := cookie(a, "__Host-eider-visit")
	if visit == nil || !visit.Secure || !visit.HttpOnly || visit.Path != "/" || visit.Domain != "" {
		t.Fatalf("visitor's cookie %+v", visit)
	}
	if a.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over TLS")
	}
	in := b.post("/register", "name", "Anna", "username", "anna", "password", password).to("/mail/inbox")
	c := cookie(in, "__Host-eider")
	if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 0 || c.Domain != "" || c.Path != "/" {
		t.Errorf("session cookie %+v", c)
	}
}

func TestNextStaysHere(t *testing.T) {
	w := newWorld(t)
	registered(t, w)
	for _, next := range []string{
		"//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example", "/\t/evil.example",
		"//evil.example/%2e", "mail/inbox", "/x" + strings.Repeat("a", 4000),
	} {
		b := w.visitor()
		b.get("/signin?next="+url.QueryEscape(next)).is(http.StatusOK).lacks("evil.example", "javascript:")
		b.post("/signin", "username", "anna", "password", password, "next", next).to("/mail/inbox")
	}
}

func TestBackStaysHere(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, text("one"))
	for _, back := range []string{"//evil.example", "https://evil.example/", "/\\evil.example", "evil"} {
		b.post("/mail/inbox", "do", "star", "id", ref(m), "back", back).to("/mail/inbox")
		b.post("/undo", "token", "x", "back", back).to("/mail/inbox")
		b.post("/compose", "do", "discard", "back", back).to("/mail/inbox")
		b.get("/compose?back=" + url.QueryEscape(back)).is(http.StatusOK).lacks("evil")
		b.get("/shortcuts?back=" + url.QueryEscape(back)).is(http.StatusOK).lacks("evil")
	}
}

func TestSignInLimit(t *testing.T) {
	w := newWorld(t)
	registered(t, w)
	b := w.visitor()
	b.get("/signin")
	for range 12 {
		b.post("/signin", "username", "anna", "password", "wrong").is(http.StatusUnprocessableEntity)
	}
	a := b.post("/signin", "username", "anna", "password", password).is(http.StatusTooManyRequests)
	a.has("Wait 2 minutes and try again.").lacks("%s", "!(EXTRA")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for lang, words := range map[string]string{"de": "Warten Sie 2 Minuten", "ru": "Подождите 2 минуты", "ar": "انتظر دقيقتين"} {
		b.headers["Accept-Language"] = lang
		b.post("/signin", "username", "anna", "password", password).is(http.StatusTooManyRequests).has(words)
	}
}

func TestRegisterRefusals(t *testing.T) {
	w := newWorld(t)
	registered(t, w)
	b := w.visitor()
	b.get("/register")
	for _, c := range []struct{ name, username, domain, password, words string }{
		{"B", "anna", "", password, "taken"},
		{"B", "postmaster", "", password, "reserved"},
		{"B", "bertha", "other.example", password, "Choose another domain"},
		{"B", "bertha", "", "password", "too easy"},
		{"B", "bertha", "", "", "Choose a password"},
		{`"><script>alert(1)</script>`, `"><script>`, "", password, "Use letters"},
	} {
		a := b.post("/register", "name", c.name, "username", c.username, "domain", c.domain, "password", c.password)
		if a.StatusCode != http.StatusUnprocessableEntity {
			t.Fatalf("%+v: status %d", c, a.StatusCode)
		}
		a.has(c.words).lacks("<script>alert", password)
	}
	a := b.post("/register/strength", "password", "password", "username", "x").is(http.StatusOK)
	if a.body != "{\"score\":0}\n" {
		t.Errorf("strength %q", a.body)
	}
}

func TestRegisterLimit(t *testing.T) {
	w := newWorld(t)
	b := w.visitor()
	b.get("/register")
	for i := 0; ; i++ {
		if i > 25 {
			t.Fatal("no limit")
		}
		// The store is asked before a hash is made: a taken name still counts.
		a := b.post("/register", "name", "B", "username", "taken", "password", password)
		if a.StatusCode == http.StatusTooManyRequests {
			a.has("from your network")
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			return
		}
		if a.StatusCode == http.StatusSeeOther {
			b = w.visitor()
			b.get("/register")
		}
	}
}

func TestRegistrationClosed(t *testing.T) {
	w := newWorld(t, func(o *account.Options, _ *webmail.Options) { o.Registration = false })
	b := w.visitor()
	b.get("/signin").is(http.StatusOK).lacks("/register")
	b.get("/register").is(http.StatusNotFound)
	b.post("/register", "name", "A", "username", "anna", "password", password).is(http.StatusNotFound)
	b.post("/register/strength", "password", "x").is(http.StatusNotFound)
}

func TestNewPasswordSignsOut(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	b.get("/mail/inbox").is(http.StatusOK)
	if err := w.store.SetPassword(t.Context(), u.ID, "$invalid"); err != nil {
		t.Fatal(err)
	}
	a := b.get("/mail/inbox").to("/signin?next=%2Fmail%2Finbox")
	if c := cookie(a, "eider"); c == nil || c.MaxAge >= 0 {
		t.Errorf("the void cookie stays: %+v", c)
	}
}

func TestSecondStepIsNotSkipped(t *testing.T) {
	w := newWorld(t)
	b := registered(t, w)
	b.post("/signout")
	u, err := w.store.FindUser(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetDisabled(t.Context(), u.ID, true); err != nil {
		t.Fatal(err)
	}
	b.get("/signin")
	b.post("/signin", "username", "anna", "password", password).is(http.StatusUnprocessableEntity).has("do not match")
}

func TestForgedRequests(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	m := w.put(u, text("one"))
	b := w.browser(u)
	star := []string{"do", "star", "id", ref(m)}
	for name, headers := range map[string][]string{
		"cross-site":         {"Sec-Fetch-Site", "cross-site"},
		"same-site":          {"Sec-Fetch-Site", "same-site"},
		"foreign origin":     {"Origin", "https://evil.example"},
		"origin, other port": {"Origin", "http://127.0.0.1:1"},
		"null, cross-site":   {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
	} {
		b.postWith("/mail/inbox", headers, star...).is(http.StatusForbidden).has("This is not allowed")
		if w.row(u, m.Mailbox, m.UID).Has(mail.FlagFlagged) {
			t.Fatalf("%s went through", name)
		}
	}
	good := b.csrf
	for _, token := range []string{"", "x", good[1:], good + "A"} {
		b.csrf = token
		b.post("/mail/inbox", star...).is(http.StatusForbidden)
	}
	// A token in the address is none.
	b.csrf = ""
	b.post("/mail/inbox?csrf="+good, star...).is(http.StatusForbidden)
	// Another account's token is none.
	other := w.browser(w.user("berta"))
	b.csrf = other.csrf
	b.post("/mail/inbox", star...).is(http.StatusForbidden)

	b.csrf = good
	for _, headers := range [][]string{
		{"Origin", w.server.URL}, {"Origin", "null", "Sec-Fetch-Site", "same-origin"}, {"Eider-Csrf", good},
	} {
		b.postWith("/mail/inbox", headers, star...).is(http.StatusSeeOther)
	}
}

func TestForgedVisitor(t *testing.T) {
	w := newWorld(t)
	b := w.visitor()
	b.post("/signin", "username", "anna", "password", "x").is(http.StatusForbidden)
	b.get("/signin")
	token := b.csrf
	// A token of another visit.
	other := w.visitor()
	other.get("/signin")
	other.csrf = token
	other.post("/signin", "username", "anna", "password", "x").is(http.StatusForbidden)
	b.csrf = token
	b.postWith("/signin", []string{"Sec-Fetch-Site", "cross-site"}, "username", "anna", "password", "x").is(http.StatusForbidden)
	b.post("/signin", "username", "anna", "password", "x").is(http.StatusUnprocessableEntity)
}

func TestSigningInAgainEndsTheOldSession(t *testing.T) {
	w := newWorld(t)
	b := registered(t, w)
	var old string
	for _, c := range b.http.Jar.Cookies(b.base()) {
		if c.Name == "eider" {
			old = c.Value
		}
	}
	b.get("/mail/inbox")
	b.post("/signin", "username", "anna", "password", password).is(http.StatusSeeOther)
	if _, err := w.accounts.Session(t.Context(), old); !mail.IsCode(err, mail.CodeNotFound) {
		t.Errorf("the old session: %v", err)
	}
}
