package search

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidermail/eider/mail"
)

// Limits of a query that a person types.
const (
	// MaxInput is the most bytes that are read; the rest is left out.
	MaxInput = 1024
	maxDepth = 16
)

// Parsed is what ParsePeople made of a text.
type Parsed struct {
	Query Query
	// Terms are the parts in the order they were typed.
	Terms []Understood
	// Text tells that words are looked for, Place that a folder was named.
	Text, Place bool
}

// Understood is one part of what was typed.
type Understood struct {
	// Name is the operator, "" for words. Value is what it was given.
	Name, Value string
	Negated     bool
	// Unknown: it has the form of an operator, and was taken for words.
	Unknown bool
}

// People says how a person's text is read.
type People struct {
	// Now and Zone give dates their meaning; zero values are the present and UTC.
	Now  time.Time
	Zone *time.Location
}

// Parse reads what a person typed into the search box:
//
//	from:ann has:attachment before:2026-03 "exact words" -draft (a OR b)
//
// Words that stand beside each other must all be there; OR binds weaker than
// that; a minus excludes; a star at the end of a word lets it go on. It never
// fails: what is not understood is looked for as text.
func (o People) Parse(s string) Parsed {
	if len(s) > MaxInput {
		s = strings.ToValidUTF8(s[:MaxInput], "")
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	p := &peopleParser{People: o, rest: strings.ToValidUTF8(s, "\uFFFD")}
	q := p.alternatives(0, nil)
	for p.rest != "" { // a closing parenthesis that nothing opened
		p.rest = p.rest[1:]
		q = And{q, p.alternatives(0, nil)}
	}
	p.out.Query = Simplify(q)
	return p.out
}

type peopleParser struct {
	People
	rest    string
	out     Parsed
	negated bool
}

// asText makes the condition for words: everywhere, or where an operator in
// front of a parenthesis says.
type asText func(value string, quoted bool) Query

func anywhere(value string, quoted bool) Query { return textOf(InAll, value, quoted, Words) }

// textOf: a star at the end of an unquoted word lets it go on.
func textOf(in Fields, value string, quoted bool, mode Mode) Query {
	if cut, ok := strings.CutSuffix(value, "*"); ok && !quoted {
		return Text{In: in, Value: cut, Mode: Prefix}
	}
	if quoted {
		mode = Words
	}
	return Text{In: in, Value: value, Mode: mode}
}

func (p *peopleParser) space() { p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace) }

func (p *peopleParser) alternatives(depth int, as asText) Query {
	out := Or{p.together(depth, as)}
	for p.word("OR") {
		out = append(out, p.together(depth, as))
	}
	// An OR that has nothing on one side is a word that says nothing.
	kept := out[:0]
	for _, q := range out {
		if list, ok := q.(And); !ok || len(list) > 0 {
			kept = append(kept, q)
		}
	}
	if len(kept) == 0 {
		return And{}
	}
	return kept
}

// word takes a bare word of the language.
func (p *peopleParser) word(w string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, w)
	if !ok || (rest != "" && !strings.ContainsAny(rest[:1], " \t\r\n()\"")) {
		return false
	}
	p.rest = rest
	return true
}

func (p *peopleParser) together(depth int, as asText) Query {
	out := And{}
	for {
		p.space()
		if p.rest == "" || p.rest[0] == ')' || p.peekOr() {
			return out
		}
		if p.word("AND") {
			continue
		}
		if q := p.term(depth, as); q != nil {
			out = append(out, q)
		}
	}
}

func (p *peopleParser) peekOr() bool {
	before := p.rest
	ok := p.word("OR")
	p.rest = before
	return ok
}

// term reads one condition; nil for one that says nothing.
func (p *peopleParser) term(depth int, as asText) Query {
	if rest, ok := strings.CutPrefix(p.rest, "-"); ok && rest != "" && !unicode.IsSpace(firstRune(rest)) && rest[0] != ')' && depth < maxDepth {
		p.rest = rest
		p.negated = !p.negated
		q := p.term(depth+1, as)
		p.negated = !p.negated
		if q == nil {
			return nil
		}
		return Not{q}
	}
	if p.rest[0] == '(' && depth < maxDepth {
		return p.group(depth, as)
	}
	return p.condition(depth, as)
}

func firstRune(s string) rune { r, _ := utf8.DecodeRuneInString(s); return r }

func (p *peopleParser) group(depth int, as asText) Query {
	p.rest = p.rest[1:]
	q := p.alternatives(depth+1, as)
	p.rest = strings.TrimPrefix(p.rest, ")")
	if list, ok := q.(And); ok && len(list) == 0 {
		return nil
	}
	return q
}

// condition reads an operator with its value, or words.
func (p *peopleParser) condition(depth int, as asText) Query {
	if as == nil {
		if name, rest, ok := operatorName(p.rest); ok {
			if q, ok := p.operator(name, rest, depth); ok {
				return q
			}
		}
	}
	value, quoted := p.value()
	if Normalise(value) == "" {
		return nil
	}
	name, after, shaped := strings.Cut(value, ":")
	p.out.Terms = append(p.out.Terms, Understood{
		Value: value, Negated: p.negated, Unknown: !quoted && shaped && name != "" && after != "" && isName(name) && as == nil && !strings.HasPrefix(after, "//"),
	})
	p.out.Text = true
	if as == nil {
		as = anywhere
	}
	return as(value, quoted)
}

// operatorName splits "name:rest".
func operatorName(s string) (name, rest string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i <= 0 || i > 16 || !isName(s[:i]) || i+1 == len(s) || unicode.IsSpace(firstRune(s[i+1:])) || s[i+1] == ')' {
		return "", "", false
	}
	return strings.ToLower(s[:i]), s[i+1:], true
}

func isName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == ""
}

// value reads a word or a quoted text. A quote that nothing closes goes to the end.
func (p *peopleParser) value() (string, bool) {
	if rest, ok := strings.CutPrefix(p.rest, `"`); ok {
		value, after, closed := strings.Cut(rest, `"`)
		p.rest = after
		if !closed {
			p.rest = ""
		}
		return value, true
	}
	end := strings.IndexFunc(p.rest, func(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' })
	switch {
	case end < 0:
		end = len(p.rest)
	case end == 0: // a parenthesis too deep
		end = 1
	}
	value := p.rest[:end]
	p.rest = p.rest[end:]
	return value, false
}

// fieldsOf are the operators whose value is words, or words in parentheses.
var fieldsOf = map[string]Fields{
	"from": InFrom, "to": InPeople, "cc": InCc, "bcc": InBcc, "subject": InSubject, "body": InBody, "text": InAll,
	"filename": InFile, "file": InFile, "attachment": InFile, "list": InList,
	"with": InFrom | InPeople,
}

// operator reads the value of an operator; false where there is no such
// operator, or its value has no sense for it. Nothing is read then.
func (p *peopleParser) operator(name, rest string, depth int) (Query, bool) {
	before := p.rest
	p.rest = rest
	if in, ok := fieldsOf[name]; ok {
		as := func(value string, quoted bool) Query { return textOf(in, value, quoted, fieldMode(in)) }
		if rest[0] == '(' && depth < maxDepth {
			n := len(p.out.Terms)
			q := p.group(depth, as)
			for i := n; i < len(p.out.Terms); i++ {
				p.out.Terms[i].Name = name
			}
			return q, true
		}
		value, quoted := p.value()
		if Normalise(value) == "" {
			p.rest = before
			return nil, false
		}
		p.understood(name, value)
		p.out.Text = true
		return as(value, quoted), true
	}
	value, _ := p.value()
	q := p.plain(name, value)
	if q == nil {
		p.rest = before
		return nil, false
	}
	p.understood(name, value)
	return q, true
}

// fieldMode: of a person's or a file's name people type the beginning.
func fieldMode(in Fields) Mode {
	if in&(InSubject|InBody) != 0 {
		return Words
	}
	return Prefix
}

func (p *peopleParser) understood(name, value string) {
	p.out.Terms = append(p.out.Terms, Understood{Name: name, Value: value, Negated: p.negated})
}

// plain makes the condition of an operator with one value, or nil.
func (p *peopleParser) plain(name, value string) Query {
	switch name {
	case "in", "folder":
		p.out.Place = true
		return inOf(value)
	case "is":
		return isOf(value)
	case "has":
		return hasOf(value)
	case "label", "keyword":
		return Flag{mail.Flag(value)}
	case "larger", "smaller", "size":
		return sizeOf(name, value)
	case "before", "after", "since", "on", "date", "newer", "older", "newer_than", "older_than":
		return p.date(name, value)
	case "thread":
		if id, err := mail.ParseID(strings.ToLower(value)); err == nil {
			return Thread{id}
		}
	case "header":
		return headerOf(value)
	}
	return nil
}

// headerOf reads name, name=value or name:value.
func headerOf(value string) Query {
	i := strings.IndexAny(value, "=:")
	if i < 0 {
		i = len(value)
	}
	name := strings.ToLower(value[:i])
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return nil
	}
	return Header{Name: name, Value: strings.TrimLeft(value[i:], "=:")}
}

var placeNames = map[string]mail.SpecialUse{
	"sent": mail.UseSent, "trash": mail.UseTrash, "deleted": mail.UseTrash, "bin": mail.UseTrash, "drafts": mail.UseDrafts, "draft": mail.UseDrafts,
	"junk": mail.UseJunk, "spam": mail.UseJunk, "archive": mail.UseArchive,
}

// inOf reads a folder: an id, a usual name, or a path.
func inOf(value string) Query {
	switch lower := strings.ToLower(value); lower {
	case "":
		return nil
	case "all", "anywhere":
		return And{}
	default:
		if id, err := mail.ParseID(lower); err == nil {
			return In{Mailbox: id}
		}
		if use, ok := placeNames[lower]; ok {
			return In{Use: use}
		}
	}
	if path := strings.Trim(value, "/"); path != "" {
		return In{Path: path}
	}
	return nil
}

func isOf(value string) Query {
	switch strings.ToLower(value) {
	case "unread", "unseen", "new":
		return Not{Flag{mail.FlagSeen}}
	case "read", "seen":
		return Flag{mail.FlagSeen}
	case "starred", "flagged", "important":
		return Flag{mail.FlagFlagged}
	case "unstarred", "unflagged":
		return Not{Flag{mail.FlagFlagged}}
	case "answered", "replied":
		return Flag{mail.FlagAnswered}
	case "unanswered":
		return Not{Flag{mail.FlagAnswered}}
	case "forwarded":
		return Flag{mail.FlagForwarded}
	case "draft":
		return Flag{mail.FlagDraft}
	case "deleted":
		return Flag{mail.FlagDeleted}
	case "encrypted":
		return Encrypted{}
	}
	return nil
}

func hasOf(value string) Query {
	switch strings.ToLower(value) {
	case "attachment", "attachments", "file":
		return Attached{}
	case "star":
		return Flag{mail.FlagFlagged}
	case "list":
		return Header{Name: "list-id"}
	}
	return nil
}
