package docstore

import (
	"runtime"
	"testing"
	"time"

	"github.com/eidermail/eider/embedded/docstore/wire"
)

// Expire runs the sweeper's work once.
func (e *Engine) Expire() error { return e.expire() }

// ExecSQL runs a statement on a file that is not open as a store.
func ExecSQL(t testing.TB, path, sql string) {
	t.Helper()
	c, err := openConn(path)
	if err == nil {
		err = c.exec(sql)
		_ = c.close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ExpireCursors ends idle cursors.
func (e *Engine) ExpireCursors() { e.cursors.expire(e.now()) }

// OpenCursors counts the open cursors.
func (e *Engine) OpenCursors() int {
	e.cursors.mu.Lock()
	defer e.cursors.mu.Unlock()
	return len(e.cursors.open)
}

// PanicInWriter runs a job that panics.
func (e *Engine) PanicInWriter() error {
	return e.writer.write(true, func(*tx) error { panic("a test") })
}

// Answer runs one command document.
func (e *Engine) Answer(body []byte) []byte { return e.answer(&wire.Message{Body: body}) }

// HoldWriter keeps the writer busy until the function that it gives is called.
func (e *Engine) HoldWriter() (release func()) {
	held, let := make(chan struct{}), make(chan struct{})
	go func() {
		_ = e.writer.write(false, func(*tx) error {
			close(held)
			<-let
			return nil
		})
	}()
	<-held
	return func() { close(let) }
}

// WaitWriterQueue waits until so many commands wait for the writer.
func (e *Engine) WaitWriterQueue(t testing.TB, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(e.writer.jobs) < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d commands wait", len(e.writer.jobs))
		}
	}
}
