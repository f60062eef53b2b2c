package docstore

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

const maxIndexes = 64

func cannotCreate(format string, args ...any) error {
	e := value.Errorf(67, format, args...)
	e.Name = "CannotCreateIndex"
	return e
}

// indexOptions are the options of an index that are served, and their types.
// background is accepted and means nothing, as in MongoDB since 4.2.
var indexOptions = map[string]kind{
	"key": kindDoc, "name": kindString, "v": kindNumber, "unique": kindBool, "sparse": kindBool, "background": kindBool,
	"partialFilterExpression": kindDoc, "expireAfterSeconds": kindAny, "ns": kindString,
}

// indexTypes are the values of a key pattern; any positive number is 1, any
// negative one -1.
var indexTypes = []string{"1", "-1", "hashed"}

// parseIndex reads an index's description as createIndexes gets it and as the
// catalog keeps it.
func parseIndex(spec bson.Raw) (*indexDef, error) {
	ix := &indexDef{ttl: -1}
	opts := map[string]bson.RawValue{}
	err := eachField("indexes", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: spec}, func(key string, v bson.RawValue) error {
		k, ok := indexOptions[key]
		if !ok {
			return refuse(197, "InvalidIndexSpecificationOption", "The field '"+key+"' is not valid for an index specification. Specification: "+spec.String())
		}
		opts[key] = v
		return k.check("createIndexes.indexes", key, v)
	})
	if err != nil {
		return nil, err
	}
	for _, r := range []string{"key", "name"} {
		if _, ok := opts[r]; !ok {
			return nil, value.FailedToParse("The '%s' field is a required property of an index specification", r)
		}
	}
	ix.key, ix.name = opts["key"].Value, value.Str(opts["name"])
	if ix.name == "" || ix.name == "*" {
		return nil, cannotCreate("index name %q is not allowed", ix.name)
	}
	if v, ok := opts["v"]; ok {
		if n, _ := value.Whole(v); n != 2 {
			return nil, cannotCreate("Invalid index specification: only version 2 is served")
		}
	}
	if err := ix.parseKey(); err != nil {
		return nil, err
	}
	ix.unique, ix.sparse = value.Truthy(opts["unique"]), value.Truthy(opts["sparse"])
	if err := ix.parseOptions(opts); err != nil {
		return nil, err
	}
	ix.spec = ix.describe()
	return ix, nil
}

func (ix *indexDef) parseKey() error {
	err := eachField("key", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: ix.key}, func(path string, v bson.RawValue) error {
		desc := false
		switch {
		case v.Type == bson.TypeString && value.Str(v) == "hashed":
			ix.hashed = true
		case v.Type == bson.TypeString:
			return cannotCreate("Unknown index plugin '%s'", value.Str(v))
		case !value.IsNumber(v.Type):
			return cannotCreate("Values in v:2 index key pattern cannot be of type %s", value.TypeName(v.Type))
		default:
			f := value.Float(v)
			if f == 0 || f != f {
				return cannotCreate("Values in the index key pattern cannot be 0")
			}
			desc = f < 0
		}
		for part := range strings.SplitSeq(path, ".") {
			if part == "" {
				return cannotCreate("Index keys cannot be an empty field")
			}
			if part[0] == '$' {
				return cannotCreate("Index key contains an illegal field name: field name starts with '$'")
			}
			if _, numeric := value.Index(part); numeric {
				ix.numeric = true
			}
		}
		ix.fields = append(ix.fields, index.NewField(path, desc))
		return nil
	})
	if err != nil {
		return err
	}
	if len(ix.fields) == 0 {
		return cannotCreate("Index keys cannot be an empty document")
	}
	if len(ix.fields) > 32 {
		return cannotCreate("an index may have at most 32 fields")
	}
	if ix.hashed && len(ix.fields) > 1 {
		return cannotCreate("compound hashed indexes are not supported")
	}
	return nil
}

func (ix *indexDef) parseOptions(opts map[string]bson.RawValue) error {
	if ix.hashed && ix.unique {
		return refuse(16764, "Location16764", "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.")
	}
	if v, ok := opts["expireAfterSeconds"]; ok {
		n, whole := value.Truncated(v)
		switch {
		case !value.IsNumber(v.Type) || !whole:
			return cannotCreate("TTL index 'expireAfterSeconds' option must be numeric")
		case n < 0 || n > 1<<31-1:
			return cannotCreate("TTL index 'expireAfterSeconds' option must be within an acceptable range")
		case len(ix.fields) > 1:
			return cannotCreate("TTL indexes are single-field indexes, compound indexes do not support TTL")
		}
		ix.ttl = n
	}
	if ix.isID() {
		for name := range opts {
			if name != "key" && name != "name" && name != "v" && name != "ns" {
				return refuse(197, "InvalidIndexSpecificationOption", "The field '"+name+"' is not valid for an _id index specification")
			}
		}
		ix.unique = true
	}
	v, ok := opts["partialFilterExpression"]
	if !ok {
		return nil
	}
	if ix.sparse {
		return cannotCreate("cannot mix \"partialFilterExpression\" and \"sparse\" options")
	}
	ix.filter = v.Value
	if err := partialFilter(ix.filter, true); err != nil {
		return err
	}
	var err error
	ix.partial, err = query.Compile(ix.filter)
	return err
}

func (ix *indexDef) isID() bool {
	return len(ix.fields) == 1 && ix.fields[0].Path == "_id" && !ix.fields[0].Descending && !ix.hashed
}

// partialFilter refuses what a partial index may not be limited by.
func partialFilter(filter bson.Raw, top bool) error {
	return eachField("partialFilterExpression", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: filter}, func(key string, v bson.RawValue) error {
		if key == "$and" && top && v.Type == bson.TypeArray {
			list, err := documents("", "$and", v)
			for _, d := range list {
				if err == nil {
					err = partialFilter(d, true)
				}
			}
			return err
		}
		if key == "" || key[0] == '$' || v.Type == bson.TypeRegex {
			return cannotCreate("unsupported expression in partial index: %s", key)
		}
		if v.Type != bson.TypeEmbeddedDocument || !query.IsOperators(v.Value) {
			return nil
		}
		return eachField(key, v, func(op string, v bson.RawValue) error {
			switch op {
			case "$eq", "$gt", "$gte", "$lt", "$lte", "$type":
				return nil
			case "$exists":
				if value.Truthy(v) {
					return nil
				}
			default:
			}
			return cannotCreate("unsupported expression in partial index: %s", op)
		})
	})
}

// describe is the index as listIndexes shows it.
func (ix *indexDef) describe() bson.Raw {
	i, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendInt32Element(b, "v", 2)
	b = appendRawDoc(b, "key", ix.key)
	b = bsoncore.AppendStringElement(b, "name", ix.name)
	if ix.unique && !ix.isID() {
		b = bsoncore.AppendBooleanElement(b, "unique", true)
	}
	if ix.sparse {
		b = bsoncore.AppendBooleanElement(b, "sparse", true)
	}
	if ix.partial != nil {
		b = appendRawDoc(b, "partialFilterExpression", ix.filter)
	}
	if ix.ttl >= 0 {
		b = bsoncore.AppendInt32Element(b, "expireAfterSeconds", int32(ix.ttl)) //nolint:gosec // checked
	}
	b, _ = bsoncore.AppendDocumentEnd(b, i)
	return b
}

// idIndex is the description of every collection's first index.
func idIndex() bson.Raw {
	return (&indexDef{ttl: -1, name: "_id_", key: bsoncore.BuildDocument(nil, bsoncore.AppendInt32Element(nil, "_id", 1)), fields: []index.Field{index.NewField("_id", false)}}).describe()
}

// same tells if two indexes are one to MongoDB: equal keys and options but name
// and expiry.
func (ix *indexDef) same(o *indexDef) bool {
	return ix.sameKey(o) && ix.unique == o.unique && ix.sparse == o.sparse && sameDoc(ix.filter, o.filter)
}

func (ix *indexDef) sameKey(o *indexDef) bool { return sameDoc(ix.key, o.key) }

func sameDoc(a, b bson.Raw) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return value.Compare(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: a}, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: b}) == 0
}

// conflict finds whether a new index exists already (true), or may not exist
// beside one that does (an error).
func conflict(have []*indexDef, ix *indexDef) (exists bool, err error) {
	for _, h := range have {
		switch {
		case h.name == ix.name && (!h.sameKey(ix) || !h.same(ix)):
			return false, refuse(86, "IndexKeySpecsConflict",
				"An existing index has the same name as the requested index. Requested index: "+ix.spec.String()+", existing index: "+h.spec.String())
		case h.same(ix) && h.name == ix.name && h.ttl == ix.ttl:
			return true, nil
		case h.same(ix) && h.isID():
			return true, nil
		case h.same(ix):
			return false, refuse(85, "IndexOptionsConflict",
				"An equivalent index already exists with a different name or options. Requested index: "+ix.spec.String()+", existing index: "+h.spec.String())
		}
	}
	return false, nil
}

var createIndexesCommand = command{
	fields:   map[string]kind{"indexes": kindArray, "commitQuorum": kindAny},
	items:    map[string]map[string]kind{"indexes": indexOptions},
	required: []string{"indexes"},
	write:    true, stable: true,
	run: runCreateIndexes,
}

func runCreateIndexes(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	if q.has("commitQuorum") {
		return nil, value.BadValue("Standalones can't specify commitQuorum")
	}
	specs, err := q.docs("indexes")
	if err != nil {
		return nil, err
	}
	if len(specs) == 0 {
		return nil, value.BadValue("Must specify at least one index to create")
	}
	list := make([]*indexDef, len(specs))
	for i, s := range specs {
		if list[i], err = parseIndex(s); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list[:i], func(o *indexDef) bool { return o.same(list[i]) && o.name == list[i].name }) {
			return nil, refuse(68, "IndexAlreadyExists", "Identical index already exists: "+list[i].name)
		}
	}
	c := &creation{q: q, ns: ns, list: list}
	for again := true; again; {
		if again, err = c.run(); err != nil {
			return nil, err
		}
	}
	return reply(func(b []byte) []byte {
		b = bsoncore.AppendInt32Element(b, "numIndexesBefore", int32(c.before)) //nolint:gosec // at most 64
		b = bsoncore.AppendInt32Element(b, "numIndexesAfter", int32(c.after))   //nolint:gosec // at most 64
		b = bsoncore.AppendBooleanElement(b, "createdCollectionAutomatically", c.created)
		if c.before == c.after {
			b = bsoncore.AppendStringElement(b, "note", "all indexes already exist")
		}
		return b
	}), nil
}

// creation is a createIndexes command.
type creation struct {
	q             *request
	ns            namespace
	list          []*indexDef
	created       bool
	before, after int
	builder       *builder
	wait          chan struct{} // of a build that another command began: try again behind it
}

// run creates the indexes: those of a small collection at once, the others in
// steps.
func (c *creation) run() (again bool, err error) {
	e := c.q.e
	if err := e.writer.write(c.q.durable, c.start); err != nil {
		return false, err
	}
	switch {
	case c.builder != nil:
		return false, c.builder.run()
	case c.wait == nil:
		return false, nil
	}
	select {
	case <-c.wait:
		return true, nil
	case <-e.closing:
		return false, errClosed
	}
}

func (c *creation) start(t *tx) error {
	c.wait, c.builder = nil, nil
	c.created = c.created || t.cat.colls[c.ns] == nil
	coll, err := t.ensure(c.ns, nil)
	if err != nil {
		return err
	}
	c.before = len(coll.indexes)
	var missing []*indexDef
	for _, ix := range c.list {
		exists, err := conflict(slices.Concat(coll.kept(), missing), ix)
		if err != nil {
			return err
		}
		if !exists {
			missing = append(missing, ix)
		}
	}
	if c.after = c.before + len(missing); c.after+len(coll.making) > maxIndexes {
		return cannotCreate("add index fails, too many indexes for %s", c.ns)
	}
	for _, ix := range coll.making {
		if slices.ContainsFunc(c.list, ix.same) {
			c.wait = ix.underway.by.done
			return nil
		}
	}
	if len(missing) > 0 && coll.stats.next > buildInline {
		c.builder = &builder{e: t.e, q: c.q, ns: c.ns, done: make(chan struct{})}
		return c.builder.begin(t, coll, missing)
	}
	for _, ix := range missing {
		if err := t.addIndex(c.ns, ix); err != nil {
			return err
		}
	}
	return nil
}

// addIndex adds an index and fills it with the collection's documents.
func (t *tx) addIndex(ns namespace, spec *indexDef) error {
	coll := t.cat.colls[ns]
	ix := *spec
	cat := t.cat.clone()
	ix.id = cat.nextID
	cat.nextID++
	low, high := coll.records()
	err := t.c.rows(sqlBuildStep, func(row *lite.Stmt) (bool, error) {
		r, doc := row.Int(0), bson.Raw(row.Bytes(1))
		keys, err := ix.keys(doc)
		if err != nil {
			return false, err
		}
		if err := t.free(coll, &ix, keys.Entries, r, doc); err != nil {
			return false, err
		}
		ix.multikey |= keys.Multikey
		for _, e := range keys.Entries {
			if err := t.addKey(sqlInsertKey, e, r); err != nil {
				return false, err
			}
		}
		return true, nil
	}, low, high)
	if err != nil {
		return err
	}
	next := *coll
	next.indexes = append(slices.Clip(coll.indexes), &ix)
	cat.colls[ns] = &next
	t.cat = cat
	return t.c.exec("INSERT INTO indexes(id, coll, spec, multikey) VALUES(?, ?, ?, ?)", ix.id, coll.id, []byte(ix.spec), int64(ix.multikey)) //nolint:gosec // bits
}

func noCollection(ns namespace) error {
	return refuse(26, "NamespaceNotFound", "ns does not exist: "+ns.String())
}

var listIndexesCommand = command{fields: map[string]kind{"cursor": kindDoc}, stable: true, run: runListIndexes}

func runListIndexes(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	coll := q.e.catalog.Load().colls[ns]
	if coll == nil {
		return nil, noCollection(ns)
	}
	docs := make([]bson.Raw, 0, len(coll.indexes))
	for _, ix := range coll.indexes {
		docs = append(docs, ix.spec)
	}
	size, err := q.cursorSize()
	if err != nil {
		return nil, err
	}
	return q.cursorReply(ns, &listSource{docs: docs}, size, false)
}

// cursorSize is the batch size of the cursor field of the list commands.
func (q *request) cursorSize() (int64, error) {
	size := int64(noLimit)
	v, ok := q.fields["cursor"]
	if !ok {
		return size, nil
	}
	err := eachField("cursor", v, func(key string, v bson.RawValue) error {
		if key != "batchSize" {
			return unknownField("cursor", key)
		}
		size, _ = value.Whole(v)
		return kindCount.check("cursor", key, v)
	})
	return size, err
}

var dropIndexesCommand = command{fields: map[string]kind{"index": kindAny}, required: []string{"index"}, write: true, stable: true, run: runDropIndexes}

func runDropIndexes(q *request) (bson.Raw, error) {
	ns, err := q.namespace()
	if err != nil {
		return nil, err
	}
	var was int
	var buried []int64
	err = q.e.writer.write(q.durable, func(t *tx) error {
		buried = buried[:0]
		coll := t.cat.colls[ns]
		if coll == nil {
			return noCollection(ns)
		}
		was = len(coll.indexes)
		gone, err := indexesNamed(coll, q.fields["index"])
		if err != nil {
			return err
		}
		next := *coll
		isGone := func(ix *indexDef) bool { return slices.Contains(gone, ix) }
		next.indexes = slices.DeleteFunc(slices.Clone(coll.indexes), isGone)
		next.making = slices.DeleteFunc(slices.Clone(coll.making), isGone)
		for _, ix := range gone {
			buried = append(buried, ix.id)
			if err := t.bury(ix); err != nil {
				return err
			}
		}
		t.replace(&next)
		return nil
	})
	if err == nil {
		err = q.e.purge(buried)
	}
	if err != nil {
		return nil, err
	}
	return reply(func(b []byte) []byte { return bsoncore.AppendInt32Element(b, "nIndexesWas", int32(was)) }), nil //nolint:gosec // at most 64
}

// indexesNamed are the indexes that dropIndexes names: by name, names, key, or all
// but that of _id.
func indexesNamed(coll *collection, v bson.RawValue) (out []*indexDef, err error) {
	switch v.Type {
	case bson.TypeString:
		if value.Str(v) == "*" {
			return coll.kept()[1:], nil
		}
		for _, ix := range coll.kept() {
			if ix.name == value.Str(v) {
				out = append(out, ix)
			}
		}
	case bson.TypeEmbeddedDocument:
		for _, ix := range coll.kept() {
			if sameDoc(ix.key, v.Value) {
				out = append(out, ix)
			}
		}
		if len(out) > 1 {
			return nil, refuse(181, "AmbiguousIndexKeyPattern", "several indexes have this key pattern; drop one by its name")
		}
	case bson.TypeArray:
		b := value.Inside(v.Value)
		for {
			t, _, name, rest, ok := value.Next(b)
			if !ok {
				return out, nil
			}
			if t != bson.TypeString {
				return nil, wrongType("dropIndexes", "index", t, "string")
			}
			one, err := indexesNamed(coll, bson.RawValue{Type: t, Value: name})
			if err != nil {
				return nil, err
			}
			out, b = append(out, one...), rest
		}
	default:
		return nil, wrongType("dropIndexes", "index", v.Type, "string")
	}
	if len(out) == 0 {
		return nil, refuse(27, "IndexNotFound", "index not found with name ["+v.String()+"]")
	}
	if slices.Contains(out, coll.indexes[0]) {
		return nil, refuse(value.CodeInvalidOptions, "InvalidOptions", "cannot drop _id index")
	}
	return out, nil
}
