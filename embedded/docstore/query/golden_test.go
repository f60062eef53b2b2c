package query_test

import (
	"errors"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// refused are the cases whose operator is refused as a whole, with the code of
// the refusal.
var refused = map[string]int32{
	"query/re-lookahead": 51091, // RE2 has no lookahead
}

func find(c goldentest.Case) ([]bson.Raw, error) {
	filter, _ := c.Command.LookupErr("filter")
	sort, _ := c.Command.LookupErr("sort")
	m, err := query.Compile(bson.Raw(filter.Value))
	if err != nil {
		return nil, err
	}
	s, err := expr.CompileSort(bson.Raw(sort.Value))
	if err != nil {
		return nil, err
	}
	var out []bson.Raw
	for _, d := range c.Docs {
		ok, _, err := m.Test(d)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, s.Compare)
	return out, nil
}

func TestGolden(t *testing.T) {
	for _, file := range []string{"query", "compare"} {
		for _, c := range goldentest.Load(t, "../testdata/cases/"+file+".jsonl") {
			t.Run(c.ID, func(t *testing.T) {
				got, err := find(c)
				want := c.Error()
				if code, ok := refused[c.ID]; ok {
					want = code
				}
				if want != 0 {
					var e *value.Error
					if !errors.As(err, &e) || e.Code != want {
						t.Fatalf("error %v, want code %d", err, want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if batch := goldentest.Docs(c.Reply.Lookup("batch")); !goldentest.SameDocs(batch, got, c.Unordered) {
					t.Errorf("%s\ngot:\n%swant:\n%s", c.Command, goldentest.Show(got), goldentest.Show(batch))
				}
			})
		}
	}
}
