package search

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/eidermail/eider/mail/message"
)

// A term of the index is a token, a mark and the place where the token stood.
// Places are the fields' letters and the ones below.
const (
	placeMark = '\x01'
	firstText = 'A'
	// placeName is a header's name, placeHeader a word of a header's value,
	// placeID the Message-ID, placeState what is no text.
	placeName, placeHeader, placeID, placeState = 'K', 'L', 'M', 'N'
)

// The terms of placeState.
const (
	stateAttached  = "attached"
	stateCut       = "cut"
	stateEncrypted = "encrypted"
)

// MaxTerms bounds the terms of one message. Beyond it words are left out; the
// message then counts as one with cut words.
const MaxTerms = 200_000

// noisy headers hold keys, signatures and traces: only their names are indexed,
// and what a search asks of them is looked up in the message.
var noisy = []string{
	"received", "dkim-signature", "authentication-results", "received-spf", "references", "in-reply-to", "date", "message-id",
	"x-google-dkim-signature", "x-gm-message-state", "x-received", "x-google-smtp-source", "return-path", "mime-version",
	"x-ms-exchange-antispam-messagedata", "x-microsoft-antispam-message-info", "x-spam-status", "domainkey-signature", "face", "x-face",
	"autocrypt", "openpgp", "x-forefront-antispam-report", "thread-index", "x-ms-exchange-crosstenant-id", "content-type",
}

// own headers have fields of their own.
var own = map[string]Fields{"from": InFrom, "to": InTo, "cc": InCc, "bcc": InBcc, "subject": InSubject, "list-id": InList}

func isNoisy(name string) bool {
	return slices.Contains(noisy, name) || strings.HasPrefix(name, "arc-") || strings.HasPrefix(name, "x-ms-exchange-")
}

// Analyser makes the terms of messages. It keeps buffers, so it is for one
// goroutine.
type Analyser struct {
	tokens Tokens
	term   []byte
	seen   map[string]struct{}
	pairs  pairSet
}

// Terms gives a content's terms, sorted, each once.
func (a *Analyser) Terms(c *Content) []string {
	if a.seen == nil || len(a.seen) > 10_000 {
		a.seen = make(map[string]struct{}, 1024)
	}
	clear(a.seen)
	a.tokens.Cut = false
	for i, text := range c.Texts {
		a.tokens.pairs = &pairing{found: a.pairs.add}
		a.text(text, byte(firstText+i))
	}
	a.tokens.pairs = nil
	for i := range c.Headers {
		a.header(&c.Headers[i])
	}
	a.state(stateCut, a.tokens.Cut || len(a.seen) >= MaxTerms)
	a.state(stateAttached, c.Attached)
	a.state(stateEncrypted, c.Encrypted)
	out := make([]string, 0, len(a.seen))
	for t := range a.seen {
		out = append(out, t)
	}
	slices.Sort(out)
	return a.pairs.terms(out)
}

func (a *Analyser) state(name string, on bool) {
	if on {
		a.seen[MakeTerm(name, placeState)] = struct{}{}
	}
}

func (a *Analyser) text(s string, place byte) {
	a.tokens.Each(s, func(token []byte) { a.add(token, place) })
}

func (a *Analyser) add(token []byte, place byte) {
	a.term = append(append(a.term[:0], token...), placeMark, place)
	if _, ok := a.seen[string(a.term)]; !ok && len(a.seen) < MaxTerms {
		a.seen[string(a.term)] = struct{}{}
	}
}

func (a *Analyser) header(h *message.HeaderField) {
	name := strings.ToLower(h.Key)
	if len(name) > MaxToken {
		name = name[:MaxToken]
	}
	a.add([]byte(name), placeName)
	if name == "message-id" {
		a.add([]byte(messageIDToken(h.Value)), placeID)
	}
	if _, ok := own[name]; !ok && !isNoisy(name) {
		a.text(h.Value, placeHeader)
	}
}

// messageIDToken is the identifier as one token; a long one is cut.
func messageIDToken(s string) string {
	b := []byte(strings.Trim(Chars(s), "<> "))
	if len(b) > maxWhole {
		b = wholeRunes(b[:maxWhole])
	}
	return string(b)
}

// Kind says which tokens a Term stands for.
type Kind uint8

// The kinds.
const (
	// Exactly the token; those that Begin with it; those that End with it or
	// Contain it, which a scan of the index's words finds.
	Exactly Kind = iota
	Begin
	End
	Contain
)

// Term is a word to look up in an index.
type Term struct {
	Token string
	Kind  Kind
}

// Lookup is what an index has to find for one condition.
type Lookup struct {
	// Places are the letters behind a term's mark.
	Places string
	// All must be there, each in one of the places, for the condition to hold.
	All []Term
	// Exact: if they are, it holds.
	Exact bool
	// Pairs must be in PairPlaces as well, in an index that has them.
	Pairs []Pair
	// Proof, if not empty, is a token that by itself makes the condition hold.
	Proof string
	// OrCut: messages with cut words have to be looked at as well.
	OrCut bool
	// repeated: a word stands in it twice, which All does not say.
	repeated bool
}

// What an index needs to know of the form of terms.
const (
	// TermMark stands behind the token of a term, AfterMark is the next character.
	TermMark  = string(placeMark)
	AfterMark = string(placeMark + 1)
	// CutToken marks, in StatePlaces, messages with words longer than tokens are.
	CutToken    = stateCut
	StatePlaces = string(placeState)
)

// MakeTerm writes a term.
func MakeTerm(token string, place byte) string { return token + string([]byte{placeMark, place}) }

// SplitTerm is the token and the place of a term.
func SplitTerm(term []byte) (token []byte, place byte) {
	if len(term) < 2 {
		return nil, 0
	}
	return term[:len(term)-2], term[len(term)-1]
}

// LookupOf gives what to look up for a condition; false for one that the content
// does not decide.
func LookupOf(q Query) (Lookup, bool) {
	switch q := q.(type) {
	case Text:
		l := lookupText(q.Value, q.Mode)
		for i := range numFields {
			if q.In&(1<<i) != 0 {
				l.Places += string(rune(firstText + i))
			}
		}
		return l, true
	case Header:
		return lookupHeader(q), true
	case Encrypted:
		return lookupState(stateEncrypted), true
	case Attached:
		return lookupState(stateAttached), true
	}
	return Lookup{}, false
}

func lookupState(name string) Lookup {
	return Lookup{Places: string(rune(placeState)), All: []Term{{Token: name}}, Exact: true}
}

func lookupHeader(q Header) Lookup {
	name := strings.ToLower(q.Name)
	if len(name) > MaxToken {
		name = name[:MaxToken]
	}
	field, hasOwn := own[name]
	switch {
	case q.Name == AnyHeader:
		return lookupAnyHeader(q.Value)
	case Chars(q.Value) == "" || (isNoisy(name) && name != "message-id"):
		return Lookup{Places: string(rune(placeName)), All: []Term{{Token: name}}, Exact: Chars(q.Value) == "" && len(name) < MaxToken}
	case name == "message-id":
		id := messageIDToken(q.Value)
		l := Lookup{Places: string(rune(placeID)), All: []Term{{Token: id, Kind: Contain}}}
		if strings.HasPrefix(strings.TrimSpace(q.Value), "<") && strings.HasSuffix(strings.TrimSpace(q.Value), ">") {
			l.All[0].Kind = Exactly
		}
		return l
	case hasOwn:
		l, _ := LookupOf(Text{In: field, Value: q.Value, Mode: Substring})
		l.Exact, l.Proof, l.Pairs = false, "", nil
		return l
	}
	l := lookupText(q.Value, Substring)
	l.Places, l.Exact, l.Proof, l.Pairs = string(rune(placeHeader)), false, "", nil
	return l
}

func lookupAnyHeader(value string) Lookup {
	l := lookupText(value, Substring)
	l.Exact, l.Pairs = false, nil // no pairs of header values are kept
	l.Places = string(rune(placeHeader))
	for i := range numFields {
		if bit := Fields(1) << i; bit != InBody && bit != InFile {
			l.Places += string(rune(firstText + i))
		}
	}
	return l
}

// lookupText analyses what is looked for. A phrase needs all its words; whether
// they stand together only the text can tell.
func lookupText(value string, mode Mode) (l Lookup) {
	b := []byte(Chars(value))
	last := len(b)
	if mode != Substring {
		last = wordsEnd(b)
	}
	for i := 0; i < len(b); {
		c, size := classAt(b, i)
		if c == separator {
			i += size
			continue
		}
		end := runEnd(b, i, c)
		l.run(b[i:end], c, mode, i == 0, end == last)
		i = end
	}
	if len(l.All) > 1 || l.repeated {
		l.pairs(b, last, mode == Substring, mode != Words)
	}
	switch {
	case len(l.All) == 0:
		l.Exact = mode != Substring || len(b) == 0
	case mode == Substring:
		l.Exact = false
	default:
		l.Exact = len(l.All) == 1 && !l.repeated && len(l.All[0].Token) < MaxToken-utf8.UTFMax
		l.Proof = proof(b)
	}
	return l
}

// wordsEnd is where the last word of folded text ends.
func wordsEnd(b []byte) int {
	end := 0
	for i := 0; i < len(b); {
		c, size := classAt(b, i)
		if i += size; c != separator {
			end = i
		}
	}
	return end
}

// proof is the value itself where it is an address or a host name.
func proof(b []byte) string {
	var t Tokens
	out := ""
	t.scan(b, func(token []byte) {
		if len(token) == len(b) && strings.ContainsAny(string(token), ".@") {
			out = string(token)
		}
	})
	return out
}

// run adds the terms of one run. A substring may begin or end inside a word.
func (l *Lookup) run(b []byte, c class, mode Mode, opens, closes bool) {
	if c != word {
		l.grams(b, gramSize(c))
		return
	}
	t := Term{Token: string(b)}
	long := len(b) >= MaxToken-utf8.UTFMax
	switch {
	case mode == Substring && opens && closes:
		t.Kind = Contain
	case mode == Substring && opens:
		t.Kind = End
	case (mode == Substring || mode == Prefix) && closes:
		t.Kind = Begin
	}
	switch {
	case t.Kind == Contain || t.Kind == End:
		l.OrCut = true
		if long {
			// Only a message with cut words can have it.
			t.Token, t.Kind = string(wholeRunes(b[:MaxToken-utf8.UTFMax])), Contain
		}
	case long:
		t.Token, t.Kind = string(wholeRunes(b[:MaxToken-utf8.UTFMax])), Begin
	}
	l.All = append(l.All, t)
}

func (l *Lookup) grams(b []byte, n int) {
	if utf8.RuneCount(b) < n {
		l.All = append(l.All, Term{Token: string(b), Kind: Begin})
		return
	}
	grams(b, n, func(g []byte) {
		t := Term{Token: string(g)}
		switch {
		case utf8.RuneCount(g) < n:
		case slices.Contains(l.All, t):
			l.repeated = true
		default:
			l.All = append(l.All, t)
		}
	})
}
