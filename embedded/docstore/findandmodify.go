package docstore

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/value"
)

var findAndModifyCommand = command{
	fields: map[string]kind{
		"query": kindDoc, "sort": kindDoc, "remove": kindBool, "update": kindAny, "new": kindBool, "fields": kindDoc,
		"upsert": kindBool, "bypassDocumentValidation": kindBool, "arrayFilters": kindArray, "hint": kindAny, "let": kindDoc,
	},
	only:  map[string]int32{"let": 2},
	write: true, retry: true, stable: true,
	run: runFindAndModify,
}

// modified is what a findAndModify did.
type modified struct {
	value   bson.Raw // nil: null
	n       int32
	existed bool
	wrote   bool          // a document was changed
	retried bool          // it had been done before
	id      bson.RawValue // of an upsert
}

func runFindAndModify(q *request) (bson.Raw, error) {
	st, err := q.modifyStatement()
	if err != nil {
		return nil, err
	}
	remove := q.flag("remove")
	var m modified
	err = q.e.writer.writePlain(q.durable, func(t *tx) error {
		m = modified{}
		return st.modify(t, &m, remove, q.flag("new"))
	})
	if err != nil {
		return nil, err
	}
	if m.value != nil && st.proj != nil {
		if m.value, err = st.proj.Apply(m.value); err != nil {
			return nil, err
		}
	}
	return reply(func(b []byte) []byte {
		i, b := bsoncore.AppendDocumentElementStart(b, "lastErrorObject")
		b = bsoncore.AppendInt32Element(b, "n", m.n)
		if !remove {
			b = bsoncore.AppendBooleanElement(b, "updatedExisting", m.existed)
		}
		if m.id.Type != 0 {
			b = appendValue(b, "upserted", m.id)
		}
		b, _ = bsoncore.AppendDocumentEnd(b, i)
		if m.value == nil {
			b = bsoncore.AppendNullElement(b, "value")
		} else {
			b = appendRawDoc(b, "value", m.value)
		}
		if m.retried {
			b = bsoncore.AppendInt32Element(b, "retriedStmtId", 0)
		}
		return b
	}), nil
}

// modify does it, unless the session knows it as done.
func (st *statementOf) modify(t *tx, m *modified, remove, after bool) error {
	h, err := t.history(st.q)
	if err != nil {
		return err
	}
	if h != nil {
		if d, ok := h.done[0]; ok {
			*m = modified{n: int32(d.n), existed: d.existed, id: d.upserted, retried: true} //nolint:gosec // 0 or 1
			if d.value.Type == bson.TypeEmbeddedDocument {
				m.value = d.value.Value
			}
			return nil
		}
	}
	if remove {
		err = st.modifyRemove(t, m)
	} else {
		err = st.modifyUpdate(t, m, after)
	}
	if err != nil || h == nil || !m.wrote {
		return err
	}
	d := statementDone{n: int64(m.n), existed: m.existed, upserted: m.id}
	if m.value != nil {
		d.value = value.OfDoc(m.value)
	}
	h.add(d)
	return h.save()
}

func (q *request) modifyStatement() (*statementOf, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	u, hasUpdate := q.fields["update"]
	switch {
	case q.flag("remove") && hasUpdate:
		return nil, value.FailedToParse("Cannot specify both an update and remove=true")
	case q.flag("remove") && q.flag("upsert"):
		return nil, value.FailedToParse("Cannot specify both upsert=true and remove=true")
	case q.flag("remove") && q.flag("new"):
		return nil, value.FailedToParse("Cannot specify both new=true and remove=true; 'remove' always returns the deleted document")
	case !q.flag("remove") && !hasUpdate:
		return nil, value.FailedToParse("Either an update or remove=true must be specified")
	case hasUpdate && u.Type != bson.TypeEmbeddedDocument && u.Type != bson.TypeArray:
		return nil, value.FailedToParse("Update argument must be either an object or an array")
	}
	st := &statementOf{upsert: q.flag("upsert")}
	if st.search, err = newSearch(q, ns, q.doc("query"), q.doc("sort"), q.doc("fields"), q.fields["hint"]); err != nil {
		return nil, err
	}
	st.wish.reads = false // the whole document is needed
	if hasUpdate {
		st.u, err = compileUpdate(u, q.fields["arrayFilters"])
	} else if q.has("arrayFilters") {
		err = value.FailedToParse("Cannot specify arrayFilters and remove=true")
	}
	return st, err
}

func (st *statementOf) modifyRemove(t *tx, m *modified) error {
	coll := t.cat.colls[st.ns]
	if coll == nil {
		return nil
	}
	one, err := st.first(t, coll)
	if err != nil || one == nil {
		return err
	}
	m.n, m.value, m.wrote = 1, one.doc, true
	return t.remove(coll, one.r, one.doc)
}

func (st *statementOf) modifyUpdate(t *tx, m *modified, after bool) error {
	var one *found
	if coll := t.cat.colls[st.ns]; coll != nil {
		var err error
		if one, err = st.first(t, coll); err != nil {
			return err
		}
	}
	if one != nil {
		doc, wrote, err := st.apply(t, one)
		if err != nil {
			return err
		}
		m.n, m.existed, m.value, m.wrote = 1, true, one.doc, wrote
		if after {
			m.value = doc
		}
		return nil
	}
	if !st.upsert {
		return nil
	}
	doc, err := st.insertNew(t)
	if err != nil {
		return err
	}
	m.n, m.wrote = 1, true
	m.id, _ = value.Lookup(doc, "_id")
	if after {
		m.value = doc
	}
	return nil
}
