package docstore

import (
	"bytes"
	"crypto/rand"
	"database/sql/driver"
	"encoding/binary"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/value"
)

const (
	sqlInsertDoc = "INSERT INTO docs(r, v) VALUES(?, ?)"
	sqlUpdateDoc = "UPDATE docs SET v = ? WHERE r = ?"
	sqlDeleteDoc = "DELETE FROM docs WHERE r = ?"
	sqlInsertKey = "INSERT INTO ix(k, r, t) VALUES(?, ?, ?)"
	sqlDeleteKey = "DELETE FROM ix WHERE k = ? AND r = ?"
	sqlFindKey   = "SELECT r FROM ix WHERE k = ? LIMIT 2"
)

// insertion is a document to be inserted, with the keys that it has if the
// collection is this one: they are made beside the writer.
type insertion struct {
	doc  bson.Raw
	err  error // it is refused
	coll *collection
	keys []index.Keys
}

// prepare makes the keys. Where that is not possible the writer will say why.
func (i *insertion) prepare(coll *collection) {
	if i.err != nil || coll == nil || len(coll.making) > 0 {
		return
	}
	keys := make([]index.Keys, len(coll.indexes))
	for n, ix := range coll.indexes {
		var err error
		if keys[n], err = ix.keys(i.doc); err != nil {
			return
		}
	}
	i.coll, i.keys = coll, keys
}

// insert stores a document. It checks everything before it changes anything.
func (t *tx) insert(coll *collection, in insertion) error {
	doc := in.doc
	list := coll.kept()
	all := in.keys
	if in.coll != coll {
		all = make([]index.Keys, len(list))
	}
	low, _ := coll.records()
	r := low + coll.stats.next
	for i, ix := range list {
		var err error
		if in.coll != coll {
			all[i], err = t.keysOf(ix, r, doc)
		}
		if err != nil {
			return err
		}
		if err := t.free(coll, ix, all[i].Entries, r, doc); err != nil {
			return err
		}
	}
	coll.stats.next++
	if err := t.c.exec(sqlInsertDoc, r, []byte(doc)); err != nil {
		return err
	}
	for i := range all {
		for _, e := range all[i].Entries {
			if err := t.addKey(sqlInsertKey, e, r); err != nil {
				return err
			}
		}
	}
	t.count(coll, 1, int64(len(doc)))
	return t.markMultikey(coll, all)
}

// addKey adds an entry by one of the statements that do.
func (t *tx) addKey(sql string, e index.Entry, r int64) error {
	var hints driver.Value
	if e.Hints != nil {
		hints = e.Hints
	}
	return t.c.exec(sql, e.Key, r, hints)
}

// free makes sure that no other record than self has one of the keys of a unique
// index. Of one that is being made, it is noted.
func (t *tx) free(coll *collection, ix *indexDef, entries []index.Entry, self int64, doc bson.Raw) error {
	if !ix.unique {
		return nil
	}
	for _, e := range entries {
		taken := false
		err := t.c.rows(sqlFindKey, func(row *lite.Stmt) (bool, error) {
			taken = row.Int(0) != self
			return !taken, nil
		}, e.Key)
		if err != nil {
			return err
		}
		switch {
		case !taken:
		case ix.underway == nil:
			return ix.duplicate(coll, e, doc)
		default:
			ix.underway.note(e.Key)
		}
	}
	return nil
}

// keyValue is the document of the values of one key, as errors show it.
func keyValue(ix *indexDef, e index.Entry, doc bson.Raw) bson.Raw {
	values, ok := index.Decode(e.Key[4:], ix.fields, e.Hints)
	if !ok {
		values = index.Values(doc, ix.fields, e.Key[4:])
	}
	i, b := bsoncore.AppendDocumentStart(nil)
	for n, f := range ix.fields {
		v := values[n]
		if v.Type == 0 {
			v = value.Null()
		}
		b = appendValue(b, f.Path, v)
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// markMultikey notes paths that went through an array for the first time.
func (t *tx) markMultikey(coll *collection, all []index.Keys) error {
	var changed *collection
	for i, ix := range coll.kept() {
		if all[i].Multikey&^ix.multikey == 0 {
			continue
		}
		if changed == nil {
			c := *coll
			c.indexes, c.making = slices.Clone(coll.indexes), slices.Clone(coll.making)
			changed = &c
		}
		next := *ix
		next.multikey |= all[i].Multikey
		if i < len(coll.indexes) {
			changed.indexes[i] = &next
		} else {
			changed.making[i-len(coll.indexes)] = &next
		}
		if err := t.c.exec("UPDATE indexes SET multikey = ? WHERE id = ?", int64(next.multikey), next.id); err != nil { //nolint:gosec // bits
			return err
		}
	}
	if changed != nil {
		t.replace(changed)
	}
	return nil
}

// update replaces a record's document. Only the keys that differ are written.
func (t *tx) update(coll *collection, r int64, old, doc bson.Raw) error {
	list := coll.kept()
	was := make([]index.Keys, len(list))
	now := make([]index.Keys, len(list))
	for i, ix := range list {
		var err error
		if now[i], err = t.keysOf(ix, r, doc); err != nil {
			return err
		}
		if was[i], err = t.keysOf(ix, r, old); err != nil {
			return err
		}
		if err := t.free(coll, ix, without(now[i].Entries, was[i].Entries, false), r, doc); err != nil {
			return err
		}
	}
	if err := t.c.exec(sqlUpdateDoc, []byte(doc), r); err != nil {
		return err
	}
	for i := range list {
		for _, e := range without(was[i].Entries, now[i].Entries, true) {
			if err := t.c.exec(sqlDeleteKey, e.Key, r); err != nil {
				return err
			}
		}
		for _, e := range without(now[i].Entries, was[i].Entries, true) {
			if err := t.addKey(sqlInsertKey, e, r); err != nil {
				return err
			}
		}
	}
	t.count(coll, 0, int64(len(doc)-len(old)))
	return t.markMultikey(coll, now)
}

// without are the entries of a that b lacks; both are ascending. With hints, an
// entry with other hints is another entry.
func without(a, b []index.Entry, hints bool) []index.Entry {
	var out []index.Entry
	j := 0
	for _, e := range a {
		for j < len(b) && bytes.Compare(b[j].Key, e.Key) < 0 {
			j++
		}
		if j == len(b) || !bytes.Equal(b[j].Key, e.Key) || (hints && !bytes.Equal(b[j].Hints, e.Hints)) {
			out = append(out, e)
		}
	}
	return out
}

// remove deletes a record.
func (t *tx) remove(coll *collection, r int64, doc bson.Raw) error {
	for _, ix := range coll.kept() {
		keys, err := t.keysOf(ix, r, doc)
		if err != nil {
			return err
		}
		for _, e := range keys.Entries {
			if err := t.c.exec(sqlDeleteKey, e.Key, r); err != nil {
				return err
			}
		}
	}
	t.count(coll, -1, -int64(len(doc)))
	return t.c.exec(sqlDeleteDoc, r)
}

// withID checks a document to be stored and puts its _id first, with a new one if
// it has none.
func (e *Engine) withID(doc bson.Raw) (bson.Raw, error) {
	id, ok := value.Lookup(doc, "_id")
	if !ok {
		id = bson.RawValue{Type: bson.TypeObjectID, Value: e.newObjectID()}
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	if _, key, _, _, _ := value.Next(value.Inside(doc)); !ok || string(key) != "_id" {
		doc = idFirst(doc, id)
	}
	if len(doc) > maxDocument {
		return nil, refuse(value.CodeTooLarge, "BSONObjectTooLarge", "object to insert too large. size in bytes: "+itoa(len(doc))+", max size: "+itoa(maxDocument))
	}
	return doc, nil
}

// withClock fills empty timestamps at the top of a document that is inserted with
// the time, as MongoDB does; _id is left alone.
func (e *Engine) withClock(doc bson.Raw) bson.Raw {
	copied := false
	rest := value.Inside(doc)
	for at := 4; ; {
		t, key, v, next, ok := value.Next(rest)
		if !ok {
			return doc
		}
		at += 2 + len(key)
		if t == bson.TypeTimestamp && binary.LittleEndian.Uint64(v) == 0 && string(key) != "_id" {
			if !copied {
				doc, copied = append(bson.Raw(nil), doc...), true
			}
			binary.LittleEndian.PutUint32(doc[at:], e.ids.Add(1))
			binary.LittleEndian.PutUint32(doc[at+4:], uint32(e.now().Unix())) //nolint:gosec // as defined, until 2106
		}
		at += len(v)
		rest = next
	}
}

func idFirst(doc bson.Raw, id bson.RawValue) bson.Raw {
	i, b := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)+24))
	b = appendValue(b, "_id", id)
	rest := value.Inside(doc)
	for {
		t, key, v, next, ok := value.Next(rest)
		if !ok {
			break
		}
		if string(key) != "_id" {
			b = appendValue(b, string(key), bson.RawValue{Type: t, Value: v})
		}
		rest = next
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

func checkID(id bson.RawValue) error {
	switch id.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return refuse(value.CodeInvalidID, "InvalidIdField", "The '_id' value cannot be of type "+value.TypeName(id.Type))
	case bson.TypeEmbeddedDocument:
		return eachField("_id", id, func(key string, _ bson.RawValue) error {
			if key != "" && key[0] == '$' {
				return refuse(value.CodeDollarPrefixed, "DollarPrefixedFieldName", "_id fields may not contain '$'-prefixed fields: "+key+" is not valid for storage.")
			}
			return nil
		})
	default:
		return nil
	}
}

// newObjectID is a new _id of this process.
func (e *Engine) newObjectID() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12), uint32(e.now().Unix())) //nolint:gosec // as defined, until 2106
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0), e.ids.Add(1))          // its low three bytes count
	_, _ = rand.Read(b[4:9])                                                        // never fails
	return b
}
