package rtf

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"pgregory.net/rapid"
)

// decode knows the charsets of these tests.
func decode(b []byte, charset string) string {
	switch charset {
	case "windows-1251":
		b, _ = charmap.Windows1251.NewDecoder().Bytes(b)
	case "cp932":
		b, _ = japanese.ShiftJIS.NewDecoder().Bytes(b)
	case "utf-8":
		return strings.ToValidUTF8(string(b), "\ufffd")
	default:
		b, _ = charmap.Windows1252.NewDecoder().Bytes(b)
	}
	return string(b)
}

func unhexAll(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

const (
	// The examples of MS-OXRTFCP 4.1 and 4.2.
	example      = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
	exampleCross = "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0"
)

func TestDecompress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		example:      "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
		exampleCross: "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}",
		"1000000004000000 4d454c41 00000000 61626364 65": "abcd",
	} {
		got, err := Decompress(unhexAll(t, in), 1000)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	whole := unhexAll(t, example)
	for n := range whole {
		if _, err := Decompress(whole[:n], 1000); !errors.Is(err, ErrFormat) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if got, err := Decompress(whole, 7); !errors.Is(err, ErrFormat) || len(got) > 7 {
		t.Errorf("over the limit: %q, %v", got, err)
	}
	whole[12]++
	if got, err := Decompress(whole, 1000); !errors.Is(err, ErrFormat) || !strings.Contains(string(got), "hello") {
		t.Errorf("with a wrong sum: %q, %v", got, err)
	}
}

// compress writes literals only, with the reference that ends the text.
func compress(text []byte) []byte {
	var body []byte
	at := len(windowStart)
	for i := 0; ; i++ {
		if i%8 == 0 {
			n := len(text) - i
			body = append(body, 0)
			if n < 8 {
				body[len(body)-1] = 1 << n
			}
		}
		if i == len(text) {
			end := uint16(at) << 4
			body = append(body, byte(end>>8), byte(end))
			break
		}
		body, at = append(body, text[i]), (at+1)%windowSize
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+12))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = binary.LittleEndian.AppendUint32(b, kindPacked)
	b = binary.LittleEndian.AppendUint32(b, ^crc32.Update(^uint32(0), crc32.IEEETable, body))
	return append(b, body...)
}

func TestDecompressProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Repeat(rapid.StringN(0, 200, -1).Draw(t, "text"), rapid.IntRange(1, 60).Draw(t, "times")))
		got, err := Decompress(compress(text), len(text))
		if err != nil || string(got) != string(text) {
			t.Fatalf("%q, %v; want %q", got, err, text)
		}
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{\rtf1\ansi Hello \b bold\b0 , {\i it}.\par Next\line line\tab tab}`:                              "Hello bold, it.\nNext\nline\ttab",
		`{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}`:                                                "Привет",
		"{\\rtf1\\ansi\\ansicpg1251 \xcf\xf0\xe8\xe2\xe5\xf2}":                                             "Привет",
		`{\rtf1\uc1\u1055?\u1088\'3f\u8364?}`:                                                              "Пр€",
		`{\rtf1\uc2\u-10179??\u-8704??!}`:                                                                  "😀!",
		`{\rtf1\uc0\u1055x}`:                                                                               "Пx",
		`{\rtf1{\fonttbl{\f0\fcharset204 A;}{\f1\fcharset128 B;}}\f0 \'c0\f1 \'82\'a0 {\f0 \'c1}\'82\'a2}`: "Аあ Бい",
		`{\rtf1{\colortbl;\red0;}{\stylesheet{\s0 Normal;}}{\info{\author X}}{\*\generator Y;}text}`:       "text",
		`{\rtf1 a{\field{\*\fldinst HYPERLINK "http://x"}{\fldrslt link}}b}`:                               "alinkb",
		`{\rtf1 a\bin4 }{\b c}`:                                                                            "a c",
		`{\rtf1 a{\v hidden}b \{\}\\ \~\endash\emdash\ldblquote\rdblquote\bullet}`:                         "ab {}\\ \u00a0–—“”•",
		`{\rtf1{\pict\pngblip 89504e47}x}`:                                                                 "x",
		`plain text`:                                                                                       "plain text",
		`{\rtf1\ansi unbalanced}}} \par end`:                                                               "unbalanced \nend",
		`\`:                                                                                                "",
		`\'`:                                                                                               "",
		`\'c`:                                                                                              "c",
		"":                                                                                                 "",
	} {
		if got := Text([]byte(in), decode, 1000); got != want {
			t.Errorf("%s\ngives %q\nwant  %q", in, got, want)
		}
	}
}

// encapsulated is a message of Outlook, shortened.
const encapsulated = `{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0{\fonttbl{\f0\fswiss\fcharset204 Arial;}{\f1\fmodern Courier New;}}
{\colortbl\red0\green0\blue0;}
{\*\htmltag19 <html>}
{\*\htmltag34 <head>}{\*\htmltag161 <meta content="text/html; charset=koi8-r">}{\*\htmltag41 </head>}
{\*\htmltag50 <body>}{\*\mhtmltag84 <img src="rewritten">}{\*\htmltag84 <img src="cid:a">}\htmlrtf {\b \htmlrtf0
{\*\htmltag64 <p>}\htmlrtf \par for readers of RTF only\htmlrtf0 \'cf\'f0\'e8\'e2\'e5\'f2, {\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0 \u8364\'3f\~\ldblquote x\rdblquote
\htmlrtf\par\htmlrtf0
{\*\htmltag72 </p>}{\*\htmltag0 \par }{\*\htmltag58 </body>}\htmlrtf }\htmlrtf0 {\*\htmltag27 </html>}}`

func TestHTML(t *testing.T) {
	t.Parallel()
	got, ok := HTML([]byte(encapsulated), decode, 1000)
	want := "<html><head><meta content=\"text/html; charset=koi8-r\"></head><body><img src=\"cid:a\"><p>Привет, &lt;€&nbsp;&ldquo;x&rdquo;</p>\r\n</body></html>"
	if !ok || got != want {
		t.Errorf("%v %q\nwant %q", ok, got, want)
	}
	for _, in := range []string{"", `{\rtf1\ansi text}`, `{\rtf1\ansi\fromtext text}`} {
		if got, ok := HTML([]byte(in), decode, 1000); ok {
			t.Errorf("%q gives %q", in, got)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"groups": strings.Repeat("{", 1_000_000) + "x", "text": strings.Repeat("x", 1_000_000), "words": strings.Repeat(`\par `, 300_000),
		"fonts": `{\fonttbl` + strings.Repeat(`\f1\fcharset204`, 100_000) + "}", "ends": strings.Repeat("}", 1_000_000),
		"charsets": strings.Repeat(`{\ansicpg1251 \'c0}`, 60_000), "bin": strings.Repeat(`\bin999999999 `, 10),
	} {
		if got := Text([]byte(in), decode, 10_000); len(got) > 10_010 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

func FuzzRTF(f *testing.F) {
	f.Add([]byte(encapsulated))
	f.Add([]byte(`{\rtf1\uc2\u-10179??\u-8704??{\v a}\bin2 xx{\fonttbl{\f0\fcharset128 B;}}\f0\'82}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 5000
		for _, s := range []string{Text(b, decode, limit), first(HTML(b, decode, limit))} {
			if len(s) > 4*limit || !utf8.ValidString(s) {
				t.Fatalf("%d bytes: %.200q", len(s), s)
			}
		}
	})
}

func first(s string, _ bool) string { return s }

func FuzzDecompress(f *testing.F) {
	f.Add(compress([]byte("{\\rtf1 text}")), 100)
	for _, s := range []string{example, exampleCross} {
		f.Add(unhexAll(f, s), 1000)
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit = min(max(limit, 0), 1<<20)
		out, err := Decompress(b, limit)
		if err != nil && !errors.Is(err, ErrFormat) || len(out) > limit || len(out) > 9*len(b) {
			t.Fatalf("%d bytes of %d, %v", len(out), len(b), err)
		}
	})
}
