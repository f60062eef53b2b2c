package docstore

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// shape writes plans as MongoDB's classic engine shows them: a stage with its input
// inside. With costs each stage tells what it gave and what it looked at.
type shape struct {
	x      *explanation
	sc     *scan
	absent bool
	costs  bool
}

// planner appends queryPlanner and, if the plan was run, executionStats.
func (s *shape) planner(b []byte, p *plan) []byte {
	i, b := bsoncore.AppendDocumentElementStart(b, "queryPlanner")
	b = bsoncore.AppendStringElement(b, "namespace", s.x.ns.String())
	b = bsoncore.AppendBooleanElement(b, "indexFilterSet", false)
	b = appendRawDoc(b, "winningPlan", s.whole(p))
	ai, a := bsoncore.AppendArrayElementStart(b, "rejectedPlans")
	for n, r := range p.rejected {
		a = appendRawDoc(a, itoa(n), s.whole(r))
	}
	b, _ = bsoncore.AppendArrayEnd(a, ai)
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	if !s.x.run {
		return b
	}
	i, b = bsoncore.AppendDocumentElementStart(b, "executionStats")
	b = bsoncore.AppendBooleanElement(b, "executionSuccess", true)
	n := s.x.found
	if s.x.write != nil {
		n = 0
	}
	b = bsoncore.AppendInt64Element(b, "nReturned", n)
	b = bsoncore.AppendInt64Element(b, "executionTimeMillis", s.x.took.Milliseconds())
	b = bsoncore.AppendInt64Element(b, "totalKeysExamined", s.sc.keys)
	b = bsoncore.AppendInt64Element(b, "totalDocsExamined", s.sc.docs)
	s.costs = true
	b = appendRawDoc(b, "executionStages", s.whole(p))
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// whole is a plan with all that is done on top of it.
func (s *shape) whole(p *plan) bson.Raw {
	if s.absent {
		return s.above(s.stage("EOF", nil, nil))
	}
	d := s.access(p)
	x := s.x
	if !p.sorted {
		d = s.stage("SORT", func(b []byte) []byte {
			b = appendRawDoc(b, "sortPattern", x.wish.sort.spec)
			return bsoncore.AppendInt64Element(b, "memLimit", sortMemory)
		}, d)
	}
	if x.top == "" && x.skip > 0 {
		d = s.stage("SKIP", func(b []byte) []byte { return bsoncore.AppendInt64Element(b, "skipAmount", x.skip) }, d)
	}
	if x.proj != nil && x.write == nil {
		name := "PROJECTION_DEFAULT"
		if p.covered {
			name = "PROJECTION_COVERED"
		}
		d = s.stage(name, nil, d)
	}
	if x.top == "" && x.limit < noLimit {
		d = s.stage("LIMIT", func(b []byte) []byte { return bsoncore.AppendInt64Element(b, "limitAmount", x.limit) }, d)
	}
	return s.above(d)
}

// above puts the stage of a count or a write over a plan.
func (s *shape) above(d bson.Raw) bson.Raw {
	x := s.x
	if x.top == "" {
		return d
	}
	return s.stage(x.top, func(b []byte) []byte {
		switch {
		case !s.costs:
		case x.top == "COUNT":
			b = bsoncore.AppendInt64Element(b, "nCounted", x.found)
			b = bsoncore.AppendInt64Element(b, "nSkipped", x.skip)
		case x.top == "DELETE":
			b = bsoncore.AppendInt64Element(b, "nWouldDelete", x.found)
		default:
			b = bsoncore.AppendInt64Element(b, "nMatched", x.found)
			b = bsoncore.AppendInt64Element(b, "nWouldModify", x.modified)
			upserts := int64(0)
			if x.write.upsert && x.found == 0 {
				upserts = 1
			}
			b = bsoncore.AppendInt64Element(b, "nWouldUpsert", upserts)
		}
		return b
	}, d)
}

// stage is one stage; fields and input may be nil.
func (s *shape) stage(name string, fields func([]byte) []byte, input bson.Raw) bson.Raw {
	i, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendStringElement(b, "stage", name)
	if fields != nil {
		b = fields(b)
	}
	if input != nil {
		b = appendRawDoc(b, "inputStage", input)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// access is how a plan gets at the documents.
func (s *shape) access(p *plan) bson.Raw {
	switch {
	case p.branches != nil:
		return s.stage("FETCH", s.docs, s.stage("OR", func(b []byte) []byte {
			ai, a := bsoncore.AppendArrayElementStart(b, "inputStages")
			for n, sub := range p.branches {
				a = appendRawDoc(a, itoa(n), s.keys(sub))
			}
			b, _ = bsoncore.AppendArrayEnd(a, ai)
			return b
		}, nil))
	case p.ix == nil:
		return s.stage("COLLSCAN", func(b []byte) []byte {
			return s.docs(bsoncore.AppendStringElement(b, "direction", direction(p)))
		}, nil)
	}
	d := s.keys(p)
	if p.merge {
		inner := d
		d = s.stage("SORT_MERGE", func(b []byte) []byte {
			b = appendRawDoc(b, "sortPattern", s.x.wish.sort.spec)
			ai, a := bsoncore.AppendArrayElementStart(b, "inputStages")
			a = appendRawDoc(a, "0", inner)
			b, _ = bsoncore.AppendArrayEnd(a, ai)
			return b
		}, nil)
	}
	if !p.covered {
		d = s.stage("FETCH", s.docs, d)
	}
	return d
}

func (s *shape) docs(b []byte) []byte {
	if s.costs {
		b = bsoncore.AppendInt64Element(b, "docsExamined", s.sc.docs)
	}
	return b
}

func direction(p *plan) string {
	if p.reverse {
		return "backward"
	}
	return "forward"
}

// keys is the look at an index.
func (s *shape) keys(p *plan) bson.Raw {
	return s.stage("IXSCAN", func(b []byte) []byte {
		ix := p.ix
		b = appendRawDoc(b, "keyPattern", ix.key)
		b = bsoncore.AppendStringElement(b, "indexName", ix.name)
		b = bsoncore.AppendBooleanElement(b, "isMultiKey", ix.multikey != 0)
		b = bsoncore.AppendBooleanElement(b, "isUnique", ix.unique)
		b = bsoncore.AppendBooleanElement(b, "isSparse", ix.sparse)
		b = bsoncore.AppendBooleanElement(b, "isPartial", ix.partial != nil)
		b = bsoncore.AppendInt32Element(b, "indexVersion", 2)
		b = bsoncore.AppendStringElement(b, "direction", direction(p))
		i, b := bsoncore.AppendDocumentElementStart(b, "indexBounds")
		for n := range ix.fields {
			ai, a := bsoncore.AppendArrayElementStart(b, ix.fields[n].Path)
			for k, text := range boundsText(p, n) {
				a = bsoncore.AppendStringElement(a, itoa(k), text)
			}
			b, _ = bsoncore.AppendArrayEnd(a, ai)
		}
		b, _ = bsoncore.AppendDocumentEnd(b, i)
		if s.costs && p == s.sc.p {
			b = bsoncore.AppendInt64Element(b, "keysExamined", s.sc.keys)
		}
		return b
	}, nil)
}

// boundsText are the bounds of a field of a plan's index, in the direction in which
// they are read.
func boundsText(p *plan, field int) []string {
	backward := p.ix.fields[field].Descending != p.reverse
	conds := p.conds
	if p.ix.numeric {
		conds = nil
	}
	iv := index.All()
	if field < len(p.points)+boolInt(p.ranged) {
		iv, _ = fieldIntervals(p.ix, field, conds)
	}
	out := make([]string, len(iv))
	for i, v := range iv {
		out[i] = interval(v, p.ix.fields[field].Path, conds, backward)
	}
	if backward {
		slices.Reverse(out)
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// interval is an interval in MongoDB's notation. Its ends are those that the
// conditions set, or those of a class of values.
func interval(v index.Interval, path string, conds []query.Condition, backward bool) string {
	low, high := "[MinKey", "MaxKey]"
	if !index.IsAll([]index.Interval{v}) {
		for _, c := range conds {
			if c.Path != path {
				continue
			}
			for _, e := range append(slices.Clone(c.Values), c.Value, value.Null(), bson.RawValue{Type: bson.TypeUndefined}) {
				low, high = ends(v, e, low, high)
			}
		}
	}
	if !backward {
		return low + ", " + high
	}
	open, end := "[", "]"
	if low[0] == '(' {
		end = ")"
	}
	if high[len(high)-1] == ')' {
		open = "("
	}
	return open + high[:len(high)-1] + ", " + low[1:] + end
}

// ends are the ends of an interval that a value explains.
func ends(v index.Interval, e bson.RawValue, low, high string) (string, string) {
	if e.Type == 0 {
		return low, high
	}
	at := index.Append(nil, e)
	after := index.Successor(at)
	least, most := classEnds(e.Type)
	switch {
	case bytes.Equal(v.Low, at):
		low = "[" + shown(e)
	case bytes.Equal(v.Low, after):
		low = "(" + shown(e)
	case low == "[MinKey" && least != "" && sameClass(v.Low, e):
		low = least
	}
	switch {
	case bytes.Equal(v.High, after):
		high = shown(e) + "]"
	case bytes.Equal(v.High, at):
		high = shown(e) + ")"
	case high == "MaxKey]" && most != "" && sameClass(v.Low, e):
		high = most
	}
	return low, high
}

// sameClass tells if an end lies within the class of a value.
func sameClass(end []byte, e bson.RawValue) bool {
	below, above := index.Below(e, false)[0].Low, index.Above(e, true)[0].High
	return bytes.Compare(end, below) >= 0 && bytes.Compare(end, above) < 0
}

// classEnds are the ends of a class of values.
func classEnds(t bson.Type) (low, high string) {
	switch t {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return "[-inf.0", "inf.0]"
	case bson.TypeString, bson.TypeSymbol:
		return `[""`, "{})"
	case bson.TypeEmbeddedDocument:
		return "[{}", "[])"
	case bson.TypeObjectID:
		return "[ObjectId('000000000000000000000000')", "ObjectId('ffffffffffffffffffffffff')]"
	case bson.TypeBoolean:
		return "[false", "true]"
	case bson.TypeDateTime:
		return "[new Date(-9223372036854775808)", "new Date(9223372036854775807)]"
	case bson.TypeTimestamp:
		return "[Timestamp(0, 0)", "Timestamp(4294967295, 4294967295)]"
	default:
		return "", ""
	}
}

// shown is a value as bounds show it.
func shown(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		n, _ := value.Whole(v)
		return strconv.FormatInt(n, 10)
	case bson.TypeDouble:
		f := value.Float(v)
		switch {
		case math.IsNaN(f):
			return "nan.0"
		case math.IsInf(f, 0):
			return map[bool]string{true: "-inf.0", false: "inf.0"}[f < 0]
		case f == math.Trunc(f) && math.Abs(f) < 1e15:
			return strconv.FormatFloat(f, 'f', 1, 64)
		default:
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
	case bson.TypeString, bson.TypeSymbol:
		return `"` + value.Str(v) + `"`
	case bson.TypeObjectID:
		return fmt.Sprintf("ObjectId('%x')", v.Value)
	case bson.TypeDateTime:
		return "new Date(" + strconv.FormatInt(value.Int64(v), 10) + ")"
	case bson.TypeBoolean:
		return strconv.FormatBool(value.Bool(v))
	case bson.TypeNull:
		return "null"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeMinKey:
		return "MinKey"
	case bson.TypeMaxKey:
		return "MaxKey"
	default:
		return v.String()
	}
}
