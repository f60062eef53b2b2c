package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naiveBase64 says character by character what base64Scan is to find.
func naiveBase64(text []byte) (dirty, cut bool) {
	n, pad := 0, false
	for _, c := range text {
		switch {
		case base64Value(c) != 0xff:
			n++
			dirty = dirty || pad
		case c == '=':
			n++
			pad = true
		case !isSpace(c):
			dirty = true
		}
	}
	return dirty, n%4 != 0
}

// naiveEven says whether encoding the decoded bytes gives the text again.
func naiveEven(text []byte) int {
	lineLen := lineLength(text[:min(len(text), maxLineLen+2)], int64(len(text)))
	if lineLen == 0 {
		return 0
	}
	data, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(string(text), "\r\n", ""))
	if err != nil {
		return 0
	}
	if back, err := io.ReadAll(EncodeReader(bytes.NewReader(data), lineLen, 0)); err != nil || !bytes.Equal(back, text) {
		return 0
	}
	return lineLen
}

// genBase64 is base64 text, mostly with something odd somewhere in it.
func genBase64(most int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "data"), rapid.IntRange(1, most/200).Draw(t, "times"))
		lineLen := rapid.SampledFrom([]int{76, 76, 72, 64, 4, 75, 996, 2000}).Draw(t, "line")
		text := encodeAll(t, bytes.NewReader(data), lineLen)
		for range rapid.IntRange(0, 2).Draw(t, "dirts") {
			i := rapid.IntRange(0, len(text)).Draw(t, "at")
			dirt := rapid.SampledFrom([]string{" ", "\r\n", "\n", "\r", "=", "==", "A", "-", "!", "\x00", "\xff", "AAAA", "AAAA\r\n"}).Draw(t, "dirt")
			text = slices.Insert(text, i, []byte(dirt)...)
		}
		return append(text, rapid.SampledFrom([]string{"", "", "\r\n", "\r\n\r\n", "=", "A", "====", "\r\nAAAA"}).Draw(t, "end")...)
	})
}

func TestBase64Scan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := genBase64(20_000).Draw(t, "text")
		checkBase64Scan(t, text, rapid.SampledFrom([]int{1, 7, 78, 100, 1000, 1 << 20}).Draw(t, "portion"))
	})
}

func checkBase64Scan(tb tester, text []byte, portion int) {
	tb.Helper()
	var s base64Scan
	for part := range slices.Chunk(text, portion) {
		s.add(part)
	}
	dirty, cut := s.defects()
	wantDirty, wantCut := naiveBase64(text)
	if dirty != wantDirty || cut != wantCut {
		tb.Fatalf("%.300q in portions of %d: dirty %v, cut %v; want %v, %v", text, portion, dirty, cut, wantDirty, wantCut)
	}
	lineLen, size := s.even()
	if want := naiveEven(text); lineLen != want {
		tb.Fatalf("%.300q in portions of %d: lines of %d, want %d", text, portion, lineLen, want)
	}
	if decoded := decodeBytes(text, "base64"); lineLen > 0 && size != int64(len(decoded)) {
		tb.Fatalf("%.300q: %d bytes, want %d", text, size, len(decoded))
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("QUJD\r\nRA==\r\nx"), 3)
	f.Add([]byte("QUJDREVGQUJD\r\nQUJDREVGQUJD\r\nQUJDREVGQUJ=\r\n"), 1)
	f.Add([]byte("====\r\n-_-_"), 100)
	f.Fuzz(func(t *testing.T, text []byte, portion int) {
		if len(text) > 0 {
			checkBase64Scan(t, text, max(1, min(portion, len(text))))
		}
	})
}

// A large part with something odd anywhere in it is stored so that it comes
// back byte for byte, its decoded bytes are those that the base64 stands for,
// and the defects are those of all of it.
func TestLargeBase64(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := genBase64(600_000).Draw(t, "body")
		raw := slices.Concat([]byte("From: a@b\r\nDate: Tue, 3 Mar 2026 10:20:30 +0100\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"), body)
		m := Parse(raw)
		sameInFile(t, raw, m)
		bareLF := bytes.Count(body, crlf[1:]) != bytes.Count(body, crlf)
		if wantDirty, wantCut := naiveBase64(body); slices.Contains(m.Defects, defectBase64) != wantDirty || slices.Contains(m.Defects, defectBase64Cut) != wantCut {
			t.Fatalf("defects %v, want dirty %v, cut %v", m.Defects, wantDirty, wantCut)
		}
		b := m.Blobs()
		if len(b) != 1 || b[0].Content().Decoded != (naiveEven(body) > 0) && !bareLF {
			t.Fatalf("%d blobs, decoded %v", len(b), b[0].Content().Decoded)
		}
		r, err := storedParts(t, m)("ATT00001", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(Decode(r, "base64"))
		if err != nil || !bytes.Equal(got, decodeBytes(body, "base64")) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(decodeBytes(body, "base64")))
		}
	})
}

// One way through a part in a file finds its hash, its defects, and how it is
// stored; storing it is the next.
func TestBase64IsReadOnce(t *testing.T) {
	t.Parallel()
	raw := fileMessage(4 << 20)
	file := &countingFile{ReaderAt: bytes.NewReader(raw)}
	m, err := ParseSource(FileSource(file, int64(len(raw))))
	if err != nil {
		t.Fatal(err)
	}
	// Line ends, structure, count of lines, and this one.
	if file.read > 4*int64(len(raw))+1<<20 {
		t.Errorf("parsing read each byte %.1f times", float64(file.read)/float64(len(raw)))
	}
	file.read = 0
	for _, b := range m.Blobs() {
		if c := b.Content(); !c.Decoded {
			t.Errorf("%s is not decoded", b.ID)
		} else if _, err := io.Copy(io.Discard, c.Reader); err != nil {
			t.Error(err)
		}
	}
	if file.read > int64(len(raw)) {
		t.Errorf("storing read each byte %.1f times", float64(file.read)/float64(len(raw)))
	}
}

// A source that changes after it was parsed is an error when it is stored, not
// other bytes under the hash of these.
func TestBase64SourceChanges(t *testing.T) {
	t.Parallel()
	raw := fileMessage(200 << 10)
	m := Parse(raw)
	raw[bytes.Index(raw, []byte("MDEyMzQ1"))+70_000] = '!'
	if _, err := io.ReadAll(m.Blobs()[0].Content().Reader); err == nil {
		t.Error("no error")
	}
}

func BenchmarkBase64Scan(b *testing.B) {
	clean := []byte(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 13_000))
	for name, text := range map[string][]byte{
		"clean": clean, "uneven": slices.Concat([]byte("QUJD\r\n"), clean), "dirt": bytes.Repeat([]byte("!"), 1<<20),
		"mixed": bytes.Repeat([]byte("QUJDREVGQUJDR!"), 70_000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var s base64Scan
				s.add(text)
				if _, size := s.even(); size < 0 {
					b.Fatal(size)
				}
			}
		})
	}
}
