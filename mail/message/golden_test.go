package message

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenMessage is what a golden file holds.
type goldenMessage struct {
	Subject, MessageID, Date string
	From, Sender, ReplyTo    []Address
	To, Cc, Bcc              []Address
	InReplyTo                string
	References, ThreadRefs   []string
	ThreadSubject            string
	Text                     string
	HTML                     []string
	Intro                    string
	Attachments              []Attachment
	HasAttachments           bool
	ContentType              string
	Headers                  []HeaderField
	Defects                  []Defect
	PatchSize                int
	Envelope, BodyStructure  any
	Tree                     *goldenNode
	Blobs                    []goldenBlob
	Extract                  goldenExtract
}

// goldenExtract is what readers see besides the text.
type goldenExtract struct {
	Language, Own, Signature, Quote string            `json:",omitempty"`
	List                            *List             `json:",omitempty"`
	AuthResults                     []AuthResults     `json:",omitempty"`
	Report                          *StatusReport     `json:",omitempty"`
	Calendar                        *Calendar         `json:",omitempty"`
	ReceiptTo                       []Address         `json:",omitempty"`
	AutoSubmitted                   bool              `json:",omitempty"`
	Inside                          map[string]string `json:",omitempty"`
}

func extractOf(t *testing.T, m *Message) goldenExtract {
	t.Helper()
	report, err := ReadStatusReport(m.Root, m.Opener())
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := ReadCalendar(m.Root, m.Opener())
	if err != nil {
		t.Fatal(err)
	}
	e := goldenExtract{
		Language: Language(m.Text), List: m.Root.List(), AuthResults: m.Root.AuthResults(), Report: report, Calendar: calendar,
		ReceiptTo: m.Root.ReceiptTo(), AutoSubmitted: m.Root.AutoSubmitted(),
	}
	if r := SplitReply(m.Text); r.Quote != "" || r.Signature != "" {
		e.Own, e.Signature, e.Quote = r.Own, r.Signature, r.Attribution+"|"+r.Quote
	}
	for _, a := range m.Attachments {
		if !a.Inside {
			continue
		}
		r, err := OpenInside(m.Root, m.Opener(), a.ID)
		if err != nil {
			t.Fatalf("%s: %v", a.ID, err)
		}
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != a.Size {
			t.Fatalf("%s: %d bytes of %d, %v", a.ID, len(data), a.Size, err)
		}
		if e.Inside == nil {
			e.Inside = make(map[string]string)
		}
		e.Inside[a.ID] = string(data)
	}
	return e
}

type goldenNode struct {
	Header       []string
	Parsed       any
	Body         string
	AttachmentID string `json:",omitempty"`
	Multipart    string `json:",omitempty"`
	Boundary     any
	LineCount    int
	Size         int64
	Children     []*goldenNode `json:",omitempty"`
	Message      *goldenNode   `json:",omitempty"`
}

type goldenBlob struct {
	ID, ContentType, TransferEncoding string
	EncodedSize                       int64
	Decoded                           bool
	LineLen, DataSize                 int
}

func goldenOf(m *Message) *goldenMessage {
	g := &goldenMessage{
		Subject: m.Subject, MessageID: m.MessageID, From: m.From, Sender: m.Sender, ReplyTo: m.ReplyTo, To: m.To, Cc: m.Cc, Bcc: m.Bcc,
		InReplyTo: m.InReplyTo, References: m.References, ThreadRefs: m.ThreadRefs, ThreadSubject: m.ThreadSubject,
		Text: m.Text, HTML: m.HTML, Intro: m.Intro, Attachments: m.Attachments, HasAttachments: m.HasAttachments,
		ContentType: m.ContentType, Headers: m.Headers, Defects: m.Defects, PatchSize: len(m.Patch),
		Envelope: readable(m.Root.Envelope()), BodyStructure: readable(m.Root.BodyStructure()), Tree: goldenTree(m.Root),
	}
	if !m.Date.IsZero() {
		g.Date = m.Date.Format(time.RFC3339)
	}
	for _, b := range m.Blobs() {
		c := b.Content()
		g.Blobs = append(g.Blobs, goldenBlob{b.ID, b.ContentType, b.TransferEncoding, b.EncodedSize, c.Decoded, c.LineLen, int(c.Size)})
	}
	return g
}

func goldenTree(n *Node) *goldenNode {
	g := &goldenNode{
		Header: n.Header, Body: string(n.Body), AttachmentID: n.AttachmentID, Multipart: n.Multipart, Boundary: false,
		LineCount: n.LineCount, Size: n.Size,
	}
	if n.HasBoundary {
		g.Boundary = n.Boundary
	}
	parsed := make(map[string]any)
	for _, f := range n.Parsed {
		parsed[f.Key] = f.Value
	}
	g.Parsed = parsed
	for _, c := range n.Children {
		g.Children = append(g.Children, goldenTree(c))
	}
	if n.Message != nil {
		g.Message = goldenTree(n.Message)
	}
	return g
}

// readable makes strings of byte slices, marked with b: to tell them apart.
func readable(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = readable(v[i])
		}
		return out
	case []byte:
		return "b:" + string(v)
	}
	return v
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d golden messages, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := Parse(raw)
			if got := rebuilt(t, m); !bytes.Equal(got, raw) {
				t.Errorf("rebuilt\n%q\nwant\n%q", got, raw)
			}
			var out bytes.Buffer
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", " ")
			golden := goldenOf(m)
			golden.Extract = extractOf(t, m)
			if err := enc.Encode(golden); err != nil {
				t.Fatal(err)
			}
			goldenFile := strings.TrimSuffix(file, ".eml") + ".golden.json"
			if *update {
				if err := os.WriteFile(goldenFile, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(goldenFile)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", goldenFile, diff)
			}
		})
	}
}
