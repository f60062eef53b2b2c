package safehtml

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxLinkText is bytes of a link's text that are searched for an address.
const maxLinkText = 512

// link gives the anchor n, whose content is complete, the target of src. An
// anchor with another kind of target stays without one and is plain text.
func (b *builder) link(n, src *html.Node) {
	raw, ok := attribute(src.Attr, "href")
	if !ok {
		return
	}
	target, ok := b.target(raw)
	if !ok {
		return
	}
	b.issued[target] = true
	if host, bad := misleading(target, textBelow(n)); bad {
		warn(n, host)
	}
	setAttribute(n, "href", target)
	setAttribute(n, "target", "_blank")
	setAttribute(n, "rel", "noopener noreferrer nofollow")
}

// target checks a link's address.
func (b *builder) target(raw string) (string, bool) {
	if b.settled {
		return raw, b.issued[raw]
	}
	raw = clean(raw)
	if strings.HasPrefix(raw, "//") {
		raw = "https:" + raw
	}
	name, _ := scheme(raw)
	switch name {
	case "http", "https":
		return linkURL(raw)
	case "mailto", "tel":
		u, ok := contactURL(name, raw)
		if ok && name == "mailto" && b.o.Mailto != nil {
			if to := b.o.Mailto(u); to != "" && harmless(to) {
				return to, true
			}
		}
		return u, ok
	}
	return "", false
}

// linkURL is absolute, but lets a user name be dropped: what stands before
// the @ is there to be mistaken for the host.
func linkURL(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", false
	}
	u.User = nil
	return absolute(u.String())
}

// contactURL writes a mailto: or tel: URL in its normal form.
func contactURL(name, raw string) (string, bool) {
	if len(raw) > maxURL {
		return "", false
	}
	rest := raw[len(name)+1:]
	var s strings.Builder
	s.WriteString(name + ":")
	for i := range len(rest) {
		c := rest[i]
		if c <= 0x20 || c >= 0x7F || strings.IndexByte("\\\"'<>`{}|^", c) >= 0 {
			s.WriteString(url.PathEscape(rest[i : i+1]))
			continue
		}
		s.WriteByte(c)
	}
	return s.String(), rest != ""
}

// warn marks a link: the class lets the frame's own style show a mark and the
// real host, which is the title.
func warn(n *html.Node, host string) {
	attrs := []html.Attribute{}
	class := classWarn
	for _, a := range n.Attr {
		switch a.Key {
		case "class":
			class += " " + a.Val
		case "title":
		default:
			attrs = append(attrs, a)
		}
	}
	n.Attr = append([]html.Attribute{{Key: "class", Val: class}, {Key: "title", Val: "\u26A0 " + host}}, attrs...)
}

// textBelow collects the text of a tree, up to maxLinkText. An element between
// two texts does not part them: "<b>bank</b>.example" reads as one name.
func textBelow(n *html.Node) string {
	var s strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		for c := n.FirstChild; c != nil && s.Len() < maxLinkText; c = c.NextSibling {
			if c.Type == html.TextNode {
				s.WriteString(c.Data)
			} else {
				walk(c)
			}
		}
	}
	walk(n)
	return cut(s.String(), maxLinkText)
}

// misleading reports a link whose text names another site than its target, or
// whose host is written to look like another. It gives the host in ASCII.
func misleading(target, text string) (host string, bad bool) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return "", false
	}
	host = asciiHost(u.Hostname())
	if lookalike(host) {
		return host, true
	}
	named := namedHost(text)
	return host, named != "" && site(named) != site(host)
}

// namedHost finds the host that a link's text names: in a word that starts
// like a URL, or as the whole text when it is a domain under a known suffix.
func namedHost(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) { // direction marks, zero-width characters
			return -1
		}
		return r
	}, text)
	words := strings.Fields(text)
	for _, w := range words {
		lower := strings.ToLower(strings.TrimLeft(w, "(<[\"'\u201c\u00ab"))
		rest, isURL := strings.CutPrefix(lower, "https://")
		if !isURL {
			rest, isURL = strings.CutPrefix(lower, "http://")
		}
		if !isURL && !strings.HasPrefix(lower, "www.") && len(words) > 1 {
			continue
		}
		if host := hostOf(rest); host != "" {
			return host
		}
	}
	return ""
}

// hostOf reads the host from the start of a URL without its scheme.
func hostOf(s string) string {
	if i := strings.IndexAny(s, "/?#\\"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "" // a mail address
	}
	s, _, _ = strings.Cut(s, ":")
	s = strings.Trim(s, ".,;!)>]\"'\u201d\u00bb\u2026")
	if !strings.Contains(s, ".") {
		return ""
	}
	s = asciiHost(s)
	for _, r := range s {
		if r != '.' && r != '-' && !letter(r) && !digit(r) {
			return ""
		}
	}
	if suffix, icann := publicsuffix.PublicSuffix(s); !icann || suffix == s {
		return ""
	}
	return s
}

// site is the registrable domain, or the host itself where there is none.
func site(host string) string {
	if s, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return s
	}
	return host
}

func asciiHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		return a
	}
	return host
}

// cyrillicLatin are Cyrillic letters that look like Latin ones.
const cyrillicLatin = "асԁеһіјӏорԛѕԝхуьвгкмнтпгѵ"

// lookalike reports a host with a label of mixed scripts, or one that is
// written only with Cyrillic letters that look Latin under an ASCII suffix.
// Both are what UTS 39 calls confusable.
func lookalike(host string) bool {
	if !strings.Contains(host, "xn--") {
		return false
	}
	labels := strings.Split(host, ".")
	for i, label := range labels {
		if !strings.HasPrefix(label, "xn--") {
			continue
		}
		shown, err := idna.Punycode.ToUnicode(label)
		if err != nil || shown == label {
			return true
		}
		if mixed(shown) {
			return true
		}
		last := labels[len(labels)-1]
		if i < len(labels)-1 && !strings.HasPrefix(last, "xn--") && allIn(shown, cyrillicLatin) {
			return true
		}
	}
	return false
}

func allIn(s, chars string) bool {
	for _, r := range s {
		if !strings.ContainsRune(chars, r) && r != '-' && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// mixed reports letters of more than one of the scripts that look alike.
func mixed(s string) bool {
	var latin, cyrillic, greek bool
	for _, r := range s {
		latin = latin || unicode.Is(unicode.Latin, r)
		cyrillic = cyrillic || unicode.Is(unicode.Cyrillic, r)
		greek = greek || unicode.Is(unicode.Greek, r)
	}
	return latin && cyrillic || latin && greek || cyrillic && greek
}
