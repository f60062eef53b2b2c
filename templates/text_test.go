package templates

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLinkify(t *testing.T) {
	for text, want := range map[string][]string{
		"see https://a.example/x?y=1, or not":      {"https://a.example/x?y=1"},
		"(https://a.example/wiki/A_(b)) end":       {"https://a.example/wiki/A_(b)"},
		"http://a.example/.":                       {"http://a.example/"},
		"www.a.example and андрис@уайлддак.орг!":   {"https://www.a.example", "/compose?to=%D0%B0%D0%BD%D0%B4%D1%80%D0%B8%D1%81%40%D1%83%D0%B0%D0%B9%D0%BB%D0%B4%D0%B4%D0%B0%D0%BA.%D0%BE%D1%80%D0%B3"},
		"javascript:alert(1) data:text/html,x":     nil,
		"https:// http://":                         nil,
		"<https://a.example>":                      {"https://a.example"},
		`https://a.example/"onmouseover="alert(1)`: {"https://a.example/"},
	} {
		var got []string
		var back strings.Builder
		for _, p := range linkify(text) {
			back.WriteString(p.text)
			if p.href != "" {
				got = append(got, p.href)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if back.String() != text {
			t.Errorf("%q came back as %q", text, back.String())
		}
	}
}

func FuzzLinkify(f *testing.F) {
	f.Add("see https://a.example/x?y=1, a@b.example (www.x.example)")
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, text string) {
		var back strings.Builder
		for _, p := range linkify(text) {
			back.WriteString(p.text)
			if p.href != "" && !regexp.MustCompile(`^(?i:https?://|/compose\?to=)`).MatchString(p.href) {
				t.Errorf("link %q", p.href)
			}
		}
		if back.String() != text {
			t.Errorf("%q came back as %q", text, back.String())
		}
		for _, b := range textBlocks(text) {
			if b.text == "" && b.kind == blockText {
				t.Errorf("empty paragraph in %q", text)
			}
		}
	})
}

func TestTextBlocks(t *testing.T) {
	var kinds []blockKind
	for _, b := range textBlocks(sampleText) {
		kinds = append(kinds, b.kind)
		if b.kind == blockQuote && (!b.long || strings.Contains(b.text, ">")) {
			t.Errorf("quote %+v", b)
		}
	}
	if want := []blockKind{blockText, blockText, blockText, blockQuote, blockSignature}; !slices.Equal(kinds, want) {
		t.Errorf("blocks %v, want %v", kinds, want)
	}
}

func TestInitialsAndHue(t *testing.T) {
	for _, c := range [][3]string{
		{"Astrid Holm", "", "AH"}, {"Андрис Рейнис", "", "АР"}, {"山田 美咲", "", "山"}, {"ليلى المنصوري", "", "ل"}, {"", "noreply@x.example", "N"}, {"", "", "?"}, {"\"'", "9@x.example", "'"},
	} {
		if got := initials(c[0], c[1]); got != c[2] {
			t.Errorf("initials(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if hue("A@X.example") != hue("a@x.example") {
		t.Error("the hue depends on case")
	}
}

func TestWhen(t *testing.T) {
	now := sampleNow
	for _, c := range []struct {
		t                time.Time
		row, head, group string
	}{
		{now.Add(-time.Hour), "11:30", "Today 11:30", "Today"},
		{now.Add(-13 * time.Hour), "Mon", "Yesterday 23:30", "Yesterday"},
		{now.AddDate(0, 0, -6), "Wed", "18 Nov 2026, 12:30", "Last week"},
		{now.AddDate(0, 0, -7), "17 Nov", "17 Nov 2026, 12:30", "November"},
		{now.AddDate(-1, 0, 0), "24 Nov 2025", "24 Nov 2025, 12:30", "November 2025"},
		{now.Add(time.Hour).UTC(), "13:30", "Today 13:30", "Today"},
		{now.AddDate(0, 0, 1), "25 Nov", "25 Nov 2026, 12:30", "Today"},
	} {
		if got := When("en", c.t, now); got != c.row {
			t.Errorf("When %s: %q, want %q", c.t, got, c.row)
		}
		if got := HeadWhen("en", c.t, now); got != c.head {
			t.Errorf("HeadWhen %s: %q, want %q", c.t, got, c.head)
		}
		if got := groupName(samplePage(), c.t); got != c.group {
			t.Errorf("group %s: %q, want %q", c.t, got, c.group)
		}
	}
	if When("en", time.Time{}, now) != "" || FullWhen("en", time.Time{}) != "No valid date" {
		t.Error("a missing date is shown")
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{-1: "0 B", 999: "999 B", 1000: "1 kB", 184_000: "184 kB", 6_100_000: "6.1 MB", 15_000_000_000: "15 GB"} {
		if got := Size("en", n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	if got := Size("de", 6_100_000); got != "6,1 MB" {
		t.Errorf("in German %q", got)
	}
}

func TestLocalPath(t *testing.T) {
	for in, want := range map[string]string{"/mail/a?x=1": "/mail/a?x=1", "?view=text": "?view=text", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/", "javascript:alert(1)": "/", "": "/"} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q, want %q", in, got, want)
		}
	}
}

var verbs = regexp.MustCompile(`%[sd]|\{0\}`)

// TestCataloguesAgree finds words that a translation lacks, has too many of,
// or that take other arguments.
func TestCataloguesAgree(t *testing.T) {
	pluralKey := regexp.MustCompile(`\.(zero|one|two|few|many|other)$`)
	for lang, words := range catalogue {
		for key, english := range wordsEn {
			text, ok := words[key]
			if !ok && !pluralKey.MatchString(key) {
				t.Errorf("%s lacks %s", lang, key)
			}
			if ok && !pluralKey.MatchString(key) && !slices.Equal(verbs.FindAllString(english, -1), verbs.FindAllString(text, -1)) {
				t.Errorf("%s: %s takes other arguments", lang, key)
			}
		}
		for key := range words {
			base := pluralKey.ReplaceAllString(key, ".other")
			if _, ok := wordsEn[base]; !ok {
				if _, ok = wordsEn[key]; !ok {
					t.Errorf("%s has %s, English has not", lang, key)
				}
			}
		}
		for _, n := range []int{0, 1, 2, 3, 5, 11, 21, 100, 111} {
			for _, key := range []string{"messages", "trackers", "attachments", "unread", "done.move"} {
				if text := N(lang, key, n); strings.Contains(text, "!") || text == "" {
					t.Errorf("%s: %s of %d is %q", lang, key, n, text)
				}
			}
		}
	}
}

func TestMatch(t *testing.T) {
	for header, want := range map[string]string{"": "en", "de-AT,de;q=0.9,en;q=0.8": "de", "fr, ru;q=0.5": "ru", "*": "en", "AR-eg": "ar"} {
		if got := Match(header); got != want {
			t.Errorf("Match(%q) = %q, want %q", header, got, want)
		}
	}
}

func TestSentText(t *testing.T) {
	if got := SentText("en", nil); got != "Message sent" {
		t.Errorf("%q", got)
	}
	if got := SentText("en", []string{"a@x.example"}); !strings.Contains(got, "a@x.example waits in the queue") {
		t.Errorf("%q", got)
	}
	if got := SentText("en", []string{"a@x", "b@x", "c@x", "d@x"}); !strings.Contains(got, "2 more") {
		t.Errorf("%q", got)
	}
}
