package message

import (
	"strings"
	"unicode"
)

// Language names the language of a text by its script, and among those of one
// script by the commonest words and letters: a BCP 47 tag, "" when the text
// does not say. The first 4 KiB count.
func Language(text string) string {
	text = withoutLinks(cutUTF8(text, 4<<10))
	var counts scriptCounts
	for _, r := range text {
		counts.add(r)
	}
	return counts.language(text)
}

// withoutLinks drops words that are links or addresses.
func withoutLinks(text string) string {
	words := strings.Fields(text)
	kept := words[:0]
	for _, w := range words {
		if !strings.Contains(w, "://") && !strings.Contains(w, "@") {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// scriptCounts counts letters by script.
type scriptCounts struct {
	latin, cyrillic, greek, arabic, hebrew, han, kana, hangul, thai, devanagari, bengali, tamil, georgian, armenian, ethiopic, khmer, burmese int
}

func (c *scriptCounts) add(r rune) {
	switch {
	case r < 0x41:
	case r < 0x250:
		if unicode.IsLetter(r) {
			c.latin++
		}
	case r >= 0x1e00 && r < 0x1f00:
		c.latin++
	case r >= 0x370 && r < 0x400 || r >= 0x1f00 && r < 0x2000:
		c.greek++
	case r >= 0x400 && r < 0x530:
		c.cyrillic++
	case r >= 0x530 && r < 0x590:
		c.armenian++
	case r >= 0x590 && r < 0x600:
		c.hebrew++
	case r >= 0x600 && r < 0x780 || r >= 0xfb50 && r < 0xfe00 || r >= 0xfe70 && r < 0xff00:
		c.arabic++
	case r >= 0x900 && r < 0x980:
		c.devanagari++
	case r >= 0x980 && r < 0xa00:
		c.bengali++
	case r >= 0xb80 && r < 0xc00:
		c.tamil++
	case r >= 0xe00 && r < 0xe80:
		c.thai++
	case r >= 0x1000 && r < 0x10a0:
		c.burmese++
	case r >= 0x10a0 && r < 0x1100:
		c.georgian++
	case r >= 0x1200 && r < 0x1380:
		c.ethiopic++
	case r >= 0x1780 && r < 0x1800:
		c.khmer++
	case r >= 0x3040 && r < 0x3100:
		c.kana++
	case r >= 0x4e00 && r < 0xa000 || r >= 0x20000 && r < 0x30000:
		c.han++
	case r >= 0xac00 && r < 0xd7b0:
		c.hangul++
	}
}

// language takes the script with most letters. One Chinese character counts as
// much as three letters.
func (c *scriptCounts) language(text string) string {
	eastern := 3 * (c.han + c.kana)
	best, n := "", 0
	for _, s := range []struct {
		name  string
		count int
	}{
		{"latin", c.latin},
		{"cyrillic", c.cyrillic},
		{"arabic", c.arabic},
		{"han", eastern},
		{"ko", 2 * c.hangul},
		{"el", c.greek},
		{"he", c.hebrew},
		{"th", c.thai},
		{"hi", c.devanagari},
		{"bn", c.bengali},
		{"ta", c.tamil},
		{"ka", c.georgian},
		{"hy", c.armenian},
		{"am", c.ethiopic},
		{"km", c.khmer},
		{"my", c.burmese},
	} {
		if s.count > n {
			best, n = s.name, s.count
		}
	}
	switch {
	case n < 12:
		return "" // too little to say
	case best == "latin":
		return byWords(text, latinWords)
	case best == "cyrillic":
		return cyrillic(text)
	case best == "arabic":
		return arabic(text)
	case best == "han":
		return chinese(c, text)
	}
	return best
}

// chinese tells Japanese by its kana, and the two kinds of Chinese by
// characters that only one has.
func chinese(c *scriptCounts, text string) string {
	if c.kana*10 > c.han {
		return "ja"
	}
	traditional, simplified := runesIn(text, "這個們來會說時國學對開關點嗎還請後"), runesIn(text, "这个们来会说时国学对开关点吗还请后")
	switch {
	case traditional > simplified:
		return "zh-Hant"
	case simplified > 0:
		return "zh-Hans"
	}
	return "zh"
}

func runesIn(text, set string) int {
	n := 0
	for _, r := range text {
		if strings.ContainsRune(set, r) {
			n++
		}
	}
	return n
}

// cyrillic tells languages by letters that the others lack, else by words.
func cyrillic(text string) string {
	lower := strings.ToLower(text)
	for _, l := range []struct{ letters, tag string }{{"ґїє", "uk"}, {"ў", "be"}, {"ђћ", "sr"}, {"ѓќѕ", "mk"}, {"әғқңұһ", "kk"}} {
		if runesIn(lower, l.letters) > 0 {
			return l.tag
		}
	}
	if tag := byWords(text, cyrillicWords); tag != "" {
		return tag
	}
	if runesIn(lower, "ыэё") > 0 {
		return "ru"
	}
	return ""
}

func arabic(text string) string {
	switch {
	case runesIn(text, "ٹڈڑےں") > 0:
		return "ur"
	case runesIn(text, "پچژگی") > runesIn(text, "ىةإأؤي"):
		return "fa"
	}
	return "ar"
}

// byWords counts each language's words in the text. The winner needs two, and
// more than the next one.
func byWords(text string, lists []wordList) string {
	counts := make(map[string]int, 64)
	seen := 0
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
		if len(word) <= 12 {
			counts[word]++
		}
		if seen++; seen > 1000 {
			break
		}
	}
	best, score, second := "", 0, 0
	for _, l := range lists {
		n := 0
		for word := range strings.FieldsSeq(l.words) {
			n += counts[word]
		}
		switch {
		case n > score:
			best, score, second = l.tag, n, score
		case n > second:
			second = n
		}
	}
	if score < 2 || score == second {
		return ""
	}
	return best
}

// wordList has the commonest short words of a language.
type wordList struct{ tag, words string }

var latinWords = []wordList{
	{"en", "the and to of you is in that for it we are on with this be your have not will would know if there at from as our can please by or"},
	{"de", "der die und ist das nicht ich sie wir zu mit auf für den ein eine es dass im von auch am ob sind bei dem werden kommen haben bitte wird"},
	{"fr", "le la les et est de des que vous nous pour une un dans ce pas sur avec je en du si au être qui votre nos sont ou bonjour merci"},
	{"es", "el la los las de que y en es por con para una un no se su del al lo como está usted si más queremos saber hola gracias le nos"},
	{"it", "il di che è e un una per non con la le sono si del della i gli in ma questo anche come ciao grazie più mi ci nel alla"},
	{"pt", "o de que e do da em um uma para com não os as por mais como se na no você está são ao muito obrigado olá dos das também"},
	{"nl", "de het een en van is dat niet je op te zijn met voor aan er ook als maar we wij naar bij dit heeft graag bedankt ik u om"},
	{"sv", "och att det är i en som på för med har inte av jag du till vi om den ett kan från hej tack men så ska"},
	{"da", "og at det er i en som på for med har ikke af jeg du til vi om den et kan fra hej tak men så skal"},
	{"nb", "og at det er i en som på for med har ikke av jeg du til vi om den et kan fra hei takk men så skal"},
	{"fi", "ja on ei se että hän oli ovat mutta kun niin kuin myös tämä joka sen olen mitä voi kiitos hei ole minä sinä"},
	{"pl", "i w na nie się jest to z że do jak co za od po dla tak ale czy przez ma są jego dziękuję proszę dzień"},
	{"cs", "a je v na se že to s z do o jsem jako ale by si pro za tak jak nebo jsou dobrý den děkuji bude"},
	{"sk", "a je v na sa že to s z do o som ako ale by si pre za tak alebo sú dobrý deň ďakujem bude"},
	{"hu", "a az és hogy nem is egy van ez meg de csak volt már kell mint vagy ha köszönöm lesz minden"},
	{"ro", "și de în la nu a o că cu pe un este din pentru mai ce sunt dar bună mulțumesc au fi sau"},
	{"tr", "ve bir bu için de da ile çok ne gibi daha var olarak ama o ben sen mi teşekkür merhaba en kadar"},
	{"hr", "i je u na se da za su od s ne to kao ali što sam iz bi ili hvala dobar dan biti"},
	{"id", "yang dan di untuk dengan ini itu tidak dari akan pada ke saya anda ada bisa terima kasih juga atau"},
	{"vi", "và là của có không cho được các một người này tôi bạn với trong đã những để cảm ơn"},
	{"et", "ja on ei et see oli kui ka mis ta aga oma siis nii tere aitäh või kes"},
	{"lv", "un ir uz ar no ka par kas bet to es ne vai arī paldies labdien kā"},
	{"lt", "ir yra į kad su iš tai ne kaip bet ar aš labas ačiū už dėl"},
	{"ca", "el la de que i a els en per amb una un no és les del com més gràcies hola"},
}

var cyrillicWords = []wordList{
	{"ru", "и в не на что с как это по к но мы вы из за от так же для если бы то я у все о спасибо здравствуйте ли будет"},
	{"uk", "і в не на що з як це по до але ми ви із за від так для якщо я у все про та дякую чи буде ви разом"},
	{"bg", "и в не на че с как това по за но ние вие от са се да е съм ще или здравейте благодаря си"},
	{"sr", "и у не на да се је са за од као али што сам из ми или хвала"},
}

// LanguageOf is the language of a message's text: what the sender says of it
// (RFC 3282), when that is one language, else what the text shows; "" when
// neither tells. It is safe in an attribute.
func LanguageOf(root *Node, text string) string {
	if root == nil {
		return Language(text)
	}
	tag := ""
	root.Parts(func(n *Node) {
		if tag == "" && (n == root || isInlineText(n, n.mediaType())) {
			tag = languageTag(n.Parsed.Get("content-language"))
		}
	})
	if tag != "" {
		return tag
	}
	return Language(text)
}

// languageTag reads one well-formed tag (RFC 5646 2.1); "" for none, several, or
// something else.
func languageTag(s string) string {
	s = strings.TrimSpace(stripComments(s))
	if len(s) > 35 {
		return ""
	}
	for i, part := range strings.Split(s, "-") {
		if len(part) < 1 || len(part) > 8 || i == 0 && len(part) != 2 && len(part) != 3 {
			return ""
		}
		for _, c := range []byte(part) {
			if c|0x20 < 'a' || c|0x20 > 'z' {
				if i == 0 || c < '0' || c > '9' {
					return ""
				}
			}
		}
	}
	return s
}
