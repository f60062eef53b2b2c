package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// memoryAtRest starts an empty server and reads its resident size a little
// later.
func memoryAtRest(ctx context.Context, r report) error {
	r.section("Memory")
	s, done, err := launch(ctx)
	if err != nil {
		return err
	}
	defer done()
	<-time.After(3 * time.Second)
	kb, err := resident(s.PID())
	if err != nil {
		return err
	}
	r.line("resident at rest", fmt.Sprintf("%.1f MB", float64(kb)/1024), "goal ≤ 60 MB")
	return nil
}

// resident reads a process's resident kilobytes.
func resident(pid int) (int, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, errors.New("no VmRSS")
}

// ticks is how many a second /proc counts a process's time in.
const ticks = 100

// processorOf is what a process has used, 0 where that is not known.
func processorOf(pid int) time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold blanks; user and system time are the 12th
	// and 13th field behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticks
}

// launch runs a server on a new folder.
func launch(ctx context.Context) (*harness.Server, func(), error) {
	dir, err := os.MkdirTemp("", "eider-bench-")
	if err != nil {
		return nil, nil, err
	}
	s, err := harness.Launch(ctx, dir)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, func() {
		_ = s.Stop()
		_ = os.RemoveAll(dir)
	}, nil
}
