package expr_test

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// engine are the cases about the command, which the engine checks, not the
// pipeline.
var engine = map[string]bool{
	"aggregate/no-cursor": true, "aggregate/no-pipeline": true, "aggregate/pipeline-not-array": true, "aggregate/batch-size": true, "aggregate/stage-not-object": true,
}

// refused are the cases whose stage is refused as a whole, with the code.
var refused = map[string]int32{
	"aggregate/lookup": 40324, "aggregate/lookup-no-collection": 40324, "aggregate/lookup-unwind": 40324,
	"aggregate/lookup-missing-as": 40324, "aggregate/lookup-as-existing": 40324,
}

func stream(docs []bson.Raw) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func collect(in iter.Seq2[bson.Raw, error]) ([]bson.Raw, error) {
	var out []bson.Raw
	for d, err := range in {
		if err != nil {
			return nil, err
		}
		if err := value.Check(d); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func stages(c goldentest.Case) []bson.Raw {
	list, _ := value.Lookup(c.Command, "pipeline")
	return goldentest.Docs(list)
}

func TestGolden(t *testing.T) {
	for _, c := range goldentest.Load(t, "../testdata/cases/aggregate.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			if engine[c.ID] {
				t.Skip("not about the pipeline")
			}
			want := c.Error()
			if code, ok := refused[c.ID]; ok {
				want = code
			}
			p, err := expr.CompilePipeline(stages(c))
			var whole, split []bson.Raw
			if err == nil {
				whole, err = collect(p.Run(stream(c.Docs)))
			}
			var e *value.Error
			if errors.As(err, &e) != (want != 0) || want != 0 && e.Code != want {
				t.Fatalf("error %v, want code %d", err, want)
			}
			if want != 0 {
				return
			}
			if split, err = runSplit(p, c.Docs); err != nil {
				t.Fatal(err)
			}
			batch := goldentest.Docs(c.Reply.Lookup("batch"))
			for _, got := range [][]bson.Raw{whole, split} {
				if !goldentest.SameDocs(batch, got, c.Unordered) {
					t.Errorf("%s\ngot:\n%swant:\n%s", c.Command, goldentest.Show(got), goldentest.Show(batch))
				}
			}
		})
	}
}

// runSplit runs the pipeline as the engine does: a find, then the rest.
func runSplit(p *expr.Pipeline, docs []bson.Raw) ([]bson.Raw, error) {
	pre := p.Prefix()
	m, err := query.Compile(pre.Filter)
	if err != nil {
		return nil, err
	}
	s, err := expr.CompileSort(pre.Sort)
	if err != nil {
		return nil, err
	}
	var found []bson.Raw
	for _, d := range docs {
		if m.Match(d) {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, s.Compare)
	found = found[min(pre.Skip, int64(len(found))):]
	if pre.Limit > 0 {
		found = found[:min(pre.Limit, int64(len(found)))]
	}
	return collect(pre.Rest.Run(stream(found)))
}
