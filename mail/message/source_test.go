package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// inFile is a source whose bytes can only be had by ReadAt.
func inFile(raw []byte) *Source { return FileSource(bytes.NewReader(raw), int64(len(raw))) }

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(string, ...any)
}

// sameInFile checks that a message in a file is parsed as one in memory.
func sameInFile(tb tester, raw []byte, want *Message) {
	tb.Helper()
	m, err := ParseSource(inFile(raw))
	if err != nil {
		tb.Fatalf("parse a file: %v", err)
	}
	got, err := json.Marshal(goldenOf(m))
	expect, err2 := json.Marshal(goldenOf(want))
	if err := errors.Join(err, err2); err != nil {
		tb.Fatalf("%v", err)
	}
	if n := differAt(got, expect); n >= 0 {
		tb.Fatalf("in a file otherwise than in memory:\n%.1000q\ngives\n%.500s\nand not\n%.500s", raw, got[max(0, n-200):], expect[max(0, n-200):])
	}
	if !bytes.Equal(m.Patch, want.Patch) {
		tb.Fatalf("patch %x in a file, %x in memory", m.Patch, want.Patch)
	}
	if got := rebuilt(tb, m); !bytes.Equal(got, raw) {
		tb.Fatalf("rebuilt from a file\n%q\nwant\n%q", got, raw)
	}
	var direct bytes.Buffer
	if err := Rebuild(&direct, m.Root, m.Patch, m.Opener()); err != nil || !bytes.Equal(direct.Bytes(), raw) {
		tb.Fatalf("rebuilt without storing: %v\n%q\nwant\n%q", err, direct.Bytes(), raw)
	}
}

// differAt is where two texts begin to differ, -1 when they are equal.
func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func TestSourceInFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sameInFile(t, raw, Parse(raw))
	}
}

func TestSourceInFileProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := genMessage().Draw(t, "raw")
		sameInFile(t, raw, Parse(raw))
	})
}

// Messages longer than the window, with line ends of all kinds, whose borders
// fall anywhere.
func TestSourceInLargeFile(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\r\n", "\n", "\r"} {
		for _, mixed := range []bool{false, true} {
			var b bytes.Buffer
			line := func(s string) { b.WriteString(s + end) }
			line("From: a@b" + end + "Content-Type: multipart/mixed; boundary=bb" + end)
			for i := range 5 {
				line("--bb" + end + "Content-Type: application/x" + end + "Content-Transfer-Encoding: base64" + end)
				for range 2500 + i {
					line("QUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJD")
				}
				line("QQ==")
				if mixed {
					b.WriteString("x\ny\r\nz\rw\r\r\n")
				}
			}
			line("--bb--")
			sameInFile(t, b.Bytes(), Parse(b.Bytes()))
		}
	}
}

func TestSourceBelow(t *testing.T) {
	t.Parallel()
	head, raw := []byte("Return-Path: <>\r\n"), []byte("From: a@b\r\n\r\ntext\r\n")
	for _, s := range []*Source{BytesSource(raw), inFile(raw)} {
		both := s.Below(head)
		got, err := io.ReadAll(both.Reader())
		if err != nil || string(got) != string(head)+string(raw) || both.Size() != int64(len(got)) {
			t.Errorf("%q, %v", got, err)
		}
		if start, err := both.Start(len(head) + 4); err != nil || string(start) != string(head)+"From" {
			t.Errorf("start %q, %v", start, err)
		}
		m, err := ParseSource(both)
		if err != nil || len(m.From) != 1 || string(m.Root.Body) != "text\r\n" {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

var errDisk = errors.New("disk on fire")

// failing gives the first bytes only.
type failing struct {
	data []byte
	good int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.good {
		return 0, errDisk
	}
	return copy(p, f.data[off:]), nil
}

// A source that cannot be read is an error, never a message that seems whole.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	raw := fileMessage(1 << 20)
	for _, good := range []int64{0, 100, 300 << 10, int64(len(raw)) - 1} {
		if _, err := ParseSource(FileSource(failing{raw, good}, int64(len(raw)))); !errors.Is(err, errDisk) {
			t.Errorf("with %d good bytes: %v", good, err)
		}
	}
	if _, err := ParseSource(FileSource(bytes.NewReader(raw[:1000]), int64(len(raw)))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is too short: %v", err)
	}
}
