// Package wire reads and writes the messages of MongoDB's wire protocol that a
// current driver sends: OP_MSG, and OP_QUERY for the first handshake. It also has
// the in-process connection they travel over.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// MaxMessage is the largest message in bytes, as in hello's maxMessageSizeBytes.
const MaxMessage = 48_000_000

const (
	headerSize = 16
	opReply    = 1
	opQuery    = 2004
	opMsg      = 2013
)

// Flag bits of OP_MSG. An unknown bit below 16 must be refused.
const (
	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
)

// ErrMessage is wrapped by every error about a malformed message. The connection
// is of no further use then.
var ErrMessage = errors.New("malformed message")

// Sequence is a kind 1 section: an array field of the command sent apart.
type Sequence struct {
	Name string
	Docs []bson.Raw
}

// Message is one request.
type Message struct {
	ID         int32
	Body       bson.Raw    // well formed throughout
	Sequences  []Sequence  // likewise
	MoreToCome bool        // the client does not want an answer
	Query      bool        // came as OP_QUERY and is answered with OP_REPLY
	Collection string      // of OP_QUERY
	Gone       func() bool // tells that the peer has closed and nobody waits; nil: not known
	Out        *Buffer     // where a large reply is best made; nil: anywhere
}

// ReplyHead is how many bytes precede the document of an OP_MSG reply.
const ReplyHead = headerSize + 5

// Buffer is memory for a reply that is used again and again. A document that
// begins at ReplyHead is sent as it lies there.
type Buffer struct{ B []byte }

// Holds tells if a reply's document lies in the buffer with room for its head.
func (b *Buffer) Holds(body []byte) bool {
	return b != nil && len(body) > 0 && len(b.B) == ReplyHead+len(body) && &b.B[ReplyHead] == &body[0]
}

// Read reads one message. It checks the length before it takes memory. io.EOF
// means that the peer has closed between messages.
func Read(r io.Reader) (*Message, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(int32(binary.LittleEndian.Uint32(head[:]))) //nolint:gosec // the wire type is signed
	if n < headerSize || n > MaxMessage {
		return nil, fmt.Errorf("%w: length %d", ErrMessage, n)
	}
	body, err := readBody(r, int(n-headerSize))
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	return Parse(head[:], body)
}

// trusted is how many bytes are taken on the word of a header.
const trusted = 1 << 20

// readBody reads n bytes. It takes memory as they come, so that a header alone
// does not cost what it promises.
func readBody(r io.Reader, n int) ([]byte, error) {
	body := make([]byte, min(n, trusted))
	for have := 0; ; {
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, err
		}
		if have = len(body); have == n {
			return body, nil
		}
		body = append(body, make([]byte, min(have, n-have))...)
	}
}

// Parse takes a message apart. The result refers to body.
func Parse(head, body []byte) (*Message, error) {
	m := &Message{ID: int32(binary.LittleEndian.Uint32(head[4:]))} //nolint:gosec // the wire type is signed
	var err error
	switch op := binary.LittleEndian.Uint32(head[12:]); op {
	case opMsg:
		if err = checkSum(head, body); err == nil {
			err = m.parseMsg(body)
		}
	case opQuery:
		err = m.parseQuery(body)
	default:
		err = fmt.Errorf("%w: operation code %d", ErrMessage, op)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// castagnoli is the polynomial of OP_MSG's checksum.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkSum compares the CRC-32C at the end of a message that has one.
func checkSum(head, body []byte) error {
	if len(body) < 4 || binary.LittleEndian.Uint32(body)&flagChecksum == 0 {
		return nil
	}
	if len(body) < 8 {
		return fmt.Errorf("%w: no checksum", ErrMessage)
	}
	last := len(body) - 4
	sum := crc32.Update(crc32.Checksum(head[:headerSize], castagnoli), castagnoli, body[:last])
	if sum != binary.LittleEndian.Uint32(body[last:]) {
		return fmt.Errorf("%w: the checksum does not fit", ErrMessage)
	}
	return nil
}

func (m *Message) parseMsg(b []byte) error {
	if len(b) < 4 {
		return fmt.Errorf("%w: no flags", ErrMessage)
	}
	flags := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if unknown := flags & 0xFFFF &^ (flagChecksum | flagMoreToCome); unknown != 0 {
		return fmt.Errorf("%w: unknown flags %#x", ErrMessage, unknown)
	}
	m.MoreToCome = flags&flagMoreToCome != 0
	if flags&flagChecksum != 0 {
		b = b[:len(b)-4] // checkSum has looked at it
	}
	for len(b) > 0 {
		kind := b[0]
		var err error
		switch kind {
		case 0:
			if m.Body != nil {
				return fmt.Errorf("%w: two bodies", ErrMessage)
			}
			m.Body, b, err = document(b[1:])
		case 1:
			b, err = m.parseSequence(b[1:])
		default:
			return fmt.Errorf("%w: section kind %d", ErrMessage, kind)
		}
		if err != nil {
			return err
		}
	}
	if m.Body == nil {
		return fmt.Errorf("%w: no body", ErrMessage)
	}
	return nil
}

func (m *Message) parseSequence(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: a short section", ErrMessage)
	}
	n := int64(int32(binary.LittleEndian.Uint32(b))) //nolint:gosec // the wire type is signed
	if n < 5 || n > int64(len(b)) {
		return nil, fmt.Errorf("%w: section length %d", ErrMessage, n)
	}
	section, rest := b[4:n], b[n:]
	name, docs, ok := cstring(section)
	if !ok {
		return nil, fmt.Errorf("%w: a section without a name", ErrMessage)
	}
	for _, s := range m.Sequences {
		if s.Name == name {
			return nil, fmt.Errorf("%w: section %q twice", ErrMessage, name)
		}
	}
	seq := Sequence{Name: name}
	for len(docs) > 0 {
		var doc bson.Raw
		var err error
		if doc, docs, err = document(docs); err != nil {
			return nil, err
		}
		seq.Docs = append(seq.Docs, doc)
	}
	m.Sequences = append(m.Sequences, seq)
	return rest, nil
}

// parseQuery reads OP_QUERY: flags, collection, skip, number to return, document.
func (m *Message) parseQuery(b []byte) error {
	m.Query = true
	if len(b) < 4 {
		return fmt.Errorf("%w: no flags", ErrMessage)
	}
	name, rest, ok := cstring(b[4:])
	if !ok || len(rest) < 8 {
		return fmt.Errorf("%w: a short query", ErrMessage)
	}
	m.Collection = name
	var err error
	m.Body, rest, err = document(rest[8:])
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: a query with %d bytes too many", ErrMessage, len(rest))
	}
	return err
}

func cstring(b []byte) (s string, rest []byte, ok bool) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), b[i+1:], true
		}
	}
	return "", nil, false
}

// document splits one whole, well formed document off b.
func document(b []byte) (doc bson.Raw, rest []byte, err error) {
	if len(b) < 5 {
		return nil, nil, fmt.Errorf("%w: a short document", ErrMessage)
	}
	n := int64(int32(binary.LittleEndian.Uint32(b))) //nolint:gosec // the wire type is signed
	if n < 5 || n > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: document length %d", ErrMessage, n)
	}
	if err := value.Check(b[:n]); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return bson.Raw(b[:n:n]), b[n:], nil
}

// AppendReply appends the answer to a message, as OP_MSG, or as OP_REPLY to
// OP_QUERY.
func AppendReply(dst []byte, m *Message, id int32, body bson.Raw) []byte {
	return append(AppendReplyHead(dst, m, id, len(body)), body...)
}

// AppendReplyHead appends all of an answer but its document, of the given size.
func AppendReplyHead(dst []byte, m *Message, id int32, size int) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	op := uint32(opMsg)
	if m.Query {
		op = opReply
		dst = binary.LittleEndian.AppendUint32(dst, 8) // AwaitCapable, as every server says
		dst = binary.LittleEndian.AppendUint64(dst, 0) // cursor
		dst = binary.LittleEndian.AppendUint32(dst, 0) // starting from
		dst = binary.LittleEndian.AppendUint32(dst, 1) // documents
	} else {
		dst = append(dst, 0, 0, 0, 0, 0) // flags, and the kind of the only section
	}
	head := dst[start:]
	binary.LittleEndian.PutUint32(head, uint32(len(head)+size)) //nolint:gosec // replies are bounded
	binary.LittleEndian.PutUint32(head[4:], uint32(id))         //nolint:gosec // an opaque number
	binary.LittleEndian.PutUint32(head[8:], uint32(m.ID))       //nolint:gosec // an opaque number
	binary.LittleEndian.PutUint32(head[12:], op)
	return dst
}
