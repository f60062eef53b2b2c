package queue_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func TestPut(t *testing.T) {
	s := storetest.Open(t)
	u, err := s.CreateUser(t.Context(), store.NewUser{Username: "bob", Address: "bob@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	q := queue.New(s, slog.New(slog.NewTextHandler(&log, nil)))
	const raw = "From: bob@example.org\r\nTo: a@far.example\r\nSubject: x\r\nMessage-ID: <1@example.org>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nText.\r\n"
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	id, err := q.Put(t.Context(), queue.Message{
		From: "bob@example.org", To: []string{"a@far.example", "b@other.example"}, Raw: message.BytesSource([]byte(raw)),
		User: u, Reason: "submit", Origin: "192.0.2.1", SendAt: later,
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.QueueEntries(t.Context(), store.QueueFilter{IDs: []string{id}})
	if err != nil || len(entries) != 2 {
		t.Fatalf("%+v, %v", entries, err)
	}
	for i, want := range []struct{ to, domain string }{{"a@far.example", "far.example"}, {"b@other.example", "other.example"}} {
		e := entries[i]
		if e.Recipient != want.to || e.Domain != want.domain || !e.Queued.Equal(later) || e.Locked {
			t.Errorf("entry %d: %+v", i, e)
		}
		if !strings.Contains(log.String(), "recipient="+want.to) {
			t.Errorf("%s is not in the log %q", want.to, log.String())
		}
	}
	got, err := s.QueueRaw(t.Context(), id)
	if err != nil || string(got) != raw {
		t.Errorf("the queue holds %q, %v", got, err)
	}
	if _, err := q.Put(t.Context(), queue.Message{Raw: message.BytesSource([]byte(raw))}); !mail.IsCode(err, mail.CodeInvalid) {
		t.Errorf("nobody to send to: %v", err)
	}
}
