package address

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var seeds = []string{
	"", "@", "a@b", "John.Doe+Label@Example.ORG", "андрис@уайлддак.орг", "x@xn--80aalaxjd5d.xn--c1avg", `"john doe"@example.org`,
	`"a\"b\\c@d"@example.org`, "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "x@例え。jp", "x@xn--a.example", "a.+x@b", `" . "@b`, "ΣΑΣ@Σ.gr",
	"İ@İ.tr", "x@\u06f0\u0627.ir", "a.\u0300@b", "\"\\e\u0301\"@b",
}

// checkInvariants says what holds for every address that Parse takes.
func checkInvariants(t interface {
	Fatalf(format string, args ...any)
}, a Address,
) {
	again := func(s string) Address {
		b, err := Parse(s)
		if err != nil {
			t.Fatalf("%#v wrote %q: %v", a, s, err)
		}
		return b
	}
	if b := again(a.String()); b != a {
		t.Fatalf("%#v came back as %#v", a, b)
	}
	ascii, ok := a.ASCII()
	if b := again(ascii); b != a {
		t.Fatalf("%#v came back from %q as %#v", a, ascii, b)
	}
	if ok != isASCII(ascii) {
		t.Fatalf("%#v: ASCII %q, %v", a, ascii, ok)
	}
	normal := a.Normal()
	if len(quoteLocal(normalLocal(a.Local))) <= maxLocal {
		if b := again(normal); b.Normal() != normal || b.View() != a.View() {
			t.Fatalf("%#v: normal %q became %q, view %q became %q", a, normal, b.Normal(), a.View(), b.View())
		}
	}
	for _, s := range []string{a.Local, a.Domain, normal, a.View()} {
		if !norm.NFC.IsNormalString(s) || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
			t.Fatalf("%#v: %q is no clean text", a, s)
		}
	}
	if b := (Address{Local: a.Local + "+tag", Domain: a.Domain}); !strings.HasPrefix(a.Local, "+") && a.Local == strings.TrimSpace(a.Local) && b.Label() == "tag" && b.View() != a.View() {
		t.Fatalf("%#v: a label changed the view %q to %q", a, a.View(), b.View())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if !a.IsZero() {
				t.Fatalf("%q: an error and %#v", s, a)
			}
			return
		}
		checkInvariants(t, a)
	})
}

func FuzzDomain(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Domain(s)
		if err != nil {
			return
		}
		if again, err := Domain(d); err != nil || again != d {
			t.Fatalf("%q gave %q, then %q, %v", s, d, again, err)
		}
		if again, err := Domain(asciiDomain(d)); err != nil || again != d {
			t.Fatalf("%q gave %q, by way of %q %q, %v", s, d, asciiDomain(d), again, err)
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add(`"Doe, J" <a@b>; x@y` + "\n<z")
	f.Add(`a@b (c), "d`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, entry := range SplitList(s) {
			if entry == "" || entry != strings.TrimSpace(entry) {
				t.Fatalf("%q: entry %q", s, entry)
			}
			name, a, err := ParseMailbox(entry)
			if err == nil && a.IsZero() || strings.ContainsAny(name, "\r\n\x00") {
				t.Fatalf("%q: %q, %#v", entry, name, a)
			}
		}
	})
}

func TestAddressProperties(t *testing.T) {
	local := rapid.StringOfN(rapid.OneOf(
		rapid.RuneFrom([]rune(`ab.+"\ @<,ÄöΣσςİKя`+"\u0301\u0308\u00a0\u037e")), rapid.Rune()), 1, 12, 64)
	domain := rapid.SampledFrom([]string{"b", "Example.org", "xn--c1avg", "орг", "[192.0.2.7]", "ß.de", "x_y.z"})
	rapid.Check(t, func(t *rapid.T) {
		l, d := local.Draw(t, "local"), domain.Draw(t, "domain")
		if rapid.Bool().Draw(t, "quoted") {
			l = quoteLocal(l)
		}
		if a, err := Parse(l + "@" + d); err == nil {
			checkInvariants(t, a)
		}
	})
}

func TestUsernameProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "username")
		n, v := NormalizeUsername(s), UsernameView(s)
		if NormalizeUsername(n) != n || UsernameView(n) != v || UsernameView(v) != v {
			t.Fatalf("%q: %q, %q, again %q, %q", s, n, v, NormalizeUsername(n), UsernameView(v))
		}
	})
}
