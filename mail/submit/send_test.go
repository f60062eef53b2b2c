package submit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

func TestSendLocalAndRemote(t *testing.T) {
	w := newWorld(t)
	anna, bert, carl := w.user("anna"), w.user("bert"), w.user("carl")
	d := submit.Draft{
		To: "Bert <bert@example.org>, r1@remote.example", Cc: "R2 <r2@other.example>", Bcc: "carl@example.org, r3@remote.example",
		Subject: "Grüße", Text: "Hello\n.\nFrom me",
	}
	d.Ref = w.save(anna, d, submit.Files{})
	sent, err := w.SendDraft(t.Context(), anna, d, submit.Files{}, "192.0.2.7")
	must(t, err)
	if !slices.Equal(sent.Local, []string{"bert@example.org", "carl@example.org"}) ||
		!slices.Equal(sent.Queued, []string{"r1@remote.example", "r2@other.example", "r3@remote.example"}) ||
		sent.QueueID == "" || sent.UID == 0 || sent.MessageID == "" || sent.OverQuota {
		t.Errorf("sent %+v", sent)
	}
	if n := len(w.list(anna, mail.UseDrafts)); n != 0 {
		t.Errorf("%d drafts left", n)
	}

	copied := w.only(anna, mail.UseSent)
	if !copied.Has(mail.FlagSeen) || copied.Has(mail.FlagDraft) || !slices.Equal(copied.Outbound, []string{sent.QueueID}) ||
		copied.MessageID != sent.MessageID || copied.Subject != "Grüße" || copied.UID != sent.UID {
		t.Errorf("copy %+v", copied)
	}
	if len(copied.Bcc) != 2 {
		t.Errorf("copy's Bcc %v", copied.Bcc)
	}

	queued, err := w.store.QueueRaw(t.Context(), sent.QueueID)
	must(t, err)
	for name, raw := range map[string]string{
		"bert": w.raw(w.only(bert, mail.UseNone)), "carl": w.raw(w.only(carl, mail.UseNone)), "queue": string(queued),
	} {
		lower := strings.ToLower(raw)
		if strings.Contains(lower, "\nbcc:") || strings.Contains(lower, "r3@remote") || name != "carl" && strings.Contains(lower, "carl@") {
			t.Errorf("%s: Bcc shows in\n%s", name, raw)
		}
		if strings.Contains(raw, "192.0.2.7") {
			t.Errorf("%s: the sender's address shows in\n%s", name, raw)
		}
		if m := message.Parse([]byte(raw)); m.MessageID != sent.MessageID || len(m.From) != 1 || submit.Typed(m.From) != "Anna Test <anna@example.org>" {
			t.Errorf("%s: id %q, from %+v", name, m.MessageID, m.From)
		}
	}
	raw := w.raw(w.only(bert, mail.UseNone))
	if !strings.HasPrefix(raw, "Delivered-To: bert@example.org\r\nReturn-Path: <anna@example.org>\r\nReceived: by mx.example.org ") {
		t.Errorf("head of %q", raw[:min(300, len(raw))])
	}
	entries, err := w.store.QueueEntries(t.Context(), store.QueueFilter{IDs: []string{sent.QueueID}})
	must(t, err)
	var rcpts []string
	for _, e := range entries {
		rcpts = append(rcpts, e.Recipient)
		if e.User != anna.ID {
			t.Errorf("entry %+v", e)
		}
	}
	slices.Sort(rcpts)
	if !slices.Equal(rcpts, []string{"r1@remote.example", "r2@other.example", "r3@remote.example"}) {
		t.Errorf("entries for %q", rcpts)
	}
	// Each is one account's message in good order.
	for _, u := range []mail.User{anna, bert, carl} {
		report, err := w.store.Verify(t.Context(), u.ID)
		must(t, err)
		if !report.OK() {
			t.Errorf("%s: %+v", u.Username, report.Problems)
		}
	}
}

func TestSendOnlyLocalQueuesNothing(t *testing.T) {
	w := newWorld(t)
	anna := w.user("anna")
	w.user("bert")
	sent, err := w.Send(t.Context(), submit.Send{User: anna, Compose: message.Compose{To: to("bert@example.org", "BERT@example.org"), Text: "x"}})
	must(t, err)
	if sent.QueueID != "" || len(sent.Queued) != 0 || len(sent.Local) != 1 {
		t.Errorf("sent %+v", sent)
	}
	entries, err := w.store.QueueEntries(t.Context(), store.QueueFilter{User: anna.ID})
	must(t, err)
	if len(entries) != 0 {
		t.Errorf("queue %+v", entries)
	}
}

func TestSendRefused(t *testing.T) {
	w := newWorld(t)
	anna := w.user("anna")
	w.user("bert")
	full := w.user("full", func(n *store.NewUser) { n.Quota = 10 })
	w.put(full, "Subject: fills it\n\nx\n")
	off := w.user("off")
	must(t, w.store.SetDisabled(t.Context(), off.ID, true))
	send := func(u mail.User, list ...string) error {
		_, err := w.Send(t.Context(), submit.Send{User: u, Compose: message.Compose{To: to(append([]string{"bert@example.org"}, list...)...), Text: "x"}})
		return err
	}
	many := make([]string, submit.MaxRecipients)
	for i := range many {
		many[i] = fmt.Sprintf("r%d@remote.example", i)
	}
	failed(t, send(anna, "nobody@example.org"), mail.CodeInvalid, "to", "unknown")
	failed(t, send(anna, "*@example.org"), mail.CodeInvalid, "to", "unknown")
	failed(t, send(anna, "off@example.org"), mail.CodeInvalid, "to", "unknown")
	failed(t, send(anna, "no address"), mail.CodeInvalid, "to", "format")
	failed(t, send(anna, many...), mail.CodeInvalid, "to", "long")
	failed(t, send(anna, "full@example.org"), mail.CodeOverQuota, "to")
	_, err := w.Send(t.Context(), submit.Send{User: anna, Compose: message.Compose{Text: "x"}})
	failed(t, err, mail.CodeInvalid, "to", "empty")
	disabled, suspended := anna, anna
	disabled.Disabled, suspended.Suspended = true, true
	failed(t, send(disabled), mail.CodeDisabled)
	failed(t, send(suspended), mail.CodeDisabled)
	big := message.Compose{To: to("bert@example.org"), Attachments: []message.ComposeAttachment{{Filename: "x", Data: make([]byte, 50<<20)}}}
	_, err = w.Send(t.Context(), submit.Send{User: anna, Compose: big})
	failed(t, err, mail.CodeTooBig)

	_, err = w.SendDraft(t.Context(), anna, submit.Draft{To: "bert@example.org", Cc: "x@", Text: "x"}, submit.Files{}, "")
	failed(t, err, mail.CodeInvalid, "cc", "format")
	// Nobody got anything.
	if n := len(w.list(anna, mail.UseSent)); n != 0 {
		t.Errorf("%d in Sent", n)
	}
	bert, err := w.store.FindUser(t.Context(), "bert")
	must(t, err)
	if n := len(w.list(bert, mail.UseNone)); n != 0 {
		t.Errorf("%d delivered", n)
	}
}

func TestSendRefusedKeepsTheDraft(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	d := submit.Draft{To: "nobody@example.org", Text: "x"}
	d.Ref = w.save(u, d, submit.Files{})
	_, err := w.SendDraft(t.Context(), u, d, submit.Files{}, "")
	failed(t, err, mail.CodeInvalid, "to", "unknown")
	w.only(u, mail.UseDrafts)
}

func TestSendDailyLimit(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna", func(n *store.NewUser) { n.Recipients = 3 })
	u, err := w.store.User(t.Context(), u.ID)
	must(t, err)
	send := func(list ...string) error {
		_, err := w.Send(t.Context(), submit.Send{User: u, Compose: message.Compose{To: to(list...), Text: "x"}})
		return err
	}
	must(t, send("a@remote.example", "b@remote.example"))
	must(t, send("c@remote.example"))
	failed(t, send("d@remote.example"), mail.CodeLimited)
	if n := len(w.list(u, mail.UseSent)); n != 2 {
		t.Errorf("%d in Sent, want 2", n)
	}
}

func TestSendReplacesForeignSender(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna", func(n *store.NewUser) { n.FromWhitelist = []string{"*@team.example", "boss@firm.example"} })
	u, err := w.store.User(t.Context(), u.ID)
	must(t, err)
	for given, want := range map[string]string{
		"": "anna@example.org", "boss@evil.example": "anna@example.org", "not an address": "anna@example.org",
		"an.na+x@example.org": "an.na+x@example.org", "boss@firm.example": "boss@firm.example", "who@team.example": "who@team.example",
		"who@team.example.evil.example": "anna@example.org",
	} {
		o := submit.Send{User: u, EnvelopeFrom: given, Compose: message.Compose{To: to("anna@example.org"), Text: "x"}}
		o.Compose.From.Address = given
		sent, err := w.Send(t.Context(), o)
		must(t, err)
		row, err := w.store.Row(t.Context(), u.ID, sent.Mailbox, sent.UID)
		must(t, err)
		if row.From.Address != want {
			t.Errorf("From %q became %q, want %q", given, row.From.Address, want)
		}
		if got := w.raw(w.list(u, mail.UseNone)[0]); !strings.Contains(got, "Return-Path: <"+want+">\r\n") {
			t.Errorf("reverse-path for %q in %q", given, got[:min(200, len(got))])
		}
	}
}

func TestSendCannotInjectFields(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna", func(n *store.NewUser) { n.Name = "Anna\r\nX-Name: 1" })
	d := submit.Draft{To: "anna@example.org", Subject: "a\r\nX-Subject: 1\r\n\r\nbody", Text: "x", InReplyTo: "<a@x>\r\nX-Reply: 1"}
	_, err := w.SendDraft(t.Context(), u, d, submit.Files{Add: []message.ComposeAttachment{file("a\"\r\nX-File: 1", "text/plain", "x")}}, "")
	must(t, err)
	raw := w.raw(w.only(u, mail.UseNone))
	for _, name := range []string{"X-Name", "X-Subject", "X-Reply", "X-File"} {
		if strings.Contains(raw, "\n"+name+":") {
			t.Errorf("%s was injected:\n%s", name, raw)
		}
	}
}

func TestSendWhenTheCopyDoesNotFit(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna", func(n *store.NewUser) { n.Quota = 3000 })
	w.user("bert")
	ref := w.put(u, "Subject: s\nFrom: bert@example.org\n\nx\n")
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReply, utc)
	must(t, err)
	d.Text = "short"
	d.Ref = w.save(u, d, submit.Files{})
	sent, err := w.SendDraft(t.Context(), u, d, submit.Files{Add: []message.ComposeAttachment{file("a", "", strings.Repeat("x", 9000))}}, "")
	must(t, err)
	if !sent.OverQuota || sent.UID != 0 || len(sent.Local) != 1 {
		t.Errorf("sent %+v", sent)
	}
	// The draft is all that the person has of it.
	w.only(u, mail.UseDrafts)
	if n := len(w.list(u, mail.UseSent)); n != 0 {
		t.Errorf("%d in Sent", n)
	}
	row, err := w.store.Row(t.Context(), u.ID, ref.Mailbox, ref.UID)
	must(t, err)
	if !row.Has(mail.FlagAnswered) {
		t.Error("the original is not marked")
	}
}

func TestSendEnvelopeAndLater(t *testing.T) {
	w := newWorld(t)
	u, bert := w.user("anna"), w.user("bert")
	at := time.Now().Add(48 * time.Hour).Truncate(time.Millisecond)
	sent, err := w.Send(t.Context(), submit.Send{
		User: u, EnvelopeTo: []string{"bert@example.org", "r@remote.example"}, SendAt: at, Mailbox: w.box(u, mail.UseNone).ID,
		Compose: message.Compose{To: to("shown@remote.example"), Text: "x"},
	})
	must(t, err)
	if !slices.Equal(sent.Queued, []string{"r@remote.example"}) || !slices.Equal(sent.Local, []string{"bert@example.org"}) {
		t.Errorf("sent %+v", sent)
	}
	w.only(bert, mail.UseNone)
	w.only(u, mail.UseNone)
	entries, err := w.store.QueueEntries(t.Context(), store.QueueFilter{IDs: []string{sent.QueueID}})
	must(t, err)
	if len(entries) != 1 || !entries[0].Queued.Equal(at) {
		t.Errorf("entries %+v, want one at %v", entries, at)
	}
}

func TestSendTwiceAtOnceSendsOnce(t *testing.T) {
	w := newWorld(t)
	u, bert := w.user("anna"), w.user("bert")
	d := submit.Draft{To: "bert@example.org", Text: "x"}
	d.Ref = w.save(u, d, submit.Files{})
	const n = 4
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := w.SendDraft(t.Context(), u, d, submit.Files{}, "")
			errs <- err
		}()
	}
	sent := 0
	for range n {
		switch err := <-errs; {
		case err == nil:
			sent++
		case !mail.IsCode(err, mail.CodeConflict):
			t.Errorf("error %v", err)
		}
	}
	if sent != 1 {
		t.Errorf("sent %d times", sent)
	}
	w.only(bert, mail.UseNone)
	w.only(u, mail.UseSent)
}
