package docstore

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDiskFullForReal fills a small file system, where the machine lets us have
// one.
func TestDiskFullForReal(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("eider", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no right to mount here, TestDiskFull alone tells: %v", err)
	}
	unmounted := false
	t.Cleanup(func() {
		if !unmounted {
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	path := filepath.Join(dir, "store.db")
	var log lines
	_, coll, stop := start(t, path, nil, slog.New(slog.NewTextHandler(&log, nil)))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, coll, &log, func() {}, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	})
	stop()
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	unmounted = true
}
