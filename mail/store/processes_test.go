package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store/storetest"
)

// sharedTests are the tests that keep to accounts of their own, so that they
// may run where others use the same database.
const sharedTests = "^(TestModel|TestCountersSurviveAStorm|TestSnapshotFollows|TestSnapshotCacheIsBounded|TestLateParent.*|TestAppend|TestMoveCopyExpunge|TestStoreFlags|TestThreads|TestChanges)$"

// Two processes run the suite at the same time on one database, with one Redis.
func TestTwoProcessesOnOneDatabase(t *testing.T) {
	if storetest.Shared() != "" {
		t.Skip("this is one of the processes")
	}
	redis := os.Getenv("EIDER_TEST_REDIS")
	if redis == "" {
		t.Skip("EIDER_TEST_REDIS is not set: processes share counters in Redis only")
	}
	uri := os.Getenv("EIDER_TEST_MONGO")
	if uri == "" {
		uri = serveEngine(t)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	database := "eidertest_" + mail.NewID().String()
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe, "-test.run", sharedTests, "-test.count=1", "-test.shuffle=on", "-test.v")
			cmd.Env = append(os.Environ(), "EIDER_TEST_MONGO="+uri, "EIDER_TEST_DATABASE="+database, "EIDER_TEST_REDIS="+redis)
			out, err := cmd.CombinedOutput()
			passed := bytes.Count(out, []byte("\n--- PASS"))
			if err != nil || passed < 9 {
				t.Errorf("process %d: %v, %d tests passed\n%s", i, err, passed, failuresOf(out))
			}
		})
	}
	both.Wait()
}

// serveEngine opens an embedded store that other processes can reach.
func serveEngine(t *testing.T) string {
	t.Helper()
	engine, err := docstore.Open(context.Background(), docstore.Options{Path: filepath.Join(t.TempDir(), "eider.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := engine.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return "mongodb://" + l.Addr().String() + "/?directConnection=true"
}

// failuresOf keeps the end of a test's output.
func failuresOf(out []byte) []byte { return out[max(0, len(out)-6000):] }
