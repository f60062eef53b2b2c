package docstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Writes are answered while a backup is under way, and it has all that was
// acknowledged before it began.
func TestBackupWhileWriting(t *testing.T) {
	dir := t.TempDir()
	e, coll, stop := start(t, filepath.Join(dir, "store.db"), nil, nil)
	pad := bytes.Repeat([]byte{7}, 100_000)
	for i := range 60 {
		if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: -1 - i}, {Key: "v", Value: 0}, {Key: "pad", Value: pad}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "v", Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &acknowledged{docs: map[int]int{}}
	var workers sync.WaitGroup
	for w := range 3 {
		workers.Go(func() { a.load(ctx, t, coll, w) })
	}
	const copies = 3
	files := make([]string, copies)
	promised := make([]map[int]int, copies)
	for i := range copies {
		promised[i] = a.copy()
		files[i] = filepath.Join(t.TempDir(), "store.db")
		portions := 0
		size, err := e.Backup(ctx, files[i], func(done, all int64) {
			if portions++; done > all {
				t.Errorf("%d of %d bytes", done, all)
			}
			for have := len(a.copy()); len(a.copy()) < have+2 && !t.Failed(); {
				<-time.After(time.Millisecond) // until others have written
			}
		})
		if err != nil || portions < 5 || size < 5_000_000 {
			t.Fatalf("%d bytes in %d portions, %v", size, portions, err)
		}
	}
	cancel()
	workers.Wait()
	stop()
	for i := range copies {
		if list, err := os.ReadDir(filepath.Dir(files[i])); err != nil || len(list) != 1 {
			t.Errorf("beside the backup: %v, %v", list, err)
		}
		if err := Verify(files[i]); err != nil {
			t.Error(err)
		}
		checkCut(t, files[i], promised[i])
	}
}

func TestBackupLeavesNothingHalf(t *testing.T) {
	dir := t.TempDir()
	e, coll, _ := start(t, filepath.Join(t.TempDir(), "store.db"), nil, nil)
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "copy")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := e.Backup(ctx, file, func(_, _ int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
	if _, err := e.Backup(t.Context(), filepath.Join(dir, "away", "copy"), nil); err == nil {
		t.Error("a folder that is not there")
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Backup(t.Context(), file, nil); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// filled makes a store with one document, closed, and a backup of it.
func filled(t *testing.T, id int) (store, backup string) {
	t.Helper()
	dir := t.TempDir()
	store, backup = filepath.Join(dir, "store.db"), filepath.Join(dir, "backup")
	e, coll, stop := start(t, store, nil, nil)
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "v", Value: id}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Backup(t.Context(), backup, nil); err != nil {
		t.Fatal(err)
	}
	stop()
	return store, backup
}

func TestRestore(t *testing.T) {
	_, backup := filled(t, 1)
	path := filepath.Join(t.TempDir(), "store.db")
	if aside, err := Restore(backup, path, false); err != nil || aside != "" {
		t.Fatalf("%q, %v", aside, err)
	}
	checkCut(t, path, map[int]int{1: 1})

	other, _ := filled(t, 2)
	if _, err := Restore(backup, other, false); !errors.Is(err, ErrExists) {
		t.Fatalf("over another store: %v", err)
	}
	checkCut(t, other, map[int]int{2: 2})
	aside, err := Restore(backup, other, true)
	if err != nil || aside == "" {
		t.Fatalf("%q, %v", aside, err)
	}
	checkCut(t, other, map[int]int{1: 1})
	checkCut(t, aside, map[int]int{2: 2})
}

func TestRestoreRefuses(t *testing.T) {
	store, backup := filled(t, 1)
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	file := func(b []byte) string {
		name := filepath.Join(t.TempDir(), "backup")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// A document that its index does not fit: only comparing the two finds it.
	odd := file(whole)
	c, err := openConn(odd)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.exec("DELETE FROM ix"), c.close()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		backup string
		want   error
	}{
		"no file":      {filepath.Join(t.TempDir(), "away"), ErrNoStore},
		"empty":        {file(nil), ErrForeign},
		"foreign":      {file([]byte(strings.Repeat("x", 5000))), ErrForeign},
		"cut":          {file(whole[:len(whole)-4096]), ErrDamaged},
		"without keys": {odd, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Restore(tc.backup, store, true); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
			checkCut(t, store, map[int]int{1: 1})
		})
	}
	e, _, _ := start(t, store, nil, nil)
	if _, err := Restore(backup, store, true); !errors.Is(err, ErrInUse) {
		t.Errorf("a store in use: %v", err)
	}
	_ = e
}
