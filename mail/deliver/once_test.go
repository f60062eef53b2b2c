package deliver_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/message"
)

// countingFile counts the bytes that are read of it.
type countingFile struct {
	io.ReaderAt
	read atomic.Int64
}

func (c *countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.read.Add(int64(n))
	return n, err
}

// A message is read as often for twenty recipients as for one: parsed once, its
// attachment stored once.
func TestMessageIsParsedOnceForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := strings.Repeat("QUJD", 19) + "\r\n"
	raw := "Received: from a by b; Tue, 3 Mar 2026 10:20:30 +0100\r\nFrom: ann@example.com\r\nSubject: %d\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(line, 30_000) + "QUJD\r\n--b--\r\n"
	to := make([]deliver.Recipient, 20)
	for i := range to {
		name := fmt.Sprintf("user%d", i)
		w.user(name, 0)
		to[i] = w.resolve(name + "@example.org")
	}
	var read [2]int64
	for i, recipients := range [][]deliver.Recipient{to[:1], to} {
		own := fmt.Sprintf(raw, i)
		own = strings.Replace(own, line, fmt.Sprintf("QUJ%d", i)+line[4:], 1) // a content that is not stored yet
		file := &countingFile{ReaderAt: bytes.NewReader([]byte(own))}
		d := delivery("", recipients...)
		d.Message = message.FileSource(file, int64(len(own)))
		for _, r := range w.Deliver(w.ctx, d) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		read[i] = file.read.Load()
		last := w.inbox(recipients[len(recipients)-1].User)
		want := fmt.Sprintf("Delivered-To: user%d@example.org\r\nReturn-Path: <%s>\r\n%s", len(recipients)-1, d.ReversePath, own)
		if len(last) == 0 || last[len(last)-1] != want {
			t.Errorf("%d recipients: the last one has %d messages, not this one", len(recipients), len(last))
		}
	}
	if read[1] > read[0]+read[0]/10 {
		t.Errorf("for 20 recipients %d bytes were read, for one %d", read[1], read[0])
	}
	t.Logf("each byte was read %.2f times for one, %.2f times for twenty", float64(read[0])/float64(len(raw)), float64(read[1])/float64(len(raw)))
}
