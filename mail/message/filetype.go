package message

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
)

// guessType names the type that a file's first bytes show (WHATWG MIME
// Sniffing through net/http, and types of mail that it does not know).
// application/octet-stream when they show none.
func guessType(head []byte) string {
	head = head[:min(len(head), 1024)]
	for _, m := range magic {
		if len(head) >= m.at+len(m.bytes) && string(head[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.name
		}
	}
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	for _, m := range textMagic {
		if len(trimmed) >= len(m.bytes) && strings.EqualFold(string(trimmed[:len(m.bytes)]), m.bytes) {
			return m.name
		}
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return kind
}

// magic are bytes that net/http does not look for.
var magic = []struct {
	at          int
	bytes, name string
}{
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"},
	{0, "{\\rtf", "application/rtf"},
	{0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"},
	{0, "MZ", "application/vnd.microsoft.portable-executable"},
	{0, "\x7fELF", "application/x-elf"},
	{0, "#!", "text/x-shellscript"},
	{0, "ITSF", "application/vnd.ms-htmlhelp"},
	{0, "MSCF", "application/vnd.ms-cab-compressed"},
	{0, "L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"},
	{0, "BZh", "application/x-bzip2"},
	{0, "\xfd7zXZ\x00", "application/x-xz"},
	{0, "(\xb5/\xfd", "application/zstd"},
	{0, "II*\x00", "image/tiff"},
	{0, "MM\x00*", "image/tiff"},
	{4, "ftypavif", "image/avif"},
	{4, "ftypheic", "image/heic"},
	{4, "ftypmif1", "image/heif"},
	{4, "ftypqt", "video/quicktime"},
	{4, "ftypM4A", "audio/mp4"},
	{0, "\x78\x9f\x3e\x22", "application/ms-tnef"},
	{0, "!BDN", "application/vnd.ms-outlook"},
	{30, "mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"},
	{30, "mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "application/vnd.oasis.opendocument.spreadsheet"},
	{30, "mimetypeapplication/vnd.oasis.opendocument.presentation", "application/vnd.oasis.opendocument.presentation"},
	{30, "mimetypeapplication/epub+zip", "application/epub+zip"},
	{30, "[Content_Types].xml", "application/vnd.openxmlformats-officedocument"},
}

// textMagic are beginnings of texts, compared without case.
var textMagic = []struct{ bytes, name string }{
	{"BEGIN:VCALENDAR", "text/calendar"},
	{"BEGIN:VCARD", "text/vcard"},
	{"<svg", "image/svg+xml"},
	{"-----BEGIN PGP MESSAGE", "application/pgp-encrypted"},
	{"-----BEGIN PGP SIGNATURE", "application/pgp-signature"},
	{"-----BEGIN PGP PUBLIC KEY", "application/pgp-keys"},
}

// typeByName is the type that a name's extension says.
func typeByName(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "application/octet-stream"
	}
	ext := lowerASCII(name[i+1:])
	for kind, have := range extensions {
		if have == ext && !strings.HasPrefix(kind, "application/x-") && kind != "text/x-vcard" {
			return canonicalType(kind)
		}
	}
	if kind, _, err := mime.ParseMediaType(mime.TypeByExtension("." + ext)); err == nil && kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// canonicalType settles extensions that several types share: maps have no
// order, answers must have one.
func canonicalType(kind string) string {
	switch extensions[kind] {
	case "asc":
		return "application/pgp-encrypted"
	case "p7s":
		return "application/pkcs7-signature"
	case "p7m":
		return "application/pkcs7-mime"
	case "eml":
		return "message/rfc822"
	case "ics":
		return "text/calendar"
	}
	return kind
}

// contradicts reports content that is of another kind than the part says, as
// far as that matters to a reader: families that share a container agree.
func contradicts(declared, found string) bool {
	if found == declared || found == "application/octet-stream" || found == "text/plain" {
		return false
	}
	switch declared {
	case "application/octet-stream", "application/binary", "application/x-download", "application/force-download", "application/unknown":
		return true
	}
	for _, f := range families {
		if f.found == found {
			for _, part := range f.declared {
				if strings.Contains(declared, part) {
					return false
				}
			}
		}
	}
	typ, _, _ := strings.Cut(declared, "/")
	foundType, _, _ := strings.Cut(found, "/")
	// Within images, sounds and films the browser looks for itself; text has many names.
	return typ != foundType || typ == "application" && found != "application/zip"
}

// families are containers, and what may be in them.
var families = []struct {
	found    string
	declared []string
}{
	{"application/zip", []string{"zip", "opendocument", "openxml", "epub", "java-archive", "android", "kmz", "iwork", "x-pages", "x-numbers"}},
	{"application/vnd.openxmlformats-officedocument", []string{"openxml", "zip", "ms-"}},
	{"application/x-ole-storage", []string{"msword", "ms-", "outlook", "msi", "visio"}},
	{"text/xml", []string{"xml", "gpx", "svg"}},
	{"text/html", []string{"html", "xml", "php", "text/"}},
	{"text/calendar", []string{"ics", "calendar", "text/"}},
	{"application/pgp-encrypted", []string{"pgp", "octet"}},
	{"application/pgp-signature", []string{"pgp"}},
	{"application/pgp-keys", []string{"pgp"}},
	{"application/x-gzip", []string{"gzip", "tar", "tgz", "x-compressed"}},
	{"application/ogg", []string{"ogg"}},
	{"video/mp4", []string{"mp4", "m4a", "quicktime", "heic", "audio/"}},
	{"application/rtf", []string{"rtf", "msword"}},
	{"application/vnd.microsoft.portable-executable", []string{"exe", "msdownload", "dosexec", "msdos"}},
}

// isProgram reports content that runs when it is opened.
func isProgram(kind string) bool {
	switch kind {
	case "application/vnd.microsoft.portable-executable", "application/x-elf", "application/x-ms-shortcut", "application/vnd.ms-htmlhelp":
		return true
	}
	return false
}

// isDisguised reports a program whose name does not say so, or a page that is
// called a picture.
func isDisguised(name, declared, found string) bool {
	if isProgram(found) {
		ext := lowerASCII(name[strings.LastIndexByte(name, '.')+1:])
		switch ext {
		case "exe", "dll", "scr", "com", "sys", "ocx", "cpl", "msi", "efi", "so", "bin", "elf", "out", "run", "lnk", "chm", "o", "ko":
			return false
		}
		return true
	}
	return found == "text/html" && strings.HasPrefix(declared, "image/")
}
