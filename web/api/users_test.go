package api

import (
	"context"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
)

func TestCreateUser(t *testing.T) {
	w := newWorld(t)
	a := w.json("POST", "/users", map[string]any{
		"username": "Anna.B", "password": "correct horse 7", "name": "Anna", "quota": 5000, "retention": 60000,
		"tags": []any{"B", "a", "b"}, "spamLevel": 0, "metaData": map[string]any{"k": 1}, "internalData": `{"i":true}`,
		"mailboxes": map[string]any{"sent": "Gone"}, "featureFlags": map[string]any{"indexing": "yes"},
		"disabledScopes": []any{"pop3"}, "language": "en", "sess": "s", "ip": "192.0.2.1",
	}).ok()
	id, _ := a.at("id").(string)
	got := w.get("/users/" + id).ok()
	for path, want := range map[string]any{
		"username": "anna.b", "name": "Anna", "address": "anna.b@example.org", "retention": 60000, "spamLevel": 0, "language": "en",
		"tags": []any{"a", "B"}, "disabledScopes": []any{"pop3"}, "hasPasswordSet": true, "activated": true, "disabled": false,
		"suspended": false, "keyInfo": false, "pubKey": "", "autoreply": false, "encryptMessages": false,
		"enabled2fa": []any{}, "targets": []any{}, "fromWhitelist": []any{}, "metaData": map[string]any{"k": 1},
		"internalData": map[string]any{"i": true}, "featureFlags": map[string]any{"indexing": true},
	} {
		got.is(want, path)
	}
	got.is(map[string]any{"allowed": 5000, "used": 0}, "limits", "quota")
	got.is(map[string]any{"allowed": 2000, "used": 0, "ttl": false}, "limits", "recipients")

	boxes := w.get("/users/" + id + "/mailboxes?specialUse=true&counters=1").ok()
	if raw := string(boxes.raw); !strings.Contains(raw, `"path": "Gone"`) || !strings.Contains(raw, `"total": 0`) {
		t.Errorf("mailboxes: %s", raw)
	}
	boxes.is("INBOX", "results", 0, "path")
	boxes.is(nil, "results", 0, "specialUse")

	user, err := mail.ParseID(id)
	must(t, err)
	own := w.get("/users/me", w.token(user, "user")...).ok()
	for _, hidden := range []string{"tags", "disabledScopes", "internalData"} {
		if _, shown := own.body[hidden]; shown {
			t.Errorf("the user sees %s", hidden)
		}
	}
	plain := w.get("/users/" + w.user("bare").ID.String()).ok()
	plain.is([]any{}, "tags")
	plain.is([]any{}, "disabledScopes")
	plain.is(false, "hasPasswordSet")
}

func TestCreateUserRefused(t *testing.T) {
	w := newWorld(t)
	w.user("anna")
	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   string
		detail string
	}{
		"no name":           {map[string]any{"password": "x"}, 400, "InputValidationError", "username"},
		"no password":       {map[string]any{"username": "x"}, 400, "InputValidationError", "password"},
		"unknown key":       {map[string]any{"username": "x", "password": "x", "colour": 1}, 400, "InputValidationError", "colour"},
		"name with a space": {map[string]any{"username": "a b", "password": "x"}, 400, "InputValidationError", "username"},
		"bad address":       {map[string]any{"username": "x", "password": "x", "address": "a"}, 400, "InputValidationError", "address"},
		"wildcard":          {map[string]any{"username": "x", "password": "x", "address": "*@example.org"}, 400, "InputValidationError", "address"},
		"scope":             {map[string]any{"username": "x", "password": "x", "disabledScopes": []any{"web"}}, 400, "InputValidationError", "disabledScopes"},
		"mailbox name":      {map[string]any{"username": "x", "password": "x", "mailboxes": map[string]any{"sent": "a//b"}}, 400, "InputValidationError", "mailboxes,sent"},
		"same mailbox name": {map[string]any{"username": "x", "password": "x", "mailboxes": map[string]any{"sent": "a", "trash": "a"}}, 400, "InputValidationError", ""},
		"forwarding":        {map[string]any{"username": "x", "password": "x", "targets": []any{"a@b.example"}}, 400, "InputValidationError", "targets"},
		"relay":             {map[string]any{"username": "x", "password": "x", "mtaRelay": "smtp://a.example"}, 400, "InputValidationError", "mtaRelay"},
		"encryption":        {map[string]any{"username": "x", "password": "x", "encryptMessages": true}, 400, "InputValidationError", "encryptMessages"},
		"tags to address":   {map[string]any{"username": "x", "password": "x", "addTagsToAddress": true}, 400, "InputValidationError", "addTagsToAddress"},
		"key":               {map[string]any{"username": "x", "password": "x", "pubKey": "hello"}, 400, "InputValidationError", "pubKey"},
		"ip":                {map[string]any{"username": "x", "password": "x", "ip": "10.0.0.0/8"}, 400, "InputValidationError", "ip"},
		"spam level":        {map[string]any{"username": "x", "password": "x", "spamLevel": 101}, 400, "InputValidationError", "spamLevel"},
		"weak password":     {map[string]any{"username": "x", "password": "password1", "allowUnsafe": false}, 403, "InsecurePasswordError", ""},
		"hash":              {map[string]any{"username": "x", "password": "nothash", "hashedPassword": true}, 500, "HashError", ""},
		"name taken":        {map[string]any{"username": "anna", "password": "x", "address": "other@example.org"}, 500, "UserExistsError", ""},
		"address taken":     {map[string]any{"username": "other", "password": "x", "address": "An.Na+label@example.org"}, 500, "AddressExistsError", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.json("POST", "/users", c.body)
			a.t = t
			a.fails(c.status, c.code)
			if c.detail != "" && a.at("details", c.detail) == nil {
				t.Errorf("details %s", a.raw)
			}
			if c.status == 500 {
				a.is(c.body["username"], "username")
			}
		})
	}
	if n := len(mustCount(t, w)); n != 1 {
		t.Errorf("%d users", n)
	}
}

// mustCount lists which of the names of TestCreateUserRefused exist.
func mustCount(t *testing.T, w *world) (found []string) {
	t.Helper()
	for _, name := range []string{"anna", "x", "other"} {
		switch _, err := w.store.FindUser(context.Background(), name); {
		case err == nil:
			found = append(found, name)
		case !mail.IsCode(err, mail.CodeNoUser):
			t.Fatal(err)
		}
	}
	return found
}

func TestUnknownUser(t *testing.T) {
	w := newWorld(t)
	id := mail.NewID().String()
	for _, path := range []string{"", "/mailboxes", "/updates"} {
		w.get("/users/"+id+path).fails(404, "UserNotFound")
	}
	w.get("/users/"+id+"/mailboxes/"+id+"/messages").fails(404, "NoSuchMailbox")
	w.get("/users/"+id+"/mailboxes/"+id+"/messages/1").fails(404, "MessageNotFound")
	w.get("/users/"+id+"/mailboxes?sizes=1").fails(400, "InputValidationError")
	w.get("/users/"+id+"/mailboxes?colour=1").fails(400, "InputValidationError")
	a := w.get("/users/abc").fails(400, "InputValidationError")
	a.is(`"user" length must be 24 characters long`, "details", "user")
	a.is(`"user" length must be 24 characters long`, "error")
}

func TestAuthenticate(t *testing.T) {
	w := newWorld(t)
	u, err := w.accounts.Create(context.Background(), store.NewUser{Username: "anna", Address: "anna@example.org", DisabledScopes: []string{"imap"}}, "correct horse 7")
	must(t, err)
	hash, err := account.HashPassword("a temporary one")
	must(t, err)
	_, err = w.store.CreateUser(context.Background(), store.NewUser{Username: "temp", TempPasswordHash: hash})
	must(t, err)
	for _, name := range []string{"AN.NA", "anna@example.org"} {
		a := w.json("POST", "/authenticate", map[string]any{"username": name, "password": "correct horse 7"}).ok()
		a.is(u.ID.String(), "id")
		a.is("anna", "username")
		a.is("anna@example.org", "address")
		a.is("master", "scope")
		a.is(false, "require2fa")
		if _, given := a.body["token"]; given {
			t.Error("a token that nobody asked for")
		}
	}
	a := w.json("POST", "/authenticate", map[string]any{"username": "temp", "password": "a temporary one"}).ok()
	a.is(true, "requirePasswordChange")

	login := map[string]any{"username": "anna", "password": "correct horse 7", "token": true}
	a = w.json("POST", "/authenticate", login).ok()
	token, _ := a.at("token").(string)
	w.get("/users/me", "X-Access-Token", token).ok().is("anna", "username")
	// The role auth may check passwords, and gets no token.
	a = w.json("POST", "/authenticate", login, w.token(mail.ID{}, "auth")...).ok()
	if _, given := a.body["token"]; given {
		t.Error("the role auth got a token")
	}

	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   string
	}{
		"wrong":           {map[string]any{"username": "anna", "password": "x"}, 403, "AuthFailed"},
		"nobody":          {map[string]any{"username": "nobody", "password": "x"}, 403, "AuthFailed"},
		"scope off":       {map[string]any{"username": "anna", "password": "correct horse 7", "scope": "imap"}, 403, "InvalidAuthScope"},
		"token and scope": {map[string]any{"username": "anna", "password": "correct horse 7", "scope": "smtp", "token": true}, 400, "InputValidationError"},
		"no password":     {map[string]any{"username": "anna"}, 400, "InputValidationError"},
		"unknown key":     {map[string]any{"username": "anna", "password": "x", "otp": 1}, 400, "InputValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.json("POST", "/authenticate", c.body)
			a.t = t
			a.fails(c.status, c.code)
		})
	}
	must(t, w.limit.Take(context.Background(), limit.AuthUser, u.ID.String(), 10))
	_ = w.limit.Take(context.Background(), limit.AuthUser, u.ID.String(), 10) // beyond the limit
	a = w.json("POST", "/authenticate", map[string]any{"username": "anna", "password": "correct horse 7"}).fails(403, "RateLimitedError")
	if a.at("retryAfter") == nil {
		t.Errorf("%s", a.raw)
	}
}
