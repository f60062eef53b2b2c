package account

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

func cose(t testing.TB, fields map[int]any) []byte {
	t.Helper()
	out, err := webauthncbor.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each kind of key comes back from its PEM block byte for byte.
func TestKeyThereAndBack(t *testing.T) {
	keys := map[string][]byte{}
	for zeros := 0; zeros < 3; {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		// Coordinates that begin with zeros are the ones that get lost.
		if p[1] == 0 || p[33] == 0 || zeros == 0 {
			keys["ES256 "+string(rune('a'+zeros))] = cose(t, map[int]any{1: 2, 3: -7, -1: 1, -2: p[1:33], -3: p[33:]})
			zeros++
		}
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["EdDSA"] = cose(t, map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(ed)})
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys["RS256"] = cose(t, map[int]any{1: 3, 3: -257, -1: r.N.Bytes(), -2: []byte{1, 0, 1}})
	for name, want := range keys {
		text, err := pemOfCOSE(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := coseOfPEM(text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x, %v", name, got, want, err)
		}
	}
}

func TestKeysThatAreNot(t *testing.T) {
	for _, text := range []string{
		"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		if _, err := coseOfPEM(text); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{nil, {0xa0}, cose(t, map[int]any{1: 2, 3: -35, -1: 2, -2: p[1:49], -3: p[49:]})} {
		if _, err := pemOfCOSE(raw); err == nil {
			t.Errorf("%x is taken for a key", raw)
		}
	}
}

func FuzzCOSEOfPEM(f *testing.F) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	text, err := pemOfCOSE(cose(f, map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(ed)}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := coseOfPEM(text)
		if err != nil {
			return
		}
		again, err := pemOfCOSE(raw)
		if err != nil {
			t.Skip("a key that the library does not take")
		}
		if back, err := coseOfPEM(again); err != nil || !bytes.Equal(back, raw) {
			t.Errorf("%x came back as %x, %v", raw, back, err)
		}
	})
}
