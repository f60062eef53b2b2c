package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func TestCreateUser(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := must(s.CreateUser(ctx, store.NewUser{
		Username: "Ann.Smith", Name: "Ann", Address: "Ann.Smith@Example.com", Language: "de", PasswordHash: "h", Tags: []string{"VIP"}, Admin: true,
	}))(t)
	if u.Username != "ann.smith" || u.Address != "ann.smith@example.com" || !u.Activated || u.Disabled || !u.Admin || u.AuthVersion != 1 || u.Quota != store.DefaultQuota {
		t.Errorf("user = %+v", u)
	}
	boxes := must(s.Mailboxes(ctx, u.ID))(t)
	var paths []string
	for _, b := range boxes {
		paths = append(paths, b.Path+string(b.SpecialUse))
		if b.UIDNext != 1 || b.ModSeq != 0 || !b.Subscribed || b.UIDValidity == 0 {
			t.Errorf("mailbox = %+v", b)
		}
	}
	want := []string{"INBOX", `Entwürfe\Drafts`, `Gesendet\Sent`, `Spam\Junk`, `Papierkorb\Trash`}
	for i := range want {
		if i >= len(paths) || paths[i] != want[i] {
			t.Fatalf("mailboxes = %v, want %v", paths, want)
		}
	}
	if boxes[4].Retention != 30*24*time.Hour || boxes[0].Retention != 0 {
		t.Errorf("retention of trash %v, of inbox %v", boxes[4].Retention, boxes[0].Retention)
	}
	if got := must(s.FindUser(ctx, "annsmith"))(t); got.ID != u.ID {
		t.Error("not found by another spelling")
	}
	if has := must(s.HasAdmin(ctx))(t); !has {
		t.Error("no administrator")
	}
}

func TestCreateUserTaken(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	newUser(t, s, "ann")
	for _, tt := range []struct {
		n     store.NewUser
		code  mail.Code
		field string
	}{
		{store.NewUser{Username: "a.n.n", NoAddress: true}, mail.CodeExists, "username"},
		{store.NewUser{Username: "bob", Address: "a.n.n@example.com"}, mail.CodeExists, "address"},
		{store.NewUser{Username: " "}, mail.CodeInvalid, "username"},
		{store.NewUser{Username: "bob", Address: "no address"}, mail.CodeInvalid, "address"},
	} {
		_, err := s.CreateUser(ctx, tt.n)
		wantCode(t, err, tt.code)
		var e *mail.Error
		if !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%+v: field %q, want %q", tt.n, e.Field, tt.field)
		}
	}
	// A refused creation leaves nothing that stands in the way of the next.
	newUser(t, s, "bob")
}

func TestCredentials(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := must(s.CreateUser(ctx, store.NewUser{Username: "ann", Address: "ann@bücher.example", PasswordHash: "h1", TempPasswordHash: "tmp"}))(t)
	if err := s.AddDomainAlias(ctx, "alias.example", "bücher.example"); err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"ann", "A.nn", "ann@bücher.example", "ann@xn--bcher-kva.example", "ann+x@BÜCHER.example", "ann@alias.example"} {
		c, err := s.Credentials(ctx, login)
		if err != nil || c.User.ID != u.ID || c.PasswordHash != "h1" || c.TempPassword == nil {
			t.Errorf("%q: %+v, %v", login, c, err)
		}
	}
	_, err := s.Credentials(ctx, "nobody")
	wantCode(t, err, mail.CodeNoUser)
	if err := s.SetPassword(ctx, u.ID, "h2"); err != nil {
		t.Fatal(err)
	}
	c := must(s.Credentials(ctx, "ann"))(t)
	if c.PasswordHash != "h2" || c.TempPassword != nil || c.User.AuthVersion != 2 {
		t.Errorf("after a new password: %+v", c)
	}
	if err := s.Rehash(ctx, u.ID, "h1", "h3"); err != nil {
		t.Fatal(err)
	}
	if c := must(s.Credentials(ctx, "ann"))(t); c.PasswordHash != "h2" {
		t.Error("a stale rehash replaced the password")
	}
}

func TestResolveAddress(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	ann, all := newUser(t, s, "ann"), newUser(t, s, "all")
	add := func(user mail.User, a string) mail.ID {
		return must(s.AddAddress(ctx, user.ID, mustWildcard(t, a), "", false))(t).ID
	}
	dotted := add(ann, "an.na@example.com")
	intl := add(ann, "юрий@пример.рф")
	domain := add(all, "*@wild.example")
	prefix := add(all, "sales*@wild.example")
	suffix := add(all, "*-bounce@wild.example")
	longer := add(all, "sales-eu*@wild.example")
	anywhere := add(all, "postmaster@*")
	if err := s.AddDomainAlias(ctx, "alias.example", "example.com"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddDomainAlias(ctx, "wildalias.example", "wild.example"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rcpt     string
		wildcard bool
		want     mail.ID
	}{
		{"anna@example.com", true, dotted},
		{"an.na@example.com", false, dotted},
		{"A.N.N.A+label@EXAMPLE.com", false, dotted},
		{"anna@alias.example", false, dotted},
		{"юрий@пример.рф", false, intl},
		{"ЮРИЙ+x@xn--e1afmkfd.xn--p1ai", false, intl},
		{"bob@wild.example", true, domain},
		{"bob@wild.example", false, mail.ID{}},
		{"sales-us@wild.example", true, prefix},
		{"sales-eu-1@wild.example", true, longer},
		{"x-bounce@wild.example", true, suffix},
		{"bob@wildalias.example", true, domain},
		{"postmaster@unknown.example", true, anywhere},
		{"postmaster@wild.example", true, domain},
		{"nobody@example.com", true, mail.ID{}},
	} {
		got, err := s.ResolveAddress(ctx, mustAddress(t, tt.rcpt), store.ResolveOptions{Wildcard: tt.wildcard})
		if tt.want.IsZero() {
			if !mail.IsCode(err, mail.CodeNoUser) {
				t.Errorf("%s: %v, %v; want nobody", tt.rcpt, got.Address, err)
			}
			continue
		}
		if err != nil || got.ID != tt.want {
			t.Errorf("%s: found %q, %v", tt.rcpt, got.Address, err)
		}
	}
	for d, want := range map[string]bool{"example.com": true, "alias.example": true, "пример.рф": true, "wild.example": true, "unknown.example": false} {
		if got := must(s.LocalDomain(ctx, d))(t); got != want {
			t.Errorf("LocalDomain(%q) = %v", d, got)
		}
	}
	_, err := s.AddAddress(ctx, all.ID, mustAddress(t, "a.n.n.a@example.com"), "", false)
	wantCode(t, err, mail.CodeExists)
	list := must(s.Addresses(ctx, ann.ID))(t)
	if len(list) != 3 || !list[0].Main || list[0].Address != "ann@example.com" {
		t.Errorf("addresses = %+v", list)
	}
}

func TestSessionsAndTokens(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, id := range []string{"s1", "s2", "s3"} {
		if err := s.PutSession(ctx, store.Session{ID: id, User: u.ID, AuthVersion: 1, Created: now, Used: now, Expires: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(s.FindSession(ctx, "s1"))(t); got.User != u.ID || !got.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("session = %+v", got)
	}
	if err := s.DeleteSessions(ctx, u.ID, "s2"); err != nil {
		t.Fatal(err)
	}
	_, err := s.FindSession(ctx, "s1")
	wantCode(t, err, mail.CodeNotFound)
	must(s.FindSession(ctx, "s2"))(t)
	if err := s.TouchSession(ctx, "s2", now, now.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = s.FindSession(ctx, "s2")
	wantCode(t, err, mail.CodeNotFound)

	if err := s.PutToken(ctx, store.Token{ID: "t1", Role: "root", Created: now}); err != nil {
		t.Fatal(err)
	}
	if got := must(s.FindToken(ctx, "t1"))(t); got.Role != "root" || !got.Expires.IsZero() || !got.User.IsZero() {
		t.Errorf("token = %+v", got)
	}
	if err := s.PutToken(ctx, store.Token{ID: "t2", User: u.ID, Role: "user", Created: now, TTL: time.Hour, Expires: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if got := must(s.FindToken(ctx, "t2"))(t); got.Expires.Before(now.Add(50 * time.Minute)) {
		t.Errorf("use did not move the expiry: %v", got.Expires)
	}
	if err := s.DeleteTokens(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.FindToken(ctx, "t2")
	wantCode(t, err, mail.CodeNotFound)
}

func TestAuthLog(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	e := store.AuthEvent{User: u.ID, Action: "authentication", Result: "fail", Protocol: "IMAP", IP: "192.0.2.1"}
	first := must(s.LogAuth(ctx, e))(t)
	if again := must(s.LogAuth(ctx, e))(t); again != first {
		t.Error("equal events have two entries")
	}
	e.IP = "192.0.2.2"
	second := must(s.LogAuth(ctx, e))(t)
	list := must(s.AuthEvents(ctx, u.ID, mail.ID{}, 10))(t)
	if len(list) != 2 || list[0].ID != second || list[1].Events != 2 || list[1].IP != "192.0.2.1" {
		t.Errorf("log = %+v", list)
	}
	if older := must(s.AuthEvents(ctx, u.ID, second, 10))(t); len(older) != 1 || older[0].ID != first {
		t.Errorf("older = %+v", older)
	}
}
