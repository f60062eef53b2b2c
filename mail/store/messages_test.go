package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// What comes in goes out, byte for byte.
func TestRawGolden(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	names, err := filepath.Glob("../message/testdata/*.eml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := message.Parse(raw)
		got := must(s.Append(ctx, store.Append{User: u.ID, Message: m, Meta: store.Meta{Source: "MX", From: "x@y", To: []string{"a@b"}}}))(t)
		r, size, err := s.Raw(ctx, u.ID, got.Mailbox, got.UID)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back := readAll(t, r); back != string(raw) || size != int64(len(raw)) {
			t.Errorf("%s: %d bytes came back of %d", name, len(back), len(raw))
		}
		d := must(s.MessageByID(ctx, u.ID, got.ID))(t)
		if d.Subject != m.Subject || d.UID != got.UID || d.Meta.Source != "MX" || len(d.Attachments) != len(m.Attachments) {
			t.Errorf("%s: %+v", name, d.Message)
		}
		for _, a := range d.Attachments {
			c := must(s.Attachment(ctx, u.ID, got.Mailbox, got.UID, a.ID))(t)
			if text := readAll(t, c.Decoded); c.DecodedSize >= 0 && int64(len(text)) != c.DecodedSize {
				t.Errorf("%s %s: %d bytes, said %d", name, a.ID, len(text), c.DecodedSize)
			}
		}
	}
	wantClean(t, s, u.ID)
}

func TestAppend(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	start := must(s.LastChange(ctx, u.ID))(t)
	first := appendTo(t, s, u.ID, mail.ID{}, textMessage(1))
	second := appendTo(t, s, u.ID, first.Mailbox, textMessage(2), mail.FlagSeen, `\flagged`, "$Label1", "$label1", `\Recent`)
	if first.UID != 1 || second.UID != 2 || second.ModSeq != first.ModSeq+1 || first.Path != "INBOX" || first.UIDValidity == 0 {
		t.Errorf("appended %+v, %+v", first, second)
	}
	box := must(s.Mailbox(ctx, u.ID, first.Mailbox))(t)
	if box.Total != 2 || box.Unseen != 1 || box.UIDNext != 3 || box.ModSeq != second.ModSeq || len(box.Flags) != 1 {
		t.Errorf("mailbox = %+v", box)
	}
	row := must(s.Row(ctx, u.ID, second.Mailbox, 2))(t)
	if len(row.Flags) != 3 || !row.Has(mail.FlagFlagged) || row.From.Address != "ann@example.com" || row.From.Name != "Ann" ||
		len(row.To) != 1 || row.ContentType != "text/plain" || row.MessageID != "<2@example.com>" || row.Intro != "Text 2." {
		t.Errorf("row = %+v", row)
	}
	changes, complete, err := s.Changes(ctx, u.ID, start, 0)
	if err != nil || !complete || len(changes) != 2 || changes[0].Command != mail.CommandExists || changes[0].UID != 1 || !changes[0].Unseen || changes[1].Unseen {
		t.Errorf("changes = %+v, %v, %v", changes, complete, err)
	}
	if got := must(s.User(ctx, u.ID))(t).StorageUsed; got != first.Size+second.Size {
		t.Errorf("storage used = %d, want %d", got, first.Size+second.Size)
	}
	_, err = s.Append(ctx, store.Append{User: mail.NewID(), Message: textMessage(3)})
	if code := mail.CodeOf(err); code != mail.CodeNoMailbox && code != mail.CodeNoUser {
		t.Errorf("unknown user: %v", err)
	}
	_, err = s.Append(ctx, store.Append{User: u.ID, Mailbox: mail.NewID(), Message: textMessage(3)})
	wantCode(t, err, mail.CodeNoMailbox)
	other := newUser(t, s, "bob")
	_, err = s.Append(ctx, store.Append{User: other.ID, Mailbox: first.Mailbox, Message: textMessage(3)})
	wantCode(t, err, mail.CodeNoMailbox)
	_, err = s.Message(ctx, other.ID, first.Mailbox, 1)
	wantCode(t, err, mail.CodeNoMessage)
	if err := s.SetQuota(ctx, u.ID, first.Size+second.Size+10); err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(ctx, store.Append{User: u.ID, Message: textMessage(3), CheckQuota: true})
	wantCode(t, err, mail.CodeOverQuota)
	wantClean(t, s, u.ID, other.ID)
}

func TestStoreFlags(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	var box mail.ID
	for i := range 3 {
		box = appendTo(t, s, u.ID, mail.ID{}, textMessage(i)).Mailbox
	}
	sel := store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3, 1, 3, 99}}
	got := must(s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}))(t)
	if fmt.Sprint(got.Changed) != "[1 3]" || got.ModSeq != 4 {
		t.Errorf("stored %+v", got)
	}
	if again := must(s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{`\SEEN`}}))(t); len(again.Changed) != 0 || again.ModSeq != 0 {
		t.Errorf("a change that is none: %+v", again)
	}
	held := must(s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{1, 2}},
		store.FlagChange{Add: []mail.Flag{mail.FlagFlagged}, UnchangedSince: 3}))(t)
	if fmt.Sprint(held.Changed, held.Modified) != "[2] [1]" {
		t.Errorf("with UnchangedSince: %+v", held)
	}
	must(s.StoreFlags(ctx, sel, store.FlagChange{Set: []mail.Flag{mail.FlagDeleted, "x"}}))(t)
	row := must(s.Row(ctx, u.ID, box, 1))(t)
	if fmt.Sprint(row.Flags) != `[\Deleted x]` {
		t.Errorf("flags = %v", row.Flags)
	}
	must(s.StoreFlags(ctx, sel, store.FlagChange{Remove: []mail.Flag{mail.FlagDeleted}}))(t)
	if b := must(s.Mailbox(ctx, u.ID, box))(t); b.Unseen != 3 || b.Total != 3 {
		t.Errorf("mailbox = %+v", b)
	}
	_, err := s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: make([]mail.UID, store.MaxSelection+1)}, store.FlagChange{})
	wantCode(t, err, mail.CodeInvalid)
	wantClean(t, s, u.ID)
}

func TestMoveCopyExpunge(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	box, trash, junk := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID, byUse(t, s, u.ID, mail.UseJunk).ID
	var ids []mail.ID
	for i := range 4 {
		ids = append(ids, appendTo(t, s, u.ID, box, fileMessage(i, "shared content")).ID)
	}
	moved := must(s.Move(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{1, 2}}, trash, store.MoveOptions{Add: []mail.Flag{mail.FlagSeen}}))(t)
	if len(moved) != 2 || moved[0].From != 1 || moved[0].To != 1 || moved[0].ID != ids[0] {
		t.Errorf("moved %+v", moved)
	}
	d := must(s.MessageByID(ctx, u.ID, ids[0]))(t)
	if d.Mailbox != trash || !d.Has(mail.FlagSeen) || d.Expires.IsZero() {
		t.Errorf("moved message = %+v", d.Message)
	}
	back := must(s.Move(ctx, store.Selection{User: u.ID, Mailbox: trash, UIDs: []mail.UID{1}}, box, store.MoveOptions{}))(t)
	if len(back) != 1 || back[0].To != 5 {
		t.Errorf("moved back %+v: a UID was used again", back)
	}
	copies := must(s.Copy(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3, 5}}, junk))(t)
	if len(copies) != 2 || copies[0].ID == ids[2] || copies[1].To != 2 {
		t.Errorf("copied %+v", copies)
	}
	wantClean(t, s, u.ID)
	r, _, err := s.Raw(ctx, u.ID, junk, copies[0].To)
	if err != nil || !strings.Contains(readAll(t, r), "shared content") {
		t.Errorf("copy cannot be read: %v", err)
	}
	gone := must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3, 4, 5, 77}}, store.ExpungeOptions{Archive: true}))(t)
	if fmt.Sprint(gone) != "[3 4 5]" {
		t.Errorf("expunged %v", gone)
	}
	if none := must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: junk, UIDs: []mail.UID{1, 2}}, store.ExpungeOptions{OnlyDeleted: true}))(t); len(none) != 0 {
		t.Errorf("expunged %v without \\Deleted", none)
	}
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: junk, UIDs: []mail.UID{1, 2}}, store.ExpungeOptions{}))(t)
	wantClean(t, s, u.ID)
	if b := must(s.Mailbox(ctx, u.ID, box))(t); b.Total != 0 || b.Unseen != 0 {
		t.Errorf("inbox = %+v", b)
	}
	// A repeated Expunge is nobody's.
	if again := must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3}}, store.ExpungeOptions{}))(t); len(again) != 0 {
		t.Errorf("expunged again: %v", again)
	}
}

func TestDrafts(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	save := func(rev int64) store.Appended {
		return must(s.Append(ctx, store.Append{
			User: u.ID, Use: mail.UseDrafts, Message: textMessage(int(rev)), Flags: []mail.Flag{mail.FlagDraft, mail.FlagSeen},
			Draft: &store.Draft{Key: "k1", Revision: rev, Data: `{"a":1}`},
			Meta:  store.Meta{Reference: &store.Reference{Mailbox: mail.NewID(), UID: 3, Action: "reply"}},
		}))(t)
	}
	old := save(1)
	save(2)
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: old.Mailbox, UIDs: []mail.UID{old.UID}}, store.ExpungeOptions{Archive: true}))(t)
	d := must(s.DraftByKey(ctx, u.ID, "k1"))(t)
	if d.Draft == nil || d.Draft.Revision != 2 || d.Draft.Data != `{"a":1}` || d.Meta.Reference == nil || d.Meta.Reference.UID != 3 {
		t.Errorf("draft = %+v, meta %+v", d.Draft, d.Meta)
	}
	_, err := s.DraftByKey(ctx, u.ID, "k2")
	wantCode(t, err, mail.CodeNoMessage)
	wantClean(t, s, u.ID)
}

func TestThreads(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	first := appendTo(t, s, u.ID, mail.ID{}, message.Parse([]byte("From: a@b\r\nSubject: Plan\r\nMessage-ID: <1@x>\r\n\r\nx\r\n")))
	reply := must(s.Append(ctx, store.Append{User: u.ID, Use: mail.UseSent, Message: message.Parse(
		[]byte("From: b@b\r\nSubject: Re: Plan\r\nMessage-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nReferences: <1@x>\r\n\r\ny\r\n"))}))(t)
	other := appendTo(t, s, u.ID, mail.ID{}, message.Parse([]byte("From: a@b\r\nSubject: Other\r\nMessage-ID: <3@x>\r\nIn-Reply-To: <1@x>\r\n\r\nz\r\n")))
	if reply.Thread != first.Thread || other.Thread == first.Thread {
		t.Fatalf("threads %v %v %v", first.Thread, reply.Thread, other.Thread)
	}
	rows := must(s.Thread(ctx, u.ID, first.Thread, store.ThreadOptions{}))(t)
	if len(rows) != 2 || rows[0].ID != first.ID || rows[1].ID != reply.ID {
		t.Errorf("thread = %v", uidsOf(rows))
	}
	page := must(s.Messages(ctx, store.List{User: u.ID, Mailbox: first.Mailbox, ThreadCounts: true}))(t)
	if len(page.Messages) != 2 || page.Messages[1].ThreadCount != 2 || page.Messages[0].ThreadCount != 1 {
		t.Errorf("counts = %+v", page.Messages)
	}
}

func TestQueue(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	raw := "From: ann@example.com\r\nSubject: =?utf-8?q?x?=\r\n folded \xe4\r\nTo: b@far.example\r\n\r\nBody " + strings.Repeat("x", 600_000) + "\r\n"
	id := must(s.QueuePut(ctx, store.QueueMessage{From: "ann@example.com", To: []string{"b@far.example", "c@FAR.example"}, Raw: message.BytesSource([]byte(raw)), User: u.ID}))(t)
	if len(id) != 18 {
		t.Errorf("queue id %q", id)
	}
	rows := must(s.QueueEntries(ctx, store.QueueFilter{IDs: []string{id}}))(t)
	if len(rows) != 2 || rows[0].Seq != "001" || rows[1].Domain != "far.example" || rows[0].User != u.ID || rows[0].Zone != "default" {
		t.Errorf("rows = %+v", rows)
	}
	if got := must(s.QueueRaw(ctx, id))(t); string(got) != raw {
		t.Errorf("%d bytes came back of %d", len(got), len(raw))
	}
	if mine := must(s.QueueEntries(ctx, store.QueueFilter{User: u.ID}))(t); len(mine) != 2 {
		t.Errorf("mine = %+v", mine)
	}
	wantCode(t, s.QueueDelete(ctx, mail.NewID(), id), mail.CodeNotFound)
	if err := s.QueueDelete(ctx, u.ID, id); err != nil {
		t.Fatal(err)
	}
	_, err := s.QueueRaw(ctx, id)
	wantCode(t, err, mail.CodeNotFound)
}

func TestMailboxes(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	work := must(s.CreateMailbox(ctx, u.ID, "Work", ""))(t)
	must(s.CreateMailbox(ctx, u.ID, "Work/Deep", ""))(t)
	_, err := s.CreateMailbox(ctx, u.ID, "/Work/", "")
	wantCode(t, err, mail.CodeExists)
	_, err = s.CreateMailbox(ctx, u.ID, "a//b", "")
	wantCode(t, err, mail.CodeInvalid)
	must(s.RenameMailbox(ctx, u.ID, work.ID, "Job"))(t)
	if deep := must(s.MailboxByPath(ctx, u.ID, "Job/Deep"))(t); deep.Path != "Job/Deep" {
		t.Errorf("child = %+v", deep)
	}
	_, err = s.RenameMailbox(ctx, u.ID, inbox(t, s, u.ID).ID, "X")
	wantCode(t, err, mail.CodeForbidden)
	wantCode(t, s.DeleteMailbox(ctx, u.ID, inbox(t, s, u.ID).ID), mail.CodeForbidden)
	appendTo(t, s, u.ID, work.ID, fileMessage(1, "x"))
	if err := s.DeleteMailbox(ctx, u.ID, work.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Mailbox(ctx, u.ID, work.ID)
	wantCode(t, err, mail.CodeNoMailbox)
	if a := must(s.MailboxByUse(ctx, u.ID, mail.UseArchive, true))(t); a.Path != "Archive" || a.SpecialUse != mail.UseArchive {
		t.Errorf("archive = %+v", a)
	}
	wantClean(t, s, u.ID)
}

func TestKnownPeople(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "bob")
	appendTo(t, s, u.ID, mail.ID{}, textMessage(1))
	must(s.Append(ctx, store.Append{User: u.ID, Use: mail.UseSent, Message: message.Parse(
		[]byte("From: bob@example.com\r\nTo: Carla <c.arla@example.com>\r\nSubject: x\r\n\r\nx\r\n"))}))(t)
	appendTo(t, s, u.ID, mail.ID{}, message.Parse([]byte("From: list@example.com\r\nList-Id: <l.example.com>\r\n\r\nx\r\n")))
	for prefix, want := range map[string]string{"an": "ann@example.com", "Car": "c.arla@example.com", "c.ar": "c.arla@example.com", "list": "", "zz": ""} {
		got := must(s.KnownPeople(ctx, u.ID, prefix, 5))(t)
		if (want == "") != (len(got) == 0) || (len(got) > 0 && got[0].Address != want) {
			t.Errorf("%q: %+v", prefix, got)
		}
	}
	if all := must(s.KnownPeople(ctx, u.ID, "", 5))(t); len(all) != 2 || all[0].Name != "Carla" {
		t.Errorf("all = %+v", all)
	}
}

func TestKeysetPaging(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 23 {
		// Several messages share an instant: the id decides among them.
		must(s.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: textMessage(i), InternalDate: base.Add(time.Duration(i/3) * time.Hour)}))(t)
	}
	for _, oldestFirst := range []bool{false, true} {
		var walked []mail.Message
		var at *store.Key
		for n := 0; ; n++ {
			l := store.List{User: u.ID, Mailbox: box, Limit: 5, OldestFirst: oldestFirst}
			if oldestFirst {
				l.After = at
			} else {
				l.Before = at
			}
			page := must(s.Messages(ctx, l))(t)
			walked = append(walked, page.Messages...)
			more, behind := page.Older, page.Newer
			if oldestFirst {
				more, behind = behind, more
			}
			if behind != (n > 0) {
				t.Errorf("page %d: older %v, newer %v", n, page.Older, page.Newer)
			}
			if !more {
				break
			}
			k := store.KeyOf(&page.Messages[len(page.Messages)-1])
			at = &k
			// New mail meanwhile must not repeat or hide anything.
			if n < 3 && !oldestFirst {
				must(s.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: textMessage(100 + n), InternalDate: base.Add(1000 * time.Hour)}))(t)
			}
		}
		seen := map[mail.ID]bool{}
		for i, m := range walked {
			if seen[m.ID] {
				t.Fatalf("message twice: %v", uidsOf(walked))
			}
			seen[m.ID] = true
			if i > 0 && oldestFirst == m.InternalDate.Before(walked[i-1].InternalDate) && !m.InternalDate.Equal(walked[i-1].InternalDate) {
				t.Fatalf("order: %v", uidsOf(walked))
			}
		}
		if want := map[bool]int{false: 23, true: 26}[oldestFirst]; len(walked) != want {
			t.Errorf("walked %d messages, want %d", len(walked), want)
		}
	}
	// Back towards the newest: the rows next to the key.
	page := must(s.Messages(ctx, store.List{User: u.ID, Mailbox: box, Limit: 10}))(t)
	k := store.KeyOf(&page.Messages[8])
	newer := must(s.Messages(ctx, store.List{User: u.ID, Mailbox: box, Limit: 3, After: &k}))(t)
	if uidsOf(newer.Messages) != uidsOf(page.Messages[5:8]) || !newer.Newer || !newer.Older {
		t.Errorf("after: %v, want %v", uidsOf(newer.Messages), uidsOf(page.Messages[5:8]))
	}
	filtered := must(s.Messages(ctx, store.List{User: u.ID, Mailbox: box, Filter: store.ListFilter{Flagged: true}}))(t)
	if len(filtered.Messages) != 0 {
		t.Errorf("flagged: %v", uidsOf(filtered.Messages))
	}
}

func TestSections(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	m := appendTo(t, s, u.ID, mail.ID{}, fileMessage(1, "line one\r\nline two"))
	for _, tt := range []struct {
		spec message.Section
		want string
	}{
		{message.Section{Path: []int{1}}, "see file"},
		{message.Section{Path: []int{2}}, "line one\r\nline two"},
		{message.Section{Path: []int{2}, Partial: true, Start: 5, Count: 3}, "one"},
		{message.Section{Kind: message.SectionHeaderFields, Fields: []string{"subject"}}, "Subject: file 1\r\n\r\n"},
	} {
		r, err := s.Section(ctx, u.ID, m.Mailbox, m.UID, tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, r); got != tt.want {
			t.Errorf("%+v = %q, want %q", tt.spec, got, tt.want)
		}
	}
	_, err := s.Section(ctx, u.ID, m.Mailbox, m.UID, message.Section{Path: []int{9}})
	wantCode(t, err, mail.CodeNotFound)
}
