package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/web/live"
	"github.com/eidermail/eider/web/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte("0123456789abcdef0123456789abcdef")

// world is one process with sockets, and a second one that only writes.
type world struct {
	t        *testing.T
	store    *store.Store
	other    *store.Store
	hub      *notify.Hub
	accounts *account.Accounts
	live     *live.Live
	server   *httptest.Server
	user     mail.User
	inbox    mail.Mailbox
	secret   string
	token    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := storetest.New(t)
	w := &world{t: t, hub: notify.New(env.Signal, env.Log)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.hub.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-w.hub.Ready()
	w.store = env.Open(func(o *store.Options) { o.Notify = w.hub })
	// The other process has a hub of its own; only the signals connect them.
	w.other = env.Open(nil)
	var err error
	w.accounts, err = account.New(account.Options{Store: w.store, Limit: limit.New(env.Signal), Log: env.Log, Secret: key})
	w.ok(err)
	guard := session.NewGuard(w.accounts, key, false)
	w.live = live.New(live.Options{
		Log: slog.New(slog.DiscardHandler), Store: w.store, Hub: w.hub, Guard: guard, Key: key,
		Row: func(_ context.Context, _ echo.Context, m *mail.Message, _ mail.Mailbox) (string, error) {
			return "<li>" + m.Subject + "</li>", nil
		},
		Check: func(ctx context.Context, secret string) error { _, err := w.accounts.Session(ctx, secret); return err },
	})
	e := echo.New()
	e.GET("/live", w.live.Handle, guard.Load)
	w.server = httptest.NewServer(e)
	t.Cleanup(w.server.Close)
	t.Cleanup(w.live.Stop)
	w.user, err = w.store.CreateUser(t.Context(), store.NewUser{Username: "anna", Address: "anna@eider.example"})
	w.ok(err)
	w.inbox, err = w.store.MailboxByPath(t.Context(), w.user.ID, mail.Inbox)
	w.ok(err)
	w.secret, err = w.accounts.NewSession(t.Context(), w.user, account.SessionOptions{})
	w.ok(err)
	s, err := w.accounts.Session(t.Context(), w.secret)
	w.ok(err)
	w.token = w.live.Token(s.ID)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) append(s *store.Store, subject string) store.Appended {
	w.t.Helper()
	done, err := s.Append(w.t.Context(), store.Append{
		User: w.user.ID, Path: mail.Inbox, Message: message.Parse([]byte("Subject: " + subject + "\r\n\r\nHello\r\n")),
	})
	w.ok(err)
	return done
}

func (w *world) last() string {
	w.t.Helper()
	id, err := w.store.LastChange(w.t.Context(), w.user.ID)
	w.ok(err)
	return id.String()
}

func (w *world) sel(uids ...mail.UID) store.Selection {
	return store.Selection{User: w.user.ID, Mailbox: w.inbox.ID, UIDs: uids}
}

type frame struct {
	Op, Mailbox, HTML, ID string
	UID                   uint32
	Flags                 *struct{ Seen, Flagged bool }
	Mailboxes             []struct {
		ID            string
		Total, Unseen int
	}
}

// client is a tab.
type client struct {
	w    *world
	conn *websocket.Conn
}

// open dials; origin "" sends none.
func (w *world) open(origin, secret string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	if origin != "" {
		h.Set("Origin", origin)
	}
	if secret != "" {
		h.Set("Cookie", "eider="+secret)
	}
	d := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	conn, resp, err := d.DialContext(w.t.Context(), "ws"+strings.TrimPrefix(w.server.URL, "http")+"/live", h)
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	return conn, resp, err
}

func (w *world) dial() *client {
	w.t.Helper()
	conn, _, err := w.open(w.server.URL, w.secret)
	w.ok(err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return &client{w, conn}
}

// tab is a client that has said what it shows.
func (w *world) tab(since string) *client {
	w.t.Helper()
	c := w.dial()
	c.say(w.inbox.ID.String(), since, w.token)
	return c
}

func (c *client) say(mailbox, since, token string) {
	c.w.t.Helper()
	c.w.ok(c.conn.WriteJSON(map[string]any{"view": map[string]string{"mailbox": mailbox}, "since": since, "token": token}))
}

func (c *client) next() (frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, data, err := c.conn.ReadMessage()
	if err != nil {
		return frame{}, err
	}
	var f frame
	return f, json.Unmarshal(data, &f)
}

// until reads frames up to one that fits.
func (c *client) until(what string, fits func(frame) bool) frame {
	c.w.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			c.w.t.Fatalf("waiting for %s: %v", what, err)
		}
		if fits(f) {
			return f
		}
	}
}

func (c *client) op(op string, uid mail.UID) frame {
	c.w.t.Helper()
	return c.until(fmt.Sprintf("%s %d", op, uid), func(f frame) bool { return f.Op == op && (uid == 0 || f.UID == uint32(uid)) })
}

// ended waits for the close and gives its code.
func (c *client) ended() int {
	c.w.t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		if e, ok := err.(*websocket.CloseError); ok { //nolint:errorlint // gorilla does not wrap it
			ce = e
			return ce.Code
		}
		return 0
	}
}

func TestWhoMayOpen(t *testing.T) {
	w := newWorld(t)
	host := strings.TrimPrefix(w.server.URL, "http://")
	for _, c := range []struct {
		origin, secret string
		status         int
	}{
		{"", w.secret, 403},
		{"null", w.secret, 403},
		{"https://" + host, w.secret, 403},
		{"http://evil.example", w.secret, 403},
		{w.server.URL + ".evil.example", w.secret, 403},
		{w.server.URL, "", 401},
		{w.server.URL, strings.Repeat("x", 43), 401},
	} {
		conn, resp, err := w.open(c.origin, c.secret)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%q may open", c.origin)
			continue
		}
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%q: %v %v, want %d", c.origin, resp, err, c.status)
		}
	}
}

func TestTokenInTheFirstFrame(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"", "x", w.live.Token("another session")} {
		c := w.dial()
		c.say(w.inbox.ID.String(), "", token)
		if code := c.ended(); code != websocket.ClosePolicyViolation {
			t.Errorf("token %q: code %d", token, code)
		}
	}
	for _, raw := range []string{"{", `[]`, strings.Repeat("x", 5000)} {
		c := w.dial()
		w.ok(c.conn.WriteMessage(websocket.TextMessage, []byte(raw)))
		c.ended()
	}
	c := w.dial()
	w.ok(c.conn.WriteMessage(websocket.BinaryMessage, []byte("{}")))
	c.ended()
}

func TestOversizedFrame(t *testing.T) {
	w := newWorld(t)
	c := w.tab("")
	c.op("at", 0)
	c.say(strings.Repeat("a", 5000), "", w.token)
	if code := c.ended(); code != websocket.CloseMessageTooBig {
		t.Errorf("code %d", code)
	}
}

func TestFloodEnds(t *testing.T) {
	w := newWorld(t)
	c := w.tab("")
	for range 200 {
		if c.conn.WriteJSON(map[string]any{"since": ""}) != nil {
			break
		}
	}
	c.ended()
}

func TestFollows(t *testing.T) {
	w := newWorld(t)
	for name, writer := range map[string]*store.Store{"this process": w.store, "another process": w.other} {
		t.Run(name, func(t *testing.T) {
			c := w.tab(w.last())
			m := w.append(writer, "one")
			f := c.op("new", m.UID)
			if f.HTML != "<li>one</li>" || f.Mailbox != w.inbox.ID.String() {
				t.Errorf("new: %+v", f)
			}
			counted := c.until("counters", func(f frame) bool { return f.Op == "counters" })
			if counted.ID == "" || len(counted.Mailboxes) < 5 {
				t.Errorf("counters: %+v", counted)
			}
			_, err := writer.StoreFlags(t.Context(), w.sel(m.UID), store.FlagChange{Add: []mail.Flag{mail.FlagSeen, mail.FlagFlagged}})
			w.ok(err)
			c.until("flags", func(f frame) bool {
				return f.Op == "flags" && f.UID == uint32(m.UID) && f.Flags.Seen && f.Flags.Flagged
			})
			_, err = writer.Expunge(t.Context(), w.sel(m.UID), store.ExpungeOptions{})
			w.ok(err)
			c.op("gone", m.UID)
			_ = c.conn.Close()
		})
	}
}

func TestMoveIsSeenOnBothSides(t *testing.T) {
	w := newWorld(t)
	m := w.append(w.store, "moved")
	trash, err := w.store.MailboxByUse(t.Context(), w.user.ID, mail.UseTrash, true)
	w.ok(err)
	source, target := w.tab(w.last()), w.dial()
	target.say(trash.ID.String(), w.last(), w.token)
	source.op("new", m.UID) // the last change is told again
	moved, err := w.store.Move(t.Context(), w.sel(m.UID), trash.ID, store.MoveOptions{})
	w.ok(err)
	source.op("gone", m.UID)
	f := target.until("new in Trash", func(f frame) bool { return f.Op == "new" && f.Mailbox == trash.ID.String() })
	if f.UID != uint32(moved[0].To) || f.HTML != "<li>moved</li>" {
		t.Errorf("%+v", f)
	}
}

func TestCatchUp(t *testing.T) {
	w := newWorld(t)
	kept := w.append(w.store, "kept")
	gone := w.append(w.store, "gone")
	since := w.last()
	_, err := w.other.Expunge(t.Context(), w.sel(gone.UID), store.ExpungeOptions{})
	w.ok(err)
	_, err = w.other.StoreFlags(t.Context(), w.sel(kept.UID), store.FlagChange{Add: []mail.Flag{mail.FlagFlagged}})
	w.ok(err)
	fresh := w.append(w.other, "fresh")
	c := w.tab(since)
	want := map[string]bool{
		fmt.Sprintf("gone %d", gone.UID): true, fmt.Sprintf("flags %d true", kept.UID): true, fmt.Sprintf("new %d", fresh.UID): true,
	}
	var id string
	for len(want) > 0 || id == "" {
		f, err := c.next()
		w.ok(err)
		word := fmt.Sprintf("%s %d", f.Op, f.UID)
		if f.Flags != nil {
			word += fmt.Sprint(" ", f.Flags.Flagged)
		}
		delete(want, word)
		if f.ID != "" {
			id = f.ID
		}
	}
	if id != w.last() {
		t.Errorf("position %s, want %s", id, w.last())
	}
}

// A flag that changed twice in the last seconds is told as it is now.
func TestToldAgainIsNotOlder(t *testing.T) {
	w := newWorld(t)
	m := w.append(w.store, "one")
	for _, c := range []store.FlagChange{{Add: []mail.Flag{mail.FlagFlagged}}, {Remove: []mail.Flag{mail.FlagFlagged}}} {
		_, err := w.store.StoreFlags(t.Context(), w.sel(m.UID), c)
		w.ok(err)
	}
	c := w.tab(w.last())
	if f := c.op("flags", m.UID); f.Flags.Flagged {
		t.Error("an older state came back")
	}
}

func TestResync(t *testing.T) {
	w := newWorld(t)
	for name, since := range map[string]string{
		"too old": mail.NewIDAt(time.Now().AddDate(-1, 0, 0)).String(), "no id": "x", "zero": mail.ID{}.String(),
	} {
		t.Run(name, func(t *testing.T) {
			c := w.tab(since)
			f, err := c.next()
			w.ok(err)
			if f.Op != "resync" || f.ID == "" {
				t.Errorf("%+v", f)
			}
			m := w.append(w.store, "after")
			c.op("new", m.UID)
			_ = c.conn.Close()
		})
	}
}

func TestManyChangesResync(t *testing.T) {
	w := newWorld(t)
	c := w.tab(w.last())
	since := w.last()
	for i := range 60 {
		w.append(w.store, fmt.Sprint("m", i))
	}
	_ = c.conn.Close()
	c = w.tab(since)
	c.op("resync", 0)
	// And on from there, without telling the same again.
	m := w.append(w.store, "after")
	if f := c.op("new", 0); f.UID != uint32(m.UID) {
		t.Errorf("new %d, want %d", f.UID, m.UID)
	}
}

func TestFoldersResync(t *testing.T) {
	w := newWorld(t)
	c := w.tab(w.last())
	c.say(w.inbox.ID.String(), "", w.token)
	c.op("at", 0)
	box, err := w.other.CreateMailbox(t.Context(), w.user.ID, "New", mail.UseNone)
	w.ok(err)
	c.op("resync", 0)
	w.ok(w.other.DeleteMailbox(t.Context(), w.user.ID, box.ID))
	c.op("resync", 0)
}

func TestViewSwitch(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	sent, err := w.store.MailboxByUse(t.Context(), w.user.ID, mail.UseSent, true)
	w.ok(err)
	c.say(sent.ID.String(), w.last(), w.token)
	m := w.append(w.store, "inbox")
	f := c.until("counters", func(f frame) bool {
		if f.Op == "new" {
			t.Error("a row of another mailbox")
		}
		return f.Op == "counters"
	})
	// What came while the tab was fetching its new view is told with it.
	c.say(w.inbox.ID.String(), f.ID, w.token)
	c.op("new", m.UID)
	// Another account's mailbox shows nothing.
	c.say(mail.NewID().String(), w.last(), w.token)
	w.append(w.store, "more")
	c.until("counters", func(f frame) bool {
		if f.Op == "new" {
			t.Error("a row of no mailbox")
		}
		return f.Op == "counters"
	})
}

func TestSignedOutElsewhere(t *testing.T) {
	w := newWorld(t)
	c := w.tab("")
	c.op("at", 0)
	// Not this session: it stays.
	w.ok(w.hub.Logout(t.Context(), w.user.ID, "test"))
	m := w.append(w.store, "still")
	c.op("new", m.UID)
	w.ok(w.accounts.EndSession(t.Context(), w.secret))
	w.ok(w.hub.Logout(t.Context(), w.user.ID, "test"))
	if code := c.ended(); code != websocket.ClosePolicyViolation {
		t.Errorf("code %d", code)
	}
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	c := w.tab("")
	c.op("at", 0)
	silent := w.dial()
	w.live.Stop()
	if n := w.live.Open(); n != 0 {
		t.Errorf("%d open after Stop", n)
	}
	if code := c.ended(); code != websocket.CloseGoingAway {
		t.Errorf("code %d", code)
	}
	silent.ended()
	if _, resp, err := w.open(w.server.URL, w.secret); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Stop: %v %v", resp, err)
	}
}

// A tab that reads nothing holds up nobody.
func TestSlowTab(t *testing.T) {
	w := newWorld(t)
	slow := w.tab(w.last())
	if tcp, ok := slow.conn.NetConn().(interface{ SetReadBuffer(int) error }); ok {
		w.ok(tcp.SetReadBuffer(1024))
	}
	quick := w.tab(w.last())
	for i := range 40 {
		m := w.append(w.store, strings.Repeat("s", 800)+strconv.Itoa(i))
		quick.op("new", m.UID)
	}
}
