package account

import (
	"crypto/md5" //nolint:gosec // hashes that others made
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"strconv"
	"strings"
)

// The crypt(3) kinds that old user databases hold: md5-crypt ($1$) and the
// SHA-crypt of U. Drepper ($5$, $6$), after its published specification.

const (
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	shaRounds     = 5000
	minSHARounds  = 1000
	maxSHARounds  = 1_000_000
	maxSHASalt    = 16
	maxMD5Salt    = 8
)

// cryptHash is a crypt(3) hash in parts.
type cryptHash struct {
	salt, sum string
	rounds    int
}

// readCrypt reads $5$rounds=5000$salt$sum; rounds may be missing.
func readCrypt(kind string, parts []string) (c cryptHash, ok bool) {
	c.rounds = shaRounds
	rest := parts[2:]
	if n, found := strings.CutPrefix(rest[0], "rounds="); found && kind != "1" {
		r, err := strconv.Atoi(n)
		if err != nil || r > maxSHARounds {
			return c, false
		}
		c.rounds, rest = max(r, minSHARounds), rest[1:]
	}
	if len(rest) != 2 {
		return c, false
	}
	longest, want := maxSHASalt, map[string]int{"1": 22, "5": 43, "6": 86}[kind]
	if kind == "1" {
		longest = maxMD5Salt
	}
	c.salt, c.sum = rest[0][:min(len(rest[0]), longest)], rest[1]
	return c, len(c.sum) == want
}

func verifyCrypt(kind string, parts []string, password string) bool {
	c, ok := readCrypt(kind, parts)
	if !ok {
		return false
	}
	var have string
	switch kind {
	case "1":
		have = md5Crypt(password, c.salt)
	case "5":
		have = shaCrypt(sha256.New, sha256Order, password, c.salt, c.rounds)
	default:
		have = shaCrypt(sha512.New, sha512Order, password, c.salt, c.rounds)
	}
	return subtle.ConstantTimeCompare([]byte(have), []byte(c.sum)) == 1
}

// encode24 writes three bytes as n characters, lowest bits first.
func encode24(out *strings.Builder, b2, b1, b0 byte, n int) {
	w := uint32(b2)<<16 | uint32(b1)<<8 | uint32(b0)
	for range n {
		out.WriteByte(cryptAlphabet[w&0x3f])
		w >>= 6
	}
}

func md5Crypt(password, salt string) string {
	p := []byte(password)
	alt := md5.Sum([]byte(password + salt + password)) //nolint:gosec // see import
	h := md5.New()                                     //nolint:gosec // see import
	put := func(parts ...[]byte) {
		for _, b := range parts {
			_, _ = h.Write(b) // a hash never fails
		}
	}
	put(p, []byte("$1$"), []byte(salt))
	for n := len(p); n > 0; n -= 16 {
		put(alt[:min(n, 16)])
	}
	for n := len(p); n > 0; n >>= 1 {
		if n&1 != 0 {
			put([]byte{0})
		} else {
			put(p[:1])
		}
	}
	sum := h.Sum(nil)
	for i := range 1000 {
		h.Reset()
		if i&1 != 0 {
			put(p)
		} else {
			put(sum)
		}
		if i%3 != 0 {
			put([]byte(salt))
		}
		if i%7 != 0 {
			put(p)
		}
		if i&1 != 0 {
			put(sum)
		} else {
			put(p)
		}
		sum = h.Sum(nil)
	}
	var out strings.Builder
	for _, t := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		encode24(&out, sum[t[0]], sum[t[1]], sum[t[2]], 4)
	}
	encode24(&out, 0, 0, sum[11], 2)
	return out.String()
}

// repeat fills n bytes with b over and over.
func repeat(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

// shaCrypt is SHA-crypt: steps 1 to 22 of its specification.
func shaCrypt(newHash func() hash.Hash, order func([]byte) string, password, salt string, rounds int) string {
	p, s := []byte(password), []byte(salt)
	h := newHash()
	digest := func(parts ...[]byte) []byte {
		h.Reset()
		for _, b := range parts {
			_, _ = h.Write(b) // a hash never fails
		}
		return h.Sum(nil)
	}
	alt := digest(p, s, p)
	parts := [][]byte{p, s, repeat(alt, len(p))}
	for n := len(p); n > 0; n >>= 1 {
		if n&1 != 0 {
			parts = append(parts, alt)
		} else {
			parts = append(parts, p)
		}
	}
	sum := digest(parts...)
	all := make([][]byte, len(p))
	for i := range all {
		all[i] = p
	}
	pp := repeat(digest(all...), len(p))
	all = make([][]byte, 16+int(sum[0]))
	for i := range all {
		all[i] = s
	}
	ss := repeat(digest(all...), len(s))
	for i := range rounds {
		parts = parts[:0]
		if i&1 != 0 {
			parts = append(parts, pp)
		} else {
			parts = append(parts, sum)
		}
		if i%3 != 0 {
			parts = append(parts, ss)
		}
		if i%7 != 0 {
			parts = append(parts, pp)
		}
		if i&1 != 0 {
			parts = append(parts, sum)
		} else {
			parts = append(parts, pp)
		}
		sum = digest(parts...)
	}
	return order(sum)
}

// sha256Order is the order of output bytes: each group is the one before it
// with its columns turned by one.
func sha256Order(b []byte) string {
	var out strings.Builder
	i, j, k := 0, 10, 20
	for range 10 {
		encode24(&out, b[i], b[j], b[k], 4)
		i, j, k = k+1, i+1, j+1
	}
	encode24(&out, 0, b[31], b[30], 3)
	return out.String()
}

func sha512Order(b []byte) string {
	var out strings.Builder
	i, j, k := 0, 21, 42
	for range 21 {
		encode24(&out, b[i], b[j], b[k], 4)
		i, j, k = j+1, k+1, i+1
	}
	encode24(&out, 0, 0, b[63], 2)
	return out.String()
}
