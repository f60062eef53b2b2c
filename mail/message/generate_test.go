package message

import (
	"bytes"
	"fmt"
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
	"From: B <b@example.com>\r\nFrom: c@example.com", "Date: yesterday", "Date:", "Subject: folded\r\nbadly, without a blank",
	"X-Fold: a\r\n \r\n\t\r\n b", "X-Bare: a\rb\nc", "Content-Type: text/plain\r\nContent-Type: text/html", "X: " + strings.Repeat("long ", 300),
	"Content-Transfer-Encoding: BASE64 (really)", "MIME-Version: 1.0 (produced by nobody)", "From a@b Mon Jan  1 00:00:00 2024",
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
		g.headers(g.pick("message", "message/rfc822", "message/rfc822", "message/global", "message/RFC822; x=y"))
		g.entity(depth+1, outer)
	case kind == 5 && g.chance(3, "odd"):
		g.oddEntity(outer)
	default:
		g.headers(g.pick("type", "", "text/plain", "text/html; charset=koi8-r", "application/pdf; name=\"a.pdf\"", "text/plain; format=flowed", "garbage", "text/plain; charset=",
			"text/plain; charset=no-such", "text/html; charset=\"utf-8", ";;;=", "multipart/mixed", "multipart/mixed; boundary=", "text/plain; charset=us-ascii; charset=utf-16",
			"application/octet-stream; name=\xff\xfe"))
		g.body(outer)
	}
}

// oddEntity is one of the shapes that senders and gateways break.
func (g *generator) oddEntity(outer []string) {
	switch g.pick("oddity", "nested", "encoded message", "external", "delimiter in preamble", "dirty base64", "raw in QP", "empty") {
	case "nested":
		g.nested(rapid.SampledFrom([]int{3, 30, 120, 1000}).Draw(g.t, "levels"))
	case "encoded message":
		g.out.WriteString("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		g.line("U3ViamVjdDogaW5uZXINCg0KdGV4dA0K")
	case "external":
		g.out.WriteString("Content-Type: message/external-body; access-type=URL; URL=\"https://example.com/x\"\r\n\r\n")
		g.headers("image/png")
	case "delimiter in preamble":
		g.out.WriteString("Content-Type: multipart/mixed; boundary=pre\r\n\r\nParts are divided by\r\n --pre\r\nand end with\r\n--pre--\r\n")
		g.line("--pre")
		g.headers("")
		g.body(outer)
		g.line("--pre--")
	case "dirty base64":
		g.out.WriteString("Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for range rapid.IntRange(1, 4).Draw(g.t, "dirtyLines") {
			g.line(g.pick("dirty", strings.Repeat("QUJD", 19), "QUJ D", "QQ==QUJD", "Q", "QUJD=", "Q!U#J$D", "> QUJD", "QUJDRA"))
		}
	case "raw in QP":
		g.out.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		g.line(g.pick("qp", "raw \xc3\xa9 =C3=A9 =ZZ =", "soft= \t", "=", "=\x00", "trailing   "))
		g.body(outer)
	case "empty":
		g.eol()
	}
}

// nested opens many multiparts and closes them, mostly.
func (g *generator) nested(levels int) {
	for i := range levels {
		fmt.Fprintf(&g.out, "Content-Type: multipart/mixed; boundary=n%d\r\n\r\n--n%d\r\n", i, i)
	}
	g.line("\r\nbottom")
	if g.chance(3, "open") {
		return
	}
	for i := levels - 1; i >= 0; i-- {
		fmt.Fprintf(&g.out, "\r\n--n%d--\r\n", i)
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
