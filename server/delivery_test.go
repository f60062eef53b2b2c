package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/server"
)

// TestFromTheSocketToTheStore delivers over both protocols into a real store.
func TestFromTheSocketToTheStore(t *testing.T) {
	env := storetest.New(t)
	s := env.Open(nil)
	bob := user(t, s, "bob", 0)
	full := user(t, s, "full", 10)
	c := config("127.0.0.1:0", "127.0.0.1:0")
	c.Options.Deliver = deliver.New(deliver.Options{Store: s, Signal: env.Signal, Log: slog.New(slog.DiscardHandler)})
	servers, err := server.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := servers.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()

	const text = "From: Ann <ann@elsewhere.example>\r\nTo: bob@example.org\r\nSubject: Привет\r\n\r\nЗдравствуйте\r\n.dot\r\n"
	mx, err := smtp.Dial(servers.SMTP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mx.Close() }()
	if err := mx.SendMail("ann@elsewhere.example", []string{"B.ob+tag@example.org"}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := mx.Mail("ann@elsewhere.example", nil); err != nil {
		t.Fatal(err)
	}
	for rcpt, want := range map[string]smtp.EnhancedCode{"who@example.org": {5, 1, 1}, "a@b.example": {5, 7, 1}} {
		var refused *smtp.SMTPError
		if err := mx.Rcpt(rcpt, nil); !errors.As(err, &refused) || refused.Code != 550 || refused.EnhancedCode != want {
			t.Errorf("%s: %v, want %v", rcpt, err, want)
		}
	}
	if err := mx.Quit(); err != nil {
		t.Error(err)
	}
	head := regexp.MustCompile(`^Delivered-To: B\.ob\+tag@example\.org\r\nReturn-Path: <ann@elsewhere\.example>\r\n` +
		`Received: from localhost \(\[127\.0\.0\.1\]\)\r\n\tby mx\.example\.org \(Eider\) with ESMTP id [0-9a-f]{18}\r\n\tfor <B\.ob\+tag@example\.org>;\r\n\t[^\r]+\r\n`)
	got := inbox(t, s, bob)
	if len(got) != 1 || !head.MatchString(got[0]) || !strings.HasSuffix(got[0], "\r\n"+text) {
		t.Fatalf("bob has %q", got)
	}

	socket, err := net.Dial("tcp", servers.LMTP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	site := smtp.NewClientLMTP(socket)
	defer func() { _ = site.Close() }()
	if err := site.Mail("", nil); err != nil {
		t.Fatal(err)
	}
	for _, rcpt := range []string{"bob@example.org", "full@example.org"} {
		if err := site.Rcpt(rcpt, nil); err != nil {
			t.Fatal(err)
		}
	}
	data, err := site.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(data, text)
	var refused smtp.LMTPDataError
	if errors.As(data.Close(), &refused); len(refused) != 1 || refused["full@example.org"] == nil || refused["full@example.org"].Code != 552 {
		t.Errorf("refused %v", refused)
	}
	if err := site.Quit(); err != nil {
		t.Error(err)
	}
	if n := len(inbox(t, s, bob)); n != 2 {
		t.Errorf("bob has %d messages", n)
	}
	if n := len(inbox(t, s, full)); n != 0 {
		t.Errorf("full has %d messages", n)
	}
	for _, u := range []mail.User{bob, full} {
		if report, err := s.Verify(t.Context(), u.ID); err != nil || !report.OK() {
			t.Errorf("%s: %+v, %v", u.Username, report, err)
		}
	}
}

func user(t *testing.T, s *store.Store, name string, quota int64) mail.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), store.NewUser{Username: name, Address: name + "@example.org", Quota: quota})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func inbox(t *testing.T, s *store.Store, u mail.User) (out []string) {
	t.Helper()
	box, err := s.MailboxByPath(t.Context(), u.ID, mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	uids, err := s.UIDs(t.Context(), u.ID, box.ID, 0, store.ListFilter{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range uids {
		r, _, err := s.Raw(t.Context(), u.ID, box.ID, uid)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(raw))
	}
	return out
}
