// Package goldentest reads the golden cases of MongoDB's answers for the tests
// of the document engine.
package goldentest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// Case is one golden case; the README beside the cases explains the fields.
type Case struct {
	ID      string
	Needs   string // of a MongoDB: standalone or replicaSet
	Docs    []bson.Raw
	Indexes []bson.Raw
	Step    // the only one, of most cases
	Steps   []Step
	After   []bson.Raw
	Reads   bool // there is no After
}

// Step is a command and its reply.
type Step struct {
	DB        string // empty: the case's own
	Command   bson.Raw
	Reply     bson.Raw
	Unordered bool
}

// All gives the steps of a case of either form.
func (c *Case) All() []Step {
	if len(c.Steps) > 0 {
		return c.Steps
	}
	return []Step{c.Step}
}

// Error gives the code of the expected error or of the first expected write
// error; 0 when success is expected.
func (c *Case) Error() int32 {
	if e, ok := value.Lookup(c.Reply, "error"); ok {
		code, _ := value.Lookup(e.Value, "code")
		return int32(value.Int64(code)) //nolint:gosec // small
	}
	if list, ok := value.Lookup(c.Reply, "writeErrors"); ok {
		first, _ := value.Lookup(list.Value, "0")
		code, _ := value.Lookup(first.Value, "code")
		return int32(value.Int64(code)) //nolint:gosec // small
	}
	return 0
}

// Load reads a file of cases.
func Load(t testing.TB, path string) []Case {
	t.Helper()
	f, err := os.Open(path) //nolint:gosec // a test's own data
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []Case
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		out = append(out, parse(t, sc.Bytes()))
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func parse(t testing.TB, line []byte) Case {
	t.Helper()
	type step struct {
		DB        string
		Command   json.RawMessage
		Reply     json.RawMessage
		Unordered bool
	}
	var raw struct {
		ID      string
		Needs   string
		Docs    []json.RawMessage
		Indexes []json.RawMessage
		step
		Steps    []step
		After    []json.RawMessage
		Disputed bool
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		t.Fatal(err)
	}
	if raw.Disputed {
		t.Fatalf("%s is disputed: settle it from the manual, with a note", raw.ID)
	}
	c := Case{ID: raw.ID, Needs: raw.Needs, Reads: raw.After == nil}
	doc := func(m json.RawMessage) bson.Raw {
		if len(m) == 0 {
			return nil
		}
		v, err := Decode(m)
		if err != nil {
			t.Fatalf("%s: %v", raw.ID, err)
		}
		return v.Value
	}
	for _, d := range raw.Docs {
		c.Docs = append(c.Docs, doc(d))
	}
	for _, d := range raw.After {
		c.After = append(c.After, doc(d))
	}
	for _, d := range raw.Indexes {
		c.Indexes = append(c.Indexes, doc(d))
	}
	read := func(s step) Step { return Step{s.DB, doc(s.Command), doc(s.Reply), s.Unordered} }
	c.Step = read(raw.step)
	for _, s := range raw.Steps {
		c.Steps = append(c.Steps, read(s))
	}
	return c
}

// field is a member of a JSON object in its order.
type field struct {
	key string
	val any // string, json.Number, bool, nil, []any, []field
}

// Decode reads a value in canonical Extended JSON v2. Unlike the driver it
// leaves the query operator $regex alone.
func Decode(data []byte) (bson.RawValue, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := read(dec)
	if err != nil {
		return bson.RawValue{}, err
	}
	return encode(v)
}

// MustDecode is Decode of text that is known to be right.
func MustDecode(text string) bson.RawValue {
	v, err := Decode([]byte(text))
	if err != nil {
		panic(err)
	}
	return v
}

// Doc is MustDecode of a document, with numbers without a type as int32.
func Doc(text string) bson.Raw { return MustDecode(text).Value }

func read(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	switch tok {
	case json.Delim('{'):
		fields := []field{}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, fmt.Errorf("json: %w", err)
			}
			v, err := read(dec)
			if err != nil {
				return nil, err
			}
			name, _ := k.(string)
			fields = append(fields, field{name, v})
		}
		_, err = dec.Token()
		return fields, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := read(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	default:
		return tok, nil
	}
}

func encode(v any) (bson.RawValue, error) {
	switch v := v.(type) {
	case nil:
		return value.Null(), nil
	case bool:
		return value.OfBool(v), nil
	case string:
		return value.OfString(v), nil
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 32)
		if err != nil {
			return bson.RawValue{}, fmt.Errorf("number: %w", err)
		}
		return value.OfInt32(int32(n)), nil
	case []any:
		d := bson.A{}
		for _, e := range v {
			r, err := encode(e)
			if err != nil {
				return r, err
			}
			d = append(d, r)
		}
		return marshal(d)
	case []field:
		if r, ok, err := special(v); ok || err != nil {
			return r, err
		}
		d := bson.D{}
		for _, e := range v {
			r, err := encode(e.val)
			if err != nil {
				return r, err
			}
			d = append(d, bson.E{Key: e.key, Value: r})
		}
		return marshal(d)
	default:
		return bson.RawValue{}, errors.New("json: unexpected token")
	}
}

func marshal(v any) (bson.RawValue, error) {
	t, data, err := bson.MarshalValue(v)
	if err != nil {
		return bson.RawValue{}, fmt.Errorf("marshal: %w", err)
	}
	return bson.RawValue{Type: t, Value: data}, nil
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

func member(fs any, key string) any {
	list, _ := fs.([]field)
	for _, f := range list {
		if f.key == key {
			return f.val
		}
	}
	return nil
}

// special reads the wrappers of types that JSON lacks.
func special(fs []field) (bson.RawValue, bool, error) {
	if len(fs) == 2 && fs[0].key == "$code" {
		scope, err := encode(fs[1].val)
		if err != nil {
			return scope, true, err
		}
		r, err := marshal(bson.CodeWithScope{Code: bson.JavaScript(text(fs[0].val)), Scope: bson.Raw(scope.Value)})
		return r, true, err
	}
	if len(fs) != 1 {
		return bson.RawValue{}, false, nil
	}
	v, err := wrapped(fs[0].key, fs[0].val)
	if v == nil || err != nil {
		return bson.RawValue{}, false, err
	}
	r, err := marshal(v)
	return r, true, err
}

func wrapped(key string, v any) (any, error) {
	s := text(v)
	switch key {
	case "$numberInt":
		n, err := strconv.ParseInt(s, 10, 32)
		return int32(n), err
	case "$numberLong":
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err
	case "$numberDouble":
		n, err := strconv.ParseFloat(s, 64)
		return n, err
	case "$numberDecimal":
		return bson.ParseDecimal128(s)
	case "$oid":
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != 12 {
			return nil, err
		}
		return bson.ObjectID(b), nil
	case "$date":
		if n := text(member(v, "$numberLong")); n != "" {
			ms, err := strconv.ParseInt(n, 10, 64)
			return bson.DateTime(ms), err
		}
		return nil, errors.New("json: a date that is not canonical")
	case "$timestamp":
		t, _ := strconv.ParseUint(text(member(v, "t")), 10, 32)
		i, _ := strconv.ParseUint(text(member(v, "i")), 10, 32)
		return bson.Timestamp{T: uint32(t), I: uint32(i)}, nil
	case "$binary":
		data, err := base64.StdEncoding.DecodeString(text(member(v, "base64")))
		if err != nil {
			return nil, err
		}
		sub, err := strconv.ParseUint(text(member(v, "subType")), 16, 8)
		return bson.Binary{Subtype: byte(sub), Data: data}, err
	case "$regularExpression":
		return bson.Regex{Pattern: text(member(v, "pattern")), Options: text(member(v, "options"))}, nil
	case "$symbol":
		return bson.Symbol(s), nil
	case "$code":
		return bson.JavaScript(s), nil
	case "$minKey":
		return bson.MinKey{}, nil
	case "$maxKey":
		return bson.MaxKey{}, nil
	case "$undefined":
		return bson.Undefined{}, nil
	default:
		return nil, nil //nolint:nilnil // no wrapper
	}
}

// Same compares a wanted with a given value in type, order and bytes, where
// {"$any": type} in the wanted value stands for any value of a type.
func Same(want, got bson.RawValue) bool {
	if want.Type == bson.TypeEmbeddedDocument {
		if kind, ok := value.Lookup(want.Value, "$any"); ok {
			return value.TypeName(got.Type) == value.Str(kind)
		}
	}
	if want.Type != got.Type {
		return false
	}
	if want.Type != bson.TypeEmbeddedDocument && want.Type != bson.TypeArray {
		return value.Same(want, got)
	}
	a, b := value.Inside(want.Value), value.Inside(got.Value)
	for {
		ta, ka, va, ra, oka := value.Next(a)
		tb, kb, vb, rb, okb := value.Next(b)
		if !oka || !okb {
			return oka == okb
		}
		if string(ka) != string(kb) || !Same(bson.RawValue{Type: ta, Value: va}, bson.RawValue{Type: tb, Value: vb}) {
			return false
		}
		a, b = ra, rb
	}
}

// SameDocs compares two lists of documents.
func SameDocs(want, got []bson.Raw, unordered bool) bool {
	return SameValues(valuesOf(want), valuesOf(got), unordered)
}

func valuesOf(docs []bson.Raw) []bson.RawValue {
	out := make([]bson.RawValue, len(docs))
	for i, d := range docs {
		out[i] = value.OfDoc(d)
	}
	return out
}

// SameValues compares two lists of values by Same.
func SameValues(want, got []bson.RawValue, unordered bool) bool {
	if len(want) != len(got) {
		return false
	}
	used := make([]bool, len(got))
	for i, w := range want {
		found := false
		for j, g := range got {
			if used[j] || (!unordered && i != j) {
				continue
			}
			if Same(w, g) {
				used[j], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// Docs splits an array of documents.
func Docs(v bson.RawValue) []bson.Raw {
	var out []bson.Raw
	for b := value.Inside(v.Value); ; {
		_, _, d, rest, ok := value.Next(b)
		if !ok {
			return out
		}
		out = append(out, d)
		b = rest
	}
}

// Show prints documents for a failure.
func Show(docs []bson.Raw) string {
	var b bytes.Buffer
	for _, d := range docs {
		text, err := bson.MarshalExtJSON(d, true, false)
		if err != nil {
			text = []byte(err.Error())
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}
