package message

import (
	"regexp"
	"strings"
)

// List is what a mailing list says of itself (RFC 2369, 2919, 8058).
type List struct {
	// ID has the list's identifier as Address and its title as Name. Where the
	// header is malformed Name has all of it.
	ID Address
	// Unsubscribe are the ways to leave: URIs as Address, comments as Name. A
	// value without any URI is one entry with a Name.
	Unsubscribe []Address
	// OneClick is the https URI that takes a POST of List-Unsubscribe=One-Click,
	// "" when the sender does not offer it. RFC 8058 4 wants a DKIM signature
	// over both fields before anyone uses it.
	OneClick string
	// Post, Archive and Help are URIs, "" for none.
	Post, Archive, Help string
}

// List reads the root's list fields; nil when there are neither List-Id nor
// List-Unsubscribe.
func (n *Node) List() *List {
	id, unsubscribe := n.Lookup("list-id"), n.Lookup("list-unsubscribe")
	if len(id) == 0 && len(unsubscribe) == 0 {
		return nil
	}
	l := &List{Post: firstURI(n.Lookup("list-post")), Archive: firstURI(n.Lookup("list-archive")), Help: firstURI(n.Lookup("list-help"))}
	if len(id) > 0 {
		l.ID = listID(id[0]) // RFC 2919 3: one only
	}
	for _, value := range unsubscribe {
		l.Unsubscribe = append(l.Unsubscribe, listURIs(value)...)
		if len(l.Unsubscribe) > maxListURIs {
			l.Unsubscribe = l.Unsubscribe[:maxListURIs]
		}
	}
	if post := n.Lookup("list-unsubscribe-post"); len(post) == 1 && strings.EqualFold(strings.TrimSpace(post[0]), "List-Unsubscribe=One-Click") {
		for _, u := range l.Unsubscribe {
			if _, ok := cutFoldPrefix(u.Address, "https://"); ok {
				l.OneClick = u.Address
				break
			}
		}
	}
	return l
}

const maxListURIs = 20

var (
	listIDForm = regexp.MustCompile(`^([^<>]*)<([^<>\s]+)>$`)
	uriForm    = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:[^\s<>[:cntrl:]]+$`)
)

func listID(value string) Address {
	value = strings.TrimSpace(value)
	m := listIDForm.FindStringSubmatch(value)
	if m == nil {
		return Address{Name: cleanText(DecodeHeader(value))}
	}
	name := strings.TrimSpace(m[1])
	if len(name) > 1 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.TrimSpace(unescape(name[1 : len(name)-1]))
	}
	return Address{Name: cleanText(DecodeHeader(name)), Address: strings.ToValidUTF8(m[2], "\uFFFD")}
}

// listURIs reads URIs in angle brackets with comments around them, and what of
// that can be found in a malformed value.
func listURIs(value string) []Address {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	var out []Address
	p := uriParser{s: value}
	if p.all(&out) {
		return out
	}
	out = nil
	for rest := value; len(out) < maxListURIs; {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			break
		}
		inner, tail, ok := strings.Cut(after, ">")
		if !ok {
			break
		}
		if uriForm.MatchString(inner) {
			out = append(out, Address{Address: strings.ToValidUTF8(inner, "\uFFFD")})
		}
		rest = tail
	}
	if out == nil {
		out = []Address{{Name: cleanText(DecodeHeader(value))}}
	}
	return out
}

// uriParser reads the list of RFC 2369 2.
type uriParser struct {
	s   string
	pos int
}

func (p *uriParser) all(out *[]Address) bool {
	for len(*out) < maxListURIs {
		var comments []string
		if !p.comments(&comments) || p.pos >= len(p.s) || p.s[p.pos] != '<' {
			return false
		}
		inner, _, ok := strings.Cut(p.s[p.pos+1:], ">")
		if !ok || !uriForm.MatchString(inner) {
			return false
		}
		p.pos += len(inner) + 2
		if !p.comments(&comments) {
			return false
		}
		*out = append(*out, Address{Name: cleanText(DecodeHeader(strings.Join(comments, " "))), Address: strings.ToValidUTF8(inner, "\uFFFD")})
		if p.pos == len(p.s) {
			return true
		}
		if p.s[p.pos] != ',' {
			return false
		}
		p.pos++
	}
	return true
}

// comments skips white space and collects comments.
func (p *uriParser) comments(out *[]string) bool {
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case isWSP(c):
			p.pos++
		case c == '(':
			a := addressParser{s: p.s, pos: p.pos}
			a.readComment()
			if a.pos == len(p.s) && p.s[len(p.s)-1] != ')' {
				return false
			}
			if text := collapse(a.comment); text != "" {
				*out = append(*out, text)
			}
			p.pos = a.pos
		default:
			return true
		}
	}
	return true
}

func firstURI(values []string) string {
	for _, v := range values {
		for _, u := range listURIs(v) {
			if u.Address != "" {
				return u.Address
			}
		}
	}
	return ""
}
