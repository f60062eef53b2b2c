package lite_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

// gathered is a database whose writer gathers its log. Its cache is small, so that
// long transactions write into the log before they commit.
func gathered(t *testing.T, name string) (writer, reader *lite.Conn) {
	t.Helper()
	writer = open(t, name)
	for _, text := range []string{"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 50", "PRAGMA cache_size = 10", "CREATE TABLE t(n INTEGER PRIMARY KEY, v BLOB)"} {
		if err := run(t, writer, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.GatherLog(); err != nil {
		t.Fatal(err)
	}
	return writer, open(t, name)
}

// content reads the whole table.
func content(t *testing.T, c *lite.Conn) map[int64][]byte {
	t.Helper()
	s, err := c.Prepare("SELECT n, v FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := s.Bind(); err != nil {
		t.Fatal(err)
	}
	out := map[int64][]byte{}
	for {
		more, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return out
		}
		out[s.Int(0)] = bytes.Clone(s.Bytes(1))
	}
}

func sameContent(t *testing.T, what string, got, want map[int64][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for n, v := range want {
		if !bytes.Equal(got[n], v) {
			t.Fatalf("%s: row %d is %d bytes, want %d", what, n, len(got[n]), len(v))
		}
	}
}

// TestGatheredLog writes transactions of all lengths, undoes some, and after each
// looks through another connection, and at what a killed process would have left.
func TestGatheredLog(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.db")
	w, r := gathered(t, name)
	rnd := rand.New(rand.NewPCG(1, 2))
	want := map[int64][]byte{}
	must := func(text string, args ...any) {
		t.Helper()
		if err := run(t, w, text, args...); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	for round := range 120 {
		must("BEGIN IMMEDIATE")
		next := map[int64][]byte{}
		for n, v := range want {
			next[n] = v
		}
		for range 1 + rnd.IntN(1<<rnd.IntN(7)) {
			n := int64(rnd.IntN(300))
			v := bytes.Repeat([]byte{byte(round)}, 1<<rnd.IntN(15))
			must("INSERT OR REPLACE INTO t VALUES(?, ?)", n, v)
			next[n] = v
		}
		if rnd.IntN(4) == 0 {
			must("ROLLBACK")
		} else {
			must("COMMIT")
			want = next
		}
		sameContent(t, "the reader", content(t, r), want)
		if round%10 == 0 {
			left := filepath.Join(t.TempDir(), "x.db")
			for _, suffix := range []string{"", "-wal"} {
				b, err := os.ReadFile(name + suffix)
				if err == nil {
					err = os.WriteFile(left+suffix, b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			sameContent(t, "after a kill", content(t, open(t, left)), want)
		}
	}
	if w.Written() == 0 || w.Written() != 0 {
		t.Error("Written does not count what was written since it was asked")
	}
}

// TestGatherWithoutLog refuses a connection that has no log.
func TestGatherWithoutLog(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "x.db"))
	if err := c.GatherLog(); err == nil {
		t.Fatal("there is no log to gather")
	}
}
