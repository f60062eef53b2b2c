package live

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// What a frame tells.
const (
	opNew      = "new"
	opFlags    = "flags"
	opGone     = "gone"
	opCounters = "counters"
	opResync   = "resync"
	opAt       = "at"
)

// frame is what the server says.
type frame struct {
	Op      string `json:"op"`
	Mailbox string `json:"mailbox,omitempty"`
	UID     uint32 `json:"uid,omitempty"`
	// HTML is the rendered row of new.
	HTML  string `json:"html,omitempty"`
	Flags *flags `json:"flags,omitempty"`
	// Mailboxes are the counters.
	Mailboxes []counter `json:"mailboxes,omitempty"`
	// ID is the journal position after this frame.
	ID string `json:"id,omitempty"`
}

type flags struct {
	Seen    bool `json:"seen"`
	Flagged bool `json:"flagged"`
}

type counter struct {
	ID     string `json:"id"`
	Total  int    `json:"total"`
	Unseen int    `json:"unseen"`
}

// place names a message. An id would not do: a moved message keeps it.
type place struct {
	mailbox mail.ID
	uid     mail.UID
}

// digest is a run of changes, the last of each message.
type digest struct {
	// order lists the places as they came up first.
	order []place
	last  map[place]mail.Command
	// arrived holds the places with an EXISTS.
	arrived map[place]bool
	// counted tells that counters may have moved, folders that the sidebar
	// changed its shape.
	counted, folders bool
}

// catchUp sends what the journal holds after the tab's position.
func (t *tab) catchUp(ctx context.Context) error {
	if t.feed == nil {
		// The first question is still to come.
		return nil
	}
	changes, complete, err := t.news(ctx)
	if mail.IsCode(err, mail.CodeUnavailable) {
		// The next look will do.
		return nil
	}
	if err != nil {
		return err
	}
	if !complete || len(changes) > maxReplay {
		return t.resync(ctx)
	}
	if len(changes) == 0 {
		return nil
	}
	d := t.digest(changes)
	if d.folders {
		return t.resync(ctx)
	}
	frames, fits, err := t.frames(ctx, d)
	if err != nil {
		return err
	}
	if !fits {
		return t.resync(ctx)
	}
	// The position comes last: a tab that loses the rest asks for all of it again.
	frames[len(frames)-1].ID = t.feed.Since().String()
	for _, f := range frames {
		if err := t.send(f); err != nil {
			return err
		}
	}
	return nil
}

// news reads the feed to its end, or past what is sent one by one.
func (t *tab) news(ctx context.Context) (out []mail.Change, complete bool, err error) {
	for len(out) <= maxReplay {
		changes, complete, err := t.feed.Next(ctx)
		if err != nil || !complete {
			return nil, complete, err
		}
		if len(changes) == 0 {
			break
		}
		out = append(out, changes...)
	}
	return out, true, nil
}

// resync tells the tab to load its parts anew, and goes on from here. What the
// new feed tells at once is in the store already, where the tab will find it.
func (t *tab) resync(ctx context.Context) error {
	last, err := t.live.Store.LastChange(ctx, t.user)
	if err != nil {
		return err
	}
	t.begin(last)
	for {
		changes, complete, err := t.feed.Next(ctx)
		if err != nil {
			return err
		}
		if !complete || len(changes) == 0 {
			break
		}
	}
	return t.send(frame{Op: opResync, ID: t.feed.Since().String()})
}

// digest keeps of each message what happened to it last.
func (t *tab) digest(changes []mail.Change) digest {
	d := digest{last: map[place]mail.Command{}, arrived: map[place]bool{}}
	for i := range changes {
		ch := &changes[i]
		at := place{ch.Mailbox, ch.UID}
		switch ch.Command {
		case mail.CommandExists, mail.CommandExpunge, mail.CommandFetch:
			if _, known := d.last[at]; !known {
				d.order = append(d.order, at)
			}
			d.last[at] = ch.Command
			d.arrived[at] = d.arrived[at] || ch.Command == mail.CommandExists
			d.counted = d.counted || ch.Command != mail.CommandFetch || ch.UnseenChange
		case mail.CommandCreate, mail.CommandRename, mail.CommandDelete:
			// What the tab was told of, or loaded with its page, is no news.
			d.folders = d.folders || string(ch.ID[:]) > string(t.from[:])
		}
	}
	return d
}

// frames words a digest. There is at least one. It does not fit when the view
// would get more new rows than a page has.
func (t *tab) frames(ctx context.Context, d digest) (out []frame, fits bool, err error) {
	rows, fits, err := t.rows(ctx, d)
	if err != nil || !fits {
		return nil, fits, err
	}
	for _, at := range d.order {
		f := frame{Mailbox: at.mailbox.String(), UID: uint32(at.uid)}
		row, here := rows[at]
		switch {
		case d.last[at] == mail.CommandExpunge:
			f.Op = opGone
			out = append(out, f)
			continue
		case !here:
			// In another view, or gone by now; that is told with its own change.
			continue
		}
		if d.arrived[at] {
			f.Op = opNew
			if f.HTML, err = t.live.Row(ctx, t.c, row, t.view); err != nil {
				return nil, false, err
			}
			out = append(out, f)
			f.HTML = ""
		}
		// Also for a new row: the tab may have had it, from when it loaded.
		f.Op = opFlags
		f.Flags = &flags{Seen: row.Has(mail.FlagSeen), Flagged: row.Has(mail.FlagFlagged)}
		out = append(out, f)
	}
	if d.counted {
		c, err := t.counters(ctx)
		if err != nil {
			return nil, false, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		out = []frame{{Op: opAt}}
	}
	return out, true, nil
}

// rows reads the messages of the digest that a tab can show: all of the view's,
// and those with changed flags elsewhere, which a conversation may show.
func (t *tab) rows(ctx context.Context, d digest) (map[place]*mail.Message, bool, error) {
	wanted := map[mail.ID][]mail.UID{}
	fresh := 0
	for _, at := range d.order {
		inView := at.mailbox == t.view.ID
		if d.last[at] == mail.CommandExpunge || d.arrived[at] && !inView {
			continue
		}
		if d.arrived[at] {
			fresh++
		}
		wanted[at.mailbox] = append(wanted[at.mailbox], at.uid)
	}
	if fresh > maxRows {
		return nil, false, nil
	}
	out := map[place]*mail.Message{}
	for box, uids := range wanted {
		for len(uids) > 0 {
			n := min(len(uids), store.MaxPage)
			list, err := t.live.Store.Rows(ctx, store.Selection{User: t.user, Mailbox: box, UIDs: uids[:n]})
			if err != nil {
				return nil, false, err
			}
			for i := range list {
				out[place{box, list[i].UID}] = &list[i]
			}
			uids = uids[n:]
		}
	}
	return out, true, nil
}

// counters reads the numbers of the sidebar.
func (t *tab) counters(ctx context.Context) (frame, error) {
	boxes, err := t.live.Store.Mailboxes(ctx, t.user)
	if err != nil {
		return frame{}, err
	}
	f := frame{Op: opCounters}
	for _, b := range boxes {
		f.Mailboxes = append(f.Mailboxes, counter{ID: b.ID.String(), Total: b.Total, Unseen: b.Unseen})
	}
	return f, nil
}

// send writes one frame. A tab that takes none for writeTimeout is left.
func (t *tab) send(f frame) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	wait := writeTimeout
	if t.live.stop.Err() != nil {
		wait = stopWait
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(wait))
	return t.conn.WriteMessage(websocket.TextMessage, data)
}
