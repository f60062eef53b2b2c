// Package degrade takes database and Redis away from a running server and looks
// at what its users are told, and at what is there afterwards.
package degrade

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	address  = "ann@eider.localhost"
	password = "long enough a password 7"
)

// world is a running server whose database and Redis can be taken away.
type world struct {
	*harness.Server
	t     *testing.T
	user  string
	proxy *storetest.Proxy
	redis *storetest.Redis

	mu    sync.Mutex
	acked []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("EIDER_TEST_MONGO") != "" || os.Getenv("EIDER_TEST_REDIS") != "" {
		t.Skip("the servers of the environment cannot be taken away")
	}
	redis := storetest.StartRedis(t)
	env, proxy := storetest.Proxied(t, "rs0")
	w := &world{t: t, proxy: proxy, redis: redis}
	w.Server = harness.Start(t, "", "--mongo", env.URI(""), "--redis", redis.URI())
	w.user = w.AddUser(t, "ann", address, password)
	return w
}

// session is one SMTP or LMTP session, read reply by reply.
type session struct {
	*textproto.Conn
	t *testing.T
}

func (w *world) dial(addr, hello string) *session {
	w.t.Helper()
	c, err := (&net.Dialer{}).DialContext(w.t.Context(), "tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &session{textproto.NewConn(c), w.t}
	s.reply()
	s.say(hello + " client.example")
	return s
}

// reply reads one reply: its code and its text.
func (s *session) reply() string {
	code, text, err := s.ReadResponse(0)
	if err != nil {
		return fmt.Sprint("no reply: ", err)
	}
	return fmt.Sprint(code, " ", text)
}

func (s *session) say(line string) string {
	if err := s.PrintfLine("%s", line); err != nil {
		return fmt.Sprint("not sent: ", err)
	}
	return s.reply()
}

// send delivers one message and gives the first reply that is not a yes, or the
// last one.
func (w *world) send(s *session, subject string) string {
	for _, line := range []string{"MAIL FROM:<a@elsewhere.example>", "RCPT TO:<" + address + ">", "DATA"} {
		if got := s.say(line); got[0] > '3' {
			return got
		}
	}
	got := s.say("From: a@elsewhere.example\r\nTo: " + address + "\r\nSubject: " + subject + "\r\n\r\nbody\r\n.")
	if strings.HasPrefix(got, "250") {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.acked = append(w.acked, subject)
	}
	return got
}

// browser is a signed-in person.
func (w *world) browser() *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	_, page, _ := w.get(client, "/signin")
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if token == nil {
		w.t.Fatalf("no form: %.300s", page)
	}
	body := url.Values{"csrf": {token[1]}, "username": {"ann"}, "password": {password}}.Encode()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.Web+"/signin", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://"+w.Web)
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	if code, page, _ := w.get(client, "/mail"); code != http.StatusOK || strings.Contains(page, `name="password"`) {
		w.t.Fatalf("not signed in: %d %.300s", code, page)
	}
	return client
}

func (w *world) get(client *http.Client, path string) (int, string, http.Header) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.Web+path, nil)
	if err != nil {
		return 0, err.Error(), nil
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return res.StatusCode, string(text), res.Header
}

func (w *world) api(path string) (int, string, http.Header) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.API+path, nil)
	if err != nil {
		return 0, err.Error(), nil
	}
	req.Header.Set("X-Access-Token", harness.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return res.StatusCode, string(text), res.Header
}

// wantAcknowledged wants every message that was answered with 250 once.
func (w *world) wantAcknowledged(when string) {
	w.t.Helper()
	boxes, err := w.mailboxes()
	if err != nil {
		w.t.Errorf("%s: %v", when, err)
		return
	}
	var list struct {
		Results []struct{ Subject string }
	}
	code, err := w.Call(w.t.Context(), http.MethodGet, "/users/"+w.user+"/mailboxes/"+boxes[0].ID+"/messages?limit=250", nil, &list)
	if err != nil || code != http.StatusOK {
		w.t.Errorf("%s: messages: %d %v", when, code, err)
		return
	}
	have := map[string]int{}
	for _, m := range list.Results {
		have[m.Subject]++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, subject := range w.acked {
		if have[subject] != 1 {
			w.t.Errorf("%s: %q is there %d times", when, subject, have[subject])
		}
	}
	if boxes[0].Total != len(list.Results) {
		w.t.Errorf("%s: the counter says %d, there are %d", when, boxes[0].Total, len(list.Results))
	}
}

type mailbox struct {
	ID, Path string
	Total    int
}

// mailboxes lists them, INBOX first.
func (w *world) mailboxes() ([]mailbox, error) {
	var out struct{ Results []mailbox }
	code, err := w.Call(w.t.Context(), http.MethodGet, "/users/"+w.user+"/mailboxes?counters=true", nil, &out)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK || len(out.Results) == 0 || out.Results[0].Path != "INBOX" {
		return nil, fmt.Errorf("mailboxes: %d %+v", code, out)
	}
	return out.Results, nil
}

// eventually waits until the condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s did not come", what)
		}
	}
}

// oneLine wants the failure of a request in the log once. The log arrives by a
// pipe, behind the answer.
func (w *world) oneLine(id string) {
	w.t.Helper()
	if id == "" {
		w.t.Error("an answer without a request's id")
		return
	}
	w.eventually("the line of "+id, func() bool { return strings.Contains(w.Log(), id) })
	if n := strings.Count(w.Log(), id); n != 1 {
		w.t.Errorf("request %q is in %d lines of the log", id, n)
	}
}

// The database goes away and comes back: each surface says "try again" in its
// own words, with one line in the log, nothing that was acknowledged is lost,
// and all work again by themselves.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.browser()
	for name, s := range map[string]*session{"lmtp": w.dial(w.LMTP, "LHLO"), "smtp": w.dial(w.SMTP, "EHLO")} {
		if got := w.send(s, "before by "+name); !strings.HasPrefix(got, "250") {
			t.Fatal(name, got)
		}
	}
	// One has said to whom, and says what when the database is gone.
	half := w.dial(w.LMTP, "LHLO")
	for _, line := range []string{"MAIL FROM:<a@elsewhere.example>", "RCPT TO:<" + address + ">", "DATA"} {
		half.say(line)
	}
	w.proxy.Away(true)
	var all sync.WaitGroup
	var apiID, pageID string
	all.Go(func() {
		if got := half.say("Subject: half\r\n\r\nbody\r\n."); !strings.HasPrefix(got, "451 4.3.0") {
			t.Errorf("the end of a message: %q", got)
		}
	})
	for name, addr := range map[string]string{"LHLO": w.LMTP, "EHLO": w.SMTP} {
		all.Go(func() {
			if got := w.send(w.dial(addr, name), "away"); !strings.HasPrefix(got, "451 4.3.0") {
				t.Errorf("%s: %q", name, got)
			}
		})
	}
	all.Go(func() {
		code, text, header := w.api("/users/" + w.user + "/mailboxes")
		if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(text, "InternalDatabaseError") {
			t.Errorf("API: %d %v %s", code, header, text)
		}
		apiID = header.Get("X-Request-Id")
	})
	all.Go(func() {
		code, page, header := w.get(ann, "/mail")
		if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			t.Errorf("webmail: %d %v", code, header)
		}
		for _, word := range []string{"mongo", "Mongo", "server selection", "<form"} {
			if strings.Contains(page, word) {
				t.Errorf("the page says %q: %.500s", word, page)
			}
		}
		pageID = header.Get("X-Request-Id")
	})
	all.Go(func() {
		if code, _, _ := w.api("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("ready: %d", code)
		}
	})
	all.Wait()
	w.proxy.Away(false)
	w.eventually("the database", func() bool { code, _, _ := w.api("/readyz"); return code == http.StatusOK })
	w.eventually("the webmail", func() bool { code, _, _ := w.get(ann, "/mail"); return code == http.StatusOK })
	for name, s := range map[string]*session{"lmtp": w.dial(w.LMTP, "LHLO"), "smtp": w.dial(w.SMTP, "EHLO")} {
		if got := w.send(s, "after by "+name); !strings.HasPrefix(got, "250") {
			t.Error(name, got)
		}
	}
	w.wantAcknowledged("after")
	w.oneLine(apiID)
	w.oneLine(pageID)
	if strings.Contains(w.Log(), "panic") {
		t.Error("something panicked")
	}
}

// Redis dies and comes back empty: mail is taken and read all the while.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.browser()
	look := func(when string) {
		t.Helper()
		for name, addr := range map[string]string{"LHLO": w.LMTP, "EHLO": w.SMTP} {
			if got := w.send(w.dial(addr, name), when+" by "+name); !strings.HasPrefix(got, "250") {
				t.Errorf("%s: %s: %q", when, name, got)
			}
		}
		if code, page, _ := w.get(ann, "/mail"); code != http.StatusOK || !strings.Contains(page, when+" by EHLO") {
			t.Errorf("%s: webmail: %d", when, code)
		}
		w.wantAcknowledged(when)
	}
	look("with Redis")
	w.redis.Kill()
	look("without Redis")
	if code, _, _ := w.api("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("ready without Redis: %d", code)
	}
	w.redis.Start()
	w.eventually("Redis", func() bool { code, _, _ := w.api("/readyz"); return code == http.StatusOK })
	look("with Redis again")
}
