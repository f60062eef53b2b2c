package seal_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail/seal"
)

func box(t testing.TB, secret, legacy string) *seal.Box {
	t.Helper()
	b, err := seal.New(secret, legacy)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Texts that WildDuck's own code wrote, and Node's createCipheriv for the old
// form.
func TestReadsWildDuck(t *testing.T) {
	for _, c := range vectors {
		got, err := box(t, c.secret, c.legacy).Decrypt(c.sealed)
		if err != nil || got != c.clear {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.clear)
		}
		if _, err := box(t, c.secret+"x", c.legacy).Decrypt(c.sealed); err == nil {
			t.Errorf("%s: another secret opens it", c.name)
		}
		if _, err := box(t, "", "").Decrypt(c.sealed); !errors.Is(err, seal.ErrNoSecret) {
			t.Errorf("%s: without a secret: %v", c.name, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	one := box(t, "a secret", "")
	sealed, err := one.Encrypt("text")
	if err != nil || !strings.HasPrefix(sealed, "$wd01$aes-256-gcm$") {
		t.Fatalf("%q, %v", sealed, err)
	}
	if again, _ := one.Encrypt("text"); again == sealed {
		t.Error("two encryptions of a text are equal")
	}
	rapid.Check(t, func(rt *rapid.T) {
		// One salt: the derivation of a key takes long on purpose.
		text := rapid.String().Draw(rt, "text")
		if strings.HasPrefix(text, "$") {
			return
		}
		none := box(t, "", "")
		if got, err := none.Encrypt(text); err != nil || got != text {
			rt.Fatalf("without a secret: %q, %v", got, err)
		}
		if got, err := one.Decrypt(text); err != nil || got != text {
			rt.Fatalf("clear text: %q, %v", got, err)
		}
	})
	if got, err := one.Decrypt(sealed); err != nil || got != "text" {
		t.Errorf("%q, %v", got, err)
	}
	for i := 18; i < len(sealed); i += 7 {
		changed := []byte(sealed)
		changed[i] ^= 1
		if got, err := one.Decrypt(string(changed)); err == nil && got == "text" && changed[i]|0x20 != sealed[i]|0x20 {
			t.Errorf("altered at %d, and opened", i)
		}
	}
}

func TestRefused(t *testing.T) {
	b := box(t, "s", "")
	for _, text := range []string{"$", "$zz", "$00", "$wd01$aes-256-gcm$00$00$00$00", "$wd02$aes-256-gcm$a$a$a$a", "$wd01$x", "$$$$$$$", "$wd01$aes-128-gcm$$$$"} {
		if _, err := b.Decrypt(text); err == nil {
			t.Errorf("%q was opened", text)
		}
	}
	if _, err := seal.New("s", "rot13"); err == nil {
		t.Error("an unknown cipher was taken")
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, c := range vectors {
		f.Add(c.sealed)
	}
	b := box(f, "fuzz", "")
	f.Fuzz(func(_ *testing.T, text string) {
		if strings.Count(text, "$") == 6 {
			text = strings.Replace(text, "wd01", "wd02", 1) // each new salt costs 50 ms
		}
		_, _ = b.Decrypt(text)
	})
}
