package docstore

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/value"
)

var explainCommand = command{fields: map[string]kind{"verbosity": kindString}, reads: true, stable: true, run: runExplain}

// runExplain answers with the plan of a find or a count and, unless only the plan
// is wanted, with what running it cost.
func runExplain(q *request) (bson.Raw, error) {
	if q.first.Type != bson.TypeEmbeddedDocument {
		return nil, wrongType("explain", "explain", q.first.Type, "object")
	}
	t, name, v, _, _ := value.Next(value.Inside(q.first.Value))
	inner := bsoncore.AppendStringElement(value.Inside(q.first.Value), "$db", q.db)
	if _, has := value.Lookup(q.first.Value, "$db"); has {
		inner = value.Inside(q.first.Value)
	}
	body := bsoncore.BuildDocument(nil, inner)
	var s *search
	var err error
	switch string(name) {
	case "find", "count":
		cmd := &findCommand
		if string(name) == "count" {
			cmd = &countCommand
		}
		var sub *request
		sub, err = q.e.parse(cmd, string(name), bson.RawValue{Type: t, Value: v}, bson.Raw(body), nil)
		if err != nil {
			return nil, err
		}
		if string(name) == "find" {
			s, err = findSearch(sub)
		} else if s, err = countSearch(sub); err == nil {
			s.wish.only, s.wish.reads = true, true
		}
	default:
		if lookUp(string(name)) == nil {
			return nil, refuse(59, "CommandNotFound", "Explain failed due to unknown command: "+string(name))
		}
		err = value.BadValue("explain of %s is not supported", name)
	}
	if err != nil {
		return nil, err
	}
	run := true
	switch q.str("verbosity") {
	case "queryPlanner":
		run = false
	case "", "executionStats", "allPlansExecution":
	default:
		return nil, value.BadValue("verbosity must be one of queryPlanner, executionStats, allPlansExecution")
	}
	for {
		out, err := s.explain(run)
		if !errors.Is(err, errStale) {
			return out, err
		}
	}
}

func countSearch(q *request) (*search, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	return newSearch(q, ns, q.doc("query"), nil, nil, q.fields["hint"])
}

func (s *search) explain(run bool) (bson.Raw, error) {
	s.wish.explain = true
	coll := s.q.e.catalog.Load().colls[s.ns]
	if coll == nil {
		coll = &collection{ns: s.ns, id: -1, stats: &stats{}}
	}
	p, err := choose(coll, &s.wish)
	if err != nil {
		return nil, err
	}
	sc := &scan{q: s.q, p: p, m: s.wish.m}
	began := time.Now()
	var n int64
	if run {
		n, err = s.explainRun(sc)
	}
	if err != nil {
		return nil, err
	}
	return reply(func(b []byte) []byte {
		i, b := bsoncore.AppendDocumentElementStart(b, "queryPlanner")
		b = bsoncore.AppendStringElement(b, "namespace", s.ns.String())
		b = appendRawDoc(b, "winningPlan", s.stage(p))
		ai, a := bsoncore.AppendArrayElementStart(b, "rejectedPlans")
		for n, r := range p.rejected {
			a = appendRawDoc(a, itoa(n), s.stage(r))
		}
		b, _ = bsoncore.AppendArrayEnd(a, ai)
		b, _ = bsoncore.AppendDocumentEnd(b, i)
		if run {
			i, b = bsoncore.AppendDocumentElementStart(b, "executionStats")
			b = bsoncore.AppendBooleanElement(b, "executionSuccess", true)
			b = bsoncore.AppendInt64Element(b, "nReturned", n)
			b = bsoncore.AppendInt64Element(b, "executionTimeMillis", time.Since(began).Milliseconds())
			b = bsoncore.AppendInt64Element(b, "totalKeysExamined", sc.keys)
			b = bsoncore.AppendInt64Element(b, "totalDocsExamined", sc.docs)
			b, _ = bsoncore.AppendDocumentEnd(b, i)
		}
		return b
	}), nil
}

func (s *search) explainRun(sc *scan) (n int64, err error) {
	want := int64(noLimit)
	if sc.p.sorted && s.limit < noLimit-s.skip {
		want = s.limit + s.skip
	}
	err = s.q.e.read(func(c *conn) error {
		_, err := sc.run(c, func(int64, bson.Raw) (verdict, error) {
			if n++; n >= want {
				return stopAfter, nil
			}
			return goOn, nil
		})
		return err
	})
	return min(max(0, n-s.skip), s.limit), err
}

// stage describes a plan, outermost stage first.
func (s *search) stage(p *plan) bson.Raw {
	d := scanStage(p)
	if p.ix != nil && !p.covered {
		d = stageOver("FETCH", d)
	}
	if !p.sorted {
		d = stageOver("SORT", d)
	}
	if s.proj != nil {
		if p.covered {
			d = stageOver("PROJECTION_COVERED", d)
		} else {
			d = stageOver("PROJECTION_DEFAULT", d)
		}
	}
	if s.limit < noLimit {
		d = stageOver("LIMIT", d)
	}
	return d
}

func stageOver(name string, input bson.Raw) bson.Raw {
	return bson.Raw(bsoncore.BuildDocument(nil,
		bsoncore.AppendDocumentElement(bsoncore.AppendStringElement(nil, "stage", name), "inputStage", bsoncore.Document(input))))
}

func scanStage(p *plan) bson.Raw {
	i, b := bsoncore.AppendDocumentStart(nil)
	direction := "forward"
	if p.reverse {
		direction = "backward"
	}
	switch {
	case p.branches != nil:
		b = bsoncore.AppendStringElement(b, "stage", "OR")
		ai, a := bsoncore.AppendArrayElementStart(b, "inputStages")
		for n, sub := range p.branches {
			a = appendRawDoc(a, itoa(n), scanStage(sub))
		}
		b, _ = bsoncore.AppendArrayEnd(a, ai)
	case p.ix == nil:
		b = bsoncore.AppendStringElement(b, "stage", "COLLSCAN")
		b = bsoncore.AppendStringElement(b, "direction", direction)
	default:
		name := "IXSCAN"
		if p.merge {
			name = "SORT_MERGE"
		}
		b = bsoncore.AppendStringElement(b, "stage", name)
		b = appendRawDoc(b, "keyPattern", p.ix.key)
		b = bsoncore.AppendStringElement(b, "indexName", p.ix.name)
		b = bsoncore.AppendBooleanElement(b, "isMultiKey", p.ix.multikey != 0)
		b = bsoncore.AppendStringElement(b, "direction", direction)
		b = bsoncore.AppendInt32Element(b, "ranges", int32(len(p.ranges))) //nolint:gosec // bounded
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}
