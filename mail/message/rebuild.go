package message

import "io"

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
	r := newPieceReader(pieces, open)
	_, err := io.CopyBuffer(onlyWriter{w}, newLineEndReader(r, ends, 0), make([]byte, 32<<10))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// onlyWriter hides ReadFrom, onlyReader WriteTo, so that the buffer given is
// used.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// makePatch finds the message's patch and checks it against what was parsed.
// ok is false when the structure is to be given up.
func makePatch(t *text, root *Node, ends *lineEnds) (data []byte, ok bool) {
	p := &patch{ends: ends}
	size := 0
	if ends != nil {
		size = ends.size()
	}
	var walk func(n *Node) bool
	tree := func(root *Node, from, to int) bool {
		ops, add := treeOps(t, root, from, to)
		p.trees = append(p.trees, ops)
		if size += add; size > maxPatch {
			return false
		}
		return exact(t, from, to, root, ops) && walk(root)
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
	if !tree(root, 0, t.size) {
		return nil, false
	}
	data = p.marshal()
	return data, len(data) <= maxPatch
}

// exact reports whether the tree and the operations give [from, to) of the
// text.
func exact(t *text, from, to int, root *Node, ops []op) bool {
	ok := checkPlan(root, ops, func(q *piece) bool {
		at, n := from, int(q.length())
		from += n
		switch {
		case from > to:
			return false
		case q.src != nil:
			return q.from == int64(at) // a stretch of the same text is itself
		case q.data != nil:
			return t.has(at, q.data)
		}
		return string(t.at(at, n)) == q.text
	})
	return ok && from == to
}
