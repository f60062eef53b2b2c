package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func (w *world) messagesOf(u mail.User, use mail.SpecialUse) string {
	w.t.Helper()
	var box mail.Mailbox
	var err error
	if use == mail.UseNone {
		box, err = w.store.MailboxByPath(w.t.Context(), u.ID, mail.Inbox)
	} else {
		box, err = w.store.MailboxByUse(w.t.Context(), u.ID, use, true)
	}
	must(w.t, err)
	return fmt.Sprintf("/users/%s/mailboxes/%s/messages", u.ID, box.ID)
}

func TestUploadRaw(t *testing.T) {
	w := newWorld(t)
	anna := w.user("anna")
	path := w.messagesOf(anna, mail.UseNone)
	const raw = "From: a@example.com\r\nTo: anna@example.org\r\nSubject: \xd0\x9f\xff\r\n\r\nbody\r\n"
	a := w.do(http.MethodPost, path+"?unseen=true&flagged=1&date=2026-03-03T10:00:00Z", "message/rfc822", raw).ok()
	a.is(len(raw), "message", "size")
	a.is(1, "message", "id")
	if got := w.source(anna, a); got != raw {
		t.Errorf("%q", got)
	}
	got := w.stored(anna, a)
	got.is(false, "seen")
	got.is(true, "flagged")
	got.is("2026-03-03T10:00:00.000Z", "idate")
	for name, body := range map[string]string{"short": "From: a@b\r\n\r\nx", "long": "From: a@b\r\n\r\n" + strings.Repeat("\u00e9 line\r\n", 20_000)} {
		a := w.json(http.MethodPost, path, map[string]any{"raw": body, "draft": true, "sess": "abc", "ip": "192.0.2.7"}).ok()
		if got := w.source(anna, a); got != body {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(body))
		}
		got := w.stored(anna, a)
		got.is(true, "seen")
		got.is(true, "draft")
	}
	w.do(http.MethodPost, path, "message/rfc822", " \r\n").fails(http.StatusBadRequest, "EmptyMessage")
	w.json(http.MethodPost, path, map[string]any{}).fails(http.StatusBadRequest, "EmptyMessage")
	w.json(http.MethodPost, path, map[string]any{"raw": 5}).fails(http.StatusBadRequest, "InputValidationError")
	w.json(http.MethodPost, path, map[string]any{"raw": "x", "bimi": map[string]any{}}).fails(http.StatusBadRequest, "InputValidationError")
	w.json(http.MethodPost, path, map[string]any{"subject": strings.Repeat("x", longString*2)}).fails(http.StatusBadRequest, "InputValidationError")
	w.do(http.MethodPost, strings.Replace(path, anna.ID.String(), mail.NewID().String(), 1), "message/rfc822", raw).fails(http.StatusNotFound, "UserNotFound")
	w.do(http.MethodPost, fmt.Sprintf("/users/%s/mailboxes/%s/messages", anna.ID, mail.NewID()), "message/rfc822", raw).fails(http.StatusNotFound, "NoSuchMailbox")
}

func TestUploadComposed(t *testing.T) {
	w := newWorld(t)
	anna := w.user("anna")
	path := w.messagesOf(anna, mail.UseDrafts)
	large := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	compose := map[string]any{
		"to": []any{person("Bert", "bert@example.org")}, "subject": "Grüße", "text": strings.Repeat("long line of text\n", 10_000), "draft": true,
		"attachments": []any{
			map[string]any{"filename": "a.bin", "content": base64.StdEncoding.EncodeToString(large)},
			map[string]any{"filename": "b.txt", "contentType": "text/plain", "content": string(large), "encoding": "utf8"},
		},
	}
	a := w.json(http.MethodPost, path, compose).ok()
	got := w.stored(anna, a)
	got.is("anna@example.org", "from", "address")
	got.is("Grüße", "subject")
	for _, id := range []string{"ATT00001", "ATT00002"} {
		file := w.get(fmt.Sprintf("%s/%v/attachments/%s", path, a.at("message", "id"), id))
		if !bytes.Equal(file.raw, large) {
			t.Errorf("%s has %d bytes", id, len(file.raw))
		}
	}
	compose["replacePrevious"] = map[string]any{"id": a.at("message", "id")}
	b := w.json(http.MethodPost, path, compose).ok()
	b.is(true, "previousDeleted")
	w.get(fmt.Sprintf("%s/%v", path, a.at("message", "id"))).fails(http.StatusNotFound, "MessageNotFound")
	for _, content := range []string{strings.Repeat("QUJD", 20_000) + "A", strings.Repeat("QUJD", 20_000) + "!", strings.Repeat("QU=D", 20_000)} {
		compose["attachments"] = []any{map[string]any{"content": content}}
		w.json(http.MethodPost, path, compose).fails(http.StatusBadRequest, "InputValidationError")
	}
}

// heap watches how much of the heap is in use above what was before.
type heap struct {
	mu         sync.Mutex
	base, peak uint64
	sample     [1]metrics.Sample
}

func (h *heap) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sample[0].Name = "/memory/classes/heap/objects:bytes"
	metrics.Read(h.sample[:])
	h.peak = max(h.peak, h.sample[0].Value.Uint64())
}

func (h *heap) rest() {
	runtime.GC()
	runtime.GC()
	h.peak = 0
	h.look()
	h.base = h.peak
}

// Messages of 50 MB go through the API in a small part of their size.
func TestLargeUploadsAreStreamed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	const size, room = 50 << 20, 16 << 20 // the client's part is in it
	h := &heap{}
	w := newWorldOn(t, func(o *store.Options) { o.Monitor = storetest.WatchEach(h.look) }, func(o *Options) {
		o.Spool = &spool.Pool{Folder: t.TempDir()}
	})
	w.client.Timeout = 10 * time.Minute
	anna := w.user("anna")
	path := w.messagesOf(anna, mail.UseNone)
	raw := "From: a@example.com\r\nSubject: large\r\nMIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	for _, c := range []struct {
		size                                     int
		name, path, kind, before, after, lineEnd string
	}{
		{size, "message/rfc822", path, "message/rfc822", raw, "", "\r\n"},
		{size / 2, "raw in JSON", path, "application/json", `{"raw":"` + strings.ReplaceAll(raw, "\r\n", `\r\n`), `"}`, `\r\n`},
		{size / 2, "file of a message", path, "application/json", `{"subject":"x","attachments":[{"filename":"a","content":"`, `"}]}`, ""},
		{
			size, "file of a message that is sent", "/users/" + anna.ID.String() + "/submit", "application/json",
			`{"to":[{"address":"far@elsewhere.example"},{"address":"anna@example.org"}],"attachments":[{"filename":"a","content":"`, `"}]}`, "",
		},
	} {
		warm := c.before + strings.Repeat("QUJD", 19) + c.lineEnd + c.after
		w.do(http.MethodPost, c.path, c.kind, warm).ok()
		h.rest()
		sum := sha256.New()
		a := w.stream(c.path, c.kind, c.before, c.after, c.lineEnd, c.size, sum, h).ok()
		used := max(h.peak, h.base) - h.base
		t.Logf("%s: %.1f MiB above the rest", c.name, float64(used)/(1<<20))
		if used > room {
			t.Errorf("%s took %d bytes of memory", c.name, used)
		}
		file, err := w.store.Attachment(t.Context(), anna.ID, idOf(t, a.at("message", "mailbox")), uidOf(t, a.at("message", "id")), "ATT00001")
		must(t, err)
		got := sha256.New()
		_, err = io.Copy(got, file.Decoded)
		must(t, err)
		must(t, file.Decoded.Close())
		if hex.EncodeToString(got.Sum(nil)) != hex.EncodeToString(sum.Sum(nil)) {
			t.Errorf("%s: the file is not the one that was sent", c.name)
		}
	}
}

func idOf(t *testing.T, v any) mail.ID {
	t.Helper()
	s, _ := v.(string)
	id, err := mail.ParseID(s)
	must(t, err)
	return id
}

func uidOf(t *testing.T, v any) mail.UID {
	t.Helper()
	n, ok := v.(float64)
	if !ok {
		t.Fatalf("%v is no UID", v)
	}
	return mail.UID(n)
}

// stream posts about size bytes: base64 of random bytes in lines, between two
// texts. sum takes the bytes.
func (w *world) stream(path, kind, before, after, lineEnd string, size int, sum io.Writer, h *heap) answer {
	w.t.Helper()
	r, pipe := io.Pipe()
	go func() {
		to := bufio.NewWriterSize(pipe, 32<<10)
		_, _ = io.WriteString(to, before)
		random := rand.New(rand.NewPCG(1, uint64(len(before))))
		line, text := make([]byte, 57), make([]byte, 76)
		for i := range size / 78 {
			for j := range line {
				line[j] = byte(random.Uint32())
			}
			_, _ = sum.Write(line)
			base64.StdEncoding.Encode(text, line)
			if i > 0 {
				_, _ = io.WriteString(to, lineEnd)
			}
			_, _ = to.Write(text)
			if i%4000 == 0 {
				h.look()
			}
		}
		_, _ = io.WriteString(to, after)
		_ = to.Flush()
		_ = pipe.Close()
	}()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+path, r)
	must(w.t, err)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Access-Token", rootToken)
	res, err := w.client.Do(req)
	must(w.t, err)
	return readAnswer(w.t, res)
}
