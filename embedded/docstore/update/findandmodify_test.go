package update_test

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// statement makes an update statement of a findAndModify; false if the case is
// about the command or an index.
func statement(c goldentest.Case) (bson.Raw, bool) {
	u, ok := value.Lookup(c.Command, "update")
	if _, unknown := value.Lookup(c.Command, "foo"); !ok || unknown || len(c.Indexes) > 0 {
		return nil, false
	}
	fields := []value.Field{{Key: "q", RawValue: lookup(c.Command, "query")}, {Key: "u", RawValue: u}}
	for _, key := range []string{"upsert", "arrayFilters"} {
		if v, ok := value.Lookup(c.Command, key); ok {
			fields = append(fields, value.Field{Key: key, RawValue: v})
		}
	}
	return value.OfFields(fields), true
}

// The update half of findAndModify: what is stored, and the errors.
func TestGoldenFindAndModify(t *testing.T) {
	for _, c := range goldentest.Load(t, "../testdata/cases/findandmodify.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			st, ok := statement(c)
			if !ok {
				t.Skip("not about the update")
			}
			sort, err := expr.CompileSort(lookup(c.Command, "sort").Value)
			if err != nil {
				t.Fatal(err)
			}
			s := &store{docs: slices.Clone(c.Docs)}
			slices.SortStableFunc(s.docs, sort.Compare)
			err = s.update(0, st)
			s.upserted = nil // findAndModify reports it in another shape
			check(t, c, s, err)
		})
	}
}

// Seeding and applying an upsert gives a document that the filter finds, where
// the filter is made of equalities alone.
func TestUpsertIsFound(t *testing.T) {
	for _, filter := range []string{
		`{"_id":1,"a":2}`, `{"a.b":1,"a.c":{"$in":[2]}}`, `{"$and":[{"a":null},{"b":[1,2]}]}`, `{"a":{"$all":[{"x":1}]}}`,
	} {
		s := &store{}
		q := goldentest.Doc(filter)
		st := value.OfFields([]value.Field{
			{Key: "q", RawValue: value.OfDoc(q)},
			{Key: "u", RawValue: goldentest.MustDecode(`{"$inc":{"n":1}}`)},
			{Key: "upsert", RawValue: value.OfBool(true)},
		})
		if err := s.update(0, st); err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		m, err := query.Compile(q)
		if err != nil || len(s.docs) != 1 || !m.Match(s.docs[0]) {
			t.Errorf("%s does not find %s: %v", filter, goldentest.Show(s.docs), err)
		}
	}
}
