package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

const (
	searchWriters = 16
	searchRounds  = 20
)

// searches fills one account with generated mail in many languages and searches it.
func searches(ctx context.Context, r report, messages int, share bool) error {
	r.section(fmt.Sprintf("Search in %d messages", messages))
	if share {
		if err := termsShare(ctx, r, min(messages, 4000)); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "eider-search-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := openSearchStore(ctx, dir, false)
	if err != nil {
		return err
	}
	defer w.close(ctx)
	rate, text, err := w.fill(ctx, messages)
	if err != nil {
		return err
	}
	r.line(fmt.Sprintf("delivered, %d writers, words indexed", searchWriters), fmt.Sprintf("%.0f/s", rate), "")
	start := time.Now()
	if _, err := w.s.IndexTerms(ctx, w.user); err != nil {
		return err
	}
	r.line("rest of the merging", round(time.Since(start)).String(), "")
	size, err := w.s.TermsSize(ctx, w.user)
	if err != nil {
		return err
	}
	r.line("index beside text", fmt.Sprintf("%.1f %% of %.1f MB", 100*float64(size)/float64(text), float64(text)/1e6), "goal ≤ 30 %")
	return w.measure(ctx, r)
}

// termsShare compares deliveries with and without indexing, in turns.
func termsShare(ctx context.Context, r report, messages int) error {
	var rates [2][]float64
	for i := range 6 {
		dir, err := os.MkdirTemp("", "eider-search-")
		if err != nil {
			return err
		}
		w, err := openSearchStore(ctx, dir, i%2 == 1)
		if err != nil {
			return err
		}
		rate, _, err := w.fill(ctx, messages)
		w.close(ctx)
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		rates[i%2] = append(rates[i%2], rate)
	}
	with, without := best(rates[0]), best(rates[1])
	r.line("time of a delivery that goes into indexing", fmt.Sprintf("%.0f %% (%.0f/s, without %.0f/s)", 100*(1-with/without), with, without), "goal ≤ 25 %")
	return nil
}

func best(list []float64) float64 {
	out := 0.0
	for _, v := range list {
		out = max(out, v)
	}
	return out
}

// searchStore is a store of the bench's own.
type searchStore struct {
	dir    string
	engine *docstore.Engine
	sig    signal.Signal
	s      *store.Store
	user   mail.ID
	inbox  mail.ID
	words  *babel
}

func openSearchStore(ctx context.Context, dir string, deferred bool) (*searchStore, error) {
	w := &searchStore{dir: dir, words: newBabel()}
	if err := w.open(ctx, deferred); err != nil {
		return nil, err
	}
	u, err := w.s.CreateUser(ctx, store.NewUser{Username: "reader", Name: "Reader", Address: "reader@example.com", Quota: 1 << 40})
	if err != nil {
		return nil, err
	}
	box, err := w.s.MailboxByPath(ctx, u.ID, mail.Inbox)
	w.user, w.inbox = u.ID, box.ID
	return w, err
}

func (w *searchStore) open(ctx context.Context, deferred bool) (err error) {
	log := slog.New(slog.DiscardHandler)
	if w.engine, err = docstore.Open(ctx, docstore.Options{Path: filepath.Join(w.dir, "mail.db"), Log: log}); err != nil {
		return err
	}
	w.sig = signal.NewMemory(signal.MemoryOptions{})
	w.s, err = store.Open(ctx, store.Options{URI: docstore.URI, Dialer: w.engine, Signal: w.sig, Log: log, DeferTerms: deferred})
	return err
}

func (w *searchStore) close(ctx context.Context) {
	_ = w.s.Close(ctx)
	_ = w.sig.Close()
	_ = w.engine.Close()
}

// fill delivers messages and gives the rate and the bytes of their texts.
func (w *searchStore) fill(ctx context.Context, messages int) (rate float64, text int64, err error) {
	var next, size atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, searchWriters)
	start := time.Now()
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for range searchWriters {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(messages); i = next.Add(1) {
				raw, n := w.words.letter(int(i))
				size.Add(n)
				_, err := w.s.Append(ctx, store.Append{
					User: w.user, Mailbox: w.inbox, Message: message.Parse(raw), InternalDate: begin.Add(time.Duration(i) * 15 * time.Minute),
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err = <-errs:
	default:
	}
	return float64(messages) / time.Since(start).Seconds(), size.Load(), err
}

// measure times the first 50 results of each kind of query, warm and after the
// caches were dropped.
func (w *searchStore) measure(ctx context.Context, r report) error {
	for _, kind := range w.words.queries() {
		var cold, warm sample
		found := 0
		for i := range searchRounds {
			text := kind.make(i)
			if err := w.cool(ctx); err != nil {
				return err
			}
			for k, times := range []*sample{&cold, &warm} {
				start := time.Now()
				page, err := w.s.Search(ctx, store.Search{User: w.user, Query: search.People{}.Parse(text).Query})
				if err != nil {
					return fmt.Errorf("%s: %w", text, err)
				}
				*times = append(*times, time.Since(start))
				if k == 0 {
					found += len(page.Messages)
				}
			}
		}
		r.line(fmt.Sprintf("%s (%.0f found)", kind.name, float64(found)/searchRounds),
			fmt.Sprintf("warm p95 %s  cold p95 %s", round(warm.percentile(.95)), round(cold.percentile(.95))), "goal p95 ≤ 150 ms")
	}
	return nil
}

// cool opens the store anew, so that its own caches are empty, and asks the system
// to forget the files where it lets us.
func (w *searchStore) cool(ctx context.Context) error {
	w.close(ctx)
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return forgetFile(path)
	})
	if err != nil {
		return err
	}
	runtime.GC()
	return w.open(ctx, false)
}

// babel makes letters in many languages. The words of a language are drawn by
// Zipf's law, so that there are common and rare ones.
type babel struct{ languages []language }

type language struct {
	name  string
	words []string
	// blank stands between words; writing without blanks has none.
	blank string
}

const vocabularySize = 30_000

func newBabel() *babel {
	r := rand.New(rand.NewPCG(1, 2))
	b := &babel{}
	add := func(name, blank string, size, least, most int, syllables ...string) {
		l := language{name: name, blank: blank}
		seen := map[string]bool{}
		for len(l.words) < size {
			var word strings.Builder
			for range least + r.IntN(most-least+1) {
				word.WriteString(syllables[r.IntN(len(syllables))])
			}
			if s := word.String(); !seen[s] {
				seen[s] = true
				l.words = append(l.words, s)
			}
		}
		b.languages = append(b.languages, l)
	}
	latin := strings.Fields("the re on er in an ti es or te ing ed al ar st to nt is en it as ro con com pro men tion ver per de li ma na la ta qui ska")
	add("English", " ", vocabularySize, 1, 4, latin...)
	add("German", " ", vocabularySize, 1, 5, append(strings.Fields("schä für über ung keit heit ich lich ge be zu ver ent straß grö bür"), latin...)...)
	add("French", " ", vocabularySize, 1, 4, append(strings.Fields("é è ê ç où eau aux ment tion ré pré œ"), latin...)...)
	add("Russian", " ", vocabularySize, 1, 4, strings.Fields("по на не ро ко ва ст то ен ра пре ло ни ли ёл йка ове ств ого ами ть ся при за вы")...)
	add("Greek", " ", vocabularySize, 1, 4, strings.Fields("και το να σή μέ ρα πο λι τι κός ση μα τα ος ης άν θρω που λό γο")...)
	add("Arabic", " ", vocabularySize, 1, 4, strings.Fields("ال من في كت اب مد رس ة أح مد عل ى سل ام نو ر حي اة")...)
	add("Hebrew", " ", vocabularySize/2, 1, 4, strings.Fields("של ום יש רא ל בי ת ספר מל ך ים ות לי מה הוא")...)
	var han []string
	for c := rune(0x4e00); c < 0x4e00+2500; c++ {
		han = append(han, string(c))
	}
	add("Chinese", "", vocabularySize, 1, 2, han...)
	var kana []string
	for c := rune(0x3042); c < 0x3094; c++ {
		kana = append(kana, string(c))
	}
	add("Japanese", "", vocabularySize, 2, 3, append(kana, han[:400]...)...)
	var hangul []string
	for c := rune(0xac00); c < 0xac00+800; c++ {
		hangul = append(hangul, string(c))
	}
	add("Korean", " ", vocabularySize, 1, 3, hangul...)
	add("Thai", "", vocabularySize/2, 2, 4, strings.Fields("กา มา ไท ย ภา ษา ดี ครับ ไม่ ได้ ที่ นี่ คน งาน วัน ปี เรา เขา")...)
	return b
}

// shares says how often each language is written, of 100.
var shares = []int{40, 12, 10, 12, 4, 4, 2, 8, 4, 2, 2}

func (b *babel) language(r *rand.Rand) *language {
	n := r.IntN(100)
	for i, share := range shares {
		if n -= share; n < 0 {
			return &b.languages[i]
		}
	}
	return &b.languages[0]
}

// words writes n words.
func (l *language) text(r *rand.Rand, n int) string {
	z := rand.NewZipf(r, 1.1, 8, uint64(len(l.words)-1))
	var out strings.Builder
	for i := range n {
		if i > 0 {
			if i%12 == 0 {
				out.WriteString(". ")
			} else {
				out.WriteString(l.blank)
			}
		}
		if i%90 == 89 {
			out.WriteString("\n")
		}
		out.WriteString(l.words[z.Uint64()])
	}
	return out.String()
}

// letter makes the message of a number, and tells the bytes of its text.
func (b *babel) letter(i int) (raw []byte, text int64) {
	r := rand.New(rand.NewPCG(uint64(i), 9))
	l := b.language(r)
	length := 40 + r.IntN(160)
	if r.IntN(10) == 0 {
		length *= 8
	}
	body := l.text(r, length)
	if i%1000 == 7 {
		body += fmt.Sprintf(" rareword%d", i/1000)
	}
	subject := l.text(r, 3+r.IntN(5))
	from := b.languages[0].words[r.IntN(2000)] + "." + b.languages[0].words[r.IntN(50)]
	raw = []byte(fmt.Sprintf("From: %s <%s@%s.example>\r\nTo: Reader <reader@example.com>\r\nSubject: %s\r\nMessage-ID: <%d.%s@bench.example>\r\n"+
		"Date: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
		strings.ToUpper(from[:1])+from[1:], from, b.languages[1].words[r.IntN(300)], subject, i, from,
		time.Date(2020, 1, 1, 0, 15*i, 0, 0, time.UTC).Format(time.RFC1123Z), strings.ReplaceAll(body, "\n", "\r\n")))
	return raw, int64(len(body) + len(subject))
}

type queryKind struct {
	name string
	make func(i int) string
}

// queries are the kinds that are measured; each round asks for other words.
func (b *babel) queries() []queryKind {
	en, ru, zh := b.languages[0].words, b.languages[3].words, b.languages[7].words
	return []queryKind{
		{"a rare word", func(i int) string { return fmt.Sprintf("rareword%d", i) }},
		{"a word of the middle", func(i int) string { return en[2000+50*i] }},
		{"a common word", func(i int) string { return en[i] }},
		{"a common word, Cyrillic", func(i int) string { return ru[i] }},
		{"two common words", func(i int) string { return en[i] + " " + en[40+i] }},
		{"common and rare", func(i int) string { return en[i] + " " + en[4000+i] }},
		{"either of two", func(i int) string { return en[1000+i] + " OR " + ru[500+i] }},
		{"one without another", func(i int) string { return en[30+i] + " -" + en[i] }},
		{"a phrase", func(i int) string { return `"` + en[i] + " " + en[2+i] + `"` }},
		{"a phrase of rarer words", func(i int) string { return `"` + en[200+i] + " " + en[300+i] + `"` }},
		{"a prefix", func(i int) string { return en[100+i][:min(3, len(en[100+i]))] + "*" }},
		{"from:", func(i int) string { return "from:" + en[i*90] }},
		{"from: and a word", func(i int) string { return "from:" + en[i] + " " + en[i] }},
		{"subject:", func(i int) string { return "subject:" + en[100+i] }},
		{"Chinese", func(i int) string { return zh[i] + zh[3+i] }},
		{"a word before a date", func(i int) string { return en[i] + " before:2022-06" }},
		{"a word among the unread", func(i int) string { return "is:unread in:inbox " + en[500+i] }},
		{"larger than", func(i int) string { return "larger:8k" }},
	}
}
