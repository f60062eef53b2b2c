package tnef

import (
	"encoding/binary"
	"io"
	"unicode/utf16"
)

// MAPI properties of an attachment, MS-OXPROPS.
const (
	propDisplayName  = 0x3001
	propAttachData   = 0x3701
	propFilename     = 0x3704
	propLongFilename = 0x3707
	propMIMETag      = 0x370e
	propContentID    = 0x3712
)

// MAPI properties of a message.
const (
	propBody         = 0x1000
	propRTF          = 0x1009
	propHTML         = 0x1013
	propHTMLCodePage = 0x3fde
)

// Types of properties, MS-OXCDATA 2.11.1.
const (
	typeInteger  = 0x0003
	typeObject   = 0x000d
	typeString8  = 0x001e
	typeUnicode  = 0x001f
	typeBinary   = 0x0102
	typeMultiple = 0x1000
)

// interfaceID is what a value of typeObject begins with.
const interfaceID = 16

// messageID is the interface of a message that is attached: a TNEF stream.
var messageID = [4]byte{0x07, 0x03, 0x02, 0x00}

// properties reads the properties of an attachment for its name and content, or
// those of the message for its text.
func (w *walker) properties(data *io.LimitedReader, depth int) error {
	count, err := readCount(data)
	if err != nil {
		return err
	}
	if count > maxProperties {
		return ErrFormat
	}
	for range count {
		if err := w.property(data, depth); err != nil {
			return err
		}
	}
	return nil
}

func readCount(r io.Reader) (int64, error) {
	var b [4]byte
	err := readFull(r, b[:])
	return int64(binary.LittleEndian.Uint32(b[:])), err
}

// property reads one: type, id, perhaps a name, and one or more values.
func (w *walker) property(data *io.LimitedReader, depth int) error {
	var head [4]byte
	if err := readFull(data, head[:]); err != nil {
		return err
	}
	kind, id := binary.LittleEndian.Uint16(head[:]), binary.LittleEndian.Uint16(head[2:])
	if id >= 0x8000 {
		if err := skipPropertyName(data); err != nil {
			return err
		}
	}
	base := kind &^ typeMultiple
	size, fixed := fixedSize(base)
	values := int64(1)
	if !fixed || kind&typeMultiple != 0 {
		var err error
		if values, err = readCount(data); err != nil {
			return err
		}
	}
	if fixed {
		if w.ofMessage && kind == typeInteger && id == propHTMLCodePage {
			var page [4]byte
			err := readFull(data, page[:])
			w.body.HTMLCharset = codePage(page[:])
			return err
		}
		return skip(data, values*size)
	}
	if !isVariable(base) || values > maxProperties {
		return ErrFormat
	}
	for range values {
		if err := w.variable(base, id, data, depth); err != nil {
			return err
		}
	}
	return nil
}

// skipPropertyName: a GUID, then a number or a name (MS-OXTNEF 2.1.3.4).
func skipPropertyName(data io.Reader) error {
	if err := skip(data, 16); err != nil {
		return err
	}
	kind, err := readCount(data)
	if err != nil {
		return err
	}
	size := int64(4)
	if kind == 1 {
		if size, err = readCount(data); err != nil {
			return err
		}
		size = padded(size)
	}
	return skip(data, size)
}

// fixedSize is the room that a value of fixed length takes.
func fixedSize(kind uint16) (size int64, ok bool) {
	switch kind {
	case 0x0001: // PtypNull
		return 0, true
	case 0x0002, 0x0003, 0x0004, 0x000a, 0x000b: // 16 bits are padded
		return 4, true
	case 0x0005, 0x0006, 0x0007, 0x0014, 0x0040:
		return 8, true
	case 0x0048:
		return 16, true
	}
	return 0, false
}

func isVariable(kind uint16) bool {
	return kind == typeObject || kind == typeString8 || kind == typeUnicode || kind == typeBinary
}

// padded rounds up to four bytes.
func padded(n int64) int64 { return (n + 3) &^ 3 }

// variable reads one value with a length.
func (w *walker) variable(kind, id uint16, data *io.LimitedReader, depth int) error {
	size, err := readCount(data)
	if err != nil {
		return err
	}
	if size > data.N {
		return ErrFormat
	}
	value := &io.LimitedReader{R: data, N: size}
	switch {
	case w.ofMessage:
		err = w.bodyProperty(kind, id, value)
	case id == propAttachData && kind == typeObject:
		err = w.object(value, depth)
	case id == propAttachData && kind == typeBinary:
		err = w.file(value)
	case kind == typeString8 || kind == typeUnicode:
		err = w.text(kind, id, value)
	}
	if err != nil {
		return err
	}
	return skip(data, min(value.N+padded(size)-size, data.N))
}

// bodyProperty takes the forms of the text among the properties of the message.
func (w *walker) bodyProperty(kind, id uint16, value *io.LimitedReader) error {
	isText := kind == typeString8 || kind == typeUnicode
	switch {
	case value.N > maxBody:
		return nil
	case id == propBody && isText, id == propHTML && (isText || kind == typeBinary), id == propRTF && kind == typeBinary:
	default:
		return nil
	}
	text, err := readSome(value, maxBody)
	if err != nil {
		return err
	}
	charset := w.charset
	if kind == typeUnicode {
		text, charset = fromUTF16(text), "utf-8"
	}
	switch id {
	case propBody:
		w.setText(cutNUL(text), charset)
	case propHTML:
		w.body.HTML = cutNUL(text)
		if isText {
			w.body.HTMLCharset = charset
		}
	default:
		w.body.RTF = text
	}
	return nil
}

// text takes the names among the texts.
func (w *walker) text(kind, id uint16, value *io.LimitedReader) error {
	rank := 0
	switch id {
	case propDisplayName: // better than none
	case propFilename:
		rank = 1
	case propLongFilename:
		rank = 2
	case propMIMETag, propContentID:
	default:
		return nil
	}
	text, err := readSome(value, maxName)
	if err != nil {
		return err
	}
	charset := w.charset
	if kind == typeUnicode {
		text, charset = fromUTF16(text), "utf-8"
	}
	text = cutNUL(text)
	switch id {
	case propMIMETag:
		w.title.contentType = string(text)
	case propContentID:
		w.title.contentID = string(text)
	default:
		w.setName(text, charset, rank)
	}
	return nil
}

func fromUTF16(b []byte) []byte {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// object reads an attached object: the files of a message inside, or one file.
func (w *walker) object(value *io.LimitedReader, depth int) error {
	var id [interfaceID]byte
	if value.N < interfaceID {
		return nil
	}
	if err := readFull(value, id[:]); err != nil {
		return err
	}
	if [4]byte(id[:4]) != messageID {
		return w.file(value)
	}
	if depth >= maxDepth {
		return ErrFormat
	}
	outer, charset := w.title, w.charset
	w.endAttachment()
	err := w.stream(value, depth+1)
	w.title, w.charset = outer, charset
	if err == ErrFormat { //nolint:errorlint // ours, unwrapped: the outer stream goes on after a bad message inside
		return nil
	}
	return err
}
