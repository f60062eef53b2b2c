package message

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// HTMLToText makes readable text of HTML: paragraphs, lists, tables, quotes
// (with > before each line) and link targets; scripts, styles and comments
// are left out. Hidden elements (preheaders) are left out when there is
// visible text. One pass; the result is at most 4 MiB.
func HTMLToText(s string) string { return htmlToText(s, maxText, true) }

// htmlToText stops when it has about limit bytes. targets says whether links'
// targets are written.
func htmlToText(s string, limit int, targets bool) string {
	if text := newTextRenderer(s, targets, true).render(limit); text != "" {
		return text
	}
	return newTextRenderer(s, targets, false).render(limit)
}

// textRenderer turns tokens into text.
type textRenderer struct {
	z   *html.Tokenizer
	out strings.Builder
	// breaks are line breaks that are due before the next text, space a space.
	breaks int
	space  bool
	// quote is the depth of blockquote, pre of pre.
	quote, pre int
	lists      []int // number of the next item; 0 for a bulleted list
	links      []link
	// skip is the element whose content is left out, skipDepth how many of
	// its name are open.
	skip       string
	skipDepth  int
	hideHidden bool
	targets    bool
	cell       bool
}

type link struct {
	href string
	at   int
}

func newTextRenderer(s string, targets, hideHidden bool) *textRenderer {
	return &textRenderer{z: html.NewTokenizer(strings.NewReader(s)), targets: targets, hideHidden: hideHidden}
}

// render goes on until there are about limit bytes, and gives all so far.
func (r *textRenderer) render(limit int) string {
	for r.out.Len() < limit && r.token() {
	}
	return strings.TrimSpace(r.out.String())
}

// token takes one; false at the end.
func (r *textRenderer) token() bool {
	switch r.z.Next() {
	case html.ErrorToken:
		return false
	case html.TextToken:
		if r.skip == "" {
			r.text(r.z.Text())
		}
	case html.StartTagToken:
		r.start(r.z, false)
	case html.SelfClosingTagToken:
		r.start(r.z, true)
	case html.EndTagToken:
		name, _ := r.z.TagName()
		r.end(name)
	case html.CommentToken, html.DoctypeToken:
	}
	return true
}

// isSkipped: elements without readable text.
func isSkipped(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Iframe, atom.Object, atom.Svg,
		atom.Math, atom.Select, atom.Textarea, atom.Audio, atom.Video, atom.Canvas:
		return true
	}
	return false
}

func isVoid(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Param,
		atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

func (r *textRenderer) start(z *html.Tokenizer, closed bool) {
	raw, hasAttr := z.TagName()
	name := atom.Lookup(raw)
	if r.skip != "" {
		if !closed && string(raw) == r.skip {
			r.skipDepth++
		}
		if name == atom.Body && r.skip == "head" {
			r.skip = "" // a head that is never closed
		}
		return
	}
	a := attributes{start: 1}
	if hasAttr {
		a.read(z)
	}
	if isSkipped(name) || r.hideHidden && a.hidden && !isVoid(name) && name != atom.Body && name != atom.Html {
		if !closed {
			r.skip, r.skipDepth = string(raw), 1
		}
		return
	}
	r.open(name, &a)
}

func (r *textRenderer) open(name atom.Atom, a *attributes) {
	switch name {
	case atom.Br:
		r.breaks = min(r.breaks+1, 2)
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Table:
		r.block(2)
	case atom.Ul:
		r.block(1)
		r.pushList(0)
	case atom.Ol:
		r.block(1)
		r.pushList(a.start)
	case atom.Li:
		r.block(1)
		r.item()
	case atom.Blockquote:
		r.block(1)
		r.quote = min(r.quote+1, 20)
	case atom.Pre:
		r.block(2)
		r.pre++
	case atom.Hr:
		r.block(1)
		r.write("----------")
		r.block(1)
	case atom.Td, atom.Th:
		if r.cell {
			r.space = true
		}
		r.cell = true
	case atom.Tr:
		r.block(1)
		r.cell = false
	case atom.A:
		if len(r.links) < 100 {
			r.links = append(r.links, link{a.href, r.out.Len()})
		}
	case atom.Img:
		if a.alt != "" {
			r.text([]byte(a.alt))
		}
	default:
		if isBlock(name) {
			r.block(1)
		}
	}
}

func isBlock(a atom.Atom) bool {
	switch a {
	case atom.Div, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Center, atom.Address, atom.Dl, atom.Dt, atom.Dd,
		atom.Form, atom.Fieldset, atom.Main, atom.Nav, atom.Aside, atom.Figure, atom.Figcaption, atom.Tbody, atom.Thead, atom.Tfoot, atom.Caption:
		return true
	}
	return false
}

func (r *textRenderer) end(raw []byte) {
	if r.skip != "" {
		if string(raw) == r.skip {
			if r.skipDepth--; r.skipDepth == 0 {
				r.skip = ""
			}
		}
		return
	}
	switch name := atom.Lookup(raw); name {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Table:
		r.block(2)
	case atom.Ul, atom.Ol:
		r.block(1)
		if n := len(r.lists); n > 0 {
			r.lists = r.lists[:n-1]
		}
	case atom.Blockquote:
		r.block(1)
		r.quote = max(0, r.quote-1)
	case atom.Pre:
		r.block(1)
		r.pre = max(0, r.pre-1)
	case atom.A:
		r.endLink()
	case atom.Li, atom.Tr:
		r.block(1)
	default:
		if isBlock(name) {
			r.block(1)
		}
	}
}

// endLink writes the target behind the link's text, unless that says it.
func (r *textRenderer) endLink() {
	n := len(r.links)
	if n == 0 {
		return
	}
	l := r.links[n-1]
	r.links = r.links[:n-1]
	if !r.targets || l.at >= r.out.Len() || !strings.HasPrefix(l.href, "http") || len(l.href) > 1000 {
		return
	}
	text := strings.TrimSpace(r.out.String()[l.at:])
	bare := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(l.href, "https://"), "http://"), "/")
	if text == "" || strings.Contains(text, bare) {
		return
	}
	r.space = true
	r.write("[" + l.href + "]")
}

func (r *textRenderer) block(n int) { r.breaks = max(r.breaks, n) }

func (r *textRenderer) pushList(first int) {
	if len(r.lists) < 20 {
		r.lists = append(r.lists, first)
	}
}

func (r *textRenderer) item() {
	n := len(r.lists)
	if n == 0 {
		r.write("* ")
		return
	}
	mark := "* "
	if i := &r.lists[n-1]; *i > 0 {
		mark = strconv.Itoa(*i) + ". "
		*i++
	}
	r.write(strings.Repeat("  ", n-1) + mark)
}

// text writes a text token; white space is collapsed outside pre.
func (r *textRenderer) text(b []byte) {
	if r.pre > 0 {
		for line := range bytes.Lines(b) {
			text := bytes.TrimRight(line, "\r\n")
			if len(text) > 0 {
				r.writeBytes(text)
			}
			if len(text) < len(line) {
				r.breaks = min(r.breaks+1, 2)
			}
		}
		return
	}
	for len(b) > 0 {
		if n := word(b); n > 0 {
			r.writeBytes(b[:n])
			b = b[n:]
			continue
		}
		b = r.blank(b)
	}
}

// word is how many bytes come before the next character that blank takes.
func word(b []byte) int {
	for i, c := range b {
		if c > ' ' && c < 0x80 || c > ' ' && c != 0xc2 && c != 0xcd && c != 0xe2 && c != 0xef {
			continue
		}
		switch c {
		case ' ', '\t', '\r', '\n', '\f':
			return i
		case 0xc2, 0xcd, 0xe2, 0xef:
			if isInvisible(b[i:]) {
				return i
			}
		}
	}
	return len(b)
}

// isInvisible: b begins with a no-break space, soft hyphen, grapheme joiner,
// zero-width space or non-joiner, or byte order mark.
func isInvisible(b []byte) bool {
	switch string(b[:min(2, len(b))]) {
	case "\u00a0", "\u00ad", "\u034f":
		return true
	}
	switch string(b[:min(3, len(b))]) {
	case "\u200b", "\u200c", "\ufeff":
		return true
	}
	return false
}

// blank takes one character of white space, or one that shows nothing and is
// used to fill preheaders.
func (r *textRenderer) blank(b []byte) []byte {
	switch b[0] {
	case ' ', '\t', '\r', '\n', '\f':
		r.space = true
		return b[1:]
	case 0xe2, 0xef:
		if bytes.HasPrefix(b, []byte("\u200c")) && r.joins(b[3:]) {
			r.write("\u200c")
		}
		return b[3:]
	}
	if b[0] == 0xc2 && b[1] == 0xa0 {
		r.space = true
	}
	return b[2:]
}

// joins: a zero-width non-joiner inside a word belongs to it (Persian).
func (r *textRenderer) joins(rest []byte) bool {
	return !r.space && r.breaks == 0 && len(rest) > 0 && rest[0] >= 0x80 && rest[0] != 0xe2 && rest[0] != 0xc2
}

// write puts out what is due, then s.
func (r *textRenderer) write(s string) {
	r.due()
	r.out.WriteString(s)
}

func (r *textRenderer) writeBytes(b []byte) {
	r.due()
	r.out.Write(b)
}

// due puts out breaks, quote marks and a space.
func (r *textRenderer) due() {
	if r.breaks > 0 || r.out.Len() == 0 {
		if r.out.Len() > 0 {
			for range r.breaks {
				r.out.WriteByte('\n')
			}
		}
		for range r.quote {
			r.out.WriteString("> ")
		}
	} else if r.space && !strings.HasSuffix(lastByte(&r.out), " ") {
		r.out.WriteByte(' ')
	}
	r.breaks, r.space = 0, false
}

func lastByte(b *strings.Builder) string {
	if n := b.Len(); n > 0 {
		return b.String()[n-1:]
	}
	return ""
}

// attributes are the ones that matter here.
type attributes struct {
	href, alt string
	hidden    bool
	// start is the first number of a list.
	start int
}

func (a *attributes) read(z *html.Tokenizer) {
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href":
			a.href = strings.TrimSpace(string(value))
		case "alt":
			a.alt = string(value)
		case "hidden":
			a.hidden = true
		case "start":
			if n, err := strconv.Atoi(string(value)); err == nil && n > 0 && n < 1e6 {
				a.start = n
			}
		case "style":
			a.hidden = a.hidden || hidesElement(string(value))
		}
	}
}

// hidesElement reads an inline style for the ways in which preheaders are
// hidden.
func hidesElement(style string) bool {
	if len(style) > 4<<10 {
		style = style[:4<<10]
	}
	for decl := range strings.SplitSeq(lowerASCII(style), ";") {
		key, value, _ := strings.Cut(decl, ":")
		value = strings.TrimSpace(strings.Replace(value, "!important", "", 1))
		switch strings.TrimSpace(key) {
		case "display":
			if value == "none" {
				return true
			}
		case "visibility":
			if value == "hidden" {
				return true
			}
		case "mso-hide":
			if value == "all" {
				return true
			}
		case "font-size", "max-height", "opacity":
			switch value {
			case "0", "0px", "0pt", "0em", "0%", "0.0":
				return true
			}
		}
	}
	return false
}
