package api

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail/spool"
)

// spilled decodes JSON through a spiller that takes out strings longer than
// longest, and reads them back.
func spilled(r io.Reader, longest int) (map[string]any, int, error) {
	pool := &spool.Pool{}
	s := newSpiller(r, func() spooled { return spooled{pool.New()} })
	s.longest = longest
	doc, err := readJSON(s)
	defer func() {
		for _, v := range s.values {
			_ = v.Close()
		}
	}()
	if err != nil {
		return nil, 0, err
	}
	for key := range doc {
		doc[key] = plainValues(s.restore(doc[key]))
	}
	return doc, len(s.values), nil
}

// plainValues reads spooled values as encoding/json would have.
func plainValues(v any) any {
	switch v := v.(type) {
	case spooled:
		b, err := io.ReadAll(v.reader())
		if err != nil {
			return err
		}
		// Each bad byte becomes a character of its own, as in encoding/json.
		return string([]rune(string(b)))
	case []any:
		for i := range v {
			v[i] = plainValues(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainValues(v[key])
		}
	}
	return v
}

func TestSpiller(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.StringN(1, 20, -1), func(s string) string { return strings.Repeat(s, 100) }))
		doc := map[string]any{
			"raw": text.Draw(t, "raw"), "list": []any{map[string]any{"content": text.Draw(t, "content")}, text.Draw(t, "item"), true, nil},
		}
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []io.Reader{bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b)), iotest.HalfReader(bytes.NewReader(b))} {
			got, _, err := spilled(r, rapid.SampledFrom([]int{10, 100, 1000}).Draw(t, "longest"))
			if err != nil || !reflect.DeepEqual(got, doc) {
				t.Fatalf("%s\nbecame %v, %v", b, got, err)
			}
		}
	})
}

func TestSpillerTakesLongStringsOnly(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", longString+1)
	got, taken, err := spilled(strings.NewReader(`{"a":"short","b":"`+long+`","c":["`+long+`"]}`), longString)
	if err != nil || taken != 2 || got["a"] != "short" || got["b"] != long {
		t.Errorf("%d values, %v", taken, err)
	}
	for _, bad := range []string{`{"a":"` + long, `{"a":"` + long + `\`, `{"a":"` + long + `\x"}`, `{"a":"` + long + "\n" + `"}`, `{"a":"` + long + `\u12"}`, `{"a":"` + long + `"`} {
		if _, _, err := spilled(strings.NewReader(bad), longString); err == nil {
			t.Errorf("%.20q…%.10q was taken", bad, bad[len(bad)-10:])
		}
	}
}

func FuzzSpiller(f *testing.F) {
	for _, s := range []string{`{"a":"bcd\u00e9\ud83d\ude00\n\"x"}`, `{"a":["\ud83d","\ude00\ud83d"],"b":1}`, `{"abc":"\\"}`, "{\"a\":\"\xff\xfe\"}", `{"a":"`} {
		f.Add([]byte(s), 2)
	}
	f.Fuzz(func(t *testing.T, b []byte, longest int) {
		want, wantErr := readJSON(bytes.NewReader(b))
		got, _, err := spilled(bytes.NewReader(b), max(0, longest%100))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, without spilling %v", b, err, wantErr)
		}
		if err == nil && len(got) == len(want) {
			for key := range want {
				if v, ok := got[key]; ok && !reflect.DeepEqual(v, want[key]) {
					t.Fatalf("%q: %q became %q", b, want[key], v)
				}
			}
		}
	})
}
