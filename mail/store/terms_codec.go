package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/mail"
)

// The forms of the term index's binary values (docs/search.md). All numbers are
// unsigned varints but where it says otherwise.

var errTerms = errors.New("damaged term index")

// termDoc is what the index knows of a message beside its words.
type termDoc struct {
	root mail.ID
	// date is the internal date in milliseconds.
	date int64
	size int64
}

// newer orders messages of the index: newest first, and by root where the date
// is the same.
func (d *termDoc) newer(o *termDoc) bool {
	if d.date != o.date {
		return d.date > o.date
	}
	return string(d.root[:]) > string(o.root[:])
}

func (d *termDoc) time() time.Time { return time.UnixMilli(d.date).UTC() }

// reader reads varints; it stops at the first thing that is wrong.
type termReader struct {
	b   []byte
	bad bool
}

func (r *termReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *termReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// appendTerm writes a term by what it shares with the one before it: both lengths
// in one byte where they are below 15.
func appendTerm(dst []byte, before, term string) []byte {
	n := 0
	for n < len(before) && n < len(term) && before[n] == term[n] {
		n++
	}
	rest := len(term) - n
	dst = append(dst, byte(min(n, 15)<<4|min(rest, 15))) //nolint:gosec // eight bits
	if n >= 15 {
		dst = binary.AppendUvarint(dst, uint64(n-15))
	}
	if rest >= 15 {
		dst = binary.AppendUvarint(dst, uint64(rest-15))
	}
	return append(dst, term[n:]...)
}

// term reads a term into the buffer that holds the one before it.
func (r *termReader) term(before []byte) []byte {
	head := r.bytes(1)
	if r.bad {
		return before[:0]
	}
	shared, rest := uint64(head[0]>>4), uint64(head[0]&15)
	if shared == 15 {
		shared += r.number()
	}
	if rest == 15 {
		rest += r.number()
	}
	tail := r.bytes(rest)
	if r.bad || shared > uint64(len(before)) {
		r.bad, r.b = true, nil
		return before[:0]
	}
	return append(before[:shared], tail...)
}

// appendEntry writes how many messages a term has and how long the list of them
// is; most terms have one message, and a list of one or two bytes.
func appendEntry(dst []byte, count int, length uint64) []byte {
	if count == 1 {
		return binary.AppendUvarint(dst, length<<1|1)
	}
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(count)<<1), length) //nolint:gosec // not negative
}

func (r *termReader) entry(offset uint64) termEntry {
	n := r.number()
	if n&1 == 1 {
		return termEntry{count: 1, offset: offset, length: n >> 1}
	}
	return termEntry{count: int(n >> 1), offset: offset, length: r.number()}
}

// packing compresses the blocks of segments.
var packing = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	// The options are right, so that there is no error.
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	dec, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(partsAtOnce), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxUnpacked))
	return enc, dec
})

// maxUnpacked is more than any block has.
const maxUnpacked = 16 << 20

func pack(data []byte) []byte {
	enc, _ := packing()
	return enc.EncodeAll(data, nil)
}

func unpack(data []byte) ([]byte, error) {
	_, dec := packing()
	out, err := dec.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTerms, err)
	}
	return out, nil
}

// encodeMessageTerms writes the value of a message's own document: its size, and
// its terms in order.
func encodeMessageTerms(size int64, terms []string) []byte {
	n := 16
	for _, t := range terms {
		n += len(t) + 2
	}
	dst := make([]byte, 0, n)
	dst = binary.AppendUvarint(dst, uint64(max(size, 0)))
	dst = binary.AppendUvarint(dst, uint64(len(terms)))
	before := ""
	for _, t := range terms {
		dst = appendTerm(dst, before, t)
		before = t
	}
	return dst
}

// decodeMessageTerms reads it back.
func decodeMessageTerms(b []byte) (size int64, terms []string, err error) {
	r := termReader{b: b}
	size = int64(r.number()) //nolint:gosec // written from one
	n := r.number()
	if n > uint64(len(b)) {
		return 0, nil, errTerms
	}
	var term, text []byte
	ends := make([]int, 0, n)
	for range n {
		term = r.term(term)
		text = append(text, term...)
		ends = append(ends, len(text))
	}
	if r.bad {
		return 0, nil, errTerms
	}
	// The terms are parts of one text: a message has hundreds.
	whole, begin := string(text), 0
	terms = make([]string, n)
	for i, end := range ends {
		terms[i], begin = whole[begin:end], end
	}
	return size, terms, nil
}

// bitmap is a set of a segment's messages.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func fullBitmap(n int) bitmap {
	b := newBitmap(n)
	for i := range b {
		b[i] = ^uint64(0)
	}
	if n%64 != 0 {
		b[len(b)-1] = 1<<(n%64) - 1
	}
	return b
}

func (b bitmap) set(i uint32)     { b[i/64] |= 1 << (i % 64) }
func (b bitmap) has(i int) bool   { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitmap) and(o bitmap)     { each(b, o, func(x, y uint64) uint64 { return x & y }) }
func (b bitmap) or(o bitmap)      { each(b, o, func(x, y uint64) uint64 { return x | y }) }
func (b bitmap) without(o bitmap) { each(b, o, func(x, y uint64) uint64 { return x &^ y }) }

func each(b, o bitmap, f func(x, y uint64) uint64) {
	for i := range b {
		b[i] = f(b[i], o[i])
	}
}

func (b bitmap) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// next is the first member from i on, upwards or downwards, or -1.
func (b bitmap) next(i int, down bool) int {
	if down {
		for ; i >= 0; i = i/64*64 - 1 {
			if w := b[i/64] << (63 - i%64); w != 0 {
				return i - bits.LeadingZeros64(w)
			}
		}
		return -1
	}
	for ; i < 64*len(b); i = (i/64 + 1) * 64 {
		if w := b[i/64] >> (i % 64); w != 0 {
			return i + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// appendDoc writes a row of the table of a segment, after the row before it.
func appendDoc(dst []byte, before, d *termDoc) []byte {
	dst = append(dst, d.root[:]...)
	dst = binary.AppendVarint(dst, before.date-d.date)
	return binary.AppendUvarint(dst, uint64(max(d.size, 0)))
}

// decodeDocs reads a block of the table.
func decodeDocs(b []byte) ([]termDoc, error) {
	var out []termDoc
	r, before := termReader{b: b}, termDoc{}
	for len(r.b) > 0 {
		var d termDoc
		copy(d.root[:], r.bytes(uint64(len(d.root))))
		delta, n := binary.Varint(r.b)
		if n <= 0 {
			return nil, errTerms
		}
		r.b = r.b[n:]
		d.date = before.date - delta
		d.size = int64(r.number()) //nolint:gosec // written from one
		if r.bad {
			return nil, errTerms
		}
		out = append(out, d)
		before = d
	}
	return out, nil
}
