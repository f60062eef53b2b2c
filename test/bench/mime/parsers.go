package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	emersion "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // charsets, as the others have
	emersionmail "github.com/emersion/go-message/mail"
	"github.com/jhillyerd/enmime"

	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/message/messagetest"
)

func bombsOf(size int) []messagetest.Bomb { return messagetest.Bombs(size) }

// eider makes all that is stored: tree, text, intro, hashes, patch.
func eider(raw []byte) error {
	if m := message.Parse(raw); m.Root == nil {
		return errors.New("no tree")
	}
	return nil
}

// standard takes a message apart as far as Go's packages go: addresses, date,
// subject, and each part decoded; texts become strings, as a reader needs them.
func standard(raw []byte) error {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	words := mime.WordDecoder{}
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		_, _ = m.Header.AddressList(name)
	}
	_, _ = m.Header.Date()
	_, _ = words.DecodeHeader(m.Header.Get("Subject"))
	return standardPart(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
}

func standardPart(contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err == nil && strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := standardPart(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	return take(kind, body)
}

// take reads a part: a text as a string, and a file past a hash, by which it
// would be stored.
func take(kind string, body io.Reader) error {
	if kind == "" || strings.HasPrefix(kind, "text/") {
		var text strings.Builder
		_, err := io.Copy(&text, body)
		return err
	}
	_, err := io.Copy(sha256.New(), body)
	return err
}

func goMessage(raw []byte) error {
	e, err := emersion.Read(bytes.NewReader(raw))
	if err != nil && !emersion.IsUnknownCharset(err) {
		return err
	}
	h := emersionmail.Header{Header: e.Header}
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		_, _ = h.AddressList(name)
	}
	_, _ = h.Date()
	_, _ = h.Subject()
	return e.Walk(func(_ []int, e *emersion.Entity, err error) error {
		if err != nil && !emersion.IsUnknownCharset(err) {
			return err
		}
		if e.MultipartReader() != nil {
			return nil
		}
		kind, _, _ := e.Header.ContentType()
		return take(kind, e.Body)
	})
}

func enmimeRead(raw []byte) error {
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		_, _ = e.AddressList(name)
	}
	for _, a := range e.Attachments {
		_ = sha256.Sum256(a.Content)
	}
	return nil
}

type sample struct {
	name, goal string
	raw        []byte
}

func messages() []sample {
	return []sample{
		{"a text of 10 kB", "goal ≤ 60 µs", text()},
		{"text and HTML", "", build(message.Compose{Text: strings.Repeat("Some words of text.\n", 200), HTML: page(300)})},
		{"a newsletter", "", build(message.Compose{Text: "See the HTML.", HTML: page(3000)})},
		{"files of 8 MB", "goal ≥ 300 MB/s", build(message.Compose{Text: "See the files.", Attachments: []message.ComposeAttachment{
			{Filename: "a.bin", Data: bytes.Repeat([]byte("0123456789abcdef"), 512<<10)}, {Filename: "b.pdf", ContentType: "application/pdf", Data: []byte("x")},
		}})},
		{"fifty small files", "", build(message.Compose{Text: "See the files.", Attachments: small(50)})},
	}
}

func small(n int) []message.ComposeAttachment {
	out := make([]message.ComposeAttachment, n)
	for i := range out {
		out[i] = message.ComposeAttachment{Filename: fmt.Sprintf("%d.bin", i), Data: bytes.Repeat([]byte{byte(i)}, 10_000)}
	}
	return out
}

func page(paragraphs int) string {
	return "<html><body>" + strings.Repeat("<p>Some <b>words</b> of text.</p>\n", paragraphs) + "</body></html>"
}

func build(c message.Compose) []byte {
	c.From, c.To, c.Subject = message.Address{Name: "Jürgen", Address: "j@example.com"}, []message.Address{{Address: "b@example.com"}}, "files"
	raw, err := message.Build(c)
	if err != nil {
		panic(err)
	}
	return raw
}

// text is a message as it comes from a mailing list.
func text() []byte {
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, "Received: from mx%d.example.com (mx%d.example.com [192.0.2.%d])\r\n\tby mail.example.org with ESMTPS id abc%d;\r\n\tTue, 3 Mar 2026 10:20:30 +0100\r\n", i, i, i, i)
	}
	b.WriteString("From: =?utf-8?Q?J=C3=BCrgen?= <j@example.com>\r\nTo: Ann <ann@example.org>, bob@example.org\r\nSubject: A plain message\r\n" +
		"Date: Tue, 3 Mar 2026 10:20:30 +0100\r\nMessage-ID: <1@example.com>\r\nReferences: <2@example.com> <3@example.com>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	for b.Len() < 10_000 {
		b.WriteString("The quick brown fox jumps over the lazy dog, and then it does so again.\r\n")
	}
	return []byte(b.String())
}
