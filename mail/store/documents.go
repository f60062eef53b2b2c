package store

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Paging asks for one page of a list that is ordered by a unique value. The
// zero value asks for the first 20.
type Paging struct {
	// Limit is rows, 0 for 20, at most MaxPage.
	Limit int
	// After and Before are values of Cursors: what comes behind, or what stands
	// directly before. At most one is set.
	After, Before string
}

// Cursors are where the neighbours of a page begin, "" where there are none.
type Cursors struct {
	Next, Previous string
	// Total counts the whole list.
	Total int64
}

const defaultPaging = 20

// kind is a collection whose documents are read and written as values T.
type kind[T any] struct {
	collection *mongo.Collection
	// name is what it is called in logs; none is the code for a missing one.
	name string
	none mail.Code
	// read gives a document's value; doc gives the fields of a value that we
	// write. What else a document holds is left alone.
	read func(bson.Raw) (T, error)
	doc  func(*T) bson.D
	// order is the unique field that lists are ordered by.
	order string
}

func decoded[R, T any](value func(*R) T) func(bson.Raw) (T, error) {
	return func(raw bson.Raw) (T, error) {
		var r R
		if err := bson.Unmarshal(raw, &r); err != nil {
			var none T
			return none, fail("decode document", err)
		}
		return value(&r), nil
	}
}

// get reads one document.
func (k *kind[T]) get(ctx context.Context, filter bson.D) (T, error) {
	raw, err := k.collection.FindOne(ctx, filter).Raw()
	if err != nil {
		var none T
		return none, missing("read "+k.name, k.none, err)
	}
	return k.read(raw)
}

// list reads at most limit documents in the kind's order.
func (k *kind[T]) list(ctx context.Context, filter bson.D, limit int) ([]T, error) {
	return k.find(ctx, filter, options.Find().SetSort(key(k.order, 1)).SetLimit(int64(limit)))
}

func (k *kind[T]) find(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) ([]T, error) {
	raws, err := all[bson.Raw](ctx, "list "+k.name, k.collection, filter, o)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(raws))
	for i, raw := range raws {
		if out[i], err = k.read(raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// page reads one page.
func (k *kind[T]) page(ctx context.Context, filter bson.D, p Paging) ([]T, Cursors, error) {
	op := "list " + k.name
	var c Cursors
	total, err := k.count(ctx, filter)
	if err != nil {
		return nil, c, fail(op, err)
	}
	c.Total = total
	if p.Limit <= 0 {
		p.Limit = defaultPaging
	}
	p.Limit = min(p.Limit, MaxPage)
	direction, where := 1, bson.D{}
	if edge := or(p.Before, p.After); edge != "" {
		value, err := k.edge(op, edge)
		if err != nil {
			return nil, c, err
		}
		sign := "$gt"
		if p.Before != "" {
			direction, sign = -1, "$lt"
		}
		where = key(k.order, key(sign, value))
	}
	raws, err := all[bson.Raw](ctx, op, k.collection, conjunction(filter, where),
		options.Find().SetSort(key(k.order, direction)).SetLimit(int64(p.Limit+1)))
	if err != nil {
		return nil, c, err
	}
	more := len(raws) > p.Limit
	raws = raws[:min(len(raws), p.Limit)]
	if p.Before != "" {
		for i, j := 0, len(raws)-1; i < j; i, j = i+1, j-1 {
			raws[i], raws[j] = raws[j], raws[i]
		}
	}
	out := make([]T, len(raws))
	for i, raw := range raws {
		if out[i], err = k.read(raw); err != nil {
			return nil, c, err
		}
	}
	if len(raws) > 0 {
		if more && p.Before == "" || p.Before != "" {
			c.Next = edgeOf(raws[len(raws)-1].Lookup(k.order))
		}
		if p.After != "" || more && p.Before != "" {
			c.Previous = edgeOf(raws[0].Lookup(k.order))
		}
	}
	return out, c, nil
}

// count counts a list; that of a whole collection is the database's own number.
func (k *kind[T]) count(ctx context.Context, filter bson.D) (int64, error) {
	if len(filter) == 0 {
		return k.collection.EstimatedDocumentCount(ctx)
	}
	return k.collection.CountDocuments(ctx, filter)
}

// conjunction holds where both do. Each may say something of the same field.
func conjunction(a, b bson.D) bson.D {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return key("$and", bson.A{a, b})
}

// edge is the value of a cursor.
func (k *kind[T]) edge(op, text string) (any, error) {
	if k.order != "_id" {
		return text, nil
	}
	id, err := mail.ParseID(text)
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "cursor", Err: err}
	}
	return oid(id), nil
}

func edgeOf(v bson.RawValue) string {
	if id := rawID(v); !id.IsZero() {
		return id.String()
	}
	return rawString(v)
}

// insert adds a document. CodeExists when its unique value is taken.
func (k *kind[T]) insert(ctx context.Context, id mail.ID, v *T, more ...bson.E) error {
	d := append(bson.D{{Key: "_id", Value: oid(id)}}, k.doc(v)...)
	_, err := k.collection.InsertOne(ctx, append(d, more...))
	return fail("add "+k.name, err)
}

// remove deletes one document.
func (k *kind[T]) remove(ctx context.Context, filter bson.D) error {
	res, err := k.collection.DeleteOne(ctx, filter)
	if err == nil && res.DeletedCount == 0 {
		return &mail.Error{Code: k.none, Op: "remove " + k.name}
	}
	return fail("remove "+k.name, err)
}

// edit reads a document, lets change alter the value, and writes the fields
// that differ, and what more adds for the change. So two who change different fields do not undo each
// other, and fields that we do not know stay. The value comes back changed.
func (k *kind[T]) edit(ctx context.Context, filter bson.D, change func(*T) error, more ...func(before, after *T) bson.D) (T, error) {
	op := "change " + k.name
	v, err := k.get(ctx, filter)
	if err != nil {
		return v, err
	}
	was, before := v, k.doc(&v)
	if err := change(&v); err != nil {
		return v, err
	}
	update, err := difference(before, k.doc(&v))
	if err != nil {
		return v, fail(op, err)
	}
	for _, add := range more {
		for _, e := range add(&was, &v) {
			update = withOperator(update, e)
		}
	}
	if len(update) == 0 {
		return v, nil
	}
	res, err := k.collection.UpdateOne(ctx, filter, update)
	if err == nil && res.MatchedCount == 0 {
		return v, &mail.Error{Code: k.none, Op: op}
	}
	return v, fail(op, err)
}

// withOperator adds the fields of one operator to an update.
func withOperator(update bson.D, e bson.E) bson.D {
	fields, _ := e.Value.(bson.D)
	for i := range update {
		if have, ok := update[i].Value.(bson.D); ok && update[i].Key == e.Key {
			update[i].Value = append(have, fields...)
			return update
		}
	}
	return append(update, e)
}

// difference is the update that makes the fields of before those of after: what
// differs is set, what is missing is unset, embedded documents field by field.
func difference(before, after bson.D) (bson.D, error) {
	var set, unset bson.D
	if err := compareDocs("", before, after, &set, &unset); err != nil {
		return nil, err
	}
	var update bson.D
	if len(set) > 0 {
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update, nil
}

func compareDocs(prefix string, before, after bson.D, set, unset *bson.D) error {
	for _, a := range after {
		b, was := fieldOf(before, a.Key)
		inner, isDoc := a.Value.(bson.D)
		outer, wasDoc := b.(bson.D)
		if was && isDoc && wasDoc {
			if err := compareDocs(prefix+a.Key+".", outer, inner, set, unset); err != nil {
				return err
			}
			continue
		}
		same, err := sameValue(b, a.Value)
		if err != nil {
			return err
		}
		if !was || !same {
			*set = append(*set, bson.E{Key: prefix + a.Key, Value: a.Value})
		}
	}
	for _, b := range before {
		if _, stays := fieldOf(after, b.Key); !stays {
			*unset = append(*unset, bson.E{Key: prefix + b.Key, Value: ""})
		}
	}
	return nil
}

func fieldOf(d bson.D, name string) (any, bool) {
	for _, e := range d {
		if e.Key == name {
			return e.Value, true
		}
	}
	return nil, false
}

func sameValue(a, b any) (bool, error) {
	x, err := bson.Marshal(bson.D{{Key: "v", Value: a}})
	if err != nil {
		return false, err
	}
	y, err := bson.Marshal(bson.D{{Key: "v", Value: b}})
	return bytes.Equal(x, y), err
}
