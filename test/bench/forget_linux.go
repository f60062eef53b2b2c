package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// forgetFile asks the system to drop a file from its cache.
func forgetFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
