package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers lists, per top folder, the folders it may import. A folder may always
// import itself; inside mail/ the ranks below decide.
var layers = map[string][]string{
	"":          {"config", "mail", "server", "web", "embedded"},
	"web":       {"mail", "templates", "static"},
	"server":    {"mail"},
	"templates": {"static"},
	"mail":      {},
	"embedded":  {},
	"static":    {},
	"config":    {},
	"test":      {"config", "mail", "server", "web", "embedded", "templates", "static"},
}

// ranks orders the packages below mail/: a package may import only packages of
// a lower rank. Package mail itself is "".
var ranks = map[string]int{
	"address": 0, "message": 0,
	"":       1,
	"search": 2, "signal": 2, "notify": 2, "limit": 2, "verify": 2, "dkim": 2, "dsn": 2, "spool": 2,
	"store": 3, "filter": 3, "courier": 3,
	"account": 4, "queue": 4,
	"deliver": 5, "submit": 6, "task": 6,
}

// mongoRooms are the only folders that may import the MongoDB driver.
var mongoRooms = []string{"mail/store", "embedded"}

func TestLayers(t *testing.T) {
	mod := run(t, "go", "list", "-m")
	out := run(t, "go", "list", "-f", `{{range .Imports}}{{$.ImportPath}} {{.}}{{"\n"}}{{end}}`, "./...")
	for line := range strings.Lines(out) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		from = inside(mod, from)
		if strings.HasPrefix(to, "go.mongodb.org/mongo-driver") {
			checkMongo(t, from, to)
		}
		if to == mod || strings.HasPrefix(to, mod+"/") {
			checkEdge(t, from, inside(mod, to))
		}
	}
}

func checkMongo(t *testing.T, from, to string) {
	t.Helper()
	for _, room := range mongoRooms {
		if from == room || strings.HasPrefix(from, room+"/") {
			return
		}
	}
	t.Errorf("%s imports %s: only %v may", from, to, mongoRooms)
}

func checkEdge(t *testing.T, from, to string) {
	t.Helper()
	// storetest makes databases for tests, so it reaches for the engine; only
	// test files import it.
	if from == "mail/store/storetest" && strings.HasPrefix(to, "embedded/") {
		return
	}
	f, d := top(from), top(to)
	switch {
	case to == "mail/store/storetest" && f != "test":
		t.Errorf("%s imports %s outside of tests", from, to)
	case f == "mail" && d == "mail":
		checkRank(t, from, to)
	case f != d && !slices.Contains(layers[f], d):
		t.Errorf("%s imports %s: %s/ may import only %v", from, to, f, layers[f])
	}
}

func checkRank(t *testing.T, from, to string) {
	t.Helper()
	f, d := room(from), room(to)
	if f == d {
		return
	}
	fr, ok := ranks[f]
	if !ok {
		t.Errorf("%s has no rank: give it one here and in the design", from)
	}
	// notify is built on signal, and limit as well: they share a rank in the
	// design's list and are written in that order.
	sibling := d == "signal" && (f == "notify" || f == "limit")
	if dr := ranks[d]; dr >= fr && !sibling {
		t.Errorf("%s imports %s: inside mail/ imports go down only", from, to)
	}
}

// inside gives the path below the module, "" for the module itself.
func inside(mod, pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, mod), "/")
}

func top(path string) string {
	t, _, _ := strings.Cut(path, "/")
	return t
}

// room is the folder below mail/ that a package lies in.
func room(path string) string {
	r, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "mail"), "/"), "/")
	return r
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}
