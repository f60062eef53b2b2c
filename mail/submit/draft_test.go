package submit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/submit"
)

func TestDraftKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	d := submit.Draft{
		To: `Bert <bert@example.org>, "Last, First" <x@y.example>, half-typed@`, Cc: "someone", Bcc: "secret@z.example;",
		Subject: "Привет 你好 مرحبا", Text: "Line one\n\n  indented, trailing space \n> quoted by hand\nFrom here\n.\nпока",
	}
	ref := w.save(u, d, submit.Files{})
	got := w.load(u, ref)
	if got.To != d.To || got.Cc != d.Cc || got.Bcc != d.Bcc || got.Subject != d.Subject || got.Text != d.Text {
		t.Errorf("loaded %+v", got)
	}
	if got.Ref != ref || got.Saved.IsZero() {
		t.Errorf("ref %+v, saved %v", got.Ref, got.Saved)
	}
	row := w.only(u, mail.UseDrafts)
	if !row.Has(mail.FlagDraft) || !row.Has(mail.FlagSeen) {
		t.Errorf("flags %v", row.Flags)
	}
	raw := w.raw(row)
	for _, part := range []string{"bert@example.org", "x@y.example", "Bcc: ", "secret@z.example", "From: Anna Test <anna@example.org>"} {
		if !strings.Contains(raw, part) {
			t.Errorf("the stored draft lacks %q", part)
		}
	}
	if people, err := w.store.KnownPeople(t.Context(), u.ID, "", 10); err != nil || len(people) != 0 {
		t.Errorf("a draft made people known: %v, %v", people, err)
	}
}

func TestDraftReplace(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	first := w.save(u, submit.Draft{Text: "one"}, submit.Files{})
	second := w.save(u, submit.Draft{Ref: first, Text: "two"}, submit.Files{})
	if got := w.load(u, second); got.Text != "two" {
		t.Errorf("text %q", got.Text)
	}
	w.only(u, mail.UseDrafts)
	// The other tab still knows the first one.
	_, err := w.SaveDraft(t.Context(), u, submit.Draft{Ref: first, Text: "three"}, submit.Files{})
	failed(t, err, mail.CodeConflict)
	_, err = w.SendDraft(t.Context(), u, submit.Draft{Ref: first, To: "anna@example.org"}, submit.Files{}, "")
	failed(t, err, mail.CodeConflict)
	if got := w.load(u, second); got.Text != "two" {
		t.Errorf("text %q", got.Text)
	}
}

func TestDraftMustBeOne(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("anna"), w.user("bert")
	ref := w.put(u, "From: a@b.example\nSubject: no draft\n\nText\n")
	_, err := w.SaveDraft(t.Context(), u, submit.Draft{Ref: ref, Text: "x"}, submit.Files{})
	failed(t, err, mail.CodeConflict)
	_, err = w.SendDraft(t.Context(), u, submit.Draft{Ref: ref, To: "bert@example.org"}, submit.Files{}, "")
	failed(t, err, mail.CodeConflict)
	_, err = w.LoadDraft(t.Context(), u.ID, ref)
	failed(t, err, mail.CodeForbidden)
	failed(t, w.DiscardDraft(t.Context(), u.ID, ref), mail.CodeForbidden)
	w.only(u, mail.UseNone)

	mine := w.save(u, submit.Draft{Text: "mine"}, submit.Files{})
	if _, err := w.LoadDraft(t.Context(), other.ID, mine); err == nil {
		t.Error("somebody else's draft was loaded")
	}
	must(t, w.DiscardDraft(t.Context(), other.ID, mine))
	w.only(u, mail.UseDrafts)
}

func TestDraftDiscard(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.save(u, submit.Draft{Text: "x"}, submit.Files{Add: []message.ComposeAttachment{file("a.txt", "text/plain", "a")}})
	must(t, w.DiscardDraft(t.Context(), u.ID, ref))
	must(t, w.DiscardDraft(t.Context(), u.ID, ref))
	must(t, w.DiscardDraft(t.Context(), u.ID, submit.Ref{}))
	if n := len(w.list(u, mail.UseDrafts)); n != 0 {
		t.Errorf("%d drafts left", n)
	}
	after, err := w.store.User(t.Context(), u.ID)
	must(t, err)
	if after.StorageUsed != 0 {
		t.Errorf("storage used %d", after.StorageUsed)
	}
}

func TestDraftAttachments(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	binary := string([]byte{0, 1, 2, 0xff, '\r', '\n', '\n'})
	mailFile := "From: x@y.example\r\nSubject: inner\r\n\r\ninner text\r\n"
	ref := w.save(u, submit.Draft{Text: "x"}, submit.Files{Add: []message.ComposeAttachment{
		file("Отчёт 2024.pdf", "application/pdf", binary), file("b.txt", "text/plain", "bare\nlines\n"), file("c.eml", "message/rfc822", mailFile),
	}})
	d := w.load(u, ref)
	if got := names(d.Attachments); !slices.Equal(got, []string{"Отчёт 2024.pdf", "b.txt", "c.eml"}) {
		t.Fatalf("attachments %q", got)
	}
	for range 3 {
		d.Ref = w.save(u, d, submit.Files{})
		d = w.load(u, d.Ref)
	}
	d.Ref = w.save(u, d, submit.Files{
		Remove: []string{d.Attachments[1].ID, "ATT99999"}, Add: []message.ComposeAttachment{file("d.bin", "", "d")},
	})
	d = w.load(u, d.Ref)
	if got := names(d.Attachments); !slices.Equal(got, []string{"Отчёт 2024.pdf", "c.eml", "d.bin"}) {
		t.Fatalf("attachments %q", got)
	}
	d.To = "anna@example.org"
	_, err := w.SendDraft(t.Context(), u, d, submit.Files{Remove: []string{d.Attachments[2].ID}}, "")
	must(t, err)
	got := w.only(u, mail.UseNone)
	if list := names(got.Attachments); !slices.Equal(list, []string{"Отчёт 2024.pdf", "c.eml"}) {
		t.Fatalf("sent attachments %q", list)
	}
	for i, want := range []string{binary, mailFile} {
		if data := w.attachment(got, i); data != want {
			t.Errorf("attachment %d: %q, want %q", i, data, want)
		}
	}
}

func TestDraftOfAnotherClient(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	raw := "From: Anna <anna@example.org>\r\nTo: Bert <bert@example.org>\r\nBcc: c@example.org\r\nSubject: S\r\n" +
		"In-Reply-To: <1@x.example>\r\nReferences: <0@x.example> <1@x.example>\r\n\r\nText\r\n"
	done, err := w.store.Append(t.Context(), store.Append{
		User: u.ID, Use: mail.UseDrafts, Message: message.Parse([]byte(raw)), Flags: []mail.Flag{mail.FlagDraft},
	})
	must(t, err)
	d := w.load(u, submit.Ref{Mailbox: done.Mailbox, UID: done.UID})
	if d.From != "anna@example.org" || d.To != "Bert <bert@example.org>" || d.Bcc != "c@example.org" || d.Subject != "S" || d.Text != "Text" ||
		d.InReplyTo != "<1@x.example>" || len(d.References) != 2 {
		t.Errorf("draft %+v", d)
	}
}

func TestDraftOfAnAnswerRoundTrip(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	orig := w.put(u, "From: Bert <bert@x.example>\nTo: anna@example.org\nSubject: S\nMessage-ID: <1@x.example>\n\n> old\n\n  >odd\n>\nlast\n")
	for _, action := range []string{submit.ActionReply, submit.ActionForward} {
		for _, keep := range []bool{true, false} {
			d, err := w.Answer(t.Context(), u, orig, action, utc)
			must(t, err)
			d.Text, d.KeepQuote = "Mine", keep
			for range 3 {
				d.Ref = w.save(u, d, submit.Files{})
				got := w.load(u, d.Ref)
				if got.Text != d.Text || got.Quote != d.Quote || got.KeepQuote != d.KeepQuote || got.Action != d.Action ||
					got.Reference != orig || got.InReplyTo != d.InReplyTo || !slices.Equal(got.References, d.References) {
					t.Fatalf("saved %+v, loaded %+v", d, got)
				}
				d = got
			}
		}
	}
}

func TestDraftSurvivesItsOriginal(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for _, action := range []string{submit.ActionReply, submit.ActionForward} {
		orig := w.put(u, "From: Bert <bert@x.example>\nTo: anna@example.org\nSubject: S\n\nfirst\n\n> second\n")
		d, err := w.Answer(t.Context(), u, orig, action, utc)
		must(t, err)
		quote := d.Quote
		d.Text = "mine"
		d.Ref = w.save(u, d, submit.Files{})
		_, err = w.store.Expunge(t.Context(), store.Selection{User: u.ID, Mailbox: orig.Mailbox, UIDs: []mail.UID{orig.UID}}, store.ExpungeOptions{})
		must(t, err)
		if got := w.load(u, d.Ref); got.Text != "mine" || got.Quote != quote {
			t.Errorf("%s: text %q, quote %+v, want %+v", action, got.Text, got.Quote, quote)
		}
	}
}

func TestDraftQuota(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna", func(n *store.NewUser) { n.Quota = 4000 })
	_, err := w.SaveDraft(t.Context(), u, submit.Draft{Text: strings.Repeat("x ", 4000)}, submit.Files{})
	failed(t, err, mail.CodeOverQuota)
	if n := len(w.list(u, mail.UseDrafts)); n != 0 {
		t.Errorf("%d drafts", n)
	}
}

func ExampleTyped() {
	fmt.Println(submit.Typed([]message.Address{
		{Name: "Bert", Address: "b@x.example"},
		{Name: `Last, "F"`, Address: "l@x.example"},
		{Address: "n@x.example"},
		{Name: "Friends", Group: []message.Address{{Address: "f@x.example"}}},
		{Name: "nobody"},
	}))
	// Output: Bert <b@x.example>, "Last, \"F\"" <l@x.example>, n@x.example, f@x.example
}
