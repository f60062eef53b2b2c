package safehtml

import "golang.org/x/net/html/atom"

// fate says what becomes of an element.
type fate int

const (
	unwrap fate = iota // the element goes, its content stays
	keep
	drop // the element goes with all it holds
)

// fates lists the elements that are not merely unwrapped. An element that is
// missing here (o:p, a custom element, form, button, picture) loses its tags
// and keeps its content.
var fates = func() map[atom.Atom]fate {
	m := map[atom.Atom]fate{}
	for _, a := range []atom.Atom{
		atom.A, atom.Abbr, atom.Acronym, atom.Address, atom.Article, atom.Aside, atom.B, atom.Bdi, atom.Bdo, atom.Big,
		atom.Blockquote, atom.Br, atom.Caption, atom.Center, atom.Cite, atom.Code, atom.Col, atom.Colgroup, atom.Dd, atom.Del,
		atom.Details, atom.Dfn, atom.Dir, atom.Div, atom.Dl, atom.Dt, atom.Em, atom.Figcaption, atom.Figure, atom.Font,
		atom.Footer, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.I, atom.Img, atom.Ins,
		atom.Kbd, atom.Li, atom.Main, atom.Mark, atom.Menu, atom.Nav, atom.Ol, atom.P, atom.Pre, atom.Q, atom.Rp, atom.Rt,
		atom.Ruby, atom.S, atom.Samp, atom.Section, atom.Small, atom.Span, atom.Strike, atom.Strong, atom.Sub, atom.Summary,
		atom.Sup, atom.Table, atom.Tbody, atom.Td, atom.Tfoot, atom.Th, atom.Thead, atom.Time, atom.Tr, atom.Tt, atom.U,
		atom.Ul, atom.Var, atom.Wbr,
	} {
		m[a] = keep
	}
	for _, a := range []atom.Atom{
		// What runs, loads, or is read by other rules than HTML's.
		atom.Script, atom.Noscript, atom.Template, atom.Iframe, atom.Frame, atom.Frameset, atom.Noframes, atom.Object,
		atom.Embed, atom.Applet, atom.Noembed, atom.Plaintext, atom.Xmp, atom.Listing, atom.Svg, atom.Math, atom.Canvas,
		atom.Audio, atom.Video, atom.Source, atom.Track, atom.Param, atom.Bgsound, atom.Image,
		// The head.
		atom.Base, atom.Link, atom.Meta, atom.Title, atom.Style,
		// Form controls. Their labels and a button's text stay.
		atom.Input, atom.Select, atom.Option, atom.Optgroup, atom.Textarea, atom.Datalist, atom.Output, atom.Meter,
		atom.Progress, atom.Keygen, atom.Isindex, atom.Map, atom.Area,
	} {
		m[a] = drop
	}
	return m
}()

// kind is how an attribute's value is checked.
type kind int

const (
	kindNone   kind = iota
	kindText        // any text; shown, never interpreted
	kindWord        // letters, digits and "-"
	kindNumber      // digits, with a sign or a percent sign
	kindColor       // a colour name or hexadecimal digits
	kindFlag        // no value
	kindFont        // a list of font names
)

// globalAttributes may stand on every element. id, class and style are
// handled by themselves.
var globalAttributes = map[string]kind{
	"title": kindText, "dir": kindWord, "lang": kindWord, "align": kindWord, "valign": kindWord, "hidden": kindFlag,
	"aria-hidden": kindWord, "aria-label": kindText, "role": kindWord,
}

// elementAttributes may stand on the element they are listed for.
var elementAttributes = map[atom.Atom]map[string]kind{
	atom.Img: {
		"alt": kindText, "width": kindNumber, "height": kindNumber, "border": kindNumber, "hspace": kindNumber, "vspace": kindNumber,
	},
	atom.Table: {
		"width": kindNumber, "height": kindNumber, "border": kindNumber, "cellpadding": kindNumber, "cellspacing": kindNumber,
		"bgcolor": kindColor, "bordercolor": kindColor, "rules": kindWord, "frame": kindWord, "summary": kindText,
	},
	atom.Tr:       {"height": kindNumber, "bgcolor": kindColor},
	atom.Tbody:    {"bgcolor": kindColor},
	atom.Thead:    {"bgcolor": kindColor},
	atom.Tfoot:    {"bgcolor": kindColor},
	atom.Td:       cellAttributes,
	atom.Th:       cellAttributes,
	atom.Col:      {"width": kindNumber, "span": kindNumber, "bgcolor": kindColor},
	atom.Colgroup: {"width": kindNumber, "span": kindNumber, "bgcolor": kindColor},
	atom.Font:     {"color": kindColor, "size": kindNumber, "face": kindFont},
	atom.Hr:       {"width": kindNumber, "size": kindNumber, "color": kindColor, "noshade": kindFlag},
	atom.Ol:       {"start": kindNumber, "type": kindWord, "reversed": kindFlag},
	atom.Ul:       {"type": kindWord},
	atom.Li:       {"type": kindWord, "value": kindNumber},
	atom.Pre:      {"width": kindNumber},
	atom.Br:       {"clear": kindWord},
	atom.Time:     {"datetime": kindText},
	atom.Abbr:     {},
	atom.Details:  {"open": kindFlag},
}

var cellAttributes = map[string]kind{
	"width": kindNumber, "height": kindNumber, "bgcolor": kindColor, "bordercolor": kindColor, "colspan": kindNumber,
	"rowspan": kindNumber, "nowrap": kindFlag, "scope": kindWord, "abbr": kindText,
}

// maxValue is characters of one attribute that is text.
const maxValue = 4096

// check returns the value to write, and whether there is one.
func (k kind) check(v string) (string, bool) {
	switch k {
	case kindText:
		return cut(v, maxValue), true
	case kindWord:
		return v, len(v) <= 32 && v != "" && only(v, func(c byte) bool { return letter(c) || digit(c) || c == '-' })
	case kindNumber:
		v = trimSpace(v)
		return v, number(v)
	case kindColor:
		v = trimSpace(v)
		return v, color(v)
	case kindFlag:
		return "", true
	case kindFont:
		return v, len(v) <= 200 && v != "" && only(v, func(c byte) bool {
			return letter(c) || digit(c) || c == ' ' || c == ',' || c == '-' || c == '_' || c >= 0x80
		})
	case kindNone:
	}
	return "", false
}

// number accepts 12, -1, +2, 50%, 1.5 and 10px, of up to five digits.
func number(v string) bool {
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		v = v[1:]
	}
	whole := 0
	for whole < len(v) && digit(v[whole]) {
		whole++
	}
	if whole == 0 || whole > 5 {
		return false
	}
	v = v[whole:]
	if len(v) > 1 && v[0] == '.' {
		v = v[1:]
		for len(v) > 0 && digit(v[0]) {
			v = v[1:]
		}
	}
	return v == "" || v == "%" || v == "px"
}

func color(v string) bool {
	if v == "" || len(v) > 32 {
		return false
	}
	if v[0] == '#' {
		v = v[1:]
	}
	return v != "" && only(v, func(c byte) bool { return letter(c) || digit(c) })
}

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func letter[T byte | rune](c T) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func digit[T byte | rune](c T) bool  { return '0' <= c && c <= '9' }

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
