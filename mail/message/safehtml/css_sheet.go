package safehtml

import (
	"strings"

	"github.com/tdewolff/parse/v2/css"
	"golang.org/x/net/html/atom"
)

// sheet collects the rules of all style elements.
type sheet struct {
	b    *builder
	out  strings.Builder
	read int // bytes of source
}

// maxPrelude is tokens of what stands before a block.
const maxPrelude = 2048

func (s *sheet) init(b *builder) { s.b = b }

// String gives the rules; Len their bytes.
func (s *sheet) String() string { return s.out.String() }

// Len gives the bytes of the rules.
func (s *sheet) Len() int { return s.out.Len() }

// add reads one style element.
func (s *sheet) add(src string) {
	if s.read += len(src); s.read > MaxStyle {
		return
	}
	r := sheetReader{scanner: newScanner(src), gate: s.b.imageURL}
	r.rules(s.emit, false)
	s.b.ownDark = s.b.ownDark || r.ownDark
}

// emit adds a whole rule, as long as there is room.
func (s *sheet) emit(rule string) {
	if s.out.Len()+len(rule) <= MaxStyle {
		s.out.WriteString(rule)
	}
}

type sheetReader struct {
	*scanner
	gate    gate
	ownDark bool
}

// rules reads rules up to the end, or, inside a block, to its brace.
func (r *sheetReader) rules(emit func(string), inside bool) {
	for {
		t := r.next()
		switch t.kind { // the rest starts a rule
		case css.ErrorToken:
			return
		case css.RightBraceToken:
			if inside {
				return
			}
		case css.WhitespaceToken, css.CDOToken, css.CDCToken, css.SemicolonToken:
		case css.AtKeywordToken:
			r.atRule(t.text, emit, inside)
		default:
			if end := r.rule(t, emit); end && inside {
				return
			}
		}
	}
}

// prelude collects the tokens before a block. ended is the token that ended it.
func (r *sheetReader) prelude(toks []token, statement bool) (all []token, ended css.TokenType, fits bool) {
	fits = true
	for {
		t := r.next()
		switch t.kind { // the rest is collected
		case css.ErrorToken, css.LeftBraceToken, css.RightBraceToken:
			return toks, t.kind, fits
		case css.SemicolonToken:
			if statement {
				return toks, t.kind, fits
			}
		}
		if len(toks) >= maxPrelude {
			fits = false
			continue
		}
		toks = append(toks, t)
	}
}

// rule reads a style rule. end reports a brace that closes the block around it.
func (r *sheetReader) rule(first token, emit func(string)) (end bool) {
	if first.kind == css.LeftBraceToken {
		skipBlock(r.scanner)
		return false
	}
	toks, ended, fits := r.prelude([]token{first}, false)
	if ended != css.LeftBraceToken {
		return ended == css.RightBraceToken
	}
	selectors := selectorList(toks)
	if !fits || selectors == "" {
		skipBlock(r.scanner)
		return false
	}
	if list := readDeclarations(r.scanner, r.gate); len(list) > 0 {
		emit(selectors + "{" + list.String() + "}")
	}
	return false
}

// atRule reads a rule that starts with @. Only @media passes, and not inside
// another one.
func (r *sheetReader) atRule(name string, emit func(string), inside bool) {
	toks, ended, fits := r.prelude(nil, true)
	if ended != css.LeftBraceToken {
		return
	}
	query, dark := "", false
	if strings.EqualFold(name, "media") && !inside && fits {
		query, dark = mediaList(toks)
	}
	if query == "" {
		skipBlock(r.scanner)
		return
	}
	var body strings.Builder
	r.rules(func(rule string) {
		if body.Len()+len(rule) <= MaxStyle {
			body.WriteString(rule)
		}
	}, true)
	if body.Len() > 0 {
		emit("@media " + query + "{" + body.String() + "}")
		r.ownDark = r.ownDark || dark
	}
}

// split cuts tokens at commas.
func split(toks []token) [][]token {
	var parts [][]token
	start := 0
	for i, t := range toks {
		if t.kind == css.CommaToken {
			parts = append(parts, trimTokens(toks[start:i]))
			start = i + 1
		}
	}
	return append(parts, trimTokens(toks[start:]))
}

// mediaList writes the media queries that are about width or colour scheme.
func mediaList(toks []token) (list string, dark bool) {
	var queries []string
	for _, part := range split(toks) {
		if q, ok := mediaQuery(part); ok {
			queries = append(queries, q)
			dark = dark || strings.Contains(q, "(prefers-color-scheme:dark)")
		}
	}
	return strings.Join(queries, ","), dark
}

func mediaQuery(toks []token) (string, bool) {
	var words []string
	for i := 0; i < len(toks); i++ {
		switch t := toks[i]; t.kind { // what is not listed is not allowed
		case css.WhitespaceToken:
		case css.IdentToken:
			w := strings.ToLower(t.text)
			if w != "only" && w != "screen" && w != "all" && w != "and" {
				return "", false
			}
			words = append(words, w)
		case css.LeftParenthesisToken:
			end := i + 1
			for end < len(toks) && toks[end].kind != css.RightParenthesisToken {
				end++
			}
			f, ok := mediaFeature(toks[i+1 : min(end, len(toks))])
			if !ok || end == len(toks) {
				return "", false
			}
			words = append(words, f)
			i = end
		default:
			return "", false
		}
	}
	return strings.Join(words, " "), len(words) > 0
}

var (
	mediaWidths  = set("width", "min-width", "max-width", "device-width", "min-device-width", "max-device-width")
	mediaSchemes = set("dark", "light", "no-preference")
)

func mediaFeature(toks []token) (string, bool) {
	var solid []token
	for _, t := range toks {
		if t.kind != css.WhitespaceToken {
			solid = append(solid, t)
		}
	}
	if len(solid) != 3 || solid[0].kind != css.IdentToken || solid[1].kind != css.ColonToken {
		return "", false
	}
	name, value := strings.ToLower(solid[0].text), solid[2]
	switch {
	case mediaWidths[name] && (value.kind == css.DimensionToken || value.kind == css.NumberToken):
		w := valueWriter{}
		s, ok := w.measure(value.text)
		return "(" + name + ":" + s + ")", ok
	case name == "prefers-color-scheme" && value.kind == css.IdentToken && mediaSchemes[strings.ToLower(value.text)]:
		return "(" + name + ":" + strings.ToLower(value.text) + ")", true
	}
	return "", false
}

// selectorList writes the selectors that pass, each scoped to the root.
func selectorList(toks []token) string {
	var list []string
	for _, part := range split(toks) {
		if s, ok := selector(part); ok {
			list = append(list, s)
		}
	}
	return strings.Join(list, ",")
}

// compound is what stands between two combinators of a selector.
type compound struct {
	text string
	// root and body stand for the elements that the message's html and body became.
	root, body bool
}

func (c compound) empty() bool { return c == compound{} }

// selector rewrites one selector. Those that look into attributes or at
// :visited, and those that place content, do not pass.
func selector(toks []token) (string, bool) {
	var out strings.Builder
	var cur compound
	only := compound{}
	combinator, count := "", 0
	flush := func() bool {
		if cur.empty() || cur.root && (count > 0 || cur.text != "" || cur.body) {
			return false
		}
		if only, count = cur, count+1; cur.root {
			combinator = "" // whatever is inside html is inside our root
		} else {
			if out.Len() > 0 {
				out.WriteString(combinator)
			}
			if cur.body {
				out.WriteString("." + classBody)
			}
			out.WriteString(cur.text)
		}
		cur = compound{}
		return true
	}
	for i := 0; i < len(toks); {
		if c, n := readCombinator(toks[i:]); n > 0 {
			if !flush() {
				return "", false
			}
			combinator = c
			i += n
			continue
		}
		n, ok := cur.read(toks[i:])
		if !ok {
			return "", false
		}
		i += n
	}
	if !flush() {
		return "", false
	}
	if only.root && count == 1 {
		return "." + classRoot, true
	}
	return "." + classRoot + " " + out.String(), out.Len() > 0
}

// readCombinator reads white space with at most one sign in it.
func readCombinator(toks []token) (c string, n int) {
	for n < len(toks) {
		t := toks[n]
		switch {
		case t.kind == css.WhitespaceToken:
			if c == "" {
				c = " "
			}
		case t.kind == css.DelimToken && (t.text == ">" || t.text == "+" || t.text == "~") && (c == "" || c == " "):
			c = t.text
		default:
			return c, n
		}
		n++
	}
	return c, n
}

var pseudoClasses = set("first-child", "last-child", "only-child", "first-of-type", "last-of-type", "link", "hover", "active", "focus", "empty")

// read adds one simple selector and gives the tokens that it took.
func (c *compound) read(toks []token) (n int, ok bool) {
	t := toks[0]
	switch t.kind { // what is not listed is not allowed
	case css.IdentToken:
		return 1, c.empty() && c.element(strings.ToLower(t.text))
	case css.HashToken:
		c.text += "#" + safeName(t.text)
		return 1, true
	case css.ColonToken:
		if len(toks) < 2 || toks[1].kind != css.IdentToken {
			return 0, false
		}
		name := strings.ToLower(toks[1].text)
		if name == "root" {
			c.root = true
			return 2, true
		}
		c.text += ":" + name
		return 2, pseudoClasses[name]
	case css.DelimToken:
		if t.text == "*" {
			first := c.empty()
			c.text = "*"
			return 1, first
		}
		if t.text == "." && len(toks) > 1 && toks[1].kind == css.IdentToken {
			return 2, c.class(toks[1].text)
		}
	}
	return 0, false
}

func (c *compound) element(name string) bool {
	switch name {
	case "html":
		c.root = true
		return true
	case "body":
		c.body = true
		return true
	}
	c.text = name
	return fates[atom.Lookup([]byte(name))] == keep
}

func (c *compound) class(name string) bool {
	switch name {
	case classRoot:
		c.root = true
	case classBody:
		if c.text != "" && (c.text[0] == '*' || letter(c.text[0])) {
			return false // an element's name would have to go before it
		}
		c.body = true
	case classBlocked, classWarn:
		return false
	default:
		c.text += "." + safeName(name)
	}
	return true
}
