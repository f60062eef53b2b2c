// Package driver tries the embedded store's port with MongoDB's own driver for
// Node, as the tools that people use are built on it.
package driver

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestNodeDriver(t *testing.T) {
	if os.Getenv("EIDER_TEST_MONGO") != "" {
		t.Skip("with EIDER_TEST_MONGO there is no embedded store")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed")
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "driver.mjs"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm cannot fetch the driver here: %v\n%s", err, out)
	}
	s := harness.Start(t, "", "--docstore-listen", "127.0.0.1:0")
	run := exec.CommandContext(t.Context(), "node", "driver.mjs", "mongodb://"+s.Docstore+"/")
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("the driver: %v\n%s", err, out)
	}
}
