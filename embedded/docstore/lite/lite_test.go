package lite_test

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/eidermail/eider/embedded/docstore/lite"
)

func open(t *testing.T, name string) *lite.Conn {
	t.Helper()
	c, err := lite.Open((&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func run(t *testing.T, c *lite.Conn, text string, args ...any) error {
	t.Helper()
	s, err := c.Prepare(text)
	if err != nil {
		return err
	}
	list := make([]driver.Value, len(args))
	for i, a := range args {
		list[i] = a
	}
	return s.Run(list...)
}

// TestValues stores every type of argument and reads it back, with statements used
// again and again and arguments that grow and shrink.
func TestValues(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "a file?.db"))
	if err := run(t, c, "CREATE TABLE t(n INTEGER, v)"); err != nil {
		t.Fatal(err)
	}
	want := []any{nil, int64(-1) << 63, "a text", "", []byte{0, 1, 2}, []byte{}, bytes.Repeat([]byte("x"), 200_000), []byte("y"), []byte(nil)}
	for i, v := range want {
		if err := run(t, c, "INSERT INTO t VALUES(?, ?)", int64(i), v); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Prepare("SELECT n, v FROM t WHERE n >= ? ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Bind(int64(0)); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			more, err := s.Step()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			got := s.Value(1)
			if b, ok := want[n].([]byte); ok && b == nil {
				want[n] = nil
			}
			if s.Int(0) != int64(n) || fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", want[n], want[n]) {
				t.Fatalf("row %d: %v, want %v", n, got, want[n])
			}
			if b, ok := want[n].([]byte); ok && !bytes.Equal(b, s.Bytes(1)) {
				t.Fatalf("row %d: %v in place", n, s.Bytes(1))
			}
		}
		if n != len(want) || s.Columns() != 2 {
			t.Fatalf("%d rows of %d columns", n, s.Columns())
		}
		s.Reset()
	}
}

// TestErrors tells SQLite's errors apart and goes on after them.
func TestErrors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.db")
	c := open(t, name)
	if err := run(t, c, "CREATE TABLE t(n INTEGER UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prepare("SELECT nothing FROM t"); !lite.Is(err) {
		t.Fatal(err)
	}
	insert := func() error { return run(t, c, "INSERT INTO t VALUES(?)", int64(1)) }
	if err := insert(); err != nil {
		t.Fatal(err)
	}
	if err := insert(); !lite.Is(err) || lite.Is(err, lite.Busy) {
		t.Fatal(err)
	}
	if err := run(t, c, "INSERT INTO t VALUES(?)"); err == nil || lite.Is(err) {
		t.Fatal(err)
	}
	if err := run(t, c, "INSERT INTO t VALUES(?)", 1.5i); err == nil || lite.Is(err) {
		t.Fatal(err)
	}
	other := open(t, name)
	if err := run(t, other, "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	if err := insert(); !lite.Is(err, lite.Busy) {
		t.Fatal(err)
	}
	if err := run(t, other, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := run(t, c, "INSERT INTO t VALUES(?)", int64(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := lite.Open("file:" + filepath.ToSlash(filepath.Join(name, "no", "folder"))); !lite.Is(err) {
		t.Fatal(err)
	}
}

// TestRunning refuses to start a statement that is still being read.
func TestRunning(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "x.db"))
	s, err := c.Prepare("SELECT ? UNION ALL SELECT 2")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(int64(1)); err != nil {
		t.Fatal(err)
	}
	if more, err := s.Step(); !more || err != nil {
		t.Fatal(more, err)
	}
	if err := s.Bind(int64(1)); !lite.Is(err) {
		t.Fatal(err)
	}
	s.Reset()
	if err := s.Bind(int64(1)); err != nil {
		t.Fatal(err)
	}
	s.Reset()
}
