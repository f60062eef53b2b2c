package templates

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

type blockKind int

const (
	blockText blockKind = iota
	blockQuote
	blockSignature
)

// longQuote is the number of lines from which quoted text folds.
const longQuote = 4

// maxLinks bounds the elements one message can make.
const maxLinks = 2000

type textBlock struct {
	kind blockKind
	text string
	long bool
}

// textBlocks cuts plain text into paragraphs, runs of quoted lines and the
// signature (RFC 3676 4.3: a line of "-- ").
func textBlocks(text string) []textBlock {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	var (
		out  []textBlock
		run  []string
		kind = blockText
	)
	flush := func() {
		if len(run) > 0 {
			out = append(out, textBlock{kind, strings.Join(run, "\n"), len(run) >= longQuote})
			run = nil
		}
	}
	for _, line := range lines {
		next := blockText
		switch {
		case strings.HasPrefix(line, ">"):
			next = blockQuote
			line = strings.TrimPrefix(strings.TrimPrefix(line, ">"), " ")
		case kind == blockSignature, line == "-- ":
			next = blockSignature
		}
		if next != kind {
			flush()
			kind = next
		}
		if next == blockText && strings.TrimSpace(line) == "" {
			flush()
			continue
		}
		run = append(run, line)
	}
	flush()
	return out
}

// piece is a stretch of text, a link when href is set.
type piece struct {
	text, href string
	mail       bool
}

var linkPattern = regexp.MustCompile(`(?i)\b(?:https?://|www\.)[^\s<>"“”«»]+|[\pL\pN][\pL\pN._%+-]*@[\pL\pN-]+(?:\.[\pL\pN-]+)+`)

// linkify finds web and mail addresses in plain text. It works on text alone;
// the pieces are escaped when they are written.
func linkify(text string) []piece {
	var (
		out  []piece
		from int
	)
	for _, at := range linkPattern.FindAllStringIndex(text, maxLinks) {
		found := trimLink(text[at[0]:at[1]])
		href, isMail := linkTarget(found)
		if href == "" {
			continue
		}
		if at[0] > from {
			out = append(out, piece{text: text[from:at[0]]})
		}
		out = append(out, piece{text: found, href: href, mail: isMail})
		from = at[0] + len(found)
	}
	if from < len(text) {
		out = append(out, piece{text: text[from:]})
	}
	return out
}

// trimLink takes off the punctuation of the sentence around a link.
func trimLink(s string) string {
	for s != "" {
		last, size := utf8.DecodeLastRuneInString(s)
		switch {
		case strings.ContainsRune(")]}", last):
			// A bracket that the link itself opened belongs to it.
			if strings.Count(s, string(opening(last))) >= strings.Count(s, string(last)) {
				return s
			}
		case !strings.ContainsRune(".,;:!?'\"’…、。", last):
			return s
		}
		s = s[:len(s)-size]
	}
	return s
}

func opening(closing rune) rune {
	switch closing {
	case ')':
		return '('
	case ']':
		return '['
	}
	return '{'
}

func linkTarget(s string) (href string, isMail bool) {
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return s, false
		}
	case strings.HasPrefix(lower, "www.") && len(s) > 6:
		return "https://" + s, false
	case strings.Contains(s, "@"):
		return PathCompose + "?" + url.Values{"to": {s}}.Encode(), true
	}
	return "", false
}

// initials are at most two letters that stand for a sender.
func initials(name, address string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '\'' && r != '’' })
	if len(words) == 0 {
		words = strings.FieldsFunc(address, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		words = words[:min(1, len(words))]
	}
	switch len(words) {
	case 0:
		return "?"
	case 1:
		return firstLetter(words[0])
	}
	first, last := firstLetter(words[0]), firstLetter(words[len(words)-1])
	// Two initials read well where scripts have capitals; elsewhere one is the custom.
	if r, _ := utf8.DecodeRuneInString(first); !unicode.IsUpper(r) {
		return first
	}
	return first + last
}

func firstLetter(word string) string {
	r, _ := utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(r))
}

// hue is the class of an avatar: a stable hash of the lower-cased address.
func hue(address string) string {
	var h uint32 = 2166136261
	for _, c := range []byte(strings.ToLower(address)) {
		h = (h ^ uint32(c)) * 16777619
	}
	return [...]string{"h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"}[h>>13&7]
}

func nameOr(p Page, name, address string) string {
	switch {
	case strings.TrimSpace(name) != "":
		return name
	case address != "":
		return address
	}
	return p.T("row.nobody")
}

func subjectOr(p Page, subject string) string {
	if strings.TrimSpace(subject) == "" {
		return p.T("row.nosubject")
	}
	return subject
}

func senderName(p Page, m Message) string {
	if m.Own {
		return p.T("you")
	}
	return nameOr(p, m.From.Name, m.From.Address)
}

// recipientLine names at most three recipients.
func recipientLine(p Page, m Message) string {
	all := make([]string, 0, len(m.To)+len(m.Cc)+len(m.Bcc))
	for _, list := range [][]Person{m.To, m.Cc, m.Bcc} {
		for _, who := range list {
			all = append(all, nameOr(p, who.Name, who.Address))
		}
	}
	switch n := len(all); {
	case n == 0:
		return p.T("to.nobody")
	case n > 3:
		return p.T("to.more", strings.Join(all[:2], ", "), n-2)
	}
	return strings.Join(all, ", ")
}

// fileTail is the end of a file name that stays when its middle is cut: the
// extension.
func fileTail(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || len(name)-dot > 8 {
		return ""
	}
	return name[dot:]
}

func fileStem(p Page, name string) string {
	if strings.TrimSpace(name) == "" {
		return p.T("file.unnamed")
	}
	return strings.TrimSuffix(name, fileTail(name))
}

// fileClass sorts content types into the kinds that have an icon.
func fileClass(typ string) string {
	switch {
	case strings.HasPrefix(typ, "image/"):
		return "image"
	case typ == "application/pdf":
		return "pdf"
	case strings.Contains(typ, "spreadsheet"), strings.Contains(typ, "excel"), typ == "text/csv":
		return "sheet"
	case strings.Contains(typ, "zip"), strings.Contains(typ, "compressed"), strings.Contains(typ, "tar"):
		return "archive"
	case strings.HasPrefix(typ, "message/"):
		return "message"
	case strings.HasPrefix(typ, "text/"), strings.Contains(typ, "document"), strings.Contains(typ, "msword"):
		return "document"
	}
	return "file"
}

func fileKind(typ string) string {
	switch fileClass(typ) {
	case "image":
		return "image"
	case "sheet":
		return "file-spreadsheet"
	case "archive":
		return "file-archive"
	case "message":
		return "mail"
	}
	return "file-text"
}

func fileHue(typ string) string {
	switch fileClass(typ) {
	case "image":
		return "h4"
	case "pdf":
		return "h0"
	case "sheet":
		return "h3"
	case "archive":
		return "h1"
	case "message":
		return "h6"
	}
	return "h5"
}

func fileWords(p Page, typ string, size int64) string {
	words := p.T("file." + fileClass(typ))
	if size > 0 {
		words += ", " + Size(p.Lang, size)
	}
	return words
}

func total(files []Attachment) (sum int64) {
	for _, f := range files {
		sum += f.Size
	}
	return sum
}
