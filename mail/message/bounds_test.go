package message

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Every bomb must be parsed in time that grows with its size only, and come
// back byte for byte.
func TestBombs(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	rep := func(s string) string { return strings.Repeat(s, size/len(s)) }
	// head fits into a header, where a longer one would be cut off.
	head := func(s string) string { return strings.Repeat(s, (maxHeader-1000)/len(s)) }
	nested := func(levels int) string {
		var b strings.Builder
		for i := range levels {
			b.WriteString("Content-Type: multipart/mixed; boundary=b" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + "\n\n--b" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + "\n")
		}
		return b.String()
	}
	mp := "Content-Type: multipart/mixed; boundary=b\n\n"
	for name, s := range map[string]string{
		"parts":              mp + rep("--b\n\nx\n"),
		"empty parts":        mp + rep("--b\n"),
		"closes":             mp + "--b\n\nx\n" + rep("--b--\n"),
		"dashes":             mp + rep("--\n"),
		"nested multiparts":  nested(10_000),
		"nested messages":    rep("Content-Type: message/rfc822\n\n"),
		"header fields":      head("X: y\n"),
		"header line":        "X: " + rep("y"),
		"folds":              "Subject: a\n" + head(" b\n"),
		"same field":         head("Subject: a\n"),
		"addresses":          "To: " + head("a@b,"),
		"angles":             "To: " + head("<,"),
		"angles and quotes":  "To: " + head("<\"\\"),
		"quotes":             "To: " + head("\"\\\""),
		"comments":           "To: " + head("("),
		"groups":             "To: " + head("a:;"),
		"brackets":           "To: " + head("["),
		"params":             "Content-Type: a/b" + head(";a=b"),
		"param quotes":       "Content-Type: a/b; x=" + head("\"\\\""),
		"param sections":     "Content-Type: a/b" + head("; a*1=b"),
		"encoded words":      "Subject: " + head("=?a?q?"),
		"encoded words b":    "Subject: " + head("=?utf-8?b?QQ?= "),
		"encoded word marks": "Subject: =?utf-8?q?" + head("?=3"),
		"subject replies":    "Subject: " + head("re: "),
		"subject tags":       "Subject: " + head("[x]") + " y",
		"references":         "References: " + head("<a@b> "),
		"preamble":           mp + rep("text\n") + "--b\n\nx\n--b--\n",
		"epilogue":           mp + "--b\n\nx\n--b--\n" + rep("epilogue\n"),
		"line ends":          "\n" + rep("a\nb\r\n"),
		"bare CR":            "\n\n" + rep("\r"),
		"base64 dirt":        "Content-Transfer-Encoding: base64\n\n" + rep("QUJD_Q="),
		"quoted-printable":   "Content-Transfer-Encoding: quoted-printable\n\n" + rep("="),
		"html tags":          "Content-Type: text/html\n\n" + rep("<a>"),
		"html quotes":        "Content-Type: text/html\n\n" + rep("<blockquote>a"),
		"html hidden":        "Content-Type: text/html\n\n" + rep("<p hidden>"),
		"html open":          "Content-Type: text/html\n\n" + rep("<"),
		"html comments":      "Content-Type: text/html\n\n" + rep("<!--"),
		"html attributes":    "Content-Type: text/html\n\n<a " + rep("a=b "),
		"html scripts":       "Content-Type: text/html\n\n" + rep("<script>"),
		"cid":                "Content-Type: text/html\n\n" + rep("cid:"),
		"flowed":             "Content-Type: text/plain; format=flowed\n\n" + rep("> \n"),
		"utf-7":              "Content-Type: text/plain; charset=utf-7\n\n" + rep("+"),
		"wrong boundaries":   mp + "--b\n" + rep("Content-Type: multipart/mixed; boundary=no\n\n--b\n"),
	} {
		t.Run(name, func(t *testing.T) {
			raw := bytes.ReplaceAll([]byte(s), []byte("\r\n"), []byte("\n"))
			if name != "line ends" {
				raw = bytes.ReplaceAll(raw, []byte("\n"), crlf)
			} else {
				raw = []byte(s)
			}
			start := time.Now()
			m := Parse(raw)
			took := time.Since(start)
			if got := rebuilt(t, m); !bytes.Equal(got, raw) {
				t.Errorf("not rebuilt; defects %q", m.Defects)
			}
			sameInFile(t, raw, m)
			if len(m.Patch) > maxPatch {
				t.Errorf("patch of %d bytes", len(m.Patch))
			}
			inline, parts := int64(0), 0
			measure(m.Root, &inline, &parts)
			if inline > maxInlineAll+maxHeaders+maxPreamble*maxDepth || parts > maxParts+1 {
				t.Errorf("%d bytes inline, %d parts", inline, parts)
			}
			t.Logf("%v for %d bytes, patch %d, defects %q", took, len(raw), len(m.Patch), m.Defects)
			// Generous, for slow machines under the race detector; quadratic work takes minutes.
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func measure(n *Node, inline *int64, parts *int) {
	*parts++
	*inline += int64(len(n.Body))
	for _, h := range n.Header {
		*inline += int64(len(h))
	}
	if n.Message != nil {
		measure(n.Message, inline, parts)
	}
	for _, c := range n.Children {
		measure(c, inline, parts)
	}
}
