package docstore_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// TestSecondOpinion asks the engine and another implementation the same about
// random documents: the MongoDB of EIDER_TEST_MONGO, whose answers have to be the
// same to the byte; the model and, where `make conformance` has fetched it, mingo.
func TestSecondOpinion(t *testing.T) {
	_, client := open(t, filepath.Join(t.TempDir(), "store.db"))
	ours := client.Database("ours")
	if uri := serverURI(); uri != "" {
		t.Run("server", func(t *testing.T) {
			server, err := mongo.Connect(options.Client().ApplyURI(uri))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Disconnect(t.Context()) }()
			db := server.Database("eider_opinion")
			defer func() { _ = db.Drop(t.Context()) }()
			againstServer(t, ours, db)
		})
	}
	t.Run("model", func(t *testing.T) { againstModel(t, ours) })
	t.Run("mingo", func(t *testing.T) { againstMingo(t, ours) })
}

// random draws documents and what is asked about them. Narrow is what JavaScript
// and mingo can tell apart: see testdata/mingo.txt for the rest.
type random struct {
	t      *rapid.T
	narrow bool
	n      int
}

func (r *random) pick(n int) int {
	r.n++
	return rapid.IntRange(0, n-1).Draw(r.t, strconv.Itoa(r.n))
}

func one[T any](r *random, list ...T) T { return list[r.pick(len(list))] }

func (r *random) scalar() any {
	if r.narrow {
		return one[any](r, int32(0), int32(1), int32(2), 1.5, int32(-1), "", "a", "b", true, false)
	}
	return one[any](r, nil, int32(0), int32(1), int64(1), 1.0, int32(2), 2.5, int64(-3), "", "a", "b", "B", true, false)
}

func (r *random) value(depth int) any {
	switch k := r.pick(8); {
	case k < 5 || depth == 0:
		return r.scalar()
	case k < 7:
		a := bson.A{}
		for range r.pick(4) {
			if r.narrow {
				a = append(a, r.scalar())
			} else {
				a = append(a, r.value(depth-1))
			}
		}
		return a
	default:
		d := bson.D{}
		for _, key := range []string{"x", "y", "0"} {
			if r.pick(2) == 0 && (key != "0" || !r.narrow) {
				d = append(d, bson.E{Key: key, Value: r.value(depth - 1)})
			}
		}
		return d
	}
}

func (r *random) docs() []bson.D {
	out := make([]bson.D, 1+r.pick(6))
	for i := range out {
		out[i] = bson.D{{Key: "_id", Value: int32(i)}}
		for _, key := range []string{"a", "b", "c"} {
			switch {
			case r.pick(3) == 0:
			case r.narrow && key == "c":
				out[i] = append(out[i], bson.E{Key: key, Value: r.scalar()})
			default:
				out[i] = append(out[i], bson.E{Key: key, Value: r.value(2)})
			}
		}
	}
	return out
}

func (r *random) path() string {
	if r.narrow {
		return one(r, "a", "b", "c", "a.x", "b.y")
	}
	return one(r, "a", "b", "c", "a.x", "a.y", "b.x", "a.0", "a.x.y", "a.0.x")
}

func (r *random) operand() any {
	if r.narrow || r.pick(3) > 0 {
		return r.scalar()
	}
	return r.value(1)
}

func (r *random) list() bson.A {
	a := bson.A{}
	for range 1 + r.pick(3) {
		a = append(a, r.operand())
	}
	return a
}

func (r *random) condition(depth int) bson.D {
	ops := []string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists"}
	if !r.narrow {
		ops = append(ops, "$size", "$all")
		if depth > 0 {
			ops = append(ops, "$not", "$elemMatch")
		}
	}
	op := one(r, ops...)
	var v any
	switch op {
	case "$in", "$nin", "$all":
		v = r.list()
	case "$exists":
		v = r.pick(2) == 0
	case "$size":
		v = int32(r.pick(3))
	case "$not":
		v = r.condition(depth - 1)
	case "$elemMatch":
		v = r.condition(depth - 1)
		if r.pick(2) == 0 {
			v = bson.D{{Key: one(r, "x", "y", "0"), Value: v}}
		}
	default:
		v = r.operand()
	}
	return bson.D{{Key: op, Value: v}}
}

// filter draws a filter. One path twice is no document to JavaScript.
func (r *random) filter(depth int) bson.D {
	f := r.terms(depth)
	if !r.narrow {
		return f
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(f, func(e bson.E) bool {
		twice := seen[e.Key]
		seen[e.Key] = true
		return twice
	})
}

func (r *random) terms(depth int) bson.D {
	f := bson.D{}
	for range r.pick(3) {
		if k := r.pick(8); k == 0 && depth > 0 {
			f = append(f, bson.E{Key: one(r, "$or", "$and", "$nor"), Value: bson.A{r.filter(depth - 1), r.filter(depth - 1)}})
		} else if k < 3 {
			f = append(f, bson.E{Key: r.path(), Value: r.operand()})
		} else {
			f = append(f, bson.E{Key: r.path(), Value: r.condition(1)})
		}
	}
	return f
}

func (r *random) sort() bson.D {
	if r.narrow {
		return bson.D{{Key: "c", Value: one(r, int32(1), int32(-1))}, {Key: "_id", Value: int32(1)}}
	}
	return bson.D{{Key: one(r, "a", "b", "a.x"), Value: one(r, int32(1), int32(-1))}, {Key: "_id", Value: int32(1)}}
}

func (r *random) update() bson.D {
	u := bson.D{}
	for range 1 + r.pick(2) {
		op := one(r, "$set", "$unset", "$inc", "$min", "$max", "$push", "$addToSet", "$pull", "$pop", "$rename", "$mul")
		if r.narrow && op == "$addToSet" {
			op = "$push" // mingo takes repeated values for one when it looks for a change
		}
		path := r.path()
		if r.narrow && path == "c" && (op == "$push" || op == "$rename") {
			path = "a" // c stays a scalar, to sort by
		}
		var v any
		switch op {
		case "$inc", "$mul":
			v = one[any](r, int32(1), int32(-2), 0.5)
			if !r.narrow && r.pick(3) == 0 {
				v = int64(3)
			}
		case "$pop":
			v = one(r, int32(1), int32(-1))
		case "$rename":
			v = one(r, "d", "a.z")
		case "$unset":
			v = ""
		case "$pull":
			if v = r.operand(); r.pick(2) == 0 && !r.narrow {
				v = r.condition(0)
			}
		case "$push", "$addToSet":
			if v = r.operand(); r.pick(3) == 0 {
				v = bson.D{{Key: "$each", Value: r.list()}}
			}
		default:
			v = r.operand()
			if r.narrow && op != "$set" {
				path = "c"
			}
		}
		u = append(u, bson.E{Key: op, Value: bson.D{{Key: path, Value: v}}})
	}
	if len(u) > 1 && u[0].Key == u[1].Key {
		u = u[:1]
	}
	return u
}

func (r *random) projection() bson.D {
	on := one(r, int32(0), int32(1))
	p := bson.D{}
	for _, path := range []string{"a", "b.x", "c"} {
		if r.pick(2) == 0 {
			p = append(p, bson.E{Key: path, Value: on})
		}
	}
	if r.pick(3) == 0 {
		p = append(p, bson.E{Key: "_id", Value: int32(0)})
	}
	return p
}

func (r *random) indexes() bson.A {
	if r.narrow {
		return nil
	}
	return one[bson.A](r, nil, nil,
		bson.A{indexOn("a", 1)},
		bson.A{indexOn("a", -1), indexOn("b", 1)},
		bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "b", Value: 1}, {Key: "a", Value: -1}}}, {Key: "name", Value: "ba"}}},
		bson.A{indexOn("a.x", 1), append(indexOn("c", 1), bson.E{Key: "sparse", Value: true})},
		bson.A{append(indexOn("a", 1), bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: 0}}}}})},
	)
}

func indexOn(path string, order int) bson.D {
	return bson.D{{Key: "key", Value: bson.D{{Key: path, Value: order}}}, {Key: "name", Value: path}}
}

// prepare makes the collection c anew.
func prepare(t *rapid.T, ctx *testing.T, db *mongo.Database, docs []bson.D, indexes bson.A) {
	if err := db.Collection("c").Drop(ctx.Context()); err != nil {
		t.Fatal(err)
	}
	err := db.RunCommand(ctx.Context(), bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: docs}, {Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	if len(indexes) == 0 {
		return
	}
	err = db.RunCommand(ctx.Context(), bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: indexes}, {Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}}}}).Err()
	if raw := rawError(err); err != nil && value.Int64(raw.Lookup("code")) != 171 { // two arrays in one document
		t.Fatal(err)
	}
}

// run gives the reply of a command and the collection afterwards.
func run(t *rapid.T, ctx *testing.T, db *mongo.Database, command bson.D) (reply bson.Raw, after []bson.Raw) {
	reply, err := db.RunCommand(ctx.Context(), command).Raw()
	if raw := rawError(err); raw != nil {
		reply = raw
	} else if err != nil {
		t.Fatal(err)
	}
	cur, err := db.Collection("c").Find(ctx.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err == nil {
		err = cur.All(ctx.Context(), &after)
	}
	if err != nil {
		t.Fatal(err)
	}
	return reply, after
}

func batchOf(reply bson.Raw) []bson.Raw {
	cursor, _ := value.Lookup(reply, "cursor")
	batch, _ := value.Lookup(cursor.Value, "firstBatch")
	return goldentest.Docs(batch)
}

// againstModel: finds and counts, with and without indexes; then updates and
// projections.
func againstModel(t *testing.T, db *mongo.Database) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &random{t: rt}
		docs, indexes := r.docs(), r.indexes()
		prepare(rt, t, db, docs, indexes)
		for range 12 {
			filter, sort := r.filter(2), r.sort()
			var want []bson.D
			for _, d := range docs {
				if modelMatch(d, filter) {
					want = append(want, d)
				}
			}
			sign, _ := sort[0].Value.(int32)
			modelSort(want, sort[0].Key, int(sign))
			reply, err := db.RunCommand(t.Context(), bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: filter}, {Key: "sort", Value: sort}}).Raw()
			if err != nil {
				rt.Fatalf("%v: %v", filter, err)
			}
			got := batchOf(reply)
			if !sameAsModel(got, want) {
				rt.Fatalf("documents %v\nindexes %v\nfilter %v sort %v\n got %v\nwant %v", docs, indexes, filter, sort, got, want)
			}
			count, err := db.RunCommand(t.Context(), bson.D{{Key: "count", Value: "c"}, {Key: "query", Value: filter}}).Raw()
			if n := count.Lookup("n"); err != nil || value.Int64(n) != int64(len(want)) {
				rt.Fatalf("documents %v\nindexes %v\nfilter %v: count %v, want %d", docs, indexes, filter, n, len(want))
			}
		}
		for range 6 {
			docs = modelWrite(rt, t, db, r, docs)
		}
	})
}

// modelWrite updates one document, and reads all with a projection.
func modelWrite(rt *rapid.T, t *testing.T, db *mongo.Database, r *random, docs []bson.D) []bson.D {
	u := r.update()
	for i := range u {
		if u[i].Key == "$rename" {
			u[i].Key = "$set"
		}
	}
	if len(u) == 2 && u[0].Key == u[1].Key {
		u = u[:1]
	}
	i := r.pick(len(docs))
	want, refusal := modelUpdate(docs[i], u)
	if refusal == nil {
		docs = slices.Clone(docs)
		docs[i] = want
	}
	reply, after := run(rt, t, db, bson.D{{Key: "update", Value: "c"}, {Key: "updates", Value: bson.A{
		bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: docs[i][0].Value}}}, {Key: "u", Value: u}},
	}}})
	_, failed := value.Lookup(reply, "writeErrors")
	list, _ := value.Lookup(reply, "writeErrors")
	if failed && strings.Contains(list.String(), "171") { // an index on two arrays
		rt.Skip("the index allows no such document")
	}
	if failed != (refusal != nil) || !sameAsModel(after, docs) {
		rt.Fatalf("update %v of number %d: %s\n got %v\nwant %v", u, i, reply, after, docs)
	}
	p := r.projection()
	got, err := db.RunCommand(t.Context(), bson.D{{Key: "find", Value: "c"}, {Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "projection", Value: p}}).Raw()
	if err != nil {
		rt.Fatal(err)
	}
	projected := make([]bson.D, len(docs))
	for i, d := range docs {
		projected[i] = modelProject(d, p)
	}
	if !sameAsModel(batchOf(got), projected) {
		rt.Fatalf("projection %v\n got %v\nwant %v", p, got, projected)
	}
	return docs
}

func sameAsModel(got []bson.Raw, want []bson.D) bool {
	return slices.EqualFunc(got, want, func(g bson.Raw, w bson.D) bool {
		b, err := bson.Marshal(w)
		return err == nil && string(b) == string(g)
	})
}

// againstServer: everything that is random, to the byte.
func againstServer(t *testing.T, ours, theirs *mongo.Database) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &random{t: rt}
		docs, indexes := r.docs(), r.indexes()
		prepare(rt, t, ours, docs, indexes)
		prepare(rt, t, theirs, docs, indexes)
		for range 12 {
			command := r.command()
			a, afterA := run(rt, t, ours, command)
			b, afterB := run(rt, t, theirs, command)
			for _, key := range []string{"n", "nModified", "code", "writeErrors.0.code", "cursor.firstBatch"} {
				x, _ := along(a, key)
				y, _ := along(b, key)
				if !goldentest.Same(y, x) {
					rt.Fatalf("documents %v\nindexes %v\n%v\n%s: ours %v\ntheirs %v", docs, indexes, command, key, a, b)
				}
			}
			if !goldentest.SameDocs(afterB, afterA, false) {
				rt.Fatalf("documents %v\n%v\nours\n%stheirs\n%s", docs, command, goldentest.Show(afterA), goldentest.Show(afterB))
			}
		}
	})
}

func (r *random) command() bson.D {
	switch r.pick(4) {
	case 0:
		return bson.D{{Key: "update", Value: "c"}, {Key: "updates", Value: bson.A{
			bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: int32(r.pick(7))}}}, {Key: "u", Value: r.update()}},
		}}}
	case 1:
		return bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: r.filter(1)}, {Key: "sort", Value: r.sort()}, {Key: "projection", Value: r.projection()}}
	case 2:
		first, by := bson.D{}, "$b"
		if r.narrow { // mingo's $unwind drops an empty string
			first, by = bson.D{{Key: "a", Value: bson.D{{Key: "$type", Value: "array"}}}}, "$c"
		}
		return bson.D{{Key: "aggregate", Value: "c"}, {Key: "pipeline", Value: bson.A{
			bson.D{{Key: "$match", Value: first}},
			bson.D{{Key: "$match", Value: r.filter(1)}},
			bson.D{{Key: "$unwind", Value: "$a"}},
			bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: by}, {Key: "n", Value: bson.D{{Key: "$sum", Value: "$a"}}}}}},
			bson.D{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
		}}, {Key: "cursor", Value: bson.D{}}}
	default:
		return bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: r.filter(2)}, {Key: "sort", Value: r.sort()}}
	}
}

// againstMingo: what mingo can tell apart.
func againstMingo(t *testing.T, db *mongo.Database) {
	m := startMingo(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := &random{t: rt, narrow: true}
		docs := r.docs()
		prepare(rt, t, db, docs, nil)
		for range 12 {
			command := r.command()
			raw, err := bson.Marshal(command)
			if err != nil {
				rt.Fatal(err)
			}
			var before []bson.Raw
			cur, err := db.Collection("c").Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
			if err == nil {
				err = cur.All(t.Context(), &before)
			}
			if err != nil {
				rt.Fatal(err)
			}
			reply, after := run(rt, t, db, command)
			v, err := m.ask(before, raw)
			if err != nil {
				rt.Fatal(err)
			}
			_, failed := value.Lookup(reply, "code")
			_, refused := value.Lookup(reply, "writeErrors")
			if v.Error != "" || failed || refused {
				continue // what is an error to one of them is for the golden cases
			}
			if v.After != nil && !reflect.DeepEqual(plainDocs(after), v.After) || v.Batch != nil && !sameLists(plainDocs(batchOf(reply)), v.Batch, false) {
				rt.Fatalf("documents\n%s%v\nours %s\n%smingo %+v", goldentest.Show(before), command, reply, goldentest.Show(after), v)
			}
		}
	})
}
