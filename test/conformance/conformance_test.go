// Package conformance compares the MIME trees of the golden messages with
// those that WildDuck's own parser makes. `make conformance` fetches it.
package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail/message"
)

const (
	messages    = "../../mail/message/testdata"
	differences = "differences.txt"
	reasons     = "../../docs/differences.md"
)

// TestWildDuck: every field of every tree is WildDuck's, or the difference
// stands in differences.txt with a reason that docs/differences.md explains.
// A line there that no longer holds fails as well.
func TestWildDuck(t *testing.T) {
	t.Parallel()
	root := os.Getenv("EIDER_TEST_WILDDUCK")
	if root == "" {
		t.Skip("WildDuck's package is not here; `make conformance` fetches it")
	}
	files, err := filepath.Glob(filepath.Join(messages, "*.eml"))
	if err != nil || len(files) < 200 {
		t.Fatalf("%d golden messages, %v", len(files), err)
	}
	theirs := runTheirs(t, root, files)
	listed := readDifferences(t)
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eml")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name, fieldsOf(theirs[i]), fieldsOf(ours(t, message.Parse(raw))), listed)
	}
	for key := range listed {
		if !listed[key].seen {
			t.Errorf("%s: %s lists a difference that is not there", key, differences)
		}
	}
	checkReasons(t, listed)
}

// runTheirs parses all files in one process.
func runTheirs(t *testing.T, root string, files []string) []map[string]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"parse.js", root}, files...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var list []map[string]any
	for line := range bytes.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	if len(list) != len(files) {
		t.Fatalf("%d answers for %d messages", len(list), len(files))
	}
	return list
}

// difference is one line's promise about one field.
type difference struct {
	reason string
	seen   bool
}

// readDifferences reads lines of the form "message: field field = reason".
func readDifferences(t *testing.T) map[string]*difference {
	t.Helper()
	f, err := os.Open(differences)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := make(map[string]*difference)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		fields, reason, ok2 := strings.Cut(rest, "=")
		if !ok || !ok2 {
			t.Fatalf("%s: %q is no difference", differences, line)
		}
		for _, field := range strings.Fields(fields) {
			out[name+" "+field] = &difference{reason: strings.TrimSpace(reason)}
		}
	}
	return out
}

// checkReasons: each reason is explained under its name in docs.
func checkReasons(t *testing.T, listed map[string]*difference) {
	t.Helper()
	doc, err := os.ReadFile(reasons)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, d := range listed {
		names[d.reason] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !bytes.Contains(doc, []byte("**"+name+"**")) {
			t.Errorf("the reason %q is not explained in %s", name, reasons)
		}
	}
}

func compare(t *testing.T, name string, want, got map[string]string, listed map[string]*difference) {
	t.Helper()
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	found := make(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if want[key] == got[key] {
			continue
		}
		// One field of several parts is one difference.
		field := key[strings.LastIndexByte(key, '/')+1:]
		if _, ok := found[field]; !ok {
			found[field] = fmt.Sprintf("%s\n  WildDuck %s\n  Eider    %s", key, orNone(want, key), orNone(got, key))
		}
	}
	var unlisted []string
	for _, field := range slices.Sorted(maps.Keys(found)) {
		if d := listed[name+" "+field]; d != nil {
			d.seen = true
			continue
		}
		unlisted = append(unlisted, field)
		t.Errorf("%s: %s differs and is not listed in %s: %s", name, field, differences, found[field])
	}
	if len(unlisted) > 0 {
		t.Logf("line for %s: %s: %s = ?", differences, name, strings.Join(unlisted, " "))
	}
}

func orNone(m map[string]string, key string) string {
	if v, ok := m[key]; ok {
		return v
	}
	return "(none)"
}
