package tnef

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// builder writes streams as MS-OXTNEF describes them.
type builder struct{ bytes.Buffer }

func newBuilder() *builder {
	b := &builder{}
	b.u32(signature)
	b.u16(0x1234)
	return b
}

func (b *builder) u16(v uint16) { _ = binary.Write(b, binary.LittleEndian, v) }
func (b *builder) u32(v uint32) { _ = binary.Write(b, binary.LittleEndian, v) }

func (b *builder) attribute(level byte, id uint32, data []byte) {
	b.WriteByte(level)
	b.u32(id)
	b.u32(uint32(len(data)))
	b.Write(data)
	var sum uint16
	for _, c := range data {
		sum += uint16(c)
	}
	b.u16(sum)
}

func (b *builder) attachment(title string, data []byte, properties []byte) {
	b.attribute(2, attAttachRendData, make([]byte, 14))
	if title != "" {
		b.attribute(2, attAttachTitle, append([]byte(title), 0))
	}
	if data != nil {
		b.attribute(2, attAttachData, data)
	}
	if properties != nil {
		b.attribute(2, attAttachment, properties)
	}
}

// property writes one of variable length, or of a 32-bit number.
func property(kind, id uint16, value []byte) []byte {
	b := &builder{}
	b.u16(kind)
	b.u16(id)
	if kind == 3 {
		b.Write(value)
		return b.Bytes()
	}
	b.u32(1)
	b.u32(uint32(len(value)))
	b.Write(value)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	return b.Bytes()
}

func properties(list ...[]byte) []byte {
	b := &builder{}
	b.u32(uint32(len(list)))
	for _, p := range list {
		b.Write(p)
	}
	return b.Bytes()
}

func wide(s string) []byte {
	b := &builder{}
	for _, u := range utf16.Encode([]rune(s + "\x00")) {
		b.u16(u)
	}
	return b.Bytes()
}

// sample has a code page, two files, a message with a file inside, and an
// object of another kind.
func sample() []byte {
	inner := newBuilder()
	inner.attachment("inside.txt", []byte("inner"), nil)
	object := append([]byte{0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}, inner.Bytes()...)
	b := newBuilder()
	b.attribute(1, 0x00089006, []byte{0, 0, 1, 0})
	b.attribute(1, attOEMCodePage, []byte{0xe3, 0x04, 0, 0, 0, 0, 0, 0}) // 1251
	b.attachment("\xcf\xf0\xe8\xe2\xe5\xf2.txt", []byte("hello"), nil)
	b.attachment("LONGNA~1.PDF", []byte("%PDF-1.4"), properties(
		property(3, 0x3705, []byte{1, 0, 0, 0}), property(typeUnicode, propLongFilename, wide("Длинное имя.pdf")),
		property(typeString8, propMIMETag, []byte("application/pdf\x00")), property(typeString8, propContentID, []byte("cid1\x00")),
	))
	b.attachment("", nil, properties(property(typeString8, propDisplayName, []byte("message\x00")), property(typeObject, propAttachData, object)))
	b.attachment("drawing", nil, properties(property(typeObject, propAttachData, append(make([]byte, 16), "storage"...))))
	return b.Bytes()
}

var sampleFiles = []File{
	{Name: []byte("\xcf\xf0\xe8\xe2\xe5\xf2.txt"), Charset: "windows-1251", Size: 5},
	{Name: []byte("Длинное имя.pdf"), Charset: "utf-8", ContentType: "application/pdf", ContentID: "cid1", Size: 8},
	{Name: []byte("inside.txt"), Charset: "windows-1251", Size: 5},
	{Name: []byte("drawing"), Charset: "windows-1251", Size: 7},
}

func TestList(t *testing.T) {
	t.Parallel()
	files, err := List(iotest.OneByteReader(bytes.NewReader(sample())))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleFiles, files); diff != "" {
		t.Error(diff)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"hello", "%PDF-1.4", "inner", "storage"} {
		r, err := Open(bytes.NewReader(sample()), i)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("file %d: %q, %v", i, got, err)
		}
	}
	for _, i := range []int{-1, 4, 1000} {
		if _, err := Open(bytes.NewReader(sample()), i); !errors.Is(err, ErrNoFile) {
			t.Errorf("file %d: %v", i, err)
		}
	}
}

// A stream that breaks off gives the files before the break; a failing reader
// gives its own error.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	whole := sample()
	for n := range len(whole) {
		files, err := List(bytes.NewReader(whole[:n]))
		if err == nil && len(files) > len(sampleFiles) || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %d files, %v", n, len(files), err)
		}
	}
	files, err := List(bytes.NewReader(whole[:len(whole)-60]))
	if len(files) < 2 || !errors.Is(err, ErrFormat) {
		t.Errorf("%d files, %v", len(files), err)
	}
	if _, err := List(io.MultiReader(bytes.NewReader(whole[:50]), iotest.ErrReader(io.ErrClosedPipe))); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the reader's error became %v", err)
	}
	if _, err := List(bytes.NewReader([]byte("not tnef at all"))); !errors.Is(err, ErrFormat) {
		t.Errorf("text: %v", err)
	}
}

// Nesting without end must not recurse without end.
func TestDepth(t *testing.T) {
	t.Parallel()
	data := newBuilder()
	data.attachment("deepest", []byte("x"), nil)
	for range 50 {
		b := newBuilder()
		object := append([]byte{0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}, data.Bytes()...)
		b.attachment("file", []byte("y"), properties(property(typeObject, propAttachData, object)))
		data = b
	}
	files, err := List(bytes.NewReader(data.Bytes()))
	if err != nil || len(files) != maxDepth+1 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestFilesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBuilder()
		contents := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 100), 0, 6).Draw(t, "contents")
		for _, c := range contents {
			b.attachment("name", c, nil)
		}
		files, err := List(bytes.NewReader(b.Bytes()))
		if err != nil || len(files) != len(contents) {
			t.Fatalf("%d files of %d, %v", len(files), len(contents), err)
		}
		for i := range files {
			r, err := Open(bytes.NewReader(b.Bytes()), i)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, contents[i]) {
				t.Fatalf("file %d: %q, %v", i, got, err)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add(sample())
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, err := List(bytes.NewReader(raw))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if len(files) > maxFiles {
			t.Fatalf("%d files", len(files))
		}
		var all int64
		for i, file := range files[:min(len(files), 20)] {
			all += file.Size
			r, err := Open(bytes.NewReader(raw), i)
			if err != nil {
				t.Fatalf("file %d of %d: %v", i, len(files), err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != file.Size {
				t.Fatalf("file %d has %d bytes of %d, %v", i, n, file.Size, err)
			}
		}
		if all > int64(len(raw)) {
			t.Fatalf("%d bytes in %d", all, len(raw))
		}
	})
}
