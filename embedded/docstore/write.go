package docstore

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/update"
	"github.com/eidermail/eider/embedded/docstore/value"
)

const maxStatements = 100_000

var insertCommand = command{
	fields:   map[string]kind{"documents": kindArray, "ordered": kindBool, "bypassDocumentValidation": kindBool},
	required: []string{"documents"},
	write:    true, retry: true, stable: true,
	run: runInsert,
}

func checkStatements(n int) error {
	if n == 0 || n > maxStatements {
		return refuse(value.CodeInvalidLength, "InvalidLength", "Write batch sizes must be between 1 and 100000. Got "+itoa(n)+" operations.")
	}
	return nil
}

func (q *request) ordered() bool { return !q.has("ordered") || q.flag("ordered") }

func runInsert(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	docs, err := q.docs("documents")
	if err != nil {
		return nil, err
	}
	if err := checkStatements(len(docs)); err != nil {
		return nil, err
	}
	ready := make([]insertion, len(docs))
	coll := q.e.catalog.Load().colls[ns]
	for i, d := range docs {
		ready[i].doc, ready[i].err = q.e.withID(q.e.withClock(d))
		ready[i].prepare(coll)
	}
	var res writeResult
	err = q.e.writer.writePlain(q.durable, func(t *tx) error {
		res = writeResult{}
		return res.each(q, t, len(docs), func(i int) error {
			if ready[i].err != nil {
				return ready[i].err
			}
			coll, err := t.ensure(ns, nil)
			if err == nil {
				err = t.insert(coll, ready[i])
			}
			if err == nil {
				res.n++
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return res.reply(), nil
}

// writeResult is the outcome of a write command.
type writeResult struct {
	updates     bool // it is an update's: n counts what matched
	n, modified int64
	errs        []writeError
	upserted    []upserted
	retried     []int // statements that had been done before
}

type upserted struct {
	index int
	id    bson.RawValue
}

// each runs the statements, up to the first error if they are ordered. A failure
// of the store itself fails the command. With a transaction number a statement
// that was done before is not done again.
func (w *writeResult) each(q *request, t *tx, n int, f func(i int) error) error {
	h, err := t.history(q)
	if err != nil {
		return err
	}
	changed := false
	for i := range n {
		wrote, err := w.statement(h, i, f)
		changed = changed || wrote
		if err == nil {
			continue
		}
		if !isRefusal(err) {
			return err
		}
		w.errs = append(w.errs, writeError{i, err})
		if q.ordered() {
			break
		}
	}
	if h != nil && changed {
		return h.save()
	}
	return nil
}

// statement runs a statement or, if the session knows it as done, takes what it
// did. wrote tells that there is something new to remember.
func (w *writeResult) statement(h *history, i int, f func(i int) error) (wrote bool, err error) {
	if h == nil {
		return false, f(i)
	}
	if d, ok := h.done[i]; ok {
		w.n += d.n
		w.modified += d.modified
		if d.upserted.Type != 0 {
			w.upserted = append(w.upserted, upserted{i, d.upserted})
		}
		w.retried = append(w.retried, i)
		return false, nil
	}
	was := *w
	if err := f(i); err != nil {
		return false, err
	}
	d := statementDone{index: i, n: w.n - was.n, modified: w.modified - was.modified}
	if len(w.upserted) > len(was.upserted) {
		d.upserted = w.upserted[len(was.upserted)].id
	}
	if !w.wrote(was) {
		return false, nil
	}
	h.add(d)
	return true, nil
}

// wrote tells if a document was changed since then: an update that only matches
// has changed none.
func (w *writeResult) wrote(was writeResult) bool {
	if w.updates {
		return w.modified > was.modified || len(w.upserted) > len(was.upserted)
	}
	return w.n > was.n
}

func (w *writeResult) reply() bson.Raw {
	return reply(func(b []byte) []byte {
		b = appendCount(b, w.n)
		if w.updates {
			b = bsoncore.AppendInt32Element(b, "nModified", int32(w.modified)) //nolint:gosec // far below
		}
		if len(w.upserted) > 0 {
			ai, a := bsoncore.AppendArrayElementStart(b, "upserted")
			for n, u := range w.upserted {
				di, d := bsoncore.AppendDocumentElementStart(a, itoa(n))
				d = bsoncore.AppendInt32Element(d, "index", int32(u.index)) //nolint:gosec // at most 100,000
				d = appendValue(d, "_id", u.id)
				a, _ = bsoncore.AppendDocumentEnd(d, di)
			}
			b, _ = bsoncore.AppendArrayEnd(a, ai)
		}
		b = appendWriteErrors(b, w.errs)
		return appendRetried(b, w.retried)
	})
}

func appendRetried(b []byte, list []int) []byte {
	if len(list) == 0 {
		return b
	}
	ai, b := bsoncore.AppendArrayElementStart(b, "retriedStmtIds")
	for n, i := range list {
		b = bsoncore.AppendInt32Element(b, itoa(n), int32(i)) //nolint:gosec // at most 100,000
	}
	b, _ = bsoncore.AppendArrayEnd(b, ai)
	return b
}

var updateCommand = command{
	fields:   map[string]kind{"updates": kindArray, "ordered": kindBool, "bypassDocumentValidation": kindBool, "let": kindDoc},
	items:    map[string]map[string]kind{"updates": updateFields},
	required: []string{"updates"},
	only:     map[string]int32{"let": 2},
	write:    true, retry: true, stable: true,
	run: runUpdate,
}

var updateFields = map[string]kind{
	"q": kindDoc, "u": kindAny, "multi": kindBool, "upsert": kindBool, "arrayFilters": kindArray, "hint": kindAny,
}

var deleteCommand = command{
	fields:   map[string]kind{"deletes": kindArray, "ordered": kindBool, "let": kindDoc},
	items:    map[string]map[string]kind{"deletes": deleteFields},
	required: []string{"deletes"},
	only:     map[string]int32{"let": 2},
	write:    true, retry: true, stable: true,
	run: runDelete,
}

var deleteFields = map[string]kind{"q": kindDoc, "limit": kindNumber, "hint": kindAny}

// statementOf is one statement of an update, a delete or a findAndModify.
type statementOf struct {
	*search
	u      *update.Update
	multi  bool
	upsert bool
	err    error // the statement is refused, but not the command
	alone  bool  // the command's only one, which may go on in steps
	later  *many // and does
}

// fieldsOf checks the fields of a statement against their table.
func fieldsOf(name string, doc bson.Raw, table map[string]kind, required ...string) (map[string]bson.RawValue, error) {
	out := map[string]bson.RawValue{}
	err := eachField(name, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, func(key string, v bson.RawValue) error {
		k, ok := table[key]
		if !ok {
			return unknownField(name, key)
		}
		if err := k.check(name, key, v); err != nil {
			return err
		}
		out[key] = v
		return nil
	})
	for _, r := range required {
		if _, ok := out[r]; !ok && err == nil {
			err = missingField(name, r)
		}
	}
	return out, err
}

func runUpdate(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	docs, err := q.docs("updates")
	if err != nil {
		return nil, err
	}
	if err := checkStatements(len(docs)); err != nil {
		return nil, err
	}
	list := make([]*statementOf, len(docs))
	for i, d := range docs {
		if list[i], err = q.updateStatement(ns, d); err != nil {
			return nil, err
		}
		list[i].alone = len(docs) == 1
	}
	var res writeResult
	err = q.e.writer.writePlain(q.durable, func(t *tx) error {
		res = writeResult{updates: true}
		list[0].later = nil
		return res.each(q, t, len(list), func(i int) error { return list[i].update(t, i, &res) })
	})
	if err == nil && list[0].later != nil {
		err = list[0].updateRest(&res)
	}
	if err != nil {
		return nil, err
	}
	return res.reply(), nil
}

// updateRest updates what the first job left. If nothing matches in the end, there
// is still an upsert to do.
func (st *statementOf) updateRest(res *writeResult) error {
	err := st.later.rest(res, func(t *tx, _ *collection, r int64, doc bson.Raw) error { return st.updateOne(t, r, doc, res) })
	if err != nil || res.n > 0 || len(res.errs) > 0 || !st.upsert {
		return err
	}
	was := *res
	err = st.q.e.writer.writePlain(st.q.durable, func(t *tx) error {
		*res = was
		return st.upsertNew(t, 0, res)
	})
	return st.later.ended(res, err)
}

func (q *request) updateStatement(ns namespace, doc bson.Raw) (*statementOf, error) {
	f, err := fieldsOf("update.updates", doc, updateFields, "q", "u")
	if err != nil {
		return nil, err
	}
	if t := f["u"].Type; t != bson.TypeEmbeddedDocument && t != bson.TypeArray {
		return nil, value.FailedToParse("Update argument must be either an object or an array")
	}
	st := &statementOf{multi: value.Truthy(f["multi"]), upsert: value.Truthy(f["upsert"])}
	st.search, st.err = newSearch(q, ns, f["q"].Value, nil, nil, f["hint"])
	if st.err == nil {
		st.u, st.err = compileUpdate(f["u"], f["arrayFilters"])
	}
	if st.multi && q.txn != nil {
		return nil, refuse(value.CodeInvalidOptions, "InvalidOptions", "Cannot use (or request) retryable writes with multi=true")
	}
	if st.err == nil && st.multi && st.u.IsReplacement() {
		st.err = value.FailedToParse("multi update is not supported for replacement-style update")
	}
	return st, nil
}

func compileUpdate(u, filters bson.RawValue) (*update.Update, error) {
	list, err := documents("update", "arrayFilters", filters)
	if err != nil {
		return nil, err
	}
	return update.Compile(u, list)
}

// found is a document that a write has to do with.
type found struct {
	r   int64
	doc bson.Raw
	pos int
}

// first finds the first document in the search's order; nil if there is none.
func (s *search) first(t *tx, coll *collection) (*found, error) {
	p, err := choose(coll, &s.wish)
	if err != nil {
		return nil, err
	}
	sc := &scan{q: s.q, p: p, m: s.wish.m, inside: true}
	var one *found
	if p.sorted {
		_, err = sc.run(t.c, func(r int64, doc bson.Raw) (verdict, error) {
			one = &found{r: r, doc: bytes.Clone(doc)}
			return stopAfter, nil
		})
	} else {
		so := &sorter{spec: s.wish.sort, limit: 1}
		_, err = sc.run(t.c, func(r int64, doc bson.Raw) (verdict, error) {
			return goOn, so.add(doc, func() (bson.Raw, error) { return bytes.Clone(doc), nil }, r)
		})
		if items := so.done(); len(items) > 0 {
			one = &found{r: items[0].r, doc: items[0].doc}
		}
	}
	if err != nil || one == nil {
		return nil, err
	}
	_, one.pos, err = s.wish.m.Test(one.doc)
	return one, err
}

func (t *tx) document(r int64) (bson.Raw, error) {
	row, err := t.c.one(sqlDoc, r)
	if err != nil || row == nil {
		return nil, err
	}
	return blob(row[0]), nil
}

// update runs one statement.
func (st *statementOf) update(t *tx, i int, res *writeResult) error {
	if st.err != nil {
		return st.err
	}
	coll := t.cat.colls[st.ns]
	matched := false
	if coll != nil {
		var err error
		if matched, err = st.updateMatching(t, coll, res); err != nil {
			return err
		}
	}
	if matched || !st.upsert {
		return nil
	}
	return st.upsertNew(t, i, res)
}

// upsertNew inserts the document of an upsert of statement i.
func (st *statementOf) upsertNew(t *tx, i int, res *writeResult) error {
	doc, err := st.insertNew(t)
	if err != nil {
		return err
	}
	id, _ := value.Lookup(doc, "_id")
	res.n++
	res.upserted = append(res.upserted, upserted{i, id})
	return nil
}

func (st *statementOf) updateMatching(t *tx, coll *collection, res *writeResult) (matched bool, err error) {
	if !st.multi {
		one, err := st.first(t, coll)
		if err != nil || one == nil {
			return false, err
		}
		return true, st.count(res, func() (bool, error) {
			_, modified, err := st.apply(t, one)
			return modified, err
		})
	}
	list, whole, err := st.some(t, coll, st.alone)
	for _, r := range list {
		if err != nil {
			break
		}
		var doc bson.Raw
		if doc, err = t.document(r); err == nil && doc != nil {
			err = st.updateOne(t, r, doc, res)
		}
	}
	if err == nil && !whole {
		st.goOn(list)
	}
	return len(list) > 0 || st.later != nil, err
}

// updateOne updates a document of many.
func (st *statementOf) updateOne(t *tx, r int64, doc bson.Raw, res *writeResult) (err error) {
	one := &found{r: r, doc: doc}
	if _, one.pos, err = st.wish.m.Test(doc); err != nil {
		return err
	}
	return st.count(res, func() (bool, error) {
		_, modified, err := st.apply(t, one)
		return modified, err
	})
}

// goOn leaves to later steps all but these.
func (st *statementOf) goOn(list []int64) {
	st.later = &many{statementOf: st, done: make(map[int64]struct{}, len(list))}
	for _, r := range list {
		st.later.done[r] = struct{}{}
	}
}

func (st *statementOf) count(res *writeResult, f func() (bool, error)) error {
	modified, err := f()
	if err != nil {
		return err
	}
	res.n++
	if modified {
		res.modified++
	}
	return nil
}

// apply updates one document.
func (st *statementOf) apply(t *tx, one *found) (doc bson.Raw, modified bool, err error) {
	doc, modified, err = st.u.Apply(one.doc, update.ApplyOptions{Pos: one.pos, Matcher: st.wish.m, Now: st.q.e.now()})
	if err != nil || !modified {
		return one.doc, false, err
	}
	was, _ := value.Lookup(one.doc, "_id")
	if id, ok := value.Lookup(doc, "_id"); !ok || !value.Same(was, id) {
		return nil, false, refuse(value.CodeImmutableField, "ImmutableField", "Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	if len(doc) > maxDocument {
		return nil, false, refuse(17419, "Location17419", "Resulting document after update is larger than "+itoa(maxDocument))
	}
	if doc, err = t.e.withID(doc); err != nil {
		return nil, false, err
	}
	return doc, true, t.update(t.cat.colls[st.ns], one.r, one.doc, doc)
}

// insertNew inserts the document of an upsert.
func (st *statementOf) insertNew(t *tx) (bson.Raw, error) {
	seed, err := update.Seed(st.wish.m, st.u)
	if err != nil {
		return nil, err
	}
	doc, _, err := st.u.Apply(seed, update.ApplyOptions{Pos: -1, Matcher: st.wish.m, Insert: true, Now: st.q.e.now()})
	if err != nil {
		return nil, err
	}
	if doc, err = t.e.withID(doc); err != nil {
		return nil, err
	}
	coll, err := t.ensure(st.ns, nil)
	if err != nil {
		return nil, err
	}
	return doc, t.insert(coll, insertion{doc: doc})
}

func runDelete(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	docs, err := q.docs("deletes")
	if err != nil {
		return nil, err
	}
	if err := checkStatements(len(docs)); err != nil {
		return nil, err
	}
	list := make([]*statementOf, len(docs))
	for i, d := range docs {
		if list[i], err = q.deleteStatement(ns, d); err != nil {
			return nil, err
		}
		list[i].alone = len(docs) == 1
	}
	var res writeResult
	err = q.e.writer.writePlain(q.durable, func(t *tx) error {
		res = writeResult{}
		list[0].later = nil
		return res.each(q, t, len(list), func(i int) error { return list[i].remove(t, &res) })
	})
	if err == nil && list[0].later != nil {
		err = list[0].later.rest(&res, func(t *tx, coll *collection, r int64, doc bson.Raw) error {
			res.n++
			return t.remove(coll, r, doc)
		})
	}
	if err != nil {
		return nil, err
	}
	return res.reply(), nil
}

func (q *request) deleteStatement(ns namespace, doc bson.Raw) (*statementOf, error) {
	f, err := fieldsOf("delete.deletes", doc, deleteFields, "q", "limit")
	if err != nil {
		return nil, err
	}
	limit, _ := value.Whole(f["limit"])
	if limit != 0 && limit != 1 {
		return nil, value.FailedToParse("The limit field in delete objects must be 0 or 1. Got %d", limit)
	}
	if limit == 0 && q.txn != nil {
		return nil, refuse(value.CodeInvalidOptions, "InvalidOptions", "Cannot use (or request) retryable writes with limit=0")
	}
	st := &statementOf{multi: limit == 0}
	st.search, st.err = newSearch(q, ns, f["q"].Value, nil, nil, f["hint"])
	return st, nil
}

func (st *statementOf) remove(t *tx, res *writeResult) error {
	if st.err != nil {
		return st.err
	}
	coll := t.cat.colls[st.ns]
	if coll == nil {
		return nil
	}
	if !st.multi {
		one, err := st.first(t, coll)
		if err != nil || one == nil {
			return err
		}
		res.n++
		return t.remove(coll, one.r, one.doc)
	}
	list, whole, err := st.some(t, coll, st.alone)
	if err != nil {
		return err
	}
	for _, r := range list {
		doc, err := t.document(r)
		if err != nil {
			return err
		}
		if err := t.remove(coll, r, doc); err != nil {
			return err
		}
		res.n++
	}
	if !whole {
		st.goOn(list)
	}
	return nil
}
