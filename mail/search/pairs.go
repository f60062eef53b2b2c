package search

import (
	"math/bits"
	"slices"
	"unicode/utf8"
)

// A pair is two runs of a text that follow each other, so that an index can tell a
// phrase from words that only stand in one message. Pairs are many and mostly of
// one message, so an index holds not them but the numbers that they hash to: one
// that is missing proves that a message lacks the pair, one that is there proves
// nothing. They are the same for all fields of a message.

// A pair's number has pairBits. A message of at most fewPairs gives it without the
// last ones, as fewBits: among few pairs that excludes as much, and costs less of
// the index.
const (
	pairBits = 16
	fewBits  = 13
	fewPairs = 256
)

// PairPlaces is where an index keeps pairs; placePair is its only place.
const (
	placePair  = 'P'
	PairPlaces = string(placePair)
	// pairMark begins a pair's token, as it begins no word.
	pairMark = '\x02'
	// PairsToken tells, in PairPlaces, that all pairs of the message are there.
	PairsToken = string(pairMark)
)

// pairing takes the runs of a text one after the other.
type pairing struct {
	last  uint64
	begun bool
	found func(pair uint16)
}

// run takes a run of characters of one class. A word is compared whole; in writing
// without blanks a phrase may begin and end anywhere, so that only the characters
// beside each other count.
func (p *pairing) run(b []byte, c class) {
	head, tail := b, b
	if c != word {
		_, n := utf8.DecodeRune(b)
		_, m := utf8.DecodeLastRune(b)
		head, tail = b[:n], b[len(b)-m:]
	}
	h := hashRun(head)
	if p.begun {
		p.found(pairOf(p.last, h))
	}
	if p.last, p.begun = h, true; c != word {
		p.last = hashRun(tail)
	}
}

// hashRun is FNV-1a.
func hashRun(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// pairOf mixes the hashes of two runs, in their order. Stored indexes hold what it
// gives: it must not change.
func pairOf(a, b uint64) uint16 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xc2b2ae3d27d4eb4f)
	return uint16((high ^ low ^ bits.RotateLeft64(a, 29)) * 0x165667b19e3779f9 >> (64 - pairBits))
}

// pairToken writes a pair's number so that tokens sort as numbers do: those of
// messages with few pairs before the others.
func pairToken(dst []byte, pair uint16, few bool) []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
	n := int(pair) + 1<<fewBits
	if few {
		n = int(pair >> (pairBits - fewBits))
	}
	return append(dst, pairMark, digits[n>>12], digits[n>>6&63], digits[n&63])
}

// Pair is a pair as a lookup asks for it: a message has one of the tokens, the
// first one where its pairs are few.
type Pair [2]string

// pairs adds what a phrase needs: the pairs of its runs that are certain. A word at
// an open end may be longer in the text.
func (l *Lookup) pairs(b []byte, last int, opens, closes bool) {
	p := pairing{found: func(pair uint16) {
		l.Pairs = append(l.Pairs, Pair{string(pairToken(nil, pair, true)), string(pairToken(nil, pair, false))})
	}}
	for i := 0; i < len(b); {
		c, size := classAt(b, i)
		if c == separator {
			i += size
			continue
		}
		end := runEnd(b, i, c)
		switch {
		case c == word && closes && end == last:
			return
		case c != word || !opens || i > 0:
			p.run(b[i:end], c)
		}
		i = end
	}
}

// pairSet collects the pairs of one message.
type pairSet struct {
	has  [1 << pairBits / 64]uint64
	list []uint16
}

func (s *pairSet) add(pair uint16) {
	if word, bit := &s.has[pair/64], uint64(1)<<(pair%64); *word&bit == 0 {
		*word |= bit
		s.list = append(s.list, pair)
	}
}

// terms gives the pairs as terms before the others, which are sorted, and empties
// the set.
func (s *pairSet) terms(others []string) []string {
	const size = len("\x02123\x01P")
	slices.Sort(s.list)
	few := len(s.list) <= fewPairs
	buf := make([]byte, 0, size*len(s.list))
	for i, pair := range s.list {
		s.has[pair/64] = 0
		if !few || i == 0 || pair>>(pairBits-fewBits) != s.list[i-1]>>(pairBits-fewBits) {
			buf = append(pairToken(buf, pair, few), placeMark, placePair)
		}
	}
	s.list = s.list[:0]
	all, out := string(buf), append(make([]string, 0, 1+len(buf)/size+len(others)), MakeTerm(PairsToken, placePair))
	for i := 0; i < len(all); i += size {
		out = append(out, all[i:i+size])
	}
	sorted := len(others) == 0 || out[len(out)-1] < others[0]
	if out = append(out, others...); !sorted {
		slices.Sort(out)
	}
	return out
}
