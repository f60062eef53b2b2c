package script

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/eidermail/eider/test/harness"
)

// dialog is a mail session, line by line.
type dialog struct {
	conn net.Conn
	in   *bufio.Reader
}

func (d *dialog) close() { _ = d.conn.Close() }

// reply reads one reply; RFC 5321 4.2.1: "-" behind the code says that more
// lines follow.
func (d *dialog) reply() (string, error) {
	if err := d.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	var text strings.Builder
	for {
		line, err := d.in.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			return text.String(), err
		}
		if len(line) < 4 || line[3] != '-' {
			return text.String(), nil
		}
	}
}

func dial(ts *testscript.TestScript, w *world, args []string) {
	c, err := net.DialTimeout("tcp", args[0], patience)
	ts.Check(err)
	if w.mail != nil {
		w.mail.close()
	}
	w.mail = &dialog{conn: c, in: bufio.NewReader(c)}
}

func send(ts *testscript.TestScript, w *world, args []string) {
	_, err := io.WriteString(w.mail.conn, args[0]+"\r\n")
	ts.Check(err)
}

func expect(ts *testscript.TestScript, w *world, args []string) {
	text, err := w.mail.reply()
	if ok, matchErr := regexp.MatchString("(?s)"+args[0], text); matchErr != nil || !ok {
		ts.Fatalf("reply %q (%v), want %s", text, err, args[0])
	}
}

func startTLS(ts *testscript.TestScript, w *world, args []string) {
	// The certificate is self-signed, and the script compares it itself.
	c := tls.Client(w.mail.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	ts.Check(c.Handshake())
	w.mail = &dialog{conn: c, in: bufio.NewReader(c)}
	sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw)
	ts.Setenv(args[0], hex.EncodeToString(sum[:]))
}

func deliver(ts *testscript.TestScript, _ *world, args []string) {
	ts.Check(harness.Send(args[0], args[1], args[2], ts.ReadFile(args[3])))
}

func client() *http.Client {
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch makes a request with the script's token.
func fetch(ts *testscript.TestScript, method, url, body string) (int, []byte) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	if t := ts.Getenv("TOKEN"); t != "" {
		req.Header.Set("X-Access-Token", t)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client().Do(req)
	ts.Check(err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	ts.Check(err)
	return res.StatusCode, data
}

func request(ts *testscript.TestScript, _ *world, args []string) {
	body := ""
	if len(args) == 4 {
		body = args[3]
	}
	status, data := fetch(ts, args[1], args[2], body)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s %s: status %d: %.500s", args[1], args[2], status, data)
	}
	_, err := ts.Stdout().Write(data)
	ts.Check(err)
}

func inbox(ts *testscript.TestScript, _ *world, args []string) {
	base := "http://" + ts.Getenv("API") + "/users/" + args[0] + "/mailboxes"
	var boxes struct {
		Results []struct {
			ID, Path      string
			Total, Unseen int
		}
	}
	get(ts, base+"?counters=true", &boxes)
	for _, b := range boxes.Results {
		if b.Path != "INBOX" {
			continue
		}
		_, _ = fmt.Fprintf(ts.Stdout(), "total %d unseen %d\n", b.Total, b.Unseen)
		var page struct{ Results []struct{ Subject string } }
		get(ts, base+"/"+b.ID+"/messages?limit=250", &page)
		for _, m := range page.Results {
			_, _ = fmt.Fprintln(ts.Stdout(), m.Subject)
		}
	}
}

func get(ts *testscript.TestScript, url string, out any) {
	status, data := fetch(ts, http.MethodGet, url, "")
	if status != http.StatusOK {
		ts.Fatalf("GET %s: %d: %.500s", url, status, data)
	}
	ts.Check(json.Unmarshal(data, out))
}

func openEvents(ts *testscript.TestScript, w *world, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	ts.Check(err)
	req.Header.Set("X-Access-Token", ts.Getenv("TOKEN"))
	res, err := client().Do(req)
	if err != nil {
		cancel()
		ts.Fatalf("%v", err)
	}
	w.events, w.seen = newLines(), 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.events.read(res.Body)
	}()
	w.closes = append(w.closes, func() {
		cancel()
		_ = res.Body.Close()
		<-done
	})
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("GET %s: %d", args[0], res.StatusCode)
	}
}

func event(ts *testscript.TestScript, w *world, args []string) {
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	line, at, err := w.events.await(w.seen, re)
	if err != nil {
		ts.Fatalf("event %s: %v\n%s", args[0], err, w.events.text())
	}
	w.seen = at + 1
	_, _ = fmt.Fprintln(ts.Stdout(), line)
}

func makeCert(ts *testscript.TestScript, _ *world, args []string) {
	cert, key, err := newCert()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), cert, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), key, 0o600))
}

func newCert() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, private.Public(), private)
	keyDER, keyErr := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), errors.Join(err, keyErr)
}
