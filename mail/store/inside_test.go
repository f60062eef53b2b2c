package store_test

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Files in winmail.dat and in uuencoded text are attachments like any other.
func TestFilesInsideParts(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	for name, want := range map[string]map[string]string{
		"tnef-winmail":           {"ATT00001-1": "hello", "ATT00001-2": "%PDF-1.4"},
		"uuencode-in-text":       {"P1-1": "hello, world\n"},
		"uuencode-in-multipart":  {"P1-1": "hello, world\n", "P1-2": "second file"},
		"uuencode-transfer-part": {"ATT00001": "hello, world\n"},
	} {
		raw, err := os.ReadFile("../message/testdata/" + name + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		got := appendTo(t, s, u.ID, inbox(t, s, u.ID).ID, message.Parse(raw))
		row := must(s.Row(ctx, u.ID, got.Mailbox, got.UID))(t)
		if !row.HasAttachments {
			t.Errorf("%s: no attachments", name)
		}
		for id, content := range want {
			c := must(s.Attachment(ctx, u.ID, got.Mailbox, got.UID, id))(t)
			if text := readAll(t, c.Decoded); text != content {
				t.Errorf("%s %s: %q", name, id, text)
			}
			if c.Filename == "" || c.ID != id {
				t.Errorf("%s %s: %+v", name, id, c.Attachment)
			}
		}
		for _, id := range []string{"ATT00001-9", "P9-1", "P-1", "ATT00009-1"} {
			if _, err := s.Attachment(ctx, u.ID, got.Mailbox, got.UID, id); err == nil {
				t.Errorf("%s has %s", name, id)
			}
		}
	}
}

// What is wrong with a message, and what an attachment really is, is kept.
func TestDefectsAreKept(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	raw, err := os.ReadFile("../message/testdata/type-says-text-is-exe.eml")
	if err != nil {
		t.Fatal(err)
	}
	m := message.Parse(raw)
	got := appendTo(t, s, u.ID, inbox(t, s, u.ID).ID, m)
	d := must(s.Message(ctx, u.ID, got.Mailbox, got.UID))(t)
	if !slices.Equal(d.Defects, m.Defects) || len(d.Defects) == 0 {
		t.Errorf("defects %q, want %q", d.Defects, m.Defects)
	}
	if found := d.Attachments[0].Detected; found != "application/vnd.microsoft.portable-executable" {
		t.Errorf("detected %q", found)
	}
	r, err := d.Open("ATT00001", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, r); text == "" {
		t.Error("an opened part is empty")
	}
}
