// Package beside runs WildDuck and Eider on one database and one Redis, as an
// operator does who moves from one to the other. ./run fetches WildDuck.
package beside

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	password = "seven calm eiders drift north"
	// patience bounds the wait for anything.
	patience = 60 * time.Second
)

// pair is both programs on one database.
type pair struct {
	t     *testing.T
	eider *harness.Server
	// wildduck's listeners.
	api, lmtp, imap string
}

// start runs Redis, Eider on the embedded store with its port for tools, and
// WildDuck on that port; or both on the MongoDB that EIDER_TEST_MONGO names.
func start(t *testing.T) *pair {
	t.Helper()
	root := os.Getenv("EIDER_TEST_BESIDE")
	if root == "" {
		t.Skip("WildDuck is not here; `make conformance` fetches it")
	}
	redisPort := freePort(t)
	background(t, "redis-server", nil, "", "--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	waitPort(t, redisPort)
	t.Setenv("EIDER_TEST_REDIS", "redis://127.0.0.1:"+redisPort+"/3")
	p := &pair{t: t, api: "127.0.0.1:" + freePort(t), lmtp: "127.0.0.1:" + freePort(t), imap: "127.0.0.1:" + freePort(t)}
	data := t.TempDir()
	mongo := os.Getenv("EIDER_TEST_MONGO")
	if mongo == "" {
		p.eider = harness.Start(t, data, "--docstore-listen", "127.0.0.1:0")
		mongo = "mongodb://" + p.eider.Docstore + "/wildduck?directConnection=true"
	} else {
		p.eider = harness.Start(t, data)
		mongo = strings.TrimSuffix(mongo, "/") + "/eider-test-" + filepath.Base(data)
	}
	setting := map[string]string{
		"dbs_mongo": mongo, "dbs_redis_host": "127.0.0.1", "dbs_redis_port": redisPort, "api_host": "127.0.0.1", "api_port": port(p.api),
		"lmtp_enabled": "true", "lmtp_host": "127.0.0.1", "lmtp_port": port(p.lmtp), "imap_host": "127.0.0.1", "imap_port": port(p.imap),
		"imap_secure": "false", "imap_ignoreSTARTTLS": "true", "pop3_enabled": "false", "webhooks_enabled": "false", "acme_enabled": "false",
		"indexer_enabled": "false", "mcp_enabled": "false",
	}
	env := os.Environ()
	for name, value := range setting {
		env = append(env, "APPCONF_"+name+"="+value)
	}
	preload, err := filepath.Abs("node20.js")
	if err != nil {
		t.Fatal(err)
	}
	background(t, "node", env, root, "-r", preload, "server.js")
	for _, address := range []string{p.api, p.lmtp, p.imap} {
		waitPort(t, port(address))
	}
	return p
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return port(l.Addr().String())
}

// background runs a program until the test's end and shows what it said when
// the test failed.
func background(t *testing.T, name string, env []string, dir string, args ...string) {
	t.Helper()
	// It is ended by the cleanup, after the test's context.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	var said lockedBuffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			text := said.String()
			t.Logf("%s said:\n%s", name, text[max(0, len(text)-8000):])
		}
	})
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func waitPort(t *testing.T, port string) {
	t.Helper()
	eventually(t, "port "+port+" answers", func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// call asks one of the two APIs and decodes the answer, which must be a success.
func (p *pair) call(base, method, path string, in, out any) {
	p.t.Helper()
	data := p.raw(base, method, path, in)
	if out == nil {
		return
	}
	if err := json.Unmarshal(data, out); err != nil {
		p.t.Fatalf("%s %s: %v in %.300s", method, path, err, data)
	}
}

func (p *pair) raw(base, method, path string, in any) []byte {
	p.t.Helper()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			p.t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.authorize(req)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s at %s: %d %v %.500s", method, path, base, res.StatusCode, err, data)
	}
	return data
}

// authorize adds Eider's token. WildDuck, which asks for none, refuses one that
// it does not know.
func (p *pair) authorize(req *http.Request) {
	if req.URL.Host == p.eider.API {
		req.Header.Set("X-Access-Token", harness.Token)
	}
}

// person is an account.
type person struct{ id, name, address string }

// add makes an account at one of the two.
func (p *pair) add(base, name string) person {
	p.t.Helper()
	var out struct{ ID string }
	address := name + "@example.org"
	p.call(base, http.MethodPost, "/users", map[string]any{"username": name, "password": password, "address": address, "name": strings.ToUpper(name)}, &out)
	return person{out.ID, name, address}
}

// box is a mailbox with its counters.
type box struct {
	ID, Path      string
	Total, Unseen int
	ModifyIndex   int
}

func (p *pair) boxes(base string, who person) []box {
	p.t.Helper()
	var out struct{ Results []box }
	p.call(base, http.MethodGet, "/users/"+who.id+"/mailboxes?counters=true", nil, &out)
	return out.Results
}

func (p *pair) box(base string, who person, path string) box {
	p.t.Helper()
	for _, b := range p.boxes(base, who) {
		if b.Path == path {
			return b
		}
	}
	p.t.Fatalf("no mailbox %s at %s", path, base)
	return box{}
}

// deliver hands a message to an LMTP listener.
func deliver(ctx context.Context, address, to, raw string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer func() { _ = c.Close() }()
	if err := c.Mail("sender@elsewhere.example", nil); err != nil {
		return err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, harness.CRLF(raw)); err != nil {
		return err
	}
	return w.Close()
}

func letter(subject string) string {
	return "From: Else Where <mail@elsewhere.example>\nTo: someone@example.org\nSubject: " + subject + "\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") +
		"@elsewhere.example>\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nAbout " + subject + ".\n"
}

// dial signs in to WildDuck's IMAP.
func (p *pair) dial(who person) *imapclient.Client {
	p.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.imap)
	if err != nil {
		p.t.Fatal(err)
	}
	c := imapclient.New(conn, nil)
	p.t.Cleanup(func() { _ = c.Close() })
	if err := c.Login(who.name, password).Wait(); err != nil {
		p.t.Fatalf("IMAP login: %v", err)
	}
	return c
}

// fsck has Eider prove the numbers of all accounts, beside the running servers.
func (p *pair) fsck() {
	p.t.Helper()
	out, err := p.runFsck()
	for line := range strings.Lines(out) {
		if strings.Contains(line, `"event":"problem"`) {
			p.t.Errorf("fsck: %s", line)
		}
	}
	if err != nil {
		p.t.Errorf("fsck: %v\n%s", err, out)
	}
}

// repair has it mend them; there must be something to mend.
func (p *pair) repair() {
	p.t.Helper()
	if out, _ := p.runFsck("--repair"); !strings.Contains(out, `"mended":true`) {
		p.t.Errorf("fsck mended nothing:\n%s", out)
	}
}

func (p *pair) runFsck(flags ...string) (string, error) {
	p.t.Helper()
	bin, err := harness.Binary()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := exec.CommandContext(p.t.Context(), bin, append([]string{"fsck", "--data", p.eider.Data, "--json", "--from-start"}, flags...)...).Output()
	return string(out), err
}

// counter counts distinct numbers.
type counter struct {
	mu   sync.Mutex
	seen map[int]bool
}

func newCounter() *counter { return &counter{seen: map[int]bool{}} }

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[n] = true
}

// missing lists the numbers up to n that were not seen.
func (c *counter) missing(n int) (out []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i <= n; i++ {
		if !c.seen[i] {
			out = append(out, i)
		}
	}
	return out
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// eachLine reads a stream to its end.
func eachLine(r io.Reader, do func(string)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		do(lines.Text())
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func path(format string, args ...any) string { return fmt.Sprintf(format, args...) }
