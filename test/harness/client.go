package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// Call sends a JSON request to the API with the root token and decodes the
// answer into out, which may be nil. The status is given back as it is.
func (s *Server) Call(ctx context.Context, method, path string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.API+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Access-Token", Token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil || out == nil {
		return res.StatusCode, err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return res.StatusCode, fmt.Errorf("%s %s: %w in %.200s", method, path, err, data)
	}
	return res.StatusCode, nil
}

// AddUser makes an account through the API and gives its id.
func (s *Server) AddUser(tb testing.TB, name, addr, password string) string {
	tb.Helper()
	var out struct{ ID, Error string }
	status, err := s.Call(tb.Context(), http.MethodPost, "/users", map[string]any{
		"username": name, "address": addr, "password": password, "name": strings.ToUpper(name[:1]) + name[1:],
	}, &out)
	if err != nil || status != http.StatusOK || out.ID == "" {
		tb.Fatalf("add user %s: %d %v %s", name, status, err, out.Error)
	}
	return out.ID
}

// Deliver sends a message over SMTP as another host would.
func (s *Server) Deliver(tb testing.TB, from, to, raw string) {
	tb.Helper()
	if err := Send(s.SMTP, from, to, raw); err != nil {
		tb.Fatalf("deliver to %s: %v", to, err)
	}
}

// Send delivers one message over SMTP in clear: the server's certificate is
// self-signed, and a host on the network would not verify it either.
func Send(addr, from, to, raw string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SendMail(from, []string{to}, strings.NewReader(CRLF(raw))); err != nil {
		return err
	}
	return c.Quit()
}

// CRLF makes line ends those of the wire.
func CRLF(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
