package message

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// uuencoded is a file as uuencode writes it, without its last line.
func uuencoded(name string, data []byte) []byte {
	b := fmt.Appendf(nil, "begin 644 %s\r\n", name)
	char := func(v byte) byte {
		if v &= 0x3f; v > 0 {
			return ' ' + v
		}
		return '`'
	}
	for line := range slices.Chunk(data, 45) {
		b = append(b, ' '+byte(len(line)))
		for group := range slices.Chunk(line, 3) {
			var g [3]byte
			copy(g[:], group)
			b = append(b, char(g[0]>>2), char(g[0]<<4|g[1]>>4), char(g[1]<<2|g[2]>>6), char(g[2]))
		}
		b = append(b, '\r', '\n')
	}
	return append(b, "`\r\n"...)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// uuMessage has two files in one text, the larger one with text before, between
// and behind.
func uuMessage(data []byte) []byte {
	return slices.Concat([]byte("From: a@b\r\nDate: Tue, 3 Mar 2026 10:20:30 +0100\r\nMessage-ID: <a@b>\r\n\r\nbefore\r\n"),
		uuencoded("large.bin", data), []byte("end\r\nbetween\r\n"), uuencoded("small.txt", []byte("hello")), []byte("end\r\nbehind\r\n"))
}

// A uuencoded file has its own size, name and bytes however long it is, in
// memory and in a file; the text around it is shown, and nothing is bad.
func TestLargeUuencode(t *testing.T) {
	t.Parallel()
	for _, mib := range []int{1, 3, 20} {
		t.Run(strconv.Itoa(mib), func(t *testing.T) {
			t.Parallel()
			data := randomBytes(mib << 20)
			raw := uuMessage(data)
			m, err := ParseSource(inFile(raw))
			if err != nil {
				t.Fatal(err)
			}
			if m.Text != "before\r\nbetween\r\nbehind" || len(m.Defects) > 0 {
				t.Errorf("text %.100q, defects %v", m.Text, m.Defects)
			}
			if len(m.Attachments) != 2 || m.Attachments[0].Filename != "large.bin" || m.Attachments[0].Size != int64(len(data)) || m.Attachments[1].Size != 5 {
				t.Fatalf("%+v", m.Attachments)
			}
			for i, want := range [][]byte{data, []byte("hello")} {
				if got := insideBytes(t, m, m.Attachments[i].ID); !bytes.Equal(got, want) {
					t.Errorf("%s has %d bytes, want %d", m.Attachments[i].ID, len(got), len(want))
				}
			}
			sameInFile(t, raw, Parse(raw))
		})
	}
}

func insideBytes(tb tester, m *Message, id string) []byte {
	tb.Helper()
	r, err := OpenInside(m.Root, m.Opener(), id)
	if err != nil {
		tb.Fatalf("open %s: %v", id, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatalf("read %s: %v", id, err)
	}
	return b
}

// Without its last line a file is bad, wherever it ends.
func TestLargeUuencodeIsCut(t *testing.T) {
	t.Parallel()
	raw := append([]byte("From: a@b\r\n\r\n"), uuencoded("cut.bin", randomBytes(3<<20))...)
	m := Parse(raw[:len(raw)-1000])
	if !slices.Contains(m.Defects, defectUuencode) || len(m.Attachments) != 1 {
		t.Errorf("%v, %+v", m.Defects, m.Attachments)
	}
}

// A long text without files is read to its end, but shown only so far.
func TestLargeTextWithoutFiles(t *testing.T) {
	t.Parallel()
	raw := []byte("From: a@b\r\n\r\n" + strings.Repeat("we begin\r\nbegin here, begin\r\n", 120_000))
	m := Parse(raw)
	if !slices.Contains(m.Defects, defectText) || len(m.Attachments) > 0 || len(m.Text) > maxText || len(m.Text) < maxText/2 {
		t.Errorf("%v, %d files, %d bytes of text", m.Defects, len(m.Attachments), len(m.Text))
	}
}

// What is listed can be opened and is as long as the list says, and every line
// is shown or in a file.
func TestUuencodeProperty(t *testing.T) {
	t.Parallel()
	pool := []string{
		"text\n", "begin 644 a.txt\n", "begin 644 b\r\n", "begin-base64 644 c\n", "aGVsbG8=\n", "aGVs\r\n", "====\n", "end\n", "`\n", "%:&5L;&\\\n", "#86)C\r\n", "begin\n",
		"begin 9 x\n", "\n", strings.Repeat("x", 5000) + "\n", strings.Repeat("x", uuLine-1) + "\n", "end", "%:&5L;&\\",
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pool), 0, 30).Draw(t, "lines"), "")
		scan := uuScan{room: len(text), limit: maxUUFiles}
		if err := scan.read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if len(scan.files) == 0 && string(scan.text) != text {
			t.Fatalf("%q is shown as %q", text, scan.text)
		}
		raw := []byte("From: a@b\r\n\r\n" + text)
		m := Parse(raw)
		if len(m.Attachments) != len(scan.files) {
			t.Fatalf("%d files listed, %d in %q", len(m.Attachments), len(scan.files), text)
		}
		for _, a := range m.Attachments {
			if got := insideBytes(t, m, a.ID); int64(len(got)) != a.Size {
				t.Fatalf("%s of %q has %d bytes, the list says %d", a.ID, text, len(got), a.Size)
			}
		}
		if r, err := OpenInside(m.Root, m.Opener(), fmt.Sprintf("P1-%d", len(m.Attachments)+1)); err == nil {
			_ = r.Close()
			t.Fatalf("a file too many can be opened in %q", text)
		}
	})
}
