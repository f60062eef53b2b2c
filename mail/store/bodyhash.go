package store

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
)

// bodyHasher takes a body and gives its SHA-256 in relaxed canonical form
// (RFC 6376 3.4.4), which ZoneMTA signs.
type bodyHasher struct {
	hash hash.Hash
	out  []byte // not hashed yet
	// empty counts empty lines, which are written when something follows: at
	// the end they do not count. filled: the line has something but blanks.
	empty           int
	filled          bool
	blank, carriage bool
}

func newBodyHasher() *bodyHasher { return &bodyHasher{hash: sha256.New()} }

// Write implements io.Writer.
func (h *bodyHasher) Write(b []byte) (int, error) {
	for _, c := range b {
		if h.carriage {
			h.carriage = false
			if c == '\n' {
				h.lineEnd()
				continue
			}
			h.put('\r')
		}
		switch c {
		case '\r':
			h.carriage = true
		case ' ', '\t':
			h.blank = true
		default:
			h.put(c)
		}
	}
	h.flush(0)
	return len(b), nil
}

// put takes a character that is no blank: runs of blanks before it are one
// space.
func (h *bodyHasher) put(c byte) {
	for ; h.empty > 0; h.empty-- {
		h.out = append(h.out, "\r\n"...)
		h.flush(4 << 10)
	}
	if h.blank {
		h.out = append(h.out, ' ')
	}
	h.out = append(h.out, c)
	h.filled, h.blank = true, false
}

// lineEnd drops the blanks before it.
func (h *bodyHasher) lineEnd() {
	if h.filled {
		h.out = append(h.out, "\r\n"...)
	} else {
		h.empty++
	}
	h.filled, h.blank = false, false
	h.flush(4 << 10)
}

func (h *bodyHasher) flush(most int) {
	if len(h.out) > most {
		_, _ = h.hash.Write(h.out) // a hash never fails
		h.out = h.out[:0]
	}
}

// sum ends the body and gives the hash in base64.
func (h *bodyHasher) sum() string {
	if h.carriage {
		h.carriage = false
		h.put('\r')
	}
	if h.filled {
		h.lineEnd()
	}
	h.flush(0)
	return base64.StdEncoding.EncodeToString(h.hash.Sum(nil))
}
