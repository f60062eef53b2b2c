package address

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// profile is IDNA look-up (RFC 5891 5, UTS 46 non-transitional), made tolerant
// where names in use are: underscores and hyphens in third place are checked
// by checkLDH, not by the profile. It holds no state.
var profile = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.CheckJoiners(true),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
)

// Domain gives the normal form of a domain name: lower case, Unicode. A name
// in punycode gives the same as its Unicode form; punycode that stands for
// nothing valid stays as it is. Address literals are refused. The error is an
// *Error.
func Domain(s string) (string, error) {
	if s == "" {
		return "", &Error{Reason: ReasonEmpty, Detail: "empty domain"}
	}
	if len(s) > 4*maxDomain {
		return "", &Error{Reason: ReasonLong, Detail: "domain longer than 255 octets"}
	}
	ascii := strings.ToLower(s)
	if !isASCII(s) {
		mapped, err := profile.ToASCII(norm.NFC.String(s))
		if err != nil {
			return "", &Error{Reason: ReasonDomain, Detail: "not a domain by IDNA", Err: err}
		}
		ascii = strings.ToLower(mapped)
	}
	if err := checkLDH(ascii); err != nil {
		return "", err
	}
	if !strings.Contains(ascii, "xn--") {
		return ascii, nil
	}
	// Take the Unicode form only when it leads back here, so that two spellings
	// never become one, nor one two.
	name, err := profile.ToUnicode(ascii)
	if err != nil {
		return ascii, nil //nolint:nilerr // such punycode is kept; DNS may still have it
	}
	if back, err := profile.ToASCII(name); err != nil || back != ascii {
		return ascii, nil //nolint:nilerr // as above
	}
	return name, nil
}

// checkLDH is the sub-domain rule of RFC 5321 4.1.2, with underscores, on a
// lower-case ASCII name.
func checkLDH(name string) error {
	if len(name) > maxDomain {
		return &Error{Reason: ReasonLong, Detail: "domain longer than 255 octets"}
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return &Error{Reason: ReasonDomain, Detail: "empty label in the domain"}
		case len(label) > 63:
			// RFC 1035 2.3.4.
			return &Error{Reason: ReasonLong, Detail: "domain label longer than 63 octets"}
		case label[0] == '-' || label[len(label)-1] == '-':
			return &Error{Reason: ReasonDomain, Detail: "hyphen at the edge of a domain label"}
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return &Error{Reason: ReasonDomain, Detail: "character that no domain has"}
		}
	}
	return nil
}

// parseDomain reads a domain or an address literal.
func parseDomain(s string) (string, error) {
	if !strings.HasPrefix(s, "[") {
		return Domain(s)
	}
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return "", &Error{Reason: ReasonDomain, Detail: "bracket not closed"}
	}
	// RFC 5321 4.1.3. General-address-literal has no registered tag but IPv6.
	tag, v6, tagged := strings.Cut(inner, ":")
	if tagged {
		ip, err := netip.ParseAddr(v6)
		if err != nil || !strings.EqualFold(tag, "ipv6") || !ip.Is6() || ip.Zone() != "" {
			return "", &Error{Reason: ReasonDomain, Detail: "not an IPv6 address literal", Err: err}
		}
		return "[ipv6:" + ip.String() + "]", nil
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || !ip.Is4() {
		return "", &Error{Reason: ReasonDomain, Detail: "not an IPv4 address literal", Err: err}
	}
	return "[" + ip.String() + "]", nil
}

// asciiDomain gives the punycode of a normal form.
func asciiDomain(domain string) string {
	if isASCII(domain) {
		return domain
	}
	ascii, err := profile.ToASCII(domain)
	if err != nil {
		// Domain made it from this very text, so it cannot fail for a parsed
		// address; a hand-made one passes through.
		return domain
	}
	return ascii
}
