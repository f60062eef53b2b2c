package docstore

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/update"
	"github.com/eidermail/eider/embedded/docstore/value"
)

var explainCommand = command{fields: map[string]kind{"verbosity": kindString}, reads: true, stable: true, run: runExplain}

// runExplain answers with the plan of a command and, unless only the plan is wanted,
// with what running it cost. A write is searched for and not done.
func runExplain(q *request) (bson.Raw, error) {
	if q.first.Type != bson.TypeEmbeddedDocument {
		return nil, wrongType("explain", "explain", q.first.Type, "object")
	}
	t, name, v, _, _ := value.Next(value.Inside(q.first.Value))
	inner := bsoncore.AppendStringElement(value.Inside(q.first.Value), "$db", q.db)
	if _, has := value.Lookup(q.first.Value, "$db"); has {
		inner = value.Inside(q.first.Value)
	}
	body := bson.Raw(bsoncore.BuildDocument(nil, inner))
	cmd := lookUp(string(name))
	if cmd == nil {
		return nil, refuse(59, "CommandNotFound", "Explain failed due to unknown command: "+string(name))
	}
	explained := explainable[cmd]
	if explained == nil {
		return nil, value.BadValue("explain of %s is not supported", name)
	}
	sub, err := q.e.parse(cmd, string(name), bson.RawValue{Type: t, Value: v}, body, nil)
	if err != nil {
		return nil, err
	}
	x, err := explained(sub)
	if err != nil {
		return nil, err
	}
	x.command = q.first.Value
	switch q.str("verbosity") {
	case "queryPlanner":
	case "", "executionStats", "allPlansExecution":
		x.run = true
	default:
		return nil, value.BadValue("verbosity must be one of queryPlanner, executionStats, allPlansExecution")
	}
	return x.answer()
}

// explainable are the commands whose plans can be explained. It is filled in by
// init, since aggregate comes back to it.
var explainable map[*command]func(*request) (*explanation, error)

func init() {
	explainable = map[*command]func(*request) (*explanation, error){
		&findCommand: explainFind, &countCommand: explainCount, &distinctCommand: explainDistinct, &aggregateCommand: explainAggregate,
		&updateCommand: explainUpdate, &deleteCommand: explainDelete, &findAndModifyCommand: explainModify,
	}
}

// explanation is a command to be explained: its search, and what is done with what
// that finds.
type explanation struct {
	*search
	command bson.Raw
	run     bool          // the costs are wanted too
	top     string        // the stage above the search; "" for none
	write   *statementOf  // of UPDATE and DELETE
	rest    []value.Field // the stages of a pipeline that the search does not do

	found, modified int64 // by running it
	took            time.Duration
}

func explainFind(q *request) (*explanation, error) {
	s, err := findSearch(q)
	return &explanation{search: s}, err
}

func explainCount(q *request) (*explanation, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(q, ns, q.doc("query"), nil, nil, q.fields["hint"])
	if err != nil {
		return nil, err
	}
	s.wish.only, s.wish.reads = true, true
	s.skip = q.int("skip", 0)
	if n := q.int("limit", 0); n != 0 {
		s.limit = max(n, -n)
	}
	return &explanation{search: s, top: "COUNT"}, nil
}

func explainDistinct(q *request) (*explanation, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(q, ns, q.doc("query"), nil, nil, q.fields["hint"])
	return &explanation{search: s}, err
}

func explainAggregate(q *request) (*explanation, error) {
	ns, err := q.namespace()
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
	pre := p.Prefix()
	s, err := newSearch(q, ns, pre.Filter, pre.Sort, nil, q.fields["hint"])
	if err != nil {
		return nil, err
	}
	if s.skip = pre.Skip; pre.Limit > 0 {
		s.limit = pre.Limit
	}
	if _, counts := countParts(stages); counts {
		s.wish.only, s.wish.reads = true, true
	}
	return &explanation{search: s, rest: pre.Rest.Stages()}, nil
}

// single is the only statement of a write command that is explained.
func single(q *request, field string) (bson.Raw, error) {
	docs, err := q.docs(field)
	if err == nil && len(docs) != 1 {
		err = refuse(value.CodeInvalidLength, "InvalidLength", "explained write batches must be of size 1")
	}
	if err != nil {
		return nil, err
	}
	return docs[0], nil
}

func explainUpdate(q *request) (*explanation, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	doc, err := single(q, "updates")
	if err != nil {
		return nil, err
	}
	st, err := q.updateStatement(ns, doc)
	return explainWrite(st, "UPDATE", err)
}

func explainDelete(q *request) (*explanation, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	doc, err := single(q, "deletes")
	if err != nil {
		return nil, err
	}
	st, err := q.deleteStatement(ns, doc)
	return explainWrite(st, "DELETE", err)
}

func explainModify(q *request) (*explanation, error) {
	st, err := q.modifyStatement()
	if q.flag("remove") {
		return explainWrite(st, "DELETE", err)
	}
	return explainWrite(st, "UPDATE", err)
}

func explainWrite(st *statementOf, top string, err error) (*explanation, error) {
	if err == nil {
		err = st.err
	}
	if err != nil {
		return nil, err
	}
	return &explanation{search: st.search, top: top, write: st}, nil
}

// answer plans and, if wanted, runs, until the catalog holds still.
func (x *explanation) answer() (bson.Raw, error) {
	x.wish.explain = true
	for {
		out, err := x.once()
		if !errors.Is(err, errStale) {
			return out, err
		}
	}
}

func (x *explanation) once() (bson.Raw, error) {
	coll := x.q.e.catalog.Load().colls[x.ns]
	absent := coll == nil
	if absent {
		coll = &collection{ns: x.ns, id: -1, stats: &stats{}}
	}
	p, err := choose(coll, &x.wish)
	if err != nil {
		return nil, err
	}
	sc := &scan{q: x.q, p: p, m: x.wish.m}
	if x.run && !absent {
		if err := x.execute(sc); err != nil {
			return nil, err
		}
	}
	return x.reply(p, sc, absent), nil
}

// execute runs the plan as the command would.
func (x *explanation) execute(sc *scan) error {
	x.found, x.modified = 0, 0
	want := int64(noLimit)
	if sc.p.sorted && x.limit < noLimit-x.skip {
		want = x.limit + x.skip
	}
	one := x.write != nil && !x.write.multi
	if one && sc.p.sorted {
		want = 1
	}
	began := time.Now()
	err := x.q.e.read(func(c *conn) error {
		_, err := sc.run(c, func(_ int64, doc bson.Raw) (verdict, error) {
			x.found++
			if err := x.wouldModify(doc); err != nil {
				return stopAfter, err
			}
			if x.found >= want {
				return stopAfter, nil
			}
			return goOn, nil
		})
		return err
	})
	x.took = time.Since(began)
	if x.found = min(max(0, x.found-x.skip), x.limit); one {
		x.found, x.modified = min(x.found, 1), min(x.modified, 1)
	}
	return err
}

// wouldModify tries an update on a document that the search found.
func (x *explanation) wouldModify(doc bson.Raw) error {
	if x.write == nil || x.write.u == nil || (!x.write.multi && x.found > 1) {
		return nil
	}
	_, pos, err := x.wish.m.Test(doc)
	if err != nil {
		return err
	}
	_, modified, err := x.write.u.Apply(doc, update.ApplyOptions{Pos: pos, Matcher: x.wish.m, Now: x.q.e.now()})
	if modified {
		x.modified++
	}
	return err
}

// reply puts it together: flat, or as the first stage of a pipeline.
func (x *explanation) reply(p *plan, sc *scan, absent bool) bson.Raw {
	shape := &shape{x: x, sc: sc, absent: absent}
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendStringElement(b, "explainVersion", "1")
		if len(x.rest) == 0 {
			b = shape.planner(b, p)
		} else {
			ai, a := bsoncore.AppendArrayElementStart(b, "stages")
			di, d := bsoncore.AppendDocumentElementStart(a, "0")
			ci, c := bsoncore.AppendDocumentElementStart(d, "$cursor")
			c = shape.planner(c, p)
			d, _ = bsoncore.AppendDocumentEnd(c, ci)
			if x.run {
				d = bsoncore.AppendInt64Element(d, "nReturned", x.found)
			}
			a, _ = bsoncore.AppendDocumentEnd(d, di)
			for i, f := range x.rest {
				a = appendRawDoc(a, itoa(i+1), bsoncore.BuildDocument(nil, appendValue(nil, f.Key, f.RawValue)))
			}
			b, _ = bsoncore.AppendArrayEnd(a, ai)
		}
		return appendRawDoc(b, "command", x.command)
	})
}
