package message

import (
	"bytes"
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

func TestRebuildIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := genMessage().Draw(t, "raw")
		m := Parse(raw)
		if got := rebuilt(t, m); !bytes.Equal(got, raw) {
			t.Fatalf("rebuilt\n%q\nwant\n%q\npatch %x", got, raw, m.Patch)
		}
		for _, d := range m.Defects {
			if d == defectGivenUp {
				t.Fatalf("structure given up for %q", raw)
			}
		}
	})
}
