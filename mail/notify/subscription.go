package notify

import (
	"sync"

	"github.com/eidermail/eider/mail"
)

// Kind says what an event asks of a session.
type Kind int

// The closed set of kinds.
const (
	// Changed: the journal has news; read it from where you stopped.
	Changed Kind = iota + 1
	// Resync: notices may have been missed, Logout and Drop among them. Read the
	// journal, see that the open mailbox still exists and that the account's
	// AuthVersion is the one of the login.
	Resync
	// Logout: end the session and say Reason.
	Logout
	// Drop: Mailbox is deleted; end what shows it.
	Drop
)

// String gives the name for logs.
func (k Kind) String() string {
	switch k {
	case Changed:
		return "changed"
	case Resync:
		return "resync"
	case Logout:
		return "logout"
	case Drop:
		return "drop"
	default:
		return "unknown"
	}
}

// Event is one notice to a session.
type Event struct {
	Kind Kind
	// Mailbox is set for Drop.
	Mailbox mail.ID
	// Reason is set for Logout.
	Reason string
}

// queueLength bounds the events that wait for one session. Merged, they are at
// most one Changed or Resync, one Logout and Drops; Drops that do not fit
// become a Resync, which a session answers with the same look at its mailbox.
const queueLength = 8

// Subscription receives the events of one account.
type Subscription struct {
	hub    *Hub
	user   mail.ID
	events chan Event

	mu     sync.Mutex // held for sends and for the closing of events
	closed bool
}

// Subscribe gives the events of the account from now on. The caller closes the
// subscription.
func (h *Hub) Subscribe(user mail.ID) *Subscription {
	s := &Subscription{hub: h, user: user, events: make(chan Event, queueLength)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[user] == nil {
		h.users[user] = make(map[*Subscription]struct{})
	}
	h.users[user][s] = struct{}{}
	return s
}

// C gives the events. It is closed by Close only.
func (s *Subscription) C() <-chan Event { return s.events }

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.hub.leave(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.events)
	}
}

func (h *Hub) leave(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users[s.user], s)
	if len(h.users[s.user]) == 0 {
		delete(h.users, s.user)
	}
}

// add queues an event and never waits. It takes out what waits, merges, and
// puts it back: with mu held nobody else sends, so it fits.
func (s *Subscription) add(event Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.events) == 0 {
		s.events <- event
		return
	}
	waiting := make([]Event, 0, queueLength)
	for len(waiting) < queueLength {
		select {
		case e := <-s.events:
			waiting = append(waiting, e)
			continue
		default:
		}
		break
	}
	for _, e := range merge(waiting, event) {
		s.events <- e
	}
}

// merge adds an event to at most queueLength waiting ones and keeps to that
// number, in the order of arrival.
func merge(waiting []Event, event Event) []Event {
	resync := false
	for _, e := range waiting {
		if e == event || e.Kind == Logout && event.Kind == Logout {
			return waiting
		}
		resync = resync || e.Kind == Resync
	}
	switch {
	case event.Kind == Changed && resync:
		return waiting
	case event.Kind == Resync:
		// Resync says all that Changed says.
		waiting = without(waiting, Changed)
	case event.Kind == Drop && len(without(without(waiting, Changed), Logout)) >= queueLength-2:
		return merge(without(waiting, Drop), Event{Kind: Resync})
	}
	return append(waiting, event)
}

func without(events []Event, kind Kind) []Event {
	kept := make([]Event, 0, len(events)+1)
	for _, e := range events {
		if e.Kind != kind {
			kept = append(kept, e)
		}
	}
	return kept
}
