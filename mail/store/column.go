package store

import "math/bits"

// column holds numbers in as few bits as their differences from the least
// take. It does not own its words: the columns of a chunk share one piece of
// memory, which the allocator rounds up once.
type column struct {
	base uint64
	// from is the first word, width the bits of one number.
	from  uint32
	width uint8
}

// columnShape finds least and width for the values.
func columnShape(values []uint64) (base uint64, width uint8) {
	if len(values) == 0 {
		return 0, 0
	}
	base = values[0]
	most := values[0]
	for _, v := range values {
		base, most = min(base, v), max(most, v)
	}
	return base, uint8(bits.Len64(most - base)) //nolint:gosec // at most 64
}

// columnWords is how many words n numbers take.
func columnWords(n int, width uint8) int { return (n*int(width) + 63) / 64 }

// pack writes the values into words that are zero.
func (c *column) pack(words []uint64, values []uint64) {
	if c.width == 0 {
		return
	}
	words = words[c.from:]
	at := 0
	for _, v := range values {
		v -= c.base
		word, shift := at>>6, at&63
		words[word] |= v << shift
		if shift+int(c.width) > 64 {
			words[word+1] |= v >> (64 - shift)
		}
		at += int(c.width)
	}
}

// at reads the i-th number.
func (c *column) at(words []uint64, i int) uint64 {
	if c.width == 0 {
		return c.base
	}
	at := i * int(c.width)
	word, shift := int(c.from)+at>>6, at&63
	v := words[word] >> shift
	if shift+int(c.width) > 64 {
		v |= words[word+1] << (64 - shift)
	}
	return c.base + v&(1<<c.width-1)
}
