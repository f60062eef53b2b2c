package docstore

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// sessionMinutes is how long a session lives after its last use, as hello says.
// What a retryable write did is remembered as long.
const sessionMinutes = 30

// transactions is where MongoDB, too, keeps what the retryable writes of sessions
// did: one document a session, written with the write itself.
var transactions = namespace{"config", "transactions"}

// session checks the session and the transaction number of a command.
func (q *request) session() error {
	if v, ok := q.fields["lsid"]; ok {
		id, err := sessionID("lsid", v)
		if err != nil {
			return err
		}
		q.lsid = id
	}
	v, numbered := q.fields["txnNumber"]
	if !numbered {
		for _, name := range []string{"autocommit", "startTransaction"} {
			if q.has(name) {
				return refuse(value.CodeInvalidOptions, "InvalidOptions", "'"+name+"' field requires a transaction number to also be specified")
			}
		}
		return nil
	}
	switch n := value.Int64(v); {
	case v.Type != bson.TypeInt64:
		return wrongType(q.name, "txnNumber", v.Type, "long")
	case q.lsid == nil:
		return refuse(value.CodeInvalidOptions, "InvalidOptions", "Transaction number requires a session ID to also be specified")
	case n < 0:
		return refuse(value.CodeInvalidOptions, "InvalidOptions", "Transaction number cannot be negative")
	case q.has("autocommit") || q.has("startTransaction"):
		return refuse(20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos")
	case !q.cmd.retry:
		return refuse(50768, "NotARetryableWriteCommand", "txnNumber may only be provided for multi-document transactions and retryable write commands. autocommit:false was not provided, and "+q.name+" is not a retryable write command.")
	default:
		q.txn = &n
		return nil
	}
}

// sessionID gives {id: UUID} of a session as a client names it.
func sessionID(name string, v bson.RawValue) (bson.Raw, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, wrongType("", name, v.Type, "object")
	}
	fields, err := fieldsOf(name, v.Value, map[string]kind{"id": kindAny, "uid": kindAny}, "id")
	if err != nil {
		return nil, err
	}
	id := fields["id"]
	if id.Type != bson.TypeBinary || len(id.Value) != 21 || id.Value[4] != bson.TypeBinaryUUID {
		return nil, refuse(value.CodeTypeMismatch, "TypeMismatch", "BSON field '"+name+".id' is the wrong type '"+value.TypeName(id.Type)+"', expected a UUID")
	}
	return value.OfFields([]value.Field{{Key: "id", RawValue: id}}), nil
}

// runEndSessions: a session holds nothing but what its retryable writes did, which
// a late retry may still ask for.
func runEndSessions(q *request) (bson.Raw, error) {
	if err := kindArray.check("endSessions", "endSessions", q.first); err != nil {
		return nil, err
	}
	for _, v := range value.Elements(q.first.Value) {
		if _, err := sessionID("endSessions.endSessionsFromClient", v); err != nil {
			return nil, err
		}
	}
	return reply(nil), nil
}

// history is what a session remembers of one transaction number, for as long as
// the job that changes it runs.
type history struct {
	t     *tx
	id    bson.Raw
	txn   int64
	found *found // the document that is stored; nil for none
	done  map[int]statementDone
	news  []statementDone
}

// statementDone is what a statement that wrote something did. count consecutive
// statements that did the same are one.
type statementDone struct {
	index, count int
	n, modified  int64
	upserted     bson.RawValue // its _id
	value        bson.RawValue // of findAndModify
	existed      bool
}

// history reads what is known of the request's transaction number; nil without one.
func (t *tx) history(q *request) (*history, error) {
	if q.txn == nil {
		return nil, nil //nolint:nilnil // not retryable
	}
	h := &history{t: t, id: q.lsid, txn: *q.txn, done: map[int]statementDone{}}
	coll := t.cat.colls[transactions]
	if coll == nil {
		return h, nil
	}
	s, err := newSearch(q, transactions, h.filter(), nil, nil, bson.RawValue{})
	if err != nil {
		return nil, err
	}
	if h.found, err = s.first(t, coll); err != nil || h.found == nil {
		return h, err
	}
	last, _ := value.Lookup(h.found.doc, "txnNum")
	switch n := value.Int64(last); {
	case n > h.txn:
		return nil, value.Errorf(value.CodeTransactionTooOld, "Retryable write with txnNumber %d is prohibited on session %s because a newer retryable write with txnNumber %d has already started on this session.", h.txn, h.id, n)
	case n == h.txn:
		h.read()
	}
	return h, nil
}

func (h *history) filter() bson.Raw {
	return value.OfFields([]value.Field{{Key: "_id", RawValue: value.OfDoc(h.id)}})
}

func (h *history) read() {
	list, _ := value.Lookup(h.found.doc, "statements")
	for _, v := range value.Elements(list.Value) {
		var d statementDone
		for _, f := range value.Fields(v.Value) {
			switch f.Key {
			case "index":
				d.index = int(value.Int64(f.RawValue))
			case "count":
				d.count = int(value.Int64(f.RawValue))
			case "n":
				d.n = value.Int64(f.RawValue)
			case "modified":
				d.modified = value.Int64(f.RawValue)
			case "upserted":
				d.upserted = f.RawValue
			case "value":
				d.value = f.RawValue
			case "existed":
				d.existed = value.Bool(f.RawValue)
			}
		}
		h.news = append(h.news, d) // they are written again
		for i := range d.count {
			h.done[d.index+i] = d
		}
	}
}

// add remembers what a statement did.
func (h *history) add(d statementDone) {
	d.count = 1
	if k := len(h.news) - 1; k >= 0 {
		last := &h.news[k]
		plain := d.upserted.Type == 0 && last.upserted.Type == 0 && d.value.Type == 0 && last.value.Type == 0
		if plain && last.index+last.count == d.index && last.n == d.n && last.modified == d.modified {
			last.count++
			return
		}
	}
	h.news = append(h.news, d)
}

// save stores the session's document with the writes it is about.
func (h *history) save() error {
	list := make([]bson.RawValue, len(h.news))
	for i, d := range h.news {
		list[i] = value.OfDoc(d.document())
	}
	doc := value.OfFields([]value.Field{
		{Key: "_id", RawValue: value.OfDoc(h.id)},
		{Key: "txnNum", RawValue: value.OfInt64(h.txn)},
		{Key: "lastWriteDate", RawValue: value.OfDate(h.t.e.now().UnixMilli())},
		{Key: "statements", RawValue: value.OfArray(list)},
	})
	coll, err := h.t.ensure(transactions, nil)
	if err != nil {
		return err
	}
	if h.found != nil {
		return h.t.update(coll, h.found.r, h.found.doc, doc)
	}
	return h.t.insert(coll, insertion{doc: doc})
}

func (d *statementDone) document() bson.Raw {
	i, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendInt64Element(b, "index", int64(d.index))
	b = bsoncore.AppendInt64Element(b, "count", int64(d.count))
	b = bsoncore.AppendInt64Element(b, "n", d.n)
	b = bsoncore.AppendInt64Element(b, "modified", d.modified)
	b = bsoncore.AppendBooleanElement(b, "existed", d.existed)
	for _, f := range []value.Field{{Key: "upserted", RawValue: d.upserted}, {Key: "value", RawValue: d.value}} {
		if f.Type != 0 {
			b = appendValue(b, f.Key, f.RawValue)
		}
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// expireSessions forgets the writes of sessions that have been idle too long.
func (e *Engine) expireSessions() error {
	if e.catalog.Load().colls[transactions] == nil {
		return nil
	}
	old := value.OfDate(e.now().Add(-sessionMinutes * time.Minute).UnixMilli())
	filter := value.OfFields([]value.Field{{
		Key:      "lastWriteDate",
		RawValue: value.OfDoc(value.OfFields([]value.Field{{Key: "$lt", RawValue: old}})),
	}})
	q := &request{e: e, cmd: &deleteCommand, name: "delete"}
	s, err := newSearch(q, transactions, filter, nil, nil, bson.RawValue{})
	if err != nil {
		return err
	}
	st := &statementOf{search: s, multi: true, alone: true}
	res := &writeResult{}
	err = e.writer.writePlain(false, func(t *tx) error {
		st.later = nil
		return st.remove(t, res)
	})
	if err != nil || st.later == nil {
		return err
	}
	return st.later.rest(res, func(t *tx, coll *collection, r int64, doc bson.Raw) error { return t.remove(coll, r, doc) })
}
