package search

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

func sample() *Item {
	it := &Item{Internal: day(5), Sent: day(4), Size: 1000, Flags: []mail.Flag{mail.FlagSeen, "Work"}, UID: 7, ModSeq: 9, Path: "Work/2026"}
	it.Attached = true
	it.Set(InFrom, "Ann Smith <ann.smith@mail.example.org>")
	it.Set(InTo, "Боб <bob@example.com>")
	it.Set(InSubject, "Re: Quarterly report – final")
	it.Set(InBody, "Dear Bob,\nthe crème brûlée is ready. 北京大学图书馆 σας περιμένει. ภาษาไทย Ёлка!")
	it.Set(InFile, "Budget_2026.xlsx application/vnd.ms-excel")
	it.Set(InList, "Go Nuts <golang-nuts.googlegroups.com>")
	it.Headers = []message.HeaderField{{Key: "X-Mailer", Value: "Mutt 2.2"}, {Key: "message-id", Value: "<Abc.1@x.example>"}, {Key: "Received", Value: "from secret"}}
	return it
}

func TestMatch(t *testing.T) {
	it := sample()
	for _, c := range []struct {
		query string
		want  bool
	}{
		{"creme", true},
		{"brulee ready", true},
		{`"brulee ready"`, false},
		{`"brulee is ready"`, true},
		{"brul", false},
		{"brul*", true},
		{"елка", true},
		{"大学", true},
		{"大", true},
		{"学大", false},
		{"북", false},
		{"ΠΕΡΙΜΕΝΕΙ", true},
		{"ไทย", true},
		{"ษา", true},
		{"from:ann", true},
		{"from:smith", true},
		{"from:mith", false},
		{"from:ann.smith@mail.example.org", true},
		{"from:example.org", true},
		{"to:боб", true},
		{"subject:report", true},
		{"subject:creme", false},
		{"subject:(final draft)", false},
		{"subject:(final OR draft)", true},
		{"filename:budget", true},
		{"filename:xlsx", true},
		{"list:golang-nuts", true},
		{"has:list", false},
		{"header:x-mailer", true},
		{"header:x-mailer=mutt", true},
		{"header:x-mailer=pine", false},
		{"header:received=secret", true},
		{"is:read", true},
		{"is:unread", false},
		{"label:work", true},
		{"in:work/2026", true},
		{"in:work", false},
		{"has:attachment", true},
		{"larger:999", true},
		{"larger:1000", false},
		{"smaller:1001", true},
		{"before:2026-03-06", true},
		{"before:2026-03-05", false},
		{"on:2026-03-05", true},
		{"-creme", false},
		{"-nothing", true},
		{"creme OR nothing", true},
		{"is:encrypted", false},
		{"!!", true},
	} {
		if got := Match(people(c.query).Query, it); got != c.want {
			t.Errorf("%s: %v", c.query, got)
		}
	}
}

func TestMatchSubstrings(t *testing.T) {
	it := sample()
	for _, c := range []struct {
		key  string
		want bool
	}{
		{`FROM "smith@mail"`, true},
		{`FROM "ITH@MA"`, true},
		{`FROM "smith mail"`, false},
		{`SUBJECT "rterly rep"`, true},
		{`BODY "is ready. 北"`, true},
		{`BODY "京大"`, true},
		{`TEXT "mutt"`, true},
		{`TEXT "secret"`, false},
		{`HEADER received secr`, true},
		{`HEADER message-id "<abc.1@x.example>"`, true},
		{`HEADER message-id "bc.1"`, true},
		{`BODY ""`, true},
		{"SENTBEFORE 5-Mar-2026", true},
		{"BEFORE 5-Mar-2026", false},
		{"MODSEQ 9", true},
		{"MODSEQ 10", false},
		{"UID 1:6,8", false},
		{"UID 7", true},
	} {
		q, err := IMAP{}.Parse(args(c.key))
		if err != nil {
			t.Fatal(err)
		}
		if got := Match(q, it); got != c.want {
			t.Errorf("%s: %v", c.key, got)
		}
	}
}

// found answers a lookup from a content's terms, as an index does.
func found(terms []string, l Lookup) bool {
	cut := slices.Contains(terms, MakeTerm(stateCut, placeState))
	for _, want := range l.All {
		if !slices.ContainsFunc(terms, func(term string) bool {
			token, place := SplitTerm([]byte(term))
			if !strings.ContainsRune(l.Places, rune(place)) {
				return false
			}
			switch want.Kind {
			case Begin:
				return strings.HasPrefix(string(token), want.Token)
			case End:
				return strings.HasSuffix(string(token), want.Token)
			case Contain:
				return strings.Contains(string(token), want.Token)
			case Exactly:
				return string(token) == want.Token
			}
			return false
		}) && (!l.OrCut || !cut) {
			return false
		}
	}
	return !slices.ContainsFunc(l.Pairs, func(p Pair) bool {
		return !slices.Contains(terms, MakeTerm(p[0], placePair)) && !slices.Contains(terms, MakeTerm(p[1], placePair))
	})
}

// TestIndexAgreesWithTexts: what matches is found by its lookup, and an exact
// lookup or a proof finds nothing else.
func TestIndexAgreesWithTexts(t *testing.T) {
	pieces := []string{
		"北北", "，", "cre\u0300me",
		"ann", "Ann", "smith", "ann.smith@mail.example.org", "example.org", "mail", "北京大学", "北", "京大", "한국어", "ภาษาไทย", "ไท", "Ёлка", "crème",
		"Σίσυφος", "أحمد", " ", " ", " ", ".", "@", "-", "\n", "report", "rep", "port", "<", ">", "1", "ﬁ", strings.Repeat("long", 13), strings.Repeat("long", 11), "x",
	}
	text := func(t *rapid.T, name string, most int) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, most).Draw(t, name), "")
	}
	rapid.Check(t, func(t *rapid.T) {
		var c Content
		for i := range numFields {
			if rapid.IntRange(0, 2).Draw(t, "filled") == 0 {
				c.Texts[i] = text(t, "field", 12)
			}
		}
		names := []string{"from", "x-mailer", "received", "message-id", "subject"}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			h := message.HeaderField{Key: rapid.SampledFrom(names).Draw(t, "name"), Value: text(t, "header", 8)}
			c.Headers = append(c.Headers, h)
			if f, ok := own[h.Key]; ok {
				c.Set(f, c.Get(f)+"\n"+h.Value)
			}
		}
		c.Encrypted = rapid.Bool().Draw(t, "encrypted")
		var q Query
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			q = Header{Name: rapid.SampledFrom(append(names, AnyHeader)).Draw(t, "name"), Value: text(t, "value", 3)}
		case 1:
			q = Encrypted{}
		default:
			value := text(t, "value", 4)
			if said := []rune(c.Texts[rapid.IntRange(0, numFields-1).Draw(t, "of")]); len(said) > 0 && rapid.Bool().Draw(t, "said") {
				from := rapid.IntRange(0, len(said)-1).Draw(t, "from")
				value = string(said[from:rapid.IntRange(from+1, len(said)).Draw(t, "to")])
			}
			q = Text{In: Fields(rapid.IntRange(1, int(InAll)).Draw(t, "in")), Value: value, Mode: Mode(rapid.IntRange(0, 2).Draw(t, "mode"))}
		}
		terms := (&Analyser{}).Terms(&c)
		l, ok := LookupOf(q)
		if !ok {
			t.Fatal("no lookup")
		}
		matches, finds := (&Texts{Content: &c}).Match(q), found(terms, l)
		if matches && !finds {
			t.Fatalf("%#v matches, but %+v is not found in %q", q, l, terms)
		}
		if l.Exact && finds && !matches {
			t.Fatalf("%#v is found exactly in %q, but does not match", q, terms)
		}
		if l.Proof != "" && !matches && found(terms, Lookup{Places: l.Places, All: []Term{{Token: l.Proof}}}) {
			t.Fatalf("%#v is proved by %q, but does not match", q, l.Proof)
		}
	})
}

func TestEvalIsKleenes(t *testing.T) {
	values := map[Query]Tri{Attached{}: Yes, Encrypted{}: No, Searchable{}: Maybe}
	yes, no, maybe := Query(Attached{}), Query(Encrypted{}), Query(Searchable{})
	for _, c := range []struct {
		q    Query
		want Tri
	}{
		{And{yes, maybe}, Maybe}, {And{no, maybe}, No}, {Or{no, maybe}, Maybe}, {Or{yes, maybe}, Yes}, {Not{maybe}, Maybe}, {Not{no}, Yes}, {And{}, Yes}, {Or{}, No},
	} {
		if got := Eval(c.q, func(k Query) Tri { return values[k] }); got != c.want {
			t.Errorf("%#v: %v", c.q, got)
		}
	}
}

func BenchmarkTerms(b *testing.B) {
	it := sample()
	it.Set(InBody, strings.Repeat("The quick brown fox jumps over the lazy dog and writes to ann@example.org about it. ", 120))
	var a Analyser
	b.SetBytes(int64(len(it.Get(InBody))))
	for b.Loop() {
		a.Terms(&it.Content)
	}
}
