package docstore

import (
	"bytes"
	"errors"
	"iter"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/value"
)

var aggregateCommand = command{
	fields: map[string]kind{
		"pipeline": kindArray, "cursor": kindDoc, "allowDiskUse": kindBool, "bypassDocumentValidation": kindBool,
		"hint": kindAny, "let": kindDoc, "explain": kindBool,
	},
	required: []string{"pipeline"},
	only:     map[string]int32{"let": 2},
	write:    true, reads: true, stable: true,
	run: runAggregate,
}

// pipelineMemory bounds what a pipeline's result may take before the client has
// read it.
const pipelineMemory = 100 << 20

func runAggregate(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	if q.flag("explain") {
		x, err := explainAggregate(q)
		if err != nil {
			return nil, err
		}
		x.command = q.body
		return x.answer()
	}
	if !q.has("cursor") {
		return nil, value.FailedToParse("The 'cursor' option is required, except for aggregate with the explain argument")
	}
	size := int64(defaultBatch)
	err = eachField("cursor", q.fields["cursor"], func(key string, v bson.RawValue) error {
		if key != "batchSize" {
			return unknownField("cursor", key)
		}
		size, _ = value.Whole(v)
		return kindCount.check("cursor", key, v)
	})
	if err != nil {
		return nil, err
	}
	stages, err := documents("aggregate", "pipeline", q.fields["pipeline"])
	if err != nil {
		return nil, err
	}
	if docs, ok, err := q.statsPipeline(ns, stages); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return q.cursorReply(ns, &listSource{docs: docs}, size, false)
	}
	if docs, ok, err := q.countPipeline(ns, stages); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return q.cursorReply(ns, &listSource{docs: docs}, size, false)
	}
	p, err := expr.CompilePipeline(stages)
	if err != nil {
		return nil, err
	}
	docs, err := q.pipeline(ns, p)
	if err != nil {
		return nil, err
	}
	return q.cursorReply(ns, &listSource{docs: docs}, size, false)
}

// counting is the pipeline that a driver's CountDocuments sends: $match, then $skip,
// $limit, and a $group that sums ones under a constant.
type counting struct {
	filter      bson.Raw
	skip, limit int64
	id          bson.RawValue
	field       string
}

// countParts takes such a pipeline apart; ok is false for any other.
func countParts(stages []bson.Raw) (c counting, ok bool) {
	var group bson.RawValue
	for i, s := range stages {
		_, name, _, rest, _ := value.Next(value.Inside(s))
		v, _ := value.Lookup(s, string(name))
		n, whole := value.Whole(v)
		switch string(name) {
		case "$match":
			ok = i == 0 && v.Type == bson.TypeEmbeddedDocument
			c.filter = v.Value
		case "$skip":
			ok = whole && n >= 0 && c.skip == 0 && c.limit == 0
			c.skip = n
		case "$limit":
			ok = whole && n > 0 && c.limit == 0
			c.limit = n
		case "$group":
			ok = i == len(stages)-1
			group = v
		default:
			ok = false
		}
		if !ok || len(rest) > 0 {
			return c, false
		}
	}
	c.id, c.field, ok = countGroup(group)
	return c, ok
}

// countPipeline answers a counting pipeline from an index, without its documents.
// ok is false for any other.
func (q *request) countPipeline(ns namespace, stages []bson.Raw) (docs []bson.Raw, ok bool, err error) {
	c, ok := countParts(stages)
	if !ok {
		return nil, false, nil
	}
	s, err := newSearch(q, ns, c.filter, nil, nil, q.fields["hint"])
	if err != nil {
		return nil, false, err
	}
	n, err := s.count(c.skip, c.limit)
	if err != nil || n <= 0 {
		return nil, true, err
	}
	sum := value.OfInt64(n)
	if n <= math.MaxInt32 {
		sum = value.OfInt32(int32(n))
	}
	return []bson.Raw{bsoncore.BuildDocument(nil, appendValue(appendValue(nil, "_id", c.id), c.field, sum))}, true, nil
}

// countGroup takes {_id: constant, field: {$sum: 1}} apart.
func countGroup(group bson.RawValue) (id bson.RawValue, field string, ok bool) {
	if group.Type != bson.TypeEmbeddedDocument {
		return id, "", false
	}
	t, name, v, rest, _ := value.Next(value.Inside(group.Value))
	id = bson.RawValue{Type: t, Value: v}
	if string(name) != "_id" || (t != bson.TypeInt32 && t != bson.TypeNull) {
		return id, "", false
	}
	t, name, v, rest, ok = value.Next(rest)
	if !ok || t != bson.TypeEmbeddedDocument || len(rest) > 0 || string(name) == "_id" || strings.ContainsAny(string(name), ".$") {
		return id, "", false
	}
	t, op, one, rest, ok := value.Next(value.Inside(v))
	if !ok || string(op) != "$sum" || t != bson.TypeInt32 || len(rest) > 0 {
		return id, "", false
	}
	return id, string(name), value.Int64(bson.RawValue{Type: t, Value: one}) == 1
}

// pipeline lets the planner do the start of a pipeline and runs the rest on its
// documents.
func (q *request) pipeline(ns namespace, p *expr.Pipeline) ([]bson.Raw, error) {
	pre := p.Prefix()
	s, err := newSearch(q, ns, pre.Filter, pre.Sort, nil, q.fields["hint"])
	if err != nil {
		return nil, err
	}
	s.skip = pre.Skip
	if pre.Limit > 0 {
		s.limit = pre.Limit
	}
	vars := expr.Vars{"NOW": value.OfDate(q.e.now().UnixMilli())}
	for {
		docs, err := collect(pre.Rest.RunVars(s.documents(), vars))
		if !errors.Is(err, errStale) {
			return docs, err
		}
	}
}

func collect(in iter.Seq2[bson.Raw, error]) (docs []bson.Raw, err error) {
	total := 0
	for doc, err := range in {
		if err != nil {
			return nil, err
		}
		if total += len(doc); total > pipelineMemory {
			return nil, refuse(292, "QueryExceededMemoryLimitNoDiskUseAllowed", "the result of the pipeline exceeds 104857600 bytes")
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

var errStop = errors.New("the pipeline wants no more")

// documents are the search's documents as an iterator.
func (s *search) documents() iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		src, err := s.source()
		if err != nil {
			yield(nil, err)
			return
		}
		switch src := src.(type) {
		case *listSource:
			for _, d := range src.docs {
				if !yield(d, nil) {
					return
				}
			}
		case *findSource:
			err := s.q.e.read(func(c *conn) error {
				_, err := src.scan.run(c, func(_ int64, doc bson.Raw) (verdict, error) {
					if src.skip > 0 {
						src.skip--
						return goOn, nil
					}
					if !yield(bytes.Clone(doc), nil) {
						return stopAfter, errStop
					}
					if src.limit--; src.limit == 0 {
						return stopAfter, nil
					}
					return goOn, nil
				})
				return err
			})
			if err != nil && !errors.Is(err, errStop) {
				yield(nil, err)
			}
		}
	}
}
