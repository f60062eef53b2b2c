package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// moves collects the updates of messages that change their shard key.
type moves struct {
	mu       sync.Mutex
	commands []bson.Raw
}

func (m *moves) see(e *event.CommandStartedEvent) {
	if e.CommandName != "update" || e.Command.Lookup("update").StringValue() != "messages" {
		return
	}
	for _, one := range statements(e.Command) {
		if one.Lookup("u", "$set", "mailbox").Type != 0 || one.Lookup("u", "$set", "uid").Type != 0 {
			m.mu.Lock()
			m.commands = append(m.commands, slices.Clone(e.Command))
			m.mu.Unlock()
			return
		}
	}
}

func statements(command bson.Raw) []bson.Raw {
	values, _ := command.Lookup("updates").Array().Values()
	out := make([]bson.Raw, len(values))
	for i, v := range values {
		out[i] = v.Document()
	}
	return out
}

// A message's mailbox and UID are its shard key. Behind a router each update
// that changes them is a retryable write alone in its command, with the whole
// key in its filter; elsewhere they share commands.
func TestMovesChangeTheShardKeyAsARouterWants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, router := range []bool{true, false} {
		env, proxy := storetest.Proxied(t, "rs0")
		if router {
			proxy.AsRouter()
		}
		seen := &moves{}
		s := env.Open(func(o *store.Options) { o.Monitor = storetest.Watch(seen.see) })
		u := newUser(t, s, "ann")
		in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
		fill(t, s, u.ID, in, 20)
		uids := must(s.UIDs(ctx, u.ID, in, 0, store.ListFilter{}, 0))(t)
		sel := store.Selection{User: u.ID, Mailbox: in, UIDs: uids}
		if router {
			// A document on its way to another shard that somebody else changes.
			proxy.Refuse("update", "messages", 112)
		}
		moved := must(s.Move(ctx, sel, trash, store.MoveOptions{}))(t)
		if len(moved) != 20 {
			t.Errorf("%d messages moved", len(moved))
		}
		if commands := len(seen.commands); router && commands < 20 || !router && commands != 1 {
			t.Errorf("router %v: %d commands", router, commands)
		}
		for _, c := range seen.commands {
			list := statements(c)
			if router && len(list) != 1 {
				t.Errorf("%d changes of shard keys in one command", len(list))
			}
			if c.Lookup("txnNumber").Type == 0 || c.Lookup("lsid").Type == 0 {
				t.Error("no retryable write")
			}
			for _, one := range list {
				multi, _ := one.Lookup("multi").BooleanOK()
				if one.Lookup("q", "mailbox").Type != bson.TypeObjectID || !isNumber(one.Lookup("q", "uid")) || multi {
					t.Errorf("the filter does not hold the shard key: %v", one)
				}
			}
		}
		wantClean(t, s, u.ID)
	}
}

func isNumber(v bson.RawValue) bool { return v.Type == bson.TypeInt32 || v.Type == bson.TypeInt64 }

// Nothing else in the suite changes a shard key.
func TestShardKeysStay(t *testing.T) {
	env := storetest.New(t)
	var mu sync.Mutex
	s := env.Open(func(o *store.Options) {
		o.FreshTerms = 2
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if e.CommandName != "update" {
				return
			}
			collection := e.Command.Lookup("update").StringValue()
			for _, one := range statements(e.Command) {
				upsert, _ := one.Lookup("upsert").BooleanOK()
				fields := wholeShardKeys[collection]
				changes := slices.ContainsFunc(fields, func(f string) bool { return one.Lookup("u", "$set", f).Type != 0 })
				named := !slices.ContainsFunc(fields, func(f string) bool { return one.Lookup("q", f).Type == 0 })
				if changes && !upsert && !named {
					mu.Lock()
					t.Errorf("changes a shard key that its filter does not hold: %v", one)
					mu.Unlock()
				}
			}
		})
	})
	everyOperation(t, s)
}

// wholeShardKeys are those of docs/scaling.md.
var wholeShardKeys = map[string][]string{
	"messages": {"mailbox", "uid"}, "archived": {"user", "_id"}, "threads": {"user"}, "journal": {"user"},
	"mailboxes": {"user"}, "addressregister": {"user"}, "authlog": {"user"},
}
