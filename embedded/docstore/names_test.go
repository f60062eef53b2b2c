package docstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// TestEveryName walks every command, field and operator that MongoDB 8 documents:
// each is served, and then there are golden cases of it, or it is refused with
// MongoDB's code. And nothing is served that is not on the list.
func TestEveryName(t *testing.T) {
	db := fresh(t)
	served, used := servedNames(), goldenNames(t)
	listed := map[string]bool{}
	text, err := os.ReadFile("testdata/mongodb8.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		listed[line] = true
		kind, name, _ := strings.Cut(line, " ")
		code, isServed := served[line]
		switch {
		case !isServed:
			p := probe(kind, name)
			p.check(t, line, db.RunCommand(t.Context(), p.command).Err())
		case code != 0:
			p := probe(kind, name)
			p.code, p.name = code, ""
			p.check(t, line, db.RunCommand(t.Context(), p.command).Err())
		case !used[line]:
			t.Errorf("%s is served, and no golden case has it", line)
		}
	}
	for name := range served {
		if !listed[name] {
			t.Errorf("%s is served, and not on the list of what MongoDB documents", name)
		}
	}
	for _, kind := range []string{
		"command", "stage", "query-field", "query-top", "update", "accumulator", "expression", "variable", "projection", "index-option", "index-type", "create-option",
	} {
		name := map[string]string{"command": "nope", "variable": "$$NOPE", "index-option": "nope", "index-type": "nope", "create-option": "nope"}[kind]
		if name == "" {
			name = "$nope"
		}
		p := probe(kind, name)
		p.check(t, kind+" "+name, db.RunCommand(t.Context(), p.command).Err())
	}
	for _, c := range docstore.Commands() {
		if c.Open {
			continue
		}
		p := probe("field", c.Name+".nope")
		p.check(t, c.Name+".nope", db.RunCommand(t.Context(), p.command).Err())
	}
}

// servedNames are the lines of the list that are served; those that may only be
// false or empty with the code of their refusal.
func servedNames() map[string]int32 {
	out := map[string]int32{}
	kinds := map[string]string{
		docstore.KindGeneric: "generic", docstore.KindStage: "stage", docstore.KindUpdateStage: "update-stage", docstore.KindTop: "query-top", docstore.KindQuery: "query-field",
		docstore.KindUpdate: "update", docstore.KindModifier: "modifier", docstore.KindPositional: "positional",
		docstore.KindExpression: "expression", docstore.KindVariable: "variable", docstore.KindAccumulator: "accumulator",
		docstore.KindProjection: "projection", docstore.KindIndexOption: "index-option", docstore.KindIndexType: "index-type",
	}
	for _, s := range docstore.Served() {
		for _, name := range s.Names {
			if kind := kinds[s.Kind]; kind != "" {
				out[kind+" "+name] = 0
			}
		}
	}
	for _, c := range docstore.Commands() {
		for _, name := range append(c.Aliases, c.Name) {
			if name == strings.ToLower(name) && name != c.Name {
				continue // another spelling
			}
			out["command "+name] = 0
		}
		if c.Open {
			continue
		}
		for _, f := range c.Fields {
			if strings.HasPrefix(f.Name, "indexes.") {
				continue // the index options
			}
			kind := "field " + c.Name + "."
			if c.Name == "create" {
				kind = "create-option "
			}
			out[kind+f.Name] = f.Refusal
		}
	}
	return out
}

// probing is a command that has to be refused.
type probing struct {
	command bson.D
	code    int32
	name    string // codeName; empty for any
}

func (p *probing) check(t *testing.T, line string, err error) {
	t.Helper()
	raw := rawError(err)
	if raw == nil {
		t.Errorf("%s is neither served nor refused: %v, %v", line, p.command, err)
		return
	}
	source := raw
	if list, ok := value.Lookup(raw, "writeErrors"); ok {
		source = value.Elements(list.Value)[0].Value
		p.name = ""
	}
	code, _ := value.Lookup(source, "code")
	name, _ := value.Lookup(source, "codeName")
	if value.Int64(code) != int64(p.code) || p.name != "" && value.Str(name) != p.name {
		t.Errorf("%s: refused with %v %v, want %d %s", line, code, name, p.code, p.name)
	}
}

// probe makes a command with a name in its place.
func probe(kind, name string) *probing {
	d := func(key string, v any) bson.D { return bson.D{{Key: key, Value: v}} }
	find := func(f bson.E) bson.D { return bson.D{{Key: "find", Value: "c"}, f} }
	pipeline := func(stage bson.D) bson.D {
		return bson.D{{Key: "aggregate", Value: "c"}, {Key: "pipeline", Value: bson.A{stage}}, {Key: "cursor", Value: bson.D{}}}
	}
	index := func(key bson.D, option bson.D) bson.D {
		return bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{
			append(bson.D{{Key: "key", Value: key}, {Key: "name", Value: "x"}}, option...),
		}}}
	}
	switch kind {
	case "command":
		return &probing{d(name, 1), 59, "CommandNotFound"}
	case "field":
		return probeField(name)
	case "create-option":
		return &probing{bson.D{{Key: "create", Value: "v"}, {Key: name, Value: true}}, 40415, "IDLUnknownField"}
	case "stage":
		return &probing{pipeline(d(name, bson.D{})), 40324, "Location40324"}
	case "query-field":
		return &probing{find(bson.E{Key: "filter", Value: d("a", d(name, 1))}), 2, "BadValue"}
	case "query-top":
		p := &probing{find(bson.E{Key: "filter", Value: d(name, 1)}), 2, "BadValue"}
		if name == "$text" {
			p.code, p.name = 27, "IndexNotFound"
		}
		return p
	case "update":
		return &probing{bson.D{{Key: "update", Value: "c"}, {Key: "updates", Value: bson.A{
			bson.D{{Key: "q", Value: bson.D{}}, {Key: "u", Value: d(name, d("a", 1))}},
		}}}, 9, "FailedToParse"}
	case "accumulator":
		return &probing{pipeline(d("$group", bson.D{{Key: "_id", Value: nil}, {Key: "a", Value: d(name, 1)}})), 15952, "Location15952"}
	case "expression":
		return &probing{pipeline(d("$addFields", d("a", d(name, 1)))), 168, "InvalidPipelineOperator"}
	case "variable":
		return &probing{pipeline(d("$addFields", d("a", name))), 17276, "Location17276"}
	case "projection":
		return &probing{find(bson.E{Key: "projection", Value: d("a", d(name, 1))}), 31325, "Location31325"}
	case "index-option":
		return &probing{index(d("a", 1), d(name, 1)), 197, "InvalidIndexSpecificationOption"}
	case "index-type":
		if name == "$**" {
			return &probing{index(d(name, 1), nil), 67, "CannotCreateIndex"}
		}
		return &probing{index(d("a", name), nil), 67, "CannotCreateIndex"}
	default:
		return &probing{d(kind, name), -1, ""}
	}
}

// probeField makes a command that would be right but for one field.
func probeField(name string) *probing {
	command, field, _ := strings.Cut(name, ".")
	right := map[string]string{
		"getMore": `{"getMore":{"$numberLong":"1"},"collection":"c"}`,
		"insert":  `{"insert":"c","documents":[{"a":1}]}`,
		"update":  `{"update":"c","updates":[{"q":{},"u":{"$set":{"a":1}}}]}`,
		"delete":  `{"delete":"c","deletes":[{"q":{},"limit":1}]}`, "findAndModify": `{"findAndModify":"c","update":{"$set":{"a":1}}}`,
		"distinct": `{"distinct":"c","key":"a"}`, "aggregate": `{"aggregate":"c","pipeline":[],"cursor":{}}`,
		"createIndexes": `{"createIndexes":"c","indexes":[{"key":{"a":1},"name":"a"}]}`, "dropIndexes": `{"dropIndexes":"c","index":"a"}`,
		"killCursors": `{"killCursors":"c","cursors":[]}`, "explain": `{"explain":{"find":"c"}}`, "endSessions": `{"endSessions":[]}`,
	}[command]
	if right == "" {
		right = fmt.Sprintf(`{"%s":"c"}`, command)
	}
	var out bson.D
	if err := bson.Unmarshal(goldentest.Doc(right), &out); err != nil {
		panic(err)
	}
	var v any = true
	if field == "let" {
		v = bson.D{{Key: "x", Value: 1}}
	}
	list, inner, nested := strings.Cut(field, ".")
	if !nested {
		return &probing{append(out, bson.E{Key: field, Value: v}), 40415, "IDLUnknownField"}
	}
	for i := range out {
		if statements, ok := out[i].Value.(bson.A); ok && out[i].Key == list {
			first, _ := statements[0].(bson.D)
			statements[0] = append(first, bson.E{Key: inner, Value: v})
		}
	}
	return &probing{out, 40415, "IDLUnknownField"}
}

// goldenNames are the names that golden cases use, as the list has them.
func goldenNames(t *testing.T) map[string]bool {
	t.Helper()
	n := names{"generic $db": true, "generic lsid": true} // the driver sends them with every command
	files, err := filepath.Glob("testdata/cases/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, c := range goldentest.Load(t, f) {
			for _, ix := range c.Indexes {
				n.index(ix)
			}
			for _, s := range c.All() {
				n.command(s.Command)
			}
		}
	}
	return n
}

type names map[string]bool

func (n names) add(kind, name string) { n[kind+" "+name] = true }

func (n names) command(doc bson.Raw) {
	fields := value.Fields(doc)
	command := fields[0].Key
	n.add("command", command)
	if command == "explain" && fields[0].Type == bson.TypeEmbeddedDocument {
		n.command(fields[0].Value)
	}
	for _, f := range fields[1:] {
		n.add("field", command+"."+f.Key)
		n.add("generic", f.Key)
		if command == "create" {
			n.add("create-option", f.Key)
		}
		switch f.Key {
		case "filter", "query":
			n.query(f.Value)
		case "projection", "fields":
			n.projection(f.Value)
		case "update":
			n.update(f.RawValue)
		case "pipeline":
			n.pipeline("stage", f.RawValue)
		case "updates", "deletes":
			for _, s := range value.Elements(f.Value) {
				for _, x := range value.Fields(s.Value) {
					n.add("field", command+"."+f.Key+"."+x.Key)
					switch x.Key {
					case "q":
						n.query(x.Value)
					case "u":
						n.update(x.RawValue)
					}
				}
			}
		case "indexes":
			for _, ix := range value.Elements(f.Value) {
				n.index(ix.Value)
			}
		}
	}
}

func (n names) query(doc bson.Raw) {
	for _, f := range value.Fields(doc) {
		if !strings.HasPrefix(f.Key, "$") {
			if f.Type == bson.TypeEmbeddedDocument {
				n.condition(f.Value)
			}
			continue
		}
		n.add("query-top", f.Key)
		switch f.Key {
		case "$and", "$or", "$nor":
			for _, v := range value.Elements(f.Value) {
				n.query(v.Value)
			}
		case "$expr":
			n.expression(f.RawValue)
		}
	}
}

func (n names) condition(doc bson.Raw) {
	for _, f := range value.Fields(doc) {
		n.add("query-field", f.Key)
		switch {
		case f.Key == "$not" && f.Type == bson.TypeEmbeddedDocument:
			n.condition(f.Value)
		case f.Key == "$elemMatch":
			n.condition(f.Value)
			n.query(f.Value)
		case f.Key == "$all":
			for _, v := range value.Elements(f.Value) {
				if v.Type == bson.TypeEmbeddedDocument {
					n.condition(v.Value)
				}
			}
		}
	}
}

func (n names) update(u bson.RawValue) {
	if u.Type == bson.TypeArray {
		n.pipeline("update-stage", u)
		return
	}
	for _, f := range value.Fields(u.Value) {
		if f.Type != bson.TypeEmbeddedDocument {
			continue
		}
		n.add("update", f.Key)
		for _, x := range value.Fields(f.Value) {
			for part := range strings.SplitSeq(x.Key, ".") {
				switch {
				case part == "$", part == "$[]":
					n.add("positional", part)
				case strings.HasPrefix(part, "$["):
					n.add("positional", "$[identifier]")
				}
			}
			if x.Type == bson.TypeEmbeddedDocument {
				for _, m := range value.Fields(x.Value) {
					n.add("modifier", m.Key)
				}
			}
		}
	}
}

func (n names) pipeline(kind string, list bson.RawValue) {
	if list.Type != bson.TypeArray {
		return
	}
	for _, s := range value.Elements(list.Value) {
		if s.Type != bson.TypeEmbeddedDocument {
			continue
		}
		for _, f := range value.Fields(s.Value) {
			n.add(kind, f.Key)
			switch {
			case f.Key == "$match" && f.Type == bson.TypeEmbeddedDocument:
				n.query(f.Value)
			case f.Key == "$group" && f.Type == bson.TypeEmbeddedDocument:
				for _, x := range value.Fields(f.Value) {
					if x.Key != "_id" && x.Type == bson.TypeEmbeddedDocument {
						for _, a := range value.Fields(x.Value) {
							n.add("accumulator", a.Key)
							n.expression(a.RawValue)
						}
						continue
					}
					n.expression(x.RawValue)
				}
			default:
				n.expression(f.RawValue)
			}
		}
	}
}

func (n names) expression(v bson.RawValue) {
	switch v.Type {
	case bson.TypeString:
		if s := value.Str(v); strings.HasPrefix(s, "$$") {
			name, _, _ := strings.Cut(s, ".")
			n.add("variable", name)
		}
	case bson.TypeArray:
		for _, e := range value.Elements(v.Value) {
			n.expression(e)
		}
	case bson.TypeEmbeddedDocument:
		for _, f := range value.Fields(v.Value) {
			if strings.HasPrefix(f.Key, "$") {
				n.add("expression", f.Key)
			}
			n.expression(f.RawValue)
		}
	}
}

func (n names) projection(doc bson.Raw) {
	for _, f := range value.Fields(doc) {
		if strings.HasSuffix(f.Key, ".$") {
			n.add("projection", "$")
		}
		if f.Type == bson.TypeEmbeddedDocument {
			for _, x := range value.Fields(f.Value) {
				n.add("projection", x.Key)
			}
		}
		n.expression(f.RawValue)
	}
}

func (n names) index(doc bson.Raw) {
	for _, f := range value.Fields(doc) {
		n.add("index-option", f.Key)
		if f.Key != "key" {
			continue
		}
		for _, k := range value.Fields(f.Value) {
			name := "1"
			switch {
			case k.Type == bson.TypeString:
				name = value.Str(k.RawValue)
			case slices.Contains([]string{"-1"}, fmt.Sprint(value.Float(k.RawValue))):
				name = "-1"
			}
			n.add("index-type", name)
		}
	}
}
