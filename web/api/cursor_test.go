package api

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

func TestCursorForm(t *testing.T) {
	id, err := mail.ParseID("5f1e2d3c4b5a69788796a5b4")
	must(t, err)
	for at, want := range map[time.Time]string{
		time.Date(2026, 11, 24, 10, 20, 30, 456e6, time.UTC): `["[{\"$date\":\"2026-11-24T10:20:30.456Z\"},{\"$oid\":\"5f1e2d3c4b5a69788796a5b4\"}]",2]`,
		time.Date(2026, 11, 24, 10, 20, 30, 0, time.UTC):     `["[{\"$date\":\"2026-11-24T10:20:30Z\"},{\"$oid\":\"5f1e2d3c4b5a69788796a5b4\"}]",2]`,
	} {
		raw, err := base64.RawURLEncoding.DecodeString(formatCursor(store.Key{Date: at, ID: id}, 2))
		if err != nil || string(raw) != want {
			t.Errorf("cursor is %s %v, want %s", raw, err, want)
		}
	}
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var k store.Key
		copy(k.ID[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "id"))
		k.Date = time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "ms")).UTC()
		page := rapid.IntRange(-5, math.MaxInt32).Draw(t, "page")
		text := formatCursor(k, page)
		if !cursorPattern.MatchString(text) {
			t.Fatalf("cursor %q", text)
		}
		got, n, err := parseCursor(text)
		if err != nil || got == nil || got.ID != k.ID || !got.Date.Equal(k.Date) || n != page {
			t.Fatalf("%v %d %v, want %v %d", got, n, err, k, page)
		}
	})
}

func TestCursorForeign(t *testing.T) {
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	oid := `{\"$oid\":\"5f1e2d3c4b5a69788796a5b4\"}`
	for name, c := range map[string]struct {
		text           string
		found, refused bool
	}{
		"milliseconds":    {enc(`["[{\"$date\":1000},` + oid + `]",1]`), true, false},
		"canonical":       {enc(`["[{\"$date\":{\"$numberLong\":\"1000\"}},` + oid + `]",1]`), true, false},
		"epoch":           {enc(`["[{\"$date\":{\"$numberLong\":\"0\"}},` + oid + `]",1]`), true, false},
		"by id":           {enc(`["` + oid + `",1]`), false, true},
		"three elements":  {enc(`["[1,2,3]",1]`), false, true},
		"far date":        {enc(`["[{\"$date\":9223372036854775807},` + oid + `]",1]`), false, true},
		"null date":       {enc(`["[{\"$date\":null},` + oid + `]",1]`), false, true},
		"not wrapped":     {enc(`[{"$date":1000},{"$oid":"5f1e2d3c4b5a69788796a5b4"}]`), false, false},
		"number as page":  {enc(`["x","y"]`), false, false},
		"absent":          {"", false, false},
		"nothing like it": {"%%%", false, false},
	} {
		k, _, err := parseCursor(c.text)
		if (k != nil) != c.found || (err != nil) != c.refused {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(formatCursor(store.Key{Date: time.UnixMilli(1), ID: mail.NewID()}, 3))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`["[{\"$date\":{\"$numberLong\":\"5\"}},{\"$oid\":\"\"}]",1]`)))
	f.Add(formatTextCursor("example.org", mail.NewID(), 2))
	f.Fuzz(func(t *testing.T, s string) {
		if text, page, err := textCursor(s); err == nil && text != "" {
			if again, p, err := textCursor(formatTextCursor(text, mail.NewID(), page)); err != nil || again != strings.ToValidUTF8(text, "\uFFFD") || p != page {
				t.Fatalf("%q, page %d, comes back as %q, page %d (%v)", text, page, again, p, err)
			}
		}
		k, _, err := parseCursor(s)
		if k == nil || err != nil {
			return
		}
		if y := k.Date.Year(); y < -271822 || y > 275760 {
			t.Fatalf("year %d", y)
		}
	})
}

func TestSelector(t *testing.T) {
	for text, want := range map[string]*selector{
		"1": {list: []mail.UID{1}}, "3,1,3,2": {list: []mail.UID{1, 2, 3}},
		"2:5": {first: 2, last: 5}, "5:2": {first: 2, last: 5}, "7:*": {first: 7, last: 1<<32 - 1},
		"": nil, "*": nil, "1,": nil, "1:2:3": nil, "1,2:3": nil, "-1": nil, "4294967296": nil, " 1": nil, "1\n": nil,
	} {
		got, ok := parseSelector(text)
		if ok != (want != nil) {
			t.Errorf("selector %q: %v", text, ok)
			continue
		}
		if want != nil && (got.first != want.first || got.last != want.last || len(got.list) != len(want.list)) {
			t.Errorf("selector %q is %v", text, got)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"1", "1,2,3", "5:1", "1:*", "99999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sel, ok := parseSelector(s)
		if !ok {
			return
		}
		for i := 1; i < len(sel.list); i++ {
			if sel.list[i] <= sel.list[i-1] {
				t.Fatalf("%q is not rising: %v", s, sel.list)
			}
		}
		if sel.list == nil && sel.first > sel.last {
			t.Fatalf("%q is %d:%d", s, sel.first, sel.last)
		}
	})
}
