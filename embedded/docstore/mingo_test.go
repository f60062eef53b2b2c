package docstore_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

// mingo is a process that answers by mingo; see test/conformance/mingo.
type mingo struct {
	in  io.Writer
	out *bufio.Scanner
}

// verdict is its answer. Numbers are all alike in it, and the order of fields is
// of no account: JavaScript's is another.
type verdict struct {
	Skip, Error string
	Batch       []any
	After       []any
	Values      []any
	N           *int
	Count       *int
}

// startMingo starts it, or skips the test where `make conformance` has not
// fetched it.
func startMingo(t *testing.T) *mingo {
	t.Helper()
	script := os.Getenv("EIDER_TEST_MINGO")
	if script == "" {
		t.Skip("mingo is not here; `make conformance` fetches it")
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<24)
	return &mingo{in, sc}
}

func (m *mingo) ask(docs []bson.Raw, command bson.Raw) (verdict, error) {
	text := func(d bson.Raw) json.RawMessage {
		b, err := bson.MarshalExtJSON(d, true, false)
		if err != nil {
			panic(err)
		}
		return b
	}
	list := []json.RawMessage{}
	for _, d := range docs {
		list = append(list, text(d))
	}
	line, err := json.Marshal(map[string]any{"docs": list, "command": text(command)})
	if err != nil {
		return verdict{}, err
	}
	if _, err := m.in.Write(append(line, '\n')); err != nil {
		return verdict{}, err
	}
	if !m.out.Scan() {
		return verdict{}, fmt.Errorf("mingo has ended: %w", m.out.Err())
	}
	var v verdict
	err = json.Unmarshal(m.out.Bytes(), &v)
	return v, err
}

// plain makes a value comparable with mingo's: as its script writes it.
func plain(v bson.RawValue) any {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		f := value.Float(v)
		if f != f || f-f != 0 {
			return "Number(" + strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "+Inf", "Infinity", 1) + ")"
		}
		return f
	case bson.TypeDateTime:
		return fmt.Sprintf("Date(%d)", v.DateTime())
	case bson.TypeRegex:
		pattern, options := v.Regex()
		return "RegExp(" + pattern + "/" + options + ")"
	case bson.TypeObjectID:
		return "ObjectId(" + v.ObjectID().Hex() + ")"
	case bson.TypeString:
		return value.Str(v)
	case bson.TypeBoolean:
		return value.Bool(v)
	case bson.TypeArray:
		out := []any{}
		for _, e := range value.Elements(v.Value) {
			out = append(out, plain(e))
		}
		return out
	case bson.TypeEmbeddedDocument:
		out := map[string]any{}
		for _, f := range value.Fields(v.Value) {
			out[f.Key] = plain(f.RawValue)
		}
		return out
	default:
		return nil
	}
}

func plainDocs(docs []bson.Raw) []any {
	out := []any{}
	for _, d := range docs {
		out = append(out, plain(value.OfDoc(d)))
	}
	return out
}

// sortedText makes lists comparable that may come in any order.
func sortedText(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		b, _ := json.Marshal(v)
		out[i] = string(b)
	}
	slices.Sort(out)
	return out
}

func sameLists(a, b []any, unordered bool) bool {
	if unordered {
		return slices.Equal(sortedText(a), sortedText(b))
	}
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// TestMingo asks mingo about every golden case that is one for it. Where it
// differs, testdata/mingo.txt names the case and why MongoDB's documentation
// stands with the case.
func TestMingo(t *testing.T) {
	m := startMingo(t)
	listed := map[string]bool{}
	text, err := os.ReadFile("testdata/mingo.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if id, reason, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			if strings.TrimSpace(reason) == "" {
				t.Errorf("%s has no reason", id)
			}
			listed[id] = false
		}
	}
	files, err := filepath.Glob("testdata/cases/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	asked, skipped := 0, 0
	for _, f := range files {
		for _, c := range goldentest.Load(t, f) {
			if len(c.Steps) > 0 {
				skipped++
				continue
			}
			v, err := m.ask(c.Docs, c.Command)
			if err != nil {
				t.Fatalf("%s: %v", c.ID, err)
			}
			if v.Skip != "" || c.Error() != 0 || hasAny(c) {
				skipped++ // mingo checks less than a server: what it takes says nothing
				continue
			}
			asked++
			agrees := v.Error == "" && mingoAgrees(c, v)
			if _, ok := listed[c.ID]; ok {
				listed[c.ID] = true
				if agrees {
					t.Errorf("testdata/mingo.txt lists %s, where there is no difference", c.ID)
				}
				continue
			}
			if !agrees {
				b, _ := json.Marshal(v)
				t.Errorf("%s: %s\nreply %s after %v\nmingo %s", c.ID, c.Command, c.Reply, c.After, b)
			}
		}
	}
	for id, seen := range listed {
		if !seen {
			t.Errorf("testdata/mingo.txt lists %s, which mingo is not asked", id)
		}
	}
	t.Logf("%d cases compared, %d are none for mingo, %d differ as listed", asked, skipped, len(listed))
}

func hasAny(c goldentest.Case) bool {
	return strings.Contains(goldentest.Show(append([]bson.Raw{c.Reply}, c.After...)), "$any")
}

func mingoAgrees(c goldentest.Case, v verdict) bool {
	if c.After != nil && v.After != nil {
		if !sameLists(plainDocs(c.After), v.After, true) {
			return false
		}
	}
	if n, ok := value.Lookup(c.Reply, "n"); ok {
		switch {
		case v.N != nil && int64(*v.N) != value.Int64(n):
			return false
		case v.Count != nil && int64(*v.Count) != value.Int64(n):
			return false
		}
	}
	if batch, ok := value.Lookup(c.Reply, "batch"); ok {
		return sameLists(plainDocs(goldentest.Docs(batch)), v.Batch, c.Unordered)
	}
	return true
}
