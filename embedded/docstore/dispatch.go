package docstore

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/wire"
)

// command is a command that is served: the fields it may have, those it must
// have, and what it does. What is not here is refused.
type command struct {
	fields   map[string]kind
	required []string
	write    bool // takes a write concern
	open     bool // unknown fields are no error: hello, as in MongoDB, whose drivers add to it
	run      func(*request) (bson.Raw, error)
}

// lookUp finds a command by its name on the wire: those on documents here, the
// rest in admin.go. nil: not served.
func lookUp(name string) *command {
	switch name {
	case "find":
		return &findCommand
	case "getMore":
		return &getMoreCommand
	case "insert":
		return &insertCommand
	case "update":
		return &updateCommand
	case "delete":
		return &deleteCommand
	case "findAndModify", "findandmodify":
		return &findAndModifyCommand
	case "aggregate":
		return &aggregateCommand
	case "count":
		return &countCommand
	case "distinct":
		return &distinctCommand
	case "explain":
		return &explainCommand
	default:
		return adminCommand(name)
	}
}

// answer runs a message's command and makes the reply's document.
func (e *Engine) answer(m *wire.Message) bson.Raw {
	var body bson.Raw
	err := e.protect(func() (err error) {
		body, err = e.dispatch(m)
		return err
	})
	if err != nil {
		return errorReply(err)
	}
	return body
}

func (e *Engine) dispatch(m *wire.Message) (bson.Raw, error) {
	t, name, v, _, ok := value.Next(value.Inside(m.Body))
	if !ok {
		return nil, refuse(value.CodeFailedToParse, "FailedToParse", "the command is empty")
	}
	first := bson.RawValue{Type: t, Value: v}
	if m.Query {
		db, isCommand := strings.CutSuffix(m.Collection, ".$cmd")
		switch string(name) {
		case "isMaster", "ismaster", "hello":
			if isCommand && db != "" {
				return e.hello(string(name)), nil
			}
		default:
		}
		return nil, refuse(352, "UnsupportedOpQueryCommand", "Unsupported OP_QUERY command: "+string(name))
	}
	cmd := lookUp(string(name))
	if cmd == nil {
		return nil, refuse(59, "CommandNotFound", "no such command: '"+string(name)+"'")
	}
	q, err := e.parse(cmd, string(name), first, m.Body, m.Sequences)
	if err != nil {
		return nil, err
	}
	return cmd.run(q)
}

// parse checks a command against its table.
func (e *Engine) parse(cmd *command, name string, first bson.RawValue, body bson.Raw, seqs []wire.Sequence) (*request, error) {
	q := &request{e: e, cmd: cmd, name: name, first: first, fields: make(map[string]bson.RawValue, 8)}
	_, _, _, b, _ := value.Next(value.Inside(body))
	for {
		t, key, v, rest, ok := value.Next(b)
		if !ok {
			break
		}
		b = rest
		if err := q.field(string(key), bson.RawValue{Type: t, Value: v}); err != nil {
			return nil, err
		}
	}
	for _, s := range seqs {
		if cmd.fields[s.Name] != kindArray {
			return nil, unknownField(name, s.Name)
		}
		if q.has(s.Name) {
			return nil, refuse(40413, "Location40413", "BSON field '"+name+"."+s.Name+"' is a duplicate field")
		}
		if q.seqs == nil {
			q.seqs = map[string][]bson.Raw{}
		}
		q.seqs[s.Name] = s.Docs
	}
	return q, q.finish()
}

func (q *request) field(key string, v bson.RawValue) error {
	k, ok := q.cmd.fields[key]
	if !ok {
		if k, ok = commonFields[key]; !ok && q.cmd.open {
			return nil
		}
		if !ok {
			return unknownField(q.name, key)
		}
	}
	if q.has(key) {
		return refuse(40413, "Location40413", "BSON field '"+q.name+"."+key+"' is a duplicate field")
	}
	if v.Type == bson.TypeNull && key != "comment" && k != kindAny {
		return nil // null is as good as absent
	}
	if err := k.check(q.name, key, v); err != nil {
		return err
	}
	q.fields[key] = v
	return nil
}

func (q *request) finish() error {
	q.db = q.str("$db")
	if q.db == "" || strings.ContainsAny(q.db, "/\\. \"$\x00") || len(q.db) > 63 {
		return refuse(73, "InvalidNamespace", "Invalid database name: '"+q.db+"'")
	}
	for _, name := range []string{"txnNumber", "startTransaction", "autocommit"} {
		if q.has(name) {
			return refuse(20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos")
		}
	}
	for _, name := range q.cmd.required {
		if !q.has(name) {
			return missingField(q.name, name)
		}
	}
	if ms := q.int("maxTimeMS", 0); ms > 0 {
		q.deadline = time.Now().Add(time.Duration(min(ms, 1<<31)) * time.Millisecond)
	}
	if err := q.readConcern(); err != nil {
		return err
	}
	return q.writeConcern()
}

// readConcern: one process has no other truth than its own, so local, available
// and majority are the same. The others need a replica set.
func (q *request) readConcern() error {
	v, ok := q.fields["readConcern"]
	if !ok {
		return nil
	}
	return eachField("readConcern", v, func(key string, v bson.RawValue) error {
		if key != "level" {
			return refuse(value.CodeInvalidOptions, "InvalidOptions", "readConcern."+key+" is not supported")
		}
		if v.Type != bson.TypeString {
			return wrongType("readConcern", "level", v.Type, "string")
		}
		switch value.Str(v) {
		case "local", "available", "majority":
			return nil
		default:
			return refuse(123, "NotAReplicaSet", "readConcern level '"+value.Str(v)+"' needs a replica set")
		}
	})
}

// writeConcern: a write is on the disk before it is answered when j says so, or
// without j when w is "majority" or absent, which is MongoDB's default concern.
// w:1 alone is answered after the commit, and w:0 not at all. More than one node
// cannot be had.
func (q *request) writeConcern() error {
	q.durable = true
	v, ok := q.fields["writeConcern"]
	if !ok {
		return nil
	}
	if w, ok := lookupField(v, "w"); ok {
		q.durable = w.Type == bson.TypeString
	}
	if j, ok := lookupField(v, "j"); ok && j.Type == bson.TypeBoolean {
		q.durable = j.Boolean()
	}
	if !q.cmd.write {
		return refuse(value.CodeInvalidOptions, "InvalidOptions", "Command "+q.name+" does not support writeConcern")
	}
	return eachField("writeConcern", v, func(key string, v bson.RawValue) error {
		switch key {
		case "j", "fsync":
			return kindBool.check("writeConcern", key, v)
		case "wtimeout":
			return kindNumber.check("writeConcern", key, v)
		case "w":
			n, whole := value.Whole(v)
			if (whole && (n == 0 || n == 1)) || (v.Type == bson.TypeString && value.Str(v) == "majority") {
				return nil
			}
			return refuse(100, "UnsatisfiableWriteConcern", "Not enough data-bearing nodes: the embedded store is one")
		default:
			return unknownField("writeConcern", key)
		}
	})
}

// lookupField gives a field of a document value.
func lookupField(v bson.RawValue, key string) (bson.RawValue, bool) {
	if v.Type != bson.TypeEmbeddedDocument {
		return bson.RawValue{}, false
	}
	f, err := bson.Raw(v.Value).LookupErr(key)
	return f, err == nil
}

// eachField walks the fields of a document value.
func eachField(name string, v bson.RawValue, f func(key string, v bson.RawValue) error) error {
	if v.Type != bson.TypeEmbeddedDocument {
		return wrongType("", name, v.Type, "object")
	}
	b := value.Inside(v.Value)
	for {
		t, key, val, rest, ok := value.Next(b)
		if !ok {
			return nil
		}
		if err := f(string(key), bson.RawValue{Type: t, Value: val}); err != nil {
			return err
		}
		b = rest
	}
}
