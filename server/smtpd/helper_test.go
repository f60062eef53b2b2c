package smtpd_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/server/lmtpd"
	"github.com/eidermail/eider/server/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Deliverer whose recipients are known by their name.
type world struct {
	mu      sync.Mutex
	got     []arrival
	arrived chan struct{}
	// hold, when set, is waited for before a message counts as stored.
	hold chan struct{}
	fail map[string]error
}

func newWorld() *world {
	return &world{arrived: make(chan struct{}, 100), fail: map[string]error{}}
}

func (w *world) Resolve(_ context.Context, rcpt string) (deliver.Recipient, error) {
	at := strings.LastIndexByte(rcpt, '@')
	local, domain := rcpt[:at], rcpt[at+1:]
	u := mail.User{ID: mail.NewID(), Address: rcpt}
	fail := func(code mail.Code, reason string) (deliver.Recipient, error) {
		return deliver.Recipient{}, &mail.Error{Code: code, Reason: reason}
	}
	switch {
	case domain != "example.org" && domain != "уайлддак.орг":
		return fail(mail.CodeNoUser, "relay")
	case local == "nobody":
		return fail(mail.CodeNoUser, "")
	case local == "disabled":
		return fail(mail.CodeDisabled, "")
	case local == "full":
		return fail(mail.CodeOverQuota, "")
	case local == "forward":
		return fail(mail.CodeUnavailable, "forwarding")
	case local == "broken":
		return fail(mail.CodeInternal, "")
	case local == "small":
		u.Quota, u.StorageUsed = 2000, 500
	}
	return deliver.Recipient{Address: rcpt, User: u}, nil
}

func (w *world) Deliver(_ context.Context, m deliver.Delivery) []deliver.Result {
	w.arrived <- struct{}{}
	if w.hold != nil {
		<-w.hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, arrival{m, read(m)})
	out := make([]deliver.Result, len(m.Recipients))
	for i, r := range m.Recipients {
		out[i] = deliver.Result{Recipient: r, Err: w.fail[r.Address]}
	}
	return out
}

// arrival is a message that came; its source is closed when it is answered.
type arrival struct {
	deliver.Delivery
	Raw []byte
}

func read(m deliver.Delivery) []byte {
	raw, err := io.ReadAll(m.Message.Reader())
	if err != nil {
		return []byte("not readable: " + err.Error())
	}
	return raw
}

func (w *world) DeliverAll(ctx context.Context, m deliver.Delivery) error {
	for _, r := range w.Deliver(ctx, m) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (w *world) messages() []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]arrival{}, w.got...)
}

// one gives the only message that came.
func (w *world) one(t *testing.T) arrival {
	t.Helper()
	got := w.messages()
	if len(got) != 1 {
		t.Fatalf("%d messages came, want 1", len(got))
	}
	return got[0]
}

func options(t *testing.T, w *world) smtpd.Options {
	return smtpd.Options{
		Deliver: w, Log: slog.New(slog.DiscardHandler), Hostname: "mx.example.org",
		TLS: certificate(t), MaxMessage: 1 << 20, MaxRecipients: 5,
	}
}

func start(t *testing.T, o smtpd.Options, lmtp bool) *smtpd.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s *smtpd.Server
	if lmtp {
		s = lmtpd.Start(l, o)
	} else {
		s = smtpd.Start(l, o)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

var certificate = func() func(t *testing.T) *tls.Config {
	var once sync.Once
	var c *tls.Config
	return func(t *testing.T) *tls.Config {
		once.Do(func() {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mx.example.org"}}
			der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			c = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		})
		return c
	}
}()

// client is a raw connection that speaks in scripts.
type client struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, s *smtpd.Server) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

// greet dials and says EHLO or LHLO.
func greet(t *testing.T, s *smtpd.Server, verb string) *client {
	t.Helper()
	c := dial(t, s)
	c.expect("220 ")
	c.send(verb + " client.example.net\r\n")
	c.expect("250 ")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.c.Write([]byte(text)); err != nil {
		c.t.Fatalf("send %q: %v", text, err)
	}
}

// reply reads one whole reply and gives its last line, and all lines.
func (c *client) reply() (last, all string) {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a reply: %q, %v", line, err)
		}
		all += line
		if len(line) < 4 || line[3] != '-' {
			return line, all
		}
	}
}

// expect reads one reply that begins with the text.
func (c *client) expect(prefix string) string {
	c.t.Helper()
	last, all := c.reply()
	if !strings.HasPrefix(last, prefix) {
		c.t.Fatalf("got %q, want %q", last, prefix)
	}
	return all
}

// say sends a command and expects a reply.
func (c *client) say(command, prefix string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.expect(prefix)
}

// expectEnd reads until the server closes and gives what it said.
func (c *client) expectEnd() string {
	c.t.Helper()
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Fatalf("the connection stays open after %q", all.String())
			}
			return all.String()
		}
	}
}

// upgrade runs STARTTLS.
func (c *client) upgrade() {
	c.t.Helper()
	c.say("STARTTLS", "220 ")
	c.handshake()
}

func (c *client) handshake() {
	c.t.Helper()
	t := tls.Client(c.c, &tls.Config{InsecureSkipVerify: true})
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.c, c.r = t, bufio.NewReader(t)
}

// open begins a transaction for the recipient and goes on to DATA.
func (c *client) open(rcpt string) {
	c.t.Helper()
	c.say("MAIL FROM:<a@sender.example>", "250 ")
	c.say("RCPT TO:<"+rcpt+">", "250 ")
	c.say("DATA", "354 ")
}
