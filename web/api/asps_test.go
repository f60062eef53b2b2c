package api

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// An application password opens its scopes and nothing else, whatever was
// guessed at the master password; what happened with it is in the log.
func TestASPs(t *testing.T) {
	w := newWorld(t)
	anna := w.json("POST", "/users", map[string]any{"username": "anna", "password": "correct horse 7"}).ok()
	id, _ := anna.at("id").(string)
	user, err := mail.ParseID(id)
	must(t, err)
	own, path := w.token(user, "user"), "/users/"+id+"/asps"
	a := w.json("POST", path, map[string]any{"description": " phone ", "scopes": "imap, smtp", "sess": "s", "ip": "192.0.2.1"}, own...).ok()
	password, _ := a.at("password").(string)
	asp, _ := a.at("id").(string)
	if len(password) != 16 {
		t.Errorf("password %q", password)
	}
	fixed := w.json("POST", path, map[string]any{"description": "all", "password": "abcdefghijklmnop", "ttl": 3600}, own...).ok()
	fixed.is("abcdefghijklmnop", "password")

	list := w.get(path, own...).ok()
	list.is("phone", "results", 0, "description")
	list.is([]any{"imap", "smtp"}, "results", 0, "scopes")
	list.is(map[string]any{}, "results", 0, "lastUse")
	if n, _ := list.at("results").([]any); len(n) != 1 {
		t.Errorf("%d shown: one that ends is hidden", len(n))
	}
	all := w.get(path+"?showAll=1", own...).ok()
	all.is([]any{"imap", "pop3", "smtp"}, "results", 1, "scopes")
	if s, _ := all.at("results", 1, "expires").(string); !strings.HasSuffix(s, "Z") {
		t.Errorf("expires %q", s)
	}

	login := func(password, scope string) answer {
		t.Helper()
		return w.json("POST", "/authenticate", map[string]any{"username": "anna", "password": password, "scope": scope, "ip": "192.0.2.7"})
	}
	spaced := strings.ToUpper(password[:4]) + " " + password[4:8] + " " + password[8:]
	login(spaced, "imap").ok().is(id, "id")
	login(password, "pop3").fails(403, "InvalidAuthScope")
	login(password, "master").fails(403, "AuthFailed")
	login("abcdefghijklmnoq", "imap").fails(403, "AuthFailed")
	for range 12 {
		login("wrong", "imap")
	}
	login("correct horse 7", "imap").fails(403, "RateLimitedError")
	login(password, "smtp").ok()

	one := w.get(path+"/"+asp, own...).ok()
	if time, _ := one.at("lastUse", "time").(string); time == "" || one.at("lastUse", "event") == nil {
		t.Errorf("last use: %s", one.raw)
	}
	one.is("phone", "description")
	w.do("DELETE", path+"/"+asp, "", "", own...).ok()
	w.get(path+"/"+asp, own...).fails(404, "AspNotFound")
	w.do("DELETE", path+"/"+asp, "", "", own...).fails(404, "AspNotFound")
	login(password, "smtp").fails(403, "RateLimitedError")

	events, err := w.store.AuthEvents(t.Context(), user, mail.ID{}, 0)
	must(t, err)
	have := map[string]string{}
	for _, e := range events {
		if !e.ASP.IsZero() {
			have[e.Action+" "+e.Result] = e.ASPName
		}
	}
	if have["create asp success"] == "" || have["delete asp success"] != "phone" || have["authentication success"] != "phone" {
		t.Errorf("log %v", have)
	}
}

func TestASPsRefused(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("anna"), w.user("bert")
	path := "/users/" + u.ID.String() + "/asps"
	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   string
	}{
		"no description": {map[string]any{}, 400, "InputValidationError"},
		"scope":          {map[string]any{"description": "x", "scopes": []any{"web"}}, 400, "InputValidationError"},
		"short":          {map[string]any{"description": "x", "password": "abc"}, 400, "InputValidationError"},
		"profile":        {map[string]any{"description": "x", "generateMobileconfig": true}, 400, "InputValidationError"},
		"address":        {map[string]any{"description": "x", "address": "bert@example.org"}, 404, "AddressNotFound"},
	} {
		a := w.json("POST", path, c.body)
		a.t = t
		t.Log(name)
		a.fails(c.status, c.code)
	}
	for range store.MaxAppPasswords {
		_, err := w.store.AddAppPassword(t.Context(), store.AppPassword{User: u.ID, Hash: "h"}, "p")
		must(t, err)
	}
	w.json("POST", path, map[string]any{"description": "x"}).fails(403, "TooMany").is(50, "allowed")
	w.get(path, w.token(other.ID, "user")...).fails(403, "MissingPrivileges")
	w.get("/users/"+mail.NewID().String()+"/asps").fails(404, "UserNotFound")
	w.json("POST", "/users/"+mail.NewID().String()+"/asps", map[string]any{"description": "x"}).fails(404, "UserNotFound")
}

func TestAutoreplyAPI(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("anna"), w.user("bert")
	path, own := "/users/"+u.ID.String()+"/autoreply", w.token(u.ID, "user")
	none := w.get(path, own...).ok()
	none.is(false, "status")
	none.is("", "subject")
	if none.at("created") != nil || none.at("start") != nil {
		t.Errorf("none: %s", none.raw)
	}
	a := w.json("PUT", path, map[string]any{
		"status": true, "subject": " away ", "text": "back soon", "start": "2026-11-01T10:00:00Z", "end": "2026-12-01", "sess": "s", "ip": "192.0.2.1",
	}, own...).ok()
	if s, _ := a.at("id").(string); len(s) != 24 {
		t.Errorf("id %q", s)
	}
	w.json("PUT", path, map[string]any{"name": "Anna", "end": false, "html": ""}, own...).ok()
	got := w.get(path, own...).ok()
	for key, want := range map[string]any{
		"status": true, "name": "Anna", "subject": "away", "text": "back soon", "html": "", "start": "2026-11-01T10:00:00.000Z", "end": nil,
	} {
		got.is(want, key)
	}
	if s, _ := got.at("created").(string); !strings.HasSuffix(s, ".000Z") {
		t.Errorf("created %q", s)
	}
	w.get("/users/"+u.ID.String(), own...).ok().is(true, "autoreply")
	w.json("PUT", path, map[string]any{"status": false}, own...).ok()
	w.get("/users/"+u.ID.String(), own...).ok().is(false, "autoreply")
	w.get(path, own...).ok().is("away", "subject")
	w.do("DELETE", path, "", "", own...).ok()
	w.get(path, own...).ok().is("", "subject")

	w.json("PUT", path, map[string]any{"start": "soon"}, own...).fails(400, "InputValidationError")
	w.json("PUT", path, map[string]any{"colour": 1}, own...).fails(400, "InputValidationError")
	w.json("PUT", path, map[string]any{"name": strings.Repeat("x", 129)}, own...).fails(400, "InputValidationError")
	w.json("PUT", path, map[string]any{"status": true}, w.token(other.ID, "user")...).fails(403, "MissingPrivileges")
	w.json("PUT", "/users/"+mail.NewID().String()+"/autoreply", map[string]any{"status": true}).fails(404, "UserNotFound")
}

// With a second factor the master password opens no program's scope; an
// application password does, and asks for nothing more. A suspended account and
// a scope that is switched off stay closed to it.
func TestASPBesideSecondFactor(t *testing.T) {
	w := newWorld(t)
	made := w.json("POST", "/users", map[string]any{"username": "anna", "password": "correct horse 7", "disabledScopes": []any{"pop3"}}).ok()
	id, _ := made.at("id").(string)
	user, err := mail.ParseID(id)
	must(t, err)
	_, err = w.store.SetupTOTP(t.Context(), user)
	must(t, err)
	_, err = w.store.EnableTOTP(t.Context(), user, func(string) bool { return true })
	must(t, err)
	w.json("POST", "/users/"+id+"/asps", map[string]any{"description": "all", "password": "abcdefghijklmnop"}).ok()
	login := func(password, scope string) answer {
		t.Helper()
		return w.json("POST", "/authenticate", map[string]any{"username": "anna", "password": password, "scope": scope})
	}
	login("correct horse 7", "imap").fails(403, "AuthFailed")
	login("correct horse 7", "master").ok().is([]any{"totp"}, "require2fa")
	login("abcdefghijklmnop", "imap").ok().is(false, "require2fa")
	login("abcdefghijklmnop", "pop3").fails(403, "InvalidAuthScope")
	_, err = w.store.EditUser(t.Context(), user, func(a *store.Account) error { a.Suspended = true; return nil })
	must(t, err)
	login("abcdefghijklmnop", "imap").fails(403, "AuthFailed")
}
