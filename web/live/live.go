// Package live is the webmail's socket: one WebSocket per tab (RFC 6455) that
// tells of new mail, changed flags, removed messages and counters.
//
// The tab says which mailbox it shows and which change it saw last; the server
// replays what came since from the journal, then follows. The journal is the
// truth and the notification only a nudge, so a lost nudge or connection loses
// nothing: the next look at the journal finds it. When the journal does not
// reach back far enough the tab is told to load itself anew.
//
// A change may be told twice, and rows and flags are read when they are told.
// So a frame never undoes a later one, and the tab may take it at any time.
//
// Goroutines: each socket has two, a reader (the handler's own) and a follower
// that owns all writing. The reader ends the follower and waits for it; Stop
// waits for the readers.
package live

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"sync"
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
	// stopWait is how long a slow tab may hold up Stop.
	stopWait = time.Second
	// maxSockets bounds the sockets of this process, maxPerUser those of one
	// account.
	maxSockets = 50_000
	maxPerUser = 100
	// maxReplay is changes sent one by one, maxRows new rows; after more the
	// tab reloads, whose list is no longer than that.
	maxReplay = 500
	maxRows   = 50
	// maxQuestions is frames of a tab in questionTime. People switch views
	// slower.
	maxQuestions = 60
	questionTime = 10 * time.Second
)

// Options are what the sockets work with.
type Options struct {
	Log   *slog.Logger
	Store *store.Store
	Hub   *notify.Hub
	Guard *session.Guard
	// Key signs the tokens of the first frame.
	Key []byte
	// Row renders a list row as the page of the mailbox does.
	Row func(ctx context.Context, c echo.Context, m *mail.Message, box mail.Mailbox) (string, error)
	// Check tells whether the session still holds.
	Check func(ctx context.Context, secret string) error
}

// Live serves the sockets.
type Live struct {
	Options
	upgrader websocket.Upgrader
	stop     context.Context
	stopAll  context.CancelFunc

	mu      sync.Mutex
	stopped bool
	open    int64
	users   map[mail.ID]int
	// tabs counts the handlers under way.
	tabs sync.WaitGroup
}

// New makes the server side.
func New(o Options) *Live {
	l := &Live{Options: o, users: map[mail.ID]int{}}
	l.stop, l.stopAll = context.WithCancel(context.Background())
	l.upgrader = websocket.Upgrader{
		ReadBufferSize: 1 << 10, WriteBufferSize: 4 << 10, WriteBufferPool: &sync.Pool{},
		HandshakeTimeout: firstFrame,
		// The handler has compared the exact Origin; gorilla's own check ignores the scheme.
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

// Stop ends every socket and waits for their goroutines; the tabs come back to
// another instance. New ones are refused.
func (l *Live) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.stopAll()
	l.tabs.Wait()
}

// Open is the count of sockets.
func (l *Live) Open() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// enter counts a socket in, or says with a status why not.
func (l *Live) enter(user mail.ID) (status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped || l.open >= maxSockets:
		return http.StatusServiceUnavailable
	case l.users[user] >= maxPerUser:
		return http.StatusTooManyRequests
	}
	l.open++
	l.users[user]++
	l.tabs.Add(1)
	return 0
}

func (l *Live) leave(user mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.users[user]--; l.users[user] == 0 {
		delete(l.users, user)
	}
	l.tabs.Done()
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
	if status := l.enter(s.User.ID); status != 0 {
		return c.NoContent(status)
	}
	defer l.leave(s.User.ID)
	conn, err := l.upgrader.Upgrade(c.Response(), c.Request(), nil)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	t := &tab{
		live: l, conn: conn, c: c, user: s.User.ID, secret: l.Guard.Secret(c), questions: make(chan question, 1),
	}
	conn.SetReadLimit(maxFrame)
	// A tab that neither reads nor writes must not hold up the end.
	defer context.AfterFunc(l.stop, t.hurry)()
	if t.first(l.Token(s.ID)) {
		t.serve()
	}
	return nil
}
