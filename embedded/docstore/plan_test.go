package docstore_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/embedded/docstore/expr"
)

var paths = []string{"a", "b", "c", "a.x", "a.y"}

func scalar(t *rapid.T) any {
	return rapid.SampledFrom([]any{1, 2, 3, int64(2), 2.0, 2.5, "x", "y", nil, true, bson.A{}, bson.D{}, bson.A{1}}).Draw(t, "scalar")
}

func field(t *rapid.T) any {
	switch rapid.IntRange(0, 9).Draw(t, "field") {
	case 0:
		a := bson.A{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			a = append(a, scalar(t))
		}
		return a
	case 1, 2:
		return bson.D{{Key: "x", Value: scalar(t)}, {Key: "y", Value: scalar(t)}}
	case 3:
		a := bson.A{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			a = append(a, bson.D{{Key: "x", Value: scalar(t)}, {Key: "y", Value: scalar(t)}})
		}
		return a
	default:
		return scalar(t)
	}
}

func condition(t *rapid.T) any {
	one := func() bson.E {
		op := rapid.SampledFrom([]string{"$gt", "$gte", "$lt", "$lte", "$eq", "$ne", "$in", "$nin", "$exists", "$elemMatch", "$not"}).Draw(t, "op")
		switch op {
		case "$in", "$nin":
			return bson.E{Key: op, Value: bson.A{scalar(t), scalar(t)}}
		case "$exists":
			return bson.E{Key: op, Value: rapid.Bool().Draw(t, "exists")}
		case "$elemMatch":
			return bson.E{Key: op, Value: bson.D{{Key: "$gte", Value: rapid.IntRange(1, 3).Draw(t, "from")}, {Key: "$lt", Value: 3}}}
		case "$not":
			return bson.E{Key: op, Value: bson.D{{Key: "$gt", Value: scalar(t)}}}
		default:
			return bson.E{Key: op, Value: scalar(t)}
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "condition") {
	case 0:
		return scalar(t)
	case 1:
		first, second := one(), one()
		if first.Key != second.Key {
			return bson.D{first, second}
		}
		return bson.D{first}
	default:
		return bson.D{one()}
	}
}

func filter(t *rapid.T, depth int) bson.D {
	d := bson.D{}
	for _, p := range paths {
		if rapid.IntRange(0, 3).Draw(t, "use") == 0 {
			d = append(d, bson.E{Key: p, Value: condition(t)})
		}
	}
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "or") == 0 {
		op := rapid.SampledFrom([]string{"$or", "$and"}).Draw(t, "group")
		d = append(d, bson.E{Key: op, Value: bson.A{filter(t, depth-1), filter(t, depth-1)}})
	}
	return d
}

func keyPattern(t *rapid.T, max int) bson.D {
	list := rapid.SliceOfNDistinct(rapid.SampledFrom(append([]string{"_id"}, paths...)), 1, max, rapid.ID[string]).Draw(t, "paths")
	d := bson.D{}
	for _, p := range list {
		d = append(d, bson.E{Key: p, Value: rapid.SampledFrom([]int{1, -1}).Draw(t, "dir")})
	}
	return d
}

// TestIndexesNeverChangeTheAnswer compares finds over random indexes with the same
// finds over a full scan.
func TestIndexesNeverChangeTheAnswer(t *testing.T) {
	_, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	n := 0
	plans := map[string]int{}
	t2 := t
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		n++
		c := client.Database("p").Collection(fmt.Sprint("c", n))
		shape := rapid.IntRange(0, 3).Draw(t, "shape")
		mailbox := shape == 0 // the shape whose ranges are merged
		either := shape == 1  // the shape that an index for each branch answers
		if either {
			must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "b", Value: 1}}, Options: options.Index().SetName("b")}))(t2)
			must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "c", Value: -1}}, Options: options.Index().SetName("c")}))(t2)
		}
		if mailbox {
			must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "c", Value: 1}, {Key: "b", Value: rapid.SampledFrom([]int{1, -1}).Draw(t, "dir")}}}))(t2)
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "indexes") {
			o := options.Index().SetName(fmt.Sprint("ix", i))
			keys := keyPattern(t, 3)
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				o.SetSparse(true)
			case 1:
				o.SetPartialFilterExpression(bson.D{{Key: "b", Value: bson.D{{Key: "$gt", Value: 1}}}})
			case 2:
				o.SetPartialFilterExpression(bson.D{{Key: "b", Value: rapid.SampledFrom([]any{2, true, "x"}).Draw(t, "own")}})
			default:
			}
			_, _ = c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys, Options: o}) // two alike are refused
		}
		for i := range rapid.IntRange(0, 12).Draw(t, "documents") {
			d := bson.D{{Key: "_id", Value: i}}
			for _, p := range []string{"a", "b", "c"} {
				if mailbox && p != "a" {
					d = append(d, bson.E{Key: p, Value: rapid.IntRange(1, 3).Draw(t, "number")})
				} else if rapid.IntRange(0, 4).Draw(t, "has") > 0 {
					d = append(d, bson.E{Key: p, Value: field(t)})
				}
			}
			_, _ = c.InsertOne(ctx, d) // parallel arrays are refused
		}
		if rapid.Bool().Draw(t, "change") {
			_, _ = c.UpdateMany(ctx, filter(t, 0), bson.D{{Key: "$set", Value: bson.D{{Key: "b", Value: scalar(t)}}}})
			_, _ = c.DeleteMany(ctx, filter(t, 0))
		}
		f, sort := filter(t, 1), keyPattern(t, 2)
		if mailbox {
			f = bson.D{{Key: "c", Value: bson.D{{Key: "$in", Value: bson.A{scalar(t), scalar(t), 1, 2}}}}, {Key: "$and", Value: bson.A{filter(t, 0)}}}
			sort = bson.D{{Key: "b", Value: rapid.SampledFrom([]int{1, -1}).Draw(t, "dir")}}
		}
		if either {
			f = bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "b", Value: condition(t)}}, bson.D{{Key: "c", Value: condition(t)}}}}}
		}
		compare(t, c, f, sort, plans)
		if err := c.Drop(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("plans: %v", plans)
	for _, want := range []string{"IXSCAN", "COLLSCAN", "SORT_MERGE", "OR"} {
		if plans[want] == 0 {
			t.Errorf("no plan was a %s", want)
		}
	}
}

var projections = []bson.D{
	{{Key: "_id", Value: 0}, {Key: "b", Value: 1}},
	{{Key: "_id", Value: 0}, {Key: "c", Value: 1}, {Key: "b", Value: 1}},
	{{Key: "_id", Value: 0}, {Key: "a.x", Value: 1}},
	{{Key: "_id", Value: 0}, {Key: "a.x", Value: 1}, {Key: "a.y", Value: 1}},
	{{Key: "_id", Value: 0}, {Key: "a.y", Value: 1}, {Key: "c", Value: 1}},
	{{Key: "_id", Value: 1}},
	{{Key: "a", Value: 0}},
}

// compare runs one search in many ways: by the planner's choice, by every index
// that holds all documents, and by a full scan, whose answer is the right one.
func compare(t *rapid.T, c *mongo.Collection, f, spec bson.D, plans map[string]int) {
	var s *expr.Sort
	if rapid.Bool().Draw(t, "sort") {
		raw, err := bson.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = expr.CompileSort(raw); err != nil {
			t.Fatal(err)
		}
	}
	skip, limit := int64(0), int64(0)
	if rapid.Bool().Draw(t, "limited") {
		skip, limit = rapid.Int64Range(0, 3).Draw(t, "skip"), rapid.Int64Range(0, 5).Draw(t, "limit")
	}
	batch := rapid.Int32Range(1, 5).Draw(t, "batch")
	set := func(o *options.FindOptionsBuilder) *options.FindOptionsBuilder {
		if s != nil {
			o.SetSort(spec)
		}
		return o.SetSkip(skip).SetLimit(limit).SetBatchSize(batch)
	}
	scan := bson.D{{Key: "$natural", Value: 1}}
	whole, errW := all(t, c, f, options.Find().SetHint(scan))
	want, errB := all(t, c, f, set(options.Find()).SetHint(scan))
	for _, hint := range append(hints(t, c), nil) {
		got, err := all(t, c, f, set(options.Find().SetHint(hint)))
		switch {
		case errB != nil && s != nil: // a full scan also sees parallel arrays that an index leaves out
			continue
		case (err == nil) != (errB == nil):
			t.Fatalf("%v by %v: %v, by a scan %v", f, hint, err, errB)
		case len(got) != len(want):
			t.Fatalf("%v by %v: %d documents, %d by a scan\n%v\n%v", f, hint, len(got), len(want), got, want)
		}
		for i := range got {
			if s != nil && s.Compare(got[i], want[i]) != 0 {
				t.Fatalf("%v by %v: number %d is %v, %v by a scan", f, hint, i, got[i], want[i])
			}
			if !slices.ContainsFunc(whole, func(d bson.Raw) bool { return bytes.Equal(d, got[i]) }) {
				t.Fatalf("%v by %v: %v does not match", f, hint, got[i])
			}
			if slices.ContainsFunc(got[:i], func(d bson.Raw) bool { return bytes.Equal(d, got[i]) }) {
				t.Fatalf("%v by %v: %v comes twice", f, hint, got[i])
			}
		}
		if errW == nil {
			compareParts(t, c, f, hint, len(whole))
		}
	}
	raw, err := c.Database().RunCommand(t.Context(), bson.D{{Key: "explain", Value: findCommand(c, f, s, set(options.Find()))}, {Key: "verbosity", Value: "queryPlanner"}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"IXSCAN", "COLLSCAN", "SORT_MERGE", "OR", "PROJECTION_COVERED"} {
		if bytes.Contains(raw, append([]byte(name), 0)) {
			plans[name]++
		}
	}
}

// compareParts compares what can be answered without the documents.
func compareParts(t *rapid.T, c *mongo.Collection, f bson.D, hint any, want int) {
	count := bson.D{{Key: "count", Value: c.Name()}, {Key: "query", Value: f}}
	if hint != nil {
		count = append(count, bson.E{Key: "hint", Value: hint})
	}
	var reply struct{ N int }
	if err := c.Database().RunCommand(t.Context(), count).Decode(&reply); err != nil || reply.N != want {
		t.Fatalf("%v by %v: count says %d of %d, %v", f, hint, reply.N, want, err)
	}
	n, err := c.CountDocuments(t.Context(), f, options.Count().SetHint(hint))
	if err != nil || int(n) != want {
		t.Fatalf("%v by %v: counted %d of %d, %v", f, hint, n, want, err)
	}
	proj := rapid.SampledFrom(projections).Draw(t, "projection")
	a, errA := all(t, c, f, options.Find().SetProjection(proj).SetHint(hint))
	b, errB := all(t, c, f, options.Find().SetProjection(proj).SetHint(bson.D{{Key: "$natural", Value: 1}}))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	// A covered answer has its fields in the index's order, as in MongoDB.
	for i := range a {
		a[i] = sortedFields(t, a[i])
	}
	for i := range b {
		b[i] = sortedFields(t, b[i])
	}
	sameSet(t, f, a, b)
}

func sortedFields(t *rapid.T, doc bson.Raw) bson.Raw {
	list, err := doc.Elements()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b bson.RawElement) int { return strings.Compare(a.Key(), b.Key()) })
	d := bson.D{}
	for _, e := range list {
		d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
	}
	out, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hints are the indexes that hold every document, by name or by key.
func hints(t *rapid.T, c *mongo.Collection) (out []any) {
	var list []bson.Raw
	cur, err := c.Indexes().List(t.Context())
	if err == nil {
		err = cur.All(t.Context(), &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ix := range list {
		if ix.Lookup("sparse").Type != 0 || ix.Lookup("partialFilterExpression").Type != 0 {
			continue
		}
		if rapid.Bool().Draw(t, "by name") {
			out = append(out, ix.Lookup("name").StringValue())
		} else {
			out = append(out, ix.Lookup("key").Document())
		}
	}
	return out
}

func findCommand(c *mongo.Collection, f bson.D, s *expr.Sort, o *options.FindOptionsBuilder) bson.D {
	d := bson.D{{Key: "find", Value: c.Name()}, {Key: "filter", Value: f}}
	if s == nil {
		return d
	}
	var fo options.FindOptions
	for _, set := range o.List() {
		_ = set(&fo)
	}
	return append(d, bson.E{Key: "sort", Value: fo.Sort})
}

func sameSet(t *rapid.T, f bson.D, a, b []bson.Raw) {
	order := func(x, y bson.Raw) int { return bytes.Compare(x, y) }
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	if !slices.EqualFunc(a, b, func(x, y bson.Raw) bool { return bytes.Equal(x, y) }) {
		t.Fatalf("%v\n   with indexes %v\nwithout indexes %v", f, a, b)
	}
}

func all(t *rapid.T, c *mongo.Collection, f bson.D, o *options.FindOptionsBuilder) (out []bson.Raw, err error) {
	cur, err := c.Find(t.Context(), f, o)
	if err != nil {
		return nil, err
	}
	err = cur.All(t.Context(), &out)
	return out, err
}

// TestPlans looks at the plans that matter to a mailbox.
func TestPlans(t *testing.T) {
	ctx := t.Context()
	db := fresh(t)
	c := db.Collection("m")
	for name, keys := range map[string]bson.D{
		"by_uid":    {{Key: "mailbox", Value: 1}, {Key: "uid", Value: 1}},
		"by_idate":  {{Key: "mailbox", Value: 1}, {Key: "idate", Value: 1}, {Key: "uid", Value: 1}},
		"by_unseen": {{Key: "mailbox", Value: 1}, {Key: "unseen", Value: 1}},
		"by_user":   {{Key: "user", Value: "hashed"}},
	} {
		must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys, Options: options.Index().SetName(name)}))(t)
	}
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "mailbox", Value: 1}, {Key: "idate", Value: -1}}, Options: options.Index().
		SetName("unseen_only").SetPartialFilterExpression(bson.D{{Key: "unseen", Value: true}})}))(t)
	unseen := bson.D{{Key: "mailbox", Value: 1}, {Key: "unseen", Value: true}}
	docs := make([]any, 300)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "mailbox", Value: i % 3}, {Key: "uid", Value: i}, {Key: "idate", Value: bson.DateTime(i)}, {Key: "unseen", Value: i%2 == 0}, {Key: "user", Value: "u"}}
	}
	must(c.InsertMany(ctx, docs))(t)
	for _, q := range []struct {
		name, index string
		command     bson.D
		keys, docs  int64
		rejected    string
	}{
		{"id", "_id_", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "_id", Value: 5}}}}, 1, 1, ""},
		{"id beside others", "_id_", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "_id", Value: 6}, {Key: "mailbox", Value: 0}, {Key: "uid", Value: 6}}}}, 1, 1, "by_uid"},
		{"ids beside others", "_id_", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: 0}, {Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{6, 7, 9}}}}}}}, 3, 3, "by_uid"},
		{"page", "by_idate", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: 1}}}, {Key: "sort", Value: bson.D{{Key: "idate", Value: -1}, {Key: "uid", Value: -1}}}, {Key: "limit", Value: 25}}, 25, 25, ""},
		{"range", "by_uid", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: bson.D{{Key: "$gt", Value: 200}, {Key: "$lte", Value: 230}}}}}, {Key: "sort", Value: bson.D{{Key: "uid", Value: 1}}}}, 10, 10, ""},
		{"several", "by_uid", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: bson.D{{Key: "$in", Value: bson.A{1, 4, 5, 7}}}}}}}, 3, 3, ""},
		{"merged", "by_idate", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: bson.D{{Key: "$in", Value: bson.A{0, 2}}}}}}, {Key: "sort", Value: bson.D{{Key: "idate", Value: -1}}}, {Key: "limit", Value: 10}}, 10, 10, ""},
		{"count", "by_unseen", bson.D{{Key: "count", Value: "m"}, {Key: "query", Value: bson.D{{Key: "mailbox", Value: 1}, {Key: "unseen", Value: true}}}}, 50, 0, ""},
		{"covered", "by_uid", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "mailbox", Value: 1}}}, {Key: "projection", Value: bson.D{{Key: "_id", Value: 0}, {Key: "uid", Value: 1}}}, {Key: "sort", Value: bson.D{{Key: "uid", Value: 1}}}}, 100, 0, ""},
		{"covered by a partial index", "unseen_only", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: unseen}, {Key: "hint", Value: "unseen_only"}, {Key: "projection", Value: bson.D{{Key: "_id", Value: 0}, {Key: "idate", Value: 1}}}, {Key: "sort", Value: bson.D{{Key: "idate", Value: -1}}}, {Key: "limit", Value: 20}}, 20, 0, ""},
		{"hashed", "by_user", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "user", Value: "other"}}}}, 0, 0, ""},
		{"scan", "", bson.D{{Key: "find", Value: "m"}, {Key: "filter", Value: bson.D{{Key: "x", Value: 1}}}}, 0, 300, ""},
	} {
		t.Run(q.name, func(t *testing.T) {
			raw := must(db.RunCommand(ctx, bson.D{{Key: "explain", Value: q.command}}).Raw())(t)
			stats := raw.Lookup("executionStats").Document()
			keys, docs := stats.Lookup("totalKeysExamined").Int64(), stats.Lookup("totalDocsExamined").Int64()
			used := ""
			for plan := raw.Lookup("queryPlanner", "winningPlan").Document(); plan != nil; {
				used, _ = plan.Lookup("indexName").StringValueOK()
				next, ok := plan.Lookup("inputStage").DocumentOK()
				if list, several := plan.Lookup("inputStages").ArrayOK(); several {
					next, ok = list.Index(0).DocumentOK()
				}
				if !ok {
					break
				}
				plan = next
			}
			rejected := raw.Lookup("queryPlanner", "rejectedPlans").String()
			if q.rejected != "" && !strings.Contains(rejected, `"`+q.rejected+`"`) {
				t.Errorf("rejected plans are %s, want %s among them", rejected, q.rejected)
			}
			if used != q.index || keys != q.keys || docs != q.docs {
				t.Fatalf("index %q, %d keys, %d documents; want %q, %d, %d\n%s", used, keys, docs, q.index, q.keys, q.docs, raw)
			}
		})
	}
}
