package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// blobOf is a base64 body as a blob.
func blobOf(body []byte) *Blob {
	n := &Node{text: BytesSource(body).text(), Size: int64(len(body))}
	n.at.own = len(body)
	n.Parsed = ParsedHeader{{Key: "content-transfer-encoding", Value: "base64"}}
	(&deriver{}).digest(n)
	return &Blob{TransferEncoding: "base64", EncodedSize: n.Size, node: n}
}

func encodeAll(tb interface {
	Helper()
	Fatalf(string, ...any)
}, r io.Reader, lineLen int,
) []byte {
	tb.Helper()
	text, err := io.ReadAll(EncodeReader(r, lineLen, 0))
	if err != nil {
		tb.Fatalf("EncodeReader: %v", err)
	}
	return text
}

// Decoded blobs are what the base64 stands for; whatever EncodeReader could
// not restore is stored as it is.
func TestBlobIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "data"), rapid.SampledFrom([]int{1, 1, 300}).Draw(t, "times"))
		lineLen := rapid.IntRange(1, 30).Draw(t, "line") * 4
		body := encodeAll(t, iotest.HalfReader(bytes.NewReader(data)), lineLen)
		if rapid.Bool().Draw(t, "dirty") && len(body) > 0 {
			i := rapid.IntRange(0, len(body)).Draw(t, "at")
			body = append(body[:i:i], append([]byte(rapid.SampledFrom([]string{" ", "\r\n", "=", "A", "!", ""}).Draw(t, "dirt")), body[i:]...)...)
		}
		got, c := blobData(t, blobOf(body))
		if !c.Decoded {
			if !bytes.Equal(got, body) {
				t.Fatalf("%q is stored as %q", body, got)
			}
			return
		}
		if back := encodeAll(t, bytes.NewReader(got), c.LineLen); !bytes.Equal(back, body) {
			t.Fatalf("%q comes back as %q", body, back)
		}
	})
}

// Text that ends with a line break is not restored by EncodeReader, wherever
// the break falls among the portions that are decoded.
func TestBlobWithLineBreakAtItsEnd(t *testing.T) {
	t.Parallel()
	for n := range 700 {
		body := bytes.Repeat([]byte("AAAABBBB\r\n"), 2200+n)
		if _, c := blobData(t, blobOf(body)); c.Decoded {
			t.Fatalf("%d lines with a line break at the end were decoded", 2200+n)
		}
		if _, c := blobData(t, blobOf(body[:len(body)-2])); !c.Decoded {
			t.Fatalf("%d lines were not decoded", 2200+n)
		}
	}
}

func TestOrdinaryAttachmentIsDecoded(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 1000)
	m := Parse(mustBuild(t, Compose{From: Address{Address: "a@b"}, Text: "x", Attachments: []ComposeAttachment{{Filename: "a", Data: data}}}))
	b := m.Blobs()
	if len(b) != 1 {
		t.Fatalf("%d blobs", len(b))
	}
	if got, c := blobData(t, &b[0]); !c.Decoded || c.LineLen != 76 || !bytes.Equal(got, data) {
		t.Errorf("%+v", c)
	}
}

// A range of encoded text is made of no more than the bytes that it needs.
func TestEncodedRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "data")
		lineLen := rapid.IntRange(1, 90).Draw(t, "line")
		whole := encodeAll(t, bytes.NewReader(data), lineLen)
		from := rapid.IntRange(0, len(whole)).Draw(t, "from")
		count := rapid.IntRange(0, len(whole)-from).Draw(t, "count")
		start, length := EncodedRange(lineLen, int64(len(data)), int64(from), int64(count))
		if most := int64(count/4+3) * 3; length > most {
			t.Fatalf("%d bytes for %d characters", length, count)
		}
		got, err := io.ReadAll(EncodeReader(bytes.NewReader(data[start:start+length]), lineLen, int64(from)))
		if err != nil || len(got) < count || !bytes.Equal(got[:count], whole[from:from+count]) {
			t.Fatalf("[%d,+%d) %q, %v; want %q", from, count, got, err, whole[from:from+count])
		}
	})
}

// A section in one stored part must not open the others, and a range of a
// part reads no more than it needs.
func TestSectionOpensOnlyItsPart(t *testing.T) {
	t.Parallel()
	m := Parse(mustBuild(t, Compose{
		From: Address{Address: "a@b"}, Text: "x",
		Attachments: []ComposeAttachment{{Filename: "a", Data: []byte("aaa")}, {Filename: "b", Data: []byte("bbb")}},
	}))
	var opened []string
	open := func(id string, from, count int64) (io.ReadCloser, error) {
		opened = append(opened, id)
		return m.Opener()(id, from, count)
	}
	for _, s := range []Section{{Path: []int{3}}, {Partial: true, Start: m.Size - 60, Count: 60}} {
		r, err := SectionReader(storedTree(m.Root), m.Patch, open, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range opened {
		if id != "ATT00002" {
			t.Errorf("opened %s", id)
		}
	}
}

func TestEncodeReaderAnyLine(t *testing.T) {
	t.Parallel()
	if got := encodeAll(t, strings.NewReader("hello world"), 5); string(got) != "aGVsb\r\nG8gd2\r\n9ybGQ\r\n=" {
		t.Errorf("%q", got)
	}
	if _, err := io.ReadAll(EncodeReader(strings.NewReader("x"), 0, 0)); err == nil {
		t.Error("a line of no length was taken")
	}
}
