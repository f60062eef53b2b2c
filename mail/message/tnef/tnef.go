// Package tnef lists and opens the files in a TNEF stream, the winmail.dat of
// Outlook and Exchange (MS-OXTNEF), and finds the text of its message. It reads
// a stream once, front to back, holds no file in memory, and bounds what it
// looks at: a stranger writes it.
package tnef

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/eidermail/eider/mail/message/rtf"
)

// Limits. Beyond them the stream counts as ending there.
const (
	maxFiles      = 500
	maxAttributes = 20_000
	maxProperties = 20_000
	maxDepth      = 4 // messages inside messages
	maxName       = 2 << 10
	maxBody       = 2 << 20 // of each form of the text
)

// Errors of this package.
var (
	// ErrFormat: the stream is not TNEF, or breaks off. What was read before
	// that is given all the same.
	ErrFormat = errors.New("tnef: malformed stream")
	// ErrNoFile: there are not as many files.
	ErrNoFile = errors.New("tnef: no such file")
)

// File is one file in the stream.
type File struct {
	// Name is the file's name, in Charset; "" when it has none.
	Name []byte
	// Charset is a label such as "utf-8" or "windows-1252".
	Charset string
	// ContentType is what the sender says, mostly "".
	ContentType string
	// ContentID is without angle brackets, mostly "".
	ContentID string
	// Size is the content's length in bytes.
	Size int64
}

// Body is the text of a message in its forms, each as it stands there; nil for
// a form that is not there or is longer than 2 MiB.
type Body struct {
	// Text is plain, in TextCharset.
	Text        []byte
	TextCharset string
	// HTML is in HTMLCharset.
	HTML        []byte
	HTMLCharset string
	// RTF is compressed (MS-OXRTFCP).
	RTF []byte
}

// Contents is what a stream holds.
type Contents struct {
	// Files are in order, those of messages inside after each other.
	Files []File
	// Body is the text of the message itself, not of those inside.
	Body Body
}

// Read reads all of r. Errors are ErrFormat, or those of r; what was found
// before is given with it.
func Read(r io.Reader) (Contents, error) {
	w := &walker{want: -1}
	err := w.stream(r, 0)
	if err == nil && w.odd {
		err = ErrFormat
	}
	return Contents{Files: w.files, Body: w.body}, err
}

// Open finds the file of that index (as in Contents) and gives a reader of its
// content, which reads from r. ErrNoFile.
func Open(r io.Reader, index int) (io.Reader, error) {
	if index < 0 {
		return nil, ErrNoFile
	}
	w := &walker{want: index}
	err := w.stream(r, 0)
	switch {
	case w.found != nil:
		return w.found, nil
	case err != nil && !errors.Is(err, ErrFormat):
		return nil, err
	}
	return nil, ErrNoFile
}

const signature = 0x223e9f78

// Attributes, MS-OXTNEF 2.1.3.2, with their types.
const (
	attAttachTitle    = 0x00018010
	attAttachRendData = 0x00069002
	attAttachData     = 0x0006800f
	attAttachment     = 0x00069005
	attOEMCodePage    = 0x00069007
	attBody           = 0x0002800c
	attMsgProps       = 0x00069003
)

// errFound ends a walk that has what it wants.
var errFound = errors.New("tnef: found")

// walker is one pass over a stream.
type walker struct {
	files []File
	// want is the index of the file to open, -1 to list; found its content.
	want  int
	found io.Reader

	attributes int
	charset    string
	// first is the index of the attachment's first file at hand: its name may
	// come after its content.
	first int
	title name

	body Body
	// ofMessage: the properties at hand are those of the message itself.
	ofMessage bool
	// odd: something was malformed that did not end the walk.
	odd bool
}

// name is what is known of the attachment at hand. A long name wins over a
// title of eight letters and three.
type name struct {
	text    []byte
	charset string
	rank    int

	contentType, contentID string
}

// stream walks one TNEF stream, from its signature to its end.
func (w *walker) stream(r io.Reader, depth int) error {
	var head [6]byte
	if err := readFull(r, head[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[:]) != signature {
		return ErrFormat
	}
	if w.charset == "" {
		w.charset = "windows-1252"
	}
	defer w.endAttachment()
	for {
		err := w.attribute(r, depth)
		switch {
		case err == io.EOF: //nolint:errorlint // only attribute's first read gives it, as it is
			return nil
		case err != nil:
			return err
		}
	}
}

// attribute reads one attribute. io.EOF when there is no more.
func (w *walker) attribute(r io.Reader, depth int) error {
	var head [9]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 {
			return err
		}
		return broken(err)
	}
	if w.attributes++; w.attributes > maxAttributes || head[0] != 1 && head[0] != 2 {
		return ErrFormat
	}
	id, size := binary.LittleEndian.Uint32(head[1:]), int64(binary.LittleEndian.Uint32(head[5:]))
	data := &io.LimitedReader{R: r, N: size}
	if err := w.value(id, data, depth); err != nil {
		return err
	}
	// What was not looked at, and the checksum; writers get that wrong too often to mind.
	return skip(r, data.N+2)
}

func (w *walker) value(id uint32, data *io.LimitedReader, depth int) error {
	switch id {
	case attOEMCodePage:
		var page [4]byte
		if data.N < 4 {
			return nil
		}
		if err := readFull(data, page[:]); err != nil {
			return err
		}
		w.charset = codePage(page[:])
	case attAttachRendData:
		w.endAttachment()
	case attAttachTitle:
		text, err := readSome(data, maxName)
		if err != nil {
			return err
		}
		w.setName(cutNUL(text), w.charset, 1)
	case attAttachData:
		return w.file(data)
	case attAttachment:
		return w.properties(data, depth)
	case attMsgProps:
		return w.messageProperties(data, depth)
	case attBody:
		if depth == 0 && data.N <= maxBody {
			text, err := readSome(data, maxBody)
			w.setText(cutNUL(text), w.charset)
			return err
		}
	}
	return nil
}

// messageProperties looks for the text of the message. What is wrong there does
// not hide the files behind it.
func (w *walker) messageProperties(data *io.LimitedReader, depth int) error {
	if depth > 0 {
		return nil
	}
	w.ofMessage = true
	err := w.properties(data, depth)
	w.ofMessage = false
	if err == ErrFormat { //nolint:errorlint // ours, unwrapped
		w.odd = true
		return nil
	}
	return err
}

// setText notes the plain text, which is there in two ways.
func (w *walker) setText(text []byte, charset string) {
	if len(text) > 0 {
		w.body.Text, w.body.TextCharset = text, charset
	}
}

// file notes a file whose content is next, or stops at the wanted one.
func (w *walker) file(data *io.LimitedReader) error {
	if data.N == 0 {
		return nil
	}
	if len(w.files) >= maxFiles {
		return ErrFormat
	}
	if len(w.files) == w.want {
		w.found = data
		return errFound
	}
	size := data.N
	if err := skip(data, size); err != nil {
		return err
	}
	w.files = append(w.files, File{Size: size})
	return nil
}

func (w *walker) setName(text []byte, charset string, rank int) {
	if len(text) > 0 && rank >= w.title.rank {
		w.title.text, w.title.charset, w.title.rank = text, charset, rank
	}
}

// endAttachment gives its name to the files that came since the last one.
func (w *walker) endAttachment() {
	for i := w.first; i < len(w.files); i++ {
		f := &w.files[i]
		f.Name, f.Charset, f.ContentType, f.ContentID = w.title.text, w.title.charset, w.title.contentType, w.title.contentID
	}
	w.first, w.title = len(w.files), name{}
}

// codePage reads the number of a Windows code page.
func codePage(b []byte) string {
	return rtf.CodePage(int(min(binary.LittleEndian.Uint32(b), 1<<20)))
}

// broken makes ErrFormat of a stream that ends too early.
func broken(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // io.ReadFull gives them unwrapped
		return ErrFormat
	}
	return err
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return broken(err)
}

// readSome reads at most limit bytes of what is left.
func readSome(r *io.LimitedReader, limit int64) ([]byte, error) {
	b := make([]byte, min(r.N, limit))
	return b, readFull(r, b)
}

func skip(r io.Reader, n int64) error {
	if n <= 0 {
		return nil
	}
	_, err := io.CopyN(io.Discard, r, n)
	return broken(err)
}

// cutNUL is a text up to its first NUL.
func cutNUL(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}
