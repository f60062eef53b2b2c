package search

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
)

// Arg is one argument of SEARCH as the tokenizer read it: an atom, a string
// (quoted or literal, converted to UTF-8 by whoever knows the CHARSET), or a
// list in parentheses.
type Arg struct {
	Text string
	// Atom tells atoms from strings: only an atom can be a search key.
	Atom bool
	List []Arg
}

// IMAP says how SEARCH keys are read.
type IMAP struct {
	// Now is for YOUNGER and OLDER, the zero value for the present.
	Now time.Time
	// Sequence gives the UIDs of a sequence set, which only the session knows.
	// nil refuses sequence numbers.
	Sequence func(set string) (UIDs, error)
	// Saved is the result that $ stands for (RFC 9051 6.4.4.1); nil refuses $.
	Saved *UIDs
	// Last is the highest UID, which * means.
	Last mail.UID
}

// ErrKey says that the client's SEARCH key cannot be understood (a BAD answer).
var ErrKey = errors.New("search: bad search key")

// errMore says that a key lacks its argument.
var errMore = fmt.Errorf("%w: argument missing", ErrKey)

const maxKeys = 2000

// Parse reads SEARCH keys (RFC 9051 6.4.4, with NEW, OLD and RECENT of RFC 3501,
// YOUNGER and OLDER of RFC 5032, MODSEQ of RFC 7162, EMAILID and THREADID of RFC
// 8474). Keys that stand beside each other must all hold. The error wraps ErrKey
// or is Sequence's.
func (o IMAP) Parse(args []Arg) (Query, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	p := &imapParser{IMAP: o, args: args, left: maxKeys}
	q, err := p.all(0)
	if err != nil {
		return nil, err
	}
	return Simplify(q), nil
}

type imapParser struct {
	IMAP
	args []Arg
	left int
}

func (p *imapParser) all(depth int) (Query, error) {
	if len(p.args) == 0 {
		return nil, errMore
	}
	out := And{}
	for len(p.args) > 0 {
		q, err := p.key(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}

func (p *imapParser) key(depth int) (Query, error) {
	if p.left--; p.left < 0 || depth > maxDepth*4 {
		return nil, fmt.Errorf("%w: too many", ErrKey)
	}
	if len(p.args) == 0 {
		return nil, errMore
	}
	a := p.args[0]
	p.args = p.args[1:]
	switch {
	case a.List != nil:
		rest := p.args
		p.args = a.List
		q, err := p.all(depth + 1)
		p.args = rest
		return q, err
	case !a.Atom:
		return nil, fmt.Errorf("%w: a string is no key", ErrKey)
	case a.Text == "$":
		if p.Saved == nil {
			return nil, fmt.Errorf("%w: nothing saved", ErrKey)
		}
		return *p.Saved, nil
	case a.Text != "" && (a.Text[0] == '*' || (a.Text[0] >= '0' && a.Text[0] <= '9')):
		if p.Sequence == nil {
			return nil, fmt.Errorf("%w: no sequence numbers here", ErrKey)
		}
		return p.Sequence(a.Text)
	}
	return p.named(strings.ToUpper(a.Text), depth)
}

// flagKeys are keys for one flag; UN and NOT are made of them.
var flagKeys = map[string]mail.Flag{
	"ANSWERED": mail.FlagAnswered, "DELETED": mail.FlagDeleted, "DRAFT": mail.FlagDraft, "FLAGGED": mail.FlagFlagged, "SEEN": mail.FlagSeen,
	"RECENT": `\Recent`,
}

var textKeys = map[string]Fields{
	"BCC": InBcc, "BODY": InBody, "CC": InCc, "FROM": InFrom, "SUBJECT": InSubject, "TO": InTo,
}

func (p *imapParser) named(name string, depth int) (Query, error) {
	if f, ok := flagKeys[name]; ok {
		return Flag{f}, nil
	}
	if f, ok := flagKeys[strings.TrimPrefix(name, "UN")]; ok && f != `\Recent` {
		return Not{Flag{f}}, nil
	}
	if in, ok := textKeys[name]; ok {
		value, err := p.string()
		return Text{In: in, Value: value, Mode: Substring}, err
	}
	switch name {
	case "ALL":
		return And{}, nil
	case "NEW":
		return And{Flag{`\Recent`}, Not{Flag{mail.FlagSeen}}}, nil
	case "OLD":
		return Not{Flag{`\Recent`}}, nil
	case "NOT":
		q, err := p.key(depth + 1)
		return Not{q}, err
	case "OR":
		return p.or(depth)
	case "TEXT":
		return p.anyText()
	case "HEADER":
		return p.header()
	case "KEYWORD", "UNKEYWORD":
		return p.keyword(name)
	case "UID":
		return p.uids()
	case "LARGER", "SMALLER", "YOUNGER", "OLDER", "MODSEQ":
		return p.number(name)
	case "EMAILID", "THREADID":
		return p.id(name)
	}
	return p.day(name)
}

func (p *imapParser) string() (string, error) {
	if len(p.args) == 0 || p.args[0].List != nil {
		return "", errMore
	}
	s := p.args[0].Text
	p.args = p.args[1:]
	return s, nil
}

func (p *imapParser) or(depth int) (Query, error) {
	a, err := p.key(depth + 1)
	if err != nil {
		return nil, err
	}
	b, err := p.key(depth + 1)
	return Or{a, b}, err
}

// anyText: RFC 9051 6.4.4: TEXT is the header or the body.
func (p *imapParser) anyText() (Query, error) {
	value, err := p.string()
	return Or{Text{In: InAll, Value: value, Mode: Substring}, Header{Name: AnyHeader, Value: value}}, err
}

func (p *imapParser) header() (Query, error) {
	name, err := p.string()
	if err != nil {
		return nil, err
	}
	value, err := p.string()
	return Header{Name: strings.ToLower(name), Value: value}, err
}

func (p *imapParser) keyword(name string) (Query, error) {
	s, err := p.string()
	if name == "KEYWORD" {
		return Flag{mail.Flag(s)}, err
	}
	return Not{Flag{mail.Flag(s)}}, err
}

func (p *imapParser) uids() (Query, error) {
	s, err := p.string()
	if err != nil {
		return nil, err
	}
	if s == "$" && p.Saved != nil {
		return *p.Saved, nil
	}
	return parseUIDs(s, p.Last)
}

// ParseUIDs reads a UID set (RFC 9051 sequence-set): 1,3:5,7:*.
func parseUIDs(s string, last mail.UID) (UIDs, error) {
	var out UIDs
	for part := range strings.SplitSeq(s, ",") {
		a, b, isRange := strings.Cut(part, ":")
		from, err := uidOf(a, last)
		if err != nil {
			return nil, err
		}
		to := from
		if isRange {
			if to, err = uidOf(b, last); err != nil {
				return nil, err
			}
		}
		out = append(out, Range{min(from, to), max(from, to)})
	}
	return out, nil
}

func uidOf(s string, last mail.UID) (mail.UID, error) {
	if s == "*" {
		return last, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: %q is no UID", ErrKey, s)
	}
	return mail.UID(n), nil
}

func (p *imapParser) number(name string) (Query, error) {
	s, err := p.string()
	if err != nil {
		return nil, err
	}
	if name == "MODSEQ" && strings.HasPrefix(s, "/flags/") {
		// RFC 7162 3.1.5: entry name and type; one mod-sequence stands for all.
		if _, err = p.string(); err == nil {
			s, err = p.string()
		}
	}
	n, bad := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return nil, err
	case bad != nil || n < 0:
		return nil, fmt.Errorf("%w: %q is no number", ErrKey, s)
	}
	switch name {
	case "LARGER":
		return Size{Min: min(n, math.MaxInt64-1) + 1}, nil
	case "SMALLER":
		if n <= 1 {
			return Or{}, nil
		}
		return Size{Max: n - 1}, nil
	case "MODSEQ":
		return ModSeq{mail.ModSeq(n)}, nil
	}
	// RFC 5032: the interval is seconds, at least one.
	if n == 0 || n > 1<<32 {
		return nil, fmt.Errorf("%w: bad interval", ErrKey)
	}
	at := p.Now.Add(-time.Duration(n) * time.Second)
	if name == "YOUNGER" {
		return Date{From: at}, nil
	}
	return Date{To: at.Add(time.Nanosecond)}, nil
}

func (p *imapParser) id(name string) (Query, error) {
	s, err := p.string()
	if err != nil {
		return nil, err
	}
	id, err := mail.ParseID(strings.ToLower(s))
	switch {
	case err != nil:
		return Or{}, nil //nolint:nilerr // RFC 8474 5.2: an id that no message has is no error
	case name == "THREADID":
		return Thread{id}, nil
	}
	return Message{id}, nil
}

// day reads the date keys. RFC 9051 6.4.4: they disregard time and zone; the day
// is UTC's, as in WildDuck.
func (p *imapParser) day(name string) (Query, error) {
	key, sent := strings.CutPrefix(name, "SENT")
	if key != "BEFORE" && key != "ON" && key != "SINCE" {
		return nil, fmt.Errorf("%w: %s", ErrKey, name)
	}
	s, err := p.string()
	if err != nil {
		return nil, err
	}
	t, bad := time.Parse("2-Jan-2006", s)
	if bad != nil {
		return nil, fmt.Errorf("%w: %q is no date", ErrKey, s)
	}
	switch key {
	case "BEFORE":
		return Date{Sent: sent, To: t}, nil
	case "SINCE":
		return Date{Sent: sent, From: t}, nil
	}
	return Date{Sent: sent, From: t, To: t.AddDate(0, 0, 1)}, nil
}
