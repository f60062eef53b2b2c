package expr_test

import (
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

func TestSortParallelArrays(t *testing.T) {
	s, err := expr.CompileSort(goldentest.Doc(`{"a":1,"b":1}`))
	if err != nil {
		t.Fatal(err)
	}
	var e *value.Error
	if _, err := s.Key(goldentest.Doc(`{"a":[1],"b":[2]}`)); !errors.As(err, &e) || e.Code != value.CodeBadValue {
		t.Errorf("error %v", err)
	}
}

// Two fields of one array sort by the same element.
func TestSortCompoundKey(t *testing.T) {
	s, err := expr.CompileSort(goldentest.Doc(`{"a.x":1,"a.y":1}`))
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Key(goldentest.Doc(`{"a":[{"x":2,"y":1},{"x":1,"y":5}]}`))
	if err != nil || value.Int64(key[0]) != 1 || value.Int64(key[1]) != 5 {
		t.Errorf("key %v, %v", key, err)
	}
}

func FuzzCompile(f *testing.F) {
	for _, c := range goldentest.Load(f, "../testdata/cases/aggregate.jsonl") {
		if list, _ := value.Lookup(c.Command, "pipeline"); list.Type == bson.TypeArray {
			f.Add(list.Value)
		}
	}
	docs := []bson.Raw{
		goldentest.Doc(`{"_id":1,"a":[1,{"b":[2,"x"]},null,[3]],"b":{"c":1},"s":"abc","g":"a","v":1,"t":["x","y"]}`),
		goldentest.Doc(`{"_id":2,"a":5,"g":"a","v":{"$numberDecimal":"1.5"},"t":null}`),
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if value.Check(data) != nil {
			return
		}
		p, err := expr.CompilePipeline(goldentest.Docs(bson.RawValue{Type: bson.TypeArray, Value: data}))
		if err != nil {
			return
		}
		for d, err := range p.Run(stream(docs)) {
			if err != nil {
				break
			}
			if value.Check(d) != nil {
				t.Fatal("the pipeline made a malformed document")
			}
		}
	})
}
