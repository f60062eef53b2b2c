// Command tally reads `go test -json` from standard input, shows what failed
// with its output, and closes with one line "N passed, N failed, N skipped".
// Its exit code is 1 when anything failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// event is one line of the test binary protocol; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type result struct {
	output  map[string]*strings.Builder
	failed  []string
	skipped []string
	passed  int
	// failedPackages have no failing test of their own: a build error, a crash, a timeout.
	failedPackages []string
}

func main() {
	r := read(os.Stdin)
	r.print(os.Stdout)
	if len(r.failed)+len(r.failedPackages) > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func read(in io.Reader) *result {
	r := &result{output: map[string]*strings.Builder{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	failedIn := map[string]bool{}
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			_, _ = fmt.Fprintln(os.Stdout, lines.Text())
			continue
		}
		r.add(e, failedIn)
	}
	return r
}

func (r *result) add(e event, failedIn map[string]bool) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		_, _ = fmt.Fprint(os.Stdout, e.Output)
	case "output":
		b := r.output[name]
		if b == nil {
			b = &strings.Builder{}
			r.output[name] = b
		}
		b.WriteString(e.Output)
	case "pass", "skip", "fail":
		r.end(e, name, failedIn)
	}
}

func (r *result) end(e event, name string, failedIn map[string]bool) {
	switch {
	case e.Test == "" && e.Action == "fail":
		if !failedIn[e.Package] {
			r.failedPackages = append(r.failedPackages, name)
		}
		_, _ = fmt.Fprintf(os.Stdout, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	case e.Test == "":
		_, _ = fmt.Fprintf(os.Stdout, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	case e.Action == "fail":
		failedIn[e.Package] = true
		r.failed = append(r.failed, name)
	case e.Action == "skip":
		r.skipped = append(r.skipped, name)
	default:
		r.passed++
	}
}

func (r *result) print(w io.Writer) {
	sort.Strings(r.skipped)
	for _, name := range r.skipped {
		_, _ = fmt.Fprintf(w, "skipped: %s\n%s", name, r.text(name))
	}
	for _, name := range append(r.failedPackages, r.failed...) {
		_, _ = fmt.Fprintf(w, "\n--- failed: %s\n%s", name, r.text(name))
	}
	_, _ = fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n",
		r.passed, len(r.failed)+len(r.failedPackages), len(r.skipped))
}

func (r *result) text(name string) string {
	if b := r.output[name]; b != nil {
		return b.String()
	}
	return ""
}
