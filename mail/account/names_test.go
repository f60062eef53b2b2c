package account

import (
	"errors"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

func reasonOf(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestCheckUsername(t *testing.T) {
	a := &Accounts{reserved: reservedSkeletons([]string{"boss"})}
	for name, want := range map[string]string{
		"ann": "", "ann.smith": "", "a_b-c.d": "", "x": "", "ann2026": "", "2fast": "",
		"юрий": "", "张伟": "", "山田太郎": "", "γιώργος": "", "جمال": "", "müller": "", "नमस्ते": "", "zhang伟": "",
		"": "empty", strings.Repeat("a", 32): "", strings.Repeat("a", 33): "long", strings.Repeat("я", 32): "",
		".ann": "format", "ann.": "format", "a..b": "format", "a.-b": "format", "a b": "format", "a+b": "format", "a@b": "format",
		"a\u200bb": "format", "a\u202eb": "format", "ann/": "format", "a*": "format", "\u0301a": "format",
		"postmaster": "reserved", "Admin": "reserved", "ad.min": "reserved", "a-d-m-i-n": "reserved", "adm1n": "reserved",
		"r00t": "reserved", "abuse": "reserved", "no.reply": "reserved", "mailer-daemon": "reserved", "b0ss": "reserved",
		"root": "reserved", "rооt": "format", "аdmin": "format", "ροοτ": "", "àdmín": "reserved", "αdmin": "format",
		"ѕесurity": "format", "пользователь": "",
	} {
		got := reasonOf(a.checkUsername(address.NormalizeUsername(name)))
		if got != want {
			t.Errorf("checkUsername(%q): %q, want %q", name, got, want)
		}
	}
}

func TestSkeleton(t *testing.T) {
	for _, pair := range [][2]string{
		{"admin", "адmin"}, {"admin", "adrnin"}, {"root", "r0оt"}, {"abuse", "аbusе"}, {"webmaster", "vvebmaster"}, {"support", "suррort"},
	} {
		// д is no look-alike; the first pair must differ.
		same := skeleton(pair[0]) == skeleton(pair[1])
		if want := pair[1] != "адmin"; same != want {
			t.Errorf("skeletons of %q and %q: same %v, want %v", pair[0], pair[1], same, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "Ann Smith": "", "山田 太郎": "", strings.Repeat("я", 128): "", strings.Repeat("я", 129): "long",
		"Ann\r\nBcc: x": "format", "a\u202eb": "format", "\x00": "format",
	} {
		if got := reasonOf(checkName(name)); got != want {
			t.Errorf("checkName(%q): %q, want %q", name, got, want)
		}
	}
}

func FuzzCheckUsername(f *testing.F) {
	a := &Accounts{reserved: reservedSkeletons(nil)}
	for _, s := range []string{"ann", "юрий", "a.b", "張", "a\u0301", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := address.NormalizeUsername(s)
		if a.checkUsername(name) != nil {
			return
		}
		// What may be registered is a local-part, and its own normal form.
		got, err := address.Parse(name + "@example.com")
		if err != nil {
			t.Fatalf("%q is no local-part: %v", name, err)
		}
		if got.Normal() != name+"@example.com" {
			t.Errorf("normal form of %q is %q", name, got.Normal())
		}
	})
}
