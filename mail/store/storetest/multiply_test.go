package storetest_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// A multiplied mailbox is one that the store itself could have filled.
func TestMultiply(t *testing.T) {
	ctx := context.Background()
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "eider.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	open := func() (*store.Store, store.Options, func()) {
		sig := signal.NewMemory(signal.MemoryOptions{})
		o := store.Options{URI: docstore.URI, Dialer: engine, Signal: sig}
		s, err := store.Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		return s, o, func() { _, _ = s.Close(ctx), sig.Close() }
	}
	s, o, done := open()
	u, err := s.CreateUser(ctx, store.NewUser{Username: "ann", Address: "ann@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	var box mail.ID
	for _, raw := range []string{"Message-ID: <1@x>\r\nSubject: a\r\n\r\nx", "Message-ID: <2@x>\r\nReferences: <1@x>\r\nSubject: a\r\n\r\nx", "Subject: b\r\n\r\nx"} {
		got, err := s.Append(ctx, store.Append{User: u.ID, Message: message.Parse([]byte(raw)), Flags: []mail.Flag{mail.FlagSeen, "$kw"}})
		if err != nil {
			t.Fatal(err)
		}
		box = got.Mailbox
	}
	done()
	if err := storetest.Multiply(ctx, o, u.ID, box, 600); err != nil {
		t.Fatal(err)
	}
	s, _, done = open()
	defer done()
	report, err := s.Verify(ctx, u.ID)
	report.Problems = slices.DeleteFunc(report.Problems, func(p store.Problem) bool { return p.Kind == store.ProblemSearchMissing }) // copies have no words
	if err != nil || len(report.Problems) != 0 || report.Messages != 603 {
		t.Errorf("%d messages, %v (%v)", report.Messages, report.Problems, err)
	}
	snap, err := s.Snapshot(ctx, u.ID, box)
	if err != nil || snap.Len() != 603 || snap.Row(602).UID != 603 || !mail.HasFlag(snap.Row(602).Flags, "$kw") {
		t.Errorf("snapshot of %d: %v", snap.Len(), err)
	}
	conversations := map[mail.ID]int{}
	for _, r := range snap.Rows(0, snap.Len()) {
		conversations[r.Thread]++
	}
	if len(conversations) != 402 {
		t.Errorf("%d conversations", len(conversations))
	}
}
