package message

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustBuild(tb testing.TB, c Compose) []byte {
	tb.Helper()
	raw, err := Build(c)
	if err != nil {
		tb.Fatalf("Build: %v", err)
	}
	checkWire(tb, raw)
	return raw
}

// checkWire: CRLF only, lines that SMTP takes, no NUL.
func checkWire(tb interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte,
) {
	tb.Helper()
	if bytes.Count(raw, []byte("\n")) != bytes.Count(raw, crlf) || bytes.Count(raw, []byte("\r")) != bytes.Count(raw, crlf) {
		tb.Fatalf("line ends that are not CRLF in\n%q", raw)
	}
	for line := range bytes.Lines(raw) {
		if len(line) > maxLineLen+2 {
			tb.Fatalf("line of %d bytes", len(line))
		}
	}
}

func TestBuildWhole(t *testing.T) {
	t.Parallel()
	pdf := bytes.Repeat([]byte("%PDF"), 100)
	raw := mustBuild(t, Compose{
		From: Address{Name: "Jürgen Müller", Address: "j@bücher.example"},
		To:   []Address{{Name: "Doe, John", Address: "john@example.com"}, {Address: "x@example.org"}},
		Bcc:  []Address{{Address: "secret@example.com"}}, Subject: "Привет — тема, которая длиннее одной строки заголовка и потому складывается",
		Text: "Grüße\nzweite Zeile", HTML: `<p>Grüße <img src="cid:pic"></p>`,
		InReplyTo: "a@b", References: []string{"<r1@b>", "a@b"}, Date: time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC),
		Headers: []HeaderField{{"X-Mailer", "Eider"}, {"Auto-Submitted", "auto-replied"}},
		Attachments: []ComposeAttachment{
			{Filename: "图.png", ContentType: "image/png", ContentID: "pic", Inline: true, Data: []byte{1, 2, 3}},
			{Filename: "Отчёт за второй квартал две тысячи двадцать шестого года.pdf", ContentType: "application/pdf", Data: pdf},
			{Filename: "a.txt", Data: nil},
		},
	})
	if !isASCII(string(raw)) || bytes.Contains(raw, []byte("secret")) {
		t.Errorf("not ASCII, or Bcc shown:\n%s", raw)
	}
	m := Parse(raw)
	if len(m.Defects) > 0 || m.Patch != nil {
		t.Errorf("defects %q, patch %x", m.Defects, m.Patch)
	}
	if m.From[0].Name != "Jürgen Müller" || m.From[0].Address != "j@xn--bcher-kva.example" {
		t.Errorf("from %+v", m.From)
	}
	if diff := cmp.Diff([]string{"Doe, John", "", "Привет — тема, которая длиннее одной строки заголовка и потому складывается", "<a@b>", "<r1@b> <a@b>", "Grüße\r\nzweite Zeile"},
		[]string{m.To[0].Name, m.To[1].Name, m.Subject, m.InReplyTo, strings.Join(m.References, " "), m.Text}); diff != "" {
		t.Error(diff)
	}
	if len(m.HTML) != 1 || !strings.Contains(m.HTML[0], "attachment:ATT00001") {
		t.Errorf("html %q", m.HTML)
	}
	var names []string
	for _, a := range m.Attachments {
		names = append(names, a.Filename)
	}
	if diff := cmp.Diff([]string{"图.png", "Отчёт за второй квартал две тысячи двадцать шестого года.pdf"}, names); diff != "" {
		t.Error(diff)
	}
	if data, c := blobData(t, &m.Blobs()[1]); !bytes.Equal(data, pdf) || !c.Decoded {
		t.Errorf("attachment %+v", c)
	}
	if got := m.Root.Children[0].ContentType().FullType() + " " + m.Root.Children[0].Children[1].ContentType().FullType(); got != "multipart/alternative multipart/related" {
		t.Error(got)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	from := Address{Address: "a@example.com"}
	for name, c := range map[string]Compose{
		"address with line break": {From: from, To: []Address{{Address: "a@example.com\r\nBcc: x@example.com"}}},
		"address with space":      {From: from, To: []Address{{Address: "a@example.com, b@example.com"}}},
		"address without domain":  {From: from, To: []Address{{Address: "nobody"}}},
		"field name":              {From: from, Headers: []HeaderField{{"X: y\r\nBcc", "x"}}},
		"own field":               {From: from, Headers: []HeaderField{{"Subject", "x"}}},
		"content field":           {From: from, Headers: []HeaderField{{"Content-Type", "x"}}},
		"content type":            {From: from, Attachments: []ComposeAttachment{{ContentType: "text/plain\r\nX: y"}, {ContentType: "a b/c"}}},
	} {
		if raw, err := Build(c); !errors.Is(err, ErrCompose) && !bytes.Contains(raw, []byte("Content-Type: text/plain;")) {
			t.Errorf("%s: %v\n%s", name, err, raw)
		}
	}
}

func TestBuildUTF8Address(t *testing.T) {
	t.Parallel()
	raw := mustBuild(t, Compose{From: Address{Address: "иван@пример.рф"}, Subject: "ß"})
	if !bytes.Contains(raw, []byte("From: иван@пример.рф\r\n")) {
		t.Errorf("%s", raw)
	}
	raw = mustBuild(t, Compose{From: Address{Address: "ivan@пример.рф"}, To: []Address{{Name: "Team", Group: []Address{}}}})
	if !bytes.Contains(raw, []byte("From: ivan@xn--e1afmkfd.xn--p1ai\r\n")) || !bytes.Contains(raw, []byte("To: Team:;\r\n")) {
		t.Errorf("%s", raw)
	}
}

func TestTextEncodingChoice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "7bit", "From me": "quoted-printable", "a\nFrom me": "quoted-printable", strings.Repeat("x", 999): "quoted-printable",
		"Grüße aus Köln": "quoted-printable", "Привет, мир": "base64", "": "7bit", "a\x00": "quoted-printable",
	} {
		if got := textEncoding(text); got != want {
			t.Errorf("%.20q: %s, want %s", text, got, want)
		}
	}
}

// What is composed is read back the same, by us and by the standard library.
func TestBuildIsReadBack(t *testing.T) {
	t.Parallel()
	anyText := rapid.StringMatching(`[ -~\r\n\x00=?_"<>,äжو中😀]{0,200}`)
	rapid.Check(t, func(t *rapid.T) {
		c := Compose{
			From: Address{Name: anyText.Draw(t, "name"), Address: "a@example.com"}, To: []Address{{Name: anyText.Draw(t, "to"), Address: `"x y"@example.com`}},
			Subject: anyText.Draw(t, "subject"), Text: anyText.Draw(t, "text"), HTML: anyText.Draw(t, "html"),
			Headers: []HeaderField{{"X-Any", anyText.Draw(t, "any")}}, InReplyTo: anyText.Draw(t, "irt"), MessageID: anyText.Draw(t, "id"),
			Attachments: []ComposeAttachment{{
				Filename: anyText.Draw(t, "file"), ContentID: anyText.Draw(t, "cid"), Inline: rapid.Bool().Draw(t, "inline"),
				Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data"),
			}},
		}
		raw, err := Build(c)
		if err != nil {
			t.Fatalf("Build: %v", err)
		}
		checkWire(t, raw)
		m := Parse(raw)
		if len(m.Defects) > 0 || m.Patch != nil {
			t.Fatalf("defects %q, patch %x in\n%s", m.Defects, m.Patch, raw)
		}
		if want := collapse(cleanText(c.Subject)); m.Subject != want {
			t.Fatalf("subject %q, want %q in\n%s", m.Subject, want, raw)
		}
		if want := collapse(cleanText(c.From.Name)); collapse(m.From[0].Name) != want {
			t.Fatalf("name %q, want %q in\n%s", m.From[0].Name, want, raw)
		}
		std, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("net/mail: %v in\n%s", err, raw)
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(std.Header.Get("Subject")); err != nil || collapse(got) != collapse(cleanText(c.Subject)) {
			t.Fatalf("net/mail: subject %q, %v in\n%s", got, err, raw)
		}
		if _, _, err := mime.ParseMediaType(std.Header.Get("Content-Type")); err != nil {
			t.Fatalf("net/mail: %v in\n%s", err, raw)
		}
		if len(std.Header) > 12 {
			t.Fatalf("fields injected: %v", std.Header)
		}
	})
}

// What is written in portions, from files that are opened, is what is built
// whole.
func TestBuildTo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Repeat(rapid.SliceOfN(rapid.SampledFrom([]byte("a\r\n\xe9")), 1, 100).Draw(t, "data"), rapid.SampledFrom([]int{1, 285, 570, 3000}).Draw(t, "times"))
		kind := rapid.SampledFrom([]string{"application/x", "message/rfc822", "text/plain"}).Draw(t, "type")
		c := Compose{
			From: Address{Address: "a@b"}, MessageID: "<x@y>", Date: time.Unix(0, 0), Text: "text",
			Attachments: []ComposeAttachment{{Filename: "a", ContentType: kind, Data: data}},
		}
		whole, err := Build(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Attachments[0].Data = nil
		c.Attachments[0].Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		var b bytes.Buffer
		if err := BuildTo(&b, c); err != nil {
			t.Fatal(err)
		}
		boundary := func(raw []byte) string { return Parse(raw).Root.Boundary }
		if got := strings.ReplaceAll(b.String(), boundary(b.Bytes()), boundary(whole)); got != string(whole) {
			t.Fatalf("in portions\n%.2000q\nwhole\n%.2000q", got, whole)
		}
	})
	c := Compose{From: Address{Address: "a@b"}, Attachments: []ComposeAttachment{{Open: func() (io.ReadCloser, error) { return nil, errDisk }}}}
	if err := BuildTo(io.Discard, c); !errors.Is(err, errDisk) {
		t.Errorf("a file that does not open: %v", err)
	}
	if err := BuildTo(failingWriter{}, Compose{From: Address{Address: "a@b"}}); !errors.Is(err, errDisk) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errDisk }
