package store_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/eidermail/eider/mail/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite runs the tests and then looks at every query that any of them had the
// store send.
type suite struct{ tests *testing.M }

// Run implements goleak.TestingM.
func (s suite) Run() int {
	seen := &shapes{seen: map[string]shape{}}
	storetest.Observe(seen.see)
	code := s.tests.Run()
	if code != 0 || os.Getenv("EIDER_TEST_MONGO") != "" || storetest.Shared() != "" || len(seen.seen) == 0 {
		return code
	}
	t := &afterwards{}
	defer t.end()
	explainAll(context.Background(), t, seen)
	if t.failed {
		return 1
	}
	return 0
}

// afterwards is what storetest needs of a test, once the tests have run.
type afterwards struct {
	testing.TB
	failed  bool
	cleanup []func()
	dir     string
}

// Helper implements testing.TB.
func (t *afterwards) Helper() {}

// Log implements testing.TB.
func (t *afterwards) Log(...any) {}

// Cleanup implements testing.TB.
func (t *afterwards) Cleanup(f func()) { t.cleanup = append(t.cleanup, f) }

// TempDir implements testing.TB.
func (t *afterwards) TempDir() string {
	var err error
	if t.dir, err = os.MkdirTemp("", "eider-explain-"); err != nil {
		t.Fatalf("%v", err)
	}
	return t.dir
}

// Errorf implements testing.TB.
func (t *afterwards) Errorf(format string, args ...any) {
	t.failed = true
	fmt.Printf("--- FAIL: the queries of the suite\n    "+format+"\n", args...)
}

// Fatalf implements testing.TB.
func (t *afterwards) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *afterwards) end() {
	for i := len(t.cleanup) - 1; i >= 0; i-- {
		t.cleanup[i]()
	}
	_ = os.RemoveAll(t.dir)
}
