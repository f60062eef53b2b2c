package webmail_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// field reads a hidden field or input of the composer.
func field(a *answer, name string) string {
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		attrs := map[string]string{}
		for _, at := range n.Attr {
			attrs[at.Key] = at.Val
		}
		if attrs["name"] != name {
			continue
		}
		if n.Data == "textarea" {
			if n.FirstChild == nil {
				return ""
			}
			return n.FirstChild.Data
		}
		return attrs["value"]
	}
	return ""
}

// raws are the messages of a mailbox.
func (w *world) raws(u mail.User, b mail.ID) (out []*message.Message) {
	w.t.Helper()
	for _, uid := range w.uids(u, b) {
		r, _, err := w.store.Raw(w.t.Context(), u.ID, b, uid)
		if err != nil {
			w.t.Fatal(err)
		}
		all, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, message.Parse(all))
	}
	return out
}

var draftFragment = []string{"Eider-Fragment", "draft"}

func TestSendHereAndElsewhere(t *testing.T) {
	w := newWorld(t)
	anna, berta := w.user("anna"), w.user("berta")
	b := w.browser(anna)
	page := b.get("/compose?to=berta@eider.example&subject=Hi&body=Text").is(http.StatusOK)
	if field(page, "to") != "berta@eider.example" || field(page, "subject") != "Hi" || field(page, "text") != "Text" {
		t.Error("the link's words are lost")
	}
	files := []file{{"Отчёт.txt", "text/plain", "data"}}
	a := b.upload("/compose", files, nil, "do", "send", "to", "Berta <berta@eider.example>, far@other.example", "subject", "Hi\r\nBcc: x@y.example", "text", "Hello\r\nthere", "back", "/mail/sent")
	b.follow(a.to("/mail/sent")).has("Mail for far@other.example waits in the queue", "data-sticky")
	inbox := w.raws(berta, w.box(berta, mail.UseNone).ID)
	if len(inbox) != 1 || inbox[0].Subject != "Hi Bcc: x@y.example" || len(inbox[0].Bcc) != 0 ||
		len(inbox[0].Attachments) != 1 || inbox[0].Attachments[0].Filename != "Отчёт.txt" {
		t.Fatalf("delivered %+v", inbox)
	}
	entries, err := w.store.QueueEntries(t.Context(), store.QueueFilter{User: anna.ID})
	if err != nil || len(entries) != 1 || entries[0].Recipient != "far@other.example" {
		t.Errorf("queue %+v %v", entries, err)
	}
	if len(w.uids(anna, w.box(anna, mail.UseSent).ID)) != 1 {
		t.Error("no copy in Sent")
	}
	b.follow(b.post("/compose", "do", "send", "to", "berta@eider.example", "subject", "2", "text", "x")).has("Message sent</span>")
}

func TestDraftsReplaceEachOther(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	b.get("/compose")
	drafts := w.box(u, mail.UseDrafts)
	// Nothing written, nothing saved.
	b.postWith("/compose", draftFragment, "do", "save", "text", " ").is(http.StatusOK)
	if len(w.uids(u, drafts.ID)) != 0 {
		t.Error("an empty draft was saved")
	}
	a := b.postWith("/compose", draftFragment, "do", "save", "subject", "One", "to", "half@").is(http.StatusOK).lacks("<html", "compose-form")
	first := field(a, "draft")
	if first == "" || !strings.Contains(a.body, `id="compose-state"`) {
		t.Fatalf("state %q", a.body)
	}
	a = b.postWith("/compose", draftFragment, "do", "save", "draft", first, "subject", "Two", "to", "half@").is(http.StatusOK)
	second := field(a, "draft")
	if second == first || len(w.uids(u, drafts.ID)) != 1 {
		t.Errorf("%d drafts", len(w.uids(u, drafts.ID)))
	}
	// The older window learns of it and does not lose its text.
	old := b.postWith("/compose", draftFragment, "do", "save", "draft", first, "subject", "Mine").is(http.StatusUnprocessableEntity)
	if field(old, "draft") != "" {
		t.Error("the draft that has gone stays in the form")
	}
	full := b.post("/compose", "do", "save", "draft", first, "subject", "Mine", "text", "My words").is(http.StatusUnprocessableEntity)
	full.has("in another window", "My words")
	// Without script a saving ends on a page that may be loaded again.
	plain := b.follow(b.post("/compose", "do", "save", "draft", second, "subject", "Three", "to", "half@", "back", "/mail/sent"))
	if plain.is(http.StatusOK); field(plain, "subject") != "Three" || field(plain, "to") != "half@" || field(plain, "back") != "/mail/sent" {
		t.Errorf("%q %q %q", field(plain, "subject"), field(plain, "to"), field(plain, "back"))
	}
	b.follow(b.post("/compose", "do", "discard", "draft", field(plain, "draft"), "back", "/mail/inbox")).has("Draft discarded")
	if len(w.uids(u, drafts.ID)) != 0 {
		t.Error("the discarded draft stays")
	}
	b.get("/mail/inbox", "Eider-Fragment", "draft").is(http.StatusOK)
}

func TestDraftFiles(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	drafts := w.box(u, mail.UseDrafts)
	a := b.upload("/compose", []file{{"a.txt", "text/plain", "aaa"}, {"b.bin", "", "\x00\x01"}}, draftFragment, "do", "attach").is(http.StatusOK)
	a.has("a.txt", "b.bin")
	remove := regexp.MustCompile(`name="remove" value="([^"]+)"`).FindAllStringSubmatch(a.body, -1)
	if len(remove) != 2 {
		t.Fatalf("%d files", len(remove))
	}
	a = b.postWith("/compose", draftFragment, "draft", field(a, "draft"), "remove", remove[0][1]).is(http.StatusOK)
	a.has("b.bin").lacks("a.txt")
	// A refused sending keeps the files that came with it.
	refused := b.upload("/compose", []file{{"c.txt", "text/plain", "ccc"}}, nil, "do", "send", "draft", field(a, "draft"), "subject", "S", "to", "nobody")
	refused.is(http.StatusUnprocessableEntity).has("b.bin", "c.txt", "nobody is not a full address", `aria-invalid="true"`).lacks("%s")
	if n := len(w.uids(u, drafts.ID)); n != 1 {
		t.Errorf("%d drafts", n)
	}
	sent := b.post("/compose", "do", "send", "draft", field(refused, "draft"), "subject", "S", "to", "anna@eider.example", "text", "x")
	sent.is(http.StatusSeeOther)
	got := w.raws(u, w.box(u, mail.UseNone).ID)
	if len(got) != 1 || len(got[0].Attachments) != 2 || len(w.uids(u, drafts.ID)) != 0 {
		t.Errorf("sent %d, drafts %d", len(got), len(w.uids(u, drafts.ID)))
	}
	// Sent twice from two windows: the second is told.
	b.post("/compose", "do", "send", "draft", field(refused, "draft"), "subject", "S", "to", "anna@eider.example").
		is(http.StatusUnprocessableEntity).has("in another window")
	many := make([]file, 101)
	for i := range many {
		many[i] = file{"x.txt", "text/plain", "x"}
	}
	b.upload("/compose", many, nil, "do", "send", "to", "anna@eider.example", "text", "words").is(http.StatusUnprocessableEntity).has("too big together", "words")
}

func TestSendErrorsInPlace(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for to, words := range map[string]string{
		"":                       "Add at least one recipient.",
		"nobody@eider.example":   "There is no such address here: nobody@eider.example.",
		"x@y.example, %d broken": "%d broken is not a full address",
	} {
		a := b.post("/compose", "do", "send", "to", to, "subject", "Kept", "text", "Words").is(http.StatusUnprocessableEntity)
		a.has(words, "Kept", "Words", `id="compose-to"`)
		// The script gets the whole form with its errors.
		b.postWith("/compose", draftFragment, "do", "send", "to", to, "text", "Words").is(http.StatusUnprocessableEntity).
			has(words, `id="compose-form"`).lacks("<html")
	}
	if err := w.store.SetQuota(t.Context(), u.ID, 1); err != nil {
		t.Fatal(err)
	}
	b.post("/compose", "do", "save", "text", "Words").is(http.StatusUnprocessableEntity).has("Your mailbox is full", "Words")
	a := b.postWith("/compose", draftFragment, "do", "send", "to", "far@other.example", "text", "Words", "back", "/mail/inbox").to("/mail/inbox")
	b.follow(a, draftFragment...).has("no copy was kept").lacks("<html")
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	raw := strings.Replace(withFile("Plan", "plan.txt", "text/plain", "file words"), "To: anna@eider.example",
		"To: anna@eider.example, Carl <carl@other.example>\nCc: dora@other.example\nMessage-ID: <plan@other.example>", 1)
	m := w.put(u, raw)
	reply := b.get(templates.ComposeURL("reply", ref(m))).is(http.StatusOK).has("See the file.")
	if field(reply, "to") != "Berta <berta@other.example>" || field(reply, "subject") != "Re: Plan" || field(reply, "cc") != "" {
		t.Errorf("reply to %q about %q", field(reply, "to"), field(reply, "subject"))
	}
	all := b.get(templates.ComposeURL("replyall", ref(m)), "Eider-Fragment", "compose").is(http.StatusOK).lacks("<html")
	if cc := field(all, "cc"); !strings.Contains(cc, "carl@other.example") || !strings.Contains(cc, "dora@other.example") || strings.Contains(cc, "anna") {
		t.Errorf("cc %q", cc)
	}
	forward := b.get(templates.ComposeURL("forward", ref(m))).is(http.StatusOK).has("plan.txt")
	if field(forward, "subject") != "Fwd: Plan" {
		t.Errorf("subject %q", field(forward, "subject"))
	}
	send := func(page *answer, text string) *message.Message {
		t.Helper()
		b.post("/compose", "do", "send", "action", field(page, "action"), "ref", field(page, "ref"), "draft", field(page, "draft"),
			"to", "anna@eider.example", "subject", field(page, "subject"), "text", text, "quote", "1").is(http.StatusSeeOther)
		got := w.raws(u, w.box(u, mail.UseNone).ID)
		return got[len(got)-1]
	}
	sent := send(reply, "My answer")
	if !strings.Contains(sent.Text, "My answer") || !strings.Contains(sent.Text, "> See the file.") ||
		sent.InReplyTo != "<plan@other.example>" || len(sent.Attachments) != 0 {
		t.Errorf("sent %q in reply to %q", sent.Text, sent.InReplyTo)
	}
	if !w.row(u, m.Mailbox, m.UID).Has(mail.FlagAnswered) {
		t.Error("not marked answered")
	}
	if sent = send(forward, "Look"); len(sent.Attachments) != 1 || sent.Attachments[0].Filename != "plan.txt" {
		t.Errorf("forwarded %+v", sent.Attachments)
	}
	// The original goes away while the answer is written: quote and chain stay.
	saved := b.follow(b.post("/compose", "do", "save", "action", "reply", "ref", ref(m), "to", "berta@other.example", "subject", "Re: Plan", "text", "Later", "quote", "1"))
	if _, err := w.store.Expunge(t.Context(), store.Selection{User: u.ID, Mailbox: m.Mailbox, UIDs: []mail.UID{m.UID}}, store.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	sent = send(saved, "Later still")
	if !strings.Contains(sent.Text, "Later still") || !strings.Contains(sent.Text, "> See the file.") || sent.InReplyTo != "<plan@other.example>" {
		t.Errorf("sent %q in reply to %q", sent.Text, sent.InReplyTo)
	}
	b.get(templates.ComposeURL("reply", ref(m))).is(http.StatusNotFound)
}

func TestProfile(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	b.get("/settings/profile").is(http.StatusOK).has("Same as device", "Europe/Berlin")
	a := b.post("/settings/profile", "name", " Änna ", "language", "de", "theme", "dark", "density", "compact", "zone", "Asia/Tokyo")
	b.follow(a.to("/settings/profile")).has("Änna", `lang="de"`, "dark", "compact")
	got, err := w.store.User(t.Context(), u.ID)
	if err != nil || got.Name != "Änna" || got.Preferences != (mail.Preferences{Theme: "dark", Density: "compact", Zone: "Asia/Tokyo"}) {
		t.Errorf("%+v %v", got, err)
	}
	b.post("/settings/profile", "name", strings.Repeat("x", 200), "language", "en").is(http.StatusUnprocessableEntity).has("zu lang")
	b.post("/settings/profile", "name", "a\x00b", "language", "en").is(http.StatusUnprocessableEntity)
	b.post("/settings/profile", "name", "A", "language", "xx", "theme", "pink", "density", "x", "zone", "../../etc/passwd").is(http.StatusSeeOther)
	got, err = w.store.User(t.Context(), u.ID)
	if err != nil || got.Preferences != (mail.Preferences{}) {
		t.Errorf("%+v %v", got.Preferences, err)
	}
}

func TestZoneOfTheBrowser(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, text("one"))
	for zone, offset := range map[string]string{"Asia/Tokyo": "(UTC+09:00)", "America/Phoenix": "(UTC-07:00)"} {
		b.setCookie("eider-zone", url.PathEscape(zone))
		b.get(at(m)).is(http.StatusOK).has(offset)
	}
	for _, zone := range []string{"../../etc/passwd", "Local", "x", strings.Repeat("x", 500), "Asia//Tokyo", "%zz"} {
		b.setCookie("eider-zone", zone)
		b.get(at(m)).is(http.StatusOK)
	}
}
