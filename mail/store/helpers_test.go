package store_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newUser(t testing.TB, s *store.Store, name string) mail.User {
	t.Helper()
	if storetest.Shared() != "" {
		name += mail.NewID().String()
	}
	return must(s.CreateUser(context.Background(), store.NewUser{Username: name, Name: name, Address: name + "@example.com"}))(t)
}

func inbox(t testing.TB, s *store.Store, user mail.ID) mail.Mailbox {
	t.Helper()
	return must(s.MailboxByPath(context.Background(), user, mail.Inbox))(t)
}

func byUse(t testing.TB, s *store.Store, user mail.ID, use mail.SpecialUse) mail.Mailbox {
	t.Helper()
	return must(s.MailboxByUse(context.Background(), user, use, true))(t)
}

func textMessage(n int) *message.Message {
	return message.Parse([]byte(fmt.Sprintf("From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: number %d\r\n"+
		"Message-ID: <%d@example.com>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText %d.\r\n", n, n, n)))
}

// fileMessage has one attachment with the given content.
func fileMessage(n int, content string) *message.Message {
	return message.Parse([]byte(fmt.Sprintf("From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: file %d\r\n"+
		"Message-ID: <f%d@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"+
		"--b\r\nContent-Type: text/plain\r\n\r\nsee file\r\n--b\r\nContent-Type: application/octet-stream; name=\"f.bin\"\r\n"+
		"Content-Disposition: attachment; filename=\"f.bin\"\r\n\r\n%s\r\n--b--\r\n", n, n, content)))
}

func appendTo(t testing.TB, s *store.Store, user, mailbox mail.ID, m *message.Message, flags ...mail.Flag) store.Appended {
	t.Helper()
	return must(s.Append(context.Background(), store.Append{User: user, Mailbox: mailbox, Message: m, Flags: flags}))(t)
}

func readAll(t testing.TB, r io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantCode(t testing.TB, err error, code mail.Code) {
	t.Helper()
	if !mail.IsCode(err, code) {
		t.Fatalf("error %v, want code %v", err, code)
	}
}

// wantClean verifies an account and the attachment references of all.
func wantClean(t testing.TB, s *store.Store, users ...mail.ID) {
	t.Helper()
	for _, u := range users {
		if r := must(s.Verify(context.Background(), u))(t); !r.OK() {
			t.Fatalf("account differs: %+v", r.Problems[:min(len(r.Problems), 5)])
		}
	}
	if storetest.Shared() != "" {
		return // others write, and references are counted over all accounts
	}
	if r := must(s.VerifyAttachments(context.Background(), false))(t); !r.OK() {
		t.Fatalf("attachments differ: %+v", r.Problems[:min(len(r.Problems), 5)])
	}
}

func mustAddress(t testing.TB, s string) address.Address {
	t.Helper()
	return must(address.Parse(s))(t)
}

func uidsOf(list []mail.Message) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%d ", m.UID)
	}
	return strings.TrimSpace(b.String())
}

// mustWildcard makes an address that may hold a star, which Parse refuses in
// a domain.
func mustWildcard(t testing.TB, s string) address.Address {
	t.Helper()
	local, domain, _ := strings.Cut(s, "@")
	if a, err := address.Parse(s); err == nil {
		return a
	}
	return address.Address{Local: local, Domain: domain}
}
