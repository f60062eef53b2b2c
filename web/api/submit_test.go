package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

func person(name, address string) map[string]any {
	return map[string]any{"name": name, "address": address}
}

func (w *world) submit(u mail.User, body map[string]any) answer {
	w.t.Helper()
	return w.json("POST", "/users/"+u.ID.String()+"/submit", body)
}

// stored reads back the message of an answer.
func (w *world) stored(u mail.User, a answer) answer {
	w.t.Helper()
	return w.get(fmt.Sprintf("/users/%s/mailboxes/%v/messages/%v", u.ID, a.at("message", "mailbox"), a.at("message", "id"))).ok()
}

func (w *world) source(u mail.User, a answer) string {
	w.t.Helper()
	return string(w.get(fmt.Sprintf("/users/%s/mailboxes/%v/messages/%v/message.eml", u.ID, a.at("message", "mailbox"), a.at("message", "id"))).raw)
}

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	anna, bert := w.user("anna"), w.user("bert")
	a := w.submit(anna, map[string]any{
		"from": person("Boss", "boss@somewhere.example"), "replyTo": person("", "back@example.org"),
		"to": []any{person("Bert", "bert@example.org"), person("", "not an address"), person("", "far@elsewhere.example")},
		"cc": []any{person("", "second@elsewhere.example")}, "bcc": []any{person("", "hidden@elsewhere.example")},
		"subject": "Grüße", "html": "<p>Hello <b>you</b></p>", "headers": []any{map[string]any{"key": "X-Thing", "value": "a\r\nInjected: b"}},
		"attachments": []any{
			map[string]any{"filename": "a.txt", "contentType": "application/x-thing", "content": "aGVs\r\nbG8=", "cid": "c1", "contentDisposition": " Inline "},
			map[string]any{"filename": "b.txt", "contentType": "text/plain", "content": "plain", "encoding": "utf8"},
		},
		"meta": map[string]any{"order": 5}, "ip": "192.0.2.7", "sess": "abc", "colour": "any",
	}).ok()
	queueID, _ := a.at("message", "queueId").(string)
	entries, err := w.store.QueueEntries(context.Background(), store.QueueFilter{IDs: []string{queueID}})
	must(t, err)
	if len(entries) != 3 {
		t.Fatalf("queued %v", entries)
	}
	raw, err := w.store.QueueRaw(context.Background(), queueID)
	must(t, err)
	for _, text := range []string{"boss@somewhere.example", "hidden@", "\r\nInjected", "192.0.2.7"} {
		if strings.Contains(string(raw), text) {
			t.Errorf("the queued message has %q", text)
		}
	}
	a.is(w.box(anna, mail.UseSent).ID.String(), "message", "mailbox")
	sent := w.stored(anna, a)
	sent.is("anna@example.org", "from", "address")
	sent.is("Boss", "from", "name")
	sent.is("hidden@elsewhere.example", "bcc", 0, "address")
	sent.is(true, "seen")
	sent.is(map[string]any{"order": 5}, "metaData")
	sent.is(queueID, "outbound", 0, "queueId")
	sent.is("a.txt", "attachments", 0, "filename")
	if text, _ := sent.at("text").(string); !strings.Contains(text, "Hello") {
		t.Errorf("text %q", text)
	}
	got := w.get(inbox(bert, w.box(bert, ""))).ok()
	got.is(1, "total")
	got.is("Grüße", "results", 0, "subject")
	uid := got.at("results", 0, "id")
	file := w.get(fmt.Sprintf("%s/%v/attachments/ATT00001", inbox(bert, w.box(bert, "")), uid))
	if string(file.raw) != "hello" {
		t.Errorf("attachment %q", file.raw)
	}

	// Nobody elsewhere: no queue.
	a = w.submit(anna, map[string]any{"to": []any{person("", "bert@example.org")}, "text": "x"}).ok()
	a.is(false, "message", "queueId")
	w.get(inbox(bert, w.box(bert, ""))).ok().is(2, "total")
	// A form, with nested names.
	w.do("POST", "/users/"+anna.ID.String()+"/submit", "application/x-www-form-urlencoded", "to[0][address]=bert@example.org&subject=form").ok()
	w.get(inbox(bert, w.box(bert, ""))).ok().is("form", "results", 0, "subject")
}

func TestSubmitEnvelope(t *testing.T) {
	w := newWorld(t)
	anna, bert := w.user("anna"), w.user("bert")
	trash := w.box(anna, mail.UseTrash)
	a := w.submit(anna, map[string]any{
		"to": []any{person("", "shown@elsewhere.example")}, "subject": "x", "mailbox": trash.ID.String(),
		"envelope": map[string]any{"from": person("", "boss@somewhere.example"), "to": []any{person("", "bert@example.org")}},
	}).ok()
	a.is(trash.ID.String(), "message", "mailbox")
	a.is(false, "message", "queueId")
	got := w.get(inbox(bert, w.box(bert, "")) + "/1").ok()
	got.is("anna@example.org", "envelope", "from")
	got.is("shown@elsewhere.example", "to", 0, "address")
}

func TestSubmitWithoutSending(t *testing.T) {
	w := newWorld(t)
	anna, bert := w.user("anna"), w.user("bert")
	to := []any{person("", "bert@example.org"), person("", "far@elsewhere.example")}
	draft := w.submit(anna, map[string]any{"isDraft": true, "to": to, "bcc": []any{person("", "h@x.example")}, "subject": "one"}).ok()
	draft.is(w.box(anna, mail.UseDrafts).ID.String(), "message", "mailbox")
	draft.is(false, "message", "queueId")
	w.stored(anna, draft).is(true, "draft")
	if raw := w.source(anna, draft); !strings.Contains(raw, "\r\nBcc: h@x.example") {
		t.Errorf("draft %s", raw)
	}
	ref := map[string]any{"mailbox": draft.at("message", "mailbox"), "id": draft.at("message", "id")}
	// Saved anew, then sent: the older one goes.
	second := w.submit(anna, map[string]any{"isDraft": true, "to": to, "subject": "two", "draft": ref}).ok()
	ref["id"] = second.at("message", "id")
	drafts := inbox(anna, w.box(anna, mail.UseDrafts))
	w.get(drafts).ok().is(1, "total")
	copied := w.submit(anna, map[string]any{"uploadOnly": true, "to": to, "subject": "copy"}).ok()
	copied.is(w.box(anna, mail.UseSent).ID.String(), "message", "mailbox")
	nobody := w.submit(anna, map[string]any{"subject": "to nobody", "to": []any{person("", "broken")}}).ok()
	nobody.is(false, "message", "queueId")
	w.get(inbox(bert, w.box(bert, ""))).ok().is(0, "total")
	if entries, err := w.store.QueueEntries(context.Background(), store.QueueFilter{User: anna.ID}); err != nil || len(entries) != 0 {
		t.Errorf("queued %v %v", entries, err)
	}
	w.submit(anna, map[string]any{"to": to, "subject": "sent", "draft": ref}).ok()
	w.get(drafts).ok().is(0, "total")
	w.get(inbox(bert, w.box(bert, ""))).ok().is(1, "total")
}

func TestSubmitReference(t *testing.T) {
	w := newWorld(t)
	anna, bert := w.user("anna"), w.user("bert")
	box := w.box(anna, "")
	orig := w.put(anna, "From: Bert <bert@example.org>\nTo: anna@example.org, c@elsewhere.example\nSubject: Tea\nMessage-ID: <m1@x.example>\nReferences: <m0@x.example>\n\nTea?\n")
	ref := func(action string) map[string]any {
		return map[string]any{"mailbox": box.ID.String(), "id": orig.UID, "action": action}
	}
	a := w.submit(anna, map[string]any{"reference": ref("reply"), "text": "Yes"}).ok()
	sent := w.stored(anna, a)
	sent.is("Re: Tea", "subject")
	sent.is("bert@example.org", "to", 0, "address")
	sent.is([]any{"<m0@x.example>", "<m1@x.example>"}, "references")
	if raw := w.source(anna, a); !strings.Contains(raw, "\r\nIn-Reply-To: <m1@x.example>\r\n") {
		t.Errorf("reply %s", raw)
	}
	w.get(inbox(bert, w.box(bert, ""))).ok().is(1, "total")
	w.get(inbox(anna, box)+"/"+itoa(orig.UID)).ok().is(true, "answered")
	w.stored(anna, w.submit(anna, map[string]any{"reference": ref("replyAll"), "text": "Yes"}).ok()).is("c@elsewhere.example", "cc", 0, "address")
	w.submit(anna, map[string]any{"reference": ref("forward"), "to": []any{person("", "bert@example.org")}, "text": "see"}).ok()
	w.get(inbox(anna, box)+"/"+itoa(orig.UID)).ok().is(true, "forwarded")
	// The original may have gone meanwhile: the mail goes out even so.
	gone := ref("reply")
	gone["id"] = 99
	w.submit(anna, map[string]any{"reference": gone, "to": []any{person("", "bert@example.org")}}).ok()
}

func TestSubmitRefused(t *testing.T) {
	w := newWorld(t)
	anna, full := w.user("anna"), w.user("full")
	must(t, w.store.SetQuota(context.Background(), full.ID, 10))
	w.put(full, "Subject: x\n\nlong enough\n")
	off := w.user("off")
	must(t, w.store.SetDisabled(context.Background(), off.ID, true))
	to := []any{person("", "full@example.org")}
	far := []any{person("", "x@elsewhere.example")}
	day := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
	for name, c := range map[string]struct {
		who    mail.User
		body   map[string]any
		status int
		code   string
		detail string
	}{
		"bad cc":           {anna, map[string]any{"to": far, "cc": []any{person("", "bad")}}, 400, "InputValidationError", "cc,0,address"},
		"from":             {anna, map[string]any{"to": far, "from": "me@example.org"}, 400, "InputValidationError", "from"},
		"from without":     {anna, map[string]any{"to": far, "from": map[string]any{"name": "x"}}, 400, "InputValidationError", "from,address"},
		"long name":        {anna, map[string]any{"to": []any{person(strings.Repeat("x", 256), "x@elsewhere.example")}}, 400, "InputValidationError", "to,0,name"},
		"unknown in to":    {anna, map[string]any{"to": []any{map[string]any{"address": "x@elsewhere.example", "phone": 1}}}, 400, "InputValidationError", "to,0,phone"},
		"header":           {anna, map[string]any{"to": far, "headers": []any{map[string]any{"key": "a b", "value": "x"}}}, 400, "InputValidationError", "headers,0,key"},
		"own header":       {anna, map[string]any{"to": far, "headers": []any{map[string]any{"key": "From", "value": "x"}}}, 500, "ERRCOMPOSE", ""},
		"base64":           {anna, map[string]any{"to": far, "attachments": []any{map[string]any{"content": "###"}}}, 400, "InputValidationError", "attachments,0,content"},
		"no content":       {anna, map[string]any{"to": far, "attachments": []any{map[string]any{"filename": "x"}}}, 400, "InputValidationError", "attachments,0,content"},
		"encoding":         {anna, map[string]any{"to": far, "attachments": []any{map[string]any{"content": "x", "encoding": "hex"}}}, 400, "InputValidationError", "attachments,0,encoding"},
		"disposition":      {anna, map[string]any{"to": far, "attachments": []any{map[string]any{"content": "", "contentDisposition": "x"}}}, 400, "InputValidationError", "attachments,0,contentDisposition"},
		"draft":            {anna, map[string]any{"to": far, "draft": map[string]any{"mailbox": "x", "id": 0}}, 400, "InputValidationError", "draft,id"},
		"reference":        {anna, map[string]any{"to": far, "reference": map[string]any{"mailbox": anna.ID.String(), "id": 1, "action": "x"}}, 400, "InputValidationError", "reference,action"},
		"envelope":         {anna, map[string]any{"to": far, "envelope": map[string]any{"to": []any{person("", "x")}}}, 400, "InputValidationError", "envelope,to,0,address"},
		"subject":          {anna, map[string]any{"to": far, "subject": strings.Repeat("x", 2049)}, 400, "InputValidationError", "subject"},
		"meta":             {anna, map[string]any{"to": far, "meta": "x"}, 400, "InputValidationError", "meta"},
		"later to here":    {anna, map[string]any{"to": []any{person("", "anna@example.org")}, "sendTime": day}, 400, "InputValidationError", "sendTime"},
		"full recipient":   {anna, map[string]any{"to": to}, 500, "MessageRejected", ""},
		"unknown here":     {anna, map[string]any{"to": []any{person("", "nobody@example.org")}}, 400, "InputValidationError", ""},
		"disabled":         {off, map[string]any{"to": far}, 500, "UserDisabled", ""},
		"too many":         {anna, map[string]any{"to": manyPeople(401)}, 400, "InputValidationError", ""},
		"draft over quota": {full, map[string]any{"isDraft": true, "subject": "x"}, 400, "OverQuotaError", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.submit(c.who, c.body)
			a.t = t
			a.fails(c.status, c.code)
			if c.detail != "" && a.at("details", c.detail) == nil {
				t.Errorf("details %s", a.raw)
			}
		})
	}
	if entries, err := w.store.QueueEntries(context.Background(), store.QueueFilter{User: anna.ID}); err != nil || len(entries) != 0 {
		t.Errorf("queued %v %v", entries, err)
	}
	// Over quota one may still send, only no copy is kept.
	a := w.submit(full, map[string]any{"to": far, "subject": "x"}).ok()
	a.is(false, "message", "id")
	a.is(false, "message", "mailbox")
	a.is(true, "message", "overQuota")
	if id, _ := a.at("message", "queueId").(string); id == "" {
		t.Errorf("%s", a.raw)
	}
	// At a later time to others.
	a = w.submit(anna, map[string]any{"to": far, "sendTime": day}).ok()
	entries, err := w.store.QueueEntries(context.Background(), store.QueueFilter{User: anna.ID})
	must(t, err)
	if len(entries) != 1 || entries[0].Queued.Before(time.Now().Add(20*time.Hour)) {
		t.Errorf("queued %v", entries)
	}
	_ = a
}

func manyPeople(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = person("", fmt.Sprintf("p%d@elsewhere.example", i))
	}
	return out
}

func TestRecipientLimit(t *testing.T) {
	w := newWorld(t)
	u, err := w.store.CreateUser(context.Background(), store.NewUser{Username: "anna", Address: "anna@example.org", Recipients: 2})
	must(t, err)
	two := []any{person("", "a@elsewhere.example"), person("", "b@elsewhere.example")}
	w.submit(u, map[string]any{"to": two}).ok()
	w.submit(u, map[string]any{"to": two[:1]}).fails(500, "RateLimitedError")
	w.get("/users/"+u.ID.String()).ok().is(2, "limits", "recipients", "allowed")
}
