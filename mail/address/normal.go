package address

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// maxWildcard is the most characters of fixed text that a wildcard address has
// beside its star.
const maxWildcard = 32

// Normal is the form in which addresses are stored and compared: NFC, lower
// case, trimmed, domain in Unicode, dots kept, "+label" removed. A local-part
// that is nothing but a label keeps it.
func (a Address) Normal() string {
	if a.IsZero() {
		return ""
	}
	return quoteLocal(normalLocal(a.Local)) + "@" + a.Domain
}

// View is the lookup key: Normal without the dots of the local-part. It is the
// addrview field of WildDuck's addresses.
func (a Address) View() string {
	if a.IsZero() {
		return ""
	}
	return quoteLocal(viewLocal(a.Local)) + "@" + a.Domain
}

func normalLocal(local string) string {
	local = lower(local)
	if plus := strings.IndexByte(local, '+'); plus > 0 {
		local = local[:plus]
	}
	if trimmed := strings.TrimSpace(local); trimmed != "" {
		return trimmed
	}
	return local
}

func viewLocal(local string) string {
	normal := normalLocal(local)
	// Taking a dot away may bring a letter and its accent together.
	if bare := norm.NFC.String(strings.ReplaceAll(normal, ".", "")); strings.TrimSpace(bare) != "" {
		return bare
	}
	return normal
}

// lower is full Unicode lower case in NFC, as JavaScript does it, because
// WildDuck's stored keys were made so.
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	// A Caser is stateful, so each call has its own.
	return norm.NFC.String(cases.Lower(language.Und).String(norm.NFC.String(s)))
}

// NormalizeUsername is the form of users.username: trimmed, lower case, NFC. A
// username may hold "@" and is then still no address: it keeps its label.
func NormalizeUsername(s string) string {
	return strings.TrimSpace(lower(strings.TrimSpace(s)))
}

// UsernameView is users.unameview, by which a username is found and unique:
// NormalizeUsername without the dots before the first "@".
func UsernameView(s string) string {
	local, domain, hasDomain := strings.Cut(NormalizeUsername(s), "@")
	local = norm.NFC.String(strings.ReplaceAll(local, ".", ""))
	if hasDomain {
		local += "@" + domain
	}
	return strings.TrimSpace(local)
}

// WildcardViews lists the lookup keys of all wildcard addresses that catch a,
// the most specific first: longest fixed text first, a prefix before a suffix
// of the same length, then "*@domain". The last is "user@*", which catches in
// every domain; whoever asks for a domain and its aliases uses it once, at the
// end.
func WildcardViews(a Address) []string {
	if a.IsZero() {
		return nil
	}
	local := []rune(viewLocal(a.Local))
	at := "@" + a.Domain
	longest := min(len(local), maxWildcard)
	views := make([]string, 0, 2*longest+2)
	for n := longest; n > 0; n-- {
		views = append(views, string(local[:n])+"*"+at, "*"+string(local[len(local)-n:])+at)
	}
	return append(views, "*"+at, string(local)+"@*")
}
