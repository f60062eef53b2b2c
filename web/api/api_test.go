package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/mail/submit"
	"github.com/eidermail/eider/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rootToken = "0123456789root"

// world is the API on a real listener over a fresh store.
type world struct {
	t        *testing.T
	store    *store.Store
	accounts *account.Accounts
	hub      *notify.Hub
	limit    *limit.Limiter
	url      string
	client   *http.Client
	stop     context.CancelFunc
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	return newWorldOn(t, func(*store.Options) {}, change...)
}

// newWorldOn is newWorld with options of the store.
func newWorldOn(t *testing.T, storeOptions func(*store.Options), change ...func(*Options)) *world {
	t.Helper()
	env := storetest.New(t)
	w := &world{t: t, hub: notify.New(env.Signal, env.Log)}
	w.store = env.Open(func(o *store.Options) { o.Notify = w.hub; storeOptions(o) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-w.hub.Ready()

	limiter := limit.New(env.Signal)
	w.limit = limiter
	var err error
	w.accounts, err = account.New(account.Options{Store: w.store, Limit: limiter, Log: env.Log, Domains: []string{"example.org"}})
	must(t, err)
	deliverer := deliver.New(deliver.Options{Store: w.store, Signal: env.Signal, Log: env.Log})
	stopping, stop := context.WithCancel(context.Background())
	w.stop = stop
	o := Options{
		Log: slog.New(slog.DiscardHandler), Store: w.store, Accounts: w.accounts, Hub: w.hub, Signal: env.Signal,
		Submit: submit.New(submit.Options{
			Store: w.store, Deliver: deliverer, Queue: queue.New(w.store, env.Log), Limit: limiter, Log: env.Log, Hostname: "mx.example.org",
		}),
		RootToken: rootToken, EmailDomain: "example.org", RequestID: web.RequestID, Stopping: stopping,
	}
	for _, f := range change {
		f(&o)
	}
	w.listen(o)
	return w
}

// listen serves the API; the streams end before the server stops.
func (w *world) listen(o Options) {
	e := web.NewEcho(web.Base{
		Log: o.Log, Metrics: web.NewMetrics(), Surface: "api", Ready: func(context.Context) error { return nil },
	})
	Register(e, o)
	srv, err := web.Listen(context.Background(), "api", "127.0.0.1:0", e, nil, o.Log)
	must(w.t, err)
	w.url = "http://" + srv.Addr().String()
	w.client = &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	w.t.Cleanup(func() {
		w.stop()
		w.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			w.t.Errorf("stop: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is a response that was read.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// do sends a request as root, or with what headers say.
func (w *world) do(method, path, kind, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	must(w.t, err)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if len(headers) == 0 {
		headers = []string{"X-Access-Token", rootToken}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.client.Do(req)
	must(w.t, err)
	return readAnswer(w.t, res)
}

func readAnswer(t *testing.T, res *http.Response) answer {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	must(t, err)
	a := answer{t: t, status: res.StatusCode, header: res.Header, raw: raw}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		must(t, json.Unmarshal(raw, &a.body))
	}
	return a
}

func (w *world) get(path string, headers ...string) answer {
	w.t.Helper()
	return w.do(http.MethodGet, path, "", "", headers...)
}

func (w *world) json(method, path string, body any, headers ...string) answer {
	w.t.Helper()
	b, err := json.Marshal(body)
	must(w.t, err)
	return w.do(method, path, "application/json", string(b), headers...)
}

// ok expects success.
func (a answer) ok() answer {
	a.t.Helper()
	if a.status != http.StatusOK || a.body["success"] != true {
		a.t.Fatalf("status %d: %s", a.status, a.raw)
	}
	return a
}

// fails expects a status and a code ("" for none).
func (a answer) fails(status int, code string) answer {
	a.t.Helper()
	got, _ := a.body["code"].(string)
	if a.status != status || got != code || a.body["success"] != nil {
		a.t.Fatalf("status %d, want %d %s: %s", a.status, status, code, a.raw)
	}
	return a
}

// at finds a value by a path of keys and list positions.
func (a answer) at(path ...any) any {
	a.t.Helper()
	var v any = a.body
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				a.t.Fatalf("no %v in %s", path, a.raw)
			}
			v = m[key]
		case int:
			l, ok := v.([]any)
			if !ok || key >= len(l) {
				a.t.Fatalf("no %v in %s", path, a.raw)
			}
			v = l[key]
		}
	}
	return v
}

func (a answer) is(want any, path ...any) {
	a.t.Helper()
	got, _ := json.Marshal(a.at(path...))
	text, _ := json.Marshal(want)
	if !bytes.Equal(got, text) {
		a.t.Errorf("%v is %s, want %s", path, got, text)
	}
}

func (w *world) user(name string) mail.User {
	w.t.Helper()
	u, err := w.store.CreateUser(context.Background(), store.NewUser{Username: name, Name: "Person " + name, Address: name + "@example.org"})
	must(w.t, err)
	return u
}

func (w *world) token(user mail.ID, role string) []string {
	w.t.Helper()
	token, err := w.accounts.NewToken(context.Background(), account.TokenOptions{User: user, Role: role})
	must(w.t, err)
	return []string{"X-Access-Token", token}
}

func (w *world) box(u mail.User, use mail.SpecialUse) mail.Mailbox {
	w.t.Helper()
	boxes, err := w.store.Mailboxes(context.Background(), u.ID)
	must(w.t, err)
	for _, b := range boxes {
		if b.SpecialUse == use || (use == "" && b.Path == mail.Inbox) {
			return b
		}
	}
	w.t.Fatalf("no mailbox %q", use)
	return mail.Mailbox{}
}

// put stores a message in INBOX and gives its UID.
func (w *world) put(u mail.User, raw string, change ...func(*store.Append)) store.Appended {
	w.t.Helper()
	a := store.Append{
		User: u.ID, Message: message.Parse([]byte(crlf(raw))),
		Meta: store.Meta{Source: "MX", From: "envelope@else.example", To: []string{"an.na+x@example.org"}},
	}
	for _, f := range change {
		f(&a)
	}
	done, err := w.store.Append(context.Background(), a)
	must(w.t, err)
	return done
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func inbox(u mail.User, box mail.Mailbox) string {
	return "/users/" + u.ID.String() + "/mailboxes/" + box.ID.String() + "/messages"
}

func TestRouterErrors(t *testing.T) {
	w := newWorld(t)
	// Neither needs a token.
	a := w.get("/nothing/here", "X-None", "")
	if a.status != 404 || string(a.raw) != "{\n  \"code\": \"ResourceNotFound\",\n  \"message\": \"/nothing/here does not exist\"\n}\n" {
		t.Errorf("unknown path: %d %q", a.status, a.raw)
	}
	if kind := a.header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("content type %q", kind)
	}
	if a.header.Get("Content-Length") == "" || a.header.Get("X-Request-Id") == "" {
		t.Errorf("headers %v", a.header)
	}
	a = w.do(http.MethodPatch, "/users", "", "", "X-None", "")
	if a.status != 405 || a.body["code"] != "MethodNotAllowed" || a.body["message"] != "PATCH is not allowed" {
		t.Errorf("method: %d %s", a.status, a.raw)
	}
	for _, path := range []string{"/users/", "/users/" + mail.NewID().String() + "/mailboxes/"} {
		if a := w.get(path); a.status != 404 || a.body["code"] != "ResourceNotFound" {
			t.Errorf("slash at the end of %s: %d %s", path, a.status, a.raw)
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	path := "/users/" + u.ID.String()
	own := w.token(u.ID, "user")[1]
	for name, c := range map[string]struct {
		path    string
		headers []string
		ok      bool
	}{
		"none":                    {path, []string{"X-None", ""}, false},
		"root header":             {path, []string{"X-Access-Token", rootToken}, true},
		"root bearer":             {path, []string{"Authorization", "Bearer " + rootToken}, true},
		"root bearer lower":       {path, []string{"Authorization", "bearer " + rootToken}, true},
		"root bare":               {path, []string{"Authorization", rootToken}, true},
		"root query":              {path + "?accessToken=" + rootToken, []string{"X-None", ""}, true},
		"query before header":     {path + "?accessToken=wrong", []string{"X-Access-Token", rootToken}, false},
		"header before bearer":    {path, []string{"X-Access-Token", "wrong", "Authorization", rootToken}, false},
		"wrong":                   {path, []string{"X-Access-Token", strings.Repeat("a", 40)}, false},
		"own":                     {path, []string{"X-Access-Token", own}, true},
		"own by me":               {"/users/me", []string{"X-Access-Token", own}, true},
		"unknown role":            {path, w.token(u.ID, "emperor"), false},
		"almost the root's token": {path, []string{"X-Access-Token", rootToken + "x"}, false},
	} {
		a := w.get(c.path, c.headers...)
		switch {
		case c.ok && a.status != 200:
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		case !c.ok && (a.status != 403 || a.body["code"] != "InvalidToken" || a.body["message"] != "Invalid accessToken value" || a.body["error"] != nil):
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	// me is nobody to root.
	w.get("/users/me").fails(400, "InputValidationError")
}

func TestOpen(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Open = true })
	u := w.user("anna")
	path := "/users/" + u.ID.String()
	w.get(path, "X-None", "").ok()
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"X-Access-Token", "wrong"},
	} {
		if a := w.get(path, headers...); a.status != 403 || a.body["code"] != "InvalidToken" {
			t.Errorf("%v: %d %s", headers, a.status, a.raw)
		}
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	anna, bert := w.user("anna"), w.user("bert")
	box := w.box(anna, "")
	uid := w.put(anna, "Subject: x\n\nhi\n").UID
	list := inbox(anna, box)
	one := list + "/" + itoa(uid)
	for name, c := range map[string]struct {
		as   []string
		may  []string
		deny []string
	}{
		"own":        {w.token(anna.ID, "user"), []string{"/users/" + anna.ID.String(), list, one}, []string{"/users/" + bert.ID.String()}},
		"other":      {w.token(bert.ID, "user"), nil, []string{"/users/" + anna.ID.String(), list, one, one + "/message.eml"}},
		"manager":    {w.token(mail.ID{}, "manager"), []string{"/users/" + anna.ID.String()}, []string{list, one, "/users/" + anna.ID.String() + "/mailboxes"}},
		"downloader": {w.token(mail.ID{}, "downloader"), []string{list, one + "/message.eml"}, []string{"/users/" + anna.ID.String(), one + "/attachments/ATT00001"}},
		"webmail":    {w.token(mail.ID{}, "webmail"), []string{list, "/users/" + bert.ID.String() + "/mailboxes"}, nil},
	} {
		for _, path := range c.may {
			if a := w.get(path, c.as...); a.status != 200 {
				t.Errorf("%s may not %s: %s", name, path, a.raw)
			}
		}
		for _, path := range c.deny {
			a := w.get(path, c.as...)
			if a.status != 403 || a.body["code"] != "MissingPrivileges" || a.body["error"] != "Not enough privileges" {
				t.Errorf("%s may %s: %d %s", name, path, a.status, a.raw)
			}
		}
	}
	// Validation comes before the privilege check.
	w.get(list+"/0", w.token(bert.ID, "user")...).fails(400, "InputValidationError")
	w.json("POST", "/users", map[string]any{"username": "!"}, w.token(bert.ID, "user")...).fails(400, "InputValidationError")
	w.json("POST", "/users", map[string]any{"username": "new", "password": "x"}, w.token(bert.ID, "user")...).fails(403, "MissingPrivileges")
	w.json("POST", "/authenticate", map[string]any{"username": "anna", "password": "x"}, w.token(anna.ID, "user")...).fails(403, "MissingPrivileges")
}

func TestBodies(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	path := "/users/" + u.ID.String() + "/submit"
	for name, c := range map[string]struct {
		kind, body string
		status     int
		code       string
	}{
		"bad JSON":        {"application/json", `{"a":`, 400, "InvalidContent"},
		"an array":        {"application/json", `[1]`, 400, "InvalidContent"},
		"something after": {"application/json", `{"isDraft":true} {}`, 400, "InvalidContent"},
		"bad form":        {"application/x-www-form-urlencoded", "a=%zz", 400, "InvalidContent"},
		"no boundary":     {"multipart/form-data; boundary=x", "--x\r\nContent-Dis", 400, "InvalidContent"},
		"too many":        {"application/x-www-form-urlencoded", strings.Repeat("a=1&", 1001), 400, "InvalidContent"},
	} {
		a := w.do("POST", path, c.kind, c.body)
		if a.status != c.status || a.body["code"] != c.code || a.body["message"] == nil {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if a := w.do("POST", path, "application/json", "{}", "X-Access-Token", rootToken, "Content-Encoding", "br"); a.status != 415 {
		t.Errorf("coding: %d %s", a.status, a.raw)
	}
	a := w.do("POST", path, "application/json", gzipped(t, `{"isDraft":true,"subject":"packed"}`), "X-Access-Token", rootToken, "Content-Encoding", "gzip")
	a.ok()
	r := newRequest("/")
	r.Body = io.NopCloser(strings.NewReader(gzipped(t, `{"subject":"`+strings.Repeat("a", 5000)+`"}`)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	var tooBig *http.MaxBytesError
	if _, err := bodyParams(r, 1000); !errors.As(err, &tooBig) {
		t.Errorf("unpacks to more than may come plain: %v", err)
	}
}

func TestFailureIsLoggedOnceAndHidden(t *testing.T) {
	var log bytes.Buffer
	s := &server{Options{Log: slog.New(slog.NewTextHandler(&log, nil)), RequestID: func(echo.Context) string { return "abc" }}}
	e := echo.New()
	e.HTTPErrorHandler = s.failed
	e.GET("/x", func(echo.Context) error { return &mail.Error{Code: mail.CodeInternal, Op: "read secret table"} })
	rec := newRecorder()
	e.ServeHTTP(rec, newRequest("/x"))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret table") || !strings.Contains(rec.Body.String(), "InternalError") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "secret table") || !strings.Contains(log.String(), "request_id=abc") {
		t.Errorf("log: %s", log.String())
	}
}

// half reads a little, then fails.
type half struct{ done bool }

func (h *half) Read(p []byte) (int, error) {
	if h.done {
		return 0, errors.New("the disk is gone")
	}
	h.done = true
	return copy(p, "some"), nil
}

func TestBrokenSourceIsNotTakenForWhole(t *testing.T) {
	w := newWorld(t)
	e := web.NewEcho(web.Base{Log: slog.New(slog.DiscardHandler), Metrics: web.NewMetrics(), Ready: func(context.Context) error { return nil }})
	s := &server{Options{Log: slog.New(slog.DiscardHandler), RequestID: web.RequestID}}
	e.HTTPErrorHandler = s.failed
	e.GET("/half", func(c echo.Context) error { return s.send(c, "message/rfc822", &half{}) })
	srv, err := web.Listen(context.Background(), "api", "127.0.0.1:0", e, nil, s.Log)
	must(t, err)
	res, err := w.client.Get("http://" + srv.Addr().String() + "/half")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("half a message reads as a whole one")
	}
	must(t, srv.Stop(context.Background()))
}
