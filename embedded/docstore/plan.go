package docstore

import (
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// maxMerged is how many ranges may be merged to keep the order of an index.
const maxMerged = 1000

// plan is how to find the documents of a filter.
type plan struct {
	coll     *collection
	ix       *indexDef // nil: every document is looked at
	ranges   []keyRange
	fixed    int  // fields before the merge order, if merge
	merge    bool // the ranges are merged to give the sort's order
	reverse  bool
	sorted   bool   // the order is the one asked for
	exact    bool   // the ranges hold what the filter matches and nothing else
	covered  bool   // the keys hold all that is needed
	needed   uint64 // if covered: bit i: filter or answer look at field i
	direct   bool   // covered, and what the keys give is the answer already
	score    int
	branches []*plan // of an $or, in place of all that
	own      []*query.Matcher
	rejected []*plan

	conds  []query.Condition // what ranges are made of, for explain
	points []int             // as in bounds
	ranged bool
}

// wish is what a plan is for.
type wish struct {
	m       *query.Matcher
	filter  bson.Raw
	sort    *sortSpec // nil: any order
	fields  []string  // the paths that the answer needs, if only is set
	only    bool
	hint    bson.RawValue
	reads   bool // covered answers are of use
	explain bool // keep the plans that lost
}

// choose makes the plan of a wish.
func choose(coll *collection, w *wish) (*plan, error) {
	natural := &plan{coll: coll, sorted: w.sort == nil}
	if w.sort != nil && w.sort.natural != 0 {
		natural.sorted, natural.reverse = true, w.sort.natural < 0
		return natural, nil
	}
	hinted, scan, err := hintedIndex(coll, w.hint)
	if err != nil {
		return nil, err
	}
	if scan != 0 {
		natural.reverse = scan < 0
		return natural, nil
	}
	conds := w.m.Conditions()
	best := bestIndex(coll, w, conds, w.m.Implies, hinted)
	if hinted != nil && best == nil {
		return nil, refuse(291, "NoQueryExecutionPlans", "the hinted index cannot answer this query")
	}
	if hinted == nil && (best == nil || best.score <= scoreSort+scoreCover) {
		if or := orPlan(coll, w, conds); or != nil {
			if best != nil {
				or.rejected = append(best.rejected, best)
			}
			return or, nil
		}
	} else if hinted == nil && w.explain {
		if or := orPlan(coll, w, conds); or != nil {
			best.rejected = append(best.rejected, or)
		}
	}
	if best == nil {
		return natural, nil
	}
	return best, nil
}

// What makes an index good: a fixed field, a range, the order, a covered answer.
const (
	scoreUnique = 1000
	scoreNamed  = 100 // one document for each of the values that are asked for
	scorePoint  = 10
	scorePoints = 8
	scoreSort   = 7
	scoreRange  = 5
	scoreCover  = 1
)

func bestIndex(coll *collection, w *wish, conds []query.Condition, implies func(*query.Matcher) bool, hinted []*indexDef) *plan {
	var best *plan
	var all []*plan
	for _, ix := range coll.indexes {
		if (hinted != nil && !slices.Contains(hinted, ix)) || (hinted == nil && !begins(ix, w, conds)) || !usable(ix, conds, implies, len(hinted)) {
			continue
		}
		p := indexPlan(coll, ix, w, conds)
		if p.score < scoreRange && hinted == nil {
			continue
		}
		all = append(all, p)
		if best == nil || p.score > best.score {
			best = p
		}
		if p.score >= scoreUnique && !w.explain {
			break // nothing beats one document
		}
	}
	if best != nil && w.explain {
		best.rejected = slices.DeleteFunc(all, func(p *plan) bool { return p == best })
	}
	return best
}

// begins tells if filter or sort have to do with an index's first field. Without
// that it is no better than a scan.
func begins(ix *indexDef, w *wish, conds []query.Condition) bool {
	first := ix.fields[0].Path
	if w.sort != nil && len(w.sort.fields) > 0 && w.sort.fields[0].Path == first {
		return true
	}
	return slices.ContainsFunc(conds, func(c query.Condition) bool { return c.Path == first })
}

// usable tells if the index holds every document that can match. hinted is how many
// indexes the hint names.
func usable(ix *indexDef, conds []query.Condition, implies func(*query.Matcher) bool, hinted int) bool {
	if ix.partial != nil && !implies(ix.partial) {
		return false
	}
	if ix.numeric && hinted == 0 {
		return false
	}
	if !ix.sparse || hinted == 1 { // a hint takes a sparse index as it is, as in MongoDB
		return true
	}
	for _, c := range conds {
		if c.Op == query.Null || (c.Op == query.In && slices.ContainsFunc(c.Values, value.Nullish)) {
			continue
		}
		if slices.ContainsFunc(ix.fields, func(f index.Field) bool { return f.Path == c.Path }) {
			return true
		}
	}
	return false
}

func indexPlan(coll *collection, ix *indexDef, w *wish, conds []query.Condition) *plan {
	if ix.numeric {
		conds = nil
	}
	b := indexBounds(ix, conds)
	p := &plan{coll: coll, ix: ix, ranges: b.ranges, conds: conds, points: b.points, ranged: b.ranged}
	single := true
	for _, n := range b.points {
		if n == 1 {
			p.score += scorePoint
		} else {
			p.score += scorePoints
			single = false
		}
	}
	if b.ranged {
		p.score += scoreRange
	}
	if ix.unique && len(b.points) == len(ix.fields) && ix.partial == nil {
		p.score += scoreNamed
		if single {
			p.score += scoreUnique
		}
	}
	p.sorted = w.sort == nil
	if w.sort != nil && !ix.hashed && p.order(w.sort, b) {
		p.sorted = true
		p.score += scoreSort
	}
	met := b.used + ix.grants(conds)
	p.exact = ix.multikey == 0 && !ix.hashed && met == len(conds) && met == simpleConditions(w.filter)
	if w.reads {
		p.needed, p.covered = covers(ix, w, p.exact)
		p.direct = p.covered && p.exact
		if p.covered {
			p.score += scoreCover
		}
	}
	return p
}

// grants is how many of the conditions every document of a partial index meets,
// because they are the index's own.
func (ix *indexDef) grants(conds []query.Condition) (n int) {
	if ix.partial == nil || ix.numeric {
		return 0
	}
	own := ix.partial.Conditions()
	for _, c := range conds {
		if c.Op == query.Eq && !slices.ContainsFunc(ix.fields, func(f index.Field) bool { return f.Path == c.Path }) &&
			slices.ContainsFunc(own, func(o query.Condition) bool {
				return o.Op == query.Eq && o.Path == c.Path && value.Compare(o.Value, c.Value) == 0
			}) {
			n++
		}
	}
	return n
}

// order tells if the index gives the order asked for, and sets how to read it.
func (p *plan) order(s *sortSpec, b bounds) bool {
	fields := p.ix.fields
	fixed := func(i int) bool { return i < len(b.points) && b.points[i] == 1 && p.ix.multikey&(1<<i) == 0 }
	i, decided, skipped := 0, false, -1
	for _, want := range s.fields {
		if slices.ContainsFunc(fields[:len(b.points)], func(f index.Field) bool { return f.Path == want.Path }) {
			j := slices.IndexFunc(fields, func(f index.Field) bool { return f.Path == want.Path })
			if fixed(j) {
				continue
			}
		}
		for i < len(fields) && fields[i].Path != want.Path && i < len(b.points) {
			if b.points[i] != 1 {
				skipped = i
			}
			i++
		}
		if i == len(fields) || fields[i].Path != want.Path || p.ix.multikey&(1<<i) != 0 {
			return false
		}
		reverse := fields[i].Descending != want.Descending
		if decided && reverse != p.reverse {
			p.reverse = false
			return false
		}
		p.reverse, decided = reverse, true
		i++
	}
	if skipped >= 0 && len(p.ranges) > 1 {
		if len(p.ranges) > maxMerged {
			p.reverse = false
			return false
		}
		p.merge, p.fixed = true, skipped
	}
	return true
}

// covers tells if the keys of an index hold all that filter and answer look at,
// and which of its fields that is. Where the plan is exact nobody looks at the
// filter's fields.
func covers(ix *indexDef, w *wish, exact bool) (needed uint64, ok bool) {
	if ix.multikey != 0 || ix.hashed || ix.numeric || !w.only {
		return 0, false
	}
	if exact && len(w.fields) > 0 {
		return maskOf(ix, w.fields)
	}
	paths, ok := filterPaths(w.filter, slices.Clone(w.fields))
	if !ok || len(paths) == 0 {
		return 0, false
	}
	return maskOf(ix, paths)
}

// maskOf finds paths among an index's fields; false if one is not there, or if two
// begin alike, and a key would have to give two parts of one document.
func maskOf(ix *indexDef, paths []string) (mask uint64, ok bool) {
	var tops []string
	for _, p := range paths {
		i := slices.IndexFunc(ix.fields, func(f index.Field) bool { return f.Path == p })
		if i < 0 {
			return 0, false
		}
		top, _, _ := strings.Cut(p, ".")
		if mask>>i&1 == 0 && slices.Contains(tops, top) {
			return 0, false
		}
		mask |= 1 << i
		tops = append(tops, top)
	}
	return mask, true
}

// orPlan answers an $or by an index for each branch.
func orPlan(coll *collection, w *wish, conds []query.Condition) *plan {
	for _, group := range w.m.Or() {
		p := &plan{coll: coll, own: group, sorted: w.sort == nil, score: scoreRange}
		for _, branch := range group {
			both := func(partial *query.Matcher) bool { return w.m.Implies(partial) || branch.Implies(partial) }
			sub := &wish{m: branch, filter: w.filter}
			best := bestIndex(coll, sub, slices.Concat(branch.Conditions(), conds), both, nil)
			if best == nil {
				p = nil
				break
			}
			best.exact = false
			p.branches = append(p.branches, best)
		}
		if p != nil && len(p.branches) > 0 {
			return p
		}
	}
	return nil
}

// hintedIndex finds what a hint names: indexes, or a scan forwards or backwards. A
// key may be that of several, which differ in their options.
func hintedIndex(coll *collection, hint bson.RawValue) (list []*indexDef, scan int, err error) {
	switch hint.Type {
	case 0:
		return nil, 0, nil
	case bson.TypeString:
		if ix := coll.index(value.Str(hint)); ix != nil {
			list = append(list, ix)
		}
	case bson.TypeEmbeddedDocument:
		if v, ok := value.Lookup(hint.Value, "$natural"); ok {
			n, _ := value.Whole(v)
			if n != 1 && n != -1 {
				return nil, 0, value.BadValue("$natural hint must be 1 or -1")
			}
			return nil, int(n), nil
		}
		if len(hint.Value) == 5 {
			return nil, 0, nil
		}
		for _, x := range coll.indexes {
			if value.Compare(hint, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: x.key}) == 0 {
				list = append(list, x)
			}
		}
	default:
		return nil, 0, value.FailedToParse("Hint must be a string or an object")
	}
	if list == nil {
		return nil, 0, value.BadValue("error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index")
	}
	return list, 0, nil
}

func checkHint(v bson.RawValue) error {
	if v.Type != 0 && v.Type != bson.TypeString && v.Type != bson.TypeEmbeddedDocument {
		return value.FailedToParse("Hint must be a string or an object")
	}
	return nil
}

// noLimit is the number of documents of an unlimited read.
const noLimit = math.MaxInt64

// stands tells if the collection and the indexes of the plan still exist.
func (p *plan) stands(cat *catalog) bool {
	now := cat.colls[p.coll.ns]
	if now == nil || now.id != p.coll.id {
		return false
	}
	for _, b := range p.branches {
		if !b.stands(cat) {
			return false
		}
	}
	if p.ix == nil {
		return true
	}
	ix := now.index(p.ix.name)
	return ix != nil && ix.id == p.ix.id
}
