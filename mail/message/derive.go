package message

import (
	"bytes"
	"io"
	"regexp"
	"strings"

	"github.com/eidermail/eider/mail/message/tnef"
)

// Parse analyses a message in memory. It never fails: what cannot be understood
// is kept as bytes and named in Defects. raw is kept by reference and must not
// change while the message is in use. The cost is linear in len(raw).
func Parse(raw []byte) *Message {
	m, _ := ParseSource(BytesSource(raw)) // memory does not fail
	return m
}

// ParseSource is Parse for a message that need not be in memory. Of one in a
// file it holds a window, and at the end what goes into the database: text,
// headers and structure, which the limits bound. The source is read again when
// the parts are stored and must stay open until then. Errors are those of the
// source.
func ParseSource(src *Source) (*Message, error) {
	m := &Message{Size: src.size}
	var found defects
	t, ends, err := src.normalise(&found)
	if err != nil {
		return nil, err
	}
	ok := ends.size() <= maxPatch
	if ok {
		m.Root = parseTree(t, &found)
		m.Patch, ok = makePatch(t, m.Root, ends)
	}
	if !ok && t.err == nil {
		t = src.text()
		m.Root, m.Patch = flatTree(t)
		found.add(defectGivenUp)
	}
	if t.err != nil {
		return nil, t.err
	}
	d := deriver{m: m, defects: found}
	d.fields()
	d.run()
	m.Defects = d.defects
	return m, t.err
}

// flatTree is the tree of a message whose structure was given up: its header,
// if that is an ordinary one, and everything else as one body, byte for byte.
func flatTree(t *text) (*Node, []byte) {
	p := &parser{text: t}
	n := &Node{text: t, at: place{delim: -1, close: -1}, flat: true}
	p.header(n)
	p.analyse(n, "")
	n.at.body, n.at.end = p.pos, t.size
	p.leaf(n)
	if exact(t, 0, t.size, n, nil) {
		return n, nil
	}
	// The header is odd as well: it is kept in the body and only analysed. The
	// blank line that a tree without header lines has is not in the message.
	n.Header, n.at.body = nil, 0
	p.leaf(n)
	return n, (&patch{trees: [][]op{{{skip: 2}}}}).marshal()
}

// deriver walks the tree once: it numbers the parts that are stored outside,
// and collects text, HTML and attachments.
type deriver struct {
	m       *Message
	defects defects
	stored  []*Node
	cids    map[string]string
	inline  int64
	buf     []byte // for reading files

	text, html []string
	textSize   int
	// htmlIntro is the first HTML part.
	htmlIntro string
	// hint is a charset that the message uses elsewhere.
	hint string
	// uu are the texts with uuencoded files, uuFiles the number of these.
	uu      []foundUU
	uuFiles int
	// tnef is the text in the first winmail.dat, nil for none.
	tnef *tnef.Body
}

type foundUU struct {
	node  *Node
	files []uuFile
}

// context is what a part inherits.
type context struct{ alternative, related bool }

func (d *deriver) run() {
	d.hint = headerCharset(d.m.Root.Header)
	d.walk(d.m.Root, context{})
	d.m.stored = d.stored
	for _, found := range d.uu {
		d.listUU(found.node, found.files)
	}
	m := d.m
	d.textOfTNEF()
	for _, s := range d.html {
		if strings.TrimSpace(s) != "" {
			m.HTML = append(m.HTML, d.cidLinks(s))
		}
	}
	kept := d.text[:0]
	for _, s := range d.text {
		if s = strings.TrimSpace(s); s != "" {
			kept = append(kept, s)
		}
	}
	m.Text = d.cidLinks(strings.Join(kept, "\n"))
	if m.Text == "" && len(m.HTML) > 0 {
		var parts []string
		for _, s := range m.HTML {
			parts = append(parts, htmlToText(cutUTF8(s, maxHTML), maxText, true))
		}
		m.Text = strings.TrimSpace(strings.Join(parts, "\n"))
	}
	m.Intro = d.intro()
}

// intro is made from the HTML when the sender wrote some, as in WildDuck,
// else from the text.
func (d *deriver) intro() string {
	if d.htmlIntro != "" {
		if s := htmlIntro(cutUTF8(d.htmlIntro, maxIntroHTML)); s != "" {
			return s
		}
	}
	return makeIntro(d.m.Text)
}

func (d *deriver) walk(n *Node, c context) {
	contentType := n.mediaType()
	c.alternative = c.alternative || contentType == "multipart/alternative"
	c.related = c.related || contentType == "multipart/related"
	inline := isInlineText(n, contentType)
	switch {
	case n.HasBoundary:
	case inline && n.Size > 0 && !n.flat:
		d.collect(n, contentType, c)
	case n.ContentType().Type == "multipart" && n.Size > 0 && n == d.m.Root && !n.flat:
		d.collect(n, "text/plain", c) // a multipart without parts: show what is there
		inline = true
	}
	if !n.HasBoundary && n.Size > 0 && !d.keep(n, inline) {
		d.moveOut(n, contentType, c.related, !inline)
	}
	for n.Message != nil {
		// The message inside counts as one attachment; the parts in it are
		// walked (WildDuck's rule). Its own body needs a place of its own too.
		n = n.Message
		if !n.HasBoundary && n.Size > 0 && !d.keep(n, isInlineText(n, n.mediaType())) {
			d.moveOut(n, n.mediaType(), c.related, false)
		}
	}
	for _, child := range n.Children {
		d.walk(child, c)
	}
}

// keep decides whether a body stays in the tree.
func (d *deriver) keep(n *Node, inline bool) bool {
	if !inline || n.flat || n.Size > maxInline || d.inline+n.Size > maxInlineAll {
		return false
	}
	d.inline += n.Size
	n.Body = n.start(maxInline)
	return true
}

// collect decodes an inline text part.
func (d *deriver) collect(n *Node, contentType string, c context) {
	if d.textSize >= maxText {
		d.defects.add(defectText)
		return
	}
	text := d.decodeText(n, contentType)
	d.textSize += len(text)
	if contentType == "text/html" {
		text = strings.TrimSpace(text)
		if d.htmlIntro == "" {
			d.htmlIntro = text
		}
		d.html = append(d.html, text)
		if !c.alternative {
			d.text = append(d.text, htmlToText(cutUTF8(text, maxHTML), maxText, true))
		}
		return
	}
	d.text = append(d.text, text)
	if !c.alternative {
		d.html = append(d.html, textToHTML(text))
	}
}

// decodeText undoes transfer encoding, charset and format=flowed, and takes
// uuencoded files out.
func (d *deriver) decodeText(n *Node, contentType string) string {
	ct, encoding := n.ContentType(), n.TransferEncoding()
	data, footer := n.start(maxEncoded), []byte(nil)
	cut := int64(len(data)) < n.Size
	d.noteEncoding(data, encoding, cut)
	if encoding == "base64" {
		data, footer = cutFooter(data)
	}
	room := maxText - d.textSize
	var body []byte
	if cut && contentType == "text/plain" {
		// A file in it may be longer than any text.
		body, cut = d.cutUU(n, Decode(n.reader(), encoding), room), false
	} else {
		body = append(decodeBytes(data, encoding), footer...)
		if contentType == "text/plain" && mayHoldUU(body) {
			body = d.cutUU(n, bytes.NewReader(body), len(body))
		}
	}
	if cut || len(body) > room {
		body = cutLines(body, room)
		d.defects.add(defectText)
	}
	text := d.decodeCharset(body, contentType, DecodeHeader(ct.Param("charset")))
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "") // no reader shows it, and many tools stop at it
	}
	if lowerTrim(ct.Param("format")) == "flowed" {
		return DecodeFlowed(text, lowerTrim(ct.Param("delsp")) == "yes")
	}
	return text
}

// cutUU gives the text of a part without the files in it, which it notes: the
// beginning of the text, a little more than room.
func (d *deriver) cutUU(n *Node, decoded io.Reader, room int) []byte {
	scan := uuScan{room: room, limit: min(maxUUFiles, maxUUAll-d.uuFiles)}
	if err := scan.read(decoded); err != nil {
		n.text.fail(err)
	}
	if len(scan.files) > 0 {
		d.uuFiles += len(scan.files)
		d.uu = append(d.uu, foundUU{n, scan.files})
	}
	return scan.text
}

// decodeCharset decodes with the label, helped by what the HTML says of itself
// and what the rest of the message uses.
func (d *deriver) decodeCharset(body []byte, contentType, label string) string {
	hint := d.hint
	if contentType == "text/html" {
		if own := metaCharset(body); own != "" {
			hint = own
		}
	}
	text, sure := decodeHinted(body, label, hint)
	switch {
	case sure && !noLabel(cleanLabel(label)):
		if d.hint == "" && !isASCII(text) {
			d.hint = label
		}
	case sure:
	case noLabel(cleanLabel(label)):
		if !isASCII(text) {
			d.defects.add(defectNoCharset)
		}
	default:
		d.defects.add(defectCharset)
	}
	return text
}

var metaTag = regexp.MustCompile(`(?i)<meta\s[^>]{0,200}charset\s*=\s*["']?\s*([a-z0-9_:-]{2,40})`)

// metaCharset is the charset that HTML names in its first KiB (WHATWG HTML
// 13.2.3.2), "" for none.
func metaCharset(b []byte) string {
	b = b[:min(len(b), 1024)]
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return ""
		}
		b = b[i:]
		if len(b) > 5 && equalFoldASCII(string(b[1:5]), "meta") {
			break // from here on it is worth the expression
		}
		b = b[1:]
	}
	if found := metaTag.FindSubmatch(b); found != nil {
		return string(found[1])
	}
	return ""
}

// noteEncoding records what is wrong with an encoded text. One that is cut is
// only the beginning of it: its last line says nothing, and base64 is judged
// whole when the part moves out.
func (d *deriver) noteEncoding(body []byte, encoding string, cut bool) {
	if cut {
		body = body[:bytes.LastIndexByte(body, '\n')+1]
	}
	switch {
	case encoding == "base64":
		if !cut {
			var s base64Scan
			s.add(body)
			d.noteBase64(&s)
		}
	case encoding == "quoted-printable" && dirtyQP(body):
		d.defects.add(defectQP)
	case !isKnownEncoding(encoding):
		d.defects.add(defectEncoding)
	}
}

func (d *deriver) noteBase64(s *base64Scan) {
	dirty, cut := s.defects()
	if dirty {
		d.defects.add(defectBase64)
	}
	if cut {
		d.defects.add(defectBase64Cut)
	}
}

// cutLines cuts text to a length, at the end of a line when one is near, since
// the charset is not known yet.
func cutLines(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	b = b[:most]
	if i := bytes.LastIndexByte(b, '\n'); i >= most-most/16 {
		b = b[:i+1]
	}
	return b
}

// cidLinks points links to parts of the message to their stored names.
func (d *deriver) cidLinks(s string) string {
	const scheme = "cid:"
	if len(d.cids) == 0 || !strings.Contains(s, scheme) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	done := 0
	for at := 0; ; {
		i := strings.Index(s[at:], scheme)
		if i < 0 {
			break
		}
		link := at + i
		at = link + len(scheme)
		if link > 0 && isKeyChar(s[link-1]) && s[link-1] != '*' && s[link-1] != '-' || link > 0 && s[link-1] == '_' {
			continue // part of a longer word
		}
		end := len(s)
		if n := strings.IndexAny(s[at:], " \t\r\n\f\"'<>)"); n >= 0 {
			end = at + n
		}
		if id, ok := d.cids[s[at:end]]; ok {
			b.WriteString(s[done:link])
			b.WriteString("attachment:")
			b.WriteString(id)
			done = end
		}
		at = end
	}
	b.WriteString(s[done:])
	return b.String()
}
