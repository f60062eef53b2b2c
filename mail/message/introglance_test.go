package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestGlance: a preview that was made at a glance is the one that dividing the
// whole text gives.
func TestGlance(t *testing.T) {
	lines := []string{
		"Some words of a text that goes on for a while, so that a preview is soon full.", "short", "", "", "> quoted", ">", "--", "-- ", "--- ", "-----",
		"-----Original Message-----", "On Monday, 2 March 2026 at 10:20 Ann <ann@example.org> wrote:", "On Monday,", "2 March 2026, Ann", "wrote:", "From: Ann", "Sent: Monday",
		"To: Bob", "see https://example.org/a:b", "[image: x] and [https://example.org]", "привет, это письмо с довольно длинной строкой, чтобы хватило", "你好，这是一封很长的邮件，内容很多", " \u00a0 ",
		"Ann schrieb：", "___________", strings.Repeat("long ", 60), "\u00a0-- ", "= = =", "____ Forwarded message ____",
	}
	glanced := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 30).Draw(t, "lines"), rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
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
