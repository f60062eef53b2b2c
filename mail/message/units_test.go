package message

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 3, 3, 9, 20, 30, 0, time.UTC)
	for _, s := range []string{
		"Tue, 3 Mar 2026 10:20:30 +0100", "3 Mar 2026 09:20:30 GMT", "Tue, 03 Mar 2026 04:20:30 EST", "Tue, 3 Mar 2026 10:20:30 +0100 (CET)",
		"Tue, 3 Mar 2026 10:20:30 CET", "Tue, 3 Mar 2026 09:20:30", "2026-03-03T09:20:30Z", "Tue Mar 3 09:20:30 2026",
		"Tuesday, 3 March 2026 10:20:30 +0100", "Tue, 3 Mar 2026 10:20:30 GMT+0100", " Tue , 3  Mar 2026\t10:20:30 +0100",
	} {
		if got := ParseDate(s); !got.Equal(want) {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{"", "yesterday", "Tue, 3 Mar 0001 10:20:30 +0100", strings.Repeat("1 ", 500)} {
		if got := ParseDate(s); !got.IsZero() {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestNormaliseSubject(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Re: Fwd: RE : [list]  topic (fwd)": "topic", "[tag]": "[tag]", "Re:": "", "re: [a] [b] x": "x", "Regarding": "Regarding", "": "",
		"FW: Привет   мир": "Привет мир",
	} {
		if got := normaliseSubject(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestThreadRefs(t *testing.T) {
	t.Parallel()
	m := Parse([]byte("Message-ID: <a>\r\nIn-Reply-To: <b>\r\nReferences: <c> <b>\r\n\r\n"))
	// SHA-1 of "a", "b", "c" in base64 without padding.
	want := []string{"hvfkN/qlp/zhXR3cuerq6jd2Z7g", "6dcfXufJLW3J6S/9rRe4vUlBj5g", "hKUWhBuneltGSN4s0N/LMOpG27Q"}
	if diff := cmp.Diff(want, m.ThreadRefs); diff != "" {
		t.Error(diff)
	}
}

func TestIntro(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("слово ", 80)
	for in, want := range map[string]string{
		"Hello\n> quoted\n-----\n*****\nworld": "Hello world", "see [https://x.example/a] here": "see here", "[text](http://x) ok [tag]": "text ok [tag]",
		long: strings.TrimSpace(strings.Repeat("слово ", 41)) + "…", strings.Repeat("あ", 300): strings.Repeat("あ", 249) + "…",
		strings.Repeat("e\u0301", 200): strings.Repeat("e\u0301", 124) + "…", strings.Repeat("🇩🇪", 200): strings.Repeat("🇩🇪", 124) + "…",
		"Yes.\n\nOn Mon, 2 Mar 2026, Bob <b@example.org> wrote:\n> no": "Yes.", "> only\n> quoted": "",
	} {
		if got := makeIntro(in); got != want {
			t.Errorf("%q:\n%q, want\n%q", in, got, want)
		}
	}
}

func TestAddressList(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]Address{
		`"Doe, John" <j@x>`: {{Name: "Doe, John", Address: "j@x"}},
		`a@x, b@y`:          {{Address: "a@x"}, {Address: "b@y"}},
		`a@x; b@y`:          {{Address: "a@x"}, {Address: "b@y"}},
		`a@x (Ann)`:         {{Name: "Ann", Address: "a@x"}},
		`G: a@x, "B" <b@y>;, c@z`: {
			{Name: "G", Group: []Address{{Address: "a@x"}, {Name: "B", Address: "b@y"}}}, {Address: "c@z"},
		},
		`undisclosed-recipients:;`:           {{Name: "undisclosed-recipients", Group: []Address{}}},
		`"victim@bank" <evil@x>`:             {{Name: "victim@bank", Address: "evil@x"}},
		`"victim@bank"`:                      {{Name: "victim@bank"}},
		`"john doe"@x`:                       {{Address: `"john doe"@x`}},
		`Ann Example a@x`:                    {{Name: "Ann Example", Address: "a@x"}},
		`=?utf-8?Q?J=C3=BCrgen=2C_X?= <j@x>`: {{Name: "Jürgen, X", Address: "j@x"}},
		`<a@x`:                               {{Address: "a@x"}},
		`a@[IPv6:::1]`:                       {{Address: "a@[IPv6:::1]"}},
		`nobody`:                             {{Name: "nobody"}},
		`, ,`:                                {},
	} {
		if diff := cmp.Diff(want, ParseAddressList(in)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", in, diff)
		}
	}
}

func TestHTMLToText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<p>a</p><p>b</p>": "a\n\nb", "a<br>b<br/>c": "a\nb\nc", "a &amp; b &lt;c&gt; &eacute;": "a & b <c> é",
		`<a href="https://x.example/">https://x.example</a>`: "https://x.example", `<a href="https://x.example/p">here</a>!`: "here [https://x.example/p]!",
		`<div hidden>h</div>v`: "v", `<div style="display: none !important">only</div>`: "only", "<style>x</style>a<script>b</script>c<!-- d -->": "ac",
		"<title>t</title><body>b": "b", "a\u200b\u00a0\u200cb": "a b", "<img alt='picture'>": "picture", "<unclosed": "",
	} {
		if got := HTMLToText(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestRebuildErrors(t *testing.T) {
	t.Parallel()
	m := Parse(mustBuild(t, Compose{From: Address{Address: "a@b"}, Text: "x", Attachments: []ComposeAttachment{{Filename: "a", Data: []byte("aaa")}}}))
	if err := Rebuild(io.Discard, m.Root, []byte{9}, m.Opener()); err == nil {
		t.Error("a patch of another version was taken")
	}
	if err := Rebuild(io.Discard, m.Root, nil, nil); err == nil {
		t.Error("no opener, no error")
	}
	if err := Rebuild(io.Discard, m.Root, nil, func(string, int64, int64) (io.ReadCloser, error) {
		return io.NopCloser(iotest.ErrReader(io.ErrClosedPipe)), nil
	}); err == nil {
		t.Error("read error lost")
	}
}
