package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// textMessage is an ordinary message of about 10 kB.
func textMessage() []byte {
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

// fileMessage carries attachments of the size.
func fileMessage(size int) []byte {
	raw, err := Build(Compose{
		From: Address{Address: "a@example.com"}, To: []Address{{Address: "b@example.com"}}, Subject: "files", Text: "see files", HTML: "<p>see files</p>",
		Attachments: []ComposeAttachment{{Filename: "a.bin", Data: bytes.Repeat([]byte("0123456789abcdef"), size/16)}, {Filename: "b.pdf", ContentType: "application/pdf", Data: []byte("x")}},
	})
	if err != nil {
		panic(err)
	}
	return raw
}

func BenchmarkParseText10k(b *testing.B) {
	raw := textMessage()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(raw)
	}
}

func BenchmarkParseAlternative(b *testing.B) {
	raw := mustBuild(b, Compose{
		From: Address{Address: "a@example.com"}, Subject: "both", Text: strings.Repeat("Some words of text.\n", 200),
		HTML: "<html><body>" + strings.Repeat("<p>Some <b>words</b> of text.</p>\n", 300) + "</body></html>",
	})
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(raw)
	}
}

func BenchmarkParseFiles(b *testing.B) {
	raw := fileMessage(8 << 20)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(raw)
	}
}

func BenchmarkBlobs(b *testing.B) {
	m := Parse(fileMessage(8 << 20))
	b.SetBytes(m.Size)
	b.ReportAllocs()
	for b.Loop() {
		for _, blob := range m.Blobs() {
			if _, err := io.Copy(io.Discard, blob.Content().Reader); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkRebuild(b *testing.B) {
	m := Parse(fileMessage(8 << 20))
	b.SetBytes(m.Size)
	b.ReportAllocs()
	for b.Loop() {
		if err := Rebuild(io.Discard, m.Root, m.Patch, m.Opener()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBase64(b *testing.B) {
	text := []byte(base64.StdEncoding.EncodeToString(make([]byte, 1<<20)))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, Decode(bytes.NewReader(text), "base64")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHTMLToText(b *testing.B) {
	raw, err := os.ReadFile("testdata/html-lists-tables-quotes.eml")
	if err != nil {
		b.Fatal(err)
	}
	s := strings.Repeat(string(raw), 50)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		HTMLToText(s)
	}
}

func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustBuild(b, Compose{From: Address{Name: "Jürgen", Address: "a@example.com"}, Subject: "hello", Text: "text", HTML: "<p>text</p>"})
	}
}
