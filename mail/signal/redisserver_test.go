package signal

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// server is a Redis of the test's own.
type server struct {
	binary, socket string
	cmd            *exec.Cmd
}

// startServer starts a Redis on a socket. Without the program the test is
// skipped at a desk and fails in CI.
func startServer(t *testing.T) *server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no redis-server in CI")
		}
		t.Skip("no redis-server here and EIDER_TEST_REDIS is not set")
	}
	dir, err := os.MkdirTemp("", "eider") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{binary: binary, socket: filepath.Join(dir, "s")}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.binary, "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(s.socket))
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "redis-server to answer", func() bool {
		client, err := NewRedis(context.Background(), s.uri(), slog.New(slog.DiscardHandler))
		return err == nil && client.Close() == nil
	})
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) uri() string { return "unix://" + s.socket + "?db=3" }

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// openRedis connects to EIDER_TEST_REDIS or a server of the test's own.
func openRedis(t *testing.T) Signal {
	t.Helper()
	uri := os.Getenv("EIDER_TEST_REDIS")
	if uri == "" {
		uri = startServer(t).uri()
	}
	s, err := NewRedis(context.Background(), uri, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
