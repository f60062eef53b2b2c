package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/web/session"
)

var key = []byte("0123456789abcdef")

// accounts knows one secret.
type accounts struct{ err error }

func (a accounts) Session(_ context.Context, secret string) (account.Session, error) {
	if a.err != nil {
		return account.Session{}, a.err
	}
	if secret != "good" {
		return account.Session{}, &mail.Error{Code: mail.CodeNotFound}
	}
	return account.Session{ID: "s", CSRF: "token"}, nil
}

func request(method string, headers ...string) echo.Context {
	r := httptest.NewRequest(method, "http://mail.example/x", http.NoBody)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return echo.New().NewContext(r, httptest.NewRecorder())
}

func TestLoad(t *testing.T) {
	next := func(c echo.Context) error {
		if session.Of(c) == nil {
			return errors.New("nobody")
		}
		return nil
	}
	g := session.NewGuard(accounts{}, key, false)
	if err := g.Load(next)(request("GET", "Cookie", "eider=good")); err != nil {
		t.Error(err)
	}
	c := request("GET", "Cookie", "eider=bad")
	if err := g.Load(next)(c); err == nil || !strings.Contains(c.Response().Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%v, %q", err, c.Response().Header().Get("Set-Cookie"))
	}
	// A store that is away signs nobody out.
	away := session.NewGuard(accounts{&mail.Error{Code: mail.CodeUnavailable}}, key, false)
	c = request("GET", "Cookie", "eider=good")
	if err := away.Load(next)(c); !mail.IsCode(err, mail.CodeUnavailable) || c.Response().Header().Get("Set-Cookie") != "" {
		t.Errorf("%v, %q", err, c.Response().Header().Get("Set-Cookie"))
	}
}

func TestSecureByProxy(t *testing.T) {
	c := request("GET", "X-Forwarded-Proto", "https")
	if session.NewGuard(accounts{}, key, false).Secure(c) {
		t.Error("a client's own header counts")
	}
	g := session.NewGuard(accounts{}, key, true)
	if !g.Secure(c) || g.Origin(c) != "https://mail.example" {
		t.Error("the proxy's header does not count")
	}
	g.Keep(c, "x", true)
	if got := c.Response().Header().Get("Set-Cookie"); got != "__Host-eider=x; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("cookie %q", got)
	}
	// Over TLS the cookie without the prefix, which any subdomain can set, is none.
	c = request("GET", "X-Forwarded-Proto", "https", "Cookie", "eider=good")
	if g.Secret(c) != "" {
		t.Error("the unbound cookie counts over TLS")
	}
}

func TestSameOrigin(t *testing.T) {
	g := session.NewGuard(accounts{}, key, false)
	for _, c := range []struct {
		site, origin string
		tls, want    bool
	}{
		{"", "", false, true},
		{"same-origin", "", false, true},
		{"none", "", false, true},
		{"cross-site", "", false, false},
		{"same-site", "", false, false},
		{"cross-site", "http://mail.example", false, false},
		{"", "http://mail.example", false, true},
		{"", "https://mail.example", false, false},
		{"", "http://mail.example:81", false, false},
		{"", "http://mail.example.evil", false, false},
		{"same-origin", "http://evil.example", false, false},
		{"same-origin", "null", false, true},
		{"", "null", false, true},
		{"cross-site", "null", false, false},
		{"", "null", true, false},
		{"same-origin", "null", true, true},
		{"", "https://mail.example", true, true},
		{"", "http://mail.example", true, false},
	} {
		var headers []string
		if c.site != "" {
			headers = append(headers, "Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		ctx := request("POST", headers...)
		if c.tls {
			ctx.Request().TLS = &tls.ConnectionState{}
		}
		if got := g.SameOrigin(ctx); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestCheckReadsTheBodyOnce(t *testing.T) {
	g := session.NewGuard(accounts{}, key, false)
	run := func(body io.Reader, kind string, limit int64) error {
		r := httptest.NewRequest(http.MethodPost, "http://mail.example/x?csrf=token", body)
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Cookie", "eider=good")
		rec := httptest.NewRecorder()
		r.Body = http.MaxBytesReader(rec, r.Body, limit)
		c := echo.New().NewContext(r, rec)
		return g.Load(g.Check(func(echo.Context) error { return nil }))(c)
	}
	const form, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	for _, c := range []struct {
		body, kind string
		status     int
	}{
		{"csrf=token", form, 0},
		{"csrf=other", form, 403},
		{"", form, 403},
		{"x=" + strings.Repeat("x", 2000) + "&csrf=token", form, 413},
		{"--b\r\nContent-Disposition: form-data; name=csrf\r\n\r\ntoken\r\n--b--\r\n", parts, 0},
		{"--b\r\nContent-Disposition: form-data; name=csrf\r\n\r\ntoken" + strings.Repeat("x", 2000), parts, 413},
		{"--b\r\nbroken", parts, 400},
		{"csrf=%zz", form, 400},
	} {
		err := run(strings.NewReader(c.body), c.kind, 1000)
		var he *echo.HTTPError
		status := 0
		if errors.As(err, &he) {
			status = he.Code
		}
		if status != c.status {
			t.Errorf("%.40q: %v, want %d", c.body, err, c.status)
		}
	}
}

// FuzzLocalPath resolves what passes as a browser would: it must stay here.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{
		"/", "//x", "/\\x", "/x?y#z", "https://x", "/\t/x", "/%2f/x", "/..//x", "/.//x", "\\\\x", "/x\r\nSet-Cookie: a=b", "///x", "/@x", "/:80",
	} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "https", Host: "mail.example", Path: "/signin"}
	f.Fuzz(func(t *testing.T, s string) {
		got := session.LocalPath(s, "/fallback")
		if got != s && got != "/fallback" {
			t.Fatalf("%q became %q", s, got)
		}
		// The URL standard drops tabs and line ends and reads \ as /.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.Trim(got, " "))
		if !strings.HasPrefix(seen, "/") || strings.HasPrefix(seen, "//") || strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%q passes", got)
		}
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
			t.Errorf("%q leads to %v (%v)", got, u, err)
		}
	})
}
