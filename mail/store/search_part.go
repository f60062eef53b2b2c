package store

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/eidermail/eider/mail/search"
)

// searchPart is a piece of an account's index: a segment, or the new messages.
// Messages have numbers in it, newest first.
type searchPart interface {
	size() int
	// lookup finds the messages that may meet a condition, and those that do.
	lookup(ctx context.Context, l search.Lookup) (lower, upper bitmap, err error)
	doc(ctx context.Context, i int) (*termDoc, error)
	// since is the first message of at most the date.
	since(ctx context.Context, date int64) (int, error)
}

func (g *segment) size() int { return g.N }

const (
	// nearPostings is how far apart lists may lie to be read together, and
	// mostPostings how much is read at once.
	nearPostings = 64 << 10
	mostPostings = 1 << 20
	// pairsWorth messages cost more to read than to look up the pairs of a phrase.
	pairsWorth = 3
)

func (g *segment) lookup(ctx context.Context, l search.Lookup) (lower, upper bitmap, err error) {
	upper = fullBitmap(g.N)
	var cut bitmap
	if l.OrCut {
		if cut, err = g.find(ctx, search.Term{Token: search.CutToken}, search.StatePlaces); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range l.All {
		found, err := g.find(ctx, t, l.Places)
		if err != nil {
			return nil, nil, err
		}
		if cut != nil {
			found.or(cut)
		}
		if upper.and(found); upper.count() == 0 {
			return upper, upper, nil
		}
	}
	if l.Exact {
		return upper, upper, nil
	}
	if err := g.pairs(ctx, l.Pairs, upper); err != nil {
		return nil, nil, err
	}
	if l.Proof != "" {
		lower, err = g.find(ctx, search.Term{Token: l.Proof}, l.Places)
		return lower, upper, err
	}
	return newBitmap(g.N), upper, nil
}

// pairs leaves the messages that may have the pairs: those that do, and those
// whose pairs nobody has put into the index.
func (g *segment) pairs(ctx context.Context, pairs []search.Pair, upper bitmap) error {
	if len(pairs) == 0 || upper.count() < pairsWorth {
		return nil
	}
	var known bitmap
	if g.Paired < g.N {
		var err error
		if known, err = g.find(ctx, search.Term{Token: search.PairsToken}, search.PairPlaces); err != nil {
			return err
		}
	}
	for _, pair := range pairs {
		found := newBitmap(g.N)
		for _, token := range pair {
			some, err := g.find(ctx, search.Term{Token: token}, search.PairPlaces)
			if err != nil {
				return err
			}
			found.or(some)
		}
		if known != nil {
			each(found, known, func(x, y uint64) uint64 { return x | ^y })
		}
		upper.and(found)
	}
	return nil
}

// find gives the messages with a term in one of the places.
func (g *segment) find(ctx context.Context, t search.Term, places string) (bitmap, error) {
	var list []termEntry
	take := func(term []byte, e termEntry) error {
		token, place := splitTerm(term)
		if placed(places, place) && matches(t, token) {
			list = append(list, e)
		}
		return nil
	}
	var err error
	switch t.Kind {
	case search.Exactly:
		err = g.entries(ctx, t.Token+search.TermMark, t.Token+search.AfterMark, take)
	case search.Begin:
		err = g.entries(ctx, t.Token, t.Token+highest, take)
	case search.End, search.Contain:
		err = g.dictionary(ctx, take)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b termEntry) int { return compareOffsets(a.offset, b.offset) })
	out := newBitmap(g.N)
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].offset < list[n-1].offset+list[n-1].length+nearPostings && list[n].offset-list[0].offset < mostPostings {
			n++
		}
		if err := g.postings(ctx, list[:n], out); err != nil {
			return nil, err
		}
		list = list[n:]
	}
	return out, nil
}

func compareOffsets(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// matches tells whether a token is one that the term stands for.
func matches(t search.Term, token string) bool {
	switch t.Kind {
	case search.Exactly:
		return token == t.Token
	case search.Begin:
		return strings.HasPrefix(token, t.Token)
	case search.End:
		return strings.HasSuffix(token, t.Token)
	case search.Contain:
		return strings.Contains(token, t.Token)
	}
	return false
}

// freshPart is the new messages, in memory.
type freshPart struct{ list []freshMessage }

func newFreshPart(list []freshMessage) *freshPart {
	slices.SortFunc(list, func(a, b freshMessage) int {
		if a.newer(&b.termDoc) {
			return -1
		}
		return 1
	})
	return &freshPart{list}
}

func (p *freshPart) size() int { return len(p.list) }

func (p *freshPart) doc(_ context.Context, i int) (*termDoc, error) { return &p.list[i].termDoc, nil }

func (p *freshPart) since(_ context.Context, date int64) (int, error) {
	for i := range p.list {
		if p.list[i].date <= date {
			return i, nil
		}
	}
	return len(p.list), nil
}

func (p *freshPart) lookup(_ context.Context, l search.Lookup) (lower, upper bitmap, err error) {
	lower, upper = newBitmap(len(p.list)), newBitmap(len(p.list))
	for i := range p.list {
		terms := p.list[i].terms
		cut := l.OrCut && hasTerm(terms, search.Term{Token: search.CutToken}, search.StatePlaces)
		all := !slices.ContainsFunc(l.All, func(t search.Term) bool { return !cut && !hasTerm(terms, t, l.Places) })
		if !all || !mayPair(terms, l.Pairs) {
			continue
		}
		upper.set(uint32(i))
		if l.Exact || (l.Proof != "" && hasTerm(terms, search.Term{Token: l.Proof}, l.Places)) {
			lower.set(uint32(i))
		}
	}
	return lower, upper, nil
}

// mayPair: the terms have all the pairs, or no pairs were put among them.
func mayPair(terms []string, pairs []search.Pair) bool {
	has := func(token string) bool { return hasTerm(terms, search.Term{Token: token}, search.PairPlaces) }
	return len(pairs) == 0 || !has(search.PairsToken) || !slices.ContainsFunc(pairs, func(p search.Pair) bool { return !has(p[0]) && !has(p[1]) })
}

// hasTerm looks for a term in a sorted list.
func hasTerm(terms []string, t search.Term, places string) bool {
	from := 0
	if t.Kind == search.Exactly || t.Kind == search.Begin {
		from, _ = slices.BinarySearch(terms, t.Token)
	}
	for _, term := range terms[from:] {
		token, place := splitTerm([]byte(term))
		if matches(t, token) {
			if placed(places, place) {
				return true
			}
			continue
		}
		if (t.Kind == search.Exactly || t.Kind == search.Begin) && !strings.HasPrefix(token, t.Token) {
			return false
		}
	}
	return false
}

// leafBits is what a part knows of a condition. nil bitmaps: nothing.
type leafBits struct{ lower, upper bitmap }

// searchTree is a query with its conditions numbered.
type searchTree struct {
	kind byte // '&', '|', '!' or 'q'
	kids []*searchTree
	q    search.Query
	leaf int
	// costly: it has to go through a whole dictionary.
	costly bool
}

func compileSearch(q search.Query, leaves *int) *searchTree {
	list := func(kind byte, qs []search.Query) *searchTree {
		t := &searchTree{kind: kind}
		for _, k := range qs {
			kid := compileSearch(k, leaves)
			t.kids = append(t.kids, kid)
			t.costly = t.costly || kid.costly
		}
		// What costs little goes first: it may settle the rest.
		slices.SortStableFunc(t.kids, func(a, b *searchTree) int { return b2i(a.costly) - b2i(b.costly) })
		return t
	}
	switch q := q.(type) {
	case search.And:
		return list('&', q)
	case search.Or:
		return list('|', q)
	case search.Not:
		return list('!', []search.Query{q.Query})
	}
	t := &searchTree{kind: 'q', q: q, leaf: *leaves}
	*leaves++
	if l, ok := search.LookupOf(q); ok {
		t.costly = slices.ContainsFunc(l.All, func(t search.Term) bool { return t.Kind == search.End || t.Kind == search.Contain })
	}
	return t
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bits evaluates the tree over all messages of a part, and notes what it learns
// of each condition.
func (t *searchTree) bits(ctx context.Context, p searchPart, leaves []leafBits) (lower, upper bitmap, err error) {
	n := p.size()
	switch t.kind {
	case 'q':
		return t.leafBits(ctx, p, leaves)
	case '!':
		low, up, err := t.kids[0].bits(ctx, p, leaves)
		if err != nil {
			return nil, nil, err
		}
		lower, upper = fullBitmap(n), fullBitmap(n)
		lower.without(up)
		upper.without(low)
		return lower, upper, nil
	case '&':
		lower, upper = fullBitmap(n), fullBitmap(n)
		for _, k := range t.kids {
			low, up, err := k.bits(ctx, p, leaves)
			if err != nil {
				return nil, nil, err
			}
			lower.and(low)
			if upper.and(up); upper.next(0, false) < 0 {
				return lower, upper, nil
			}
		}
		return lower, upper, nil
	}
	lower, upper = newBitmap(n), newBitmap(n)
	for _, k := range t.kids {
		low, up, err := k.bits(ctx, p, leaves)
		if err != nil {
			return nil, nil, err
		}
		lower.or(low)
		upper.or(up)
	}
	return lower, upper, nil
}

func (t *searchTree) leafBits(ctx context.Context, p searchPart, leaves []leafBits) (lower, upper bitmap, err error) {
	n := p.size()
	if l, ok := search.LookupOf(t.q); ok {
		lower, upper, err = p.lookup(ctx, l)
		leaves[t.leaf] = leafBits{lower, upper}
		return lower, upper, err
	}
	d, ok := t.q.(search.Date)
	if !ok || d.Sent {
		return newBitmap(n), fullBitmap(n), nil
	}
	from, to := 0, n
	if !d.To.IsZero() {
		if from, err = p.since(ctx, d.To.Add(-1).UnixMilli()); err != nil {
			return nil, nil, err
		}
	}
	if !d.From.IsZero() {
		first := d.From.UnixMilli()
		if d.From.Nanosecond()%1e6 != 0 {
			first++
		}
		if to, err = p.since(ctx, max(first, math.MinInt64+1)-1); err != nil {
			return nil, nil, err
		}
	}
	lower = newBitmap(n)
	for i := from; i < to; i++ {
		lower.set(uint32(i))
	}
	leaves[t.leaf] = leafBits{lower, lower}
	return lower, lower, nil
}

// judge evaluates the tree for one message.
func (t *searchTree) judge(leaf func(*searchTree) search.Tri) search.Tri {
	switch t.kind {
	case 'q':
		return leaf(t)
	case '!':
		return -t.kids[0].judge(leaf)
	case '&':
		out := search.Yes
		for _, k := range t.kids {
			if out = min(out, k.judge(leaf)); out == search.No {
				break
			}
		}
		return out
	}
	out := search.No
	for _, k := range t.kids {
		if out = max(out, k.judge(leaf)); out == search.Yes {
			break
		}
	}
	return out
}

// of is what a part knows of a condition on one of its messages.
func (b leafBits) of(i int) search.Tri {
	switch {
	case b.upper == nil:
		return search.Maybe
	case b.lower.has(i):
		return search.Yes
	case !b.upper.has(i):
		return search.No
	}
	return search.Maybe
}
