package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

const rich = `From: "Ann =?utf-8?Q?=C3=9Cber?=" <anna@else.example>
Sender: boss@else.example
Reply-To: back@else.example
To: Bert <bert@example.org>, group: a@x.example, b@x.example;
Cc: c@x.example
Subject: =?utf-8?B?w5xiZXI=?= all
Date: Tue, 24 Nov 2026 10:20:30 +0200
Message-ID: <one@else.example>
References: <zero@else.example> <half@else.example>
List-ID: "A list" <list.else.example>
List-Unsubscribe: <mailto:off@else.example>, <https://else.example/off>
X-Twice: 1
X-Twice: 2
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/html; charset=utf-8

<p>Hello</p>
--b
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64
Content-ID: <cid1>

JVBERi0xLjQK
--b--
`

func TestMessage(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	done := w.put(u, rich, func(a *store.Append) {
		a.Meta.Custom = `{"k":"v"}`
		a.Meta.Reference = &store.Reference{Mailbox: box.ID, UID: 7, Action: "reply"}
		a.Verification = &store.Verification{SPF: "else.example", TLSVersion: "TLSv1.3", TLSCipher: "X"}
	})
	path := inbox(u, box) + "/" + itoa(done.UID)
	a := w.get(path).ok()
	for key, want := range map[string]any{
		"id": done.UID, "mailbox": box.ID.String(), "user": u.ID.String(), "thread": done.Thread.String(),
		"from":      map[string]any{"name": "Ann Über", "address": "anna@else.example"},
		"replyTo":   []any{map[string]any{"name": "", "address": "back@else.example"}},
		"subject":   "Über all",
		"messageId": "<one@else.example>", "date": "2026-11-24T08:20:30.000Z", "size": len(crlf(rich)),
		"seen": false, "deleted": false, "flagged": false, "draft": false, "answered": false, "forwarded": false,
		"references":  []any{"<zero@else.example>", "<half@else.example>"},
		"contentType": map[string]any{"value": "multipart/mixed", "params": map[string]any{"boundary": "b"}},
		"metaData":    map[string]any{"k": "v"},
		"envelope":    map[string]any{"from": "envelope@else.example", "rcpt": []any{map[string]any{"value": "an.na+x@example.org", "formatted": "anna@example.org"}}},
		"reference":   map[string]any{"action": "reply", "mailbox": box.ID.String(), "id": 7},
		"list": map[string]any{"id": map[string]any{"name": "A list", "address": "list.else.example"}, "unsubscribe": []any{
			map[string]any{"name": "", "address": "mailto:off@else.example"}, map[string]any{"name": "", "address": "https://else.example/off"},
		}},
		"verificationResults": map[string]any{"tls": map[string]any{"name": "X", "version": "TLSv1.3"}, "spf": "else.example", "dkim": false, "arc": false},
	} {
		a.is(want, key)
	}
	a.is("Bert", "to", 0, "name")
	a.is("group", "to", 1, "name")
	a.is("b@x.example", "to", 1, "group", 1, "address")
	for _, absent := range []string{"bcc", "expires", "outbound", "encrypted", "forwardTargets"} {
		if _, given := a.body[absent]; given {
			t.Errorf("%s is given", absent)
		}
	}
	sum := sha256.Sum256([]byte("JVBERi0xLjQK"))
	for key, want := range map[string]any{
		"id": "ATT00001", "filename": "a.pdf", "contentType": "application/pdf", "disposition": "attachment", "transferEncoding": "base64",
		"cid": "<cid1>", "related": false, "size": 12,
	} {
		a.is(want, "attachments", 0, key)
	}
	// It is left out when the store does not give it, and never wrong.
	if hash := a.at("attachments", 0, "hash"); hash != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %v", hash)
	}
	if html, _ := a.at("html", 0).(string); !strings.Contains(html, "<p>Hello</p>") {
		t.Errorf("html %q", html)
	}
	w.get(path+"?markAsSeen=1").ok().is(true, "seen")
	w.get(path).ok().is(true, "seen")

	if raw := w.get(path + "/message.eml"); string(raw.raw) != crlf(rich) || raw.header.Get("Content-Type") != "message/rfc822" {
		t.Errorf("message.eml differs: %q", raw.raw)
	}
	file := w.get(path + "/attachments/att00001")
	if string(file.raw) != "%PDF-1.4\n" || file.header.Get("Content-Type") != "application/pdf" || file.header.Get("Content-Security-Policy") == "" {
		t.Errorf("attachment %q %v", file.raw, file.header)
	}
	w.get(path+"/attachments/ATT00099").fails(404, "AttachmentNotFound")
	w.get(path+"/attachments/x").fails(400, "InputValidationError").is(`"attachment" with value "X" fails to match the required pattern: /^ATT\d+$/i`, "details", "attachment")
	w.get(path+"/attachments/ATT00001?sess=x").fails(400, "InputValidationError")
	w.get(path + "?sess=x&ip=::1").ok()
	w.get(path+"?ip=x").fails(400, "InputValidationError")
	w.get(path+"?colour=1").fails(400, "InputValidationError")
	for _, wrong := range []string{"/99", "/99/message.eml", "/99/attachments/ATT00001"} {
		w.get(inbox(u, box)+wrong).fails(404, "MessageNotFound")
	}
	w.get(inbox(u, box)+"/4294967296").fails(400, "InputValidationError")
}

func TestPlainMessage(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	w.put(u, "Subject: x\n\nhi\n")
	a := w.get(inbox(u, box) + "/1").ok()
	a.is(map[string]any{"name": "", "address": "envelope@else.example"}, "from")
	a.is("hi", "text")
	a.is([]any{}, "attachments")
	a.is([]any{}, "references")
	a.is(map[string]any{}, "metaData")
	for _, absent := range []string{"to", "cc", "bcc", "replyTo", "list", "reference", "verificationResults"} {
		if _, given := a.body[absent]; given {
			t.Errorf("%s is given", absent)
		}
	}
	w.get(inbox(u, box)).ok().is(map[string]any{"name": "", "address": "envelope@else.example"}, "results", 0, "from")
}

func TestList(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	w.put(u, rich, func(a *store.Append) { a.Meta.Custom = `{"k":1}` })
	w.put(u, "From: a@b.example\nSubject: Re: =?utf-8?B?w5xiZXI=?= all\nIn-Reply-To: <one@else.example>\nMessage-ID: <two@x.example>\n\nhi\n",
		func(a *store.Append) {
			a.Flags = []mail.Flag{mail.FlagSeen, mail.FlagAnswered, mail.FlagForwarded}
			a.InternalDate = time.Now().Add(time.Minute)
		})
	a := w.get(inbox(u, box) + "?threadCounters=true&metaData=1&includeHeaders=X-Twice,Content-Type,To,Message-ID,None&colour=blue").ok()
	a.is(2, "total")
	a.is(1, "page")
	a.is(nil, "specialUse")
	a.is(false, "nextCursor")
	a.is(false, "previousCursor")
	a.is(2, "results", 0, "id")
	a.is(2, "results", 0, "threadMessageCount")
	a.is(false, "results", 0, "answered")
	a.is(true, "results", 0, "forwarded")
	a.is(true, "results", 0, "seen")
	a.is(map[string]any{}, "results", 0, "metaData")
	a.is(map[string]any{"k": 1}, "results", 1, "metaData")
	a.is(true, "results", 1, "attachments")
	a.is("ATT00001", "results", 1, "attachmentsList", 0, "id")
	a.is([]any{"1", "2"}, "results", 1, "headers", "x-twice")
	a.is("<one@else.example>", "results", 1, "headers", "message-id")
	a.is("mixed", "results", 1, "headers", "content-type", "subtype")
	if h, _ := a.at("results", 1, "headers").(map[string]any); len(h) != 4 {
		t.Errorf("headers %v", h)
	}
	if _, given := w.get(inbox(u, box)).ok().at("results", 0).(map[string]any)["threadMessageCount"]; given {
		t.Error("threadMessageCount is given")
	}
	a = w.get(inbox(u, box) + "?unseen=yes").ok()
	a.is(1, "total")
	a.is(1, "results", 0, "id")
	w.get(inbox(u, w.box(u, mail.UseTrash))).ok().is(`\Trash`, "specialUse")
	w.get(inbox(u, box)+"?limit=0").fails(400, "InputValidationError")
	w.get(inbox(u, box)+"?limit=251").fails(400, "InputValidationError")
}

func TestPaging(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 7 {
		// Pairs of one instant: the id decides.
		w.put(u, fmt.Sprintf("Subject: %d\n\nx\n", i), func(a *store.Append) { a.InternalDate = start.Add(time.Duration(i/2) * time.Second) })
	}
	for order, want := range map[string][]string{"desc": {"7 6 5", "4 3 2", "1"}, "asc": {"1 2 3", "4 5 6", "7"}, "other": {"7 6 5", "4 3 2", "1"}} {
		page := func(more string) (string, answer) {
			a := w.get(inbox(u, box) + "?limit=3&order=" + order + more).ok()
			var ids []string
			for _, row := range a.at("results").([]any) { //nolint:forcetypeassert // a test
				ids = append(ids, fmt.Sprint(row.(map[string]any)["id"])) //nolint:forcetypeassert // a test
			}
			return strings.Join(ids, " "), a
		}
		var pages []answer
		next := ""
		for i := range want {
			ids, a := page(next)
			pages = append(pages, a)
			if ids != want[i] {
				t.Fatalf("%s page %d: %s, want %s", order, i+1, ids, want[i])
			}
			a.is(i+1, "page")
			if (a.at("previousCursor") == false) != (i == 0) || (a.at("nextCursor") == false) != (i == 2) {
				t.Errorf("%s page %d: %v %v", order, i+1, a.at("previousCursor"), a.at("nextCursor"))
			}
			next = "&next=" + fmt.Sprint(a.at("nextCursor"))
		}
		for i := 2; i > 0; i-- {
			ids, a := page("&previous=" + fmt.Sprint(pages[i].at("previousCursor")))
			if ids != want[i-1] {
				t.Errorf("%s back to page %d: %s, want %s", order, i, ids, want[i-1])
			}
			a.is(i, "page")
		}
		// Both: next wins.
		ids, _ := page("&next=" + fmt.Sprint(pages[0].at("nextCursor")) + "&previous=" + fmt.Sprint(pages[1].at("previousCursor")))
		if ids != want[1] {
			t.Errorf("%s with both cursors: %s", order, ids)
		}
	}
	enc := base64.RawURLEncoding.EncodeToString
	w.get(inbox(u, box)+"?next="+enc([]byte(`"x"`))).ok().is(1, "page")
	w.get(inbox(u, box)+"?next=a%2Bb").fails(400, "InputValidationError")
	w.get(inbox(u, box)+"?next=abcd").fails(400, "InputValidationError")
	w.get(inbox(u, box)+"?next="+enc([]byte(`["{\"$oid\":\"5f1e2d3c4b5a69788796a5b4\"}",2]`))).fails(500, "InternalDatabaseError")
}

func (w *world) flags(u mail.User, box mail.Mailbox, uid mail.UID) []mail.Flag {
	w.t.Helper()
	row, err := w.store.Row(context.Background(), u.ID, box.ID, uid)
	must(w.t, err)
	return row.Flags
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box, trash := w.box(u, ""), w.box(u, mail.UseTrash)
	for i := range 6 {
		w.put(u, fmt.Sprintf("Subject: %d\n\nx\n", i))
	}
	list := inbox(u, box)
	for _, c := range []struct {
		selector string
		updated  int
	}{{"1", 1}, {"3,2,2", 2}, {"5:4", 2}, {"5:*", 2}, {"1,99", 1}, {"0:*", 6}} {
		w.json("PUT", list, map[string]any{"message": c.selector, "flagged": true}).ok().is(c.updated, "updated")
	}
	w.json("PUT", list+"/2", map[string]any{"seen": "yes", "flagged": false, "draft": true}).ok().is(1, "updated")
	if f := w.flags(u, box, 2); !mail.HasFlag(f, mail.FlagSeen) || !mail.HasFlag(f, mail.FlagDraft) || mail.HasFlag(f, mail.FlagFlagged) {
		t.Errorf("flags %v", f)
	}
	w.do("PUT", list+"/2?deleted=1", "", "").ok()
	// Counted even when nothing differs.
	w.json("PUT", list+"/2:2", map[string]any{"seen": true}).ok().is(1, "updated")
	w.json("PUT", list+"/99", map[string]any{"seen": true}).fails(404, "MessageNotFound")
	w.json("PUT", list+"/1", map[string]any{}).fails(500, "").is("Nothing was changed", "error")
	w.json("PUT", list, map[string]any{"seen": true}).fails(400, "InputValidationError")
	for _, bad := range []string{"x", "1,", "1:2:3", "*"} {
		w.json("PUT", list, map[string]any{"message": bad, "seen": true}).fails(400, "InputValidationError")
	}
	for _, later := range []string{"expires", "metaData"} {
		w.json("PUT", list+"/1", map[string]any{later: "2030-01-01", "seen": true}).fails(400, "InputValidationError")
	}
	w.json("PUT", list+"/1", map[string]any{"seen": true, "colour": 1}).fails(400, "InputValidationError")
	none := strings.Replace(list, box.ID.String(), mail.NewID().String(), 1)
	w.json("PUT", none+"/1", map[string]any{"seen": true}).fails(404, "MessageNotFound")

	a := w.json("PUT", list, map[string]any{"message": "2:3", "moveTo": trash.ID.String(), "seen": false}).ok()
	a.is(trash.ID.String(), "mailbox")
	a.is([]any{[]any{2, 1}, []any{3, 2}}, "id")
	if f := w.flags(u, trash, 1); mail.HasFlag(f, mail.FlagSeen) {
		t.Errorf("flags after the move %v", f)
	}
	w.json("PUT", list+"/2", map[string]any{"moveTo": trash.ID.String()}).fails(404, "MessageNotFound")
	w.json("PUT", list+"/1", map[string]any{"moveTo": mail.NewID().String()}).fails(404, "NoSuchMailbox")
	w.get(list).ok().is(4, "total")
}

func TestManyInBatches(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.batch = 4 })
	u := w.user("anna")
	box := w.box(u, "")
	const many = 11
	for range many {
		w.put(u, "Subject: x\n\nx\n")
	}
	var uids []string
	for i := range many {
		uids = append(uids, strconv.Itoa(i+1))
	}
	w.json("PUT", inbox(u, box), map[string]any{"message": strings.Join(uids, ","), "seen": true}).ok().is(many, "updated")
	w.json("PUT", inbox(u, box), map[string]any{"message": "2:*", "seen": false}).ok().is(many-1, "updated")
	w.do("DELETE", inbox(u, box), "", "").ok().is(many, "deleted")
	w.get(inbox(u, box)).ok().is(0, "total")
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	for range 3 {
		w.put(u, "Subject: x\n\nx\n")
	}
	w.do("DELETE", inbox(u, box)+"/1", "", "").ok()
	w.do("DELETE", inbox(u, box)+"/1", "", "").fails(404, "").is("Message was not found", "error")
	w.do("DELETE", inbox(u, box)+"/1:2", "", "").fails(400, "InputValidationError")
	w.do("DELETE", inbox(u, box)+"?async=true", "", "").fails(400, "InputValidationError")
	a := w.do("DELETE", inbox(u, box)+"?skipArchive=1", "", "").ok()
	a.is(2, "deleted")
	a.is(0, "errors")
	none := strings.Replace(inbox(u, box), box.ID.String(), mail.NewID().String(), 1)
	w.do("DELETE", none, "", "").ok().is(0, "deleted")
	w.get(inbox(u, box)).ok().is(0, "total")
}
