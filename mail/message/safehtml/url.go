package safehtml

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
)

// urlKind is what an image's address asks for.
type urlKind int

const (
	urlNone   urlKind = iota // nothing that can be shown
	urlRemote                // http or https
	urlPart                  // a part of the message; the URL is its id
	urlData                  // an image inside the URL, checked
	urlFinal                 // an address that this package made before
)

// maxURL is bytes of an address, data: URLs apart.
const maxURL = 8 << 10

// clean does what a browser does before it parses a URL: control characters
// and spaces around it go, tabs and line ends inside it too.
func clean(raw string) string {
	raw = strings.TrimFunc(raw, func(r rune) bool { return r <= 0x20 })
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, raw)
}

// scheme splits off a URL's scheme, in lower case. It is empty for a relative URL.
func scheme(u string) (name, rest string) {
	for i := range len(u) {
		c := u[i]
		switch {
		case letter(c), i > 0 && (digit(c) || c == '+' || c == '-' || c == '.'):
		case c == ':' && i > 0:
			return strings.ToLower(u[:i]), u[i+1:]
		default:
			return "", u
		}
	}
	return "", u
}

// classify reads an image's address.
func (b *builder) classify(raw string) (urlKind, string) {
	if b.settled {
		if b.issued[raw] {
			return urlFinal, raw
		}
		return urlNone, ""
	}
	raw = clean(raw)
	if strings.HasPrefix(raw, "//") {
		raw = "https:" + raw
	}
	name, rest := scheme(raw)
	switch name {
	case "http", "https":
		// Nothing with a user name, a backslash or a space in its host gets past this.
		if u, ok := absolute(raw); ok {
			return urlRemote, u
		}
	case "cid", "attachment":
		if id, err := url.PathUnescape(strings.Trim(rest, "<>")); err == nil && id != "" && len(id) <= 998 {
			return urlPart, id
		}
	case "data":
		if u, ok := dataImage(rest); ok {
			return urlData, u
		}
	}
	return urlNone, ""
}

// absolute checks an http or https URL and writes it in its normal form.
func absolute(raw string) (string, bool) {
	if len(raw) > maxURL {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	u.Scheme = strings.ToLower(u.Scheme)
	u.Host = strings.ToLower(u.Host)
	s := u.String()
	return s, !strings.ContainsAny(s, "\\\"'<>` \t\r\n\x00")
}

// resolve turns what classify found into the address to load, and notes it as
// one of ours.
func (b *builder) resolve(kind urlKind, u string) (string, bool) {
	to, ok := b.address(kind, u)
	if ok {
		b.issued[to] = true
	}
	return to, ok
}

func (b *builder) address(kind urlKind, u string) (string, bool) {
	switch kind {
	case urlFinal, urlData:
		return u, true
	case urlPart:
		if b.o.Cid != nil {
			if to, ok := b.o.Cid(u); ok && harmless(to) {
				return to, true
			}
		}
	case urlRemote:
		if b.o.Image != nil {
			if to := b.o.Image(u); to != "" && harmless(to) {
				return to, true
			}
		}
		b.count(&b.blocked)
	case urlNone:
	}
	return "", false
}

// harmless guards against a mapping that hands the sender's URL back as it is.
func harmless(u string) bool {
	name, _ := scheme(clean(u))
	return name == "" || name == "http" || name == "https"
}

// imageURL is the gate for images that are not elements: old background
// attributes and url() in CSS.
func (b *builder) imageURL(raw string) (string, bool) {
	kind, u := b.classify(raw)
	if kind == urlRemote && knownBeacon(u) {
		b.count(&b.trackers)
		return "", false
	}
	return b.resolve(kind, u)
}

// dataImage checks the part of a data: URL (RFC 2397) after its scheme and
// writes it anew. The type has to be what the content begins like.
func dataImage(rest string) (string, bool) {
	head, body, ok := strings.Cut(rest, ",")
	if !ok || len(body) > base64.StdEncoding.EncodedLen(MaxDataImage)+1024 {
		return "", false
	}
	mime, parameters, _ := strings.Cut(strings.ToLower(head), ";")
	if trimSpace(parameters) != "base64" && !strings.HasSuffix(strings.ReplaceAll(parameters, " ", ""), ";base64") {
		return "", false
	}
	if body, err := url.PathUnescape(body); err == nil {
		body = strings.TrimRight(strings.ReplaceAll(body, " ", ""), "=")
		content, err := base64.RawStdEncoding.DecodeString(body)
		if err != nil || len(content) > MaxDataImage {
			return "", false
		}
		if found := imageType(content); found != "" && (found == trimSpace(mime) || trimSpace(mime) == "image/jpg" && found == "image/jpeg") {
			return "data:" + found + ";base64," + base64.StdEncoding.EncodeToString(content), true
		}
	}
	return "", false
}

// imageType tells the type by the first bytes.
func imageType(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return "image/gif"
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}
