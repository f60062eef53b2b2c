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
	items    map[string]map[string]kind // fields of the documents in an array field
	required []string
	only     map[string]int32 // fields that may be nothing but false or empty, and the code of the refusal
	write    bool             // takes a write concern
	retry    bool             // takes a transaction number, which makes it retryable
	reads    bool             // takes any read concern; others only local
	stable   bool             // part of MongoDB's stable API, version 1
	open     bool             // unknown fields are no error: hello, as in MongoDB, whose drivers add to it
	run      func(*request) (bson.Raw, error)
}

// commands are those that are served, by their names on the wire. It is filled in
// by init, since explain comes back to it.
var commands map[string]*command

// aliases are further names of commands.
var aliases = map[string]string{
	"isMaster": "hello", "ismaster": "hello", "buildinfo": "buildInfo", "findandmodify": "findAndModify", "dbstats": "dbStats",
}

func init() {
	commands = map[string]*command{
		"find": &findCommand, "getMore": &getMoreCommand, "killCursors": &killCursorsCommand,
		"insert": &insertCommand, "update": &updateCommand, "delete": &deleteCommand, "findAndModify": &findAndModifyCommand,
		"aggregate": &aggregateCommand, "count": &countCommand, "distinct": &distinctCommand, "explain": &explainCommand,
		"create": &createCommand, "drop": &dropCommand, "dropDatabase": &dropDatabaseCommand,
		"createIndexes": &createIndexesCommand, "listIndexes": &listIndexesCommand, "dropIndexes": &dropIndexesCommand,
		"listCollections": &listCollectionsCommand, "listDatabases": &listDatabasesCommand, "collStats": &collStatsCommand, "dbStats": &dbStatsCommand,
		"hello": &helloCommand, "ping": &pingCommand, "buildInfo": &buildInfoCommand, "endSessions": &endSessionsCommand,
	}
}

// lookUp finds a command by its name on the wire. nil: not served.
func lookUp(name string) *command {
	if canonical, ok := aliases[name]; ok {
		name = canonical
	}
	return commands[name]
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
	q.out = m.Out
	if !cmd.retry {
		q.gone = m.Gone // a write is done to its end
	}
	return cmd.run(q)
}

// parse checks a command against its table.
func (e *Engine) parse(cmd *command, name string, first bson.RawValue, body bson.Raw, seqs []wire.Sequence) (*request, error) {
	q := &request{e: e, cmd: cmd, name: name, first: first, body: body, fields: make(map[string]bson.RawValue, 8)}
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
		if k, ok = genericFields[key]; !ok && q.cmd.open {
			return nil
		}
		if !ok {
			return unknownField(q.name, key)
		}
	}
	if q.has(key) {
		return refuse(40413, "Location40413", "BSON field '"+q.name+"."+key+"' is a duplicate field")
	}
	if (v.Type == bson.TypeNull || v.Type == bson.TypeUndefined) && key != "comment" && k != kindAny {
		return nil // null is as good as absent
	}
	if err := k.check(q.name, key, v); err != nil {
		return err
	}
	if code, ok := q.cmd.only[key]; ok && value.Truthy(v) && (v.Type != bson.TypeEmbeddedDocument || len(v.Value) > 5) {
		e := value.Errorf(code, "%s option %s is not supported", q.name, key)
		return e
	}
	q.fields[key] = v
	return nil
}

func (q *request) finish() error {
	q.db = q.str("$db")
	if q.db == "" || strings.ContainsAny(q.db, "/\\. \"$\x00") || len(q.db) > 63 {
		return refuse(73, "InvalidNamespace", "Invalid database name: '"+q.db+"'")
	}
	for _, name := range q.cmd.required {
		if !q.has(name) {
			return missingField(q.name, name)
		}
	}
	if ms := q.int("maxTimeMS", 0); ms > 0 {
		q.deadline = q.e.now().Add(time.Duration(min(ms, 1<<31)) * time.Millisecond)
	}
	for _, check := range []func() error{q.apiVersion, q.session, q.readPreference, q.readConcern, q.writeConcern} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
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
