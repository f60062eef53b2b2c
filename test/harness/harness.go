// Package harness builds the eider binary once and runs it as its users do:
// by the command line, on free ports, in a folder of its own.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Token is the root access token of servers started here.
const Token = "harness-root-token"

// startTimeout bounds the time to the ready line.
const startTimeout = 60 * time.Second

// build holds the one build of the process. A test binary is short-lived, and
// a build costs seconds.
var build struct {
	sync.Once
	dir  string // "": nothing was built
	path string
	err  error
}

// Binary builds eider and gives its path. EIDER_TEST_BINARY names a finished
// one instead.
func Binary() (string, error) {
	build.Do(func() {
		if p := os.Getenv("EIDER_TEST_BINARY"); p != "" {
			build.path = p
			return
		}
		dir, err := os.MkdirTemp("", "eider-binary-")
		if err != nil {
			build.err = err
			return
		}
		build.dir, build.path = dir, filepath.Join(dir, "eider")
		root, err := moduleRoot()
		if err != nil {
			build.err = err
			return
		}
		args := []string{"build", "-o", build.path}
		if raceEnabled {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, ".")...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	return build.path, build.err
}

// Main runs a package's tests and removes the binary that they have built. It is
// for TestMain of every package that calls Binary.
func Main(m *testing.M) {
	code := m.Run()
	RemoveBinary()
	os.Exit(code)
}

// RemoveBinary removes what Binary has built.
func RemoveBinary() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}

// moduleRoot is the folder of go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
	return "", err
}

// Server is a running eider.
type Server struct {
	// Web, API, LMTP, SMTP and Docstore are the listeners' real addresses.
	Web, API, LMTP, SMTP, Docstore string
	// Data is its folder.
	Data string

	cmd    *exec.Cmd
	stderr *lockedBuffer
	exited chan struct{}
	err    error
}

// Start runs eider for a test with further flags, on the data folder given or,
// when it is empty, on a new one. It stops the server at the test's end.
// EIDER_TEST_REDIS and EIDER_TEST_MONGO are honoured.
func Start(tb testing.TB, data string, flags ...string) *Server {
	tb.Helper()
	if data == "" {
		data = tb.TempDir()
	}
	s, err := Launch(tb.Context(), data, flags...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("stop: %v", err)
		}
		if tb.Failed() {
			tb.Logf("server log:\n%s", s.Log())
		}
	})
	return s
}

// Launch runs eider on a data folder and returns when it is ready.
func Launch(ctx context.Context, data string, flags ...string) (*Server, error) {
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", "--data", data, "--hostname", "mx.eider.test", "--api-token", Token,
		"--web", "127.0.0.1:0", "--api", "127.0.0.1:0", "--lmtp", "127.0.0.1:0", "--smtp", "127.0.0.1:0",
	}, flags...)
	if uri := os.Getenv("EIDER_TEST_REDIS"); uri != "" {
		args = append(args, "--redis", uri)
	}
	if uri := os.Getenv("EIDER_TEST_MONGO"); uri != "" {
		args = append(args, "--mongo", uri, "--mongo-database", "eider-test-"+filepath.Base(data))
	}
	s := &Server{Data: data, stderr: &lockedBuffer{}, exited: make(chan struct{})}
	// The server outlives a test's context: it is stopped, not killed.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), bin, args...)
	s.cmd.Stderr = s.stderr
	s.cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.waitReady(ctx, out)
}

// waitReady reads the ready line and then drains standard output.
func (s *Server) waitReady(ctx context.Context, out io.Reader) error {
	ready := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if line, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- line
			}
		}
	}()
	go func() {
		<-drained
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case line := <-ready:
		for field := range strings.FieldsSeq(line) {
			name, addr, _ := strings.Cut(field, "=")
			switch name {
			case "web":
				s.Web = addr
			case "api":
				s.API = addr
			case "lmtp":
				s.LMTP = addr
			case "smtp":
				s.SMTP = addr
			case "docstore":
				s.Docstore = addr
			}
		}
		return nil
	case <-s.exited:
		return fmt.Errorf("eider ended before it was ready: %w\n%s", s.err, s.Log())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Kill())
	case <-time.After(startTimeout):
		return errors.Join(fmt.Errorf("eider was not ready after %s\n%s", startTimeout, s.Log()), s.Kill())
	}
}

// Stop asks the server to end and waits for it. A second call does nothing.
func (s *Server) Stop() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(startTimeout):
		return errors.Join(fmt.Errorf("eider did not stop\n%s", s.Log()), s.Kill())
	}
	if s.err != nil {
		return fmt.Errorf("eider ended with %w\n%s", s.err, s.Log())
	}
	return nil
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() error {
	err := s.cmd.Process.Kill()
	<-s.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what the server wrote to standard error.
func (s *Server) Log() string { return s.stderr.String() }

// lockedBuffer collects output that is written while it is read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
