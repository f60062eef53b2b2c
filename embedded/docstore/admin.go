package docstore

import (
	"cmp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/wire"
)

// version is the MongoDB whose answers are given.
const (
	version        = "7.0.0"
	maxWireVersion = 21
)

// The commands that manage or describe, by name. Each is a variable so that its
// table is made once.
var (
	helloCommand = command{
		open: true, stable: true,
		run: func(q *request) (bson.Raw, error) { return q.e.hello(q.name), nil },
	}
	pingCommand        = command{stable: true, run: func(*request) (bson.Raw, error) { return reply(nil), nil }}
	endSessionsCommand = command{stable: true, run: runEndSessions}
	buildInfoCommand   = command{run: runBuildInfo}
	killCursorsCommand = command{fields: map[string]kind{"cursors": kindArray}, required: []string{"cursors"}, stable: true, run: runKillCursors}
	createCommand      = command{
		fields: map[string]kind{"storageEngine": kindDoc, "autoIndexId": kindBool, "capped": kindBool},
		only:   map[string]int32{"capped": value.CodeInvalidOptions},
		write:  true, stable: true,
		run: runCreate,
	}
	dropCommand            = command{write: true, stable: true, run: runDrop}
	dropDatabaseCommand    = command{write: true, stable: true, run: runDropDatabase}
	listCollectionsCommand = command{
		fields: map[string]kind{"filter": kindDoc, "nameOnly": kindBool, "cursor": kindDoc, "authorizedCollections": kindBool},
		stable: true,
		run:    runListCollections,
	}
	listDatabasesCommand = command{
		fields: map[string]kind{"filter": kindDoc, "nameOnly": kindBool, "authorizedDatabases": kindBool},
		stable: true,
		run:    runListDatabases,
	}
	collStatsCommand = command{fields: map[string]kind{"scale": kindCount}, run: runCollStats}
	dbStatsCommand   = command{fields: map[string]kind{"scale": kindCount}, run: runDBStats}
)

// hello describes a standalone server, or the only member of a replica set. Without a topologyVersion the driver polls
// instead of keeping a request open.
func (e *Engine) hello(name string) bson.Raw {
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendBooleanElement(b, "helloOk", true)
		if name == "hello" {
			b = bsoncore.AppendBooleanElement(b, "isWritablePrimary", true)
		} else {
			b = bsoncore.AppendBooleanElement(b, "ismaster", true)
		}
		if e.setName != "" {
			b = bsoncore.AppendStringElement(b, "setName", e.setName)
			b = bsoncore.AppendBooleanElement(b, "secondary", false)
		}
		b = bsoncore.AppendInt32Element(b, "maxBsonObjectSize", maxDocument)
		b = bsoncore.AppendInt32Element(b, "maxMessageSizeBytes", wire.MaxMessage)
		b = bsoncore.AppendInt32Element(b, "maxWriteBatchSize", maxStatements)
		b = bsoncore.AppendDateTimeElement(b, "localTime", e.now().UnixMilli())
		b = bsoncore.AppendInt32Element(b, "logicalSessionTimeoutMinutes", sessionMinutes)
		b = bsoncore.AppendInt32Element(b, "minWireVersion", 0)
		b = bsoncore.AppendInt32Element(b, "maxWireVersion", maxWireVersion)
		return bsoncore.AppendBooleanElement(b, "readOnly", false)
	})
}

func runBuildInfo(*request) (bson.Raw, error) {
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendStringElement(b, "version", version)
		i, b := bsoncore.AppendArrayElementStart(b, "versionArray")
		for n, v := range []int32{7, 0, 0, 0} {
			b = bsoncore.AppendInt32Element(b, itoa(n), v)
		}
		b, _ = bsoncore.AppendArrayEnd(b, i)
		return bsoncore.AppendInt32Element(b, "maxBsonObjectSize", maxDocument)
	}), nil
}

func runKillCursors(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	var killed, missing []int64
	b := value.Inside(q.fields["cursors"].Value)
	for {
		t, _, v, rest, ok := value.Next(b)
		if !ok {
			break
		}
		if t != bson.TypeInt64 {
			return nil, wrongType("killCursors", "cursors", t, "long")
		}
		id := value.Int64(bson.RawValue{Type: t, Value: v})
		if q.e.cursors.kill(id, ns) {
			killed = append(killed, id)
		} else {
			missing = append(missing, id)
		}
		b = rest
	}
	return reply(func(b []byte) []byte {
		for _, list := range []struct {
			name string
			ids  []int64
		}{{"cursorsKilled", killed}, {"cursorsNotFound", missing}, {"cursorsAlive", nil}, {"cursorsUnknown", nil}} {
			var i int32
			i, b = bsoncore.AppendArrayElementStart(b, list.name)
			for n, id := range list.ids {
				b = bsoncore.AppendInt64Element(b, itoa(n), id)
			}
			b, _ = bsoncore.AppendArrayEnd(b, i)
		}
		return b
	}), nil
}

// ensure gives the collection, and makes it if there is none.
func (t *tx) ensure(ns namespace, options bson.Raw) (*collection, error) {
	if coll := t.cat.colls[ns]; coll != nil {
		return coll, nil
	}
	if strings.HasPrefix(ns.name, "system.") {
		return nil, refuse(73, "InvalidNamespace", "Invalid system namespace: "+ns.String())
	}
	if options == nil {
		options = bson.Raw{5, 0, 0, 0, 0}
	}
	cat := t.cat.clone()
	coll := &collection{id: cat.nextID, ns: ns, options: options, uuid: newUUID(), stats: &stats{next: 1}}
	ix, err := parseIndex(idIndex())
	if err != nil {
		return nil, err
	}
	ix.id = cat.nextID + 1
	cat.nextID += 2
	coll.indexes = []*indexDef{ix}
	err = t.c.exec("INSERT INTO colls(id, db, name, options, uuid, n, size) VALUES(?, ?, ?, ?, ?, 0, 0)", coll.id, ns.db, ns.name, []byte(options), coll.uuid)
	if err != nil {
		return nil, err
	}
	if err := t.c.exec("INSERT INTO indexes(id, coll, spec, multikey) VALUES(?, ?, ?, 0)", ix.id, coll.id, []byte(ix.spec)); err != nil {
		return nil, err
	}
	cat.colls[ns] = coll
	t.cat = cat
	return coll, nil
}

// drop takes a collection away. What it had is freed afterwards, in steps; see
// Engine.free.
func (t *tx) drop(coll *collection) error {
	for _, ix := range coll.kept() {
		if err := t.bury(ix); err != nil {
			return err
		}
	}
	cat := t.cat.clone()
	delete(cat.colls, coll.ns)
	t.cat = cat
	return t.c.exec("DELETE FROM colls WHERE id = ?", coll.id)
}

func runCreate(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	if q.has("autoIndexId") && !q.flag("autoIndexId") {
		return nil, refuse(value.CodeInvalidOptions, "InvalidOptions", "autoIndexId:false is only allowed for collections in the local database")
	}
	i, opts := bsoncore.AppendDocumentStart(nil)
	if v, ok := q.fields["storageEngine"]; ok {
		// A wish about WiredTiger's compression; there is no WiredTiger here, and the
		// answer of no command depends on it.
		err := eachField("storageEngine", v, func(key string, v bson.RawValue) error {
			if key != "wiredTiger" || v.Type != bson.TypeEmbeddedDocument {
				return refuse(value.CodeInvalidOptions, "InvalidOptions", "storageEngine."+key+" is not supported")
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		opts = appendValue(opts, "storageEngine", v)
	}
	opts, _ = bsoncore.AppendDocumentEnd(opts, i)
	return reply(nil), q.e.writer.write(q.durable, func(t *tx) error {
		if coll := t.cat.colls[ns]; coll != nil {
			if sameDoc(coll.options, opts) {
				return nil
			}
			return refuse(48, "NamespaceExists", "a collection '"+ns.String()+"' already exists")
		}
		_, err := t.ensure(ns, opts)
		return err
	})
}

func runDrop(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	n, existed := 0, false
	var gone remains
	err = q.e.writer.write(q.durable, func(t *tx) error {
		coll := t.cat.colls[ns]
		if existed = coll != nil; !existed {
			return nil
		}
		n = len(coll.indexes)
		gone = remainsOf(coll)
		return t.drop(coll)
	})
	if err != nil || !existed {
		return reply(nil), err // a missing collection is no error since 7.0
	}
	q.e.clearLater(gone)
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendInt32Element(b, "nIndexesWas", int32(n)) //nolint:gosec // at most 64
		return bsoncore.AppendStringElement(b, "ns", ns.String())
	}), nil
}

func runDropDatabase(q *request) (bson.Raw, error) {
	existed := false
	var gone remains
	err := q.e.writer.write(q.durable, func(t *tx) error {
		gone = remains{}
		for ns, coll := range t.cat.colls {
			if ns.db != q.db {
				continue
			}
			existed = true
			gone.add(remainsOf(coll))
			if err := t.drop(coll); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		q.e.clearLater(gone)
	}
	return reply(func(b []byte) []byte {
		if existed {
			b = bsoncore.AppendStringElement(b, "dropped", q.db)
		}
		return b
	}), err
}

// collections are those of a database, or of all for "", by name.
func (e *Engine) collections(db string) (list []*collection) {
	for ns, coll := range e.catalog.Load().colls {
		if db == "" || ns.db == db {
			list = append(list, coll)
		}
	}
	slices.SortFunc(list, func(a, b *collection) int {
		return cmp.Or(cmp.Compare(a.ns.db, b.ns.db), cmp.Compare(a.ns.name, b.ns.name))
	})
	return list
}

func runListCollections(q *request) (bson.Raw, error) {
	m, err := query.Compile(q.doc("filter"))
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	for _, coll := range q.e.collections(q.db) {
		i, b := bsoncore.AppendDocumentStart(nil)
		b = bsoncore.AppendStringElement(b, "name", coll.ns.name)
		b = bsoncore.AppendStringElement(b, "type", "collection")
		if !q.flag("nameOnly") {
			b = appendRawDoc(b, "options", coll.options)
			n, d := bsoncore.AppendDocumentElementStart(b, "info")
			d = bsoncore.AppendBooleanElement(d, "readOnly", false)
			d = bsoncore.AppendBinaryElement(d, "uuid", 4, coll.uuid)
			b, _ = bsoncore.AppendDocumentEnd(d, n)
			b = appendRawDoc(b, "idIndex", coll.indexes[0].spec)
		}
		b, _ = bsoncore.AppendDocumentEnd(b, i)
		if m.Match(b) {
			docs = append(docs, b)
		}
	}
	size, err := q.cursorSize()
	if err != nil {
		return nil, err
	}
	return q.cursorReply(namespace{q.db, "$cmd.listCollections"}, &listSource{docs: docs}, size, false)
}

func runListDatabases(q *request) (bson.Raw, error) {
	if q.db != "admin" {
		return nil, refuse(13, "Unauthorized", "listDatabases may only be run against the admin database.")
	}
	m, err := query.Compile(q.doc("filter"))
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	var names []string
	for _, coll := range q.e.collections("") {
		if _, ok := sizes[coll.ns.db]; !ok {
			names = append(names, coll.ns.db)
		}
		sizes[coll.ns.db] += coll.stats.size.Load()
	}
	var total int64
	return reply(func(b []byte) []byte {
		ai, b := bsoncore.AppendArrayElementStart(b, "databases")
		n := 0
		for _, name := range names {
			i, d := bsoncore.AppendDocumentStart(nil)
			d = bsoncore.AppendStringElement(d, "name", name)
			if !q.flag("nameOnly") {
				d = bsoncore.AppendInt64Element(d, "sizeOnDisk", sizes[name])
				d = bsoncore.AppendBooleanElement(d, "empty", false)
			}
			d, _ = bsoncore.AppendDocumentEnd(d, i)
			if m.Match(d) {
				b = bsoncore.AppendDocumentElement(b, itoa(n), d)
				n++
				total += sizes[name]
			}
		}
		b, _ = bsoncore.AppendArrayEnd(b, ai)
		if !q.flag("nameOnly") {
			b = bsoncore.AppendInt64Element(b, "totalSize", total)
			b = bsoncore.AppendInt64Element(b, "totalSizeMb", total>>20)
		}
		return b
	}), nil
}
