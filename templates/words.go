package templates

import (
	"fmt"
	"strings"
)

// Language is one that the webmail speaks.
type Language struct {
	// Tag is the language tag (RFC 5646); Name is its own name for itself.
	Tag, Name string
}

// Languages are those offered in the settings, English first.
var Languages = []Language{{"en", "English"}, {"de", "Deutsch"}, {"ru", "Русский"}, {"ar", "العربية"}}

// catalogue holds the words of each language by key. English has every key.
var catalogue = map[string]map[string]string{"en": wordsEn, "de": wordsDe, "ru": wordsRu, "ar": wordsAr}

// pluralCategories are the names that CLDR gives to the forms of a word after a number.
var pluralCategories = []string{"zero", "one", "two", "few", "many", "other"}

// known is the language of the catalogue for a tag, "en" when there is none.
func known(tag string) string {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if _, ok := catalogue[base]; ok {
		return base
	}
	return "en"
}

// Match picks a language for an Accept-Language header, in the order the
// header gives. Quality values are taken as descending, as browsers send them.
func Match(header string) string {
	if len(header) > 1000 {
		header = header[:1000]
	}
	for part := range strings.SplitSeq(header, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if _, ok := catalogue[base]; ok {
			return base
		}
	}
	return "en"
}

func lookup(lang, key string) (string, bool) {
	if text, ok := catalogue[known(lang)][key]; ok {
		return text, true
	}
	text, ok := wordsEn[key]
	return text, ok
}

// T is the text of a key in a language, with its verbs filled by args. A key
// that no language has comes back as it is, so that it is seen.
func T(lang, key string, args ...any) string {
	text, ok := lookup(lang, key)
	if !ok {
		return key
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// N is the text of a key for a number; the catalogue has a form per category.
func N(lang, key string, n int) string {
	text, ok := lookup(lang, key+"."+plural(known(lang), n))
	if !ok {
		text = T(lang, key+".other")
	}
	if !strings.Contains(text, "%") {
		return text
	}
	return fmt.Sprintf(text, n)
}

// T is the page's text of a key.
func (p Page) T(key string, args ...any) string { return T(p.Lang, key, args...) }

// N is the page's text of a key for a number.
func (p Page) N(key string, n int) string { return N(p.Lang, key, n) }

// plural is the CLDR category of a whole number.
func plural(lang string, n int) string {
	ten, hundred := n%10, n%100
	switch lang {
	case "ru":
		switch {
		case ten == 1 && hundred != 11:
			return "one"
		case ten >= 2 && ten <= 4 && (hundred < 12 || hundred > 14):
			return "few"
		}
		return "many"
	case "ar":
		switch {
		case n == 0:
			return "zero"
		case n == 1:
			return "one"
		case n == 2:
			return "two"
		case hundred >= 3 && hundred <= 10:
			return "few"
		case hundred >= 11:
			return "many"
		}
		return "other"
	}
	if n == 1 {
		return "one"
	}
	return "other"
}

// ErrorText words the refusal of a field: field is name, username, domain,
// password, to, cc, bcc, from or files, reason one of the account's words. An unknown
// reason gets the general sentence.
func ErrorText(lang, field, reason string) string {
	for _, key := range []string{"refuse." + field + "." + reason, "refuse." + reason} {
		if text, ok := lookup(lang, key); ok {
			return text
		}
	}
	return T(lang, "refuse.unknown")
}

// DoneText words what a bulk action did to n messages, for the toast.
func DoneText(lang, verb string, n int) string {
	if _, ok := lookup(lang, "done."+verb+".other"); !ok {
		verb = "other"
	}
	return N(lang, "done."+verb, n)
}

// SentText says that a message was sent. queued are the recipients elsewhere
// whose mail waits.
func SentText(lang string, queued []string) string {
	switch n := len(queued); {
	case n == 0:
		return T(lang, "sent.all")
	case n <= 3:
		return T(lang, "sent.queued", strings.Join(queued, ", "))
	default:
		return T(lang, "sent.queued.more", strings.Join(queued[:2], ", "), n-2)
	}
}
