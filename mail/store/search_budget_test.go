package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// TestSearchOfSmallBudgets: however little one call may cost, the calls together
// find all, once and in order; many of them end in the middle of a batch, with a
// page that is short or empty and still goes on.
func TestSearchOfSmallBudgets(t *testing.T) {
	env := storetest.New(t)
	w := newSearchWorld(t, env.Open(func(o *store.Options) { o.FreshTerms = 8 }), "small")
	r := rand.New(rand.NewPCG(2, 9))
	for n := range 90 {
		w.append(t, r, n)
	}
	must(w.s.IndexTerms(context.Background(), w.user))(t)
	short := 0
	for _, budget := range []int{1, 30, 90, 400} {
		w.s = env.Open(func(o *store.Options) { o.FreshTerms, o.SearchBudget = 8, budget })
		for range 15 {
			q := pick(r, []search.Query{anyCondition(r, 1, w.boxes), w.anyPhrase(r), search.And{}})
			w.check(t, q, 1+r.IntN(40), r.IntN(2) == 0)
			page := must(w.s.Search(context.Background(), store.Search{User: w.user, Query: q, Limit: 40}))(t)
			if len(page.Messages) < 40 && page.Older != nil {
				short++
			}
		}
	}
	if short == 0 {
		t.Error("no call ended before its page was full")
	}
}

// TestSearchThrough: it goes on until the page is full, and says where it stopped
// when it may not call any more, in both directions.
func TestSearchThrough(t *testing.T) {
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.FreshTerms, o.SearchBudget = 8, 700 })
	ctx := context.Background()
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	// Both words are in all texts, in a row in every fifteenth. The index does not say
	// so of a substring, so that the texts are read, some 30 in a call of this budget.
	for i := range 150 {
		words := "green house and apple"
		if i%15 == 0 {
			words = "house green apple"
		}
		appendTo(t, s, u.ID, box, letterOf(fmt.Sprintf("m%d", i), "text/plain", words))
	}
	must(s.IndexTerms(ctx, u.ID))(t)
	query := search.Text{In: search.InBody, Value: "een apple", Mode: search.Substring}
	through := func(o store.Search, calls int) store.Found {
		t.Helper()
		o.User, o.Query = u.ID, query
		return must(s.SearchThrough(ctx, o, calls))(t)
	}
	subjects := func(f store.Found) (out []string) {
		for i := range f.Messages {
			out = append(out, f.Messages[i].Subject)
		}
		return out
	}
	want := []string{"m135", "m120", "m105", "m90", "m75", "m60", "m45", "m30", "m15", "m0"}
	all := through(store.Search{Limit: 50}, 1000)
	if !slices.Equal(subjects(all), want) || all.Older != nil || all.Calls < 2 {
		t.Errorf("found %v in %d calls, older %v", subjects(all), all.Calls, all.Older)
	}
	part := through(store.Search{Limit: 50}, 3)
	if n := len(part.Messages); part.Calls != 3 || part.Older == nil || n == 0 || n == len(want) || !slices.Equal(subjects(part), want[:n]) {
		t.Fatalf("found %v in %d calls, older %v", subjects(part), part.Calls, part.Older)
	}
	rest := through(store.Search{Limit: 50, Before: part.Older}, 1000)
	if !slices.Equal(append(subjects(part), subjects(rest)...), want) || rest.Older != nil {
		t.Errorf("going on from %v gives %v", subjects(part), subjects(rest))
	}
	page := through(store.Search{Limit: 4}, 1000)
	if !slices.Equal(subjects(page), want[:4]) || page.Older == nil {
		t.Errorf("a page of four: %v, older %v", subjects(page), page.Older)
	}
	// The position is the last row's, or where reading stopped behind it.
	back := through(store.Search{Limit: 50, After: page.Older}, 1000)
	if n := len(back.Messages); n < 3 || n > 4 || !slices.Equal(subjects(back), want[:n]) || back.Newer != nil {
		t.Errorf("back from the fourth: %v, newer %v", subjects(back), back.Newer)
	}
	slices.Reverse(want)
	oldest := through(store.Search{Limit: 7, OldestFirst: true}, 1000)
	if !slices.Equal(subjects(oldest), want[:7]) || oldest.Newer == nil {
		t.Errorf("oldest first: %v, newer %v", subjects(oldest), oldest.Newer)
	}
	if more := through(store.Search{Limit: 7, OldestFirst: true, After: oldest.Newer}, 1000); !slices.Equal(subjects(more), want[7:]) || more.Newer != nil {
		t.Errorf("oldest first, second page: %v", subjects(more))
	}
	if empty := must(s.SearchThrough(ctx, store.Search{User: u.ID, Query: search.And{query, search.In{Mailbox: mail.NewID()}}}, 5))(t); empty.Older != nil || empty.Calls != 1 {
		t.Errorf("nowhere: %d calls, older %v", empty.Calls, empty.Older)
	}
}
