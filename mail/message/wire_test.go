package message

import (
	"strconv"
	"strings"
	"testing"
)

const wireExample = "From: =?utf-8?q?Ann_=C3=A9?= <ann@example.com>, Bob <bob@example.com>\r\nTo: team: a@example.com, b@example.com;\r\n" +
	"Subject: a \"quoted\" \\ subject with \xe9\r\nMessage-ID: <1@x>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y\r\nSubject: inner\r\n\r\nin\r\n" +
	"--b\r\nContent-Type: application/pdf; name=\"f.pdf\"\r\nContent-Disposition: attachment; filename=\"f.pdf\"\r\n\r\nJVBE\r\n--b--\r\n"

func TestWire(t *testing.T) {
	root := Parse([]byte(wireExample)).Root
	got := string(root.AppendEnvelope(nil))
	want := `("Mon, 2 Mar 2026 10:00:00 +0000" {28}` + "\r\na \"quoted\" \\ subject with \u00e9" +
		` (("=?utf-8?q?Ann_=C3=A9?=" NIL "ann" "example.com")("Bob" NIL "bob" "example.com")) ((`
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ` ((NIL NIL "team" NIL)(NIL NIL "a" "example.com")(NIL NIL "b" "example.com")(NIL NIL NIL NIL)) NIL NIL NIL "<1@x>")`) {
		t.Errorf("envelope %q", got)
	}
	structure := string(root.AppendBodyStructure(nil))
	if !strings.HasPrefix(structure, `(("TEXT" "PLAIN" `) || !strings.Contains(structure, `)("MESSAGE" "RFC822" `) || !strings.Contains(structure, ` "MIXED" ("BOUNDARY" "b") NIL NIL NIL)`) {
		t.Errorf("structure %q", structure)
	}
}

// What is written for any message reads back as one list, by the grammar's
// strings, numbers, NIL and lists (RFC 9051 9), and nothing is left over.
func FuzzWire(f *testing.F) {
	f.Add([]byte(wireExample))
	f.Add([]byte("Subject: x\x00y\r\nFrom: a:;\r\n\r\n"))
	f.Add([]byte("Content-Type: multipart/alternative\r\n\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nSubject: " + strings.Repeat("x", 2000) + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			t.Skip()
		}
		root := Parse(raw).Root
		for _, wire := range [][]byte{root.AppendEnvelope(nil), root.AppendBodyStructure(nil)} {
			rest, ok := readWire(string(wire))
			if !ok || rest != "" || wire[0] != '(' {
				t.Fatalf("not one list: %q, left %q", wire, rest)
			}
		}
	})
}

// readWire takes one value off the text.
func readWire(s string) (rest string, ok bool) {
	switch {
	case strings.HasPrefix(s, "NIL"):
		return s[3:], true
	case s == "":
		return s, false
	case s[0] >= '0' && s[0] <= '9':
		return strings.TrimLeft(s, "0123456789"), true
	case s[0] == '{':
		size, text, _ := strings.Cut(s[1:], "}\r\n")
		n, err := strconv.Atoi(size)
		if err != nil || n > len(text) || strings.Contains(text[:n], "\x00") {
			return s, false
		}
		return text[n:], true
	case s[0] == '"':
		return readQuoted(s[1:])
	case s[0] == '(':
		return readList(s[1:])
	}
	return s, false
}

func readQuoted(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return s[i+1:], true
		case s[i] == '\\':
			i++
		case s[i] < ' ' || s[i] > '~':
			return s, false
		}
	}
	return s, false
}

func readList(s string) (string, bool) {
	for ok := true; ok; {
		if strings.HasPrefix(s, ")") {
			return s[1:], true
		}
		if s, ok = readWire(strings.TrimPrefix(s, " ")); !ok {
			return s, false
		}
	}
	return s, false
}
