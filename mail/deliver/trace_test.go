package deliver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"

	"github.com/eidermail/eider/mail/message"
)

// A panic in one recipient's goroutine is that recipient's failure, and logged.
func TestPanicIsAFailure(t *testing.T) {
	var log bytes.Buffer
	d := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))}) // no store
	results := d.Deliver(t.Context(), Delivery{ID: "id1", Recipients: []Recipient{{Address: "a@example.org"}}, Message: message.BytesSource([]byte("\r\n"))})
	if len(results) != 1 || mail.CodeOf(results[0].Err) != mail.CodeInternal || results[0].Err == nil {
		t.Errorf("results %+v", results)
	}
	if !strings.Contains(log.String(), "level=ERROR msg=\"panic while delivering\" id=id1") {
		t.Errorf("log %q", log.String())
	}
}

func TestHops(t *testing.T) {
	for text, want := range map[string]int{
		"":                      0,
		"Received: a\r\n":       1,
		"Received: a\r\n b\r\n": 1,
		"Received: a\r\n\tReceived: b\r\nReceived: c\r\n\r\nReceived: d\r\n": 2,
		"RECEIVED:a\nreceived:b\n\nReceived: c\n":                            2,
		"Received : a\r\n":    0,
		"X-Received: a\r\n":   0,
		"\r\nReceived: a\r\n": 0,
		"Received: no end":    1,
	} {
		if got := hops([]byte(text)); got != want {
			t.Errorf("%q: %d hops, want %d", text, got, want)
		}
	}
}

// FuzzHops: the count ends, and never exceeds the count of the word.
func FuzzHops(f *testing.F) {
	f.Add([]byte("Received: a\r\n b\r\nTo: x\r\n\r\nReceived: y\r\n"))
	f.Add([]byte("\n"))
	f.Add([]byte("received:\rreceived:\n\treceived:"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := hops(raw)
		if limit := bytes.Count(bytes.ToLower(raw), []byte("received:")); n > limit {
			t.Fatalf("%d hops among %d words", n, limit)
		}
	})
}
