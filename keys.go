package main

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// deriveKey gives the 32-byte key of one purpose, so that no key serves two.
func deriveKey(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "eider "+purpose, sha256.Size)
	if err != nil {
		// HKDF refuses lengths above 255 hashes only; ours is one.
		panic(err)
	}
	return key
}
