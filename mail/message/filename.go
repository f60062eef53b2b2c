package message

import (
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filename is the part's file name: decoded and safe to show and to save
// under, "" when it has none.
func (n *Node) Filename() string { return safeFilename(decodeFilename(n.rawFilename())) }

// rawFilename is the parameter as it was given. RFC 2183 2.3 names the
// disposition's filename; older senders have only the type's name.
func (n *Node) rawFilename() string {
	if d := n.Disposition(); d != nil {
		if name := d.Param("filename"); strings.TrimSpace(name) != "" {
			return name
		}
		// RFC 7578 4.2: the name of a form's field is none of a file.
		if name := d.Param("name"); strings.TrimSpace(name) != "" && d.Type != "form-data" {
			return name
		}
	}
	if name := n.ContentType().Param("name"); strings.TrimSpace(name) != "" {
		return name
	}
	return n.ContentType().Param("filename")
}

// decodeFilename reads what a file name parameter holds in the wild: encoded
// words (where RFC 2231 was meant, cut off, or wrapped in another encoding),
// RFC 2231 text without the star, percent-encoding, character references, and
// raw 8-bit text.
func decodeFilename(s string) string {
	s = strings.TrimSpace(s)
	if rest, ok := cutFoldPrefix(s, "utf-8''"); ok {
		s = string(appendPercent(nil, rest))
	}
	for range 3 { // each round undoes one layer
		was := s
		s = DecodeHeader(closeWord(s))
		s = strings.TrimSpace(strings.Trim(s, `"`))
		s = decodePercent(s)
		if strings.Contains(s, "&#") {
			s = html.UnescapeString(s)
		}
		if s == was {
			break
		}
	}
	return s
}

func cutFoldPrefix(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !equalFoldASCII(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// closeWord ends an encoded word that was cut off, as programs with a limit on
// the name's length do.
func closeWord(s string) string {
	i := strings.LastIndex(s, "=?")
	if i < 0 || strings.Count(s[i:], "?") < 3 {
		return s
	}
	if _, n := cutWord(s[i:]); n > 0 {
		return s
	}
	return strings.TrimRight(s, "?") + "?="
}

// decodePercent undoes percent-encoding that stands for characters outside
// ASCII. Names with a lone % stay as they are: "100%25.txt" may be meant.
func decodePercent(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := appendPercent(nil, s)
	if !utf8.Valid(out) || isASCII(string(out)) && !strings.Contains(s, "%20") {
		return s
	}
	return string(out)
}

// maxFilename is in bytes; file systems mostly take 255.
const maxFilename = 200

// isDirection: characters that reverse the direction of text, with which
// evil.exe can look like fdp.exe, and those that show nothing.
func isDirection(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff
}

// safeFilename drops paths, control and direction characters, and characters
// that file systems refuse.
func safeFilename(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), isDirection(r), r == 0x2028, r == 0x2029:
			return -1
		case strings.ContainsRune(`:*?"<>|`, r):
			return '_'
		}
		return r
	}, s)
	s = strings.Trim(collapse(s), " .")
	if len(s) <= maxFilename {
		return s
	}
	ext := ""
	if i := strings.LastIndexByte(s, '.'); i >= len(s)-20 {
		ext = s[i:]
	}
	return strings.TrimRight(cutUTF8(s, maxFilename-len(ext)), " .") + ext
}

// deceives reports a file name that hides what it is: characters that turn
// the direction, or many spaces before the extension.
func deceives(name string) bool {
	return strings.ContainsFunc(name, isDirection) || strings.Contains(name, "          ")
}

// makeFilename names a part that has no name.
func makeFilename(contentType string, hash []byte) string {
	return fmt.Sprintf("%x.%s", hash[:4], extensionFor(contentType))
}

func extensionFor(contentType string) string {
	if ext, ok := extensions[contentType]; ok {
		return ext
	}
	typ, sub, _ := strings.Cut(contentType, "/")
	if typ != "application" && isToken(sub) && len(sub) <= 5 {
		return sub // image/png, audio/ogg, font/woff2
	}
	return "bin"
}

// extensions of the types that mail has most.
var extensions = map[string]string{
	"message/rfc822": "eml", "message/global": "eml", "text/plain": "txt", "text/calendar": "ics", "text/vcard": "vcf",
	"text/x-vcard": "vcf", "text/markdown": "md", "text/x-patch": "patch", "image/jpeg": "jpg", "image/svg+xml": "svg",
	"image/vnd.microsoft.icon": "ico", "audio/mpeg": "mp3", "video/quicktime": "mov", "application/pdf": "pdf",
	"application/zip": "zip", "application/x-zip-compressed": "zip", "application/gzip": "gz", "application/json": "json",
	"application/xml": "xml", "application/rtf": "rtf", "application/msword": "doc", "application/ics": "ics",
	"application/vnd.ms-excel": "xls", "application/vnd.ms-powerpoint": "ppt", "application/ms-tnef": "dat",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   "docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         "xlsx",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
	"application/vnd.oasis.opendocument.text":                                   "odt",
	"application/vnd.oasis.opendocument.spreadsheet":                            "ods",
	"application/pgp-signature":                                                 "asc", "application/pgp-encrypted": "asc", "application/pgp-keys": "asc",
	"application/pkcs7-signature": "p7s", "application/x-pkcs7-signature": "p7s", "application/pkcs7-mime": "p7m",
	"application/x-pkcs7-mime": "p7m",
}
