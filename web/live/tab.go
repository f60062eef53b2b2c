package live

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/store"
)

// question is what a tab says: the view it shows and the last change it saw.
type question struct {
	View struct {
		Mailbox string `json:"mailbox"`
	} `json:"view"`
	Since string `json:"since"`
	Token string `json:"token"`
}

// tab is one open socket.
type tab struct {
	live   *Live
	conn   *websocket.Conn
	c      echo.Context
	user   mail.ID
	secret string
	// questions carries what the tab says from the reader to the follower. It
	// holds one; a newer question replaces an unread one.
	questions chan question

	// The follower's own: the view, and the journal; nil before the first question.
	view mail.Mailbox
	feed *store.Feed
	// from is where the feed began: what the tab has seen already.
	from mail.ID
}

var (
	errKind  = errors.New("not a text frame")
	errFlood = errors.New("too many frames")
)

// hurry bounds what a stopping server waits for.
func (t *tab) hurry() {
	_ = t.conn.NetConn().SetDeadline(time.Now().Add(stopWait))
}

// first reads the first frame, which proves that a page of ours opened the socket.
func (t *tab) first(token string) bool {
	t.deadline(firstFrame)
	q, err := t.read()
	if err != nil {
		return false
	}
	if !hmac.Equal([]byte(q.Token), []byte(token)) {
		t.close(websocket.ClosePolicyViolation, "token")
		return false
	}
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
		return q, errKind
	}
	return q, json.Unmarshal(data, &q)
}

// deadline bounds the wait for the tab's next sign of life, and for nothing at
// all once the server stops.
func (t *tab) deadline(d time.Duration) {
	if t.live.stop.Err() != nil {
		d = min(d, stopWait)
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(d))
}

// serve runs the socket until the tab leaves or the server stops.
func (t *tab) serve() {
	ctx, cancel := context.WithCancel(t.live.stop)
	defer cancel()
	sub := t.live.Hub.Subscribe(t.user)
	defer sub.Close()
	var follower sync.WaitGroup
	follower.Go(func() {
		t.follow(ctx, sub)
		// Unblocks the reader.
		_ = t.conn.Close()
	})
	t.listen()
	cancel()
	follower.Wait()
}

// listen reads the tab's questions until the connection ends. It never waits
// for the follower.
func (t *tab) listen() {
	t.conn.SetPongHandler(func(string) error {
		t.deadline(pongWait)
		return nil
	})
	var began time.Time
	asked := 0
	for {
		t.deadline(pongWait)
		q, err := t.read()
		if err != nil {
			return
		}
		if now := time.Now(); now.Sub(began) > questionTime {
			began, asked = now, 0
		}
		if asked++; asked > maxQuestions {
			t.close(websocket.ClosePolicyViolation, errFlood.Error())
			return
		}
		select {
		case <-t.questions:
		default:
		}
		t.questions <- q
	}
}

// follow owns the writing: it answers questions and sends changes.
func (t *tab) follow(ctx context.Context, sub *notify.Subscription) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	look := time.NewTicker(poll)
	defer look.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			t.close(websocket.CloseGoingAway, "")
			return
		case q := <-t.questions:
			err = t.answer(ctx, q)
		case e, ok := <-sub.C():
			if !ok {
				return
			}
			err = t.notified(ctx, e)
		case <-look.C:
			err = t.recheck(ctx)
		case <-ping.C:
			err = t.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
		}
		if err != nil {
			t.failed(ctx, err)
			return
		}
	}
}

// failed logs what was not the tab's leaving.
func (t *tab) failed(ctx context.Context, err error) {
	var e *mail.Error
	if ctx.Err() != nil || !errors.As(err, &e) || e.Code != mail.CodeInternal {
		return
	}
	t.live.Log.LogAttrs(ctx, slog.LevelError, "live socket ended", slog.Any("error", err))
}

// notified acts on a nudge.
func (t *tab) notified(ctx context.Context, e notify.Event) error {
	switch e.Kind {
	case notify.Changed, notify.Drop:
		// What a deleted mailbox means for the tab is in the journal.
		return t.catchUp(ctx)
	case notify.Logout, notify.Resync:
		// The session that ended may be another's: a changed password ends all
		// but the one that changed it. After Resync a logout may have been missed.
		return t.recheck(ctx)
	}
	return nil
}

// recheck makes sure that the session still holds, then looks at the journal.
func (t *tab) recheck(ctx context.Context) error {
	if err := t.live.Check(ctx, t.secret); err != nil {
		if mail.IsCode(err, mail.CodeUnavailable) {
			return nil
		}
		t.close(websocket.ClosePolicyViolation, "signed out")
		return err
	}
	return t.catchUp(ctx)
}

// answer takes over the tab's view and position. The feed begins anew each
// time: it tells the last seconds before the position once more, and so what
// happened while the tab was fetching its new view.
func (t *tab) answer(ctx context.Context, q question) error {
	t.view = mail.Mailbox{}
	if id, err := mail.ParseID(q.View.Mailbox); err == nil {
		box, err := t.live.Store.Mailbox(ctx, t.user, id)
		if err != nil && !mail.IsCode(err, mail.CodeNoMailbox) {
			return err
		}
		t.view = box
	}
	if q.Since == "" {
		// A page without a list, which has nothing to catch up with.
		last, err := t.live.Store.LastChange(ctx, t.user)
		if err != nil {
			return err
		}
		t.begin(last)
		return t.send(frame{Op: opAt, ID: last.String()})
	}
	// What is no id is a position that the journal does not reach.
	since, _ := mail.ParseID(q.Since)
	t.begin(since)
	return t.catchUp(ctx)
}

func (t *tab) begin(since mail.ID) {
	// The feed takes its start for told. But the tab may have heard of that
	// change while it showed another mailbox.
	t.from, t.feed = since, t.live.Store.Follow(t.user, before(since))
}

// before is the id next below; zero, which is no position, stays.
func before(id mail.ID) mail.ID {
	if id.IsZero() {
		return id
	}
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		if id[i] != 0xff {
			break
		}
	}
	return id
}

func (t *tab) close(code int, text string) {
	_ = t.conn.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(code, text), time.Now().Add(stopWait))
}
