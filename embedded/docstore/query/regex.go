package query

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// codeBadRegex is MongoDB's error for a pattern that does not compile.
const codeBadRegex = 51091

// regex matches strings, and the very same regular expression stored as a value.
type regex struct {
	pattern, options string
	re               *regexp.Regexp
}

func (r *regex) test(t bson.Type, v []byte, _ *state) bool {
	switch t {
	case bson.TypeString, bson.TypeSymbol:
		text := v[4 : len(v)-1]
		return r.re.Match(text) && utf8.Valid(text) // PCRE refuses invalid UTF-8
	case bson.TypeRegex:
		pattern, options := value.Regex(bson.RawValue{Type: t, Value: v})
		return pattern == r.pattern && options == r.options
	default:
		return false
	}
}

func regexOfValue(v bson.RawValue) (*regex, error) {
	pattern, options := value.Regex(v)
	return newRegex(pattern, options)
}

// regexOperator compiles {$regex, $options}, which may come in any order; the
// work is done at $regex.
func regexOperator(e element, all []element) (valueNode, error) {
	var pattern, options *element
	for i := range all {
		switch all[i].key {
		case "$regex":
			pattern = &all[i]
		case "$options":
			options = &all[i]
		}
	}
	if pattern == nil {
		return nil, value.BadValue("$options needs a $regex")
	}
	if e.key == "$options" {
		if e.Type != bson.TypeString {
			return nil, value.BadValue("$options has to be a string")
		}
		return nil, nil //nolint:nilnil // $regex makes the node
	}
	var text, flags string
	switch e.Type {
	case bson.TypeString:
		text = value.Str(e.RawValue)
		if strings.ContainsRune(text, 0) {
			return nil, value.BadValue("Regular expression cannot contain an embedded null byte")
		}
	case bson.TypeRegex:
		text, flags = value.Regex(e.RawValue)
	default:
		return nil, value.BadValue("$regex has to be a string")
	}
	if options != nil {
		if options.Type != bson.TypeString {
			return nil, value.BadValue("$options has to be a string")
		}
		if flags != "" {
			return nil, value.Errorf(51075, "options set in both $regex and $options")
		}
		flags = value.Str(options.RawValue)
		if strings.ContainsRune(flags, 0) {
			return nil, value.BadValue("Regular expression options string cannot contain an embedded null byte")
		}
	}
	r, err := newRegex(text, flags)
	return pred(r, err)
}

func newRegex(pattern, options string) (*regex, error) {
	flags := syntax.Perl
	flags &^= syntax.OneLine // switched on by the lack of m below
	extended, multi := false, false
	for _, o := range options {
		switch o {
		case 'i':
			flags |= syntax.FoldCase
		case 'm':
			multi = true
		case 's':
			flags |= syntax.DotNL
		case 'x':
			extended = true
		case 'u': // strings are always UTF-8
		default:
			return nil, value.Errorf(51108, "invalid flag in regex options: %c", o)
		}
	}
	if !multi {
		flags |= syntax.OneLine
	}
	text, err := translate(pattern, extended)
	if err != nil {
		return nil, err
	}
	tree, perr := syntax.Parse(text, flags)
	if perr != nil {
		return nil, value.Errorf(codeBadRegex, "Regular expression is invalid: %s", perr.Error())
	}
	if !adapt(tree, true, false) {
		return nil, unsupported("an anchor at this place")
	}
	re, perr := regexp.Compile(tree.String())
	if perr != nil {
		return nil, value.Errorf(codeBadRegex, "Regular expression is invalid: %s", perr.Error())
	}
	return &regex{pattern: pattern, options: options, re: re}, nil
}

func unsupported(what string) error {
	return value.Errorf(codeBadRegex, "Regular expression is invalid: %s is not supported", what)
}

// translate turns PCRE into RE2 where they write the same thing differently,
// and refuses what RE2 would take for something else.
func translate(p string, extended bool) (string, error) {
	var out strings.Builder
	for i := 0; i < len(p); {
		c := p[i]
		switch {
		case c == '\\':
			n, err := escape(&out, p[i:], false)
			if err != nil {
				return "", err
			}
			i += n
		case c == '[':
			n, err := class(&out, p[i:])
			if err != nil {
				return "", err
			}
			i += n
		case extended && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			i++
		case extended && c == '#':
			end := strings.IndexByte(p[i:], '\n')
			if end < 0 {
				end = len(p) - i
			}
			i += end
		case c == '{' && strings.HasPrefix(p[i:], "{,"):
			return "", unsupported("{,")
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), nil
}

const (
	spaces    = `\t\n\x0b\f\r `
	notSpaces = `\x00-\x08\x0e-\x1f\x21-\x{10FFFF}`
)

// escape copies one escape sequence and returns its length.
func escape(out *strings.Builder, p string, inClass bool) (int, error) {
	if len(p) < 2 {
		return 0, unsupported("a trailing backslash")
	}
	switch c := p[1]; {
	case c == 's' && inClass:
		out.WriteString(spaces)
	case c == 's':
		out.WriteString("[" + spaces + "]")
	case c == 'S' && inClass:
		out.WriteString(notSpaces)
	case c == 'S':
		out.WriteString("[^" + spaces + "]")
	case c == 'Q' || c == 'E':
		return quoted(out, p, inClass)
	case c == 'v' || c >= '0' && c <= '9':
		// \v is a class in PCRE, and digits are references or octal.
		return 0, unsupported(p[:2])
	case c >= utf8.RuneSelf:
		out.WriteString(p[1:2]) // an escaped letter beyond ASCII stands for itself
	default:
		out.WriteString(p[:2])
	}
	return 2, nil
}

func quoted(out *strings.Builder, p string, inClass bool) (int, error) {
	if inClass {
		return 0, unsupported(`\Q in a class`)
	}
	if p[1] == 'E' {
		return 2, nil
	}
	text, _, closed := strings.Cut(p[2:], `\E`)
	out.WriteString(regexp.QuoteMeta(text))
	if closed {
		return len(text) + 4, nil
	}
	return len(text) + 2, nil
}

// class copies a bracket expression and returns its length.
func class(out *strings.Builder, p string) (int, error) {
	out.WriteByte('[')
	i := 1
	if i < len(p) && p[i] == '^' {
		out.WriteByte('^')
		i++
	}
	for first := true; i < len(p); first = false {
		switch {
		case p[i] == ']' && !first:
			out.WriteByte(']')
			return i + 1, nil
		case p[i] == '\\':
			n, err := escape(out, p[i:], true)
			if err != nil {
				return 0, err
			}
			i += n
		case strings.HasPrefix(p[i:], "[:"):
			end := strings.Index(p[i:], ":]")
			if end < 0 {
				return 0, unsupported("[: without :]")
			}
			out.WriteString(p[i : i+end+2])
			i += end + 2
		default:
			out.WriteByte(p[i])
			i++
		}
	}
	return 0, unsupported("a missing ]")
}

// adapt gives anchors PCRE's meaning. A $ also matches before a final newline;
// that can be written for RE2 only where nothing follows it (last). With the m
// option, ^ does not match after a final newline; that makes no difference
// where something that is not empty has to follow (more). It is false where the
// meaning cannot be kept.
func adapt(re *syntax.Regexp, last, more bool) bool {
	switch re.Op {
	case syntax.OpEndText:
		if re.Flags&syntax.WasDollar == 0 {
			return true
		}
		if !last {
			return false
		}
		nl := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{'\n'}}
		end := &syntax.Regexp{Op: syntax.OpEndText}
		*re = syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{
			{Op: syntax.OpQuest, Sub: []*syntax.Regexp{nl}}, end,
		}}
		return true
	case syntax.OpBeginLine:
		return more
	case syntax.OpConcat:
		for i, sub := range re.Sub {
			rest := more
			for _, r := range re.Sub[i+1:] {
				rest = rest || width(r) > 0
			}
			if !adapt(sub, last && i == len(re.Sub)-1, rest) {
				return false
			}
		}
		return true
	case syntax.OpAlternate, syntax.OpCapture, syntax.OpQuest:
		for _, sub := range re.Sub {
			if !adapt(sub, last, more) {
				return false
			}
		}
		return true
	default:
		for _, sub := range re.Sub {
			if !adapt(sub, false, more) {
				return false
			}
		}
		return true
	}
}

// width is the least number of characters that a pattern takes, 1 for many.
func width(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if width(sub) > 0 {
				return 1
			}
		}
		return 0
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if width(sub) == 0 {
				return 0
			}
		}
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return width(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return width(re.Sub[0])
		}
		return 0
	default:
		return 0
	}
}
