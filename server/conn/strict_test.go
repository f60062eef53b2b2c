package conn

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestStrictReader(t *testing.T) {
	for _, c := range []struct {
		in, out string
		max     int
		want    error
	}{
		{in: "", out: ""},
		{in: "a\r\nb\r\n", out: "a\r\nb\r\n"},
		{in: "no line end", out: "no line end"},
		{in: "a\nb", out: "a", want: ErrBareLineEnd},
		{in: "\n", out: "", want: ErrBareLineEnd},
		{in: "a\rb", out: "a\r", want: ErrBareLineEnd},
		{in: "a\r\r\nb", out: "a\r", want: ErrBareLineEnd},
		{in: "a\r", out: "a\r", want: ErrBareLineEnd},
		{in: "a\r\n\n", out: "a\r\n", want: ErrBareLineEnd},
		{in: "abc\r\ndef", out: "abc\r\ndef", max: 3},
		{in: "abc\r\ndefg\r\n", out: "abc\r\ndef", max: 3, want: ErrLongLine},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r },
			"bytes": iotest.OneByteReader,
			"eof":   iotest.DataErrReader,
		} {
			got, err := io.ReadAll(NewStrictReader(wrap(strings.NewReader(c.in)), c.max))
			if string(got) != c.out || !errors.Is(err, c.want) {
				t.Errorf("%q %s: %q, %v; want %q, %v", c.in, name, got, err, c.out, c.want)
			}
		}
	}
}

// FuzzStrictReader compares with the plain statement of the rule.
func FuzzStrictReader(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"), 3, 2)
	f.Add([]byte("a\n.\r\nMAIL FROM:<>\r\n"), 1, 0)
	f.Add([]byte("\r\r\n\r"), 2, 9)
	f.Fuzz(func(t *testing.T, text []byte, step, max int) {
		step, max = 1+abs(step)%8, abs(max)%64
		rest := strings.ReplaceAll(string(text), "\r\n", "")
		clean := !strings.ContainsAny(rest, "\r\n")
		long := false
		for line := range strings.SplitSeq(string(text), "\r\n") {
			long = long || max > 0 && len(line) > max
		}
		got, err := io.ReadAll(NewStrictReader(&steps{text, step}, max))
		if !bytes.HasPrefix(text, got) {
			t.Fatalf("%q is no beginning of %q", got, text)
		}
		switch {
		case clean && !long && (err != nil || !bytes.Equal(got, text)):
			t.Fatalf("%q refused: %q, %v", text, got, err)
		case (!clean || long) && err == nil:
			t.Fatalf("%q accepted", text)
		case clean && long && !errors.Is(err, ErrLongLine), !clean && !long && !errors.Is(err, ErrBareLineEnd):
			t.Fatalf("%q: wrong reason: %v", text, err)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

type steps struct {
	rest []byte
	step int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
