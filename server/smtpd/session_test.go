package smtpd_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
)

func TestCapabilities(t *testing.T) {
	s := start(t, options(t, newWorld()), false)
	c := dial(t, s)
	c.expect("220 mx.example.org ")
	all := c.say("EHLO client.example.net", "250 ")
	for _, want := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "STARTTLS", "ENHANCEDSTATUSCODES", "SIZE 1048576"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not offered in %q", want, all)
		}
	}
	if strings.Contains(all, "AUTH") {
		t.Errorf("AUTH is offered to other hosts: %q", all)
	}
	c.upgrade()
	if all := c.say("EHLO client.example.net", "250 "); strings.Contains(all, "STARTTLS") || strings.Contains(all, "AUTH") {
		t.Errorf("inside TLS: %q", all)
	}
}

func TestRecipientAnswers(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		verb := map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]
		s := start(t, options(t, newWorld()), lmtp)
		for _, c := range []struct{ rcpt, want string }{
			{"alice@example.org", "250 2.0.0"},
			{"Postmaster@example.org", "250 2.0.0"},
			{"nobody@example.org", "550 5.1.1"},
			{"alice@elsewhere.example", "550 5.7.1"},
			// The library takes the quotation marks away; what was one local-part
			// stays one.
			{`"alice@elsewhere.example"@example.org`, "250 2.0.0"},
			{`"alice@example.org"@elsewhere.example`, "550 5.7.1"},
			{"disabled@example.org", "550 5.2.1"},
			{"full@example.org", "452 4.2.2"},
			{"forward@example.org", "451 4.3.5"},
			{"broken@example.org", "451 4.3.0"},
			{"a..b@-.example", "553 5.1.3"},
			{`"john doe"@example.org`, "250 2.0.0"},
			{"андрис@уайлддак.орг", "553 5.6.7"},
		} {
			k := greet(t, s, verb)
			k.say("MAIL FROM:<a@sender.example>", "250 ")
			k.say("RCPT TO:<"+c.rcpt+">", c.want)
		}
	}
}

func TestSenders(t *testing.T) {
	s := start(t, options(t, newWorld()), false)
	for from, want := range map[string]string{
		"": "250 ", "a@b.example": "250 ", `"a b"@c.example`: "250 ", "a.@c.example": "250 ",
		"a@[192.0.2.1]": "250 ", "a@b\x01.example": "553 5.1.7", "a\x00@b.example": "553 5.1.7",
		"ä@b.example": "553 5.6.7", "no-domain": "501 ",
	} {
		greet(t, s, "EHLO").say("MAIL FROM:<"+from+">", want)
	}
	c := greet(t, s, "EHLO")
	c.say("MAIL FROM:<a@b.example>", "250 ")
	c.say("MAIL FROM:<c@b.example>", "503 5.5.1")
}

func TestSize(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	c := greet(t, s, "EHLO")
	c.say("MAIL FROM:<> SIZE=1048577", "552 5.3.4")
	c.say("MAIL FROM:<> SIZE=1800", "250 ")
	c.say("RCPT TO:<small@example.org>", "452 4.2.2")
	c.say("RSET", "250 ")
	c.say("MAIL FROM:<> SIZE=2001", "250 ")
	c.say("RCPT TO:<small@example.org>", "552 5.2.2")
	c.say("RSET", "250 ")

	// Nothing announced: it is counted, for a mailbox and for the server.
	c.open("small@example.org")
	c.send("X: y\r\n\r\n" + strings.Repeat("0123456789\r\n", 200) + ".\r\n")
	c.expect("552 5.2.2")
	c.open("alice@example.org")
	c.send("X: y\r\n\r\n" + strings.Repeat(strings.Repeat("x", 98)+"\r\n", 11000) + ".\r\n")
	c.expect("552 5.3.4")
	if n := len(w.messages()); n != 0 {
		t.Fatalf("%d messages came", n)
	}
	// The connection is still good.
	c.open("alice@example.org")
	c.send("X: y\r\n\r\n.\r\n")
	c.expect("250 ")
	w.one(t)
}

func TestChunks(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	c := greet(t, s, "EHLO")
	// The last line is longer than a command may be.
	body := "Subject: x\r\n\r\n.\r\n..\r\n" + strings.Repeat("y", 9000) + "\r\n"
	c.send("MAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@example.org>\r\n" +
		fmt.Sprintf("BDAT 20\r\n%sBDAT 0\r\nBDAT %d LAST\r\n%sNOOP\r\n", body[:20], len(body)-20, body[20:]))
	for _, want := range []string{"250 2.0.0 Roger", "250 ", "250 2.0.0 Continue", "250 2.0.0 Continue", "250 2.0.0 OK", "250 2.0.0 I have"} {
		c.expect(want)
	}
	if got := w.one(t); !strings.HasSuffix(string(got.Raw), ";\r\n\t"+dateOf(got.Raw)+"\r\n"+body) {
		t.Errorf("came %.300q", got.Raw)
	}
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<alice@example.org>", "250 ")
	c.send("BDAT 2000000 LAST\r\n" + strings.Repeat("x", 2000000))
	c.expect("552 5.3.4")
	c.say("NOOP", "250 ")
}

func TestAbandonedChunksAreNoMessage(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	c := greet(t, s, "EHLO")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<alice@example.org>", "250 ")
	c.send("BDAT 3\r\na\r\n")
	c.expect("250 ")
	// The library mixes up what becomes of this message and of the next one.
	c.say("RSET", "421 4.5.0")
	c.expectEnd()
	c = greet(t, s, "EHLO")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<alice@example.org>", "250 ")
	c.send("BDAT 0\r\n")
	c.expect("250 ")
	_ = c.c.Close()
	if len(w.messages()) != 0 {
		t.Error("half a message was delivered")
	}
}

// dateOf is the date at the end of our Received field.
func dateOf(raw []byte) string {
	m := regexp.MustCompile(`(?s)^Received: .*?;\r\n\t([^\r]*)\r\n`).FindSubmatch(raw)
	if m == nil {
		return "none"
	}
	return string(m[1])
}

func TestReceivedField(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	const text = "X: y\r\n\r\n.\r\n"
	last := func() string { got := w.messages(); return string(got[len(got)-1].Raw) }
	check := func(want string) {
		t.Helper()
		if !regexp.MustCompile(want).MatchString(last()) {
			t.Errorf("%q does not match %q", last(), want)
		}
	}
	c := dial(t, s)
	c.expect("220 ")
	c.say("HELO [192.0.2.1]", "250 ")
	c.open("alice@example.org")
	c.send(text)
	c.expect("250 ")
	check(`^Received: from \[192\.0\.2\.1\] \(\[127\.0\.0\.1\]\)\r\n\tby mx\.example\.org \(Eider\) with SMTP id [0-9a-f]{18}\r\n\tfor <alice@example\.org>;\r\n\t\w{3}, [^\r]*\r\nX: y\r\n`)

	c.say("EHLO evil(;)\x01", "250 ")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<alice@example.org>", "250 ")
	c.say("RCPT TO:<bob@example.org>", "250 ")
	c.say("DATA", "354 ")
	c.send(text)
	c.expect("250 ")
	check(`(?s)^Received: from evil\?\?\?\? .* with ESMTP id [0-9a-f]{18};\r\n`)

	c.upgrade()
	c.say("EHLO client.example.net", "250 ")
	c.say("MAIL FROM:<андрис@уайлддак.орг> SMTPUTF8 BODY=8BITMIME", "250 ")
	c.say("RCPT TO:<андрис@уайлддак.орг>", "250 ")
	c.say("DATA", "354 ")
	c.send(text)
	c.expect("250 ")
	check(`with UTF8SMTPS id [0-9a-f]{18}\r\n\tfor <андрис@уайлддак\.орг>\r\n\ttls TLS_\w+ \(TLS 1\.3\);`)
	got := w.messages()[2]
	if got.ReversePath != "андрис@уайлддак.орг" || got.TLSCipher == "" || got.TransType != "UTF8SMTPS" || got.RemoteIP != "127.0.0.1" || got.Helo != "client.example.net" {
		t.Errorf("delivery: %+v", got)
	}
}

func TestLibraryClient(t *testing.T) {
	w := newWorld()
	s := start(t, options(t, w), false)
	c, err := smtp.Dial(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	body := "Subject: dots\r\n\r\n.leading\r\n..two\r\nend\r\n"
	if err := c.SendMail("a@sender.example", []string{"alice@example.org", "bob@example.org"}, strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	got := w.one(t)
	if !strings.HasSuffix(string(got.Raw), body) || len(got.Recipients) != 2 {
		t.Errorf("came %q for %v", got.Raw, got.Recipients)
	}
}

func TestLMTPAnswersForEachRecipient(t *testing.T) {
	w := newWorld()
	w.fail["full-later@example.org"] = &mail.Error{Code: mail.CodeOverQuota}
	w.fail["gone@example.org"] = &mail.Error{Code: mail.CodeNoUser}
	w.fail["loop@example.org"] = &mail.Error{Code: mail.CodeInvalid, Reason: "loop"}
	s := start(t, options(t, w), true)
	for _, chunked := range []bool{false, true} {
		c := greet(t, s, "LHLO")
		c.say("MAIL FROM:<a@sender.example>", "250 ")
		c.say("RCPT TO:<alice@example.org>", "250 ")
		c.say("RCPT TO:<nobody@example.org>", "550 5.1.1")
		c.say("RCPT TO:<full-later@example.org>", "250 ")
		c.say("RCPT TO:<gone@example.org>", "250 ")
		c.say("RCPT TO:<loop@example.org>", "250 ")
		c.say("RCPT TO:<alice@example.org>", "250 ")
		if chunked {
			c.send("BDAT 8 LAST\r\nX: y\r\n\r\n")
		} else {
			c.say("DATA", "354 ")
			c.send("X: y\r\n\r\n.\r\n")
		}
		for _, want := range []string{
			"250 2.0.0 <alice@example.org>", "452 4.2.2 <full-later@", "550 5.1.1 <gone@", "554 5.4.6 <loop@", "250 2.0.0 <alice@",
		} {
			c.expect(want)
		}
		c.say("NOOP", "250 ")
	}
	if got := w.messages()[0]; got.TransType != "LMTP" || strings.Contains(string(got.Raw), "for <") {
		t.Errorf("delivery %+v", got)
	}
}

func TestWrongGreeting(t *testing.T) {
	c := dial(t, start(t, options(t, newWorld()), true))
	c.expect("220 ")
	c.say("EHLO x", "500 ")
	c = dial(t, start(t, options(t, newWorld()), false))
	c.expect("220 ")
	c.say("LHLO x", "500 ")
	c.say("MAIL FROM:<>", "502 5.5.1")
}
