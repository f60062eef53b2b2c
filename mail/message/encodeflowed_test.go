package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEncodeFlowed(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for name, c := range map[string]struct{ in, want string }{
		"empty":          {"", ""},
		"short":          {"one\ntwo", "one\ntwo"},
		"trailing space": {"one  \ntwo ", "one\ntwo"},
		"signature":      {"bye\n-- \nAnn", "bye\n-- \nAnn"},
		"stuffed":        {" in\n>no", " " + " in\n> no"},
		"mailbox file":   {"From here", " From here"},
		"quote":          {">> deep\n>flat", ">> deep\n> flat"},
		"empty quote":    {">\n> x", ">\n> x"},
		"broken":         {"a " + long, "a " + strings.Repeat("word ", 14) + "\n" + strings.TrimSpace(strings.Repeat("word ", 15)) + " \nword"},
		"one word":       {strings.Repeat("x", 200), strings.Repeat("x", 200)},
		"no false mark":  {"-- " + strings.Repeat("y", 100), "-- " + strings.Repeat("y", 100)},
		"CRLF":           {"a\r\nb\r\n", "a\nb\n"},
	} {
		if got := EncodeFlowed(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// plainFlow is what EncodeFlowed may change: spaces at line ends, and the
// space behind quote marks.
func plainFlow(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		text := strings.TrimLeft(strings.TrimSuffix(line, "\r"), ">")
		marks := line[:len(strings.TrimSuffix(line, "\r"))-len(text)]
		if marks != "" {
			text = strings.TrimPrefix(text, " ")
		}
		if text != "-- " {
			text = strings.TrimRight(text, " ")
		}
		if marks != "" && text != "" {
			text = " " + text
		}
		lines[i] = marks + text
	}
	return strings.Join(lines, "\n")
}

// FuzzEncodeFlowed: what is written reads back, and only words too long for a
// line make a long line.
func FuzzEncodeFlowed(f *testing.F) {
	for _, s := range []string{
		"", "hello\nworld", strings.Repeat("ab cd ", 40), "> " + strings.Repeat("quoted text ", 20), ">>>" + strings.Repeat("x ", 80),
		"-- \nsig", "--  " + strings.Repeat("z ", 60), " " + strings.Repeat("  ", 80) + "x", strings.Repeat("слово ", 40), "From x\r\n From y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ReplaceAll(s, "\r", "") // line ends come back as LF
		flowed := EncodeFlowed(s)
		if got, want := DecodeFlowed(flowed, false), plainFlow(s); got != want {
			t.Fatalf("%q: reads %q, want %q", flowed, got, want)
		}
		for line := range strings.SplitSeq(flowed, "\n") {
			text := strings.TrimLeft(line, ">")
			if utf8.RuneCountInString(line) > flowWidth+1 && len(line)-len(text) < 20 && strings.Contains(strings.Trim(text, " "), " ") && strings.IndexByte(strings.TrimLeft(text, " "), ' ') < 40 && !strings.HasPrefix(strings.TrimLeft(text, " "), "-- ") {
				t.Fatalf("long line %q", line)
			}
		}
	})
}
