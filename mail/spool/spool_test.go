package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fill(t *testing.T, m *Message, size, portion int) []byte {
	t.Helper()
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * 7 / 5)
	}
	for rest := want; len(rest) > 0; {
		n := min(portion, len(rest))
		if _, err := m.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return want
}

func TestMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, most, most + 1, 3*most + 17} {
		folder := t.TempDir()
		p := &Pool{Folder: folder, Memory: 10 * most, Disk: 10 * most}
		m := p.New()
		want := fill(t, m, size, 100_001)
		src := m.Source()
		got, err := io.ReadAll(src.Reader())
		if err != nil || !bytes.Equal(got, want) || src.Size() != int64(size) {
			t.Errorf("%d bytes: %d come back, size %d, %v", size, len(got), src.Size(), err)
		}
		if inFile := m.file != nil; inFile != (size > most) {
			t.Errorf("%d bytes: in a file %v", size, inFile)
		}
		if size > most && (m.mem.Cap() > 0 || p.memory.Load() != 0 || p.disk.Load() < int64(size)) {
			t.Errorf("%d bytes: %d in memory, %d reserved there, %d on disk", size, m.mem.Cap(), p.memory.Load(), p.disk.Load())
		}
		if names, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(names) > 0 {
			t.Errorf("%d bytes: %v lie about, %v", size, names, err)
		}
		for range 2 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if p.memory.Load() != 0 || p.disk.Load() != 0 {
			t.Errorf("%d bytes: %d and %d stay reserved", size, p.memory.Load(), p.disk.Load())
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	for _, p := range []*Pool{
		{Folder: t.TempDir(), Memory: most / 2},
		{Folder: t.TempDir(), Disk: 2 * most},
	} {
		m := p.New()
		var err error
		for i := 0; err == nil && i < 100; i++ {
			_, err = m.Write(make([]byte, most/8))
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("%+v: %v", p, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		again := p.New()
		fill(t, again, most/4, most/4)
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Where no file can be made memory takes the whole message, within its bound.
func TestNoFolder(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	p := &Pool{Folder: filepath.Join(t.TempDir(), "none"), Memory: 4 * most}
	m := p.New()
	want := fill(t, m, 3*most, most/3)
	got, err := io.ReadAll(m.Source().Reader())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := m.Write(make([]byte, 2*most)); !errors.Is(err, ErrFull) {
		t.Errorf("over the bound: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A folder that takes no files sends them to the system's.
func TestOtherFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := &Pool{Folder: filepath.Join(t.TempDir(), "none")}
	m := p.New()
	fill(t, m, 2*most, most)
	if m.file == nil || filepath.Dir(m.file.Name()) != os.TempDir() {
		t.Errorf("file %v", m.file)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
