package submit_test

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/mail/submit"
)

// world is a store with a submitter and everything below it.
type world struct {
	*submit.Submitter
	t     *testing.T
	store *store.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env, log := storetest.New(t), slog.New(slog.DiscardHandler)
	w := &world{t: t, store: env.Open(nil)}
	w.Submitter = submit.New(submit.Options{
		Store: w.store, Deliver: deliver.New(deliver.Options{Store: w.store, Signal: env.Signal, Log: log}),
		Queue: queue.New(w.store, log), Limit: limit.New(env.Signal, limit.WithLog(log)), Log: log, Hostname: "mx.example.org",
	})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func (w *world) user(local string, change ...func(*store.NewUser)) mail.User {
	w.t.Helper()
	n := store.NewUser{Username: local, Address: local + "@example.org", Name: strings.ToUpper(local[:1]) + local[1:] + " Test"}
	for _, c := range change {
		c(&n)
	}
	u, err := w.store.CreateUser(w.t.Context(), n)
	must(w.t, err)
	return u
}

// box is the mailbox of a special use, UseNone for INBOX.
func (w *world) box(u mail.User, use mail.SpecialUse) mail.Mailbox {
	w.t.Helper()
	var b mail.Mailbox
	var err error
	if use == mail.UseNone {
		b, err = w.store.MailboxByPath(w.t.Context(), u.ID, mail.Inbox)
	} else {
		b, err = w.store.MailboxByUse(w.t.Context(), u.ID, use, true)
	}
	must(w.t, err)
	return b
}

// list gives a mailbox's rows, newest first.
func (w *world) list(u mail.User, use mail.SpecialUse) []mail.Message {
	w.t.Helper()
	page, err := w.store.Messages(w.t.Context(), store.List{User: u.ID, Mailbox: w.box(u, use).ID})
	must(w.t, err)
	return page.Messages
}

// only gives the one message of a mailbox.
func (w *world) only(u mail.User, use mail.SpecialUse) mail.Message {
	w.t.Helper()
	list := w.list(u, use)
	if len(list) != 1 {
		w.t.Fatalf("%d messages in %q, want 1", len(list), use)
	}
	return list[0]
}

func (w *world) raw(m mail.Message) string {
	w.t.Helper()
	r, _, err := w.store.Raw(w.t.Context(), m.User, m.Mailbox, m.UID)
	must(w.t, err)
	raw, err := io.ReadAll(r)
	must(w.t, err)
	must(w.t, r.Close())
	return string(raw)
}

// put files a message in INBOX.
func (w *world) put(u mail.User, raw string) submit.Ref {
	w.t.Helper()
	raw = strings.ReplaceAll(strings.TrimLeft(raw, "\n"), "\n", "\r\n")
	done, err := w.store.Append(w.t.Context(), store.Append{User: u.ID, Message: message.Parse([]byte(raw))})
	must(w.t, err)
	return submit.Ref{Mailbox: done.Mailbox, UID: done.UID}
}

func (w *world) save(u mail.User, d submit.Draft, f submit.Files) submit.Ref {
	w.t.Helper()
	ref, err := w.SaveDraft(w.t.Context(), u, d, f)
	must(w.t, err)
	return ref
}

func (w *world) load(u mail.User, r submit.Ref) submit.Draft {
	w.t.Helper()
	d, err := w.LoadDraft(w.t.Context(), u.ID, r)
	must(w.t, err)
	return d
}

// failed checks an error's code and, when given, field and reason.
func failed(t *testing.T, err error, code mail.Code, words ...string) {
	t.Helper()
	var me *mail.Error
	if !errors.As(err, &me) || me.Code != code {
		t.Fatalf("error %v, want code %v", err, code)
	}
	if got := []string{me.Field, me.Reason}; len(words) > 0 && !slices.Equal(got[:len(words)], words) {
		t.Fatalf("error %v, want field and reason %q", err, words)
	}
}

func file(name, kind, data string) message.ComposeAttachment {
	return message.ComposeAttachment{Filename: name, ContentType: kind, Data: []byte(data)}
}

func names(list []mail.Attachment) (out []string) {
	for _, a := range list {
		out = append(out, a.Filename)
	}
	return out
}

func to(list ...string) (out []message.Address) {
	for _, a := range list {
		out = append(out, message.Address{Address: a})
	}
	return out
}

var utc = time.UTC
