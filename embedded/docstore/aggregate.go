package docstore

import (
	"errors"
	"iter"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/value"
	"go.mongodb.org/mongo-driver/v2/bson"
)

var aggregateCommand = command{
	fields: map[string]kind{
		"pipeline": kindArray, "cursor": kindDoc, "allowDiskUse": kindBool, "bypassDocumentValidation": kindBool,
		"hint": kindAny, "let": kindDoc, "explain": kindBool,
	},
	required: []string{"pipeline"},
	write:    true,
	run:      runAggregate,
}

// pipelineMemory bounds what a pipeline's result may take before the client has
// read it.
const pipelineMemory = 100 << 20

func runAggregate(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	if !q.has("cursor") {
		return nil, value.FailedToParse("The 'cursor' option is required, except for aggregate with the explain argument")
	}
	if q.flag("explain") {
		return nil, value.BadValue("aggregate option explain is not supported")
	}
	if v := q.doc("let"); len(v) > 5 {
		return nil, value.BadValue("aggregate option let is not supported")
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
	for {
		docs, err := collect(pre.Rest.Run(s.documents()))
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
					if !yield(doc, nil) {
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
