// Package safehtml rebuilds the HTML of a message for display. It does not
// edit the sender's markup; it parses it, builds a new tree out of an
// allow-list of HTML elements, attributes and CSS, and writes that tree once.
// SVG, MathML, scripts, forms, frames and media never reach the new tree.
//
// The parser follows the HTML standard's parsing section, the style sheets are
// read after CSS Syntax Level 3 by a tokeniser, cid: references are those of
// RFC 2392 and link schemes those of RFC 3986, RFC 6068 (mailto) and RFC 3966
// (tel).
//
// This is the first of several walls. [Document] and [FrameCSP] make the
// second one: a sandboxed frame with an opaque origin and its own policy.
// Nothing may edit the strings of a [Result] afterwards.
package safehtml

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Limits. A message over one of them is shown as text; see [Result.TooBig].
const (
	// MaxInput is bytes of all parts together.
	MaxInput = 16 << 20
	// MaxTags is start and end tags in all parts together.
	MaxTags = 200_000
	// MaxDepth is open elements; deeper ones go, their text stays.
	MaxDepth = 256
	// MaxNodes is nodes in the new tree.
	MaxNodes = 50_000
	// MaxOutput is bytes of Result.HTML and Result.Style together.
	MaxOutput = 2 << 20
	// MaxAttributes of one element; further ones go.
	MaxAttributes = 64
	// MaxStyle is bytes of all style sheets together; what is beyond goes.
	MaxStyle = 512 << 10
	// MaxDataImage is bytes of one image held in a data: URL, decoded.
	MaxDataImage = 512 << 10
)

// Version changes whenever the output for the same input may change. It
// belongs into the key of every cache of results.
const Version = 1

// Names of ours in the output. They are worked out afresh, never taken over
// from the message.
const (
	prefix       = "m-"            // before every id, name and class of the message
	classRoot    = "eider-mail"    // the one root element
	classBody    = "eider-body"    // what was the body of one part
	classBlocked = "eider-blocked" // an image that is not shown
	classWarn    = "eider-warn"    // a link whose text names another site
)

// Options connects the sanitiser to the page that shows its result. The zero
// value shows no image that needs a request.
type Options struct {
	// Cid gives the address of an embedded part. The argument is a content id
	// without angle brackets, or an attachment id ("ATT00001"). It is the
	// sender's text: look it up, never build an address of it. The part must be
	// an image; the server of that address has to see to it.
	Cid func(cid string) (url string, ok bool)
	// Image gives the address that a remote image is loaded through. The
	// argument is an absolute http or https URL without user name. nil, or an
	// empty answer, blocks the image and counts it.
	Image func(url string) (proxied string)
	// Mailto gives the address of a composer for a mailto: URL. nil, or an
	// empty answer, leaves the URL as it is.
	Mailto func(url string) (href string)
}

// Result is what is left of a message's HTML.
type Result struct {
	// HTML is one div element, safe inside the body of [Document].
	HTML string
	// Style is the content of one style element. Every selector in it is
	// scoped to the div.
	Style string
	// Blocked counts remote images that were left out, Trackers images that
	// only tell that the message was read. Trackers are never loaded.
	Blocked, Trackers int
	// TooBig reports a message over a limit, or one whose new tree does not
	// survive being parsed again. HTML and Style are empty: show the text.
	TooBig bool
	// OwnDark reports that the message has colours of its own for a dark scheme.
	OwnDark bool
}

// Sanitize rebuilds the HTML parts of one message, in their order. Each part
// is parsed for itself, so that no tag reaches from one into the next. It
// never fails and takes time linear in the input, up to the limits.
func Sanitize(parts []string, o Options) Result {
	size, tags := 0, 0
	for _, p := range parts {
		size += len(p)
	}
	if size > MaxInput {
		return Result{TooBig: true}
	}
	b := newBuilder(o)
	for _, p := range parts {
		doc, n, ok := parsePart(p, MaxTags-tags)
		if !ok {
			return Result{TooBig: true}
		}
		tags += n
		b.addPart(doc)
	}
	return b.finish()
}

// parsePart parses one part as a document in standards mode, however its own
// doctype reads: the result is shown in such a document.
func parsePart(src string, maxTags int) (doc *html.Node, tags int, ok bool) {
	src = strings.ToValidUTF8(src, "\uFFFD")
	for _, strict := range []bool{false, true} {
		reduced, n, fits := reduce(src, maxTags, strict)
		if !fits {
			return nil, n, false
		}
		// Scripting is on in the reader, for our own script. noscript must
		// therefore be raw text here as well.
		doc, err := html.Parse(strings.NewReader("<!DOCTYPE html>" + reduced))
		if err == nil {
			return doc, n, true
		}
	}
	return nil, 0, false
}

// settleRounds bounds how often a tree is written and parsed until it stays
// the same. Two are usual; trees that need more are built to mislead.
const settleRounds = 6

// finish writes the tree, and checks that a parser reads that same tree out of
// the text. What the first tree's nesting cannot express in HTML (a paragraph
// in a paragraph) changes shape in the first round, and has to be stable then.
func (b *builder) finish() Result {
	for range settleRounds {
		if b.full {
			return Result{TooBig: true}
		}
		text, ok := b.write()
		if !ok {
			return Result{TooBig: true}
		}
		again, ok := reparse(text)
		if !ok {
			return Result{TooBig: true}
		}
		if sameTree(b.root, again) {
			return Result{
				HTML: text, Style: b.stableStyle(),
				Blocked: b.blocked, Trackers: b.trackers, OwnDark: b.ownDark,
			}
		}
		b.rebuild(again)
	}
	return Result{TooBig: true}
}

// stableStyle gives the style sheet, or nothing when reading it again would
// give another one.
func (b *builder) stableStyle() string {
	b.settled = true
	text := b.sheet.String()
	again := sheet{b: b}
	again.add(text)
	if again.String() != text {
		return ""
	}
	return text
}

// write serialises the tree. ok is false past MaxOutput.
func (b *builder) write() (text string, ok bool) {
	w := &limitedBuilder{left: MaxOutput - b.sheet.Len()}
	if err := html.Render(w, b.root); err != nil {
		return "", false
	}
	text = w.String()
	return text, utf8.ValidString(text)
}

// reparse reads the text as [Document] presents it and returns the root div.
func reparse(text string) (*html.Node, bool) {
	doc, err := html.Parse(strings.NewReader("<!DOCTYPE html><html><head></head><body>" + text + "</body></html>"))
	if err != nil {
		return nil, false
	}
	body := findBody(doc)
	if body == nil || body.FirstChild == nil {
		return nil, false
	}
	root := body.FirstChild
	// Anything beside the root has escaped from it.
	if root.NextSibling != nil || root.DataAtom != atom.Div || root.Namespace != "" {
		return nil, false
	}
	return root, true
}

func sameTree(a, b *html.Node) bool {
	if a.Type != b.Type || a.Data != b.Data || a.Namespace != b.Namespace || !sameAttributes(a.Attr, b.Attr) {
		return false
	}
	ca, cb := a.FirstChild, b.FirstChild
	for ; ca != nil && cb != nil; ca, cb = ca.NextSibling, cb.NextSibling {
		if !sameTree(ca, cb) {
			return false
		}
	}
	return ca == nil && cb == nil
}

// sameAttributes compares without order: the parser sorts the attributes of
// formatting elements.
func sameAttributes(a, b []html.Attribute) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if v, ok := attribute(b, x.Key); !ok || v != x.Val {
			return false
		}
	}
	return true
}

// attribute finds the first attribute of a name, which is the one that counts.
func attribute(list []html.Attribute, key string) (string, bool) {
	for _, a := range list {
		if a.Namespace == "" && a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func findBody(doc *html.Node) *html.Node {
	for n := doc.FirstChild; n != nil; n = n.NextSibling {
		if n.DataAtom != atom.Html {
			continue
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if c.Type == html.ElementNode && c.DataAtom == atom.Body {
				return c
			}
		}
	}
	return nil
}

// limitedBuilder is a strings.Builder that refuses to grow past a size.
type limitedBuilder struct {
	strings.Builder
	left int
}

func (w *limitedBuilder) take(n int) error {
	if w.left -= n; w.left < 0 {
		return errTooBig
	}
	return nil
}

func (w *limitedBuilder) Write(p []byte) (int, error) {
	if err := w.take(len(p)); err != nil {
		return 0, err
	}
	return w.Builder.Write(p)
}

func (w *limitedBuilder) WriteString(s string) (int, error) {
	if err := w.take(len(s)); err != nil {
		return 0, err
	}
	return w.Builder.WriteString(s)
}

func (w *limitedBuilder) WriteByte(c byte) error {
	if err := w.take(1); err != nil {
		return err
	}
	return w.Builder.WriteByte(c)
}
