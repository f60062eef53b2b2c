package message

import (
	"net/mail"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPlainDate: the short way reads what net/mail reads, and the same.
func TestPlainDate(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		layout := rapid.SampledFrom([]string{"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 02 Jan 2006 15:04:05 -0700"}).Draw(t, "layout")
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "minutes"))
		s := []byte(time.Unix(rapid.Int64Range(-2e9, 4e9).Draw(t, "second"), 0).In(zone).Format(layout))
		if rapid.Bool().Draw(t, "broken") {
			s[rapid.IntRange(0, len(s)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("0123456789 ,:+-aMJx")).Draw(t, "by")
		}
		got, ok := plainDate(string(s))
		if !ok {
			return
		}
		plain++
		want, err := mail.ParseDate(string(s))
		if err != nil || !got.Equal(want) {
			t.Fatalf("%q: got %v, net/mail %v %v", s, got, want, err)
		}
		_, offset := got.Zone()
		if _, expected := want.Zone(); offset != expected {
			t.Fatalf("%q: offset %d, net/mail %d", s, offset, expected)
		}
	})
	if plain == 0 {
		t.Fatal("nothing was read the short way")
	}
}
