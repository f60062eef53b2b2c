package mail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

func TestIDsAreDistinctAndAscend(t *testing.T) {
	const makers, each = 8, 500
	ids := make([][]mail.ID, makers)
	var wg sync.WaitGroup
	for i := range makers {
		wg.Go(func() {
			for range each {
				ids[i] = append(ids[i], mail.NewID())
			}
		})
	}
	wg.Wait()
	seen := map[mail.ID]bool{}
	for _, list := range ids {
		for _, id := range list {
			if seen[id] || id.IsZero() {
				t.Fatalf("%s twice, or zero", id)
			}
			seen[id] = true
		}
	}
}

func TestIDCarriesItsTime(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	id := mail.NewIDAt(at)
	if !id.Time().Equal(at.Truncate(time.Second)) {
		t.Errorf("got %s", id.Time())
	}
	later := mail.NewIDAt(at.Add(time.Second))
	if bytes.Compare(id[:], later[:]) >= 0 {
		t.Errorf("%s is not before %s", id, later)
	}
	if id == mail.NewIDAt(at) {
		t.Error("two ids of one moment are the same")
	}
}

func TestIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id mail.ID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), len(id), len(id)).Draw(t, "id"))
		got, err := mail.ParseID(id.String())
		if err != nil || got != id || len(id.String()) != 24 {
			t.Fatalf("%x became %x, %v", id[:], got[:], err)
		}
		if upper, err := mail.ParseID(strings.ToUpper(id.String())); err != nil || upper != id {
			t.Fatalf("in capitals: %v", err)
		}
		data, err := json.Marshal(map[mail.ID]mail.ID{id: id})
		if err != nil {
			t.Fatal(err)
		}
		var back map[mail.ID]mail.ID
		if err := json.Unmarshal(data, &back); err != nil || back[id] != id {
			t.Fatalf("JSON %s: %v", data, err)
		}
	})
}

func TestNoID(t *testing.T) {
	for _, s := range []string{"", "0", strings.Repeat("0", 23), strings.Repeat("0", 25), strings.Repeat("g", 24), strings.Repeat("é", 12)} {
		id, err := mail.ParseID(s)
		if !mail.IsCode(err, mail.CodeInvalid) || !id.IsZero() {
			t.Errorf("%q: %s, %v", s, id, err)
		}
	}
	var id mail.ID
	if err := json.Unmarshal([]byte(`"x"`), &id); err == nil {
		t.Error("JSON took no id")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("")
	f.Add("0123456789abcdef01234567")
	f.Add("0123456789ABCDEF0123456G")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := mail.ParseID(s)
		if (err == nil) != strings.EqualFold(id.String(), s) {
			t.Errorf("%q: %s, %v", s, id, err)
		}
	})
}

// Flags are compared without regard to case, and the lists given stay as they are.
func TestFlags(t *testing.T) {
	flag := rapid.Map(rapid.SampledFrom([]string{`\Seen`, `\seen`, `\SEEN`, `\Flagged`, "$Forwarded", "$forwarded", "work"}), func(s string) mail.Flag { return mail.Flag(s) })
	rapid.Check(t, func(t *rapid.T) {
		list, f := rapid.SliceOf(flag).Draw(t, "flags"), flag.Draw(t, "flag")
		before := slices.Clone(list)
		with, without := mail.WithFlag(list, f), mail.WithoutFlag(list, f)
		if !slices.Equal(list, before) {
			t.Fatalf("%v became %v", before, list)
		}
		had := slices.ContainsFunc(list, func(g mail.Flag) bool { return strings.EqualFold(string(g), string(f)) })
		if mail.HasFlag(list, f) != had || !mail.HasFlag(with, f) || mail.HasFlag(without, f) {
			t.Fatalf("%v with %s: %v; without: %v", list, f, with, without)
		}
		if had && !slices.Equal(with, list) || !had && len(with) != len(list)+1 {
			t.Fatalf("%v with %s: %v", list, f, with)
		}
		for _, g := range list {
			if !strings.EqualFold(string(g), string(f)) && !mail.HasFlag(without, g) {
				t.Fatalf("%v without %s lost %s", list, f, g)
			}
		}
	})
}

// Two lists that grow from one must not write into each other.
func TestWithFlagDoesNotShare(t *testing.T) {
	base := append(make([]mail.Flag, 0, 8), mail.FlagSeen)
	one, two := mail.WithFlag(base, mail.FlagFlagged), mail.WithFlag(base, mail.FlagDraft)
	if one[1] != mail.FlagFlagged || two[1] != mail.FlagDraft {
		t.Errorf("%v, %v", one, two)
	}
}

func TestMessageFlags(t *testing.T) {
	m := mail.Message{Flags: []mail.Flag{`\seen`}}
	if !m.Has(mail.FlagSeen) || m.Unseen() || m.Has(mail.FlagDraft) {
		t.Errorf("%v", m.Flags)
	}
	if m.Flags = nil; !m.Unseen() {
		t.Error("a message without flags is seen")
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, tc := range []struct {
		err  *mail.Error
		want string
	}{
		{&mail.Error{}, "internal"},
		{&mail.Error{Code: mail.CodeNoUser, Op: "find user"}, "find user: no such user"},
		{&mail.Error{Code: mail.CodeInvalid, Op: "register", Field: "username", Reason: "taken"}, "register: invalid (username taken)"},
		{&mail.Error{Code: mail.CodeInvalid, Field: "name"}, "invalid (name)"},
		{&mail.Error{Code: mail.CodeUnavailable, Op: "append", Err: cause}, "append: unavailable: disk on fire"},
		{&mail.Error{Code: mail.Code(99)}, "unknown"},
		{&mail.Error{Code: mail.Code(-1)}, "unknown"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestEachCodeHasItsName(t *testing.T) {
	seen := map[string]bool{}
	for c := mail.CodeInternal; c <= mail.CodeConflict; c++ {
		if name := c.String(); name == "unknown" || name == "" || seen[name] {
			t.Errorf("code %d is called %q", int(c), name)
		}
		seen[c.String()] = true
	}
	if (mail.CodeConflict + 1).String() != "unknown" {
		t.Error("a name without its code")
	}
}

func TestCodeOf(t *testing.T) {
	cause := &mail.Error{Code: mail.CodeOverQuota, Err: context.Canceled}
	for _, tc := range []struct {
		err  error
		want mail.Code
	}{
		{cause, mail.CodeOverQuota},
		{fmt.Errorf("deliver: %w", cause), mail.CodeOverQuota},
		{&mail.Error{Code: mail.CodeLimited, Err: cause}, mail.CodeLimited},
		{errors.Join(errors.New("x"), cause), mail.CodeOverQuota},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), mail.CodeUnavailable},
		{context.Canceled, mail.CodeUnavailable},
		{errors.New("x"), mail.CodeInternal},
	} {
		if got := mail.CodeOf(tc.err); got != tc.want || !mail.IsCode(tc.err, tc.want) {
			t.Errorf("%v: %s, want %s", tc.err, got, tc.want)
		}
	}
	if mail.IsCode(nil, mail.CodeInternal) {
		t.Error("no error has a code")
	}
	if !errors.Is(fmt.Errorf("x: %w", cause), context.Canceled) {
		t.Error("the cause is lost")
	}
}
