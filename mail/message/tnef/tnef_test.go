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

// withBody has the text of a message in all its forms, those of a message
// inside, which do not count, and a file.
func withBody() []byte {
	inner := newBuilder()
	inner.attribute(1, attMsgProps, properties(property(typeString8, propBody, []byte("inner\x00"))))
	object := append([]byte{0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}, inner.Bytes()...)
	b := newBuilder()
	b.attribute(1, attOEMCodePage, []byte{0xe3, 0x04, 0, 0, 0, 0, 0, 0}) // 1251
	b.attribute(1, attBody, []byte("\xcf\xf0\xe8\xe2\xe5\xf2\x00"))
	b.attribute(1, attMsgProps, properties(
		property(typeInteger, 0x0017, []byte{1, 0, 0, 0}), property(typeUnicode, 0x0037, wide("Subject")),
		property(typeInteger, propHTMLCodePage, []byte{0xe9, 0xfd, 0, 0}), // 65001
		property(typeBinary, propHTML, []byte("<p>Привет")), property(typeBinary, propRTF, []byte("compressed")),
	))
	b.attachment("file", []byte("x"), nil)
	b.attachment("", nil, properties(property(typeObject, propAttachData, object)))
	return b.Bytes()
}

func TestBody(t *testing.T) {
	t.Parallel()
	c, err := Read(iotest.OneByteReader(bytes.NewReader(withBody())))
	if err != nil {
		t.Fatal(err)
	}
	want := Contents{
		Files: []File{{Name: []byte("file"), Charset: "windows-1251", Size: 1}},
		Body: Body{
			Text: []byte("\xcf\xf0\xe8\xe2\xe5\xf2"), TextCharset: "windows-1251", HTML: []byte("<p>Привет"), HTMLCharset: "utf-8", RTF: []byte("compressed"),
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// Properties of the message that cannot be read do not hide the files.
func TestBadMessageProperties(t *testing.T) {
	t.Parallel()
	b := newBuilder()
	b.attribute(1, attMsgProps, append(properties(property(typeUnicode, propBody, wide("text"))), 1, 2, 3)[4:])
	b.attribute(1, attMsgProps, properties(property(typeUnicode, propBody, wide("text")), []byte{0xff, 0xff, 1}))
	b.attachment("file", []byte("x"), nil)
	c, err := Read(bytes.NewReader(b.Bytes()))
	if !errors.Is(err, ErrFormat) || len(c.Files) != 1 || string(c.Body.Text) != "text" {
		t.Errorf("%+v, %v", c, err)
	}
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

func TestRead(t *testing.T) {
	t.Parallel()
	c, err := Read(iotest.OneByteReader(bytes.NewReader(sample())))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleFiles, c.Files); diff != "" {
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
		c, err := Read(bytes.NewReader(whole[:n]))
		if err == nil && len(c.Files) > len(sampleFiles) || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %d files, %v", n, len(c.Files), err)
		}
	}
	c, err := Read(bytes.NewReader(whole[:len(whole)-60]))
	if len(c.Files) < 2 || !errors.Is(err, ErrFormat) {
		t.Errorf("%d files, %v", len(c.Files), err)
	}
	if _, err := Read(io.MultiReader(bytes.NewReader(whole[:50]), iotest.ErrReader(io.ErrClosedPipe))); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the reader's error became %v", err)
	}
	if _, err := Read(bytes.NewReader([]byte("not tnef at all"))); !errors.Is(err, ErrFormat) {
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
	c, err := Read(bytes.NewReader(data.Bytes()))
	if err != nil || len(c.Files) != maxDepth+1 {
		t.Errorf("%d files, %v", len(c.Files), err)
	}
}

func TestFilesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBuilder()
		contents := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 100), 0, 6).Draw(t, "contents")
		for _, data := range contents {
			b.attachment("name", data, nil)
		}
		c, err := Read(bytes.NewReader(b.Bytes()))
		if err != nil || len(c.Files) != len(contents) {
			t.Fatalf("%d files of %d, %v", len(c.Files), len(contents), err)
		}
		for i := range c.Files {
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

func FuzzRead(f *testing.F) {
	f.Add(sample())
	f.Add(withBody())
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Read(bytes.NewReader(raw))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if len(c.Files) > maxFiles {
			t.Fatalf("%d files", len(c.Files))
		}
		var all int64
		for i, file := range c.Files[:min(len(c.Files), 20)] {
			all += file.Size
			r, err := Open(bytes.NewReader(raw), i)
			if err != nil {
				t.Fatalf("file %d of %d: %v", i, len(c.Files), err)
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
