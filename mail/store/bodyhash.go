package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"hash"
)

// relaxedBodyHash is the base64 SHA-256 of a body in relaxed canonical form
// (RFC 6376 3.4.4), which ZoneMTA signs.
func relaxedBodyHash(body []byte) string {
	h := sha256.New()
	empty := 0
	for len(body) > 0 {
		line := body
		if i := bytes.Index(body, []byte("\r\n")); i >= 0 {
			line, body = body[:i], body[i+2:]
		} else {
			body = nil
		}
		line = relaxLine(line)
		if len(line) == 0 {
			// Empty lines at the end do not count; they are written when
			// something follows.
			empty++
			continue
		}
		for ; empty > 0; empty-- {
			write(h, "\r\n")
		}
		_, _ = h.Write(line) // a hash never fails
		write(h, "\r\n")
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func write(h hash.Hash, s string) { _, _ = h.Write([]byte(s)) } // a hash never fails

// relaxLine makes runs of blanks one space and drops those at the end.
func relaxLine(line []byte) []byte {
	out := make([]byte, 0, len(line))
	blank := false
	for _, c := range line {
		if c == ' ' || c == '\t' {
			blank = true
			continue
		}
		if blank {
			out = append(out, ' ')
			blank = false
		}
		out = append(out, c)
	}
	return out
}
