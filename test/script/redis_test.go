package script

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// redisURI gives the Redis of EIDER_TEST_REDIS, or starts one for the test on
// a Unix socket.
func redisURI(t *testing.T) string {
	t.Helper()
	if uri := os.Getenv("EIDER_TEST_REDIS"); uri != "" {
		return uri
	}
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server here, and EIDER_TEST_REDIS names none")
	}
	// A socket's path may have 107 bytes; t.TempDir's is longer.
	dir, err := os.MkdirTemp("", "eider-redis-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	p, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if _, _, err := p.out.await(0, regexp.MustCompile(`[Rr]eady to accept connections`)); err != nil {
		t.Fatalf("redis-server: %v\n%s", err, p.out.text())
	}
	return "unix://" + socket
}
