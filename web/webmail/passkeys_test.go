package webmail_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/web/webmail"
)

// postJSON sends what the script sends.
func (b *browser) postJSON(path string, in any) *answer {
	b.t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(http.MethodPost, path, "application/json", strings.NewReader(string(text)), "Eider-Csrf", b.csrf)
}

// words gives what the script would show.
func (a *answer) words(status int) string {
	a.t.Helper()
	a.is(status)
	var out struct{ Error string }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.Error == "" {
		a.t.Fatalf("answer %q, %v", a.body, err)
	}
	return out.Error
}

// withPasskey registers an account and gives it a passkey that nobody has.
func withPasskey(t *testing.T, w *world) (*browser, mail.User) {
	t.Helper()
	b := registered(t, w)
	u, err := w.store.FindUser(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	u, err = w.store.AddPasskey(t.Context(), u.ID, store.Passkey{RawID: []byte("x"), Description: "<b>Laptop", PublicKey: "-----BEGIN PUBLIC KEY-----\n" +
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n" +
		"-----END PUBLIC KEY-----\n"})
	if err != nil {
		t.Fatal(err)
	}
	return b, u
}

func TestSecondStep(t *testing.T) {
	w := newWorld(t)
	b, _ := withPasskey(t, w)
	b.get("/signin/second").to("/signin")
	b.get("/signin").has(`data-passkey="get"`)
	if a := b.postJSON("/signin/second/begin", map[string]any{}); !strings.Contains(a.words(http.StatusUnprocessableEntity), "too long") {
		t.Errorf("without the password: %s", a.body)
	}
	a := b.post("/signin", "username", "anna", "password", password, "next", "/compose").to("/signin/second")
	if c := cookie(a, "eider-second"); c == nil || !c.HttpOnly || c.MaxAge != 300 {
		t.Errorf("cookie %+v", c)
	}
	// The password alone opens nothing.
	b.get("/mail/inbox").to("/signin?next=%2Fmail%2Finbox")
	b.get("/signin/second").is(http.StatusOK).has("anna@eider.example", `data-finish="/signin/second"`)
	b.post("/signin/second").to("/signin/second")
	// The test's host is a number: no passkeys there, and it says so.
	if got := b.postJSON("/signin/second/begin", nil).words(http.StatusUnprocessableEntity); !strings.Contains(got, "by its name") {
		t.Errorf("%q", got)
	}
}

func TestSecondStepEndsWithThePassword(t *testing.T) {
	w := newWorld(t)
	b, u := withPasskey(t, w)
	b.get("/signin")
	b.post("/signin", "username", "anna", "password", password).to("/signin/second")
	if err := w.store.SetPassword(t.Context(), u.ID, "$invalid"); err != nil {
		t.Fatal(err)
	}
	b.get("/signin/second").to("/signin")
	// A made-up cookie is none.
	b.setCookie("eider-second", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	b.get("/signin/second").to("/signin")
}

func TestOtherSecondSteps(t *testing.T) {
	w := newWorld(t, func(o *account.Options, _ *webmail.Options) { o.Signal = nil })
	b, _ := withPasskey(t, w)
	b.get("/signin").lacks("data-passkey")
	b.post("/signin", "username", "anna", "password", password).is(http.StatusUnprocessableEntity).has("second step")
}

func TestSecurityPage(t *testing.T) {
	w := newWorld(t)
	_, u := withPasskey(t, w)
	b := w.browser(u)
	b.get("/settings/security").is(http.StatusOK).has("&lt;b&gt;Laptop", "Not used yet", `aria-current="page"`).lacks("<b>Laptop")
	list, err := w.store.Passkeys(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	id := list[0].ID.String()
	b.post("/settings/security", "remove", id, "password", "wrong").is(http.StatusUnprocessableEntity).has("not your password")
	b.post("/settings/security", "name", "x").to("/settings/security")
	b.post("/settings/security", "remove", id, "password", password).to("/settings/security")
	b.get("/settings/security").has("was removed").lacks("&lt;b&gt;Laptop")
	b.post("/settings/security", "remove", id, "password", password).to("/settings/security")
}

func TestPasskeyRequests(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for _, path := range []string{"/settings/security/passkey/begin", "/settings/security/passkey/finish", "/signin/passkey/finish"} {
		b.do(http.MethodPost, path, "application/json", strings.NewReader("{}")).is(http.StatusForbidden)
		b.do(http.MethodPost, path, "application/json", strings.NewReader("{"), "Eider-Csrf", b.csrf).is(http.StatusBadRequest)
		b.do(http.MethodPost, path, "text/plain", strings.NewReader("{}"), "Eider-Csrf", b.csrf).is(http.StatusUnsupportedMediaType)
		b.do(http.MethodPost, path, "application/json", strings.NewReader("{}"), "Eider-Csrf", b.csrf, "Sec-Fetch-Site", "cross-site").is(http.StatusForbidden)
	}
	for _, c := range []struct {
		path, words string
		in          map[string]any
	}{
		{"/settings/security/passkey/begin", "empty", map[string]any{"password": password}},
		{"/settings/security/passkey/begin", "address", map[string]any{"name": "Key", "password": "x"}},
		{"/settings/security/passkey/finish", "address", map[string]any{"credential": map[string]any{}}},
		{"/signin/passkey/begin", "address", nil},
	} {
		if got := b.postJSON(c.path, c.in).words(http.StatusUnprocessableEntity); !strings.Contains(got, c.words) {
			t.Errorf("%s %v: %q", c.path, c.in, got)
		}
	}
	w.visitor().get("/settings/security").to("/signin?next=%2Fsettings%2Fsecurity")
}
