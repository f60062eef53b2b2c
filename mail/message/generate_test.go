package message

import (
	"bytes"
	"strings"

	"pgregory.net/rapid"
)

// genMessage draws a message with all kinds of defects mixed at random.
func genMessage() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		g := generator{t: t}
		g.entity(0, nil)
		out := g.out.Bytes()
		if rapid.IntRange(0, 9).Draw(t, "cut") == 0 && len(out) > 0 {
			out = out[:rapid.IntRange(0, len(out)).Draw(t, "at")]
		}
		switch rapid.IntRange(0, 9).Draw(t, "ends") {
		case 0:
			out = bytes.ReplaceAll(out, crlf, []byte("\n"))
		case 1:
			out = bytes.ReplaceAll(out, crlf, []byte("\r"))
		}
		return out
	})
}

type generator struct {
	t   *rapid.T
	out bytes.Buffer
}

func (g *generator) pick(label string, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(g.t, label)
}

// chance is true once in n times.
func (g *generator) chance(n int, label string) bool {
	return rapid.IntRange(1, n).Draw(g.t, label) == n
}

// eol is a line end, mostly a good one.
func (g *generator) eol() {
	if g.chance(12, "oddEnd") {
		g.out.WriteString(g.pick("end", "\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "\x00\r\n", ""))
		return
	}
	g.out.WriteString("\r\n")
}

func (g *generator) line(s string) {
	g.out.WriteString(s)
	g.eol()
}

var fieldPool = []string{
	"Subject: hello", "Subject: =?utf-8?B?0J/RgNC40LLQtdGC?=", "From: A <a@example.com>", "To: b@example.com, \"C\" <c@example.com>",
	"Date: Mon, 2 Jan 2006 15:04:05 +0000", "Message-ID: <x@y>", "X-Odd : space before colon", "Received: from a\r\n\tby b", "no colon here",
	"\xe4\xf6\xfc: raw", "Subject: \xff\xfe raw", "From nobody Mon Jan 1 00:00:00 2024", ":empty name", "X-Nul: a\x00b", " leading space", "References: <a@b>\r\n <c@d>",
	"Content-Disposition: attachment; filename*0*=utf-8''%D0%9F; filename*1=x.txt", "Content-ID: <cid1>",
}

func (g *generator) headers(contentType string) {
	for range rapid.IntRange(0, 4).Draw(g.t, "fields") {
		g.line(rapid.SampledFrom(fieldPool).Draw(g.t, "field"))
	}
	if contentType != "" {
		g.line("Content-Type: " + contentType)
	}
	if g.chance(5, "cte") {
		g.line("Content-Transfer-Encoding: " + g.pick("enc", "base64", "quoted-printable", "8bit", "7bit", "x-odd"))
	}
	if !g.chance(10, "noBlank") {
		g.eol()
	}
}

func (g *generator) entity(depth int, outer []string) {
	kind := rapid.IntRange(0, 9).Draw(g.t, "kind")
	switch {
	case kind < 4 && depth < 5:
		g.multipart(depth, outer)
	case kind == 4 && depth < 5:
		g.headers("message/rfc822")
		g.entity(depth+1, outer)
	default:
		g.headers(g.pick("type", "", "text/plain", "text/html; charset=koi8-r", "application/pdf; name=\"a.pdf\"", "text/plain; format=flowed", "garbage", "text/plain; charset="))
		g.body(outer)
	}
}

func (g *generator) body(outer []string) {
	for range rapid.IntRange(0, 5).Draw(g.t, "lines") {
		g.line(g.pick("text", "", "hello world", "--", "--x", "SGVsbG8gd29ybGQ=", strings.Repeat("QUJD", 19), "=D0=9F=", "\xd0\x9f\xd1\x80", "a\x00b",
			"<p>hi <img src=\"cid:cid1\"></p>", "> quoted", "From me", "Subject: in body"))
	}
	if len(outer) > 0 && g.chance(10, "stray") {
		g.line("--" + g.pick("which", outer...) + g.pick("closing", "", "--"))
	}
}

func (g *generator) multipart(depth int, outer []string) {
	b := g.pick("boundary", "a", "b", "ab", "outer", "a--", "x y", "=_"+strings.Repeat("z", depth+1))
	declared := b
	if g.chance(10, "wrong") {
		declared = g.pick("declared", "other", "", "a")
	}
	g.headers(g.pick("mp", "multipart/mixed", "multipart/alternative", "multipart/related", "multipart/digest", "Multipart/Signed") + "; boundary=\"" + declared + "\"")
	if g.chance(3, "preamble") {
		g.line(g.pick("pre", "This is a multi-part message in MIME format.", "", "--"))
	}
	inner := append(outer[:len(outer):len(outer)], b)
	for range rapid.IntRange(0, 3).Draw(g.t, "parts") {
		if !g.chance(8, "noBreak") {
			g.eol()
		}
		g.line("--" + b + g.pick("pad", "", "", "", " ", "\t "))
		g.entity(depth+1, inner)
	}
	if g.chance(6, "noClose") {
		return
	}
	g.eol()
	g.line("--" + b + "--" + g.pick("pad", "", "", "  "))
	if g.chance(4, "epilogue") {
		g.line(g.pick("epi", "", "epilogue text", "--"+b, "--"+b+"--"))
	}
}
