package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/server"
)

const (
	// largeSize is the message's, streamRoom what it may take of memory.
	largeSize  = 50 << 20
	streamRoom = 12 << 20
)

// heap watches how much of the heap is in use.
type heap struct {
	mu         sync.Mutex
	base, peak uint64
	sample     [1]metrics.Sample
}

func newHeap() *heap {
	h := &heap{}
	h.sample[0].Name = "/memory/classes/heap/objects:bytes"
	return h
}

func (h *heap) now() uint64 {
	metrics.Read(h.sample[:])
	return h.sample[0].Value.Uint64()
}

// rest takes what is in use now as what was there before.
func (h *heap) rest() {
	runtime.GC()
	runtime.GC()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.base, h.peak = h.now(), 0
}

func (h *heap) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peak = max(h.peak, h.now())
}

func (h *heap) above() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.peak, h.base) - h.base
}

// largeMail makes a message with one attachment while it is read, and looks
// at the heap each time that it went on by some bytes.
func largeMail(h *heap) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "From: ann@elsewhere.example\r\nSubject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"+
			"--bb\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n--bb\r\nContent-Type: application/x-data; name=data.bin\r\n"+
			"Content-Disposition: attachment; filename=data.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		random := rand.New(rand.NewPCG(1, 2))
		line, text := make([]byte, 57), make([]byte, 78)
		text[76], text[77] = '\r', '\n'
		for i := range largeSize / len(text) {
			for j := range line {
				line[j] = byte(random.Uint32())
			}
			base64.StdEncoding.Encode(text, line)
			_, _ = w.Write(text)
			if i%4000 == 0 {
				h.look()
			}
		}
		_, _ = io.WriteString(w, "--bb--\r\n")
		_ = w.Close()
	}()
	return r
}

// watched reads to the end, hashes, and looks at the heap as it goes on.
func watched(t *testing.T, h *heap, r io.Reader, sum hash.Hash) int64 {
	t.Helper()
	var size int64
	for buf := make([]byte, 256<<10); ; {
		n, err := io.ReadFull(r, buf)
		_, _ = sum.Write(buf[:n])
		size += int64(n)
		h.look()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return size
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A message of 50 MB comes in over LMTP, is parsed, stored and read again in a
// small part of its size.
func TestLargeMessageIsStreamed(t *testing.T) {
	testLargeMessage(t, send)
}

// So does one that comes in chunks (RFC 3030).
func TestLargeMessageInChunks(t *testing.T) {
	testLargeMessage(t, sendChunks)
}

func testLargeMessage(t *testing.T, sendLarge func(*testing.T, *smtp.Client, net.Conn, io.Reader)) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	h := newHeap()
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) {
		o.Monitor = storetest.WatchEach(h.look)
	})
	bob := user(t, s, "bob", 0)
	c := config("", "127.0.0.1:0")
	c.Options.MaxMessage = 2 * largeSize
	c.Options.Deliver = deliver.New(deliver.Options{Store: s, Signal: env.Signal, Log: slog.New(slog.DiscardHandler)})
	servers, err := server.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = servers.Stop(ctx)
	}()
	socket, err := net.Dial("tcp", servers.LMTP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	site := smtp.NewClientLMTP(socket)
	site.SubmissionTimeout = 10 * time.Minute
	defer func() { _ = site.Close() }()
	// A small one first, so that what is set up once is there.
	send(t, site, socket, strings.NewReader("Subject: small\r\n\r\nx\r\n"))
	h.rest()

	sent := sha256.New()
	sendLarge(t, site, socket, io.TeeReader(largeMail(h), sent))
	t.Logf("in: %.1f MiB above the rest", float64(h.above())/(1<<20))
	if h.above() > streamRoom {
		t.Errorf("taking the message in took %d bytes of memory", h.above())
	}

	box, err := s.MailboxByPath(t.Context(), bob.ID, mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	h.rest()
	r, size, err := s.Raw(t.Context(), bob.ID, box.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	trace := traceOf(t, r)
	got := sha256.New()
	_, _ = got.Write([]byte("From: ann"))
	if n := watched(t, h, r, got); n+trace != size || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Errorf("%d bytes come back behind %d of trace, of %d, the same: %v", n, trace, size, bytes.Equal(got.Sum(nil), sent.Sum(nil)))
	}
	a, err := s.Attachment(t.Context(), bob.ID, box.ID, 2, "ATT00001")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Decoded.Close() }()
	if n := watched(t, h, a.Decoded, sha256.New()); n != a.DecodedSize || n < largeSize*7/10 {
		t.Errorf("attachment of %d bytes, want %d", n, a.DecodedSize)
	}
	t.Logf("out: %.1f MiB above the rest", float64(h.above())/(1<<20))
	if h.above() > streamRoom/2 {
		t.Errorf("giving the message out took %d bytes of memory", h.above())
	}
}

// sendChunks sends with BDAT, which the client does not have: the envelope goes
// through it, the rest over its socket.
func sendChunks(t *testing.T, site *smtp.Client, socket net.Conn, r io.Reader) {
	t.Helper()
	if err := site.Mail("ann@elsewhere.example", nil); err != nil {
		t.Fatal(err)
	}
	if err := site.Rcpt("bob@example.org", nil); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(socket)
	for chunk, last := make([]byte, 1<<20), false; !last; {
		n, err := io.ReadFull(r, chunk)
		command := fmt.Sprintf("BDAT %d\r\n", n)
		if last = err != nil; last {
			command = fmt.Sprintf("BDAT %d LAST\r\n", n)
		}
		if _, err := socket.Write(append([]byte(command), chunk[:n]...)); err != nil {
			t.Fatal(err)
		}
		if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "250 ") {
			t.Fatalf("%q answers %q, %v", command, line, err)
		}
	}
}

func send(t *testing.T, site *smtp.Client, _ net.Conn, r io.Reader) {
	t.Helper()
	if err := site.Mail("ann@elsewhere.example", nil); err != nil {
		t.Fatal(err)
	}
	if err := site.Rcpt("bob@example.org", nil); err != nil {
		t.Fatal(err)
	}
	data, err := site.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{data}, r, make([]byte, 16<<10)); err != nil {
		t.Fatal(err)
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
}

// traceOf reads the fields that were put on top and the first bytes of what
// was sent; it gives the length of both.
func traceOf(t *testing.T, r io.Reader) int64 {
	t.Helper()
	var seen []byte
	for one := make([]byte, 1); !bytes.HasSuffix(seen, []byte("\nFrom: ann")); {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, one...)
	}
	return int64(len(seen))
}
