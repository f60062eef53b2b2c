package store_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Accounts, attachments and the queue on servers of their own.
func TestServersApart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	main, _ := storetest.Proxied(t, "")
	users, _ := storetest.Proxied(t, "")
	contents, cable := storetest.Proxied(t, "")
	// A server of the environment's is shared with other tests.
	accounts, files := "accounts_"+mail.NewID().String(), "contents_"+mail.NewID().String()
	s := main.Open(func(o *store.Options) {
		o.UsersDatabase, o.GridFSDatabase = users.URI(accounts), contents.URI(files)
	})
	u := newUser(t, s, "ann")
	got := appendTo(t, s, u.ID, mail.ID{}, fileMessage(1, "content"))
	r, size, err := s.Raw(ctx, u.ID, got.Mailbox, got.UID)
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, r); int64(len(text)) != size {
		t.Errorf("%d bytes of %d", len(text), size)
	}
	count := func(env *storetest.Env, database, collection string) int64 {
		t.Helper()
		c := env.Collection(t, collection).Database().Client().Database(database).Collection(collection)
		return must(c.CountDocuments(ctx, bson.D{}))(t)
	}
	for _, c := range []struct {
		env                  *storetest.Env
		database, collection string
	}{
		{users, accounts, "users"}, {users, accounts, "addresses"}, {contents, files, "attachments.files"}, {contents, files, "attachments.chunks"},
	} {
		if n := count(c.env, c.database, c.collection); n != 1 {
			t.Errorf("%d documents in %s", n, c.collection)
		}
		if n := count(main, main.Database(), c.collection); n != 0 {
			t.Errorf("%d documents in the main database's %s", n, c.collection)
		}
	}
	wantClean(t, s, u.ID)

	// The server of the contents is away: text is taken, files are not, and
	// nothing is left over.
	cable.Away(true)
	short, cancel := context.WithTimeout(ctx, shortly)
	defer cancel()
	_, err = s.Append(short, store.Append{User: u.ID, Message: fileMessage(2, "other")})
	wantCode(t, err, mail.CodeUnavailable)
	wantCode(t, s.Ping(short), mail.CodeUnavailable)
	appendTo(t, s, u.ID, mail.ID{}, textMessage(3))
	cable.Away(false)
	eventually(t, "a connection", func() bool { return s.Ping(ctx) == nil })
	if got := must(s.Mailbox(ctx, u.ID, got.Mailbox))(t).Total; got != 2 {
		t.Errorf("%d messages", got)
	}
	wantClean(t, s, u.ID)

	_, err = store.Open(ctx, store.Options{URI: main.URI(""), Signal: main.Signal, GridFSDatabase: "mongodb://%zz"})
	wantCode(t, err, mail.CodeInvalid)
	if err := store.Reach(ctx, users.URI("")); err != nil {
		t.Error(err)
	}
	_, err = store.Open(ctx, store.Options{URI: main.URI(""), Signal: main.Signal, Secrets: store.Secrets{Cipher: "rot13"}})
	wantCode(t, err, mail.CodeInvalid)
}
