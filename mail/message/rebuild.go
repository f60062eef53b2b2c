package message

import (
	"bytes"
	"io"
)

// Rebuild writes the message that the tree and its patch stand for: exactly
// the bytes that Parse was given. Parts in attachment storage are read
// through open, one after another, and never held in memory. A tree that
// WildDuck wrote has no patch; it gives WildDuck's own rebuild.
//
// The error is one of w or open, or ErrCorrupt.
func Rebuild(w io.Writer, root *Node, patchData []byte, open Opener) error {
	p, err := readPatch(patchData)
	if err != nil {
		return err
	}
	pl, err := newPlan(root, p.tree(0), nil)
	if err != nil {
		return err
	}
	return copyPieces(w, pl.pieces, p.ends, open)
}

func copyPieces(w io.Writer, pieces []piece, ends *lineEnds, open Opener) error {
	r := &pieceReader{pieces: pieces, open: open}
	_, err := io.CopyBuffer(onlyWriter{w}, newLineEndReader(r, ends, 0), make([]byte, 32<<10))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// onlyWriter hides ReadFrom, so that the buffer given is used.
type onlyWriter struct{ io.Writer }

// makePatch finds the message's patch and checks it against what was parsed.
// ok is false when the structure is to be given up.
func makePatch(raw []byte, root *Node, ends *lineEnds) (data []byte, ok bool) {
	p := &patch{ends: ends}
	size := 0
	if ends != nil {
		size = len(ends.runs)
	}
	var walk func(n *Node) bool
	tree := func(root *Node, from, to int) bool {
		ops, add := treeOps(raw, root, from, to)
		p.trees = append(p.trees, ops)
		if size += add; size > maxPatch {
			return false
		}
		return exact(raw[from:to], root, ops) && walk(root)
	}
	walk = func(n *Node) bool {
		if n.Message != nil {
			return tree(n.Message, n.at.body, n.at.end)
		}
		for _, c := range n.Children {
			if !walk(c) {
				return false
			}
		}
		return true
	}
	if !tree(root, 0, len(raw)) {
		return nil, false
	}
	data = p.marshal()
	return data, len(data) <= maxPatch
}

// exact reports whether the tree and the operations give want.
func exact(want []byte, root *Node, ops []op) bool {
	pl, err := newPlan(root, ops, nil)
	if err != nil {
		return false
	}
	for i := range pl.pieces {
		q := &pl.pieces[i]
		n := len(q.data) + len(q.text)
		if n > len(want) || string(want[:len(q.text)]) != q.text || !bytes.Equal(want[len(q.text):n], q.data) {
			return false
		}
		want = want[n:]
	}
	return len(want) == 0
}
