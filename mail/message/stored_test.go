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
	parts := make(map[string][]byte)
	for _, b := range m.Blobs() {
		data := b.Data
		if b.Decoded {
			var out bytes.Buffer
			if err := EncodeBlob(&out, bytes.NewReader(b.Data), b.LineLen); err != nil {
				tb.Fatalf("EncodeBlob: %v", err)
			}
			data = out.Bytes()
		}
		if int64(len(data)) != b.EncodedSize {
			tb.Fatalf("%s: %d bytes, want %d", b.ID, len(data), b.EncodedSize)
		}
		parts[b.ID] = data
	}
	return func(id string) (io.ReadCloser, error) {
		data, ok := parts[id]
		if !ok {
			return nil, ErrCorrupt
		}
		return io.NopCloser(bytes.NewReader(data)), nil
	}
}
