package search

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
)

// args reads a SEARCH line for tests: atoms, "strings" and (lists).
func args(s string) []Arg {
	out, _ := argList(s)
	return out
}

func argList(s string) (out []Arg, rest string) {
	out = []Arg{}
	for {
		s = strings.TrimLeft(s, " ")
		switch {
		case s == "":
			return out, ""
		case s[0] == ')':
			return out, s[1:]
		case s[0] == '(':
			var list []Arg
			list, s = argList(s[1:])
			out = append(out, Arg{List: list})
		case s[0] == '"':
			value, after, _ := strings.Cut(s[1:], `"`)
			out, s = append(out, Arg{Text: value}), after
		default:
			end := strings.IndexAny(s, " ()")
			if end < 0 {
				end = len(s)
			}
			out, s = append(out, Arg{Text: s[:end], Atom: true}), s[end:]
		}
	}
}

func within(in Fields, s string) Query { return Text{In: in, Value: s, Mode: Substring} }

func TestIMAP(t *testing.T) {
	o := IMAP{
		Now: day(10), Last: 90, Saved: &UIDs{{5, 6}},
		Sequence: func(set string) (UIDs, error) { return UIDs{{mail.UID(len(set)), 100}}, nil },
	}
	for _, c := range []struct {
		in   string
		want Query
	}{
		{"ALL", And{}},
		{"UNSEEN FLAGGED", And{Not{Flag{mail.FlagSeen}}, Flag{mail.FlagFlagged}}},
		{`OR FROM "ann" (TO bob NOT SUBJECT x)`, Or{within(InFrom, "ann"), And{within(InTo, "bob"), Not{within(InSubject, "x")}}}},
		{"NOT (OR SEEN DELETED)", Not{Or{Flag{mail.FlagSeen}, Flag{mail.FlagDeleted}}}},
		{"NOT NOT SEEN", Flag{mail.FlagSeen}},
		{"uid 3:5,*,9:7", UIDs{{3, 5}, {90, 90}, {7, 9}}},
		{"1:3", UIDs{{3, 100}}},
		{"$", UIDs{{5, 6}}},
		{"UID $", UIDs{{5, 6}}},
		{"SINCE 1-Feb-2026 BEFORE 3-Mar-2026", And{Date{From: midnight(2026, 2, 1)}, Date{To: midnight(2026, 3, 3)}}},
		{"SENTON 01-Feb-2026", Date{Sent: true, From: midnight(2026, 2, 1), To: midnight(2026, 2, 2)}},
		{"LARGER 100 SMALLER 50", And{Size{Min: 101}, Size{Max: 49}}},
		{"SMALLER 0", Or{}},
		{"KEYWORD $Work UNKEYWORD x", And{Flag{"$Work"}, Not{Flag{"x"}}}},
		{`HEADER Message-ID "<a@b>"`, Header{Name: "message-id", Value: "<a@b>"}},
		{`HEADER X-Foo ""`, Header{Name: "x-foo"}},
		{`TEXT "hello there"`, Or{within(InAll, "hello there"), Header{Name: AnyHeader, Value: "hello there"}}},
		{"BODY x", within(InBody, "x")},
		{"YOUNGER 3600", Date{From: day(10).Add(-time.Hour)}},
		{`MODSEQ "/flags/\\draft" all 620`, ModSeq{620}},
		{"MODSEQ 7", ModSeq{7}},
		{"THREADID 5f5f5f5f5f5f5f5f5f5f5f5f", Thread{must(mail.ParseID("5f5f5f5f5f5f5f5f5f5f5f5f"))}},
		{"EMAILID nothing", Or{}},
		{"NEW", And{Flag{`\Recent`}, Not{Flag{mail.FlagSeen}}}},
		{"OLD", Not{Flag{`\Recent`}}},
		{"((UNDELETED))", Not{Flag{mail.FlagDeleted}}},
	} {
		got, err := o.Parse(args(c.in))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, %v; want %#v", c.in, got, err, c.want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestIMAPRefuses(t *testing.T) {
	for _, in := range []string{
		"", "FROM", "HEADER x", "OR SEEN", "NOT", "SINCE yesterday", "LARGER x", "LARGER -1", "UID 0", "UID x:y", "UID 1,,2", "FOO", `"ALL"`, "1:3", "$", "()",
		"YOUNGER 0", "KEYWORD (a)", "MODSEQ", strings.Repeat("NOT ", 3000) + "ALL", strings.Repeat("ALL ", 3000),
	} {
		if q, err := (IMAP{}).Parse(args(in)); !errors.Is(err, ErrKey) {
			t.Errorf("%.40s: got %#v, %v", in, q, err)
		}
	}
}

func FuzzIMAP(f *testing.F) {
	for _, s := range []string{`OR FROM "ann" (TO bob NOT SUBJECT x)`, "UID 1:*,3", "((", "NOT NOT", `HEADER "" ""`, "SENTSINCE 31-Feb-2026"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := (IMAP{Now: day(10), Last: 9}).Parse(args(s))
		if (q == nil) != (err != nil) {
			t.Fatalf("%v and %v", q, err)
		}
		if err == nil {
			Match(q, &Item{})
		} else if !errors.Is(err, ErrKey) {
			t.Fatal(err)
		}
	})
}

func TestAPI(t *testing.T) {
	box := must(mail.ParseID("5f5f5f5f5f5f5f5f5f5f5f5f"))
	a := API{
		Query: `report "final draft" -old`, From: "ann", To: "bob", Mailbox: box, UIDs: must(ParseUIDs("1:5")), DateStart: midnight(2026, 3, 1), DateEnd: midnight(2026, 3, 2),
		MinSize: 10, MaxSize: 20, Attachments: true, Flagged: true, Unseen: true, Seen: true, Searchable: true,
	}
	a.Or.From, a.Or.Subject = "x", "y"
	want := And{
		In{Mailbox: box},
		UIDs{{1, 5}},
		words("report"), words("final draft"),
		Not{words("old")},
		within(InFrom, "ann"), within(InTo|InCc, "bob"),
		Date{From: midnight(2026, 3, 1), To: midnight(2026, 3, 2).Add(time.Millisecond)},
		Size{10, 20},
		Attached{},
		Flag{mail.FlagFlagged},
		Not{Flag{mail.FlagSeen}},
		Not{Flag{mail.FlagDeleted}},
		Or{within(InFrom, "x"), within(InSubject, "y")},
	}
	if got := a.Tree(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
	if got := (&API{Searchable: true}).Tree(); !reflect.DeepEqual(got, Query(Searchable{})) {
		t.Errorf("searchable: %#v", got)
	}
	if got := (&API{UIDs: UIDs{{1, 2}}}).Tree(); !reflect.DeepEqual(got, Query(And{})) {
		t.Errorf("ids without a mailbox: %#v", got)
	}
}
