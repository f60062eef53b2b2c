// Package crash kills the server in the middle of deliveries, as a power cut
// or an operator's kill -9 does, and looks at what is there afterwards.
package crash

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	senders = 8
	people  = 3
)

// rounds is 5 in CI and what EIDER_TEST_CRASH_ROUNDS says in `make crash`.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("EIDER_TEST_CRASH_ROUNDS"))
	if err != nil {
		return 5
	}
	t.Logf("%d rounds", n)
	return n
}

// accepted collects what the server said 250 to: subject to hash of the bytes
// of its attachment, by address.
type accepted struct {
	mu   sync.Mutex
	mail map[string]map[string]bool
	n    int
}

func (a *accepted) add(to, subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mail[to] == nil {
		a.mail[to] = map[string]bool{}
	}
	a.mail[to][subject] = true
	a.n++
}

// TestKillDuringDeliveries: every message that got 250 is there, counters
// equal what is stored, attachments are whole.
func TestKillDuringDeliveries(t *testing.T) {
	if os.Getenv("EIDER_TEST_MONGO") != "" {
		t.Skip("the database is another process there, and is not killed")
	}
	data := t.TempDir()
	all := &accepted{mail: map[string]map[string]bool{}}
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	ids := map[string]string{}
	for round := range rounds(t) {
		s, err := harness.Launch(t.Context(), data)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round == 0 {
			for i := range people {
				name := fmt.Sprintf("person%d", i)
				ids[address(i)] = s.AddUser(t, name, address(i), "seven calm eiders drift north")
			}
		}
		deliverUntilKilled(t, s, round, all, time.Duration(200+rng.IntN(800))*time.Millisecond)
	}
	if all.n < 10 {
		t.Fatalf("only %d messages were accepted: the load did not run", all.n)
	}
	// A start after a kill mends what the kill left open.
	s := harness.Start(t, data)
	for to, id := range ids {
		checkMailbox(t, s, id, all.mail[to])
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	checkStore(t, data, ids)
	t.Logf("%d messages accepted", all.n)
}

func address(i int) string { return fmt.Sprintf("person%d@eider.localhost", i) }

// deliverUntilKilled sends from several connections and kills the server in
// the middle.
func deliverUntilKilled(t *testing.T, s *harness.Server, round int, all *accepted, after time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { sendMany(s.SMTP, round, i, all) })
	}
	<-time.After(after)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// sendMany delivers until the connection breaks. A message counts only when
// its 250 has been read.
func sendMany(addr string, round, sender int, all *accepted) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	for n := 0; ; n++ {
		to := address((sender + n) % people)
		subject := fmt.Sprintf("r%d s%d n%d", round, sender, n)
		if c.SendMail("load@elsewhere.example", []string{to}, strings.NewReader(letter(to, subject))) != nil {
			return
		}
		all.add(to, subject)
	}
}

// letter has a text of its own and an attachment that every tenth shares.
func letter(to, subject string) string {
	blob := sha256.Sum256([]byte(subject))
	if strings.HasSuffix(subject, "0") {
		blob = sha256.Sum256([]byte("shared"))
	}
	body := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(blob[:]), 200)))
	var lines strings.Builder
	for len(body) > 76 {
		lines.WriteString(body[:76] + "\r\n")
		body = body[76:]
	}
	return "From: load@elsewhere.example\r\nTo: " + to + "\r\nSubject: " + subject +
		"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\n" + subject + "\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=a.bin\r\n\r\n" + lines.String() + body + "\r\n--b--\r\n"
}

// checkMailbox lists the whole Inbox over the API and reads every message.
func checkMailbox(t *testing.T, s *harness.Server, user string, want map[string]bool) {
	t.Helper()
	box, total := inbox(t, s, user)
	have := map[string]int{}
	listed := 0
	for next := ""; ; {
		var page struct {
			NextCursor any
			Results    []struct {
				ID      int
				Subject string
			}
		}
		path := fmt.Sprintf("/users/%s/mailboxes/%s/messages?limit=250&next=%s", user, box, next)
		if code, err := s.Call(t.Context(), http.MethodGet, path, nil, &page); err != nil || code != http.StatusOK {
			t.Fatalf("list: %d %v", code, err)
		}
		for _, m := range page.Results {
			listed++
			have[m.Subject]++
			checkWhole(t, s, user, box, m.ID, m.Subject)
		}
		cursor, ok := page.NextCursor.(string)
		if !ok {
			break
		}
		next = cursor
	}
	for subject := range want {
		if have[subject] == 0 {
			t.Errorf("%s: accepted message %q is missing", user, subject)
		}
	}
	if total != listed {
		t.Errorf("%s: counter says %d, listed %d", user, total, listed)
	}
}

func inbox(t *testing.T, s *harness.Server, user string) (id string, total int) {
	t.Helper()
	var out struct {
		Results []struct {
			ID, Path string
			Total    int
		}
	}
	if code, err := s.Call(t.Context(), http.MethodGet, "/users/"+user+"/mailboxes?counters=true", nil, &out); err != nil || code != http.StatusOK {
		t.Fatalf("mailboxes: %d %v", code, err)
	}
	for _, b := range out.Results {
		if b.Path == mail.Inbox {
			return b.ID, b.Total
		}
	}
	t.Fatal("no INBOX")
	return "", 0
}

// checkWhole compares the stored bytes with what was sent.
func checkWhole(t *testing.T, s *harness.Server, user, box string, uid int, subject string) {
	t.Helper()
	path := fmt.Sprintf("http://%s/users/%s/mailboxes/%s/messages/%d/message.eml", s.API, user, box, uid)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Access-Token", harness.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, sent, ok := strings.Cut(string(raw), "\r\nFrom: ")
	_, want, _ := strings.Cut("\r\n"+letter("", subject), "\r\nSubject: ")
	_, got, _ := strings.Cut(sent, "\r\nSubject: ")
	if !ok || got != want {
		t.Errorf("message %q is not what was sent (%d bytes)", subject, len(raw))
	}
}

// checkStore opens the data itself and compares counters, quota and
// attachment references with what is stored.
func checkStore(t *testing.T, data string, ids map[string]string) {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(data, "eider.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	sig := signal.NewMemory(signal.MemoryOptions{})
	defer func() { _ = sig.Close() }()
	st, err := store.Open(ctx, store.Options{
		URI: "mongodb://embedded/?directConnection=true", Dialer: engine, Signal: sig, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close(ctx) }()
	for _, text := range ids {
		id, err := mail.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		report, err := st.Verify(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			t.Errorf("%s: %s: stored %s, counted %s", text, p.Kind, p.Want, p.Have)
		}
	}
}
