package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// A replica set's primary that steps down or shuts down under a write: the
// driver sends it again with the same number, and it is done once; a deciding
// insert, which has a deadline of its own, more than once if it must.
func TestStepDownIsRetried(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env, proxy := storetest.Proxied(t, "rs0")
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	in, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	total := 0
	for i, code := range []int{10107, 11600, 91, 189, 11602} {
		writes := []struct {
			command, collection string
			added               int
			run                 func() error
		}{
			{"insert", "messages", 1, func() error {
				_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: fileMessage(total, "content")})
				return err
			}},
			{"findAndModify", "mailboxes", 1, func() error {
				_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: textMessage(total)})
				return err
			}},
			{"update", "messages", 0, func() error {
				_, err := s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{1}}, store.FlagChange{Add: []mail.Flag{mail.Flag(fmt.Sprint("$c", code))}})
				return err
			}},
		}
		// The driver waits for its next look at the server, so each error meets one
		// or two of the writes.
		for _, c := range writes[i%2 : i%2+1+i%3%2] {
			broken := proxy.Broken()
			proxy.Refuse(c.command, c.collection, code)
			if err := c.run(); err != nil {
				t.Errorf("%s of %s, %d: %v", c.command, c.collection, code, err)
			}
			if proxy.Broken() != broken+1 {
				t.Errorf("%s of %s, %d: refused %d times", c.command, c.collection, code, proxy.Broken()-broken)
			}
			total += c.added
		}
		wantClean(t, s, u.ID)
	}
	for range 2 {
		proxy.Refuse("insert", "messages", 10107)
	}
	appendTo(t, s, u.ID, in, fileMessage(total, "content"))
	total++
	moved := must(s.Move(ctx, store.Selection{User: u.ID, Mailbox: in, UIDs: []mail.UID{1}}, trash, store.MoveOptions{}))(t)
	if got := must(s.Mailbox(ctx, u.ID, in))(t).Total; got != total-len(moved) {
		t.Errorf("%d messages, want %d", got, total-len(moved))
	}
	wantClean(t, s, u.ID)
}
