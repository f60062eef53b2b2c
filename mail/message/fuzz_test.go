package message

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Parse(raw)
		if got := rebuilt(t, m); !bytes.Equal(got, raw) {
			t.Fatalf("rebuilt\n%q\nwant\n%q", got, raw)
		}
		sameInFile(t, raw, m)
		if got := readSection(t, m, Section{Kind: SectionHeader}) + readSection(t, m, Section{Kind: SectionText}); got != string(raw) {
			t.Fatalf("header and text\n%q\nwant\n%q", got, raw)
		}
		for _, s := range append([]string{m.Subject, m.Text, m.Intro, m.ThreadSubject}, m.HTML...) {
			if !utf8.ValidString(s) {
				t.Fatalf("not UTF-8: %q", s)
			}
		}
		if utf8.RuneCountInString(m.Intro) > introLength {
			t.Fatalf("intro %q", m.Intro)
		}
		for _, a := range m.Attachments {
			if a.Filename == "" || strings.ContainsAny(a.Filename, "/\\\x00\r\n") {
				t.Fatalf("file name %q", a.Filename)
			}
		}
		if _, err := json.Marshal([]any{m.Root.Envelope(), m.Root.BodyStructure()}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzRebuildPatch(f *testing.F) {
	for _, file := range []string{"preamble-epilogue", "mixed-line-ends", "message-rfc822"} {
		raw, err := os.ReadFile("testdata/" + file + ".eml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, Parse(raw).Patch)
	}
	f.Fuzz(func(_ *testing.T, raw, patchData []byte) {
		// A patch of another message must end in an error or in some text, not in a panic.
		m := Parse(raw)
		_ = Rebuild(io.Discard, m.Root, patchData, m.Opener())
		if r, err := SectionReader(m.Root, patchData, m.Opener(), Section{Path: []int{1}, Partial: true, Start: 1, Count: 9}); err == nil {
			_, _ = io.Copy(io.Discard, r)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range fieldPool {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := Parse([]byte(s + "\r\n\r\n"))
		for _, h := range m.Headers {
			if !utf8.ValidString(h.Value) || len(h.Value) > maxIndexValue {
				t.Fatalf("indexed %+v", h)
			}
		}
		for _, p := range m.Root.Parsed {
			if !isKey(p.Key) || p.Value == nil {
				t.Fatalf("parsed %+v", p)
			}
		}
		if d := ParseDate(s); !d.IsZero() && (d.Year() < 1900 || d.Year() > 9999) {
			t.Fatalf("date %v", d)
		}
	})
}

func FuzzEncodedWord(f *testing.F) {
	for _, s := range []string{"=?utf-8?B?0J/RgNC40LLQ?= =?utf-8?B?tdGC?=", "=?x?Q?a_=3D?=", "=?utf-7?Q?+AGk-?=", "=?utf-8*en?b?YQ?=", "a =? b ?= c", "=?iso-2022-jp?B?GyRC?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := DecodeHeader(s); !utf8.ValidString(got) {
			t.Fatalf("%q decodes to %q", s, got)
		}
		clean := collapse(cleanText(s))
		if got := DecodeHeader(strings.Join(encodeWords(clean, 40), " ")); got != clean {
			t.Fatalf("%q comes back as %q", clean, got)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"text/plain; charset=utf-8", "a/b; x*0*=utf-8''%41; x*1=b", `a; b="c;d" e=f`, `a; b="\"\"\"`, "a;*=;b**=c;d*1x=e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := ParseContentValue(s)
		if len(v.Params) > maxParams {
			t.Fatalf("%d parameters", len(v.Params))
		}
		for _, p := range v.Params {
			if !isKey(p.Key) {
				t.Fatalf("key %q", p.Key)
			}
		}
		name := strings.TrimSpace(cutUTF8(collapse(oneLine(s)), 1000)) // more pieces than maxParams do not come back
		back := parseContentValue("attachment; " + strings.Join(param("filename", name), "; "))
		if got := DecodeHeader(back.Param("filename")); got != name && !strings.Contains(name, "=?") {
			t.Fatalf("%q comes back as %q", name, got)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"a@b", `"x" <a@b>, c@d (e)`, "g: a@b, c@d;, <<<>>>", `"un<closed@x, y@z`, "a@[IPv6:::1]", ":;:;,,(((", "<,<,<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range ParseAddressList(s) {
			empty := a.Group == nil && a.Name == "" && a.Address == ""
			if !utf8.ValidString(a.Name) || empty {
				t.Fatalf("address %+v", a)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("SGVs\r\nbG8=\r\nSGVs"), "base64")
	f.Add([]byte("a=3D=\r\nb  \r\n=ZZ="), "quoted-printable")
	f.Add([]byte("text\nbegin 644 a.txt\n%:&5L;&\\\n`\nend\nbegin 600 b\n!80``\n"), "x-uuencode")
	f.Add([]byte("begin-base64 644 a\r\naGVsbG8=\r\n====\r\n"), "X-UUE")
	f.Fuzz(func(t *testing.T, b []byte, enc string) {
		want := decodeBytes(b, canonicalEncoding(enc))
		got, err := io.ReadAll(Decode(bytes.NewReader(b), enc))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("streamed %q, %v; want %q", got, err, want)
		}
		got, err = io.ReadAll(Decode(iotest.OneByteReader(bytes.NewReader(b)), enc))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("byte by byte %q, %v; want %q", got, err, want)
		}
		var qp bytes.Buffer
		text := toCRLF(string(b))
		writeQP(&qp, text)
		if back := decodeQP(qp.Bytes()); string(back) != text {
			t.Fatalf("quoted-printable of %q comes back as %q", text, back)
		}
	})
}

func FuzzFlowed(f *testing.F) {
	f.Add("a \r\nb\r\n> c \n> d\n-- \nx", false)
	f.Add("日 \n本 \n", true)
	f.Fuzz(func(t *testing.T, s string, delSp bool) {
		if got := DecodeFlowed(s, delSp); len(got) > 2*len(s)+1 {
			t.Fatalf("%d bytes of %d", len(got), len(s))
		}
	})
}

func FuzzHTMLToText(f *testing.F) {
	for _, s := range []string{"<p>a<br>b", "<div style='display:none'>x</div>y", "<ul><li>a<ol><li>b", "<script>x", "<a href=http://x>y</a>", "<blockquote><blockquote>a\u00a0\u200b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := HTMLToText(s)
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Fatalf("%q gives %q", s, got)
		}
		_ = makeIntro(got)
	})
}
