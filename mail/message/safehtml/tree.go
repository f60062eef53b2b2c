package safehtml

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// builder makes the new tree.
type builder struct {
	o     Options
	root  *html.Node
	sheet sheet
	nodes int
	// full is set when a limit of the tree is reached.
	full bool
	// settled is set when the tree being read is one of ours: its addresses are
	// those in issued, and nothing is counted again.
	settled  bool
	issued   map[string]bool
	blocked  int
	trackers int
	ownDark  bool
}

func newBuilder(o Options) *builder {
	b := &builder{o: o, root: newElement(atom.Div), issued: map[string]bool{}}
	setAttribute(b.root, "class", classRoot)
	b.sheet.init(b)
	return b
}

// addPart adds the body of one parsed part, and its style sheets.
func (b *builder) addPart(doc *html.Node) {
	b.collectStyles(doc)
	body := findBody(doc)
	if body == nil {
		return
	}
	for _, own := range bodies(body) {
		b.addBody(own)
	}
}

// bodies gives the elements to read as bodies. They are the body itself, or,
// where the part is a result of ours, the bodies inside its root.
func bodies(body *html.Node) []*html.Node {
	var found *html.Node
	for c := body.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.TextNode && strings.Trim(c.Data, " \t\n\r\f") == "", c.Type == html.CommentNode:
		case c.DataAtom == atom.Style && c.Namespace == "":
		case found == nil && isOwn(c, classRoot):
			found = c
		default:
			return []*html.Node{body}
		}
	}
	if found == nil {
		return []*html.Node{body}
	}
	var list []*html.Node
	for c := found.FirstChild; c != nil; c = c.NextSibling {
		if !isOwn(c, classBody) {
			return []*html.Node{body}
		}
		list = append(list, c)
	}
	return list
}

// isOwn reports a div that carries one of our class names.
func isOwn(n *html.Node, class string) bool {
	if n.Type != html.ElementNode || n.DataAtom != atom.Div || n.Namespace != "" {
		return false
	}
	v, _ := attribute(n.Attr, "class")
	return v == class || strings.HasPrefix(v, class+" ")
}

// addBody makes a div of a part's body, so that its colours have a place.
func (b *builder) addBody(body *html.Node) {
	div := b.append(b.root, newElement(atom.Div))
	b.attributes(div, body, classBody)
	b.children(div, body, 2)
}

// rebuild makes the tree anew out of a parsed result.
func (b *builder) rebuild(root *html.Node) {
	b.settled = true
	b.nodes = 0
	b.root = newElement(atom.Div)
	setAttribute(b.root, "class", classRoot)
	for c := root.FirstChild; c != nil; c = c.NextSibling {
		if isOwn(c, classBody) {
			b.addBody(c)
			continue
		}
		// Something left its body, a misnested table perhaps. Give it one.
		holder := newElement(atom.Body)
		root.InsertBefore(holder, c)
		root.RemoveChild(c)
		holder.AppendChild(c)
		b.addBody(holder)
		c = holder
	}
}

// collectStyles reads the style elements of a part, in their order.
func (b *builder) collectStyles(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type != html.ElementNode || c.Namespace != "" {
			continue
		}
		switch c.DataAtom {
		case atom.Style:
			b.sheet.add(textOf(c))
		case atom.Template, atom.Noscript, atom.Object, atom.Select:
		default:
			b.collectStyles(c)
		}
	}
}

// textOf joins the text directly inside n.
func textOf(n *html.Node) string {
	var s strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.TextNode {
			s.WriteString(c.Data)
		}
	}
	return s.String()
}

// children adds what is allowed of src's content to dst, which is depth
// elements below the body.
func (b *builder) children(dst, src *html.Node, depth int) {
	for c := src.FirstChild; c != nil && !b.full; c = c.NextSibling {
		switch c.Type {
		case html.TextNode:
			b.text(dst, c.Data)
		case html.ElementNode:
			b.element(dst, c, depth)
		case html.ErrorNode, html.DocumentNode, html.CommentNode, html.DoctypeNode, html.RawNode:
			// Comments, conditional ones too, do not pass.
		}
	}
}

func (b *builder) text(dst *html.Node, s string) {
	s = strings.Map(visible, s)
	if s == "" {
		return
	}
	if last := dst.LastChild; last != nil && last.Type == html.TextNode {
		// An element between two texts went; a parser would read one text.
		last.Data += s
		return
	}
	b.append(dst, &html.Node{Type: html.TextNode, Data: s})
}

// visible leaves out control characters, which HTML forbids in text.
func visible(r rune) rune {
	if r < 0x20 && r != '\t' && r != '\n' || r >= 0x7F && r < 0xA0 {
		return -1
	}
	return r
}

func (b *builder) element(dst, src *html.Node, depth int) {
	if src.Namespace != "" {
		return // SVG and MathML, with all they hold
	}
	what := fates[src.DataAtom]
	if src.DataAtom == 0 {
		what = unwrap
	}
	if what == keep && (depth >= MaxDepth || src.DataAtom == atom.A && inside(dst, atom.A)) {
		what = unwrap
	}
	switch what {
	case drop:
	case unwrap:
		b.children(dst, src, depth)
	case keep:
		if src.DataAtom == atom.Img {
			b.image(dst, src)
			return
		}
		n := b.append(dst, newElement(src.DataAtom))
		b.attributes(n, src, "")
		if !void(src.DataAtom) {
			b.children(n, src, depth+1)
		}
		if src.DataAtom == atom.A {
			b.link(n, src)
		}
	}
}

func inside(n *html.Node, a atom.Atom) bool {
	for ; n != nil; n = n.Parent {
		if n.DataAtom == a {
			return true
		}
	}
	return false
}

func void(a atom.Atom) bool {
	return a == atom.Br || a == atom.Hr || a == atom.Img || a == atom.Col || a == atom.Wbr
}

// append adds a node of ours and counts it.
func (b *builder) append(dst, n *html.Node) *html.Node {
	if b.nodes++; b.nodes > MaxNodes {
		b.full = true
	}
	dst.AppendChild(n)
	return n
}

func newElement(a atom.Atom) *html.Node {
	return &html.Node{Type: html.ElementNode, DataAtom: a, Data: a.String()}
}

func setAttribute(n *html.Node, key, val string) {
	n.Attr = append(n.Attr, html.Attribute{Key: key, Val: val})
}
