package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

type world struct {
	t      *testing.T
	ctx    context.Context
	store  *store.Store
	signal signal.Signal
	*deliver.Deliverer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := storetest.New(t)
	w := &world{t: t, ctx: t.Context(), store: env.Open(nil), signal: env.Signal}
	w.Deliverer = deliver.New(deliver.Options{Store: w.store, Signal: env.Signal, Log: slog.New(slog.DiscardHandler)})
	return w
}

func (w *world) user(name string, quota int64) mail.User {
	w.t.Helper()
	u, err := w.store.CreateUser(w.ctx, store.NewUser{Username: name, Address: name + "@example.org", Quota: quota})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) resolve(rcpt string) deliver.Recipient {
	w.t.Helper()
	r, err := w.Resolve(w.ctx, rcpt)
	if err != nil {
		w.t.Fatalf("%s: %v", rcpt, err)
	}
	return r
}

// inbox gives the raw messages of an INBOX, oldest first.
func (w *world) inbox(u mail.User) []string {
	w.t.Helper()
	box, err := w.store.MailboxByPath(w.ctx, u.ID, mail.Inbox)
	if err != nil {
		w.t.Fatal(err)
	}
	uids, err := w.store.UIDs(w.ctx, u.ID, box.ID, 0, store.ListFilter{}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, uid := range uids {
		r, _, err := w.store.Raw(w.ctx, u.ID, box.ID, uid)
		if err != nil {
			w.t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, string(raw))
	}
	return out
}

const text = "Received: from a by b;\r\n\tTue, 24 Nov 2026 12:00:00 +0000\r\nFrom: Ann <ann@elsewhere.example>\r\n" +
	"To: bob@example.org\r\nSubject: one\r\nMessage-ID: <1@elsewhere.example>\r\n\r\nText.\r\n"

func delivery(raw string, to ...deliver.Recipient) deliver.Delivery {
	return deliver.Delivery{
		ID: "0123456789abcdef01", ReversePath: "ann@elsewhere.example", Recipients: to, Message: message.BytesSource([]byte(raw)),
		Source: "MX", RemoteIP: "192.0.2.1", Helo: "mx.elsewhere.example", TransType: "ESMTPS",
		TLSVersion: "TLS 1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", Time: time.Now(),
	}
}

// asError gives the domain's error, nil when there is none.
func asError(err error) (me *mail.Error) {
	errors.As(err, &me)
	return me
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	bob := w.user("bob", 0)
	w.user("postmaster", 0)
	w.user("андрис", 0)
	if err := w.store.AddDomainAlias(w.ctx, "alias.example", "example.org"); err != nil {
		t.Fatal(err)
	}
	all, err := address.Parse("*@wild.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.AddAddress(w.ctx, bob.ID, all, "", false); err != nil {
		t.Fatal(err)
	}
	if got := w.resolve("any.body@wild.example"); got.User.ID != bob.ID || got.Address != "any.body@wild.example" {
		t.Errorf("wildcard: %+v", got)
	}
	off := w.user("off", 0)
	if err := w.store.SetDisabled(w.ctx, off.ID, true); err != nil {
		t.Fatal(err)
	}
	for _, rcpt := range []string{"bob@example.org", "B.o.b+label@EXAMPLE.org", "bob@alias.example"} {
		if got := w.resolve(rcpt); got.User.ID != bob.ID {
			t.Errorf("%s: %+v", rcpt, got)
		}
	}
	w.resolve("Postmaster@example.org")
	w.resolve("андрис@example.org")
	for rcpt, want := range map[string]struct {
		code   mail.Code
		reason string
	}{
		"carol@example.org":       {mail.CodeNoUser, ""},
		"carol@alias.example":     {mail.CodeNoUser, ""},
		"bob@elsewhere.example":   {mail.CodeNoUser, "relay"},
		"off@example.org":         {mail.CodeDisabled, ""},
		"bob":                     {mail.CodeInvalid, ""},
		"*@example.org":           {mail.CodeNoUser, ""},
		"bob@example.org@example": {mail.CodeInvalid, ""},
	} {
		_, err := w.Resolve(w.ctx, rcpt)
		me := asError(err)
		if me == nil || me.Code != want.code || me.Reason != want.reason {
			t.Errorf("%s: %v, want %v %s", rcpt, err, want.code, want.reason)
		}
	}
}

func TestDeliverFilesOneCopyForEachRecipient(t *testing.T) {
	w := newWorld(t)
	bob, carol := w.user("bob", 0), w.user("carol", 0)
	results := w.Deliver(w.ctx, delivery(text,
		w.resolve("bob@example.org"), w.resolve("carol@example.org"), w.resolve("BOB@example.org"), w.resolve("bob+lists@example.org")))
	for i, r := range results {
		if r.Err != nil || r.Appended.UID == 0 || r.Appended.Path != mail.Inbox {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if results[0].Appended.UID != results[2].Appended.UID {
		t.Error("the same recipient twice got two copies")
	}
	got := w.inbox(bob)
	if len(got) != 2 {
		t.Fatalf("bob has %d messages, want one for each of his addresses", len(got))
	}
	head := "Delivered-To: bob@example.org\r\nReturn-Path: <ann@elsewhere.example>\r\n"
	if got[0] != head+text && got[1] != head+text {
		t.Errorf("bob has %q", got)
	}
	if got := w.inbox(carol); len(got) != 1 || got[0] != strings.ReplaceAll(head, "bob", "carol")+text {
		t.Errorf("carol has %q", got)
	}
	box, err := w.store.MailboxByPath(w.ctx, carol.ID, mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.store.Message(w.ctx, carol.ID, box.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Meta.Source != "MX" || m.Meta.From != "ann@elsewhere.example" || len(m.Meta.To) != 1 || m.Meta.To[0] != "carol@example.org" ||
		m.Meta.Origin != "192.0.2.1" || m.Meta.TransHost != "mx.elsewhere.example" || m.Meta.TransType != "ESMTPS" || m.Meta.QueueID != "0123456789abcdef01" {
		t.Errorf("meta %+v", m.Meta)
	}
	if m.Verification == nil || m.Verification.TLSCipher != "TLS_AES_128_GCM_SHA256" {
		t.Errorf("verification %+v", m.Verification)
	}
}

func TestNullSender(t *testing.T) {
	w := newWorld(t)
	bob := w.user("bob", 0)
	m := delivery(text, w.resolve("bob@example.org"))
	m.ReversePath = ""
	if err := w.DeliverAll(w.ctx, m); err != nil {
		t.Fatal(err)
	}
	if got := w.inbox(bob); len(got) != 1 || !strings.HasPrefix(got[0], "Delivered-To: bob@example.org\r\nReturn-Path: <>\r\n") {
		t.Errorf("bob has %q", got)
	}
}

func TestLoop(t *testing.T) {
	w := newWorld(t)
	bob := w.user("bob", 0)
	for hops, want := range map[int]bool{100: true, 101: false} {
		raw := strings.Repeat("Received: from a\r\n\tby b;\r\n", hops) + "Subject: x\r\n\r\nReceived: not a field\r\n"
		err := w.Deliver(w.ctx, delivery(raw, w.resolve("bob@example.org")))[0].Err
		me := asError(err)
		if want && err != nil || !want && (me == nil || me.Reason != "loop") {
			t.Errorf("%d hops: %v", hops, err)
		}
	}
	if n := len(w.inbox(bob)); n != 1 {
		t.Errorf("bob has %d messages", n)
	}
}

func TestQuota(t *testing.T) {
	w := newWorld(t)
	bob := w.user("bob", 1000)
	// Some room left: the message comes, even over the edge, as in WildDuck.
	big := text + strings.Repeat("0123456789\r\n", 55)
	for i := range 2 {
		if r := w.Deliver(w.ctx, delivery(big, w.resolve("bob@example.org"))); r[0].Err != nil {
			t.Fatalf("message %d: %v", i, r[0].Err)
		}
	}
	if _, err := w.Resolve(w.ctx, "bob@example.org"); !mail.IsCode(err, mail.CodeOverQuota) {
		t.Errorf("full mailbox: %v", err)
	}
	// Larger than the whole mailbox.
	carol := w.user("carol", 100)
	err := w.Deliver(w.ctx, delivery(text, w.resolve("carol@example.org")))[0].Err
	if me := asError(err); me == nil || me.Code != mail.CodeTooBig || me.Reason != "quota" {
		t.Errorf("message over the whole quota: %v", err)
	}
	if len(w.inbox(bob)) != 2 || len(w.inbox(carol)) != 0 {
		t.Error("wrong messages kept")
	}
}

// TestHalfDeliveredIsNotDeliveredTwice: one answer for several recipients, one
// of whom fails; the sender tries again with a new trace field on top.
func TestHalfDeliveredIsNotDeliveredTwice(t *testing.T) {
	w := newWorld(t)
	bob := w.user("bob", 0)
	gone := deliver.Recipient{Address: "gone@example.org", User: mail.User{ID: mail.NewID()}}
	try := func(n int, to ...deliver.Recipient) error {
		again := strings.Replace(text, "12:00:00", fmt.Sprintf("12:00:%02d", n), 1)
		return w.DeliverAll(w.ctx, delivery(again, to...))
	}
	for n := range 3 {
		// A failure for good too asks to try again: a bounce would say that nobody got it.
		if err := try(n, w.resolve("bob@example.org"), gone); !mail.IsCode(err, mail.CodeUnavailable) {
			t.Fatalf("try %d: %v", n, err)
		}
	}
	if n := len(w.inbox(bob)); n != 1 {
		t.Fatalf("bob has %d copies", n)
	}
	// Now the other address has come into being; then the person sends the same again.
	carol := w.user("carol", 0)
	if err := try(4, w.resolve("bob@example.org"), w.resolve("carol@example.org")); err != nil {
		t.Fatal(err)
	}
	if len(w.inbox(bob)) != 1 || len(w.inbox(carol)) != 1 {
		t.Fatalf("bob has %d, carol %d", len(w.inbox(bob)), len(w.inbox(carol)))
	}
	if err := try(5, w.resolve("bob@example.org"), w.resolve("carol@example.org")); err != nil {
		t.Fatal(err)
	}
	if len(w.inbox(bob)) != 2 || len(w.inbox(carol)) != 2 {
		t.Errorf("a message sent anew was suppressed: bob has %d, carol %d", len(w.inbox(bob)), len(w.inbox(carol)))
	}
}

func TestAllFailed(t *testing.T) {
	w := newWorld(t)
	gone := deliver.Recipient{Address: "gone@example.org", User: mail.User{ID: mail.NewID()}}
	if err := w.DeliverAll(w.ctx, delivery(text, gone)); err == nil || mail.IsCode(err, mail.CodeUnavailable) {
		t.Errorf("an account that is gone: %v", err)
	}
}

func TestManyRecipients(t *testing.T) {
	w := newWorld(t)
	var to []deliver.Recipient
	for i := range 30 {
		w.user(fmt.Sprintf("user%d", i), 0)
		to = append(to, w.resolve(fmt.Sprintf("user%d@example.org", i)))
	}
	for i, r := range w.Deliver(w.ctx, delivery(text, to...)) {
		if r.Err != nil || r.Recipient.Address != to[i].Address {
			t.Errorf("%d: %+v", i, r)
		}
	}
	for _, r := range to {
		if got := w.inbox(r.User); len(got) != 1 || !strings.HasPrefix(got[0], "Delivered-To: "+r.Address+"\r\n") {
			t.Errorf("%s has %q", r.Address, got)
		}
	}
}
