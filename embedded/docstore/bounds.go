package docstore

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// maxRanges bounds how many key ranges the values of several $in may multiply to;
// beyond it the later fields of the index are left to the matcher.
const maxRanges = 20_000

// keyRange is a range of index keys, low inclusive. ends are the lengths of the
// key's parts that are fixed to one value, field by field.
type keyRange struct {
	low, high []byte
	ends      []int
}

// bounds is what the conditions of a filter mean for one index.
type bounds struct {
	ranges []keyRange // ascending
	points []int      // for each leading field that is fixed: to how many values
	ranged bool       // the field after these has a range
	used   int        // how many conditions the ranges express exactly
}

// indexBounds turns conditions into key ranges.
func indexBounds(ix *indexDef, conds []query.Condition) bounds {
	prefix := ix.prefix()
	b := bounds{ranges: []keyRange{{low: prefix}}}
	for i, f := range ix.fields {
		iv, used := fieldIntervals(ix, i, conds)
		if index.IsAll(iv) {
			break
		}
		if f.Descending {
			iv = index.Descending(iv)
		}
		if len(iv)*len(b.ranges) > maxRanges && i > 0 {
			break
		}
		points := !slices.ContainsFunc(iv, func(v index.Interval) bool { return !v.Point })
		b.cross(iv, points)
		b.used += used
		if !points {
			b.ranged = true
			return b
		}
		b.points = append(b.points, len(iv))
	}
	for i := range b.ranges {
		b.ranges[i].high = index.Successor(b.ranges[i].low)
	}
	return b
}

// cross puts the intervals of the next field behind every range.
func (b *bounds) cross(iv []index.Interval, points bool) {
	out := make([]keyRange, 0, len(iv)*len(b.ranges))
	for _, r := range b.ranges {
		for _, v := range iv {
			n := keyRange{low: slices.Concat(r.low, v.Low), ends: r.ends}
			if points {
				n.ends = append(slices.Clip(r.ends), len(n.low))
			} else {
				n.high = slices.Concat(r.low, v.High)
			}
			out = append(out, n)
		}
	}
	b.ranges = out
}

// fieldIntervals are the values that the conditions leave to field i. On a path
// through arrays each condition may be met by another element, so only one of
// them may bound it; and two paths into one array cannot be bounded both.
func fieldIntervals(ix *indexDef, i int, conds []query.Condition) (iv []index.Interval, used int) {
	multikey := ix.multikey&(1<<i) != 0
	if multikey && sharesArray(ix, i) {
		return index.All(), 0
	}
	iv = index.All()
	best := 0
	for _, c := range conds {
		if c.Path != ix.fields[i].Path || (ix.hashed && c.Op != query.Eq && c.Op != query.In && c.Op != query.Null) {
			continue
		}
		next, rank := conditionIntervals(c)
		switch {
		case rank == 0:
		case !multikey:
			iv = index.Intersect(iv, next)
			used++
		case rank > best:
			iv, best = next, rank
		}
	}
	return iv, used
}

// sharesArray tells if an earlier multikey field starts like field i.
func sharesArray(ix *indexDef, i int) bool {
	top, _, _ := strings.Cut(ix.fields[i].Path, ".")
	for j := range i {
		other, _, _ := strings.Cut(ix.fields[j].Path, ".")
		if ix.multikey&(1<<j) != 0 && other == top {
			return true
		}
	}
	return false
}

// conditionIntervals is one condition as intervals, and how selective it is
// likely to be; 0: it does not bound.
func conditionIntervals(c query.Condition) ([]index.Interval, int) {
	switch c.Op {
	case query.Eq:
		return index.Points(c.Value), 4
	case query.In:
		values := slices.Clone(c.Values)
		if slices.ContainsFunc(values, value.Nullish) {
			values = append(values, value.Null(), bson.RawValue{Type: bson.TypeUndefined})
		}
		return index.Points(values...), 3
	case query.Null:
		return index.Nulls(), 2
	case query.Gt, query.Gte:
		return index.Above(c.Value, c.Op == query.Gte), 1
	case query.Lt, query.Lte:
		return index.Below(c.Value, c.Op == query.Lte), 1
	case query.Exists:
		return nil, 0
	default:
		return nil, 0
	}
}

// simpleConditions counts the conditions of a filter in which every condition is
// a comparison with a plain value, so that bounds can say all of it. It is -1 for
// any other filter.
func simpleConditions(filter bson.Raw) int {
	n := 0
	b := value.Inside(filter)
	for {
		t, key, v, rest, ok := value.Next(b)
		if !ok {
			return n
		}
		if len(key) == 0 || key[0] == '$' {
			return -1
		}
		more := simpleCondition(bson.RawValue{Type: t, Value: v})
		if more < 0 {
			return -1
		}
		n, b = n+more, rest
	}
}

func simpleCondition(v bson.RawValue) int {
	if v.Type != bson.TypeEmbeddedDocument {
		if plain(v) {
			return 1
		}
		return -1
	}
	n := 0
	b := value.Inside(v.Value)
	for {
		t, op, w, rest, ok := value.Next(b)
		if !ok {
			return n
		}
		val := bson.RawValue{Type: t, Value: w}
		switch string(op) {
		case "$eq", "$gt", "$gte", "$lt", "$lte":
			if !plain(val) {
				return -1
			}
		case "$in":
			if t != bson.TypeArray || !allPlain(w) {
				return -1
			}
		default:
			return -1
		}
		n, b = n+1, rest
	}
}

func allPlain(array []byte) bool {
	b := value.Inside(array)
	for {
		t, _, v, rest, ok := value.Next(b)
		if !ok {
			return true
		}
		if !plain(bson.RawValue{Type: t, Value: v}) {
			return false
		}
		b = rest
	}
}

// plain values are equal to nothing but themselves and have a class of their own.
func plain(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		return !value.IsNaN(v)
	case bson.TypeString, bson.TypeObjectID, bson.TypeBoolean, bson.TypeDateTime, bson.TypeBinary:
		return true
	default:
		return false
	}
}

// filterPaths collects the paths that a filter looks at. It is false when the
// filter may look at the document in another way, or into sub-documents.
func filterPaths(filter bson.Raw, paths []string) ([]string, bool) {
	b := value.Inside(filter)
	for {
		t, key, v, rest, ok := value.Next(b)
		if !ok {
			return paths, true
		}
		b = rest
		name := string(key)
		switch {
		case name == "$and" || name == "$or" || name == "$nor":
			a := value.Inside(v)
			for t == bson.TypeArray {
				_, _, d, next, ok := value.Next(a)
				if !ok {
					break
				}
				if paths, ok = filterPaths(d, paths); !ok {
					return nil, false
				}
				a = next
			}
		case name == "" || name[0] == '$':
			return nil, false
		default:
			paths = append(paths, name)
		}
	}
}
