package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// chunk is how many bytes of a content lie in one document.
const chunk = 261120

// A section reads what it needs: fields and other parts no attachment, a slice
// of an attachment no more than the chunks in which it lies.
func TestSectionReadsWhatItNeeds(t *testing.T) {
	ctx := context.Background()
	var chunks, files atomic.Int64
	s := storetest.New(t).Open(func(o *store.Options) {
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			switch name, _ := e.Command.Lookup("find").StringValueOK(); name {
			case "attachments.chunks":
				chunks.Add(1)
			case "attachments.files":
				files.Add(1)
			}
		})
	})
	u := newUser(t, s, "ann")
	data := make([]byte, 10*chunk+5)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	part := lines(base64.StdEncoding.EncodeToString(data), 76)
	raw := "From: a@b\r\nSubject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n" +
		"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + part + "\r\n--b--\r\n"
	got := appendTo(t, s, u.ID, mail.ID{}, message.Parse([]byte(raw)))
	perChunk := len(part) / 10

	for _, c := range []struct {
		name          string
		spec          message.Section
		want          string
		chunks, files int64
	}{
		{"fields", message.Section{Kind: message.SectionHeaderFields, Fields: []string{"subject"}}, "Subject: large\r\n\r\n", 0, 0},
		{"header", message.Section{Kind: message.SectionHeader}, raw[:strings.Index(raw, "--b")], 0, 0},
		{"other part", message.Section{Path: []int{1}}, "text", 0, 0},
		{"start", message.Section{Path: []int{2}, Partial: true, Count: 100}, part[:100], 1, 1},
		{"middle", message.Section{Path: []int{2}, Partial: true, Start: int64(5*perChunk + 5000), Count: 3000}, part[5*perChunk+5000 : 5*perChunk+8000], 1, 1},
		{"border", message.Section{Path: []int{2}, Partial: true, Start: int64(perChunk - 5000), Count: 30_000}, part[perChunk-5000 : perChunk+25_000], 2, 1},
		{"end", message.Section{Path: []int{2}, Partial: true, Start: int64(len(part) - 3), Count: 50}, part[len(part)-3:], 1, 1},
		{"message from the middle", message.Section{Partial: true, Start: int64(len(raw)/2 + 50_000), Count: 1000}, raw[len(raw)/2+50_000 : len(raw)/2+51_000], 1, 1},
		{"behind the part", message.Section{Partial: true, Start: int64(len(raw) - 9), Count: 9}, raw[len(raw)-9:], 0, 0},
		{"all", message.Section{}, raw, 11, 1},
	} {
		chunks.Store(0)
		files.Store(0)
		r, err := s.Section(ctx, u.ID, got.Mailbox, got.UID, c.spec)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		b, err := io.ReadAll(r)
		if closeErr := r.Close(); err != nil || closeErr != nil || !bytes.Equal(b, []byte(c.want)) {
			t.Errorf("%s: %d bytes, %v, %v; want %d", c.name, len(b), err, closeErr, len(c.want))
		}
		if chunks.Load() != c.chunks || files.Load() != c.files {
			t.Errorf("%s: %d chunks and %d files documents were read, want %d and %d", c.name, chunks.Load(), files.Load(), c.chunks, c.files)
		}
	}
}

func lines(s string, n int) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	return b.String() + s
}
