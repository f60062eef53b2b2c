package notify

import (
	"encoding/json"
	"fmt"

	"github.com/eidermail/eider/mail"
)

// plainLength is the length of {"e":"<24 hex>"}. WildDuck takes every message
// of this length for a plain one without looking further.
const plainLength = 32

// The commands of a payload.
const (
	commandLogout = "LOGOUT"
	commandDrop   = "DROP"
)

// wireEvent is a message of WildDuck's notifier. With p its sessions act on p
// at once and do not read the journal.
type wireEvent struct {
	User    string          `json:"e"`
	Payload json.RawMessage `json:"p,omitempty"`
}

type wireCommand struct {
	Command string `json:"command"`
	Reason  string `json:"reason,omitempty"`
	Mailbox string `json:"mailbox,omitempty"`
}

// encode writes an event; Resync is of this process only and goes out as
// Changed.
func encode(user mail.ID, event Event) []byte {
	var command wireCommand
	switch event.Kind {
	case Logout:
		command = wireCommand{Command: commandLogout, Reason: event.Reason}
	case Drop:
		command = wireCommand{Command: commandDrop, Mailbox: event.Mailbox.String()}
	case Changed, Resync:
		return plain(user)
	default:
		return plain(user)
	}
	payload, err := json.Marshal(command)
	if err != nil {
		return plain(user)
	}
	message, err := json.Marshal(wireEvent{User: user.String(), Payload: payload})
	if err != nil {
		return plain(user)
	}
	return message
}

func plain(user mail.ID) []byte {
	return []byte(`{"e":"` + user.String() + `"}`)
}

// decode reads a message. A payload that is no command we know counts as
// Changed: reading the journal once too often does no harm.
func decode(message []byte) (mail.ID, Event, error) {
	if user, ok := decodePlain(message); ok {
		return user, Event{Kind: Changed}, nil
	}
	var w wireEvent
	if err := json.Unmarshal(message, &w); err != nil {
		return mail.ID{}, Event{}, fmt.Errorf("read notice: %w", err)
	}
	user, err := mail.ParseID(w.User)
	if err != nil {
		return mail.ID{}, Event{}, fmt.Errorf("read notice: %w", err)
	}
	return user, decodeCommand(w.Payload), nil
}

// decodePlain reads the plain form without JSON: there is one for every change
// of every account, in every process.
func decodePlain(message []byte) (mail.ID, bool) {
	const before, after = `{"e":"`, `"}`
	if len(message) != plainLength || string(message[:len(before)]) != before || string(message[plainLength-len(after):]) != after {
		return mail.ID{}, false
	}
	user, err := mail.ParseID(string(message[len(before) : plainLength-len(after)]))
	return user, err == nil
}

func decodeCommand(payload json.RawMessage) Event {
	var command wireCommand
	if len(payload) == 0 || json.Unmarshal(payload, &command) != nil {
		return Event{Kind: Changed}
	}
	switch command.Command {
	case commandLogout:
		return Event{Kind: Logout, Reason: command.Reason}
	case commandDrop:
		if mailbox, err := mail.ParseID(command.Mailbox); err == nil {
			return Event{Kind: Drop, Mailbox: mailbox}
		}
	}
	return Event{Kind: Changed}
}
