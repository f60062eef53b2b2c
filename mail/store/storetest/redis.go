package storetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidermail/eider/mail/signal"
)

// Redis is a Redis of a test's own, which it may kill and start again.
type Redis struct {
	t      testing.TB
	socket string
	cmd    *exec.Cmd
}

// StartRedis starts one. Where there is no redis-server the test is skipped, in
// CI it fails.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no redis-server in CI")
		}
		t.Skip("no redis-server here")
	}
	dir, err := os.MkdirTemp("", "eider") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &Redis{t: t, socket: filepath.Join(dir, "s")}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// URI is where it is.
func (r *Redis) URI() string { return "unix://" + r.socket + "?db=3" }

// Start starts it, empty, and waits until it answers.
func (r *Redis) Start() {
	r.t.Helper()
	r.cmd = exec.CommandContext(context.Background(), "redis-server", "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no") //nolint:gosec // a path of the test's own
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if client, err := signal.NewRedis(context.Background(), r.URI(), quiet); err == nil {
			_ = client.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatal("redis-server does not answer")
		}
	}
}

// Kill ends it without a word; what it held is gone.
func (r *Redis) Kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}
