package webmail_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web"
	"github.com/eidermail/eider/web/imageproxy"
	"github.com/eidermail/eider/web/live"
	"github.com/eidermail/eider/web/session"
	"github.com/eidermail/eider/web/webmail"
)

// key is long enough for everything that is signed.
var key = []byte("0123456789abcdef0123456789abcdef")

// world is a whole webmail on a store of its own.
type world struct {
	t        *testing.T
	store    *store.Store
	accounts *account.Accounts
	server   *httptest.Server
	// images is what the image proxy reaches.
	images func(context.Context, string, netip.AddrPort) (net.Conn, error)

	mu   sync.Mutex
	skew time.Duration
}

type setting func(*account.Options, *webmail.Options)

func newWorld(t *testing.T, settings ...setting) *world {
	return startWorld(t, false, nil, settings...)
}

func newTLSWorld(t *testing.T) *world { return startWorld(t, true, nil) }

// newWorldOn changes the store.
func newWorldOn(t *testing.T, change func(*store.Options)) *world {
	return startWorld(t, false, change)
}

func startWorld(t *testing.T, secure bool, change func(*store.Options), settings ...setting) *world {
	t.Helper()
	w := &world{t: t}
	env := storetest.New(t)
	hub := notify.New(env.Signal, env.Log)
	w.store = env.Open(func(o *store.Options) {
		o.Notify = hub
		if change != nil {
			change(o)
		}
	})
	limiter := limit.New(env.Signal)
	ao := account.Options{
		Store: w.store, Limit: limiter, Signal: env.Signal, Log: env.Log, Domains: []string{"eider.example"}, Registration: true, Secret: key,
	}
	wo := webmail.Options{
		Log: env.Log, Store: w.store, Limit: limiter, Signal: env.Signal, ContentKey: key,
		MaxMessage: 1 << 20, RequestID: web.RequestID, Now: w.now,
	}
	for _, set := range settings {
		set(&ao, &wo)
	}
	var err error
	if w.accounts, err = account.New(ao); err != nil {
		t.Fatal(err)
	}
	wo.Accounts = w.accounts
	wo.Guard = session.NewGuard(w.accounts, key, false)
	wo.Deliver = deliver.New(deliver.Options{Store: w.store, Signal: env.Signal, Log: quiet()})
	wo.Submit = submit.New(submit.Options{
		Store: w.store, Deliver: wo.Deliver, Queue: queue.New(w.store, env.Log), Limit: limiter, Log: env.Log, Hostname: "mx.eider.example",
	})
	wo.Proxy, err = imageproxy.New(imageproxy.Options{
		Key: key, Path: webmail.ImagePath, Log: env.Log,
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		},
		Dial: func(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
			return w.images(ctx, network, a)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	wo.Live = live.New(live.Options{
		Log: env.Log, Store: w.store, Hub: hub, Guard: wo.Guard, Key: key,
		Check: func(ctx context.Context, secret string) error { _, err := w.accounts.Session(ctx, secret); return err },
	})
	t.Cleanup(wo.Live.Stop)
	e := web.NewEcho(web.Base{
		Log: env.Log, Metrics: web.NewMetrics(), Surface: "web", Ready: func(context.Context) error { return nil },
	})
	webmail.Register(e, wo)
	if secure {
		w.server = httptest.NewTLSServer(e)
	} else {
		w.server = httptest.NewServer(e)
	}
	t.Cleanup(w.server.Close)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// later moves the webmail's clock.
func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += d
}

// user makes an account without a password: hashing takes long.
func (w *world) user(name string) mail.User {
	w.t.Helper()
	u, err := w.store.CreateUser(w.t.Context(), store.NewUser{
		Username: name, Name: strings.ToUpper(name[:1]) + name[1:] + " Holm", Address: name + "@eider.example",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// box finds a mailbox by its word.
func (w *world) box(u mail.User, use mail.SpecialUse) mail.Mailbox {
	w.t.Helper()
	var b mail.Mailbox
	var err error
	if use == mail.UseNone {
		b, err = w.store.MailboxByPath(w.t.Context(), u.ID, mail.Inbox)
	} else {
		b, err = w.store.MailboxByUse(w.t.Context(), u.ID, use, true)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := w.store.Mailboxes(w.t.Context(), u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, have := range list {
		if have.ID == b.ID {
			return have
		}
	}
	w.t.Fatalf("mailbox %s is not listed", b.Path)
	return b
}

// put stores a message in the Inbox, seen only when flags say so.
func (w *world) put(u mail.User, raw string, flags ...mail.Flag) store.Appended {
	w.t.Helper()
	return w.putAt(u, time.Time{}, raw, flags...)
}

func (w *world) putAt(u mail.User, at time.Time, raw string, flags ...mail.Flag) store.Appended {
	w.t.Helper()
	done, err := w.store.Append(w.t.Context(), store.Append{
		User: u.ID, Path: mail.Inbox, Message: message.Parse([]byte(crlf(raw))), Flags: flags, InternalDate: at,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func text(subject string) string {
	return "From: Berta Koch <berta@other.example>\nTo: anna@eider.example\nSubject: " + subject +
		"\nMessage-ID: <" + subject + "@other.example>\nDate: Tue, 24 Nov 2026 10:00:00 +0100\n\nHello from " + subject + ".\n"
}

func ref(a store.Appended) string { return templates.Ref(a.Mailbox.String(), uint32(a.UID)) }

func refOf(b mail.Mailbox, uid mail.UID) string { return templates.Ref(b.ID.String(), uint32(uid)) }

func at(a store.Appended) string { return templates.MessageURL(a.Mailbox.String(), uint32(a.UID)) }

// row reads a row that must be there.
func (w *world) row(u mail.User, b mail.ID, uid mail.UID) *mail.Message {
	w.t.Helper()
	m, err := w.store.Row(w.t.Context(), u.ID, b, uid)
	if err != nil {
		w.t.Fatal(err)
	}
	return &m
}

// uids lists a mailbox.
func (w *world) uids(u mail.User, b mail.ID) []mail.UID {
	w.t.Helper()
	list, err := w.store.UIDs(w.t.Context(), u.ID, b, 0, store.ListFilter{}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// browser is one with cookies. It follows no redirect by itself.
type browser struct {
	t    *testing.T
	w    *world
	http *http.Client
	csrf string
	// headers go with every request.
	headers map[string]string
}

func (w *world) visitor() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{t: w.t, w: w, headers: map[string]string{}, http: &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
}

// browser is one that is signed in.
func (w *world) browser(u mail.User) *browser {
	w.t.Helper()
	b := w.visitor()
	secret, err := w.accounts.NewSession(w.t.Context(), u, account.SessionOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.accounts.Session(w.t.Context(), secret)
	if err != nil {
		w.t.Fatal(err)
	}
	b.csrf = s.CSRF
	b.setCookie("eider", secret)
	w.t.Cleanup(b.http.CloseIdleConnections)
	return b
}

func (b *browser) base() *url.URL {
	u, err := url.Parse(b.w.server.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *browser) setCookie(name, value string) {
	b.http.Jar.SetCookies(b.base(), []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// answer is a response that was read.
type answer struct {
	*http.Response
	t    *testing.T
	body string
}

func (b *browser) do(method, path, contentType string, body io.Reader, headers ...string) *answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.w.server.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for k, v := range b.headers {
		r.Header.Set(k, v)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &answer{Response: resp, t: b.t, body: string(all)}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// get asks for a page and remembers the form token on it.
func (b *browser) get(path string, headers ...string) *answer {
	b.t.Helper()
	a := b.do(http.MethodGet, path, "", nil, headers...)
	if m := csrfField.FindStringSubmatch(a.body); m != nil {
		b.csrf = m[1]
	}
	return a
}

// post sends a form: names and values in turn. The token comes by itself.
func (b *browser) post(path string, pairs ...string) *answer {
	b.t.Helper()
	return b.postWith(path, nil, pairs...)
}

func (b *browser) postWith(path string, headers []string, pairs ...string) *answer {
	b.t.Helper()
	form := url.Values{"csrf": {b.csrf}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), headers...)
}

// file is one to upload.
type file struct{ name, kind, data string }

func (b *browser) upload(path string, files []file, headers []string, pairs ...string) *answer {
	b.t.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	_ = m.WriteField("csrf", b.csrf)
	for i := 0; i+1 < len(pairs); i += 2 {
		_ = m.WriteField(pairs[i], pairs[i+1])
	}
	for _, f := range files {
		part, err := m.CreatePart(map[string][]string{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="files"; filename=%q`, f.name)}, "Content-Type": {f.kind},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		_, _ = part.Write([]byte(f.data))
	}
	_ = m.Close()
	return b.do(http.MethodPost, path, m.FormDataContentType(), &body, headers...)
}

// follow goes where the answer sends.
func (b *browser) follow(a *answer, headers ...string) *answer {
	b.t.Helper()
	a.is(http.StatusSeeOther)
	return b.get(a.Header.Get("Location"), headers...)
}

func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("%s %s: status %d, want %d\n%.600s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	return a
}

func (a *answer) to(location string) *answer {
	a.t.Helper()
	a.is(http.StatusSeeOther)
	if got := a.Header.Get("Location"); got != location {
		a.t.Fatalf("sent to %q, want %q", got, location)
	}
	return a
}

func (a *answer) has(parts ...string) *answer {
	a.t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			a.t.Errorf("%s lacks %q\n%.3000s", a.Request.URL.Path, part, a.body)
		}
	}
	return a
}

func (a *answer) lacks(parts ...string) *answer {
	a.t.Helper()
	for _, part := range parts {
		if strings.Contains(a.body, part) {
			a.t.Errorf("%s has %q", a.Request.URL.Path, part)
		}
	}
	return a
}

var undoField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// undoToken is the one in the toast.
func (a *answer) undoToken() string {
	a.t.Helper()
	m := undoField.FindStringSubmatch(a.body)
	if m == nil {
		a.t.Fatalf("no undo in the toast:\n%.800s", a.body)
	}
	return m[1]
}
