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
	write: true,
	run:   runFindAndModify,
}

// modified is what a findAndModify did.
type modified struct {
	value   bson.Raw // nil: null
	n       int32
	existed bool
	id      bson.RawValue // of an upsert
}

func runFindAndModify(q *request) (bson.Raw, error) {
	st, err := q.modifyStatement()
	if err != nil {
		return nil, err
	}
	remove := q.flag("remove")
	var m modified
	err = q.e.writer.write(q.durable, func(t *tx) error {
		m = modified{}
		if remove {
			return st.modifyRemove(t, &m)
		}
		return st.modifyUpdate(t, &m, q.flag("new"))
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
			return bsoncore.AppendNullElement(b, "value")
		}
		return appendRawDoc(b, "value", m.value)
	}), nil
}

func (q *request) modifyStatement() (*statementOf, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	if err := noLet(q); err != nil {
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
	m.n, m.value = 1, one.doc
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
		doc, _, err := st.apply(t, one)
		if err != nil {
			return err
		}
		m.n, m.existed, m.value = 1, true, one.doc
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
	m.n = 1
	m.id, _ = value.Lookup(doc, "_id")
	if after {
		m.value = doc
	}
	return nil
}
