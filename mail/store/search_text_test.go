package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// TestSearchBehindStoredText: a phrase is found where the document's text does not
// have it, and words that only stand apart are not.
func TestSearchBehindStoredText(t *testing.T) {
	ctx := context.Background()
	s := storetest.New(t).Open(nil)
	w := newSearchWorld(t, s, "behind")
	const head = "From: a@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: "
	part := func(kind, body string) string { return "Content-Type: " + kind + "\r\n\r\n" + body + "\r\n" }
	multi := func(kind, boundary string, parts ...string) string {
		return "multipart/" + kind + "; boundary=" + boundary + "\r\n\r\n--" + boundary + "\r\n" + strings.Join(parts, "--"+boundary+"\r\n") + "--" + boundary + "--\r\n"
	}
	letters := func(words string) map[string]string {
		alternative := multi("alternative", "a", part("text/plain", "plain"), part("text/html", "<p>"+words+"</p>"))
		deep := alternative
		for _, b := range []string{"b", "c", "d", "e"} {
			deep = multi("mixed", b, "Content-Type: "+deep)
		}
		return map[string]string{
			"cut":         "text/plain\r\n\r\n" + strings.Repeat("some other text\r\n", 8000) + words + "\r\n",
			"attachment":  multi("mixed", "m", part("text/plain", "see file"), part("text/csv; name=a.csv\r\nContent-Disposition: attachment", words)),
			"alternative": alternative,
			"deep":        deep,
			"message":     multi("mixed", "m", part("text/plain", "see mail"), part("message/rfc822", head+alternative)),
		}
	}
	want := map[string]bool{}
	for _, words := range []string{"green apple", "apple green"} {
		for name, body := range letters(words) {
			raw := strings.Replace(head, "Subject: x", "Subject: "+name, 1) + body
			must(s.Append(ctx, store.Append{User: w.user, Mailbox: w.boxes[0].ID, Message: message.Parse([]byte(raw)), InternalDate: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}))(t)
			want[name] = true
		}
	}
	for _, mode := range []search.Mode{search.Words, search.Substring} {
		q := search.Text{In: search.InAll, Value: "green apple", Mode: mode}
		found := must(s.SearchThrough(ctx, store.Search{User: w.user, Query: q, Limit: 50}, 20))(t)
		got := map[string]int{}
		for i := range found.Messages {
			got[found.Messages[i].Subject]++
		}
		for name := range want {
			if got[name] != 1 {
				t.Errorf("mode %d, %s: found %d times, 1 matches", mode, name, got[name])
			}
		}
	}
}
