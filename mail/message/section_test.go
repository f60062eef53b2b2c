package message

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"
)

func readSection(tb interface {
	Helper()
	Fatalf(string, ...any)
}, m *Message, s Section,
) string {
	tb.Helper()
	root, open := storedTree(m.Root), storedParts(tb, m)
	r, err := SectionReader(root, m.Patch, open, s)
	if err != nil {
		tb.Fatalf("section %+v: %v", s, err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatalf("section %+v: %v", s, err)
	}
	size, err := SectionSize(root, m.Patch, s)
	if err != nil || size != int64(len(b)) {
		tb.Fatalf("section %+v: size %d, %v; read %d", s, size, err, len(b))
	}
	return string(b)
}

func TestSections(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/message-rfc822.eml")
	if err != nil {
		t.Fatal(err)
	}
	m := Parse(raw)
	inner := "From: inner@example.com\r\nSubject: =?utf-8?Q?innere_Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=ib\r\n\r\n"
	innerText := "--ib\r\nContent-Type: text/plain\r\n\r\ninner text\r\n--ib\r\n" +
		"Content-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--ib--"
	for _, c := range []struct {
		name string
		spec Section
		want string
	}{
		{"all", Section{}, string(raw)},
		{"1", Section{Path: []int{1}}, "See below."},
		{"1.MIME", Section{Path: []int{1}, Kind: SectionMIME}, "Content-Type: text/plain\r\n\r\n"},
		{"2", Section{Path: []int{2}}, inner + innerText},
		{"2.HEADER", Section{Path: []int{2}, Kind: SectionHeader}, inner},
		{"2.TEXT", Section{Path: []int{2}, Kind: SectionText}, innerText},
		{"2.1", Section{Path: []int{2, 1}}, "inner text"},
		{"2.2", Section{Path: []int{2, 2}}, "AAEC"},
		{"2.2.MIME", Section{Path: []int{2, 2}, Kind: SectionMIME}, "Content-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"},
		{"fields", Section{Kind: SectionHeaderFields, Fields: []string{"SUBJECT", "x-none"}}, "Subject: Fwd: inner\r\n\r\n"},
		{"fields of 2", Section{Path: []int{2}, Kind: SectionHeaderFieldsNot, Fields: []string{"from", "content-type"}}, "Subject: =?utf-8?Q?innere_Gr=C3=BC=C3=9Fe?=\r\n\r\n"},
		{"partial", Section{Path: []int{2}, Partial: true, Start: 6, Count: 5}, "inner"},
		{"partial beyond", Section{Path: []int{1}, Partial: true, Start: 100, Count: 5}, ""},
	} {
		if got := readSection(t, m, c.spec); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
	for _, s := range []Section{
		{Path: []int{3}}, {Path: []int{0}}, {Path: []int{1, 1}}, {Path: []int{1}, Kind: SectionHeader}, {Kind: SectionMIME},
	} {
		if _, err := SectionReader(m.Root, m.Patch, nil, s); !errors.Is(err, ErrSection) {
			t.Errorf("section %+v: %v", s, err)
		}
	}
}

// Every section is a stretch of the message: for each part the MIME header,
// then the body, stand in it as they are read.
func TestSectionsAreStretches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := genMessage().Draw(t, "raw")
		m := Parse(raw)
		if got := readSection(t, m, Section{Kind: SectionHeader}) + readSection(t, m, Section{Kind: SectionText}); got != string(raw) {
			t.Fatalf("header and text are not the message:\n%q\nwant\n%q", got, raw)
		}
		start := rapid.Int64Range(0, int64(len(raw))+3).Draw(t, "start")
		count := rapid.Int64Range(0, int64(len(raw))+3).Draw(t, "count")
		end := min(start+count, int64(len(raw)))
		want := raw[min(start, int64(len(raw))):max(end, min(start, int64(len(raw))))]
		if got := readSection(t, m, Section{Partial: true, Start: start, Count: count}); got != string(want) {
			t.Fatalf("<%d.%d> %q, want %q", start, count, got, want)
		}
		checkParts(t, m, raw, m.Root, nil, 0)
	})
}

func checkParts(t *rapid.T, m *Message, raw []byte, n *Node, path []int, depth int) {
	if n.Message != nil {
		whole := readSection(t, m, Section{Path: orOne(path)})
		got := readSection(t, m, Section{Path: orOne(path), Kind: SectionHeader}) + readSection(t, m, Section{Path: orOne(path), Kind: SectionText})
		if got != whole {
			t.Fatalf("part %v: header and text\n%q\nare not the body\n%q", path, got, whole)
		}
		path = orOne(path)
		if n.Message.Message != nil {
			path = append(path[:len(path):len(path)], 1) // its body is part 1 of the message inside
		}
		if depth < 6 {
			checkParts(t, m, raw, n.Message, path, depth+1)
		}
		return
	}
	for i, c := range n.Children {
		p := append(path[:len(path):len(path)], i+1)
		part := readSection(t, m, Section{Path: p, Kind: SectionMIME}) + readSection(t, m, Section{Path: p})
		if !bytes.Contains(raw, []byte(part)) {
			t.Fatalf("part %v\n%q\nis not in\n%q", p, part, raw)
		}
		if depth < 6 {
			checkParts(t, m, raw, c, p, depth+1)
		}
	}
}

func orOne(path []int) []int {
	if len(path) == 0 {
		return []int{1}
	}
	return path
}
