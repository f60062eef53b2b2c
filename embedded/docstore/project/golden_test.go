package project_test

import (
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/project"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

func run(c goldentest.Case) ([]bson.Raw, error) {
	filter, _ := value.Lookup(c.Command, "filter")
	spec, _ := value.Lookup(c.Command, "projection")
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, value.TypeMismatch("projection has to be an object")
	}
	m, err := query.Compile(filter.Value)
	if err != nil {
		return nil, err
	}
	p, err := project.Compile(spec.Value, m)
	if err != nil {
		return nil, err
	}
	var out []bson.Raw
	for _, d := range c.Docs {
		if !m.Match(d) {
			continue
		}
		r, err := p.Apply(d)
		if err != nil {
			return nil, err
		}
		if err := value.Check(r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func TestGolden(t *testing.T) {
	for _, c := range goldentest.Load(t, "../testdata/cases/projection.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			got, err := run(c)
			if want := c.Error(); want != 0 {
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

func FuzzCompile(f *testing.F) {
	for _, c := range goldentest.Load(f, "../testdata/cases/projection.jsonl") {
		if spec, _ := value.Lookup(c.Command, "projection"); spec.Type == bson.TypeEmbeddedDocument {
			f.Add(spec.Value)
		}
	}
	doc := goldentest.Doc(`{"_id":1,"a":[1,{"b":[2,"x"]},null,[3]],"b":{"c":1},"s":"abc"}`)
	m, err := query.Compile(goldentest.Doc(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, compile := range []func() (*project.Projection, error){
			func() (*project.Projection, error) { return project.Compile(data, m) },
			func() (*project.Projection, error) { return project.CompileStage(data) },
			func() (*project.Projection, error) { return project.CompileAdd(data) },
		} {
			p, err := compile()
			if err != nil {
				continue
			}
			if out, err := p.Apply(doc); err == nil && value.Check(out) != nil {
				t.Fatal("the projection made a malformed document")
			}
			_, _ = p.Fields()
		}
	})
}

func TestFields(t *testing.T) {
	for spec, want := range map[string]int{`{"a":1,"b.c":1}`: 3, `{"a":1,"_id":0}`: 1, `{"_id":1}`: 1, `{"a":0}`: -1, `{"a":"$b"}`: -1, `{}`: -1} {
		p, err := project.Compile(goldentest.Doc(spec), nil)
		if err != nil {
			t.Fatal(err)
		}
		paths, ok := p.Fields()
		if ok != (want >= 0) || ok && len(paths) != want {
			t.Errorf("%s: %v, %v", spec, paths, ok)
		}
	}
}
