package submit_test

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/submit"
)

const withFile = `
From: Bert <bert@x.example>
To: Anna <anna@example.org>
Subject: Plans / drafts
Message-ID: <3@x.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8

See the file.
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename=plan.pdf
Content-Transfer-Encoding: base64

UERG
--b--
`

// TestForwardAsAttachment: the original goes along byte for byte, also when
// the draft was stored between, and is marked as forwarded.
func TestForwardAsAttachment(t *testing.T) {
	for _, saved := range []bool{false, true} {
		w := newWorld(t)
		u := w.user("anna")
		ref := w.put(u, withFile)
		want := strings.ReplaceAll(strings.TrimLeft(withFile, "\n"), "\n", "\r\n")
		d, err := w.Answer(t.Context(), u, ref, submit.ActionAttach, utc)
		must(t, err)
		if d.Subject != "Fwd: Plans / drafts" || d.Text != "" || d.Quote.Text != "" || len(d.Attachments) != 1 || d.Attachments[0].Filename != "Plans _ drafts.eml" || d.Attachments[0].DecodedSize != int64(len(want)) {
			t.Errorf("draft %+v", d)
		}
		d.To, d.Text = "anna@example.org", "Look."
		if saved {
			d = w.load(u, w.save(u, d, submit.Files{}))
		}
		_, err = w.SendDraft(t.Context(), u, d, submit.Files{}, "")
		must(t, err)
		sent := w.only(u, mail.UseSent)
		if len(sent.Attachments) != 2 || sent.Attachments[0].Filename != "Plans _ drafts.eml" || sent.Attachments[0].ContentType != "message/rfc822" {
			t.Fatalf("attachments %+v", sent.Attachments)
		}
		if got := w.attachment(sent, 0); got != want {
			t.Errorf("saved %v: the attached message is\n%q, want\n%q", saved, got, want)
		}
		row, err := w.store.Row(t.Context(), u.ID, ref.Mailbox, ref.UID)
		must(t, err)
		if !row.Has(mail.FlagForwarded) {
			t.Errorf("flags of the original %v", row.Flags)
		}
	}
}

func TestForwardAsAttachmentTakenOff(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	d, err := w.Answer(t.Context(), u, w.put(u, withFile), submit.ActionAttach, utc)
	must(t, err)
	if stored := w.load(u, w.save(u, d, submit.Files{Remove: []string{d.Attachments[0].ID}})); len(stored.Attachments) != 0 {
		t.Errorf("attachments %+v", stored.Attachments)
	}
}

// TestEditAsNew takes all but the identity of the original.
func TestEditAsNew(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	ref := w.put(u, withFile)
	d, err := w.Answer(t.Context(), u, ref, submit.ActionRewrite, utc)
	must(t, err)
	if d.To != "Anna <anna@example.org>" || d.Subject != "Plans / drafts" || strings.TrimSpace(d.Text) != "See the file." || d.From != "" || d.InReplyTo != "" || len(d.References) != 0 {
		t.Errorf("draft %+v", d)
	}
	d = w.load(u, w.save(u, d, submit.Files{}))
	_, err = w.SendDraft(t.Context(), u, d, submit.Files{}, "")
	must(t, err)
	sent := w.only(u, mail.UseSent)
	m := message.Parse([]byte(w.raw(sent)))
	if len(sent.Attachments) != 1 || w.attachment(sent, 0) != "PDF" || m.InReplyTo != "" || len(m.References) != 0 || sent.MessageID == "<3@x.example>" {
		t.Errorf("sent %+v", sent)
	}
	row, err := w.store.Row(t.Context(), u.ID, ref.Mailbox, ref.UID)
	must(t, err)
	if row.Has(mail.FlagForwarded) || row.Has(mail.FlagAnswered) {
		t.Errorf("flags of the original %v", row.Flags)
	}
}

// TestSentTextIsFlowed: long lines are broken for readers that do not wrap,
// and read as they were written.
func TestSentTextIsFlowed(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	text := strings.Repeat("seven calm eiders drift north ", 12) + "today"
	_, err := w.SendDraft(t.Context(), u, submit.Draft{To: "anna@example.org", Subject: "s", Text: text}, submit.Files{}, "")
	must(t, err)
	raw := w.raw(w.only(u, mail.UseSent))
	for line := range strings.Lines(raw) {
		if len(line) > 80 {
			t.Errorf("long line %q", line)
		}
	}
	if got := strings.TrimSpace(message.Parse([]byte(raw)).Text); got != text {
		t.Errorf("text %q", got)
	}
}
