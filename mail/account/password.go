package account

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // hashes that others made
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nbutton23/zxcvbn-go"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/eidermail/eider/mail"
)

const (
	// minPassword is characters, maxPassword bytes (WildDuck's bound).
	minPassword = 8
	maxPassword = 256
	// minScore is the least strength that may be registered.
	minScore = 2
	// maxAnalysed bounds the strength meter: its cost grows with the square of
	// the length.
	maxAnalysed = 72

	iterations = 100_000
	saltSize   = 16
	hashSize   = 32
	// Bounds on the cost that a stored hash may ask for.
	maxIterations = 20_000_000
	maxMemory     = 2 << 20 // KiB
	maxHash       = 512
)

// nobodysHash costs what a usual one does and matches nothing: its hash is
// zeros, which no password gives.
const nobodysHash = "$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// CheckPassword judges a new password. inputs are words that it must not be
// made of: the user name, the name. CodeInvalid with Field password and Reason
// empty, short, long or weak.
func CheckPassword(password string, inputs ...string) error {
	const field = "password"
	switch {
	case password == "":
		return invalid(field, "empty")
	case utf8.RuneCountInString(password) < minPassword:
		return invalid(field, "short")
	case len(password) > maxPassword:
		return invalid(field, "long")
	case Strength(password, inputs...) < minScore:
		return invalid(field, "weak")
	}
	return nil
}

// Strength rates a password from 0 (guessed at once) to 4. It looks at the
// first 72 bytes.
func Strength(password string, inputs ...string) (score int) {
	// The meter is made for people's words, not for what a stranger may send:
	// its failure is a weak password, not our end.
	defer func() {
		if recover() != nil {
			score = 0
		}
	}()
	words := make([]string, 0, 2*len(inputs))
	for _, in := range inputs {
		in = strings.ToLower(firstBytes(in, maxAnalysed))
		words = append(words, in)
		words = append(words, strings.FieldsFunc(in, func(r rune) bool { return strings.ContainsRune(" .-_@+", r) })...)
	}
	kept := words[:0]
	for _, w := range words {
		if utf8.RuneCountInString(w) > 2 {
			kept = append(kept, w)
		}
	}
	return min(max(zxcvbn.PasswordStrength(firstBytes(password, maxAnalysed), kept).Score, 0), 4)
}

// firstBytes cuts at a character's start.
func firstBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// HashPassword makes a hash as WildDuck does: PBKDF2 with SHA-256 and 100,000
// iterations, as a PHC string.
func HashPassword(password string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	sum, err := pbkdf2.Key(sha256.New, password, salt, iterations, hashSize)
	if err != nil {
		return "", &mail.Error{Code: mail.CodeInternal, Op: "hash password", Err: err}
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$pbkdf2-sha256$i=%d$%s$%s", iterations, b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// VerifyPassword compares a password with a hash of any known kind: PBKDF2
// (SHA-1, SHA-256, SHA-512), bcrypt, Argon2i and Argon2id, sha256-crypt,
// sha512-crypt, md5-crypt. rehash tells that the hash is older than the
// default kind and may be replaced.
func VerifyPassword(hash, password string) (ok, rehash bool) {
	if len(hash) > maxHash || len(password) > maxPassword {
		return false, false
	}
	parts := strings.Split(hash, "$")
	if len(parts) < 4 || parts[0] != "" {
		return false, false
	}
	switch kind := parts[1]; kind {
	case "pbkdf2-sha1", "pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512":
		ok, n := verifyPBKDF2(kind, parts, password)
		return ok, ok && (n < iterations || kind == "pbkdf2-sha1" || kind == "pbkdf2")
	case "2a", "2b", "2y":
		// Its makers use the first 72 bytes.
		ok := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)[:min(len(password), 72)]) == nil
		return ok, ok
	case "argon2i", "argon2id":
		ok := verifyArgon2(kind, parts, password)
		return ok, ok
	case "1", "5", "6":
		ok := verifyCrypt(kind, parts, password)
		return ok, ok
	}
	return false, false
}

// KnownHash reports a hash that VerifyPassword can compare with.
func KnownHash(hash string) bool {
	parts := strings.Split(hash, "$")
	if len(hash) > maxHash || len(parts) < 4 || parts[0] != "" {
		return false
	}
	switch kind := parts[1]; kind {
	case "pbkdf2-sha1", "pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512":
		_, _, n, ok := readPBKDF2(parts)
		return ok && n > 0
	case "2a", "2b", "2y":
		_, err := bcrypt.Cost([]byte(hash))
		return err == nil
	case "argon2i", "argon2id":
		_, ok := readArgon2(parts)
		return ok
	case "1", "5", "6":
		_, ok := readCrypt(kind, parts)
		return ok
	}
	return false
}

func unbase64(s string) ([]byte, bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return b, err == nil
}

// readPBKDF2 reads $pbkdf2-sha256$i=100000$salt$hash.
func readPBKDF2(parts []string) (salt, sum []byte, n int, ok bool) {
	if len(parts) != 5 {
		return nil, nil, 0, false
	}
	for _, p := range strings.Split(parts[2], ",") {
		if v, found := strings.CutPrefix(p, "i="); found {
			n, _ = strconv.Atoi(v)
		}
	}
	salt, ok1 := unbase64(parts[3])
	sum, ok2 := unbase64(parts[4])
	return salt, sum, n, ok1 && ok2 && n > 0 && n <= maxIterations && len(sum) >= 16
}

func verifyPBKDF2(kind string, parts []string, password string) (ok bool, n int) {
	salt, sum, n, ok := readPBKDF2(parts)
	if !ok {
		return false, 0
	}
	var h func() hash.Hash
	switch kind {
	case "pbkdf2-sha256":
		h = sha256.New
	case "pbkdf2-sha512":
		h = sha512.New
	default:
		h = sha1.New
	}
	have, err := pbkdf2.Key(h, password, salt, n, len(sum))
	return err == nil && subtle.ConstantTimeCompare(have, sum) == 1, n
}

type argon2Hash struct {
	time, memory uint32
	threads      uint8
	salt, sum    []byte
}

// readArgon2 reads $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
func readArgon2(parts []string) (a argon2Hash, ok bool) {
	if len(parts) != 6 || parts[2] != "v=19" {
		return a, false
	}
	for _, p := range strings.Split(parts[3], ",") {
		name, v, _ := strings.Cut(p, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return a, false
		}
		switch name {
		case "m":
			a.memory = uint32(n)
		case "t":
			a.time = uint32(n)
		case "p":
			if n > 255 {
				return a, false
			}
			a.threads = uint8(n)
		}
	}
	var ok1, ok2 bool
	a.salt, ok1 = unbase64(parts[4])
	a.sum, ok2 = unbase64(parts[5])
	bounded := a.memory > 0 && a.memory <= maxMemory && a.time > 0 && a.time <= 100 && a.threads > 0
	return a, ok1 && ok2 && bounded && len(a.sum) >= 16
}

func verifyArgon2(kind string, parts []string, password string) bool {
	a, ok := readArgon2(parts)
	if !ok {
		return false
	}
	key := argon2.IDKey
	if kind == "argon2i" {
		key = argon2.Key
	}
	have := key([]byte(password), a.salt, a.time, a.memory, a.threads, uint32(len(a.sum))) //nolint:gosec // bounded by maxHash
	return subtle.ConstantTimeCompare(have, a.sum) == 1
}

// passwordWords spell a password that a person can copy from a terminal: no
// letters that look alike.
const passwordWords = "abcdefghijkmnpqrstuvwxyz23456789"

// randomPassword has 100 bits, in groups of five.
func randomPassword() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	var out strings.Builder
	for i, c := range b {
		if i > 0 && i%5 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(passwordWords[int(c)%len(passwordWords)])
	}
	return out.String()
}
