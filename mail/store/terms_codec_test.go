package store

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

func TestMessageTermsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOf(rapid.StringN(0, 40, 60)).Draw(t, "terms")
		slices.Sort(terms)
		terms = slices.Compact(terms)
		size := rapid.Int64Range(0, 1<<40).Draw(t, "size")
		gotSize, got, err := decodeMessageTerms(encodeMessageTerms(size, terms))
		if err != nil || gotSize != size || !slices.Equal(got, terms) {
			t.Fatalf("%d %q, %v", gotSize, got, err)
		}
	})
}

func TestPostingsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		marks := newBitmap(n)
		for _, i := range rapid.SliceOf(rapid.IntRange(0, n-1)).Draw(t, "list") {
			marks.set(uint32(i))
		}
		if rapid.Bool().Draw(t, "most") {
			all := fullBitmap(n)
			all.without(marks)
			marks = all
		}
		var list []uint32
		for i := marks.next(0, false); i >= 0; i = marks.next(i+1, false) {
			list = append(list, uint32(i))
		}
		if len(list) != marks.count() {
			t.Fatalf("%d members of %d", len(list), marks.count())
		}
		var got, back []uint32
		if err := eachPosting(encodePostings(nil, list, n), ricePostings, len(list), n, func(i uint32) { got = append(got, i) }); err != nil || !slices.Equal(got, list) {
			t.Fatalf("%v, %v; want %v", got, err, list)
		}
		for i := marks.next(n-1, true); i >= 0; i = marks.next(i-1, true) {
			back = append(back, uint32(i))
		}
		slices.Reverse(back)
		if !slices.Equal(back, list) {
			t.Fatalf("backwards %v, want %v", back, list)
		}
	})
}

func TestTableSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var docs []termDoc
		var data []byte
		before := &termDoc{}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			d := termDoc{root: mail.NewID(), date: rapid.Int64Range(-1<<45, 1<<45).Draw(t, "date"), size: rapid.Int64Range(0, 1<<40).Draw(t, "size")}
			data = appendDoc(data, before, &d)
			docs = append(docs, d)
			before = &d
		}
		got, err := decodeDocs(data)
		if err != nil || !slices.Equal(got, docs) {
			t.Fatalf("%v, %v; want %v", got, err, docs)
		}
	})
}

func TestSortNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 500).Draw(t, "n")
		list := rapid.SliceOf(rapid.Uint32Range(0, uint32(n-1))).Draw(t, "list")
		want := slices.Clone(list)
		slices.Sort(want)
		want = slices.Compact(want)
		marks := bitmap(nil)
		for range 2 { // the marks are used again
			var got []uint32
			if got, marks = sortNumbers(slices.Clone(list), marks, n); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}

// FuzzTermBlocks: a damaged index gives an error, never a panic or an endless loop.
func FuzzTermBlocks(f *testing.F) {
	f.Add(encodeMessageTerms(7, []string{"a", "ab", "b"}), 5, 40)
	f.Add(encodePostings(nil, []uint32{1, 5, 7}, 100), 3, 100)
	f.Add(appendDoc(nil, &termDoc{}, &termDoc{date: 5}), 1, 1)
	f.Add(bytes.Repeat([]byte{0xff}, 40), 1<<30, 1)
	f.Fuzz(func(_ *testing.T, data []byte, count, n int) {
		_, _, _ = decodeMessageTerms(data)
		_, _ = decodeDocs(data)
		_, _ = unpack(data)
		if n > 0 && n < 1<<20 && count >= 0 && count < 1<<20 {
			marks := newBitmap(n)
			for _, form := range []int{plainPostings, ricePostings} {
				_ = eachPosting(data, form, count, n, func(i uint32) {
					if int(i) < n {
						marks.set(i)
					}
				})
			}
		}
		_ = eachEntry(data, "", highest, func([]byte, termEntry) error { return nil })
	})
}
