package address

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits in octets.
const (
	// maxLocal is RFC 5321 4.5.3.1.1, counted with the quoting that is needed.
	maxLocal = 64
	// maxDomain is RFC 5321 4.5.3.1.2.
	maxDomain = 255
)

// Address is a mailbox of RFC 5321 4.1.2 without its display name. Make one
// with Parse: methods assume what Parse checked.
type Address struct {
	// Local is the local-part as given, in NFC, with quoting taken away.
	Local string
	// Domain is lower case and in its Unicode form, or an address literal
	// with its brackets.
	Domain string
}

// Reason says in one word why a text is no address.
type Reason string

// The closed set of reasons.
const (
	ReasonEmpty  Reason = "empty"
	ReasonFormat Reason = "format"
	ReasonLong   Reason = "long"
	ReasonDomain Reason = "domain"
)

// Error says why a text is no address.
type Error struct {
	Reason Reason
	// Detail says it in words, for the log. It never holds the input.
	Detail string
	// Err is the cause, where another package found it.
	Err error
}

// Error gives the text for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("address: %s: %v", e.Detail, e.Err)
	}
	return "address: " + e.Detail
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Parse reads an addr-spec: local-part, "@", domain or address literal,
// without a display name, angle brackets, comments or space around it. The
// error is an *Error.
func Parse(s string) (Address, error) {
	switch {
	case s == "":
		return Address{}, &Error{Reason: ReasonEmpty, Detail: "empty"}
	case len(s) > 4*(maxLocal+1+maxDomain):
		// NFC and punycode shorten a text by less than this.
		return Address{}, &Error{Reason: ReasonLong, Detail: "longer than any address"}
	case !utf8.ValidString(s):
		return Address{}, formatError("not UTF-8")
	}
	// Before looking at characters: some turn into ASCII by NFC.
	s = norm.NFC.String(s)
	local, rest, err := parseLocal(s)
	if err != nil {
		return Address{}, err
	}
	if !strings.HasPrefix(rest, "@") {
		return Address{}, formatError("no @ after the local-part")
	}
	if len(quoteLocal(local)) > maxLocal {
		return Address{}, &Error{Reason: ReasonLong, Detail: "local-part longer than 64 octets"}
	}
	domain, err := parseDomain(rest[1:])
	if err != nil {
		return Address{}, err
	}
	return Address{Local: local, Domain: domain}, nil
}

func formatError(detail string) error { return &Error{Reason: ReasonFormat, Detail: detail} }

// parseLocal reads a Dot-string or Quoted-string from the start of s.
func parseLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return parseQuoted(s)
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r != '.' && !isAtext(r) })
	if end < 0 {
		end = len(s)
	}
	local = s[:end]
	if !isDotString(local) {
		return "", "", formatError("local-part is no dot-string")
	}
	return local, s[end:], nil
}

// parseQuoted reads a Quoted-string. RFC 5321 4.1.2 would allow an empty one;
// no mailbox has it, and here an empty local-part means no address.
func parseQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	escaped := false
	for i, r := range s {
		switch {
		case i == 0:
		case escaped:
			// RFC 5321 4.1.2: quoted-pairSMTP is a backslash and printable ASCII.
			if r < ' ' || r > '~' {
				return "", "", formatError("backslash before a character that it cannot quote")
			}
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			if b.Len() == 0 {
				return "", "", &Error{Reason: ReasonEmpty, Detail: "empty local-part"}
			}
			return norm.NFC.String(b.String()), s[i+1:], nil
		case !isQtext(r):
			return "", "", formatError("control character in a quoted local-part")
		default:
			b.WriteRune(r)
		}
	}
	return "", "", formatError("quotation mark not closed")
}

// isDotString is Dot-string of RFC 5321 4.1.2.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if r != '.' && !isAtext(r) {
			return false
		}
	}
	return true
}

// isAtext is atext of RFC 5322 3.2.3 with RFC 6531 3.3.
func isAtext(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return isNonASCII(r)
}

// isQtext is qtextSMTP or a character that quoteLocal escapes.
func isQtext(r rune) bool {
	return r >= ' ' && r <= '~' || r >= utf8.RuneSelf && isNonASCII(r)
}

// isNonASCII is UTF8-non-ascii without what can only deceive: further control
// characters, line and paragraph separators, and characters that turn the
// direction of the text around them (RFC 9839 and Unicode TR 36 2.5).
func isNonASCII(r rune) bool {
	return !unicode.IsControl(r) && !unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// quoteLocal writes a local-part as SMTP wants it.
func quoteLocal(local string) string {
	if isDotString(local) {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range local {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

// IsZero reports the value that is no address: the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }

// String is the addr-spec with the domain in Unicode, the local-part quoted
// where it must be. The zero Address gives "".
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// ASCII is the addr-spec with the domain in punycode. ok is false when the
// local-part is not ASCII, so that the address needs SMTPUTF8 (RFC 6531).
func (a Address) ASCII() (s string, ok bool) {
	if a.IsZero() {
		return "", true
	}
	return quoteLocal(a.Local) + "@" + asciiDomain(a.Domain), isASCII(a.Local)
}

// Label is the text after the first "+" of the local-part, or "".
func (a Address) Label() string {
	_, label, _ := strings.Cut(a.Local, "+")
	return label
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
