package message

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/eidermail/eider/mail/message/messagetest"
)

const (
	bombSize = 1 << 20
	// bombMemory is what analysing a bomb may allocate in all, for each MiB of
	// it that is begun. What is in use at a time is a part of that (test/bench).
	bombMemory = 16 << 20
	// bombReads is how often each byte of a file may be read: once for the line
	// ends, for the structure and for the count of lines, and for each message
	// inside a message once more to count and to hash.
	bombReads = 6 + 2*maxMessages
)

// Every bomb is analysed with memory that grows with its size only, comes back
// byte for byte, and leaves a tree that fits into a document.
func TestBombs(t *testing.T) {
	for _, b := range messagetest.Bombs(bombSize) {
		t.Run(b.Name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m := Parse(b.Raw)
			runtime.ReadMemStats(&after)
			used, most := after.TotalAlloc-before.TotalAlloc, bombMemory*uint64((len(b.Raw)+1<<20-1)>>20)
			if used > most && !raceDetector { // with it pools keep nothing
				t.Errorf("%.1f MiB of memory for %d bytes", float64(used)/(1<<20), len(b.Raw))
			}
			checkBounds(t, m)
			sameInFile(t, b.Raw, m)
		})
	}
}

func checkBounds(t *testing.T, m *Message) {
	t.Helper()
	if len(m.Patch) > maxPatch {
		t.Errorf("patch of %d bytes", len(m.Patch))
	}
	inline, parts := int64(0), 0
	measure(m.Root, &inline, &parts)
	if inline > maxInlineAll+maxHeaders+maxPreambles || parts > maxParts+1 {
		t.Errorf("%d bytes inline, %d parts", inline, parts)
	}
	text := len(m.Text)
	for _, s := range m.HTML {
		text += len(s)
	}
	if text > 8*maxText {
		t.Errorf("%d bytes of text", text)
	}
}

func measure(n *Node, inline *int64, parts *int) {
	*parts++
	*inline += int64(len(n.Body))
	for _, h := range n.Header {
		*inline += int64(len(h))
	}
	if n.Message != nil {
		measure(n.Message, inline, parts)
	}
	for _, c := range n.Children {
		measure(c, inline, parts)
	}
}

// countingFile counts the bytes that are read of it.
type countingFile struct {
	io.ReaderAt
	read int64
}

func (c *countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.read += int64(n)
	return n, err
}

// What is read of a file grows with its size only.
func TestBombsAreReadSeldom(t *testing.T) {
	t.Parallel()
	for _, b := range messagetest.Bombs(bombSize) {
		file := &countingFile{ReaderAt: bytes.NewReader(b.Raw)}
		if _, err := ParseSource(FileSource(file, int64(len(b.Raw)))); err != nil {
			t.Fatal(err)
		}
		if file.read > bombReads*int64(len(b.Raw)) {
			t.Errorf("%s: each byte was read %.1f times", b.Name, float64(file.read)/float64(len(b.Raw)))
		}
	}
}
