// Package spool holds messages while they are received and filed: the first
// MiB in memory, more in a temporary file. The file has no name any more as
// soon as it is open, so that nothing of it stays after a crash. Where no file
// can be made, memory holds it all, under the same bound as any.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/eidermail/eider/mail/message"
)

const (
	// most is how much of a message stays in memory.
	most = 1 << 20
	// step is in which pieces room is reserved.
	step = 256 << 10
)

// ErrFull says that there is no room for the message now.
var ErrFull = errors.New("spool: no room")

// Pool is the room that messages share. Fields are set before its use.
type Pool struct {
	// Folder is where files go. The system's temporary folder is taken where it
	// is "" or takes no files.
	Folder string
	// Memory and Disk bound the bytes of all messages in hand, 0 for no bound.
	Memory, Disk int64

	memory, disk atomic.Int64
}

// take reserves n of what is bounded by max, or reports that there is no room.
func take(used *atomic.Int64, n, max int64) bool {
	if used.Add(n) > max && max > 0 {
		used.Add(-n)
		return false
	}
	return true
}

// New begins a message. It must be closed.
func (p *Pool) New() *Message { return &Message{pool: p} }

// Message is one message in the spool. It is used by one goroutine until it is
// whole; after that several may read its source.
type Message struct {
	pool *Pool
	mem  bytes.Buffer
	file *os.File
	size int64
	// memory and disk are what is reserved.
	memory, disk int64
	// noFile: a file could not be made. named: it still has its name.
	noFile, named bool
}

// Write adds to the message. The error is ErrFull, or says why the disk took
// no more; the message is of no use then.
func (m *Message) Write(b []byte) (int, error) {
	if m.file == nil && m.size+int64(len(b)) > most && !m.noFile {
		if err := m.toFile(); err != nil {
			return 0, err
		}
	}
	if err := m.reserve(int64(len(b))); err != nil {
		return 0, err
	}
	w := io.Writer(&m.mem)
	if m.file != nil {
		w = m.file
	}
	n, err := w.Write(b)
	m.size += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return n, err
}

// reserve makes sure that there is room for n more bytes.
func (m *Message) reserve(n int64) error {
	used, max, have := &m.pool.memory, m.pool.Memory, &m.memory
	if m.file != nil {
		used, max, have = &m.pool.disk, m.pool.Disk, &m.disk
	}
	for m.size+n > *have {
		if !take(used, step, max) {
			return ErrFull
		}
		*have += step
	}
	return nil
}

// toFile moves what there is to a file. Not being able to make one is no
// error.
func (m *Message) toFile() error {
	f, err := os.CreateTemp(m.pool.Folder, "eider-")
	if err != nil && m.pool.Folder != "" {
		f, err = os.CreateTemp("", "eider-")
	}
	if err != nil {
		m.noFile = true
		return nil //nolint:nilerr // memory holds the message then
	}
	// Where an open file cannot be removed, Close does it.
	m.file, m.named = f, os.Remove(f.Name()) != nil
	size := m.size
	m.size = 0
	if err := m.reserve(size); err != nil {
		return err
	}
	m.size = size
	if _, err := f.Write(m.mem.Bytes()); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	m.mem = bytes.Buffer{}
	m.pool.memory.Add(-m.memory)
	m.memory = 0
	return nil
}

// Source is the whole message, to be read until Close.
func (m *Message) Source() *message.Source {
	if m.file == nil {
		return message.BytesSource(m.mem.Bytes())
	}
	return message.FileSource(m.file, m.size)
}

// Close gives the message's room back. It may be called again.
func (m *Message) Close() error {
	m.pool.memory.Add(-m.memory)
	m.pool.disk.Add(-m.disk)
	m.memory, m.disk, m.mem = 0, 0, bytes.Buffer{}
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	if m.named {
		err = errors.Join(err, os.Remove(m.file.Name()))
	}
	m.file = nil
	return err
}
