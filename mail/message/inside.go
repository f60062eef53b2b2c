package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/eidermail/eider/mail/message/tnef"
)

// Files inside a part: those of a TNEF stream (winmail.dat), and uuencoded
// ones in a text. They are listed as attachments with a name made of the
// part's and their number: ATT00002-1 for a stored part, P1.2-1 for a text
// that is in the tree.

// maxTNEF is how much of a TNEF stream is looked through, decoded.
const maxTNEF = 64 << 20

// isTNEF reports a part that is a TNEF stream by its type or, since gateways
// lose that, by its name.
func isTNEF(n *Node, contentType string) bool {
	switch contentType {
	case "application/ms-tnef", "application/vnd.ms-tnef":
		return true
	case "application/octet-stream":
		return strings.EqualFold(n.Filename(), "winmail.dat")
	}
	return false
}

// IsTNEF reports winmail.dat: a TNEF stream.
func (n *Node) IsTNEF() bool { return !n.HasBoundary && isTNEF(n, n.mediaType()) }

// listTNEF lists the files of a part that has just moved out.
func (d *deriver) listTNEF(n *Node) {
	r := io.LimitReader(Decode(n.reader(), n.TransferEncoding()), maxTNEF)
	found, err := tnef.Read(bufio.NewReader(r))
	if err != nil {
		d.defects.add(defectTNEF)
	}
	if d.tnef == nil {
		d.tnef = &found.Body
	}
	for i := range found.Files {
		f := &found.Files[i]
		name, _ := decodeCharset(f.Name, f.Charset)
		d.addInside(n.AttachmentID, i, decodeFilename(name), Attachment{
			ContentType: lowerTrim(f.ContentType), ContentID: bracketed(f.ContentID), Size: f.Size,
		})
		if f.ContentID != "" && d.cids[f.ContentID] == "" {
			d.setCID(f.ContentID, d.m.Attachments[len(d.m.Attachments)-1].ID)
		}
	}
}

// listUU lists the files in a text.
func (d *deriver) listUU(n *Node, files []uuFile) {
	container := n.AttachmentID
	if container == "" {
		container = "P" + pathOf(d.m.Root, n)
	}
	for i := range files {
		f := &files[i]
		if !f.whole {
			d.defects.add(defectUuencode)
		}
		kind := guessType(f.head)
		if kind == "text/plain" || kind == "application/octet-stream" {
			kind = "" // the name may say more
		}
		d.addInside(container, i, decodeFilename(f.name), Attachment{ContentType: kind, Size: f.size})
	}
}

// addInside completes an entry and lists it.
func (d *deriver) addInside(container string, i int, name string, a Attachment) {
	a.ID, a.Filename = container+"-"+strconv.Itoa(i+1), safeFilename(name)
	a.Inside = true
	a.Disposition, a.TransferEncoding = "attachment", "binary"
	if typ, sub, ok := strings.Cut(a.ContentType, "/"); !ok || !isToken(typ) || !isToken(sub) {
		a.ContentType = typeByName(a.Filename)
	}
	if a.Filename == "" {
		a.Filename = "file-" + strconv.Itoa(i+1) + "." + extensionFor(a.ContentType)
	}
	a.SizeKb = int((a.Size + 1023) / 1024)
	d.m.Attachments = append(d.m.Attachments, a)
	d.m.HasAttachments = true
}

// pathOf is the part's place in the tree: numbers from one, with dots.
func pathOf(root, n *Node) string {
	if root == n {
		return "1"
	}
	var find func(at *Node, path string) string
	find = func(at *Node, path string) string {
		if at.Message != nil {
			at = at.Message
		}
		for i, c := range at.Children {
			p := path + strconv.Itoa(i+1)
			if c == n {
				return p
			}
			if p = find(c, p+"."); p != "" {
				return p
			}
		}
		return ""
	}
	return find(root, "")
}

// nodeAt finds the part at a path of pathOf, nil when there is none.
func nodeAt(root *Node, path string) *Node {
	n := root
	if root.Message == nil && len(root.Children) == 0 {
		if path == "1" {
			return root
		}
		return nil
	}
	for step := range strings.SplitSeq(path, ".") {
		i, err := strconv.Atoi(step)
		if n.Message != nil {
			n = n.Message
		}
		if err != nil || i < 1 || i > len(n.Children) {
			return nil
		}
		n = n.Children[i-1]
	}
	return n
}

// nodeByID finds the stored part of that name, nil when there is none.
func nodeByID(n *Node, id string) *Node {
	if n == nil || n.AttachmentID == id {
		return n
	}
	for _, c := range n.Children {
		if found := nodeByID(c, id); found != nil {
			return found
		}
	}
	return nodeByID(n.Message, id)
}

// IsInside reports the name of a file inside a part (Attachment.Inside).
func IsInside(id string) bool {
	_, _, _, ok := cutInside(id)
	return ok
}

func cutInside(id string) (container string, inTree bool, index int, ok bool) {
	container, number, ok := strings.Cut(id, "-")
	if !ok || len(container) > 1000 {
		return "", false, 0, false
	}
	index, err := strconv.Atoi(number)
	if err != nil || index < 1 || index > 10_000 {
		return "", false, 0, false
	}
	path, inTree := strings.CutPrefix(container, "P")
	if inTree {
		return path, true, index - 1, path != ""
	}
	return container, false, index - 1, strings.HasPrefix(container, "ATT")
}

// OpenInside opens a file inside a part by its name, decoded. The tree may be
// one that was read from the database. ErrSection when there is none.
func OpenInside(root *Node, open Opener, id string) (io.ReadCloser, error) {
	container, inTree, index, ok := cutInside(id)
	if !ok {
		return nil, ErrSection
	}
	var n *Node
	if inTree {
		n = nodeAt(root, container)
	} else {
		n = nodeByID(root, container)
	}
	if n == nil {
		return nil, ErrSection
	}
	source := io.NopCloser(bytes.NewReader(n.Body))
	if n.AttachmentID != "" {
		var err error
		if source, err = open(n.AttachmentID, 0, -1); err != nil {
			return nil, err
		}
	}
	r, err := openIn(n, source, index)
	if err != nil {
		_ = source.Close() // the first error says more
		return nil, err
	}
	return readCloser{r, source}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

func openIn(n *Node, source io.Reader, index int) (io.Reader, error) {
	r := bufio.NewReaderSize(Decode(source, n.TransferEncoding()), uuLine)
	if isInlineText(n, n.mediaType()) {
		u := &uuReader{src: r, skip: index}
		if u.fill(); !u.found {
			return nil, orSection(u.err)
		}
		return u, nil
	}
	if !isTNEF(n, n.mediaType()) {
		return nil, ErrSection
	}
	file, err := tnef.Open(r, index)
	if errors.Is(err, tnef.ErrNoFile) {
		return nil, ErrSection
	}
	return file, err
}

func orSection(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return ErrSection
	}
	return err
}
