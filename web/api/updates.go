package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/store"
)

// Times of an event stream, as WildDuck has them: a comment after each silence,
// and changes of a short while in one go.
const (
	idleEvery = 15 * time.Second
	gatherFor = 100 * time.Millisecond
)

// updates is GET /users/:user/updates: the journal as server-sent events
// (WHATWG HTML 9.2).
func (s *server) updates(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	if id := c.Request().Header.Get("Last-Event-ID"); id != "" {
		p.values["Last-Event-ID"] = id
	}
	user, last := p.id("user", true), p.id("Last-Event-ID", false)
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "users", user); err != nil {
		return err
	}
	if _, err := s.Store.User(ctxOf(c), user); err != nil {
		return err
	}
	sub := s.Hub.Subscribe(user)
	defer sub.Close()
	st := &stream{server: s, c: c, user: user, last: last}
	if last.IsZero() {
		if st.last, err = s.Store.LastChange(ctxOf(c), user); err != nil {
			return err
		}
	}
	st.floor, st.feed = st.last, s.Store.Follow(user, st.last)
	// Whatever ends the stream, the status has been sent; the client comes
	// back with Last-Event-ID.
	if err := st.open(); err == nil {
		_ = st.follow(sub)
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Time{})
	return nil
}

// stream is one open event stream.
type stream struct {
	server *server
	c      echo.Context
	user   mail.ID
	feed   *store.Feed
	// floor is what the client had when it came: the feed's first reading may
	// begin a little before it.
	floor mail.ID
	// last is the newest entry sent.
	last mail.ID
	// idles and events count what was written.
	idles, events int
}

func (st *stream) open() error {
	h := st.c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	st.c.Response().WriteHeader(http.StatusOK)
	if err := st.drain(); err != nil {
		return err
	}
	st.floor = mail.ID{}
	if st.events == 0 {
		return st.idle()
	}
	return nil
}

// follow sends what changes until the client leaves or the server stops.
func (st *stream) follow(sub *notify.Subscription) error {
	timer := time.NewTimer(idleEvery)
	defer timer.Stop()
	ctx := ctxOf(st.c)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.server.Stopping.Done():
			return nil
		case e, ok := <-sub.C():
			if !ok {
				return nil
			}
			if done, err := st.notified(e); done || err != nil {
				return err
			}
		case <-timer.C:
			if err := st.quiet(); err != nil {
				return err
			}
		}
		timer.Reset(idleEvery)
	}
}

// notified acts on a nudge; done ends the stream.
func (st *stream) notified(e notify.Event) (done bool, err error) {
	switch e.Kind {
	case notify.Changed, notify.Resync:
		st.gather()
		return false, st.drain()
	case notify.Logout:
		return true, st.event(map[string]any{"command": "LOGOUT", "reason": e.Reason}, mail.ID{})
	case notify.Drop:
		return false, st.event(map[string]any{"command": "DROP", "mailbox": e.Mailbox.String()}, mail.ID{})
	}
	return false, nil
}

// gather waits a moment so that a burst becomes one batch.
func (st *stream) gather() {
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctxOf(st.c).Done():
	case <-st.server.Stopping.Done():
	}
}

// quiet looks at the journal after a silence, in case a nudge was lost, and
// keeps the position young: entries expire, and a position older than the
// oldest of them could not be followed.
func (st *stream) quiet() error {
	ctx := ctxOf(st.c)
	sent := st.events
	young, err := st.server.Store.LastChange(ctx, st.user)
	if err != nil {
		return st.idle() // the store is away; the next round may find it
	}
	if err := st.drain(); err != nil {
		return err
	}
	if st.events != sent {
		return nil
	}
	if time.Since(st.feed.Since().Time()) > time.Hour {
		st.feed.Reset(young)
	}
	return st.idle()
}

// drain sends what the journal has after the last event.
func (st *stream) drain() error {
	for {
		changes, complete, err := st.feed.Next(ctxOf(st.c))
		switch {
		case mail.IsCode(err, mail.CodeUnavailable):
			return nil // the next nudge or silence looks again
		case err != nil:
			return st.write("event: error\ndata: replay failed\n\n")
		case !complete:
			return st.restart()
		case len(changes) == 0:
			return nil
		}
		if err := st.batch(changes); err != nil {
			return err
		}
	}
}

// restart goes on from now when entries after the client's position have
// expired: it tells so, and gives all counters with a position to come back to.
func (st *stream) restart() error {
	if err := st.write("event: error\ndata: replay failed\n\n"); err != nil {
		return err
	}
	last, err := st.server.Store.LastChange(ctxOf(st.c), st.user)
	if err != nil {
		return nil //nolint:nilerr // away; the next nudge or silence looks again
	}
	st.last = last
	st.feed.Reset(last)
	return st.counters(func(mail.ID) bool { return true })
}

// batch sends changes, then the counters of the mailboxes whose numbers moved.
func (st *stream) batch(changes []mail.Change) error {
	moved := map[mail.ID]bool{}
	for _, ch := range changes {
		if !st.floor.IsZero() && bytes.Compare(ch.ID[:], st.floor[:]) <= 0 {
			continue
		}
		if err := st.event(eventOf(ch), ch.ID); err != nil {
			return err
		}
		st.last = ch.ID
		if ch.Command == mail.CommandExists || ch.Command == mail.CommandExpunge ||
			ch.Command == mail.CommandFetch && ch.UnseenChange {
			moved[ch.Mailbox] = true
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return st.counters(func(id mail.ID) bool { return moved[id] })
}

// counters sends the counters of mailboxes.
func (st *stream) counters(of func(mail.ID) bool) error {
	boxes, err := st.server.Store.Mailboxes(ctxOf(st.c), st.user)
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if !of(b.ID) {
			continue
		}
		body := map[string]any{"command": "COUNTERS", "mailbox": b.ID.String(), "total": b.Total, "unseen": b.Unseen}
		if err := st.event(body, st.last); err != nil {
			return err
		}
	}
	return nil
}

// eventOf gives the fields that WildDuck leaves in a journal row.
func eventOf(ch mail.Change) map[string]any {
	out := map[string]any{"command": string(ch.Command), "mailbox": ch.Mailbox.String()}
	switch ch.Command {
	case mail.CommandExists, mail.CommandExpunge, mail.CommandFetch:
		out["uid"], out["message"] = ch.UID, ch.Message.String()
		if !ch.Thread.IsZero() {
			out["thread"] = ch.Thread.String()
		}
		if ch.Command == mail.CommandFetch {
			out["flags"] = append([]mail.Flag{}, ch.Flags...)
		}
		if ch.Command == mail.CommandExists && !ch.InternalDate.IsZero() {
			out["idate"] = stamp(ch.InternalDate)
		}
		if ch.Junk != 0 {
			out["junk"] = ch.Junk
		}
	case mail.CommandCreate, mail.CommandRename:
		out["path"] = ch.Path
	case mail.CommandDelete:
	}
	return out
}

// event writes one event: every line of indented JSON behind "data: ".
func (st *stream) event(body map[string]any, id mail.ID) error {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		fmt.Fprintf(&b, "data: %s\n", line)
	}
	if !id.IsZero() {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	b.WriteByte('\n')
	st.events++
	return st.write(b.String())
}

func (st *stream) idle() error {
	st.idles++
	return st.write(fmt.Sprintf(": idling %d\n\n", st.idles))
}

func (st *stream) write(text string) error {
	res := st.c.Response()
	rc := http.NewResponseController(res)
	_ = rc.SetWriteDeadline(time.Now().Add(2 * idleEvery))
	if _, err := res.Write([]byte(text)); err != nil {
		return err
	}
	return rc.Flush()
}
