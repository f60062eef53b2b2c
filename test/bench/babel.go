package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// babel makes letters in many languages. The words of a language are drawn by
// Zipf's law, so that there are common and rare ones.
type babel struct{ languages []language }

type language struct {
	name  string
	words []string
	// blank stands between words; writing without blanks has none.
	blank string
}

const (
	vocabularySize = 30_000
	// rareEvery letters one has a word that no other has.
	rareEvery = 1000
	// unreadEvery letters one is unread.
	unreadEvery = 30
)

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
	if i%rareEvery == 7 {
		body += fmt.Sprintf(" rareword%d", i/rareEvery)
	}
	subject := l.text(r, 3+r.IntN(5))
	from := b.languages[0].words[r.IntN(2000)] + "." + b.languages[0].words[r.IntN(50)]
	raw = []byte(fmt.Sprintf("From: %s <%s@%s.example>\r\nTo: Reader <reader@example.com>\r\nSubject: %s\r\nMessage-ID: <%d.%s@bench.example>\r\n"+
		"Date: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
		strings.ToUpper(from[:1])+from[1:], from, b.languages[1].words[r.IntN(300)], subject, i, from,
		time.Date(2020, 1, 1, 0, 15*i, 0, 0, time.UTC).Format(time.RFC1123Z), strings.ReplaceAll(body, "\n", "\r\n")))
	return raw, int64(len(body) + len(subject))
}
