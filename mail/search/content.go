package search

import (
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// Content is what a message says: the part of it that never changes.
type Content struct {
	// Texts has each field's text, by its place in Fields.
	Texts [numFields]string
	// Headers are the root's fields: names lower case, values decoded.
	Headers []message.HeaderField
	// Attached: it has attachments. Encrypted: only its reader's key opens it, so
	// it has no body here.
	Attached, Encrypted bool
}

// Item is a whole message for Match.
type Item struct {
	Content
	ID, Mailbox, Thread mail.ID
	Use                 mail.SpecialUse
	Path                string
	UID                 mail.UID
	ModSeq              mail.ModSeq
	Flags               []mail.Flag
	// Internal is the internal date, Sent the Date header.
	Internal, Sent time.Time
	Size           int64
}

// Set puts the text of one field.
func (c *Content) Set(f Fields, text string) {
	for i := range numFields {
		if f == 1<<i {
			c.Texts[i] = text
		}
	}
}

// Get is the text of one field.
func (c *Content) Get(f Fields) string {
	for i := range numFields {
		if f == 1<<i {
			return c.Texts[i]
		}
	}
	return ""
}

// Tri is a truth value of which something may be missing.
type Tri int8

// The truth values.
const (
	No    Tri = -1
	Maybe Tri = 0
	Yes   Tri = 1
)

// Truth is a Tri of what is known.
func Truth(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// Eval combines what leaf says of the conditions, by Kleene's rules.
func Eval(q Query, leaf func(Query) Tri) Tri {
	switch q := q.(type) {
	case And:
		out := Yes
		for _, k := range q {
			if out = min(out, Eval(k, leaf)); out == No {
				return No
			}
		}
		return out
	case Or:
		out := No
		for _, k := range q {
			if out = max(out, Eval(k, leaf)); out == Yes {
				return Yes
			}
		}
		return out
	case Not:
		return -Eval(q.Query, leaf)
	}
	return leaf(q)
}

// Match tells whether the message is one that the query asks for. It is the
// meaning of a query; an index is only a faster way to the same answer.
func Match(q Query, it *Item) bool {
	t := &Texts{Content: &it.Content}
	return Eval(q, func(k Query) Tri {
		if v := it.state(k); v != Maybe {
			return v
		}
		return Truth(t.Match(k))
	}) == Yes
}

// state answers the conditions that need no text.
func (it *Item) state(q Query) Tri {
	switch q := q.(type) {
	case Flag:
		return Truth(mail.HasFlag(it.Flags, q.Flag))
	case Date:
		at := it.Internal
		if q.Sent {
			at = it.Sent
		}
		return Truth((q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To)))
	case Size:
		return Truth(it.Size >= q.Min && (q.Max == 0 || it.Size <= q.Max))
	case In:
		return Truth(q.holds(it))
	case UIDs:
		return Truth(slices.ContainsFunc(q, func(r Range) bool { return it.UID >= r.First && it.UID <= r.Last }))
	case Thread:
		return Truth(q.ID == it.Thread)
	case Message:
		return Truth(q.ID == it.ID)
	case ModSeq:
		return Truth(it.ModSeq >= q.Min)
	case Searchable:
		return Truth(it.Use != mail.UseTrash && it.Use != mail.UseJunk && !mail.HasFlag(it.Flags, mail.FlagDeleted))
	}
	return Maybe
}

// State answers what needs no text, and Maybe for the rest.
func (it *Item) State(q Query) Tri { return it.state(q) }

func (q In) holds(it *Item) bool {
	switch {
	case !q.Mailbox.IsZero():
		return q.Mailbox == it.Mailbox
	case q.Use != mail.UseNone:
		return q.Use == it.Use
	}
	return q.Path != "" && SamePath(q.Path, it.Path)
}

// SamePath compares mailbox paths as people type them: in any case, with or
// without a slash at the ends.
func SamePath(a, b string) bool {
	return strings.EqualFold(strings.Trim(a, "/"), strings.Trim(b, "/"))
}

// Texts answers conditions on texts. It keeps what it has prepared of them.
type Texts struct {
	*Content
	words [numFields]normal
	chars [numFields]string
	done  [2]Fields
}

// Match tells whether the content meets a Text, Header, Attached or Encrypted
// condition; others it does not know, and says false.
func (t *Texts) Match(q Query) bool {
	switch q := q.(type) {
	case Attached:
		return t.Attached
	case Encrypted:
		return t.Encrypted
	case Header:
		return t.header(q)
	case Text:
		return t.text(q)
	}
	return false
}

func (t *Texts) text(q Text) bool {
	needle := Chars(q.Value)
	if q.Mode != Substring {
		needle = Normalise(q.Value)
	}
	if needle == "" {
		return true
	}
	for i := range numFields {
		bit := Fields(1) << i
		if q.In&bit == 0 || t.Texts[i] == "" {
			continue
		}
		if q.Mode == Substring {
			if strings.Contains(t.charsOf(i, bit), needle) {
				return true
			}
			continue
		}
		if t.done[0]&bit == 0 {
			t.words[i] = normalise(t.Texts[i], false)
			t.done[0] |= bit
		}
		if t.words[i].find([]byte(needle), q.Mode == Prefix, 0) >= 0 {
			return true
		}
	}
	return false
}

func (t *Texts) charsOf(i int, bit Fields) string {
	if t.done[1]&bit == 0 {
		t.chars[i] = Chars(t.Texts[i])
		t.done[1] |= bit
	}
	return t.chars[i]
}

func (t *Texts) header(q Header) bool {
	value := Chars(q.Value)
	for i := range t.Headers {
		h := &t.Headers[i]
		named := strings.EqualFold(h.Key, q.Name) || (q.Name == AnyHeader && !isNoisy(strings.ToLower(h.Key)))
		if named && (value == "" || strings.Contains(Chars(h.Value), value)) {
			return true
		}
	}
	return false
}

// Chars is a text as Substring compares it: folded, white space as one blank.
func Chars(s string) string { return strings.Join(strings.Fields(Fold(s)), " ") }
