package search

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

func words(s string) Query { return Text{In: InAll, Value: s} }

func TestPeople(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Query
	}{
		{"", And{}},
		{"hello", words("hello")},
		{"hello world", And{words("hello"), words("world")}},
		{"a OR b c", Or{words("a"), And{words("b"), words("c")}}},
		{"(a OR b) c", And{Or{words("a"), words("b")}, words("c")}},
		{`"exact words" -draft`, And{words("exact words"), Not{words("draft")}}},
		{"-(a b)", Not{And{words("a"), words("b")}}},
		{"--a", words("a")},
		{"inv*", Text{In: InAll, Value: "inv", Mode: Prefix}},
		{"from:ann", Text{In: InFrom, Value: "ann", Mode: Prefix}},
		{`from:"Ann Smith"`, Text{In: InFrom, Value: "Ann Smith"}},
		{"from:(ann OR bob)", Or{Text{In: InFrom, Value: "ann", Mode: Prefix}, Text{In: InFrom, Value: "bob", Mode: Prefix}}},
		{"to:bob", Text{In: InPeople, Value: "bob", Mode: Prefix}},
		{"SUBJECT:hi", Text{In: InSubject, Value: "hi"}},
		{"filename:report.pdf", Text{In: InFile, Value: "report.pdf", Mode: Prefix}},
		{"has:attachment", Attached{}},
		{"is:unread", Not{Flag{mail.FlagSeen}}},
		{"-is:starred", Not{Flag{mail.FlagFlagged}}},
		{"in:/Work/2026", In{Path: "Work/2026"}},
		{`in:"My folder"`, In{Path: "My folder"}},
		{"in:spam", In{Use: mail.UseJunk}},
		{"in:anywhere x", words("x")},
		{"before:2026-03", Date{To: midnight(2026, 3, 1)}},
		{"after:2026", Date{From: midnight(2026, 1, 1)}},
		{"on:2026/3/5", Date{From: midnight(2026, 3, 5), To: midnight(2026, 3, 6)}},
		{"newer_than:7d", Date{From: midnight(2026, 3, 3)}},
		{"on:yesterday", Date{From: midnight(2026, 3, 9), To: midnight(2026, 3, 10)}},
		{"larger:5M", Size{Min: 5<<20 + 1}},
		{"smaller:1.5k", Size{Max: 1535}},
		{"header:x-mailer=mutt", Header{Name: "x-mailer", Value: "mutt"}},
		{"list:go-nuts", Text{In: InList, Value: "go-nuts", Mode: Prefix}},
		// What has no sense for an operator is text.
		{"before:christmas", words("before:christmas")},
		{"foo:bar", words("foo:bar")},
		{"https://example.org/x", words("https://example.org/x")},
		{"from: ann", And{words("from:"), words("ann")}},
		{"OR a OR", words("a")},
		{"a ) b", And{words("a"), words("b")}},
		{"((a", words("a")},
		{`"never closed`, words("never closed")},
		{"- a", words("a")},
		{"() -() !!", And{}},
	} {
		if got := people(c.in).Query; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, want %#v", c.in, got, c.want)
		}
	}
}

func TestPeopleTellsWhatItUnderstood(t *testing.T) {
	got := people(`from:(ann bob) -draft foo:bar is:unread https://x.example in:sent`)
	want := []Understood{
		{Name: "from", Value: "ann"},
		{Name: "from", Value: "bob"},
		{Value: "draft", Negated: true},
		{Value: "foo:bar", Unknown: true},
		{Name: "is", Value: "unread"},
		{Value: "https://x.example"},
		{Name: "in", Value: "sent"},
	}
	if !reflect.DeepEqual(got.Terms, want) || !got.Text || !got.Place {
		t.Errorf("got %+v", got)
	}
}

func TestPeopleDatesFollowTheZone(t *testing.T) {
	zone := time.FixedZone("east", 9*3600)
	got := People{Now: time.Date(2026, 3, 9, 20, 0, 0, 0, time.UTC), Zone: zone}.Parse("on:today").Query
	if want := (Date{From: time.Date(2026, 3, 10, 0, 0, 0, 0, zone), To: time.Date(2026, 3, 11, 0, 0, 0, 0, zone)}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// anyQuery draws a query of those a person can type.
func anyQuery(depth int) *rapid.Generator[Query] {
	return rapid.Custom(func(t *rapid.T) Query {
		kind := rapid.IntRange(0, 12).Draw(t, "kind")
		if depth == 0 && kind < 3 {
			kind += 3
		}
		value := func() string {
			return rapid.SampledFrom([]string{"a", "b", "ann", "report", "Ёлка", "北京", "two words", "x-1", "a.b@c.example", "OR", "-x", "from:x", "a(b"}).Draw(t, "value")
		}
		kids := func() []Query { return rapid.SliceOfN(anyQuery(depth-1), 2, 3).Draw(t, "kids") }
		switch kind {
		case 0:
			return And(kids())
		case 1:
			return Or(kids())
		case 2:
			return Not{anyQuery(depth-1).Draw(t, "not")}
		case 3:
			return Attached{}
		case 4:
			return Flag{rapid.SampledFrom([]mail.Flag{mail.FlagSeen, mail.FlagFlagged, mail.FlagDraft, "$work"}).Draw(t, "flag")}
		case 5:
			return Date{From: midnight(2026, 1, rapid.IntRange(1, 20).Draw(t, "day"))}
		case 6:
			return Size{Min: rapid.Int64Range(1, 1<<40).Draw(t, "min")}
		case 7:
			return In{Use: mail.UseSent}
		case 8:
			return In{Path: rapid.SampledFrom([]string{"Work", "Work/2026 plans", "Sent Mail"}).Draw(t, "path")}
		case 9:
			return Header{Name: "x-mailer", Value: value()}
		}
		in := rapid.SampledFrom([]Fields{InAll, InFrom, InPeople, InSubject, InBody, InFile, InList}).Draw(t, "in")
		return Text{In: in, Value: value(), Mode: Mode(rapid.IntRange(0, 1).Draw(t, "mode"))}
	})
}

func TestPrintedQueriesReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Simplify(anyQuery(3).Draw(t, "query"))
		s, ok := String(q, nil)
		if !ok || len(s) > MaxInput {
			t.Skip("a person cannot type it")
		}
		if got := people(s).Query; !reflect.DeepEqual(got, q) {
			t.Fatalf("%s\nreads as %#v\nwant     %#v", s, got, q)
		}
	})
}

func FuzzPeople(f *testing.F) {
	for _, s := range []string{
		`from:ann has:attachment before:2026-03 "exact words" -draft (a OR b)`, "((((", "-(-(-a", "from:(a OR", "larger:1e300", `header:"a=b"`,
		"OR OR AND", "in:\"", "newer_than:99999y", "\xff:\xfe", strings.Repeat("(", 500), strings.Repeat("-", 500) + "a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := people(s).Query
		if q == nil {
			t.Fatal("no query")
		}
		printed, ok := String(q, nil)
		if !ok || len(printed) > MaxInput {
			return
		}
		if again := people(printed).Query; !reflect.DeepEqual(again, q) {
			t.Fatalf("%q reads as %#v, printed %q reads as %#v", s, q, printed, again)
		}
	})
}
