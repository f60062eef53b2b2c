package safehtml

import (
	"errors"
	"strings"

	"golang.org/x/net/html"
)

var errTooBig = errors.New("safehtml: too big")

// reduce makes hostile sizes harmless for the parser: it leaves out tags that
// nest deeper than the parser can take, and attributes past MaxAttributes. It
// decides about cost only; what is safe is decided on the parsed tree. strict
// leaves out formatting elements, which the parser would open again in every
// paragraph (the "adoption agency" of the HTML standard).
//
// tags is the number of tags seen; ok is false when there are more than max.
func reduce(src string, maxTags int, strict bool) (out string, tags int, ok bool) {
	r := reducer{strict: strict, open: make([]openTag, 0, 64)}
	r.out.Grow(len(src))
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		tt := z.Next()
		switch tt {
		case html.ErrorToken:
			return r.out.String(), tags, true
		case html.CommentToken, html.DoctypeToken:
			continue
		case html.StartTagToken, html.SelfClosingTagToken:
			tags++
			r.start(z)
		case html.EndTagToken:
			tags++
			r.end(z)
		case html.TextToken:
			r.out.Write(z.Raw())
		}
		if tags > maxTags {
			return "", tags, false
		}
	}
}

type reducer struct {
	out     strings.Builder
	open    []openTag
	dropped int // start tags left out whose end tags are still to come
	strict  bool
	raw     []byte
}

// reduceDepth leaves the parser room for the elements that it opens itself.
const reduceDepth = MaxDepth

var reduceVoid = set("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "bgsound", "keygen", "frame")

// reduceFormatting is the list of formatting elements of the HTML standard.
var reduceFormatting = set("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")

// Kinds of open elements, as bits: the search through them is done for every
// start tag and has to be cheap.
const (
	bitP = 1 << iota
	bitLi
	bitDt
	bitTr
	bitCell
	bitSection
	bitOption
	bitOptgroup
	bitBoundary
)

// reduceBits gives the kind of an element.
var reduceBits = map[string]int{
	"p": bitP, "li": bitLi, "dt": bitDt, "dd": bitDt, "tr": bitTr, "td": bitCell, "th": bitCell,
	"tbody": bitSection, "thead": bitSection, "tfoot": bitSection, "option": bitOption, "optgroup": bitOptgroup,
	"table": bitBoundary, "ul": bitBoundary, "ol": bitBoundary, "dl": bitBoundary, "caption": bitBoundary, "html": bitBoundary,
	"button": bitBoundary, "object": bitBoundary, "applet": bitBoundary, "marquee": bitBoundary, "template": bitBoundary, "select": bitBoundary,
}

// reduceCloses gives the kinds that a start tag closes where they are open,
// unless a boundary, or a cell that is not among them, lies between.
var reduceCloses = map[string]int{
	"p": bitP, "li": bitLi, "dt": bitDt, "dd": bitDt, "td": bitCell, "th": bitCell, "tr": bitTr | bitCell,
	"tbody": bitSection | bitTr | bitCell, "thead": bitSection | bitTr | bitCell, "tfoot": bitSection | bitTr | bitCell,
	"option": bitOption, "optgroup": bitOption | bitOptgroup,
	"div": bitP, "ul": bitP, "ol": bitP, "table": bitP, "blockquote": bitP, "pre": bitP,
	"h1": bitP, "h2": bitP, "h3": bitP, "h4": bitP, "h5": bitP, "h6": bitP,
}

// openTag is an element that is taken to be open.
type openTag struct {
	name string
	bits int
}

func (r *reducer) start(z *html.Tokenizer) {
	raw := r.keep(z)
	tag, more := z.TagName()
	name := string(tag)
	if r.strict && reduceFormatting[name] {
		return
	}
	if !reduceVoid[name] {
		r.closeImplied(name)
		if len(r.open) >= reduceDepth {
			r.dropped++
			return
		}
		r.open = append(r.open, openTag{name, reduceBits[name]})
	}
	if !more {
		r.out.Write(raw)
		return
	}
	r.attributes(z, name, raw)
}

// attributes writes the tag as it is, or with its first attributes only.
func (r *reducer) attributes(z *html.Tokenizer, name string, raw []byte) {
	list := make([]html.Attribute, 0, 8)
	for more := true; more; {
		var key, val []byte
		key, val, more = z.TagAttr()
		if len(list) == MaxAttributes {
			r.rewrite(name, list)
			return
		}
		list = append(list, html.Attribute{Key: string(key), Val: string(val)})
	}
	r.out.Write(raw)
}

func (r *reducer) rewrite(name string, list []html.Attribute) {
	t := html.Token{Type: html.StartTagToken, Data: name}
	for _, a := range list {
		// A key with these cannot be written so that it reads the same.
		if a.Key != "" && !strings.ContainsAny(a.Key, "\"'<>=/ \t\n\f\r`") {
			t.Attr = append(t.Attr, a)
		}
	}
	r.out.WriteString(t.String())
}

func (r *reducer) closeImplied(name string) {
	closes := reduceCloses[name]
	if closes == 0 {
		return
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		bits := r.open[i].bits
		switch {
		case bits&closes != 0:
			// tbody may close a tr inside a tbody: keep looking.
			r.open = r.open[:i]
		case bits&(bitBoundary|bitCell) != 0:
			return
		}
	}
}

// keep copies the token: TagName and TagAttr decode in place.
func (r *reducer) keep(z *html.Tokenizer) []byte {
	r.raw = append(r.raw[:0], z.Raw()...)
	return r.raw
}

func (r *reducer) end(z *html.Tokenizer) {
	raw := r.keep(z)
	tag, _ := z.TagName()
	name := string(tag)
	if r.strict && reduceFormatting[name] {
		return
	}
	if r.dropped > 0 && !reduceVoid[name] {
		r.dropped--
		return
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		if r.open[i].name == name {
			r.open = r.open[:i]
			break
		}
	}
	r.out.Write(raw)
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
