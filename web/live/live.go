// Package live is the webmail's socket: one WebSocket per tab (RFC 6455) that
// tells of new mail, changed flags, removed messages and counters.
//
// The tab says which mailbox it shows and which change it saw last; the server
// replays what came since from the journal, then follows. The journal is the
// truth and the notification only a nudge, so a lost nudge or connection loses
// nothing: the next look at the journal finds it. When the journal does not
// reach back far enough the tab is told to load itself anew.
//
// Goroutines: each socket has two, a reader (the handler's own) and a follower
// that owns all writing. The reader ends the follower and waits for it.
package live

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/web/session"
)

// Bounds of a socket.
const (
	maxFrame     = 4 << 10
	writeTimeout = 10 * time.Second
	// pingEvery keeps proxies from closing an idle socket; a tab that misses
	// two is gone.
	pingEvery = 25 * time.Second
	pongWait  = 2*pingEvery + 10*time.Second
	// firstFrame is how long a new socket may stay silent.
	firstFrame = 10 * time.Second
	// poll is the look at the journal without a nudge: signals may be away.
	poll = 30 * time.Second
	// maxSockets bounds the sockets of this process.
	maxSockets = 50_000
	// maxReplay is changes sent one by one; after more the tab reloads.
	maxReplay = 500
)

// Options are what the sockets work with.
type Options struct {
	Log   *slog.Logger
	Store *store.Store
	Hub   *notify.Hub
	Guard *session.Guard
	// Key signs the tokens of the first frame.
	Key []byte
	// Row renders a list row as the page does. use is the templates' word for
	// the mailbox's role.
	Row func(ctx context.Context, c echo.Context, m *mail.Message, box mail.Mailbox) (string, error)
	// Check tells whether the session still holds.
	Check func(ctx context.Context, secret string) error
}

// Live serves the sockets.
type Live struct {
	Options
	upgrader websocket.Upgrader
	open     atomic.Int64
	stop     context.Context
	stopAll  context.CancelFunc
}

// New makes the server side.
func New(o Options) *Live {
	l := &Live{Options: o}
	l.stop, l.stopAll = context.WithCancel(context.Background())
	l.upgrader = websocket.Upgrader{
		ReadBufferSize: 1 << 10, WriteBufferSize: 4 << 10,
		// The guard has compared the exact Origin; gorilla's own check ignores the scheme.
		CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			http.Error(w, http.StatusText(status), status)
		},
	}
	return l
}

// Token is what a page hands to its socket; it belongs to one session.
func (l *Live) Token(sessionID string) string {
	mac := hmac.New(sha256.New, l.Key)
	mac.Write([]byte("live " + sessionID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// Stop ends every socket; the tabs come back to another instance.
func (l *Live) Stop() { l.stopAll() }

// Open is the count of sockets.
func (l *Live) Open() int64 { return l.open.Load() }

// question is what a tab says: the view it shows and the last change it saw.
type question struct {
	View struct {
		Mailbox string `json:"mailbox"`
	} `json:"view"`
	Since string `json:"since"`
	Token string `json:"token"`
}

// Handle answers GET /live. Cross-site sockets are refused before the upgrade:
// the Origin must be exactly ours, and is required here.
func (l *Live) Handle(c echo.Context) error {
	if c.Request().Header.Get("Origin") != l.Guard.Origin(c) {
		return echo.ErrForbidden
	}
	s := session.Of(c)
	if s == nil {
		return echo.ErrUnauthorized
	}
	if l.open.Add(1) > maxSockets {
		l.open.Add(-1)
		return echo.NewHTTPError(http.StatusServiceUnavailable)
	}
	defer l.open.Add(-1)
	conn, err := l.upgrader.Upgrade(c.Response(), c.Request(), nil)
	if err != nil {
		return nil //nolint:nilerr // the upgrader has answered
	}
	defer func() { _ = conn.Close() }()
	conn.SetReadLimit(maxFrame)
	t := &tab{live: l, conn: conn, c: c, user: s.User.ID, secret: l.Guard.Secret(c)}
	if !t.first(l.Token(s.ID)) {
		return nil
	}
	t.serve()
	return nil
}

// first reads the first frame, which proves that a page of ours opened the socket.
func (t *tab) first(token string) bool {
	_ = t.conn.SetReadDeadline(time.Now().Add(firstFrame))
	q, err := t.read()
	if err != nil {
		return false
	}
	if !hmac.Equal([]byte(q.Token), []byte(token)) {
		t.close(websocket.ClosePolicyViolation, "token")
		return false
	}
	t.questions = make(chan question, 1)
	t.questions <- q
	return true
}

// read takes one frame.
func (t *tab) read() (q question, err error) {
	kind, data, err := t.conn.ReadMessage()
	if err != nil {
		return q, err
	}
	if kind != websocket.TextMessage {
		return q, errors.New("not a text frame")
	}
	return q, json.Unmarshal(data, &q)
}

func (t *tab) close(code int, text string) {
	_ = t.conn.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(code, text), time.Now().Add(writeTimeout))
}
