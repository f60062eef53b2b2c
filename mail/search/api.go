package search

import (
	"time"

	"github.com/eidermail/eider/mail"
)

// API is WildDuck's structured search: the parameters of GET and POST
// /users/:user/search but q. What is empty or false does not narrow.
type API struct {
	Query, From, To, Subject string
	Or                       struct{ Query, From, To, Subject string }
	Mailbox, Thread          mail.ID
	// UIDs only counts with a mailbox.
	UIDs UIDs
	// DateStart and DateEnd are both included.
	DateStart, DateEnd       time.Time
	MinSize, MaxSize         int64
	Attachments, Flagged     bool
	Seen, Unseen, Searchable bool
}

// ParseUIDs reads WildDuck's id parameter: numbers with commas, or one range.
func ParseUIDs(s string) (UIDs, error) { return parseUIDs(s, 1<<32-1) }

// Tree is the query that the parameters mean. Words are looked for as words;
// people and subjects as parts of them, as WildDuck does.
func (a *API) Tree() Query {
	out := And{}
	add := func(on bool, q Query) {
		if on {
			out = append(out, q)
		}
	}
	searchable := a.Searchable && a.Mailbox.IsZero()
	add(!a.Mailbox.IsZero(), In{Mailbox: a.Mailbox})
	add(!a.Mailbox.IsZero() && len(a.UIDs) > 0, a.UIDs)
	add(!a.Thread.IsZero(), Thread{a.Thread})
	add(a.Query != "", WordsOf(a.Query))
	add(a.From != "", Text{In: InFrom, Value: a.From, Mode: Substring})
	add(a.To != "", Text{In: InTo | InCc, Value: a.To, Mode: Substring})
	add(a.Subject != "", Text{In: InSubject, Value: a.Subject, Mode: Substring})
	add(!a.DateStart.IsZero() || !a.DateEnd.IsZero(), a.dates())
	add(a.MinSize > 0 || a.MaxSize > 0, Size{Min: a.MinSize, Max: a.MaxSize})
	add(a.Attachments, Attached{})
	add(a.Flagged, Flag{mail.FlagFlagged})
	add(a.Unseen, Not{Flag{mail.FlagSeen}})
	add(a.Seen && !a.Unseen, Flag{mail.FlagSeen})
	// WildDuck leaves out what is marked deleted when it looks for words or for
	// (un)seen mail.
	add(searchable, Searchable{})
	add(!searchable && (a.Query != "" || a.Or.Query != "" || a.Seen || a.Unseen), Not{Flag{mail.FlagDeleted}})
	if either := a.either(); len(either) > 0 {
		out = append(out, either)
	}
	return Simplify(out)
}

func (a *API) dates() Date {
	d := Date{From: a.DateStart}
	if !a.DateEnd.IsZero() {
		d.To = a.DateEnd.Add(time.Millisecond)
	}
	return d
}

func (a *API) either() Or {
	var out Or
	if a.Or.Query != "" {
		out = append(out, WordsOf(a.Or.Query))
	}
	for _, f := range []struct {
		in    Fields
		value string
	}{{InFrom, a.Or.From}, {InTo | InCc, a.Or.To}, {InSubject, a.Or.Subject}} {
		if f.value != "" {
			out = append(out, Text{In: f.in, Value: f.value, Mode: Substring})
		}
	}
	return out
}

// WordsOf reads words, quoted phrases and minus signs without operators.
func WordsOf(s string) Query {
	p := &peopleParser{rest: s}
	out := And{}
	for p.space(); p.rest != ""; p.space() {
		negated := len(p.rest) > 1 && p.rest[0] == '-' && p.rest[1] != ' '
		if negated {
			p.rest = p.rest[1:]
		}
		value, quoted := p.value()
		if Normalise(value) == "" {
			continue
		}
		q := anywhere(value, quoted)
		if negated {
			q = Not{q}
		}
		out = append(out, q)
	}
	return Simplify(out)
}
