package account

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// Lengths of names, in characters.
const (
	maxUsername = 32
	maxName     = 128
)

// reservedNames are roles that mail software and people trust (RFC 2142), and
// names by which somebody could pose as the operator.
var reservedNames = []string{
	"postmaster", "abuse", "admin", "administrator", "root", "hostmaster", "webmaster", "mailer-daemon", "mailerdaemon",
	"noreply", "donotreply", "security", "noc", "support", "help", "helpdesk", "info", "sales", "marketing",
	"billing", "accounts", "account", "contact", "news", "usenet", "uucp", "ftp", "www", "web", "webmail", "mail", "email",
	"smtp", "imap", "pop", "pop3", "lmtp", "dns", "ssl", "tls", "ssladmin", "ssladministrator", "sslwebmaster", "sysadmin",
	"system", "daemon", "bin", "nobody", "operator", "owner", "moderator", "mod", "staff", "team", "official", "bounce",
	"bounces", "autoreply", "devnull", "dmarc", "dkim", "spf", "postfix", "spam", "junk", "virus", "phishing", "fraud", "legal",
	"privacy", "compliance", "status", "server", "service", "services", "test", "testing", "guest", "anonymous", "user",
	"username", "password", "login", "signin", "signup", "register", "registration", "api", "list", "lists", "listserv",
	"majordomo", "mailman", "everyone", "all", "self", "null", "undefined", "eider", "wildduck", "inbox", "sent", "drafts", "trash",
}

// lookAlikes are letters of other scripts, and digits, that are read as Latin
// letters: those that a person would not tell apart (after Unicode's
// confusables, TR 39).
var lookAlikes = map[rune]rune{
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'ё': 'e', 'ғ': 'f', 'һ': 'h', 'н': 'h', 'і': 'i', 'ї': 'i', 'ј': 'j', 'к': 'k', 'ӏ': 'l',
	'м': 'm', 'п': 'n', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'г': 'r', 'ѕ': 's', 'т': 't', 'υ': 'u', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'у': 'y', 'ʏ': 'y',
	'α': 'a', 'β': 'b', 'ϲ': 'c', 'ε': 'e', 'η': 'n', 'ι': 'i', 'κ': 'k', 'μ': 'm', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'χ': 'x', 'γ': 'y', 'ω': 'w', 'ѡ': 'w',
	'ɑ': 'a', 'ı': 'i', 'ɡ': 'g', 'ø': 'o', 'ł': 'l', 'đ': 'd', 'ɩ': 'i', 'օ': 'o', 'ո': 'n', 'ս': 'u', 'հ': 'h', 'ց': 'g', 'ք': 'p', 'ƅ': 'b',
	'0': 'o', '1': 'l', '3': 'e', '4': 'a', '5': 's', '7': 't', '|': 'l',
}

// skeleton is what a name looks like: compatibility forms and accents gone,
// look-alikes replaced, i and l taken for one, separators dropped.
func skeleton(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(s)) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		if to, ok := lookAlikes[r]; ok {
			r = to
		}
		switch {
		case r == 'l':
			r = 'i'
		case r == '.' || r == '-' || r == '_' || !unicode.IsPrint(r):
			continue
		}
		b.WriteRune(r)
	}
	// Two letters that are read as one.
	return strings.NewReplacer("rn", "m", "vv", "w").Replace(b.String())
}

func reservedSkeletons(more []string) map[string]bool {
	out := make(map[string]bool, len(reservedNames)+len(more))
	for _, list := range [][]string{reservedNames, more} {
		for _, name := range list {
			out[skeleton(name)] = true
		}
	}
	return out
}

func invalid(field, reason string) error {
	return &mail.Error{Code: mail.CodeInvalid, Op: "check " + field, Field: field, Reason: reason}
}

// checkUsername judges a name that somebody wants to register, normalised. It
// may have letters and digits of any script, but of one script only, and
// . _ - between them.
func (a *Accounts) checkUsername(name string) error {
	const field = "username"
	length, last := 0, rune(0)
	for _, r := range name {
		length++
		switch {
		case r == '.' || r == '_' || r == '-':
			if length == 1 || isSeparator(last) {
				return invalid(field, "format")
			}
		case unicode.IsLetter(r), unicode.IsDigit(r):
		case unicode.IsMark(r) && length > 1 && !isSeparator(last):
		default:
			return invalid(field, "format")
		}
		last = r
	}
	switch {
	case length == 0:
		return invalid(field, "empty")
	case length > maxUsername:
		return invalid(field, "long")
	case isSeparator(last) || mixed(name):
		return invalid(field, "format")
	case a.reserved[skeleton(name)]:
		return invalid(field, "reserved")
	}
	return nil
}

func isSeparator(r rune) bool { return r == '.' || r == '_' || r == '-' }

// mixed reports letters of scripts that nobody writes together: a way to look
// like somebody else. Chinese, Japanese and Korean are written with each other
// and with Latin (TR 39, highly restrictive).
func mixed(name string) bool {
	var latin, eastAsian, other int
	seen := map[*unicode.RangeTable]bool{}
	for _, r := range name {
		table := scriptOf(r)
		if table == nil || seen[table] {
			continue
		}
		seen[table] = true
		switch table {
		case unicode.Latin:
			latin++
		case unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo:
			eastAsian++
		default:
			other++
		}
	}
	return other > 1 || (other == 1 && latin+eastAsian > 0)
}

func scriptOf(r rune) *unicode.RangeTable {
	if r < 0x80 {
		if unicode.IsLetter(r) {
			return unicode.Latin
		}
		return nil
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return table
		}
	}
	return nil
}

// checkName judges a display name.
func checkName(name string) error {
	length := 0
	for _, r := range name {
		length++
		if unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r) {
			return invalid("name", "format")
		}
	}
	if length > maxName {
		return invalid("name", "long")
	}
	return nil
}

// newAddress makes the address of a name in a domain.
func (a *Accounts) newAddress(name, domain string) (address.Address, error) {
	if domain == "" && len(a.domains) > 0 {
		domain = a.domains[0]
	}
	d, err := address.Domain(domain)
	if err != nil {
		return address.Address{}, invalid("domain", "format")
	}
	for _, known := range a.domains {
		if known != d {
			continue
		}
		addr, err := address.Parse(name + "@" + d)
		if err != nil {
			return address.Address{}, invalid("username", "format")
		}
		return addr, nil
	}
	return address.Address{}, invalid("domain", "unknown")
}
