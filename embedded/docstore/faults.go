package docstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/eidermail/eider/embedded/docstore/lite"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// faultQuiet is the least time between two log lines about failures.
const faultQuiet = time.Minute

// faults tells of failures of the disk once, and of their end: a full disk fails
// every command, and the program's log may lie on the same disk.
type faults struct {
	mu     sync.Mutex
	told   bool // of a failure that has not ended
	logged time.Time
}

// failed notes that a write failed.
func (f *faults) failed(log *slog.Logger, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.logged) < faultQuiet {
		return
	}
	f.told, f.logged = true, time.Now()
	log.LogAttrs(context.Background(), slog.LevelError, "store_write_failed", slog.String("error", err.Error()))
}

// worked notes that a write was committed.
func (f *faults) worked(log *slog.Logger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told {
		f.told = false
		log.LogAttrs(context.Background(), slog.LevelInfo, "store_writes_again")
	}
}

// storageError words a failure of the disk or of SQLite as MongoDB would.
func storageError(err error) error {
	if lite.Is(err, lite.Full) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &value.Error{Code: 14031, Name: "OutOfDiskSpace", Message: "the disk is full"}
	}
	var ve *value.Error
	if errors.As(err, &ve) {
		return err
	}
	return &value.Error{Code: value.CodeInternal, Name: "InternalError", Message: fmt.Sprintf("the store failed: %v", err)}
}
