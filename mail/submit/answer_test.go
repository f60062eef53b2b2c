package submit_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/submit"
)

func (w *world) attachment(m mail.Message, i int) string {
	w.t.Helper()
	c, err := w.store.Attachment(w.t.Context(), m.User, m.Mailbox, m.UID, m.Attachments[i].ID)
	must(w.t, err)
	data, err := io.ReadAll(c.Decoded)
	must(w.t, err)
	must(w.t, c.Decoded.Close())
	return string(data)
}

const original = `
From: "Bert, the" <bert@x.example>
To: Anna <an.na+list@example.org>, Carl <carl@x.example>, BERT@x.example
Cc: anna@example.org, Dora <dora@y.example>, Team: e@y.example, carl@X.example;
Subject: Lunch
Message-ID: <3@x.example>
References: <1@x.example> <2@x.example>
Date: Tue, 5 Mar 2024 23:30:00 +0000

Shall we?

> an older line
`

func TestReply(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, original)
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReply, time.FixedZone("", 2*3600))
	must(t, err)
	if d.To != `"Bert, the" <bert@x.example>` || d.Cc != "" || d.Subject != "Re: Lunch" || d.From != "anna@example.org" {
		t.Errorf("draft %+v", d)
	}
	if d.InReplyTo != "<3@x.example>" || !slices.Equal(d.References, []string{"<1@x.example>", "<2@x.example>", "<3@x.example>"}) {
		t.Errorf("in reply to %q, references %q", d.InReplyTo, d.References)
	}
	if d.Quote.Intro != "On 6 Mar 2024, 01:30, Bert, the wrote:" || d.Quote.Text != "Shall we?\n\n> an older line" || !d.KeepQuote {
		t.Errorf("quote %+v", d.Quote)
	}
	if len(d.Attachments) != 0 {
		t.Errorf("attachments %v", d.Attachments)
	}

	d.Text, d.To = "Yes.", "anna@example.org"
	_, err = w.SendDraft(t.Context(), u, d, submit.Files{}, "")
	must(t, err)
	sent := message.Parse([]byte(w.raw(w.only(u, mail.UseSent))))
	want := "Yes.\n\nOn 6 Mar 2024, 01:30, Bert, the wrote:\n> Shall we?\n>\n>> an older line"
	if got := strings.TrimRight(strings.ReplaceAll(sent.Text, "\r\n", "\n"), "\n"); got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if sent.InReplyTo != "<3@x.example>" || len(sent.References) != 3 {
		t.Errorf("in reply to %q, references %q", sent.InReplyTo, sent.References)
	}
	row, err := w.store.Row(t.Context(), u.ID, ref.Mailbox, ref.UID)
	must(t, err)
	if !row.Has(mail.FlagAnswered) || row.Has(mail.FlagForwarded) {
		t.Errorf("flags of the original %v", row.Flags)
	}
}

func TestReplyAll(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	d, err := w.Answer(t.Context(), u, w.put(u, original), submit.ActionReplyAll, utc)
	must(t, err)
	if d.To != `"Bert, the" <bert@x.example>` || d.Cc != "Carl <carl@x.example>, Dora <dora@y.example>, e@y.example" {
		t.Errorf("to %q, cc %q", d.To, d.Cc)
	}
}

func TestReplyToField(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, "From: bert@x.example\nReply-To: List <list@x.example>\nTo: list@x.example\nSubject: s\n\nx\n")
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReplyAll, utc)
	must(t, err)
	if d.To != "List <list@x.example>" || d.Cc != "" || d.From != "" {
		t.Errorf("draft %+v", d)
	}
}

func TestReplyToOwnMessage(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, "From: Anna <anna@example.org>\nTo: bert@x.example\nCc: carl@x.example\nSubject: s\n\nx\n")
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReply, utc)
	must(t, err)
	if d.To != "bert@x.example" || d.Cc != "" {
		t.Errorf("to %q, cc %q", d.To, d.Cc)
	}
	d, err = w.Answer(t.Context(), u, ref, submit.ActionReplyAll, utc)
	must(t, err)
	if d.To != "bert@x.example" || d.Cc != "carl@x.example" {
		t.Errorf("to %q, cc %q", d.To, d.Cc)
	}
}

func TestAnswerComesFromTheAddressWrittenTo(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	a, err := address.Parse("second@example.org")
	must(t, err)
	_, err = w.store.AddAddress(t.Context(), u.ID, a, "", false)
	must(t, err)
	ref := w.put(u, "From: bert@x.example\nTo: x@x.example\nCc: SECOND+l@example.org\nSubject: s\n\nx\n")
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReply, utc)
	must(t, err)
	if d.From != "second@example.org" {
		t.Errorf("from %q", d.From)
	}
}

func TestSubjects(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for _, c := range []struct{ subject, reply, forward string }{
		{"Lunch", "Re: Lunch", "Fwd: Lunch"},
		{"Re: Lunch", "Re: Lunch", "Fwd: Re: Lunch"},
		{"RE[2]: Lunch", "RE[2]: Lunch", "Fwd: RE[2]: Lunch"},
		{"AW: Lunch", "AW: Lunch", "Fwd: AW: Lunch"},
		{"fw: Lunch", "Re: fw: Lunch", "fw: Lunch"},
		{"Invoice: May", "Re: Invoice: May", "Fwd: Invoice: May"},
		{"Ответ: x", "Ответ: x", "Fwd: Ответ: x"},
		{"", "Re: ", "Fwd: "},
	} {
		ref := w.put(u, "From: bert@x.example\nSubject: "+c.subject+"\n\nx\n")
		for action, want := range map[string]string{submit.ActionReply: c.reply, submit.ActionForward: c.forward} {
			d, err := w.Answer(t.Context(), u, ref, action, utc)
			must(t, err)
			if d.Subject != want {
				t.Errorf("%s of %q: %q, want %q", action, c.subject, d.Subject, want)
			}
		}
	}
}

func TestForwardWithAttachments(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, `
From: Bert <bert@x.example>
To: anna@example.org
Cc: c@x.example
Subject: Files
Message-ID: <3@x.example>
Date: Tue, 5 Mar 2024 23:30:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<p>See <img src="cid:pic"></p>
--r
Content-Type: image/png; name=pic.png
Content-ID: <pic>
Content-Disposition: inline
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--r--
--m
Content-Type: application/pdf
Content-Disposition: attachment; filename="a b.pdf"
Content-Transfer-Encoding: base64

JVBERi0x
--m
Content-Type: text/csv
Content-Disposition: attachment; filename=t.csv

a,b
--m--
`)
	d, err := w.Answer(t.Context(), u, ref, submit.ActionForward, utc)
	must(t, err)
	if got := names(d.Attachments); !slices.Equal(got, []string{"a b.pdf", "t.csv"}) {
		t.Fatalf("attachments %q", got)
	}
	if d.To != "" || d.InReplyTo != "" || d.Subject != "Fwd: Files" || d.Reference != ref {
		t.Errorf("draft %+v", d)
	}
	for _, part := range []string{"From: Bert <bert@x.example>\n", "Date: 5 Mar 2024, 23:30\n", "Subject: Files\n", "To: anna@example.org\n", "Cc: c@x.example\n"} {
		if !strings.Contains(d.Quote.Intro, part) {
			t.Errorf("intro lacks %q: %q", part, d.Quote.Intro)
		}
	}
	// Not saved before: the attachments come from the original, one of them removed.
	d.To, d.Text = "anna@example.org", "For you."
	_, err = w.SendDraft(t.Context(), u, d, submit.Files{Remove: []string{d.Attachments[1].ID}}, "")
	must(t, err)
	sent := w.only(u, mail.UseSent)
	if got := names(sent.Attachments); !slices.Equal(got, []string{"a b.pdf"}) {
		t.Fatalf("sent attachments %q", got)
	}
	if got := w.attachment(sent, 0); got != "%PDF-1" {
		t.Errorf("content %q", got)
	}
	if raw := w.raw(sent); strings.Contains(raw, "\n> See") || !strings.Contains(raw, "---------- Forwarded message ----------") {
		t.Errorf("sent\n%s", raw)
	}
	// Saved first: the draft holds them.
	d.Ref = w.save(u, d, submit.Files{})
	if got := names(w.load(u, d.Ref).Attachments); !slices.Equal(got, []string{"a b.pdf", "t.csv"}) {
		t.Errorf("draft's attachments %q", got)
	}
	row, err := w.store.Row(t.Context(), u.ID, ref.Mailbox, ref.UID)
	must(t, err)
	if !row.Has(mail.FlagForwarded) || row.Has(mail.FlagAnswered) {
		t.Errorf("flags of the original %v", row.Flags)
	}
}

func TestAnswerToNothing(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	_, err := w.Answer(t.Context(), u, submit.Ref{Mailbox: w.box(u, mail.UseNone).ID, UID: 9}, submit.ActionReply, utc)
	failed(t, err, mail.CodeNoMessage)
	d, err := w.Answer(t.Context(), u, w.put(u, "X: y\n\n"), submit.ActionReplyAll, utc)
	must(t, err)
	if d.To != "" || d.Cc != "" {
		t.Errorf("draft %+v", d)
	}
}

func TestLongReferencesAreCut(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, "From: b@x.example\nMessage-ID: <last@x>\nReferences:"+strings.Repeat("\n <a@x>", 1)+strings.Repeat("\n <m@x>", 80)+"\nSubject: s\n\nx\n")
	d, err := w.Answer(t.Context(), u, ref, submit.ActionReply, utc)
	must(t, err)
	if n := len(d.References); n > 50 || d.References[0] != "<a@x>" || d.References[n-1] != "<last@x>" {
		t.Errorf("%d references %q", n, d.References)
	}
}

// What Typed writes is read again as the same people.
func TestTypedIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var list []message.Address
		for range rapid.IntRange(0, 4).Draw(rt, "n") {
			list = append(list, message.Address{Name: rapid.String().Draw(rt, "name"), Address: "a@x.example"})
		}
		parts := address.SplitList(submit.Typed(list))
		if len(parts) != len(list) {
			rt.Fatalf("%d of %d: %q", len(parts), len(list), parts)
		}
		for _, part := range parts {
			if _, a, err := address.ParseMailbox(part); err != nil || a.String() != "a@x.example" {
				rt.Fatalf("%q: %v %v", part, a, err)
			}
		}
	})
}
