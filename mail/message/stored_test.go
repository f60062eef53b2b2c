package message

import (
	"bytes"
	"io"
)

// storedTree copies a tree as a database gives it back: exported fields only.
func storedTree(n *Node) *Node {
	if n == nil {
		return nil
	}
	out := &Node{
		Header: n.Header, Parsed: n.Parsed, Body: n.Body, AttachmentID: n.AttachmentID, Multipart: n.Multipart, Boundary: n.Boundary,
		HasBoundary: n.HasBoundary, LineCount: n.LineCount, Size: n.Size, Message: storedTree(n.Message),
	}
	for _, c := range n.Children {
		out.Children = append(out.Children, storedTree(c))
	}
	return out
}

// storedParts serves the blobs as attachment storage does.
func storedParts(tb interface {
	Helper()
	Fatalf(string, ...any)
}, m *Message,
) Opener {
	tb.Helper()
	parts := make(map[string]storedPart)
	for _, b := range m.Blobs() {
		data, c := blobData(tb, &b)
		parts[b.ID] = storedPart{Content: c, data: data, encoded: b.EncodedSize}
	}
	return func(id string, from, count int64) (io.ReadCloser, error) {
		p, ok := parts[id]
		if !ok {
			return nil, ErrCorrupt
		}
		return io.NopCloser(p.open(from, count)), nil
	}
}

// blobData reads what is to be stored of a blob.
func blobData(tb interface {
	Helper()
	Fatalf(string, ...any)
}, b *Blob,
) ([]byte, Content) {
	tb.Helper()
	c := b.Content()
	data, err := io.ReadAll(c.Reader)
	if err != nil || int64(len(data)) != c.Size {
		tb.Fatalf("%s: %d bytes, %v; want %d", b.ID, len(data), err, c.Size)
	}
	return data, c
}

type storedPart struct {
	Content
	data    []byte
	encoded int64
}

func (p *storedPart) open(from, count int64) io.Reader {
	if count < 0 || count > p.encoded-from {
		count = p.encoded - from
	}
	if !p.Decoded {
		return bytes.NewReader(p.data[from : from+count])
	}
	start, length := EncodedRange(p.LineLen, p.Size, from, count)
	return io.LimitReader(EncodeReader(bytes.NewReader(p.data[start:start+length]), p.LineLen, from), count)
}
