// Package search holds what a search asks for: one query tree for people's
// search box, the API and IMAP SEARCH (RFC 9051 6.4.4), and the analysis of
// text that decides which words match, in any script. It does no I/O: mail/store
// answers a query from its index and asks Match about the rest.
package search

import (
	"time"

	"github.com/eidermail/eider/mail"
)

// Query is one condition or a combination of them. The set is closed: And, Or,
// Not, Text, Header, Flag, Date, Size, Attached, In, UIDs, Thread, Message,
// ModSeq, Encrypted and Searchable.
type Query interface{ query() }

type (
	// And holds when all hold; the empty one always does.
	And []Query
	// Or holds when one does; the empty one never does.
	Or []Query
	// Not holds when the other does not.
	Not struct{ Query Query }

	// Text holds when one of the fields has the words.
	Text struct {
		In    Fields
		Value string
		Mode  Mode
	}
	// Header holds when the message has a header field of this name (lower case,
	// or AnyHeader) whose value contains Value; "" asks for the field alone.
	Header struct{ Name, Value string }
	// Flag holds when the flag is set.
	Flag struct{ Flag mail.Flag }
	// Date holds from From on and before To; a zero time does not bound.
	Date struct {
		// Sent asks for the Date header in place of the internal date.
		Sent     bool
		From, To time.Time
	}
	// Size holds for a size of at least Min and at most Max bytes; a Max of 0
	// does not bound.
	Size struct{ Min, Max int64 }
	// Attached holds for a message with attachments.
	Attached struct{}
	// In holds for a message in the mailbox; Mailbox wins over Use, and Use over
	// Path. What names no mailbox holds for nothing.
	In struct {
		Mailbox mail.ID
		Use     mail.SpecialUse
		Path    string
	}
	// UIDs holds for UIDs in one of the ranges.
	UIDs []Range
	// Thread and Message hold for the ids.
	Thread struct{ ID mail.ID }
	// Message is one stored message.
	Message struct{ ID mail.ID }
	// ModSeq holds for mod-sequences of at least Min (RFC 7162 3.1.5).
	ModSeq struct{ Min mail.ModSeq }
	// Encrypted holds for a message that only its reader's key opens.
	Encrypted struct{}
	// Searchable holds outside of Trash and Junk and without \Deleted, as in
	// WildDuck.
	Searchable struct{}
)

// AnyHeader is the name that stands for all but traces, signatures and
// identifiers, which no index holds.
const AnyHeader = "*"

// Range is UIDs from First to Last, both included.
type Range struct{ First, Last mail.UID }

// Fields is a set of the texts of a message.
type Fields uint16

// The fields.
const (
	InFrom Fields = 1 << iota
	InTo
	InCc
	InBcc
	InSubject
	InBody
	// InFile is names and types of attachments.
	InFile
	// InList is the List-Id.
	InList

	numFields = 8
	// InAll is every field but Bcc, which only its sender's copy has; it is one
	// of them too.
	InAll Fields = 1<<numFields - 1
	// InPeople is who a message went to.
	InPeople = InTo | InCc | InBcc
)

// Mode says how a Text is looked for.
type Mode uint8

// The modes.
const (
	// Words asks for the words one after the other, whole.
	Words Mode = iota
	// Prefix is Words, but the last word may go on.
	Prefix
	// Substring asks for the characters, as IMAP does (RFC 9051 6.4.4), in any
	// case and with or without accents.
	Substring
)

func (And) query()        {}
func (Or) query()         {}
func (Not) query()        {}
func (Text) query()       {}
func (Header) query()     {}
func (Flag) query()       {}
func (Date) query()       {}
func (Size) query()       {}
func (Attached) query()   {}
func (In) query()         {}
func (UIDs) query()       {}
func (Thread) query()     {}
func (Message) query()    {}
func (ModSeq) query()     {}
func (Encrypted) query()  {}
func (Searchable) query() {}

// Walk calls f for every condition, and for those below And, Or and Not.
// negated tells whether an odd number of Not stands above.
func Walk(q Query, f func(q Query, negated bool)) { walk(q, false, f) }

func walk(q Query, negated bool, f func(Query, bool)) {
	f(q, negated)
	switch q := q.(type) {
	case And:
		for _, k := range q {
			walk(k, negated, f)
		}
	case Or:
		for _, k := range q {
			walk(k, negated, f)
		}
	case Not:
		walk(q.Query, !negated, f)
	}
}

// Simplify flattens nested And and Or and takes away what says nothing. The
// meaning stays.
func Simplify(q Query) Query {
	switch q := q.(type) {
	case And:
		return simplifyList(q, func(k Query) ([]Query, bool) { n, ok := k.(And); return n, ok }, func(l []Query) Query { return And(l) })
	case Or:
		return simplifyList(q, func(k Query) ([]Query, bool) { n, ok := k.(Or); return n, ok }, func(l []Query) Query { return Or(l) })
	case Not:
		inner := Simplify(q.Query)
		if n, ok := inner.(Not); ok {
			return n.Query
		}
		return Not{inner}
	}
	return q
}

func simplifyList(list []Query, same func(Query) ([]Query, bool), build func([]Query) Query) Query {
	out := make([]Query, 0, len(list))
	for _, k := range list {
		k = Simplify(k)
		if more, ok := same(k); ok {
			out = append(out, more...)
			continue
		}
		out = append(out, k)
	}
	if len(out) == 1 {
		return out[0]
	}
	return build(out)
}
