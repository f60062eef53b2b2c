package submit

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// storedText is a draft's text after it was stored and read.
func storedText(t *rapid.T, d Draft) string {
	s := New(Options{Hostname: "mx.example.org"})
	c := s.compose(mail.User{Address: "anna@example.org"}, d, nil)
	raw, err := message.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	return plain(message.Parse(raw))
}

// A draft's text does not change by being saved and loaded, whatever is typed
// and quoted. White space around it is not kept.
func TestTextRoundTrip(t *testing.T) {
	line := rapid.OneOf(rapid.StringMatching(`[ -~äж你>.\t]{0,30}`), rapid.SampledFrom([]string{"", " ", ">", "> ", ".", "..", "From x", "-- ", strings.Repeat("x ", 600)}))
	text := rapid.Map(rapid.SliceOfN(line, 0, 5), func(l []string) string { return strings.TrimSpace(strings.Join(l, "\n")) })
	rapid.Check(t, func(t *rapid.T) {
		d := Draft{
			Text: text.Draw(t, "text"), Action: rapid.SampledFrom([]string{ActionReply, ActionForward}).Draw(t, "action"),
			KeepQuote: true, Quote: Quote{Intro: "On 2 Jan 2024, 10:00, Bert wrote:", Text: text.Draw(t, "quote")},
		}
		for range 2 {
			own, quote, found := cutQuote(Draft{Text: storedText(t, d), Action: d.Action, Quote: Quote{Intro: d.Quote.Intro}})
			if !found || own != d.Text || quote != d.Quote.Text {
				t.Fatalf("own %q, quote %q, found %v; want %q, %q", own, quote, found, d.Text, d.Quote.Text)
			}
		}
		d.KeepQuote = false
		if got := storedText(t, d); got != d.Text {
			t.Fatalf("text %q, want %q", got, d.Text)
		}
	})
}

func TestCutQuoteOfForeignText(t *testing.T) {
	for _, text := range []string{"", "text", "On 2 Jan 2024, 10:00, Bert wrote", "x\nOn 2 Jan 2024, 10:00, Bert wrote:\n> y"} {
		if own, quote, found := cutQuote(Draft{Text: text, Quote: Quote{Intro: "On 2 Jan 2024, 10:00, Bert wrote:"}}); found {
			t.Errorf("%q: own %q, quote %q", text, own, quote)
		}
	}
}

// FuzzCutQuote: whatever stands in a stored draft, nothing is out of bounds.
func FuzzCutQuote(f *testing.F) {
	f.Add("own\n\nintro\n> quote\n", "intro", true)
	f.Add("\n\n\n", "", false)
	f.Add("", "\n", true)
	f.Fuzz(func(t *testing.T, text, intro string, reply bool) {
		d := Draft{Text: text, Quote: Quote{Intro: intro}, Action: ActionForward}
		if reply {
			d.Action = ActionReply
		}
		own, _, found := cutQuote(d)
		if found && !strings.HasPrefix(text, own) {
			t.Fatalf("own %q is not the beginning of %q", own, text)
		}
	})
}

func TestCutOfAHugeText(t *testing.T) {
	text := strings.Repeat(strings.Repeat("ж", 50)+"\n", maxQuote/100)
	got := cut(text)
	if len(got) > maxQuote+10 || !strings.HasSuffix(got, "ж\n[...]") || cut("short") != "short" {
		t.Errorf("%d bytes of %d, ending %q", len(got), len(text), got[len(got)-20:])
	}
	if got := cut(strings.Repeat("ж", maxQuote)); len(got) > maxQuote || strings.Contains(got, "\ufffd") {
		t.Errorf("%d bytes", len(got))
	}
}
