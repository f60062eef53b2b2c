package address

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, local, domain, out, ascii string }{
		{"a@b", "a", "b", "a@b", "a@b"},
		{"John.Doe+Label@Example.ORG", "John.Doe+Label", "example.org", "John.Doe+Label@example.org", "John.Doe+Label@example.org"},
		{"андрис@уайлддак.орг", "андрис", "уайлддак.орг", "андрис@уайлддак.орг", "андрис@xn--80aalaxjd5d.xn--c1avg"},
		{"x@xn--80aalaxjd5d.xn--c1avg", "x", "уайлддак.орг", "x@уайлддак.орг", "x@xn--80aalaxjd5d.xn--c1avg"},
		{"x@XN--80AALAXJD5D.xn--c1avg", "x", "уайлддак.орг", "x@уайлддак.орг", "x@xn--80aalaxjd5d.xn--c1avg"},
		{"x@УАЙЛДДАК.ОРГ", "x", "уайлддак.орг", "x@уайлддак.орг", "x@xn--80aalaxjd5d.xn--c1avg"},
		{"x@straße.example", "x", "straße.example", "x@straße.example", "x@xn--strae-oqa.example"},
		{"jo\u0308rg@example.org", "jörg", "example.org", "jörg@example.org", "jörg@example.org"},
		{`"john doe"@example.org`, "john doe", "example.org", `"john doe"@example.org`, `"john doe"@example.org`},
		{`"plain"@example.org`, "plain", "example.org", `plain@example.org`, `plain@example.org`},
		{`"a\"b\\c@d"@example.org`, `a"b\c@d`, "example.org", `"a\"b\\c@d"@example.org`, `"a\"b\\c@d"@example.org`},
		{`"a..b"@example.org`, "a..b", "example.org", `"a..b"@example.org`, `"a..b"@example.org`},
		{"x@[192.0.2.1]", "x", "[192.0.2.1]", "x@[192.0.2.1]", "x@[192.0.2.1]"},
		{"x@[IPv6:2001:DB8:0::1]", "x", "[ipv6:2001:db8::1]", "x@[ipv6:2001:db8::1]", "x@[ipv6:2001:db8::1]"},
		{"x@r3---sn.example_host.org", "x", "r3---sn.example_host.org", "x@r3---sn.example_host.org", "x@r3---sn.example_host.org"},
		{"x@例え。jp", "x", "例え.jp", "x@例え.jp", "x@xn--r8jz45g.jp"},
		// Punycode that leads nowhere stays as it is.
		{"x@xn--a.example", "x", "xn--a.example", "x@xn--a.example", "x@xn--a.example"},
		{"!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~", "example.org", "!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"},
		{strings.Repeat("l", 64) + "@example.org", strings.Repeat("l", 64), "example.org", strings.Repeat("l", 64) + "@example.org", strings.Repeat("l", 64) + "@example.org"},
	} {
		a, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		ascii, ok := a.ASCII()
		if a.Local != c.local || a.Domain != c.domain || a.String() != c.out || ascii != c.ascii {
			t.Errorf("Parse(%q) = %#v, String %q, ASCII %q", c.in, a, a.String(), ascii)
		}
		if ok != isASCII(c.local) {
			t.Errorf("Parse(%q).ASCII() ok = %v", c.in, ok)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, reason := range map[string]Reason{
		"":                                      ReasonEmpty,
		"@":                                     ReasonFormat,
		"x":                                     ReasonFormat,
		"x@":                                    ReasonEmpty,
		"@example.org":                          ReasonFormat,
		`""@example.org`:                        ReasonEmpty,
		".x@example.org":                        ReasonFormat,
		"x.@example.org":                        ReasonFormat,
		"x..y@example.org":                      ReasonFormat,
		"x y@example.org":                       ReasonFormat,
		" x@example.org":                        ReasonFormat,
		"x@example.org ":                        ReasonDomain,
		"x@y@example.org":                       ReasonDomain,
		"<x@example.org>":                       ReasonFormat,
		`"x@example.org`:                        ReasonFormat,
		`"x"y@example.org`:                      ReasonFormat,
		"\"x\\\u00e9\"@example.org":             ReasonFormat,
		"\"x\r\ny\"@example.org":                ReasonFormat,
		"x\x00@example.org":                     ReasonFormat,
		"x\u0085@example.org":                   ReasonFormat,
		"x\u202ey@example.org":                  ReasonFormat,
		"x\xff@example.org":                     ReasonFormat,
		"x\u037ey@example.org":                  ReasonFormat, // a semicolon by NFC
		"x@example..org":                        ReasonDomain,
		"x@.example.org":                        ReasonDomain,
		"x@example.org.":                        ReasonDomain,
		"x@-example.org":                        ReasonDomain,
		"x@example-.org":                        ReasonDomain,
		"x@exa mple.org":                        ReasonDomain,
		"x@exam\uff20ple.org":                   ReasonDomain,
		"x@a\u202eb.org":                        ReasonDomain,
		"x@[192.0.2.256]":                       ReasonDomain,
		"x@[192.0.2.1":                          ReasonDomain,
		"x@[IPv6:192.0.2.1]":                    ReasonDomain,
		"x@[IPv6:fe80::1%eth0]":                 ReasonDomain,
		"x@[2001:db8::1]":                       ReasonDomain,
		strings.Repeat("l", 65) + "@b":          ReasonLong,
		"x@" + strings.Repeat("l", 64) + ".org": ReasonLong,
		"x@" + strings.Repeat("abcdefg.", 32) + "org": ReasonLong,
		strings.Repeat("x", 1<<20):                    ReasonLong,
		strings.Repeat("я", 33) + "@b":                ReasonLong,
	} {
		a, err := Parse(in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%.80q) = %#v, %v", in, a, err)
		} else if e.Reason != reason {
			t.Errorf("Parse(%.80q): reason %s, want %s (%v)", in, e.Reason, reason, err)
		}
	}
}

func TestNormalAndView(t *testing.T) {
	for _, c := range []struct{ in, normal, view, label string }{
		{"John.Doe+Lists+x@Example.org", "john.doe@example.org", "johndoe@example.org", "Lists+x"},
		{"АНДРИС+а@УАЙЛДДАК.ОРГ", "андрис@уайлддак.орг", "андрис@уайлддак.орг", "а"},
		{"ΟΔΟΣ@example.org", "οδος@example.org", "οδος@example.org", ""},
		{"+only@example.org", "+only@example.org", "+only@example.org", "only"},
		{"a.+x@example.org", `"a."@example.org`, "a@example.org", "x"},
		{`" Spaced "@example.org`, "spaced@example.org", "spaced@example.org", ""},
		{`"two words"@example.org`, `"two words"@example.org`, `"two words"@example.org`, ""},
		{`"..."@example.org`, `"..."@example.org`, `"..."@example.org`, ""},
	} {
		a, err := Parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if a.Normal() != c.normal || a.View() != c.view || a.Label() != c.label {
			t.Errorf("%q: Normal %q, View %q, Label %q", c.in, a.Normal(), a.View(), a.Label())
		}
	}
	if zero := (Address{}); zero.String() != "" || zero.Normal() != "" || zero.View() != "" || WildcardViews(zero) != nil {
		t.Error("the zero address must give nothing")
	}
}

func TestUsername(t *testing.T) {
	for _, c := range []struct{ in, normal, view string }{
		{" John.Doe ", "john.doe", "johndoe"},
		{"john.doe@Mail.Example.org", "john.doe@mail.example.org", "johndoe@mail.example.org"},
		{"a=b:c_d-e", "a=b:c_d-e", "a=b:c_d-e"},
		{"", "", ""},
	} {
		if n, v := NormalizeUsername(c.in), UsernameView(c.in); n != c.normal || v != c.view {
			t.Errorf("%q: %q, %q", c.in, n, v)
		}
	}
}

func TestWildcardViews(t *testing.T) {
	a, err := Parse("A.b+c@Example.org")
	if err != nil {
		t.Fatal(err)
	}
	want := "ab*@example.org *ab@example.org a*@example.org *b@example.org *@example.org ab@*"
	if got := strings.Join(WildcardViews(a), " "); got != want {
		t.Errorf("got %s", got)
	}
	long := Address{Local: strings.Repeat("я", 32) + "z", Domain: "example.org"}
	views := WildcardViews(long)
	if len(views) != 66 || views[0] != strings.Repeat("я", 32)+"*@example.org" || views[1] != "*"+strings.Repeat("я", 31)+"z@example.org" {
		t.Errorf("%d views, first %q, %q", len(views), views[0], views[1])
	}
}

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{
		"Example.ORG": "example.org", "XN--80AALAXJD5D.XN--C1AVG": "уайлддак.орг", "bücher.example": "bücher.example",
		"xn--bcher-kva.example": "bücher.example", "BU\u0308CHER.example": "bücher.example",
	} {
		if got, err := Domain(in); err != nil || got != want {
			t.Errorf("Domain(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "[192.0.2.1]", "a b", "a@b", "a..b", "*"} {
		if got, err := Domain(in); err == nil {
			t.Errorf("Domain(%q) = %q", in, got)
		}
	}
}

func TestParseMailbox(t *testing.T) {
	for _, c := range []struct{ in, name, spec string }{
		{"a@b.org", "", "a@b.org"},
		{" John Doe <a@b.org> ", "John Doe", "a@b.org"},
		{`"Doe, \"J\"" <a@b.org>`, `Doe, "J"`, "a@b.org"},
		{"<a@b.org>", "", "a@b.org"},
		{"a@b.org (John Doe)", "John Doe", "a@b.org"},
		{"Ева\r\nBcc: x <a@b.org>", "Ева Bcc: x", "a@b.org"},
		{`1 < 2 <"x y"@b.org>`, "1 < 2", `"x y"@b.org`},
	} {
		name, a, err := ParseMailbox(c.in)
		if err != nil || name != c.name || a.String() != c.spec {
			t.Errorf("ParseMailbox(%q) = %q, %q, %v", c.in, name, a, err)
		}
	}
	for _, in := range []string{"", "John", "John <>", "John <a@b.org", "<a@b.org> John", "()"} {
		if name, a, err := ParseMailbox(in); err == nil {
			t.Errorf("ParseMailbox(%q) = %q, %q", in, name, a)
		}
	}
}

func TestSplitList(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" ,;\r\n, ", ""},
		{"a@b, c@d;e@f\ng@h", "a@b|c@d|e@f|g@h"},
		{`"Doe, J" <a@b>, "x;\",y"@z`, `"Doe, J" <a@b>|"x;\",y"@z`},
		{`Inch 5" <a@b>, c@d`, `Inch 5" <a@b>|c@d`},
		{"a <x,y>, b", "a <x,y>|b"},
		{"a <x, b", "a <x|b"},
		{"\"open, a@b\nc\", d", `"open|a@b|c"|d`},
	} {
		if got := strings.Join(SplitList(c.in), "|"); got != c.want {
			t.Errorf("SplitList(%q) = %s", c.in, got)
		}
	}
}
