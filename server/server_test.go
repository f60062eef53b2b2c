package server_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/server"
	"github.com/eidermail/eider/server/smtpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nobody takes no mail.
type nobody struct{ smtpd.Deliverer }

func (nobody) Resolve(context.Context, string) (deliver.Recipient, error) {
	return deliver.Recipient{}, nil
}

func config(smtp, lmtp string) server.Config {
	return server.Config{SMTP: smtp, LMTP: lmtp, Options: smtpd.Options{
		Deliver: nobody{}, Log: slog.New(slog.DiscardHandler), Hostname: "mx.example.org", MaxMessage: 1 << 20, MaxRecipients: 5,
	}}
}

func TestStartAndStop(t *testing.T) {
	s, err := server.Start(t.Context(), config("127.0.0.1:0", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		s.SMTP.Addr().String(): "220 mx.example.org ESMTP ", s.LMTP.Addr().String(): "220 mx.example.org LMTP ",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%s says %q, %v", addr, line, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	for _, addr := range []net.Addr{s.SMTP.Addr(), s.LMTP.Addr()} {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			_ = c.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

func TestStartOpensAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lmtp := free.Addr().String()
	_ = free.Close()
	_, err = server.Start(t.Context(), config(taken.Addr().String(), lmtp))
	if err == nil || !strings.Contains(err.Error(), "--smtp "+taken.Addr().String()) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v", err)
	}
	l, err := net.Listen("tcp", lmtp)
	if err != nil {
		t.Fatalf("the other listener stayed open: %v", err)
	}
	_ = l.Close()
}

func TestOff(t *testing.T) {
	s, err := server.Start(t.Context(), config("", ""))
	if err != nil || s.SMTP != nil || s.LMTP != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
