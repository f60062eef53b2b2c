package webmail_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

func ids(refs ...string) (out []string) {
	for _, r := range refs {
		out = append(out, "id", r)
	}
	return out
}

func TestFlagActions(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	var refs []string
	var uids []mail.UID
	for i := range 5 {
		m := w.put(u, text(fmt.Sprint("m", i)))
		refs, uids = append(refs, ref(m)), append(uids, m.UID)
	}
	inbox := w.box(u, mail.UseNone)
	// One was read before; undo must leave it so.
	b.post("/mail/inbox", "do", "read", "id", refs[0], "back", "/mail/inbox").to("/mail/inbox")
	b.get("/mail/inbox").lacks(`auto">Message marked as read`)
	a := b.follow(b.post("/mail/inbox", append([]string{"do", "read"}, ids(refs...)...)...)).has("4 messages marked as read")
	for _, uid := range uids {
		if w.row(u, inbox.ID, uid).Unseen() {
			t.Errorf("%d is unread", uid)
		}
	}
	b.follow(b.post("/undo", "token", a.undoToken(), "back", "/mail/inbox")).has("Undone")
	for i, uid := range uids {
		if got := w.row(u, inbox.ID, uid).Unseen(); got != (i > 0) {
			t.Errorf("after undo %d unread is %v", uid, got)
		}
	}
	b.post("/mail/inbox", "star", refs[1], "id", refs[2], "do", "delete").is(http.StatusSeeOther)
	if !w.row(u, inbox.ID, uids[1]).Has(mail.FlagFlagged) || w.row(u, inbox.ID, uids[2]).Has(mail.FlagFlagged) {
		t.Error("the row's star")
	}
	b.post("/mail/inbox", "unstar", refs[1]).is(http.StatusSeeOther)
	if w.row(u, inbox.ID, uids[1]).Has(mail.FlagFlagged) {
		t.Error("the star stays")
	}
	b.post("/mail/inbox", "do", "unread", "id", refs[0]).is(http.StatusSeeOther)
	if !w.row(u, inbox.ID, uids[0]).Unseen() {
		t.Error("unread")
	}
}

func TestMovesAndUndo(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	inbox := w.box(u, mail.UseNone)
	own, err := w.store.CreateMailbox(t.Context(), u.ID, "Own", mail.UseNone)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pairs []string
		use   mail.SpecialUse
		words string
	}{
		{[]string{"do", "archive"}, mail.UseArchive, "2 messages archived"},
		{[]string{"do", "junk"}, mail.UseJunk, "2 messages moved to Junk"},
		{[]string{"do", "delete"}, mail.UseTrash, "2 messages moved to Trash"},
		{[]string{"to", own.ID.String()}, mail.UseNone, "2 messages moved"},
		{[]string{"do", "move", "to", own.ID.String()}, mail.UseNone, "2 messages moved"},
	} {
		one, two := w.put(u, text("one"), mail.FlagFlagged), w.put(u, text("two"))
		a := b.follow(b.post("/mail/inbox", append(c.pairs, ids(ref(one), ref(two))...)...)).has(c.words)
		if n := len(w.uids(u, inbox.ID)); n != 0 {
			t.Errorf("%v: %d left in the Inbox", c.pairs, n)
		}
		target := own
		if c.use != mail.UseNone {
			target = w.box(u, c.use)
		}
		if n := len(w.uids(u, target.ID)); n != 2 {
			t.Errorf("%v: %d in the target", c.pairs, n)
		}
		token := a.undoToken()
		b.post("/undo", "token", token, "back", "/mail/inbox").to("/mail/inbox")
		back := w.uids(u, inbox.ID)
		if len(back) != 2 || len(w.uids(u, target.ID)) != 0 {
			t.Fatalf("%v: not undone", c.pairs)
		}
		if !w.row(u, inbox.ID, back[0]).Has(mail.FlagFlagged) || w.row(u, inbox.ID, back[1]).Has(mail.FlagFlagged) {
			t.Errorf("%v: flags changed on the way", c.pairs)
		}
		b.get("/mail/inbox").has("Undone")
		b.follow(b.post("/undo", "token", token)).has("can no longer be undone")
		if _, err := w.store.Expunge(t.Context(), store.Selection{User: u.ID, Mailbox: inbox.ID, UIDs: back}, store.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeveralMailboxes(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	one, two, three := w.put(u, text("one")), w.put(u, text("two")), w.put(u, text("three"))
	b.post("/mail/inbox", "do", "junk", "id", ref(one)).is(http.StatusSeeOther)
	junk, trash, inbox := w.box(u, mail.UseJunk), w.box(u, mail.UseTrash), w.box(u, mail.UseNone)
	b.get("/mail/inbox")
	a := b.follow(b.post("/mail/inbox", append([]string{"do", "delete"}, ids(ref(two), refOf(junk, w.uids(u, junk.ID)[0]), ref(two))...)...))
	a.has("2 messages moved to Trash")
	b.post("/undo", "token", a.undoToken()).is(http.StatusSeeOther)
	if len(w.uids(u, inbox.ID)) != 2 || len(w.uids(u, junk.ID)) != 1 || len(w.uids(u, trash.ID)) != 0 {
		t.Error("undo did not bring each one home")
	}
	b.get("/mail/inbox")
	b.follow(b.post("/mail/junk", "do", "notjunk", "id", refOf(junk, w.uids(u, junk.ID)[0]))).has("Message moved to Inbox")
	// For ever.
	b.post("/mail/inbox", "do", "delete", "id", ref(three)).is(http.StatusSeeOther)
	b.get("/mail/inbox")
	gone := b.follow(b.post("/mail/trash", "do", "delete", "id", refOf(trash, w.uids(u, trash.ID)[0])))
	gone.has("Message deleted").lacks(`name="token"`)
	if len(w.uids(u, trash.ID)) != 0 {
		t.Error("still in Trash")
	}
}

func TestManyRows(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	inbox := w.box(u, mail.UseNone)
	var pairs []string
	for i := range 60 {
		pairs = append(pairs, "id", ref(w.put(u, text(fmt.Sprint("m", i)))))
	}
	b.follow(b.post("/mail/inbox", append(pairs, "do", "archive")...)).has("60 messages archived")
	if n := len(w.uids(u, inbox.ID)); n != 0 {
		t.Errorf("%d left", n)
	}
	pairs = []string{"do", "read"}
	for i := range 1001 {
		pairs = append(pairs, "id", refOf(inbox, mail.UID(i+1)))
	}
	b.post("/mail/inbox", pairs...).is(http.StatusBadRequest)
}

func TestActionsThatAreNone(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("anna"), w.user("berta")
	b := w.browser(u)
	m, foreign := w.put(u, text("one")), w.put(other, text("secret"))
	b.follow(b.post("/mail/inbox", "do", "archive")).has("Nothing was selected.")
	b.post("/mail/inbox", "do", "dance", "id", ref(m)).is(http.StatusBadRequest)
	b.post("/mail/inbox", "id", ref(m)).is(http.StatusBadRequest)
	b.post("/mail/inbox", "do", "move", "to", "x", "id", ref(m)).is(http.StatusBadRequest)
	b.post("/mail/inbox", "do", "read", "id", "x-1").is(http.StatusBadRequest)
	b.post("/mail/inbox", "do", "read", "id", m.Mailbox.String()+"-0").is(http.StatusBadRequest)
	for _, do := range []string{"read", "star", "archive", "delete"} {
		b.post("/mail/inbox", "do", do, "id", ref(foreign)).is(http.StatusNotFound)
	}
	b.post("/mail/inbox", "to", foreign.Mailbox.String(), "id", ref(m)).is(http.StatusNotFound)
	if w.row(other, foreign.Mailbox, foreign.UID).Has(mail.FlagSeen) || len(w.uids(other, foreign.Mailbox)) != 1 {
		t.Error("another account's message changed")
	}
	// An undo belongs to its account.
	b.get("/mail/inbox")
	a := b.follow(b.post("/mail/inbox", "do", "archive", "id", ref(m)))
	w.browser(other).post("/undo", "token", a.undoToken()).is(http.StatusSeeOther)
	if len(w.uids(u, m.Mailbox)) != 0 {
		t.Error("another account undid it")
	}
}

func TestToasts(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	one, two := w.put(u, text("one")), w.put(u, text("two"))
	other := w.browser(u)
	b.post("/mail/inbox", "do", "archive", "id", ref(one)).is(http.StatusSeeOther)
	// A prefetch and a HEAD leave it waiting, and another session has its own.
	b.get("/mail/inbox", "Eider-Fragment", "reader", "Eider-Purpose", "prefetch").lacks(`auto">Message archived`)
	b.get("/mail/inbox", "Sec-Purpose", "prefetch").lacks(`auto">Message archived`)
	b.do(http.MethodHead, "/mail/inbox", "", nil)
	other.get("/mail/inbox").lacks(`auto">Message archived`)
	b.get("/mail/inbox", "Eider-Fragment", "toast").has(`auto">Message archived`)
	b.get("/mail/inbox").lacks(`auto">Message archived`)
	// Quiet says nothing, now or later.
	quiet := b.postWith("/mail/inbox", []string{"Eider-Quiet", "1", "Eider-Fragment", "toast"}, "do", "read", "id", ref(two))
	quiet.is(http.StatusNoContent)
	b.get("/mail/inbox").lacks("toast bad", `auto">Message marked as read`)
	if w.row(u, two.Mailbox, two.UID).Unseen() {
		t.Error("not read")
	}
}

func TestReaderActions(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, text("one"))
	page := b.get(at(m)).is(http.StatusOK)
	page.has(`action="`+templates.MailboxURL(m.Mailbox.String())+`"`, `name="id" value="`+ref(m)+`"`)
	back := templates.MailboxURL(m.Mailbox.String())
	b.follow(b.post(back, "do", "archive", "id", ref(m), "back", back)).has(`auto">Message archived`)
	b.get(at(m)).is(http.StatusNotFound)
	// The script follows to a message that has gone and wants the toast only.
	b.get(at(m), "Eider-Fragment", "toast").is(http.StatusOK)
}

func TestUndoExpires(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.user("anna"))
	for _, token := range []string{"", "x", strings.Repeat("x", 1000)} {
		b.follow(b.post("/undo", "token", token)).has("can no longer be undone")
	}
}
