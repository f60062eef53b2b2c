package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
)

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

	// The follower's own: the view and the journal position.
	view  mail.Mailbox
	since mail.ID
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

// listen reads the tab's questions until the connection ends.
func (t *tab) listen() {
	t.conn.SetPongHandler(func(string) error {
		return t.conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	for {
		_ = t.conn.SetReadDeadline(time.Now().Add(pongWait))
		q, err := t.read()
		if err != nil {
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
	if ctx.Err() != nil || websocket.IsUnexpectedCloseError(err) || mail.CodeOf(err) != mail.CodeInternal {
		return
	}
	t.live.Log.LogAttrs(ctx, slog.LevelDebug, "live socket ended", slog.Any("error", err))
}

// notified acts on a nudge.
func (t *tab) notified(ctx context.Context, e notify.Event) error {
	switch e.Kind {
	case notify.Changed, notify.Resync:
		return t.catchUp(ctx)
	case notify.Logout:
		// The session may be another's: a changed password ends all but the
		// one that changed it.
		return t.recheck(ctx)
	case notify.Drop:
		return t.send(frame{Op: "resync"})
	}
	return nil
}

// recheck makes sure that the session still holds, then looks at the journal.
func (t *tab) recheck(ctx context.Context) error {
	if err := t.live.Check(ctx, t.secret); err != nil {
		if code := mail.CodeOf(err); code == mail.CodeUnavailable {
			return nil
		}
		t.close(websocket.ClosePolicyViolation, "signed out")
		return err
	}
	return t.catchUp(ctx)
}

// answer takes over the tab's view and position.
func (t *tab) answer(ctx context.Context, q question) error {
	t.view = mail.Mailbox{}
	if id, err := mail.ParseID(q.View.Mailbox); err == nil {
		if box, err := t.live.Store.Mailbox(ctx, t.user, id); err == nil {
			t.view = box
		}
	}
	since, err := mail.ParseID(q.Since)
	if err != nil || since.IsZero() {
		// An account without changes yet, or a page without a position: begin here.
		if since, err = t.live.Store.LastChange(ctx, t.user); err != nil {
			return err
		}
		t.since = since
		return t.send(frame{Op: "at", ID: since.String()})
	}
	t.since = since
	return t.catchUp(ctx)
}
