package safehtml

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// No piece of the sender's CSS is copied. The text is cut into tokens after
// CSS Syntax Level 3 section 4, each token is decoded, checked and written
// anew in one fixed way. Where a browser would cut the text differently it
// still reads what was meant here.

// token is a decoded token. text is the name of an identifier, function (no
// parenthesis), at-keyword or hash (no sign), the value of a string or URL,
// and the source of everything else.
type token struct {
	kind css.TokenType
	text string
}

// scanner gives tokens; comments count as white space.
type scanner struct{ lexer *css.Lexer }

func newScanner(src string) *scanner {
	// CSS Syntax 3.3: preprocessing the input.
	src = cssPreprocess.Replace(src)
	return &scanner{css.NewLexer(parse.NewInputString(src))}
}

var cssPreprocess = strings.NewReplacer("\x00", "\uFFFD", "\r\n", "\n", "\r", "\n", "\f", "\n")

func (s *scanner) next() token {
	kind, raw := s.lexer.Next()
	text := string(raw)
	switch kind { // the rest is taken as it is
	case css.CommentToken:
		return token{css.WhitespaceToken, " "}
	case css.IdentToken, css.CustomPropertyNameToken:
		return token{kind, unescape(text)}
	case css.FunctionToken:
		return token{kind, unescape(strings.TrimSuffix(text, "("))}
	case css.AtKeywordToken, css.HashToken:
		return token{kind, unescape(text[1:])}
	case css.StringToken:
		if inner, ok := unquote(text); ok {
			return token{kind, inner}
		}
		return token{css.BadStringToken, ""}
	case css.URLToken:
		if inner, ok := urlInner(text); ok {
			return token{kind, inner}
		}
		return token{css.BadURLToken, ""}
	}
	return token{kind, text}
}

// unquote decodes a string that has both its quotes.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return "", false
	}
	body := s[1 : len(s)-1]
	// An odd run of backslashes escapes the quote: the string was never closed.
	run := len(body) - len(strings.TrimRight(body, `\`))
	return unescape(body), run%2 == 0
}

// urlInner decodes url(...) that has its closing parenthesis.
func urlInner(s string) (string, bool) {
	open := strings.IndexByte(s, '(')
	if open < 0 || s[len(s)-1] != ')' || len(s) < open+2 {
		return "", false
	}
	inner := trimSpace(s[open+1 : len(s)-1])
	if inner != "" && (inner[0] == '"' || inner[0] == '\'') {
		return unquote(inner)
	}
	return unescape(inner), true
}

// unescape decodes escapes (CSS Syntax 4.3.7).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			i++
			continue
		}
		i++
		value, n := rune(0), 0
		for n < 6 && i+n < len(s) && hexValue(s[i+n]) >= 0 {
			value = value<<4 | hexValue(s[i+n])
			n++
		}
		switch {
		case n > 0:
			i += n
			if i < len(s) && strings.IndexByte(" \t\n", s[i]) >= 0 {
				i++
			}
			if value == 0 || !utf8.ValidRune(value) {
				value = utf8.RuneError
			}
			out.WriteRune(value)
		case i < len(s) && s[i] == '\n':
			i++ // a line continued inside a string
		case i < len(s):
			r, size := utf8.DecodeRuneInString(s[i:])
			out.WriteRune(r)
			i += size
		}
	}
	return out.String()
}

func hexValue(c byte) rune {
	switch {
	case digit(c):
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// quote writes a CSS string that is safe in a style element and in a style
// attribute.
func quote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		if r < 0x20 || r == 0x7F || strings.ContainsRune(`"'\<>&{};@`, r) {
			fmt.Fprintf(&out, `\%x `, r)
			continue
		}
		out.WriteRune(r)
	}
	out.WriteByte('"')
	return out.String()
}

func cssURL(u string) string { return "url(" + quote(u) + ")" }

// identifier reports a name that is written without escapes. Letters beyond
// ASCII occur in names of fonts.
func identifier(s string) bool {
	for i, r := range s {
		switch {
		case letter(r), r == '_', r == '-', r >= 0x80 && unicode.IsLetter(r):
		case i > 0 && digit(r):
		default:
			return false
		}
	}
	if rest, ok := strings.CutPrefix(s, "-"); ok && (rest == "" || rest[0] == '-' || digit(rest[0])) {
		return false
	}
	return s != ""
}

// declaration is one property with a value that is written already.
type declaration struct {
	property, value string
	important       bool
}

type declarations []declaration

// String joins the declarations as a style attribute holds them.
func (l declarations) String() string {
	var s strings.Builder
	for i, d := range l {
		if i > 0 {
			s.WriteByte(';')
		}
		s.WriteString(d.property + ":" + d.value)
		if d.important {
			s.WriteString(" !important")
		}
	}
	return s.String()
}

// maxDeclaration is tokens of one declaration, maxDeclarations those of one block.
const (
	maxDeclaration  = 512
	maxDeclarations = 512
)

// gate decides about an address in CSS.
type gate func(raw string) (string, bool)

// declarations reads a style attribute.
func (b *builder) declarations(src string) declarations {
	return readDeclarations(newScanner(src), b.imageURL)
}

// quietDeclarations is declarations without asking for, or counting, images.
func (b *builder) quietDeclarations(src string) declarations {
	return readDeclarations(newScanner(src), func(string) (string, bool) { return "", false })
}

// readDeclarations reads up to the end or to the brace that closes the block.
func readDeclarations(s *scanner, g gate) declarations {
	var list declarations
	var toks []token
	bad := false
	flush := func() {
		if !bad && len(list) < maxDeclarations {
			if d, ok := readDeclaration(toks, g); ok {
				list = append(list, d)
			}
		}
		toks, bad = toks[:0], false
	}
	depth := 0
	for {
		t := s.next()
		switch t.kind { // the rest belongs to the declaration
		case css.ErrorToken, css.RightBraceToken:
			flush()
			return list
		case css.LeftBraceToken:
			// A nested rule. It goes, with what led to it.
			skipBlock(s)
			toks, bad, depth = toks[:0], false, 0
			continue
		case css.SemicolonToken:
			if depth == 0 {
				flush()
				continue
			}
			bad = true
		case css.FunctionToken, css.LeftParenthesisToken, css.LeftBracketToken:
			depth++
		case css.RightParenthesisToken, css.RightBracketToken:
			if depth--; depth < 0 {
				depth, bad = 0, true
			}
		}
		if len(toks) == maxDeclaration {
			bad = true
			continue
		}
		toks = append(toks, t)
	}
}

// skipBlock reads past the brace that closes a block.
func skipBlock(s *scanner) {
	for depth := 1; depth > 0; {
		switch s.next().kind { // only braces and the end count
		case css.ErrorToken:
			return
		case css.LeftBraceToken:
			depth++
		case css.RightBraceToken:
			depth--
		}
	}
}

func trimTokens(toks []token) []token {
	for len(toks) > 0 && toks[0].kind == css.WhitespaceToken {
		toks = toks[1:]
	}
	for len(toks) > 0 && toks[len(toks)-1].kind == css.WhitespaceToken {
		toks = toks[:len(toks)-1]
	}
	return toks
}

// readDeclaration checks property and value.
func readDeclaration(toks []token, g gate) (d declaration, ok bool) {
	toks = trimTokens(toks)
	if len(toks) < 3 || toks[0].kind != css.IdentToken {
		return d, false
	}
	d.property = strings.ToLower(toks[0].text)
	rule, known := properties[d.property]
	if !known {
		return d, false
	}
	toks = trimTokens(toks[1:])
	if toks[0].kind != css.ColonToken {
		return d, false
	}
	toks = trimTokens(toks[1:])
	toks, d.important = cutImportant(toks)
	w := valueWriter{rule: rule, gate: g}
	if !w.write(toks) || !rule.allows(w.words) {
		return d, false
	}
	d.value = w.out.String()
	return d, d.value != ""
}

// cutImportant takes "!important" off the end.
func cutImportant(toks []token) ([]token, bool) {
	n := len(toks)
	if n < 2 || toks[n-1].kind != css.IdentToken || !strings.EqualFold(toks[n-1].text, "important") {
		return toks, false
	}
	rest := trimTokens(toks[:n-1])
	if len(rest) == 0 || rest[len(rest)-1] != (token{css.DelimToken, "!"}) {
		return toks, false
	}
	return trimTokens(rest[:len(rest)-1]), true
}
