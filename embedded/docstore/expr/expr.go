// Package expr runs aggregation pipelines over encoded documents and has the
// sort order of find and $sort. Expressions themselves are in expr/eval.
package expr

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// Expr is a compiled expression.
type Expr = eval.Expr

// Vars are the variables of an evaluation.
type Vars = eval.Vars

// CompileExpr compiles an expression. The error is a *value.Error.
func CompileExpr(v bson.RawValue) (*Expr, error) { return eval.Compile(v) }

// docs is a stream of documents.
type docs = iter.Seq2[bson.Raw, error]

// stage is one step of a pipeline.
type stage interface {
	run(in docs, vars Vars) docs
}

// Pipeline is a compiled pipeline. It is safe for concurrent use.
type Pipeline struct {
	stages []stage
	specs  []value.Field // name and argument of each stage
}

// CompilePipeline compiles a pipeline and keeps its own copy. The error is a
// *value.Error.
func CompilePipeline(list []bson.Raw) (*Pipeline, error) {
	p := &Pipeline{}
	for _, s := range list {
		if err := value.Check(s); err != nil {
			return nil, err
		}
		fields := value.Fields(bytes.Clone(s))
		if len(fields) != 1 {
			return nil, value.Errorf(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		st, err := compileStage(fields[0])
		if err != nil {
			return nil, err
		}
		p.stages, p.specs = append(p.stages, st), append(p.specs, fields[0])
	}
	return p, nil
}

// stages are those that are served.
var stages = map[string]func(f value.Field) (stage, error){
	"$match": newMatch, "$sort": newSort, "$limit": newLimit, "$skip": newSkip, "$project": newProject,
	"$addFields": newAdd, "$set": newAdd, "$unset": newUnset, "$replaceRoot": newReplace, "$replaceWith": newReplace,
	"$group": newGroup, "$count": newCount, "$unwind": newUnwind, CollStats: notFirst,
}

// CollStats is a stage that is no stage: what begins a pipeline and has no documents
// to work on is up to who runs the pipeline.
const CollStats = "$collStats"

func notFirst(f value.Field) (stage, error) {
	return nil, value.Errorf(40602, "%s is only valid as the first stage in a pipeline", f.Key)
}

// Known tells if there is a stage of that name.
func Known(name string) bool { return stages[name] != nil }

// Stages names the stages.
func Stages() []string { return slices.Sorted(maps.Keys(stages)) }

func compileStage(f value.Field) (stage, error) {
	if s := stages[f.Key]; s != nil {
		return s(f)
	}
	return nil, value.Errorf(40324, "Unrecognized pipeline stage name: '%s'", f.Key)
}

// Run feeds the documents through the pipeline. Documents must stay unchanged
// until the output has ended, since they may be held and passed on. An error of
// the input or of a stage ends the output.
func (p *Pipeline) Run(in docs) docs { return p.RunVars(in, nil) }

// RunVars is Run with variables for the expressions.
func (p *Pipeline) RunVars(in docs, vars Vars) docs {
	for _, s := range p.stages {
		in = s.run(in, vars)
	}
	return in
}

// Transform runs a pipeline of stages that each make one document of one, as
// pipeline updates do. now is $$NOW. The error is a *value.Error.
func (p *Pipeline) Transform(doc bson.Raw, now time.Time) (bson.Raw, error) {
	vars := Vars{"NOW": value.OfDate(now.UnixMilli())}
	for _, s := range p.stages {
		m, ok := s.(*mapping)
		if !ok {
			return nil, value.Errorf(value.CodeInvalidOptions, "a stage is not allowed to be used within an update")
		}
		var err error
		if doc, err = m.f(doc, vars); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// Prefix is the start of a pipeline that a find can do: Filter, then Sort, then
// Skip, then Limit (0: none), then Rest on what remains. Filter and Sort are nil
// when there is none.
type Prefix struct {
	Filter bson.Raw
	Sort   bson.Raw
	Skip   int64
	Limit  int64
	Rest   *Pipeline
}

// Prefix splits the pipeline into a find and the rest. Rest is never nil.
func (p *Pipeline) Prefix() Prefix {
	out := Prefix{}
	i := 0
	next := func(name string) bool { return i < len(p.specs) && p.specs[i].Key == name }
	var filters []bson.RawValue
	for ; next("$match"); i++ {
		filters = append(filters, p.specs[i].RawValue)
	}
	switch len(filters) {
	case 0:
	case 1:
		out.Filter = filters[0].Value
	default:
		out.Filter = value.OfFields([]value.Field{{Key: "$and", RawValue: value.OfArray(filters)}})
	}
	if next("$sort") {
		out.Sort = p.specs[i].Value
		i++
	}
	if next("$skip") {
		out.Skip, _ = value.Whole(p.specs[i].RawValue)
		i++
	}
	if next("$limit") {
		out.Limit, _ = value.Whole(p.specs[i].RawValue)
		i++
	}
	out.Rest = &Pipeline{stages: p.stages[i:], specs: p.specs[i:]}
	return out
}

// Stages are the names and arguments of the stages.
func (p *Pipeline) Stages() []value.Field { return p.specs }

// mapping is a stage that makes one document of one.
type mapping struct {
	f func(doc bson.Raw, vars Vars) (bson.Raw, error)
}

func (m *mapping) run(in docs, vars Vars) docs {
	return func(yield func(bson.Raw, error) bool) {
		for doc, err := range in {
			if err == nil {
				doc, err = m.f(doc, vars)
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	}
}

func isDollar(s string) bool { return strings.HasPrefix(s, "$") }
