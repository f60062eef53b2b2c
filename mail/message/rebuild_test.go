package message

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rebuilt gives the message back from what a database would hold: the
// exported fields, the patch, and the stored parts as Blobs gives them.
func rebuilt(tb interface {
	Helper()
	Fatalf(string, ...any)
}, m *Message,
) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := Rebuild(&out, storedTree(m.Root), m.Patch, storedParts(tb, m)); err != nil {
		tb.Fatalf("Rebuild: %v", err)
	}
	return out.Bytes()
}

func checkRebuild(t tester, raw []byte) *Message {
	t.Helper()
	m := Parse(raw)
	if got := rebuilt(t, m); !bytes.Equal(got, raw) {
		n := differAt(got, raw)
		t.Fatalf("rebuilt\n%.500q\nwant\n%.500q\npatch %.200x", got[max(0, n-50):], raw[max(0, n-50):], m.Patch)
	}
	return m
}

// TestRebuildIsExact looks for the smallest message that does not come back.
func TestRebuildIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := genMessage().Draw(t, "raw")
		m := checkRebuild(t, raw)
		if slices.Contains(m.Defects, defectGivenUp) {
			t.Fatalf("structure given up for %q", raw)
		}
	})
}

// TestRebuildOfTenThousand rebuilds the same messages on every run, and holds
// their patches to a share of their bytes: these are nearly all broken, which
// real mail is not.
func TestRebuildOfTenThousand(t *testing.T) {
	t.Parallel()
	const count = 10_000
	gen := genMessage()
	var size, patches int
	shapes := map[Defect]int{}
	for i := range count {
		raw := gen.Example(i)
		m := checkRebuild(t, raw)
		size, patches = size+len(raw), patches+len(m.Patch)
		for _, d := range m.Defects {
			shapes[d]++
		}
	}
	t.Logf("%d bytes, patches %.2f %%, defects %v", size, 100*float64(patches)/float64(size), shapes)
	if patches*100 > size*8 { // mostly epilogues, which no field of WildDuck holds
		t.Errorf("patches take %d bytes of %d", patches, size)
	}
	for _, d := range []Defect{
		defectDepth, defectNoBlank, defectNoBoundary, defectWrong, defectNoClose, defectAfterClose, defectLineEnds, defectBareCR, defectNUL,
		defectNoDate, defectManyFrom, defectRawHeader, defectContentType, defectCharset, defectBase64, defectEncodedPart,
	} {
		if shapes[d] == 0 {
			t.Errorf("no message has the defect %q", d)
		}
	}
}

// An ordinary message has no patch, and all of the corpus, most of which is
// made to be odd, has patches of 2 % of its bytes.
func TestPatchIsSmall(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{"text": textMessage(), "files": fileMessage(100_000)} {
		if m := checkRebuild(t, raw); m.Patch != nil {
			t.Errorf("%s: an ordinary message has a patch of %d bytes", name, len(m.Patch))
		}
		if m := checkRebuild(t, bytes.ReplaceAll(raw, crlf, crlf[1:])); len(m.Patch) > 8 {
			t.Errorf("%s: with LF the patch has %d bytes", name, len(m.Patch))
		}
	}
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var size, patches int
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := checkRebuild(t, raw)
		size, patches = size+len(raw), patches+len(m.Patch)
	}
	t.Logf("%d messages, %d bytes, patches of %d: %.2f %%", len(files), size, patches, 100*float64(patches)/float64(size))
	if patches*100 > size*2 {
		t.Errorf("patches take %d bytes of %d", patches, size)
	}
}

// Every input that a fuzz target of the package knows comes back, too.
func TestRebuildOfFuzzInputs(t *testing.T) {
	t.Parallel()
	for _, s := range fieldPool {
		checkRebuild(t, []byte(s))
		checkRebuild(t, []byte(strings.ReplaceAll(s, "\r\n", "\n")+"\n\ntext"))
	}
	for _, n := range []int{100, 1000, 10_000} {
		checkRebuild(t, []byte(strings.Repeat("Content-Type: message/rfc822\n\n", n)))
	}
}
