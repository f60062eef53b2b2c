// Package seal encrypts secrets at rest in the forms that WildDuck writes, so
// that both read what the other wrote: DKIM and certificate keys, TOTP seeds,
// settings.
//
// Encrypt writes $wd01$aes-256-gcm$TAG$IV$SALT$DATA, all hexadecimal, with a
// key that scrypt (RFC 7914) derives from the secret and the salt. Decrypt also
// reads the old form $DATA, AES in CBC mode with a key derived as OpenSSL's
// EVP_BytesToKey does (MD5, no salt), and passes on what is not encrypted.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the derivation of an old form that is only read
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/scrypt"
)

// The failures of Decrypt.
var (
	// ErrNoSecret: the text is encrypted, and no secret is known.
	ErrNoSecret = errors.New("encrypted, and no secret is configured")
	// ErrForm: the text is of no form that is known.
	ErrForm = errors.New("not an encrypted text")
	// ErrSecret: the secret is another one, or the text was altered.
	ErrSecret = errors.New("the secret does not open it")
)

const (
	saltSize, ivSize, tagSize, keySize = 16, 12, 16, 32
	// scryptN, scryptR and scryptP are Node's defaults.
	scryptN, scryptR, scryptP = 16384, 8, 1
	// maxKeys bounds the derived keys that a Box remembers.
	maxKeys = 256
)

// Box encrypts and decrypts with one secret. The zero value has none: it
// leaves texts as they are. It may be used by several goroutines.
type Box struct {
	secret string
	legacy string

	mu   sync.Mutex
	keys map[[sha256.Size]byte][]byte
}

// New returns a Box. legacy names the cipher of old texts, aes128, aes192 or
// aes256, "" for aes192.
func New(secret, legacy string) (*Box, error) {
	if legacy == "" {
		legacy = "aes192"
	}
	if legacyKey(legacy) == 0 {
		return nil, fmt.Errorf("cipher %q: is aes128, aes192 or aes256", legacy)
	}
	return &Box{secret: secret, legacy: legacy, keys: map[[sha256.Size]byte][]byte{}}, nil
}

// Encrypt seals a text; a Box without a secret gives it back.
func (b *Box) Encrypt(text string) (string, error) {
	if b == nil || b.secret == "" {
		return text, nil
	}
	salt, iv := make([]byte, saltSize), make([]byte, ivSize)
	_, _ = rand.Read(salt) // never fails
	_, _ = rand.Read(iv)
	gcm, err := b.gcm(salt)
	if err != nil {
		return "", err
	}
	sealed := gcm.Seal(nil, iv, []byte(text), nil)
	cut := len(sealed) - tagSize
	parts := []string{"", "wd01", "aes-256-gcm"}
	for _, p := range [][]byte{sealed[cut:], iv, salt, sealed[:cut]} {
		parts = append(parts, hex.EncodeToString(p))
	}
	return strings.Join(parts, "$"), nil
}

// Decrypt opens a text of any form. What does not begin with $ is clear.
func (b *Box) Decrypt(text string) (string, error) {
	if !strings.HasPrefix(text, "$") {
		return text, nil
	}
	if b == nil || b.secret == "" {
		return "", ErrNoSecret
	}
	if strings.LastIndexByte(text, '$') == 0 {
		return b.decryptLegacy(text[1:])
	}
	parts := strings.Split(text, "$")
	if len(parts) != 7 || parts[1] != "wd01" || parts[2] != "aes-256-gcm" {
		return "", ErrForm
	}
	var raw [4][]byte
	for i := range raw {
		var err error
		if raw[i], err = hex.DecodeString(parts[3+i]); err != nil {
			return "", ErrForm
		}
	}
	tag, iv, salt, data := raw[0], raw[1], raw[2], raw[3]
	if len(tag) != tagSize || len(iv) != ivSize || len(salt) != saltSize {
		return "", ErrForm
	}
	gcm, err := b.gcm(salt)
	if err != nil {
		return "", err
	}
	clear, err := gcm.Open(nil, iv, append(data, tag...), nil)
	if err != nil {
		return "", ErrSecret
	}
	return string(clear), nil
}

func (b *Box) gcm(salt []byte) (cipher.AEAD, error) {
	k, err := b.key(salt)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// key derives the key of a salt, which takes some 50 ms, once.
func (b *Box) key(salt []byte) ([]byte, error) {
	id := sha256.Sum256(salt)
	b.mu.Lock()
	k := b.keys[id]
	b.mu.Unlock()
	if k != nil {
		return k, nil
	}
	k, err := scrypt.Key([]byte(b.secret), salt, scryptN, scryptR, scryptP, keySize)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.keys) >= maxKeys {
		clear(b.keys)
	}
	b.keys[id] = k
	return k, nil
}

// legacyKey is the size of a cipher's key, 0 for one that is not known.
func legacyKey(name string) int {
	switch strings.ToLower(name) {
	case "aes128", "aes-128-cbc":
		return 16
	case "aes192", "aes-192-cbc":
		return 24
	case "aes256", "aes-256-cbc":
		return 32
	}
	return 0
}

func (b *Box) decryptLegacy(text string) (string, error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return "", ErrForm
	}
	derived := bytesToKey(b.secret, legacyKey(b.legacy)+aes.BlockSize)
	cut := len(derived) - aes.BlockSize
	block, err := aes.NewCipher(derived[:cut])
	if err != nil {
		return "", err
	}
	cipher.NewCBCDecrypter(block, derived[cut:]).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize {
		return "", ErrSecret
	}
	for _, c := range data[len(data)-pad:] {
		if int(c) != pad {
			return "", ErrSecret
		}
	}
	return string(data[:len(data)-pad]), nil
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5, one round and no salt. The
// secret's characters count as Latin-1, as Node takes them.
func bytesToKey(secret string, size int) []byte {
	var pass []byte
	for _, r := range secret {
		pass = append(pass, byte(r)) //nolint:gosec // Latin-1, as the comment says
	}
	var out, last []byte
	for len(out) < size {
		sum := md5.Sum(append(append([]byte{}, last...), pass...)) //nolint:gosec // see import
		last = sum[:]
		out = append(out, last...)
	}
	return out[:size]
}
