package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// forgetFile asks the system to drop a file from its cache. It drops only what is
// on the disk already.
func forgetFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
