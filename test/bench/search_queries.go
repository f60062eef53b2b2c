package main

import "fmt"

type queryKind struct {
	name string
	make func(i int) string
}

// queries are the kinds that are measured in an account of so many letters; each
// round asks for other words.
func (b *babel) queries(letters int) []queryKind {
	rare := max(1, letters/rareEvery)
	en, ru, zh := b.languages[0].words, b.languages[3].words, b.languages[7].words
	return []queryKind{
		{"a rare word", func(i int) string { return fmt.Sprintf("rareword%d", i%rare) }},
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
		{"from:", func(i int) string { return "from:" + en[i*45] }},
		{"from: and a word", func(i int) string { return "from:" + en[i] + " " + en[i] }},
		{"subject:", func(i int) string { return "subject:" + en[100+i] }},
		{"Chinese", func(i int) string { return zh[i] + zh[3+i] }},
		{"a word before a date", func(i int) string { return en[i] + " before:2022-06" }},
		{"a word among the unread", func(i int) string { return "is:unread in:inbox " + en[500+i] }},
		{"larger than", func(i int) string { return "larger:8k" }},
	}
}
