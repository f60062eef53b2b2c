package store_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// vocabulary has words of many scripts that share parts.
var vocabulary = []string{
	"北北北", "京，北", "cre\u0300me",
	"report", "reports", "reporting", "port", "invoice", "Crème", "creme", "brûlée", "Straße", "strasse", "ann", "Anna", "example.org", "bob@example.org",
	"отчёт", "отчет", "Елка", "ёлка", "йод", "Σίσυφος", "σισυφος", "北京大学", "北京", "大学生", "东京都", "かがく", "カタカナ", "한국어", "한국",
	"ภาษาไทย", "ไทย", "مُحَمَّد", "محمد", "أحمد", "שלום", "שָׁלוֹם", "2026-03", "v1.2.3", "x", strings.Repeat("verylong", 8), strings.Repeat("verylong", 9),
}

// foundLetter is a message of the tests, and what it says.
type foundLetter struct {
	item search.Item
	raw  []byte
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func sentence(r *rand.Rand, n int) string {
	words := make([]string, r.IntN(n)+1)
	for i := range words {
		words[i] = pick(r, vocabulary)
	}
	return strings.Join(words, pick(r, []string{" ", ", ", "  ", " - "}))
}

// newLetter makes a message, and says by itself what can be found in it.
func newLetter(t testing.TB, r *rand.Rand, n int) foundLetter {
	t.Helper()
	from := message.Address{Name: sentence(r, 2), Address: pick(r, []string{"ann.smith@mail.example.org", "bob@example.com", "anna@example.net"})}
	to := message.Address{Name: sentence(r, 1), Address: pick(r, []string{"bob@example.com", "carol@example.org"})}
	c := message.Compose{
		From: from, To: []message.Address{to}, Subject: sentence(r, 5), Text: sentence(r, 30), Domain: "example.com",
		Date: time.Date(2026, 3, 1, 0, n, 0, 0, time.UTC),
	}
	l := foundLetter{}
	body := c.Text
	if r.IntN(4) == 0 {
		c.HTML = "<p>" + sentence(r, 10) + "</p>"
		body += "\n" + message.HTMLToText(c.HTML)
	}
	if r.IntN(4) == 0 {
		c.Headers = []message.HeaderField{{Key: "X-Mailer", Value: sentence(r, 2)}, {Key: "List-Id", Value: "Friends <friends.example.org>"}}
		l.item.Set(search.InList, c.Headers[1].Value)
	}
	if r.IntN(4) == 0 {
		text := sentence(r, 10)
		name := pick(r, []string{"report.txt", "Crème.txt", "отчёт 2026.txt"})
		c.Attachments = []message.ComposeAttachment{{Filename: name, ContentType: "text/plain; charset=utf-8", Data: []byte(text)}}
		body += "\n" + text
		l.item.Set(search.InFile, name+" text/plain")
		l.item.Attached = true
	}
	raw, err := message.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	l.raw = raw
	for _, line := range message.Parse(raw).Root.Header {
		name, value, _ := strings.Cut(line, ":")
		l.item.Headers = append(l.item.Headers, message.HeaderField{Key: name, Value: message.DecodeHeader(value)})
	}
	l.item.Set(search.InFrom, written(from))
	l.item.Set(search.InTo, written(to))
	l.item.Set(search.InSubject, c.Subject)
	l.item.Set(search.InBody, body)
	l.item.Sent = c.Date
	return l
}

// written is a person as the header has it: a name with characters that mean
// something there is quoted, unless encoded words carry it.
func written(a message.Address) string {
	if ascii := !strings.ContainsFunc(a.Name, func(r rune) bool { return r >= 0x80 }); ascii && strings.ContainsAny(a.Name, `.,:;<>()[]@"\`) {
		return `"` + a.Name + `" <` + a.Address + ">"
	}
	return a.Name + " <" + a.Address + ">"
}

// anyCondition draws a query.
func anyCondition(r *rand.Rand, depth int, boxes []mail.Mailbox) search.Query {
	kids := func() []search.Query {
		return []search.Query{anyCondition(r, depth-1, boxes), anyCondition(r, depth-1, boxes)}
	}
	n := 12
	if depth == 0 {
		n = 9
	}
	switch r.IntN(n) {
	case 0:
		return search.Flag{Flag: pick(r, []mail.Flag{mail.FlagSeen, mail.FlagFlagged})}
	case 1:
		return search.In{Mailbox: pick(r, boxes).ID}
	case 2:
		return search.Date{From: time.Date(2026, 3, 1, 0, r.IntN(60), 0, 0, time.UTC), Sent: r.IntN(3) == 0}
	case 3:
		return pick(r, []search.Query{search.Attached{}, search.Searchable{}, search.Size{Min: 700}, search.Size{Max: 900}})
	case 4:
		return search.Header{Name: pick(r, []string{"x-mailer", "from", "subject", search.AnyHeader}), Value: pick(r, append(vocabulary, "", "por"))}
	case 9:
		return search.And(kids())
	case 10:
		return search.Or(kids())
	case 11:
		return search.Not{Query: anyCondition(r, depth-1, boxes)}
	}
	value := pick(r, vocabulary)
	mode := search.Mode(r.IntN(3))
	if r.IntN(3) == 0 {
		value += " " + pick(r, vocabulary)
	}
	if mode != search.Words && r.IntN(2) == 0 {
		value = string([]rune(value)[:1+r.IntN(len([]rune(value)))])
	}
	return search.Text{In: pick(r, []search.Fields{search.InAll, search.InFrom, search.InSubject, search.InBody, search.InTo, search.InFile, search.InList}), Value: value, Mode: mode}
}

// anyPhrase draws words in a row: out of a message, from the end of one field and the
// beginning of another, or from anywhere; otherwise parted and written than there.
func (w *searchWorld) anyPhrase(r *rand.Rand) search.Query {
	var words []string
	if texts := w.anyTexts(r); len(texts) > 0 {
		one, other := strings.Fields(pick(r, texts)), strings.Fields(pick(r, texts))
		if n := len(one); r.IntN(4) > 0 {
			from := r.IntN(n)
			words = slices.Clone(one[from:min(n, from+2+r.IntN(3))])
		} else {
			words = []string{one[n-1], other[0]}
		}
	}
	for len(words) < 2 {
		words = append(words, pick(r, vocabulary))
	}
	value := strings.Join(words, pick(r, []string{" ", " ", " ", ", ", " - ", "\n", ". ", "，", "", "«"}))
	switch r.IntN(5) {
	case 0:
		value = strings.ToUpper(value)
	case 1:
		value = norm.NFD.String(value)
	case 2:
		value = search.Fold(value)
	}
	if runes := []rune(value); r.IntN(4) == 0 {
		from := r.IntN(len(runes))
		value = string(runes[from : from+1+r.IntN(len(runes)-from)])
	}
	q := search.Text{In: pick(r, []search.Fields{search.InAll, search.InAll, search.InSubject, search.InBody, search.InFrom, search.InSubject | search.InBody}), Value: value, Mode: search.Mode(r.IntN(3))}
	if r.IntN(4) == 0 {
		return search.And{search.Not{Query: search.Flag{Flag: mail.FlagSeen}}, q}
	}
	return q
}

// anyTexts are the texts of a message.
func (w *searchWorld) anyTexts(r *rand.Rand) (out []string) {
	ids := w.ids()
	if len(ids) == 0 {
		return nil
	}
	for _, text := range w.all[pick(r, ids)].Texts {
		if strings.TrimSpace(text) != "" {
			out = append(out, text)
		}
	}
	return out
}

// searchWorld is an account and what it holds.
type searchWorld struct {
	s     *store.Store
	user  mail.ID
	boxes []mail.Mailbox
	all   map[mail.ID]*search.Item // by message id
}

func newSearchWorld(t testing.TB, s *store.Store, name string) *searchWorld {
	u := newUser(t, s, name)
	w := &searchWorld{s: s, user: u.ID, all: map[mail.ID]*search.Item{}}
	w.boxes = must(s.Mailboxes(context.Background(), u.ID))(t)
	return w
}

func (w *searchWorld) box(id mail.ID) mail.Mailbox {
	return w.boxes[slices.IndexFunc(w.boxes, func(b mail.Mailbox) bool { return b.ID == id })]
}

func (w *searchWorld) put(id mail.ID, it search.Item, box mail.ID, uid mail.UID) {
	b := w.box(box)
	it.ID, it.Mailbox, it.Use, it.Path, it.UID = id, box, b.SpecialUse, b.Path, uid
	w.all[id] = &it
}

func (w *searchWorld) append(t testing.TB, r *rand.Rand, n int) {
	t.Helper()
	l := newLetter(t, r, n)
	it := l.item
	it.Internal = time.Date(2026, 3, 1, 0, r.IntN(60), 0, 0, time.UTC)
	it.Size = int64(len(l.raw))
	for _, f := range []mail.Flag{mail.FlagSeen, mail.FlagFlagged} {
		if r.IntN(2) == 0 {
			it.Flags = append(it.Flags, f)
		}
	}
	box := pick(r, w.boxes)
	a := must(w.s.Append(context.Background(), store.Append{
		User: w.user, Mailbox: box.ID, Message: message.Parse(l.raw), Flags: it.Flags, InternalDate: it.Internal,
	}))(t)
	w.put(a.ID, it, box.ID, a.UID)
}

// ids are the messages in a settled order.
func (w *searchWorld) ids() []mail.ID {
	ids := make([]mail.ID, 0, len(w.all))
	for id := range w.all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// change copies, moves, flags or deletes a message.
func (w *searchWorld) change(t testing.TB, r *rand.Rand) {
	t.Helper()
	if len(w.all) == 0 {
		return
	}
	ctx := context.Background()
	it := w.all[pick(r, w.ids())]
	sel := store.Selection{User: w.user, Mailbox: it.Mailbox, UIDs: []mail.UID{it.UID}}
	to := pick(r, w.boxes)
	switch r.IntN(4) {
	case 0:
		m := must(w.s.Copy(ctx, sel, to.ID))(t)
		w.put(m[0].ID, *it, to.ID, m[0].To)
	case 1:
		if to.ID != it.Mailbox {
			m := must(w.s.Move(ctx, sel, to.ID, store.MoveOptions{}))(t)
			w.put(it.ID, *it, to.ID, m[0].To)
		}
	case 2:
		must(w.s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagFlagged}}))(t)
		it.Flags = mail.WithFlag(it.Flags, mail.FlagFlagged)
	case 3:
		must(w.s.Expunge(ctx, sel, store.ExpungeOptions{Archive: r.IntN(2) == 0}))(t)
		delete(w.all, it.ID)
	}
}

// pages walks through a whole search and back again.
func (w *searchWorld) pages(t testing.TB, q search.Query, limit int, oldest bool) []mail.ID {
	t.Helper()
	ctx := context.Background()
	var out []mail.ID
	var last *store.SearchKey
	o := store.Search{User: w.user, Query: q, Limit: limit, OldestFirst: oldest}
	for range 1000 {
		page := must(w.s.Search(ctx, o))(t)
		for i := range page.Messages {
			out = append(out, page.Messages[i].ID)
		}
		next := page.Older
		o.Before = next
		if oldest {
			next = page.Newer
			o.Before, o.After = nil, next
		}
		if next == nil {
			break
		}
		last = next
	}
	if last == nil {
		return out
	}
	var back []mail.ID
	o.Before, o.After = nil, last
	if oldest {
		o.Before, o.After = last, nil
	}
	for range 1000 {
		page := must(w.s.Search(ctx, o))(t)
		ids := make([]mail.ID, len(page.Messages))
		for i := range page.Messages {
			ids[i] = page.Messages[i].ID
		}
		back = append(ids, back...)
		next := page.Newer
		o.After = next
		if oldest {
			next = page.Older
			o.Before, o.After = next, nil
		}
		if next == nil {
			break
		}
	}
	if n := len(back); n > len(out) || !slices.Equal(back, out[:n]) || len(out)-n > limit+1 {
		t.Fatalf("%#v: walking back from %v gives\n%v of\n%v", q, last, back, out)
	}
	return out
}

func (w *searchWorld) check(t testing.TB, q search.Query, limit int, oldest bool) {
	t.Helper()
	got := w.pages(t, q, limit, oldest)
	var want []mail.ID
	for id, it := range w.all {
		if search.Match(q, it) {
			want = append(want, id)
		}
	}
	dates := func(a, b mail.ID) bool {
		return !w.all[a].Internal.Before(w.all[b].Internal) == !oldest || w.all[a].Internal.Equal(w.all[b].Internal)
	}
	for i := 1; i < len(got); i++ {
		if w.all[got[i-1]] != nil && w.all[got[i]] != nil && !dates(got[i-1], got[i]) {
			t.Fatalf("%#v: out of order", q)
		}
	}
	byID := func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(got, want) {
		for _, id := range want {
			if !slices.Contains(got, id) {
				t.Errorf("missing %s: %+v", id, w.all[id])
			}
		}
		for _, id := range got {
			if !slices.Contains(want, id) {
				t.Errorf("too much: %s: %+v", id, w.all[id])
			}
		}
		t.Fatalf("%#v: %d found, %d match", q, len(got), len(want))
	}
}

// TestSearchEqualsScan: whatever happened to an account, a search finds what
// looking at every message finds, page by page, in order.
func TestSearchEqualsScan(t *testing.T) {
	s := storetest.New(t).Open(func(o *store.Options) { o.FreshTerms = 4 })
	w := newSearchWorld(t, s, "scan")
	begin := rand.New(rand.NewPCG(3, 3))
	for n := range 40 {
		w.append(t, begin, n)
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		switch r.IntN(8) {
		case 0:
			w.append(t, r, r.IntN(60))
		case 1, 2:
			w.change(t, r)
		case 3:
			must(s.IndexTerms(context.Background(), w.user))(t)
		}
		for range 4 {
			w.check(t, anyCondition(r, 2, w.boxes), 3+r.IntN(20), r.IntN(3) == 0)
			w.check(t, w.anyPhrase(r), 3+r.IntN(20), r.IntN(3) == 0)
		}
	})
}

// TestSearchAcrossMerges fills several levels of segments.
func TestSearchAcrossMerges(t *testing.T) {
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.FreshTerms = 2 })
	w := newSearchWorld(t, s, "levels")
	r := rand.New(rand.NewPCG(7, 7))
	for n := range 120 {
		w.append(t, r, n)
		if n%10 == 0 {
			w.change(t, r)
		}
		if n%3 == 0 {
			must(s.IndexTerms(context.Background(), w.user))(t)
		}
		if n%40 == 39 {
			for range 10 {
				w.check(t, anyCondition(r, 2, w.boxes), 40, false)
				w.check(t, w.anyPhrase(r), 40, false)
			}
		}
	}
}
