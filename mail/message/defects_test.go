package message

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every code is explained in docs, and every code but those of bounds has a
// golden message that shows it.
func TestDefectsAreDocumentedAndShown(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/defects.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[Defect]bool{
		// These take messages of a size that bounds_test.go makes.
		defectParts: true, defectHeader: true, defectPreamble: true, defectGivenUp: true, defectAddresses: true, defectText: true,
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range Parse(raw).Defects {
			shown[d] = true
		}
	}
	for _, d := range KnownDefects() {
		if !strings.Contains(string(doc), "`"+string(d)+"`") {
			t.Errorf("docs/defects.md does not explain %q", d)
		}
		if !shown[d] {
			t.Errorf("no golden message shows %q", d)
		}
		delete(shown, d)
	}
	for d := range shown {
		t.Errorf("KnownDefects lacks %q", d)
	}
}
