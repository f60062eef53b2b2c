package account_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

const good = "tr7-Blau-Kiesel"

type fixture struct {
	*account.Accounts
	store *store.Store
	now   time.Time
}

func open(t *testing.T) *fixture {
	t.Helper()
	env := storetest.New(t)
	f := &fixture{now: time.Now()}
	clock := func() time.Time { return f.now }
	f.store = env.Open(func(o *store.Options) { o.Now = clock })
	a, err := account.New(account.Options{
		Store: f.store, Limit: limit.New(env.Signal, limit.WithLog(env.Log), limit.WithRule(limit.AuthUser, limit.Rule{Limit: 6})), Log: env.Log,
		Domains: []string{"example.com", "bücher.example"}, Registration: true, Secret: []byte("0123456789abcdef"), Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Accounts = a
	return f
}

func (f *fixture) register(t *testing.T, name string) mail.User {
	t.Helper()
	u, err := f.Register(context.Background(), account.Registration{Name: "N", Username: name, Password: good, IP: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func wantCode(t *testing.T, err error, code mail.Code) {
	t.Helper()
	_ = errorOf(t, err, code)
}

// errorOf gives the error with the code, or fails the test.
func errorOf(t *testing.T, err error, code mail.Code) *mail.Error {
	t.Helper()
	var e *mail.Error
	if !mail.IsCode(err, code) || !errors.As(err, &e) {
		t.Fatalf("error %v, want code %v", err, code)
	}
	return e
}

func TestRegister(t *testing.T) {
	ctx, f := context.Background(), open(t)
	u := f.register(t, "Ann.Smith")
	if u.Username != "ann.smith" || u.Address != "ann.smith@example.com" || u.Admin {
		t.Errorf("user = %+v", u)
	}
	юрий := f.register(t, "Юрий")
	if юрий.Address != "юрий@example.com" {
		t.Errorf("user = %+v", юрий)
	}
	other, err := f.Register(ctx, account.Registration{Username: "annsmith", Domain: "xn--bcher-kva.example", Password: good, IP: "192.0.2.1"})
	if err != nil || other.Username != "annsmith@bücher.example" || other.Address != "annsmith@bücher.example" {
		t.Errorf("the same name in another domain: %+v, %v", other, err)
	}
	for _, tt := range []struct {
		r             account.Registration
		code          mail.Code
		field, reason string
	}{
		{account.Registration{Username: "annsmith", Password: good}, mail.CodeExists, "username", "taken"},
		{account.Registration{Username: "bob", Domain: "other.example", Password: good}, mail.CodeInvalid, "domain", "unknown"},
		{account.Registration{Username: "bob", Password: "short"}, mail.CodeInvalid, "password", "short"},
		{account.Registration{Username: "bobby", Password: "bobby123"}, mail.CodeInvalid, "password", "weak"},
		{account.Registration{Username: "bob"}, mail.CodeInvalid, "password", "empty"},
		{account.Registration{Username: "postmaster", Password: good}, mail.CodeInvalid, "username", "reserved"},
		{account.Registration{Username: "", Password: good}, mail.CodeInvalid, "username", "empty"},
		{account.Registration{Username: "bob", Name: "B\r\nc", Password: good}, mail.CodeInvalid, "name", "format"},
	} {
		_, err := f.Register(ctx, tt.r)
		if e := errorOf(t, err, tt.code); e.Field != tt.field || e.Reason != tt.reason {
			t.Errorf("%+v: %s %s, want %s %s", tt.r, e.Field, e.Reason, tt.field, tt.reason)
		}
	}
	closed, err := account.New(account.Options{Store: f.store, Limit: limit.New(nil), Domains: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = closed.Register(ctx, account.Registration{Username: "bob", Password: good})
	wantCode(t, err, mail.CodeForbidden)
}

func TestAuthenticate(t *testing.T) {
	ctx, f := context.Background(), open(t)
	u := f.register(t, "ann")
	for _, name := range []string{"ann", "A.N.N", "ann@example.com", "Ann+label@EXAMPLE.com"} {
		r, err := f.Authenticate(ctx, account.Login{Username: name, Password: good, Protocol: "WEB", IP: "192.0.2.1"})
		if err != nil || r.User.ID != u.ID || r.Scope != "master" || r.Event.IsZero() {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, l := range []account.Login{
		{Username: "ann", Password: good + "x"},
		{Username: "ann", Password: ""},
		{Username: "", Password: good},
		{Username: "nobody", Password: good},
		{Username: "ann", Password: strings.Repeat("x", 300)},
	} {
		_, err := f.Authenticate(ctx, l)
		wantCode(t, err, mail.CodeAuth)
	}
	if now, err := f.store.User(ctx, u.ID); err != nil || now.LastLogin.IsZero() {
		t.Errorf("last login not kept: %v", err)
	}
	log, err := f.store.AuthEvents(ctx, u.ID, mail.ID{}, 10)
	if err != nil || len(log) != 3 {
		t.Errorf("log = %+v, %v", log, err)
	}
	if err := f.store.SetDisabled(ctx, u.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err = f.Authenticate(ctx, account.Login{Username: "ann", Password: good})
	wantCode(t, err, mail.CodeDisabled)
	_, err = f.Authenticate(ctx, account.Login{Username: "ann", Password: "wrong one"})
	wantCode(t, err, mail.CodeAuth)
}

func TestAuthenticateIsLimited(t *testing.T) {
	ctx, f := context.Background(), open(t)
	f.register(t, "ann")
	for _, name := range []string{"ann", "nobody"} {
		for range 6 {
			_, err := f.Authenticate(ctx, account.Login{Username: name, Password: "wrong"})
			wantCode(t, err, mail.CodeAuth)
		}
		_, err := f.Authenticate(ctx, account.Login{Username: name, Password: good})
		if e := errorOf(t, err, mail.CodeLimited); e.RetryAfter <= 0 {
			t.Error("no RetryAfter")
		}
	}
}

func TestOldHashIsReplaced(t *testing.T) {
	ctx, f := context.Background(), open(t)
	_, err := f.Create(ctx, store.NewUser{
		Username: "old", NoAddress: true, PasswordHash: "$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Authenticate(ctx, account.Login{Username: "old", Password: "Hello world!"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := f.store.Credentials(ctx, "old")
	if err != nil || !strings.HasPrefix(c.PasswordHash, "$pbkdf2-sha256$i=100000$") {
		t.Errorf("hash is %q, %v", c.PasswordHash, err)
	}
}

func TestSessions(t *testing.T) {
	ctx, f := context.Background(), open(t)
	u := f.register(t, "ann")
	short, err := f.NewSession(ctx, u, account.SessionOptions{IP: "192.0.2.1", UserAgent: "x"})
	if err != nil {
		t.Fatal(err)
	}
	long, err := f.NewSession(ctx, u, account.SessionOptions{Remember: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Session(ctx, short)
	if err != nil || a.User.ID != u.ID || a.CSRF == "" || strings.Contains(a.ID, short) || a.Remember {
		t.Fatalf("session %+v, %v", a, err)
	}
	if b, err := f.Session(ctx, long); err != nil || b.CSRF == a.CSRF || !b.Remember {
		t.Fatalf("session %+v, %v", b, err)
	}
	if again, err := f.Session(ctx, short); err != nil || again.CSRF != a.CSRF {
		t.Error("the form token changed")
	}
	// Use within 14 days keeps it; 14 days without end it; remembered is longer.
	f.now = f.now.Add(13 * 24 * time.Hour)
	if _, err := f.Session(ctx, short); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(13 * 24 * time.Hour)
	if _, err := f.Session(ctx, short); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(15 * 24 * time.Hour)
	_, err = f.Session(ctx, short)
	wantCode(t, err, mail.CodeNotFound)
	for _, secret := range []string{"", "x", strings.Repeat("A", 43)} {
		_, err := f.Session(ctx, secret)
		wantCode(t, err, mail.CodeNotFound)
	}
	third, err := f.NewSession(ctx, u, account.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetPassword(ctx, u.ID, "another-Stein-99"); err != nil {
		t.Fatal(err)
	}
	_, err = f.Session(ctx, third)
	wantCode(t, err, mail.CodeNotFound)
}

func TestTokens(t *testing.T) {
	ctx, f := context.Background(), open(t)
	admin, made, err := f.EnsureAdmin(ctx)
	if err != nil || !made || !admin.User.Admin || admin.User.Address != "admin@example.com" {
		t.Fatalf("administrator %+v, %v, %v", admin, made, err)
	}
	if _, again, err := f.EnsureAdmin(ctx); err != nil || again {
		t.Errorf("a second administrator: %v", err)
	}
	if r, err := f.Authenticate(ctx, account.Login{Username: "admin", Password: admin.Password}); err != nil || !r.User.Admin {
		t.Errorf("administrator cannot sign in: %v", err)
	}
	if len(admin.Token) != 40 {
		t.Errorf("token %q", admin.Token)
	}
	if got, err := f.Token(ctx, strings.ToUpper(admin.Token)); err != nil || got.Role != "root" || !got.User.IsZero() {
		t.Errorf("token %+v, %v", got, err)
	}
	u := f.register(t, "ann")
	token, err := f.NewToken(ctx, account.TokenOptions{User: u.ID, Role: "user", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Token(ctx, token); err != nil || got.User != u.ID || got.Role != "user" {
		t.Errorf("token %+v, %v", got, err)
	}
	f.now = f.now.Add(2 * time.Hour)
	_, err = f.Token(ctx, token)
	wantCode(t, err, mail.CodeNotFound)
	token, err = f.NewToken(ctx, account.TokenOptions{User: u.ID, Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetDisabled(ctx, u.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err = f.Token(ctx, token)
	wantCode(t, err, mail.CodeNotFound)
	_, err = f.Token(ctx, "nonsense")
	wantCode(t, err, mail.CodeNotFound)
}
