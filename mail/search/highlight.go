package search

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Span is bytes of a text, From included and To not.
type Span struct{ From, To int }

// maxSpans bounds the marks in one text.
const maxSpans = 64

// Highlights tells where a text has what the query looks for in one of the
// fields: sorted, without overlaps, on whole characters.
func Highlights(q Query, in Fields, s string) []Span {
	n := normalise(s, true)
	var out []Span
	Walk(q, func(k Query, negated bool) {
		t, ok := k.(Text)
		if !ok || negated || t.In&in == 0 {
			return
		}
		out = append(out, n.spans(t, s)...)
	})
	slices.SortFunc(out, func(a, b Span) int { return a.From - b.From })
	return joined(out)
}

func joined(spans []Span) []Span {
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out[:min(len(out), maxSpans)]
}

// spans finds every place of what a Text looks for. A part of a word is found as
// such, even where the words around it are whole.
func (n normal) spans(t Text, s string) (out []Span) {
	phrase := []byte(Normalise(t.Value))
	for from := 0; len(out) < maxSpans; {
		i := n.findMode(phrase, t.Mode, from)
		if i < 0 {
			return out
		}
		end := i + len(phrase)
		if t.Mode == Prefix {
			end = n.wordEnd(end)
		}
		out = append(out, Span{int(n.at[i]), n.sourceEnd(end-1, s)})
		from = end
	}
	return out
}

func (n normal) findMode(phrase []byte, mode Mode, from int) int {
	if mode != Substring {
		return n.find(phrase, mode == Prefix, from)
	}
	if len(phrase) == 0 || from >= len(n.b) {
		return -1
	}
	i := strings.Index(string(n.b[from:]), string(phrase))
	if i < 0 {
		return -1
	}
	return from + i
}

// wordEnd is where the word ends that goes on at i.
func (n normal) wordEnd(i int) int {
	for i < len(n.b) {
		c, size := classAt(n.b, i)
		if c != word {
			break
		}
		i += size
	}
	return i
}

// sourceEnd is where the character of s ends that folded byte i came from, with
// the marks that belong to it.
func (n normal) sourceEnd(i int, s string) int {
	_, size := utf8.DecodeRuneInString(s[n.at[i]:])
	end := int(n.at[i]) + size
	for end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if f := foldRune(r); f.text != "" && !f.mark {
			break
		}
		end += size
	}
	return end
}
