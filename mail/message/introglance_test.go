package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestGlance: a preview that was made at a glance is the one that dividing the
// whole text gives.
func TestGlance(t *testing.T) {
	plain := []string{
		"Some words of a text that goes on for a while, so that a preview is soon full.", "short", "", "", "see https://example.org/a:b", "[image: x] and [https://example.org]",
		"привет, это письмо с довольно длинной строкой, чтобы хватило", "你好，这是一封很长的邮件，内容很多", " \u00a0 ", strings.Repeat("long ", 60), "= = =",
	}
	dividing := []string{
		"> quoted", ">", "--", "-- ", "--- ", "-----", "-----Original Message-----", "On Monday, 2 March 2026 at 10:20 Ann <ann@example.org> wrote:", "On Monday,", "2 March 2026, Ann",
		"wrote:", "From: Ann", "Sent: Monday", "To: Bob", "Ann schrieb：", "___________", "\u00a0-- ", "____ Forwarded message ____",
	}
	glanced := 0
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SampledFrom(plain), 0, 20).Draw(t, "plain")
		lines = append(lines, rapid.SliceOfN(rapid.SampledFrom(append(dividing, plain...)), 0, 10).Draw(t, "any")...)
		text := strings.Join(lines, rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
		text = cutUTF8(text, introSource)
		got, ok := glance(text)
		if !ok {
			return
		}
		glanced++
		if want := wholeIntro(text); got != want {
			t.Fatalf("%q\nat a glance %q\nwhole       %q", text, got, want)
		}
	})
	if glanced == 0 {
		t.Fatal("nothing was settled at a glance")
	}
}
