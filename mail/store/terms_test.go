package store_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func letterOf(subject, kind, body string) *message.Message {
	return message.Parse([]byte("From: Ann <ann@example.com>\r\nSubject: " + subject + "\r\nMIME-Version: 1.0\r\nContent-Type: " + kind + "\r\n\r\n" + body))
}

// howMany counts what a person's text finds.
func howMany(t *testing.T, s *store.Store, user mail.ID, text string) int {
	t.Helper()
	page := must(s.Search(context.Background(), store.Search{User: user, Query: search.People{}.Parse(text).Query, Count: true}))(t)
	if page.Total != len(page.Messages) {
		t.Errorf("%s: total %d, %d on the page", text, page.Total, len(page.Messages))
	}
	return len(page.Messages)
}

func wantFinds(t *testing.T, s *store.Store, user mail.ID, want map[string]int) {
	t.Helper()
	for text, n := range want {
		if got := howMany(t, s, user, text); got != n {
			t.Errorf("%s: %d found, want %d", text, got, n)
		}
	}
}

func TestWholeBodyAndTextAttachmentsAreFound(t *testing.T) {
	s := storetest.Open(t)
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	appendTo(t, s, u.ID, box, letterOf("long", "text/plain; charset=utf-8", strings.Repeat("filler words here\r\n", 9000)+"needle in the tail\r\n"))
	appendTo(t, s, u.ID, box, letterOf("two forms", "multipart/alternative; boundary=b",
		"--b\r\nContent-Type: text/plain\r\n\r\nplainform\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>only <b>html</b>form</p>\r\n--b--\r\n"))
	appendTo(t, s, u.ID, box, letterOf("file", "multipart/mixed; boundary=b",
		"--b\r\nContent-Type: text/plain\r\n\r\nsee\r\n--b\r\nContent-Type: text/csv; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n"+
			"Content-Disposition: attachment; filename=\"Menü 2026.csv\"\r\n\r\nQ3LobWUgYnL7bOll\r\n--b--\r\n"))
	appendTo(t, s, u.ID, box, letterOf("closed", "multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b",
		"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\nsecretword\r\n--b--\r\n"))
	for range 2 {
		wantFinds(t, s, u.ID, map[string]int{
			"needle": 1, `"needle in the tail"`: 1, `"words here needle"`: 1, "plainform": 1, "htmlform": 1, "creme": 1, `"crème brulee"`: 1,
			"filename:menu": 1, "filename:csv": 1, "secretword": 0, "is:encrypted": 1, "subject:closed": 1, "has:attachment filename:menu": 1, "from:ann": 4,
		})
		must(s.IndexTerms(context.Background(), u.ID))(t)
	}
}

// TestLargeDictionary: a prefix whose words fill several blocks of a dictionary.
func TestLargeDictionary(t *testing.T) {
	s := storetest.New(t).Open(func(o *store.Options) { o.FreshTerms = 3 })
	u := newUser(t, s, "ann")
	box := inbox(t, s, u.ID).ID
	for _, first := range []string{"a", "b", "c"} {
		var body strings.Builder
		for i := range 6000 {
			fmt.Fprintf(&body, "%s%05dx ", first, i*7)
		}
		appendTo(t, s, u.ID, box, letterOf("large", "text/plain", body.String()))
	}
	must(s.IndexTerms(context.Background(), u.ID))(t)
	want := map[string]int{"a0*": 1, "b*": 1, "c0*": 1, "d*": 0, "b0*": 1, "b01*": 1, "b41*": 1, "b42*": 0, "c41993x": 1, "a00000x": 1, "a00001x": 0, "b0 OR b1*": 1, "subject:b*": 0, `"b00007x b00014x"`: 1}
	wantFinds(t, s, u.ID, want)
	for value, n := range map[string]int{"0070x": 3, "b0070": 1, "b9": 0, "b00070x": 1, "1993": 3, "x c0": 1, "x d0": 0} {
		found := must(s.Search(context.Background(), store.Search{User: u.ID, Query: search.Text{In: search.InBody, Value: value, Mode: search.Substring}}))(t)
		if len(found.Messages) != n {
			t.Errorf("substring %s: %d found, want %d", value, len(found.Messages), n)
		}
	}
}

// TestMailOfOthersIsTakenIn: messages whose writer knows nothing of the index, as
// WildDuck's and all old ones.
func TestMailOfOthersIsTakenIn(t *testing.T) {
	env := storetest.New(t)
	other := env.Open(func(o *store.Options) { o.DeferTerms = true })
	u := newUser(t, other, "ann")
	box := inbox(t, other, u.ID).ID
	for i := range 3 {
		appendTo(t, other, u.ID, box, letterOf(fmt.Sprintf("old %d", i), "text/plain", "yesterday"))
	}
	s := env.Open(nil)
	wantFinds(t, s, u.ID, map[string]int{"yesterday": 3, "old": 3})
	appendTo(t, other, u.ID, box, letterOf("new", "text/plain", "yesterday"))
	appendTo(t, s, u.ID, box, letterOf("mine", "text/plain", "yesterday"))
	wantFinds(t, s, u.ID, map[string]int{"yesterday": 5, "subject:new": 1, "subject:mine": 1})

	many := inbox(t, other, newUser(t, other, "bob").ID)
	for i := range 100 {
		appendTo(t, other, many.User, many.ID, letterOf(fmt.Sprintf("m%d", i), "text/plain", "plenty"))
	}
	if page := must(s.Search(context.Background(), store.Search{User: many.User, Query: search.WordsOf("plenty")}))(t); !page.Indexing {
		t.Error("a search does not tell that messages are missing from the index")
	}
	must(s.IndexTerms(context.Background(), many.User))(t)
	page := must(s.Search(context.Background(), store.Search{User: many.User, Query: search.WordsOf("plenty"), Limit: 200}))(t)
	if len(page.Messages) != 100 || page.Indexing {
		t.Errorf("%d found, indexing %v", len(page.Messages), page.Indexing)
	}
}

// TestWordsGoWithTheMessage: nothing in the database tells what a deleted message
// said, and copies and the archive keep what is theirs.
func TestWordsGoWithTheMessage(t *testing.T) {
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.FreshTerms = 2 })
	ctx := context.Background()
	u := newUser(t, s, "ann")
	box, work := inbox(t, s, u.ID).ID, must(s.CreateMailbox(ctx, u.ID, "Work", ""))(t).ID
	terms := env.Collection(t, "eider_terms")
	said := func(word string) bool {
		t.Helper()
		cur, err := terms.Find(ctx, bson.D{{Key: "k", Value: "m"}})
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.Raw
		if err := cur.All(ctx, &docs); err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if bytes.Contains(d, []byte(word)) {
				return true
			}
		}
		return false
	}
	one := appendTo(t, s, u.ID, box, letterOf("one", "text/plain", "vanishing"))
	sel := store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{one.UID}}
	copied := must(s.Copy(ctx, sel, work))(t)
	must(s.Expunge(ctx, sel, store.ExpungeOptions{}))(t)
	wantFinds(t, s, u.ID, map[string]int{"vanishing": 1})
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: work, UIDs: []mail.UID{copied[0].To}}, store.ExpungeOptions{}))(t)
	if wantFinds(t, s, u.ID, map[string]int{"vanishing": 0}); said("vanishing") {
		t.Error("the words of a deleted message are still there")
	}

	two := appendTo(t, s, u.ID, box, letterOf("two", "text/plain", "returning"))
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{two.UID}}, store.ExpungeOptions{Archive: true}))(t)
	wantFinds(t, s, u.ID, map[string]int{"returning": 0})
	must(s.IndexTerms(ctx, u.ID))(t)
	must(s.Restore(ctx, u.ID, two.ID, mail.ID{}))(t)
	wantFinds(t, s, u.ID, map[string]int{"returning": 1})

	if err := s.DropTerms(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if n := must(s.TermsSize(ctx, u.ID))(t); n != 0 {
		t.Errorf("%d bytes of an index that was dropped", n)
	}
}

// TestTwoProcessesIndexOneAccount: both deliver, search and merge at once.
func TestTwoProcessesIndexOneAccount(t *testing.T) {
	env := storetest.New(t)
	ctx := context.Background()
	var stores [2]*store.Store
	for i := range stores {
		stores[i] = env.Open(func(o *store.Options) { o.FreshTerms = 2 })
	}
	u := newUser(t, stores[0], "ann")
	box := inbox(t, stores[0], u.ID).ID
	const each = 30
	errs := make(chan error, len(stores))
	for i, s := range stores {
		go func() {
			for n := range each {
				_, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: letterOf("both", "text/plain", fmt.Sprintf("shared only%dx%d", i, n))})
				if err == nil && n%5 == 0 {
					_, err = s.IndexTerms(ctx, u.ID)
				}
				if err == nil {
					_, err = s.Search(ctx, store.Search{User: u.ID, Query: search.WordsOf("shared")})
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range stores {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	page := must(stores[0].Search(ctx, store.Search{User: u.ID, Query: search.WordsOf("shared"), Limit: 200}))(t)
	if len(page.Messages) != 2*each {
		t.Errorf("%d found of %d", len(page.Messages), 2*each)
	}
	for i := range stores {
		wantFinds(t, stores[1-i], u.ID, map[string]int{fmt.Sprintf("only%dx%d", i, each-1): 1})
	}
}
