package store

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
)

// maxRegister bounds how many people of one message are remembered.
const maxRegister = 20

const (
	// meetingTime is how fresh an entry of the register is left alone,
	// maxMeetings bounds the memory of them.
	meetingTime = 10 * time.Minute
	maxMeetings = 8192
)

// meeting is one account's message from or to one person.
type meeting struct {
	user       mail.ID
	view, name string
}

// meetings remembers when people were registered. It is a cache.
type meetings struct {
	sync.Mutex
	at map[meeting]time.Time
}

// personRecord is a document of addressregister (schema 7).
type personRecord struct {
	Name    string    `bson:"name"`
	Address string    `bson:"address"`
	Updated time.Time `bson:"updated"`
}

func sortAddresses(list []AddressRecord) {
	slices.SortFunc(list, func(a, b AddressRecord) int {
		if a.Main != b.Main {
			if a.Main {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Address, b.Address)
	})
}

// person is somebody to be remembered.
type person struct {
	address address.Address
	name    string
}

// unmet are the people whom a message is from (of Sent: to), for completion,
// but for those who were remembered a short while ago.
func (s *Store) unmet(user mail.ID, use mail.SpecialUse, m *message.Message) (out []person) {
	if use == mail.UseJunk || use == mail.UseDrafts || automatic(m) {
		return nil
	}
	people := m.From
	if use == mail.UseSent {
		people = slices.Concat(m.To, m.Cc, m.Bcc)
	}
	done := 0
	for _, p := range flatten(people) {
		a, err := address.Parse(p.Address)
		if err != nil || noReply(a.Local) {
			continue
		}
		if done++; done > maxRegister {
			break
		}
		if !s.metLately(user, a, p.Name) {
			out = append(out, person{a, p.Name})
		}
	}
	return out
}

// registerPeople remembers people. It never fails the operation it belongs to.
func (s *Store) registerPeople(ctx context.Context, user mail.ID, people []person) {
	for _, p := range people {
		if err := s.registerPerson(ctx, user, p.address, p.name); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "remember correspondent", slog.String("user", user.String()), slog.Any("err", err))
			return
		}
	}
}

// metLately reports that the same person was registered a short while ago, and
// notes it otherwise. It spares a write for each message of a busy
// correspondence; the order of completion needs no more.
func (s *Store) metLately(user mail.ID, a address.Address, name string) bool {
	k := meeting{user, a.View(), name}
	now := s.now()
	s.met.Lock()
	defer s.met.Unlock()
	if at, ok := s.met.at[k]; ok && now.Sub(at) < meetingTime {
		return true
	}
	if s.met.at == nil || len(s.met.at) >= maxMeetings {
		s.met.at = make(map[meeting]time.Time)
	}
	s.met.at[k] = now
	return false
}

func (s *Store) registerPerson(ctx context.Context, user mail.ID, a address.Address, name string) error {
	set := key("updated", s.now(), "address", a.Normal())
	if name != "" {
		set = append(set, bson.E{Key: "name", Value: name})
	}
	_, err := s.addressRegister.UpdateOne(ctx,
		key("user", oid(user), "addrview", a.View(), "disabled", false),
		bson.D{{Key: "$set", Value: set}, {Key: "$setOnInsert", Value: key("user", oid(user), "addrview", a.View(), "disabled", false)}},
		options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return err
}

// flatten puts group members in the place of their group.
func flatten(list []message.Address) []message.Address {
	out := make([]message.Address, 0, len(list))
	for _, a := range list {
		if a.Group != nil {
			out = append(out, a.Group...)
			continue
		}
		out = append(out, a)
	}
	return out
}

// automatic reports mail that no person wrote (lists, auto-replies): its
// senders are not worth remembering.
func automatic(m *message.Message) bool {
	for _, line := range m.Root.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "list-id", "x-auto-response-suppress":
			return true
		case "auto-submitted":
			// RFC 3834 5: "no" is what a person's mail says.
			if !strings.EqualFold(strings.TrimSpace(value), "no") {
				return true
			}
		}
	}
	return false
}

func noReply(local string) bool {
	local = strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(local))
	return strings.HasPrefix(local, "noreply") || strings.HasPrefix(local, "donotreply")
}
