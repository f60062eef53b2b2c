package safehtml

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxNames is class names of one element, maxName bytes of a name.
const (
	maxNames = 32
	maxName  = 128
)

// maxInlineStyle is bytes of a style attribute; a longer one goes. A data
// image of MaxDataImage has room in it.
const maxInlineStyle = 1 << 20

// attributes gives n what is allowed of src's attributes. own is a class of
// ours that goes first.
func (b *builder) attributes(n, src *html.Node, own string) {
	classes := b.classes(src)
	if own != "" {
		classes = append([]string{own}, classes...)
	}
	if len(classes) > 0 {
		setAttribute(n, "class", strings.Join(classes, " "))
	}
	if id, ok := attribute(src.Attr, "id"); ok && strings.Trim(id, " \t\n\r\f") != "" {
		setAttribute(n, "id", safeName(id))
	}
	if style := b.styleOf(src); style != "" {
		setAttribute(n, "style", style)
	}
	special := elementAttributes[n.DataAtom]
	for i, a := range src.Attr {
		if a.Namespace != "" || slices.ContainsFunc(src.Attr[:i], func(e html.Attribute) bool { return e.Key == a.Key }) {
			continue
		}
		k, ok := globalAttributes[a.Key]
		if !ok {
			k = special[a.Key]
		}
		if v, ok := k.check(strings.Map(visible, a.Val)); ok {
			setAttribute(n, a.Key, v)
		}
	}
}

// classes gives the prefixed class names of src. Names of ours are left out;
// they are set where they are due.
func (b *builder) classes(src *html.Node) []string {
	v, _ := attribute(src.Attr, "class")
	var list []string
	for name := range strings.FieldsSeq(v) {
		switch name {
		case classRoot, classBody, classBlocked, classWarn:
			continue
		}
		if list = append(list, safeName(name)); len(list) == maxNames {
			break
		}
	}
	return list
}

// safeName puts the prefix before a name, so that it can name nothing of the
// page or of the document object, and replaces characters that would have to
// be escaped in a selector. A name that is safe already stays as it is.
func safeName(name string) string {
	const hex = "0123456789abcdef"
	var s strings.Builder
	if !strings.HasPrefix(name, prefix) {
		s.WriteString(prefix)
	}
	for i := range len(name) {
		c := name[i]
		if s.Len() >= maxName {
			break
		}
		if letter(c) || digit(c) || c == '-' || c == '_' {
			s.WriteByte(c)
			continue
		}
		if s.Len()+3 > maxName {
			break
		}
		s.WriteByte('_')
		s.WriteByte(hex[c>>4])
		s.WriteByte(hex[c&15])
	}
	return s.String()
}

// styleOf gives the declarations of an element: its style attribute, after
// those that stand for old attributes which a div does not know.
func (b *builder) styleOf(src *html.Node) string {
	var list declarations
	if v, ok := attribute(src.Attr, "background"); ok && v != "" {
		if u, ok := b.imageURL(v); ok {
			list = append(list, declaration{"background-image", cssURL(u), false})
		}
	}
	if src.DataAtom == atom.Body {
		for key, property := range map[string]string{"bgcolor": "background-color", "text": "color"} {
			v, _ := attribute(src.Attr, key)
			if v = trimSpace(v); color(v) {
				list = append(list, declaration{property, v, false})
			}
		}
		slices.SortFunc(list, func(a, b declaration) int { return strings.Compare(a.property, b.property) })
	}
	if v, ok := attribute(src.Attr, "style"); ok && len(v) <= maxInlineStyle {
		list = append(list, b.declarations(v)...)
	}
	return list.String()
}

// image adds an img element, or nothing for a tracker.
func (b *builder) image(dst, src *html.Node) {
	raw, _ := attribute(src.Attr, "src")
	kind, u := b.classify(raw)
	if (kind == urlRemote || kind == urlNone) && b.invisible(src) {
		if kind == urlRemote {
			b.count(&b.trackers)
		}
		return
	}
	if kind == urlRemote && knownBeacon(u) {
		b.count(&b.trackers)
		return
	}
	shown, ok := b.resolve(kind, u)
	n := b.append(dst, newElement(atom.Img))
	own := ""
	if !ok {
		own = classBlocked
	}
	b.attributes(n, src, own)
	if ok {
		setAttribute(n, "src", shown)
	}
}

// invisible reports an image of at most one pixel. One that is merely hidden
// may be the picture for another width of window.
func (b *builder) invisible(src *html.Node) bool {
	width, _ := attribute(src.Attr, "width")
	height, _ := attribute(src.Attr, "height")
	style, _ := attribute(src.Attr, "style")
	if style != "" && len(style) <= maxInlineStyle {
		for _, d := range b.quietDeclarations(style) {
			switch d.property {
			case "width":
				width = d.value
			case "height":
				height = d.value
			}
		}
	}
	w, h := tiny(width), tiny(height)
	return w && h || w && height == "" && zero(width) || h && width == "" && zero(height)
}

func tiny(v string) bool {
	v = strings.TrimSuffix(trimSpace(v), "px")
	return v == "0" || v == "1"
}

func zero(v string) bool { return strings.TrimSuffix(trimSpace(v), "px") == "0" }

func (b *builder) count(n *int) {
	if !b.settled {
		*n++
	}
}

func trimSpace(s string) string { return strings.Trim(s, " \t\n\r\f") }
