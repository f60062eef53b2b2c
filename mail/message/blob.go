package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// Blob is a part that moves out to attachment storage.
type Blob struct {
	// ID is ATTnnnnn, Hash the SHA-256 of the encoded body.
	ID   string
	Hash [32]byte

	ContentType, TransferEncoding string
	// EncodedSize is the length of the encoded body in bytes.
	EncodedSize int64

	node *Node
}

// Blobs gives every part that moves to attachment storage, in the order of
// their numbers.
func (m *Message) Blobs() []Blob {
	blobs := make([]Blob, 0, len(m.stored))
	for _, n := range m.stored {
		blobs = append(blobs, Blob{
			ID: n.AttachmentID, Hash: n.hash, ContentType: n.mediaType(), TransferEncoding: n.TransferEncoding(),
			EncodedSize: n.Size, node: n,
		})
	}
	return blobs
}

// Opener serves the stored parts of a message that was just parsed.
func (m *Message) Opener() Opener {
	return func(id string, from, count int64) (io.ReadCloser, error) {
		for _, n := range m.stored {
			if n.AttachmentID != id || from < 0 || from > n.Size {
				continue
			}
			if left := n.Size - from; count < 0 || count > left {
				count = left
			}
			start := n.at.body + int(from)
			return io.NopCloser(n.text.reader(start, start+int(count))), nil
		}
		return nil, ErrCorrupt
	}
}

// Content is a blob as it is to be stored.
type Content struct {
	// Decoded: what is stored is what the base64 text stands for, and EncodeReader
	// with LineLen restores the text exactly.
	Decoded bool
	LineLen int
	// Size is the number of bytes that Reader gives. It reads the message's
	// source; its errors are those of the source, or say that this changed.
	Size   int64
	Reader io.Reader
}

// Content says how the blob is stored: base64 is decoded where EncodeReader
// restores it exactly, which was found out when the message was parsed.
func (b *Blob) Content() Content {
	if n := b.node; n.lineLen > 0 {
		return Content{Decoded: true, LineLen: n.lineLen, Size: n.decodedSize, Reader: newLineDecoder(n.reader(), n.lineLen)}
	}
	return Content{Size: b.EncodedSize, Reader: b.node.reader()}
}

// maxLineLen: RFC 5321 4.5.3.1.6 allows 998 characters in a line.
const maxLineLen = 998

// lineLength is the length of the lines of base64 text that begins with start,
// 0 when it cannot be decoded and restored.
func lineLength(start []byte, size int64) int {
	n := bytes.Index(start, crlf)
	if n < 0 && int64(len(start)) == size {
		n = max(76, len(start))
	}
	if n < 4 || n > maxLineLen || n%4 != 0 {
		return 0
	}
	return n
}

// errIrregular: the base64 text is not what it was when it was parsed.
var errIrregular = errors.New("message: base64 text changed")

// lineDecoder decodes base64 text in which every line but the last has one
// length, with CRLF between them, and which has nothing else.
type lineDecoder struct {
	src       io.Reader
	lineLen   int
	in        []byte // whole lines with their CRLF
	text, out []byte
	rest      []byte // unread part of out
	// broken: a line break came last.
	broken bool
	err    error
}

func newLineDecoder(src io.Reader, lineLen int) *lineDecoder {
	lines := max(1, (24<<10)/(lineLen+2))
	return &lineDecoder{
		src: src, lineLen: lineLen, in: make([]byte, lines*(lineLen+2)), text: make([]byte, 0, lines*lineLen),
		out: make([]byte, lines*lineLen/4*3),
	}
}

// Read implements io.Reader. The error is errIrregular, or one of the source.
func (d *lineDecoder) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := io.ReadFull(d.src, d.in)
		// ReadFull gives them unwrapped; a wrapped one is a failure of src.
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		switch {
		case err != nil && !last:
			d.err = err
		case last:
			d.err = io.EOF
			fallthrough
		default:
			if !d.lines(d.in[:n], last) {
				d.err, d.rest = errIrregular, nil
			}
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// lines decodes whole lines. The last one of all has no line break, may be
// shorter, and may end in padding.
func (d *lineDecoder) lines(in []byte, last bool) bool {
	d.text = d.text[:0]
	for len(in) > 0 {
		n := min(d.lineLen, len(in))
		d.text, in = append(d.text, in[:n]...), in[n:]
		switch d.broken = len(in) > 0; {
		case !d.broken && last:
		case len(in) < 2 || in[0] != '\r' || in[1] != '\n':
			return false
		default:
			in = in[2:]
		}
	}
	if last && d.broken {
		return false // a break that nothing follows would not be restored
	}
	// The decoder passes over CR and LF; then it gives less.
	n, err := base64.StdEncoding.Strict().Decode(d.out, d.text)
	if err != nil || bytes.ContainsAny(d.text, "\r\n") {
		return false
	}
	padded := len(d.text) > 0 && d.text[len(d.text)-1] == '='
	d.rest = d.out[:n]
	return last || !padded
}

// EncodedRange gives the range of a decoded content of size bytes that
// EncodeReader needs for count bytes of text from an offset on, all that
// follow when count is negative.
func EncodedRange(lineLen int, size, from, count int64) (start, length int64) {
	if lineLen < 1 {
		return 0, 0 // EncodeReader says what is wrong
	}
	start = min(firstGroup(lineLen, from)*3, size)
	if count < 0 {
		return start, size - start
	}
	line, column := (from+count)/int64(lineLen+2), (from+count)%int64(lineLen+2)
	// One group more than the last byte's: whether a line break is there depends
	// on what follows.
	end := (line*int64(lineLen)+min(column, int64(lineLen)))/4*3 + 3
	return start, max(0, min(end, size)-start)
}

// firstGroup is the number of the group of four characters with which reading
// from an offset begins.
func firstGroup(lineLen int, from int64) int64 {
	line, column := from/int64(lineLen+2), from%int64(lineLen+2)
	return (line*int64(lineLen) + min(column, int64(lineLen-1))) / 4
}

// EncodeReader gives r as base64 with lines of lineLen characters and CRLF
// between them (none at the end), as the text was that Content decoded. It
// begins at an offset in the text; r then gives the content from the start of
// EncodedRange on.
func EncodeReader(r io.Reader, lineLen int, from int64) io.Reader {
	if lineLen < 1 {
		return failed{ErrCorrupt}
	}
	char := firstGroup(lineLen, from) * 4
	e := &encodeReader{src: r, lineLen: lineLen, column: int(char % int64(lineLen)), in: make([]byte, encodeStep)}
	e.skip = int(from - char - char/int64(lineLen)*2)
	return e
}

// encodeStep is how much is encoded at a time, a multiple of three.
const encodeStep = 24 << 10

type failed struct{ err error }

// Read implements io.Reader.
func (f failed) Read([]byte) (int, error) { return 0, f.err }

type encodeReader struct {
	src             io.Reader
	lineLen, column int
	// skip is how many bytes of the text are not wanted.
	skip          int
	in, text, out []byte
	rest          []byte // unread part of out
	err           error
}

// Read implements io.Reader.
func (e *encodeReader) Read(p []byte) (int, error) {
	for len(e.rest) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := io.ReadFull(e.src, e.in)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if e.err = err; err == nil || err == io.EOF {
			e.encode(e.in[:n])
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *encodeReader) encode(b []byte) {
	e.text = base64.StdEncoding.AppendEncode(e.text[:0], b)
	e.out = e.out[:0]
	for text := e.text; len(text) > 0; {
		if e.column == e.lineLen {
			e.out, e.column = append(e.out, crlf...), 0
		}
		n := min(len(text), e.lineLen-e.column)
		e.out, text = append(e.out, text[:n]...), text[n:]
		e.column += n
	}
	skip := min(e.skip, len(e.out))
	e.skip -= skip
	e.rest = e.out[skip:]
}
