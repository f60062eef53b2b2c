package update_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/update"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// store is a collection in memory.
type store struct {
	docs     []bson.Raw
	n        int32
	modified int32
	upserted []bson.Raw // {index, _id}
}

func lookup(doc bson.Raw, key string) bson.RawValue {
	v, _ := value.Lookup(doc, key)
	return v
}

// update runs one statement as the engine would.
func (s *store) update(index int, st bson.Raw) error {
	var filters []bson.Raw
	for _, f := range value.Elements(lookup(st, "arrayFilters").Value) {
		filters = append(filters, f.Value)
	}
	u, err := update.Compile(lookup(st, "u"), filters)
	if err != nil {
		return err
	}
	m, err := query.Compile(lookup(st, "q").Value)
	if err != nil {
		return err
	}
	multi := value.Truthy(lookup(st, "multi"))
	if multi && u.IsReplacement() {
		return value.FailedToParse("multi update is not supported for replacement-style update")
	}
	found := false
	for i, d := range s.docs {
		ok, pos := m.MatchPos(d)
		if !ok {
			continue
		}
		found = true
		out, modified, err := u.Apply(d, update.ApplyOptions{Pos: pos, Matcher: m, Now: time.Now()})
		if err != nil {
			return err
		}
		if err := value.Check(out); err != nil {
			return err
		}
		s.docs[i] = out
		s.n++
		if modified {
			s.modified++
		}
		if !multi {
			return nil
		}
	}
	if found || !value.Truthy(lookup(st, "upsert")) {
		return nil
	}
	return s.insert(index, m, u)
}

func (s *store) insert(index int, m *query.Matcher, u *update.Update) error {
	seed, err := update.Seed(m, u)
	if err != nil {
		return err
	}
	out, _, err := u.Apply(seed, update.ApplyOptions{Pos: -1, Matcher: m, Insert: true, Now: time.Now()})
	if err != nil {
		return err
	}
	id, ok := value.Lookup(out, "_id")
	if !ok {
		_, data, _ := bson.MarshalValue(bson.NewObjectID())
		id = bson.RawValue{Type: bson.TypeObjectID, Value: data}
		out = value.OfFields(append([]value.Field{{Key: "_id", RawValue: id}}, value.Fields(out)...))
	}
	s.docs = append(s.docs, out)
	s.n++
	s.upserted = append(s.upserted, value.OfFields([]value.Field{
		{Key: "index", RawValue: value.OfInt32(int32(index))}, {Key: "_id", RawValue: id},
	}))
	return nil
}

func (s *store) sorted() []bson.Raw {
	byID, _ := expr.CompileSort(goldentest.Doc(`{"_id":1}`))
	out := slices.Clone(s.docs)
	slices.SortStableFunc(out, byID.Compare)
	return out
}

func TestGolden(t *testing.T) {
	for _, c := range goldentest.Load(t, "../testdata/cases/update.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			s := &store{docs: slices.Clone(c.Docs)}
			ordered := c.Command.Lookup("ordered")
			var first error
			for i, st := range value.Elements(lookup(c.Command, "updates").Value) {
				if err := s.update(i, st.Value); err != nil {
					if first == nil {
						first = err
					}
					if ordered.Type == 0 || value.Bool(ordered) {
						break
					}
				}
			}
			check(t, c, s, first)
		})
	}
}

func check(t *testing.T, c goldentest.Case, s *store, err error) {
	t.Helper()
	code := int32(0)
	var e *value.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	if code != c.Error() {
		t.Errorf("error %v, want code %d", err, c.Error())
	}
	if n, ok := value.Lookup(c.Reply, "n"); ok && value.Int64(n) != int64(s.n) {
		t.Errorf("n %d, want %v", s.n, n)
	}
	if n, ok := value.Lookup(c.Reply, "nModified"); ok && value.Int64(n) != int64(s.modified) {
		t.Errorf("nModified %d, want %v", s.modified, n)
	}
	if want := goldentest.Docs(lookup(c.Reply, "upserted")); !goldentest.SameDocs(want, s.upserted, false) {
		t.Errorf("upserted\n%swant\n%s", goldentest.Show(s.upserted), goldentest.Show(want))
	}
	if got := s.sorted(); !c.Reads && !goldentest.SameDocs(c.After, got, false) {
		t.Errorf("%s\ngot:\n%swant:\n%s", c.Command, goldentest.Show(got), goldentest.Show(c.After))
	}
}
