package safehtml

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2/css"
)

// property says what a property's value may hold beside words, numbers,
// colours and the functions of cssFunctions.
type property struct {
	urls, strings bool
	// limit bounds every length, 0 for maxLength.
	limit float64
	// words, where set, are the only values.
	words map[string]bool
}

// allows checks the words of a value against the closed list, where there is one.
func (p property) allows(words []string) bool {
	if p.words == nil {
		return true
	}
	for _, w := range words {
		if !p.words[w] {
			return false
		}
	}
	return len(words) > 0
}

// maxLength bounds numbers of any unit.
const maxLength = 10_000

// properties is the allow-list. Left out on purpose: position other than
// relative, z-index, cursor, content, filter, transform, animation and
// transition, clip and mask, counters, and every vendor's property, behavior
// and -moz-binding among them.
var properties = func() map[string]property {
	m := map[string]property{}
	for _, p := range strings.Fields(`
		background-color background-position background-repeat background-size background-clip background-origin
		border border-bottom border-bottom-color border-bottom-left-radius border-bottom-right-radius border-bottom-style
		border-bottom-width border-collapse border-color border-left border-left-color border-left-style border-left-width
		border-radius border-right border-right-color border-right-style border-right-width border-spacing border-style
		border-top border-top-color border-top-left-radius border-top-right-radius border-top-style border-top-width border-width
		bottom left right top box-sizing caption-side clear color column-count column-gap columns direction empty-cells
		align-content align-items align-self flex flex-basis flex-direction flex-flow flex-grow flex-shrink flex-wrap
		justify-content justify-items justify-self order gap row-gap grid-template-columns grid-template-rows grid-column grid-row
		float font-size font-stretch font-style font-variant font-weight height hyphens letter-spacing line-height line-break
		list-style-position list-style-type margin margin-bottom margin-left margin-right margin-top
		margin-inline margin-inline-start margin-inline-end margin-block margin-block-start margin-block-end
		max-height max-width min-height min-width object-fit object-position opacity overflow overflow-wrap overflow-x overflow-y
		outline outline-color outline-style outline-width padding padding-bottom padding-left padding-right padding-top
		padding-inline padding-inline-start padding-inline-end padding-block padding-block-start padding-block-end
		table-layout text-align text-align-last text-decoration text-decoration-color text-decoration-line text-decoration-style
		text-decoration-thickness text-indent text-overflow text-transform text-underline-offset unicode-bidi vertical-align
		visibility white-space widows orphans width word-break word-spacing word-wrap writing-mode tab-size zoom
	`) {
		m[p] = property{}
	}
	for _, p := range []string{"background", "background-image", "list-style", "list-style-image"} {
		m[p] = property{urls: true}
	}
	m["font"] = property{strings: true}
	m["font-family"] = property{strings: true}
	m["box-shadow"] = property{limit: 100}
	m["text-shadow"] = property{limit: 100}
	m["position"] = property{words: set("static", "relative")}
	m["display"] = property{words: set("none", "block", "inline", "inline-block", "list-item", "table", "inline-table", "table-row",
		"table-cell", "table-row-group", "table-header-group", "table-footer-group", "table-column", "table-column-group",
		"table-caption", "flex", "inline-flex", "grid", "inline-grid", "flow-root", "inherit", "initial", "unset", "revert")}
	m["zoom"] = property{limit: 10}
	return m
}()

// cssFunctions may stand in a value. None of them loads anything, and none
// takes a value from elsewhere: var(), env() and attr() do.
var cssFunctions = set("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "calc", "min", "max", "clamp",
	"linear-gradient", "radial-gradient", "conic-gradient", "repeating-linear-gradient", "repeating-radial-gradient",
	"repeat", "minmax", "fit-content")

// cssUnits leaves out those that follow the height of the frame: the frame
// follows the height of its content, and the two would grow without end.
var cssUnits = set("px", "pt", "pc", "em", "rem", "ex", "ch", "in", "cm", "mm", "q", "vw", "deg", "rad", "grad", "turn", "fr")

// valueWriter writes a value token by token.
type valueWriter struct {
	rule  property
	gate  gate
	out   strings.Builder
	words []string // lower case
	depth int
	glue  bool // no space before the next token
}

func (w *valueWriter) write(toks []token) bool {
	w.glue = true
	for _, t := range toks {
		if !w.token(t) {
			return false
		}
	}
	return w.depth == 0
}

func (w *valueWriter) put(s string) {
	if !w.glue {
		w.out.WriteByte(' ')
	}
	w.out.WriteString(s)
	w.glue = false
}

func (w *valueWriter) token(t token) bool {
	switch t.kind { // what is not listed is not allowed
	case css.WhitespaceToken:
		return true
	case css.IdentToken:
		return w.word(t.text)
	case css.NumberToken, css.PercentageToken, css.DimensionToken:
		s, ok := w.measure(t.text)
		w.put(s)
		return ok
	case css.HashToken:
		w.put("#" + t.text)
		return len(t.text) <= 8 && len(t.text) >= 3 && only(t.text, func(c byte) bool { return hexValue(c) >= 0 })
	case css.StringToken:
		w.put(quote(t.text))
		return w.rule.strings && len(t.text) <= 200
	case css.URLToken:
		return w.url(t.text)
	case css.CommaToken:
		w.out.WriteByte(',')
		w.glue = true
		return true
	case css.FunctionToken, css.LeftParenthesisToken, css.RightParenthesisToken:
		return w.group(t)
	case css.DelimToken:
		w.put(t.text)
		return t.text == "/" || w.depth > 0 && (t.text == "+" || t.text == "-" || t.text == "*")
	}
	return false
}

// oddWords have no meaning in a value that is allowed here. They are names of
// functions, properties and values that load, cover or run something, in this
// or in an older browser, which might read them otherwise.
var oddWords = []string{"expression", "behavior", "binding", "fixed", "sticky", "absolute", "image-set", "cross-fade", "javascript", "cursor", "animation", "transition", "filter"}

func (w *valueWriter) word(s string) bool {
	lower := strings.ToLower(s)
	w.words = append(w.words, lower)
	w.put(s)
	return identifier(s) && len(s) <= 100 && !slices.ContainsFunc(oddWords, func(odd string) bool { return strings.Contains(lower, odd) })
}

func (w *valueWriter) url(raw string) bool {
	if !w.rule.urls {
		return false
	}
	if to, ok := w.gate(raw); ok {
		w.put(cssURL(to))
	} else {
		w.put("none") // the colour beside it stays
	}
	return true
}

func (w *valueWriter) group(t token) bool {
	switch t.kind { // the caller chose
	case css.FunctionToken:
		name := strings.ToLower(t.text)
		w.put(name + "(")
		w.glue = true
		w.depth++
		return cssFunctions[name] && w.depth <= 16
	case css.LeftParenthesisToken:
		// Only inside calc() and its like.
		ok := w.depth > 0 && w.depth <= 16
		w.put("(")
		w.glue = true
		w.depth++
		return ok
	}
	w.out.WriteByte(')')
	w.glue = false
	w.depth--
	return w.depth >= 0
}

// measure checks a number with its unit.
func (w *valueWriter) measure(s string) (string, bool) {
	n := len(s)
	for n > 0 && (letter(s[n-1]) || s[n-1] == '%') {
		n--
	}
	unit := strings.ToLower(s[n:])
	// Not n characters of 1e5, but a decimal number.
	for i := range n {
		c := s[i]
		sign := i == 0 && (c == '-' || c == '+')
		if !digit(c) && c != '.' && !sign {
			return "", false
		}
	}
	v, err := strconv.ParseFloat(s[:n], 64)
	limit := w.rule.limit
	if limit == 0 {
		limit = maxLength
	}
	if err != nil || n > 16 || math.Abs(v) > limit {
		return "", false
	}
	return s[:n] + unit, unit == "" || unit == "%" || cssUnits[unit]
}
