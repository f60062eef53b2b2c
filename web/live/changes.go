package live

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"

	"github.com/eidermail/eider/mail"
)

// frame is what the server says. Op is new, flags, gone, counters, resync or at.
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

// catchUp sends what the journal holds after the tab's position.
func (t *tab) catchUp(ctx context.Context) error {
	if t.since.IsZero() {
		return t.begin(ctx)
	}
	changes, complete, err := t.live.Store.Changes(ctx, t.user, t.since, maxReplay)
	if mail.IsCode(err, mail.CodeUnavailable) {
		// The next look will do.
		return nil
	}
	if err != nil {
		return err
	}
	if !complete {
		return t.resync(ctx)
	}
	if len(changes) == 0 {
		return nil
	}
	frames, counted, err := t.frames(ctx, changes)
	if err != nil {
		return err
	}
	last := changes[len(changes)-1].ID
	if counted {
		c, err := t.counters(ctx)
		if err != nil {
			return err
		}
		frames = append(frames, c)
	}
	if len(frames) == 0 {
		frames = []frame{{Op: "at"}}
	}
	frames[len(frames)-1].ID = last.String()
	for _, f := range frames {
		if err := t.send(f); err != nil {
			return err
		}
	}
	t.since = last
	return nil
}

// begin is for an account whose journal was empty when the page was made: its
// first change is not behind a position, so the tab loads itself.
func (t *tab) begin(ctx context.Context) error {
	last, err := t.live.Store.LastChange(ctx, t.user)
	if err != nil || last.IsZero() {
		return err
	}
	return t.resync(ctx)
}

// resync tells the tab to load its parts anew, and goes on from here.
func (t *tab) resync(ctx context.Context) error {
	last, err := t.live.Store.LastChange(ctx, t.user)
	if err != nil {
		return err
	}
	t.since = last
	return t.send(frame{Op: "resync", ID: last.String()})
}

// frames turns changes into frames, the later change of a message standing for
// the earlier ones. counted tells that counters may have moved.
func (t *tab) frames(ctx context.Context, changes []mail.Change) (out []frame, counted bool, err error) {
	last := map[mail.ID]int{}
	for i, ch := range changes {
		if !ch.Message.IsZero() {
			last[ch.Message] = i
		}
	}
	arrived := map[mail.ID]bool{}
	for i, ch := range changes {
		switch ch.Command {
		case mail.CommandExists:
			counted, arrived[ch.Message] = true, true
			if j := last[ch.Message]; changes[j].Command == mail.CommandExpunge {
				continue
			}
			if out, err = t.appendNew(ctx, out, ch); err != nil {
				return nil, false, err
			}
		case mail.CommandExpunge:
			counted = true
			if !arrived[ch.Message] {
				out = append(out, frame{Op: "gone", Mailbox: ch.Mailbox.String(), UID: uint32(ch.UID)})
			}
		case mail.CommandFetch:
			counted = counted || ch.UnseenChange
			// A row that arrived in this batch was rendered with its flags as they are now.
			if last[ch.Message] == i && !arrived[ch.Message] {
				out = append(out, frame{Op: "flags", Mailbox: ch.Mailbox.String(), UID: uint32(ch.UID), Flags: &flags{
					Seen: mail.HasFlag(ch.Flags, mail.FlagSeen), Flagged: mail.HasFlag(ch.Flags, mail.FlagFlagged),
				}})
			}
		case mail.CommandCreate, mail.CommandRename, mail.CommandDelete:
			// The sidebar changes shape; the tab fetches it.
			out = append(out, frame{Op: "resync"})
		}
	}
	return out, counted, nil
}

// appendNew renders a message that came into the view.
func (t *tab) appendNew(ctx context.Context, out []frame, ch mail.Change) ([]frame, error) {
	if ch.Mailbox != t.view.ID {
		return out, nil
	}
	row, err := t.live.Store.Row(ctx, t.user, ch.Mailbox, ch.UID)
	if mail.IsCode(err, mail.CodeNoMessage) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	html, err := t.live.Row(ctx, t.c, &row, t.view)
	if err != nil {
		return nil, err
	}
	return append(out, frame{Op: "new", Mailbox: ch.Mailbox.String(), UID: uint32(ch.UID), HTML: html}), nil
}

// counters reads the numbers of the sidebar.
func (t *tab) counters(ctx context.Context) (frame, error) {
	boxes, err := t.live.Store.Mailboxes(ctx, t.user)
	if err != nil {
		return frame{}, err
	}
	f := frame{Op: "counters"}
	for _, b := range boxes {
		f.Mailboxes = append(f.Mailboxes, counter{ID: b.ID.String(), Total: b.Total, Unseen: b.Unseen})
	}
	return f, nil
}

func (t *tab) send(f frame) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return t.conn.WriteMessage(websocket.TextMessage, data)
}
