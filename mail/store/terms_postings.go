package store

import (
	"encoding/binary"
	"math/bits"
)

// The forms of a segment's postings. They differ for lists that are neither short
// nor dense.
const (
	// plainPostings has distances as varints.
	plainPostings = iota
	// ricePostings has them in Rice's code: a distance's upper part in unary, its
	// lower bits as they are. It is shorter by a fifth.
	ricePostings
)

// shortPostings are written as varints in every form.
const shortPostings = 4

// postings is the kind of the segment's blocks of postings. Another form has another
// kind, so that what does not know it finds nothing in place of nonsense.
func (r *segmentRecord) postings() byte {
	if r.Form == ricePostings {
		return 'r'
	}
	return 'p'
}

// encodePostings writes numbers of messages, rising and below n, in the newest
// form; where that is shorter, as one bit for each of the n.
func encodePostings(dst []byte, list []uint32, n int) []byte {
	switch {
	case 8*len(list) > n:
		start := len(dst)
		dst = append(dst, make([]byte, (n+7)/8)...)
		for _, d := range list {
			dst[start+int(d/8)] |= 1 << (d % 8)
		}
		return dst
	case len(list) >= shortPostings:
		return appendRice(dst, list, n)
	}
	last := uint32(0)
	for i, d := range list {
		if i > 0 {
			d -= last + 1
		}
		dst = binary.AppendUvarint(dst, uint64(d))
		last = list[i]
	}
	return dst
}

// eachPosting calls f for every number of an encoded list of count numbers below n.
func eachPosting(b []byte, form, count, n int, f func(uint32)) error {
	switch {
	case 8*count > n:
		if len(b) != (n+7)/8 {
			return errTerms
		}
		for i, c := range b {
			for ; c != 0; c &= c - 1 {
				f(uint32(8*i + bits.TrailingZeros8(c))) //nolint:gosec // below n
			}
		}
		return nil
	case form == ricePostings && count >= shortPostings:
		return eachRice(b, count, n, f)
	}
	r, at := termReader{b: b}, uint64(0)
	for i := range count {
		d := r.number()
		if i > 0 {
			d += at + 1
		}
		if at = d; r.bad || at >= uint64(n) { //nolint:gosec // not negative
			return errTerms
		}
		f(uint32(at)) //nolint:gosec // checked
	}
	return nil
}

// riceBits is how many bits of a distance are not in unary: about as many as make
// the unary part one and a half bits long on average.
func riceBits(count, n int) int { return max(0, bits.Len(uint(n/count*3/4))-1) }

func appendRice(dst []byte, list []uint32, n int) []byte {
	k := riceBits(len(list), n)
	acc, held := uint64(0), 0
	flush := func() {
		for ; held >= 8; held -= 8 {
			dst = append(dst, byte(acc)) //nolint:gosec // the lowest eight bits
			acc >>= 8
		}
	}
	last := uint32(0)
	for i, d := range list {
		if i > 0 {
			d -= last + 1
		}
		last = list[i]
		for high := int(d >> k); ; high -= 32 { // as many zeros, and a one
			if high < 32 {
				acc |= 1 << (held + high)
				held += high + 1
				flush()
				break
			}
			held += 32
			flush()
		}
		acc |= uint64(d&(1<<k-1)) << held
		held += k
		flush()
	}
	if held > 0 {
		dst = append(dst, byte(acc)) //nolint:gosec // the lowest eight bits
	}
	return dst
}

func eachRice(b []byte, count, n int, f func(uint32)) error {
	k := riceBits(count, n)
	acc, held := uint64(0), 0
	fill := func() {
		for ; held <= 56 && len(b) > 0; held += 8 {
			acc |= uint64(b[0]) << held
			b = b[1:]
		}
	}
	at := uint64(0)
	for i := range count {
		d := uint64(0)
		fill()
		for acc == 0 {
			if held == 0 || d > uint64(n) { //nolint:gosec // not negative
				return errTerms
			}
			d += uint64(held) //nolint:gosec // not negative
			held = 0
			fill()
		}
		zeros := bits.TrailingZeros64(acc)
		d += uint64(zeros) //nolint:gosec // not negative
		acc >>= zeros + 1
		held -= zeros + 1
		fill()
		if held < k {
			return errTerms
		}
		d = d<<k | acc&(1<<k-1)
		acc >>= k
		held -= k
		if i > 0 {
			d += at + 1
		}
		if at = d; at >= uint64(n) { //nolint:gosec // not negative
			return errTerms
		}
		f(uint32(at)) //nolint:gosec // checked
	}
	return nil
}
