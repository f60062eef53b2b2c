package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"case", "STRASSE Straße ẞ", "strasse strasse ss"},
		{"accents", "Crème Brûlée Ångström Żółć", "creme brulee angstrom zolc"},
		{"Turkish", "İstanbul ışık", "istanbul isik"},
		{"yo", "Ёлка ёж", "елка еж"},
		{"short i stays", "Йод йод чай", "йод йод чай"},
		{"short i in two characters", "чай", "чай"},
		{"yo in two characters", "ёж", "еж"},
		{"Ukrainian", "Їжак ґанок", "їжак ґанок"},
		{"final sigma and tonos", "Οδυσσέας ΣΊΣΥΦΟΣ", "οδυσσεασ σισυφοσ"},
		{"hamza", "أحمد إيمان آدم مؤمن", "احمد ايمان ادم مومن"},
		{"tatweel and harakat", "كتـــاب مُحَمَّد", "كتاب محمد"},
		{"ta marbuta, alef maqsura", "مدرسة على", "مدرسه علي"},
		{"Persian letters", "کتاب ایران", "كتاب ايران"},
		{"niqqud", "שָׁלוֹם", "שלומ"},
		{"finals", "שלום מלך", "שלומ מלכ"},
		{"width", "ＡＢＣ　１２３ ｶﾞｲﾄﾞ", "abc 123 ガイド"},
		{"voicing stays", "が か ガ", "が か ガ"},
		{"jamo", "한국", "한국"},
		{"ligature", "ﬁn", "fin"},
		{"digits", "٤٢ ४२ ๔๒", "42 42 42"},
		{"no width", "so\u00adft zero\u200bwidth", "soft zerowidth"},
		{"Hindi vowel signs stay", "हिन्दी", "हिन्दी"},
	} {
		t.Run(c.name, func(t *testing.T) { wantEqual(t, Fold(c.in), c.want) })
	}
}

func tokensOf(s string) string {
	var out []string
	(&Tokens{}).Each(s, func(b []byte) { out = append(out, string(b)) })
	return strings.Join(out, "|")
}

func TestTokens(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"words", "Hello, World! 42", "hello|world|42"},
		{"address", "to Ann.Smith@Mail.Example.org.", "to|ann|smith|mail|example|org|ann.smith@mail.example.org|mail.example.org"},
		{"host", "see www.example.org/path", "see|www|example|org|www.example.org|path"},
		{"end of a sentence", "the end. Next", "the|end|next"},
		{"hyphen", "foo-bar foo_bar", "foo|bar|foo|bar"},
		{"Han", "北京大学", "北京|京大|大学|学"},
		{"one Han", "京", "京"},
		{"mixed", "iPhone手机", "iphone|手机|机"},
		{"Kana", "かな カナ", "かな|な|カナ|ナ"},
		{"Hangul", "한국어", "한국|국어|어"},
		{"Thai", "ภาษาไทย", "ภาษ|าษา|ษาไ|าไท|ไทย|ทย|ย"},
		{"Cyrillic", "Привет, МИР", "привет|мир"},
		{"Arabic", "السلام عليكم", "السلام|عليكم"},
		{"nothing", " -- !? ", ""},
		{"long", strings.Repeat("x", 100), strings.Repeat("x", MaxToken)},
	} {
		t.Run(c.name, func(t *testing.T) { wantEqual(t, tokensOf(c.in), c.want) })
	}
}

func TestTokenIsCutBetweenCharacters(t *testing.T) {
	var k Tokens
	k.Each("x"+strings.Repeat("ж", 60), func(b []byte) {
		if !utf8.Valid(b) || len(b) > MaxToken {
			t.Errorf("token %q of %d bytes", b, len(b))
		}
	})
	if !k.Cut {
		t.Error("a long word was not marked as cut")
	}
}

func TestFoldingTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		once := Fold(s)
		if twice := Fold(once); twice != once {
			t.Fatalf("%q folds to %q and then to %q", s, once, twice)
		}
	})
}

func TestOffsetsPointIntoTheSource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		n := normalise(s, true)
		if len(n.at) != len(n.b) || !slices.IsSorted(n.at) {
			t.Fatalf("%q: offsets %v of %q", s, n.at, n.b)
		}
		for _, at := range n.at {
			if int(at) >= len(s) || !utf8.RuneStart(s[at]) {
				t.Fatalf("%q: offset %d", s, at)
			}
		}
	})
}

func TestHighlights(t *testing.T) {
	for _, c := range []struct{ name, query, text, want string }{
		{"word", "crème", "La creme, la Crème!", "La [creme], la [Crème]!"},
		{"prefix", "inv*", "Invoice for an inventory", "[Invoice] for an [inventory]"},
		{"phrase", `"quarterly report"`, "Quarterly  Report, not report", "[Quarterly  Report], not report"},
		{"negated", "-draft report", "draft report", "draft [report]"},
		{"Han", "大学", "北京大学。", "北京[大学]。"},
		{"two that meet", "aa bb", "aa bb", "[aa] [bb]"},
		{"other field", "from:ann", "ann", "ann"},
		{"accent in two characters", "café", "un café noir", "un [café] noir"},
		{"inside a word not", "port", "report", "report"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			last := 0
			for _, s := range Highlights(people(c.query).Query, InSubject, c.text) {
				got.WriteString(c.text[last:s.From] + "[" + c.text[s.From:s.To] + "]")
				last = s.To
			}
			wantEqual(t, got.String()+c.text[last:], c.want)
		})
	}
}

func TestHighlightsLieInTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		q := Text{In: InAll, Value: rapid.StringN(1, 3, -1).Draw(t, "value"), Mode: Mode(rapid.IntRange(0, 2).Draw(t, "mode"))}
		last := 0
		for _, sp := range Highlights(q, InSubject, s) {
			if sp.From < last || sp.To <= sp.From || sp.To > len(s) {
				t.Fatalf("span %v in %q", sp, s)
			}
			if !utf8.ValidString(s[sp.From:sp.To]) && utf8.ValidString(s) {
				t.Fatalf("span %v cuts a character of %q", sp, s)
			}
			last = sp.To
		}
	})
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"a.b@c.d", "北京", "ภาษาไทย", "é", "é", "\xff\xfe", "한", strings.Repeat("a-", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := 0
		(&Tokens{}).Each(s, func(b []byte) {
			words++
			if len(b) == 0 || len(b) > maxWhole {
				t.Fatalf("token %q", b)
			}
		})
		if words > 4*len(s)+4 {
			t.Fatalf("%d tokens from %d bytes", words, len(s))
		}
		Highlights(Text{In: InAll, Value: s[:len(s)/2]}, InBody, s)
	})
}
