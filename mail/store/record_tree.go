package store

import (
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail/message"
)

// errTree says that a stored MIME tree cannot be read.
var errTree = errors.New("malformed MIME tree")

// maxTreeDepth bounds the recursion over a stored tree; the parser nests less.
const maxTreeDepth = 256

// treeDoc writes a MIME tree as WildDuck does (schema 4.1). hashes is set for
// the root alone.
func treeDoc(n *message.Node, hashes map[string][32]byte) bson.D {
	var d bson.D
	if len(n.Children) > 0 {
		children := make(bson.A, len(n.Children))
		for i, c := range n.Children {
			children[i] = treeDoc(c, nil)
		}
		d = append(d, bson.E{Key: "childNodes", Value: children})
	}
	header := make(bson.A, len(n.Header))
	for i, line := range n.Header {
		header[i] = toBinaryString(line)
	}
	d = append(d,
		bson.E{Key: "header", Value: header},
		bson.E{Key: "parsedHeader", Value: parsedHeaderDoc(n.Parsed)},
		bson.E{Key: "body", Value: bodyValue(n)},
		bson.E{Key: "multipart", Value: stringOrFalse(n.Multipart, n.Multipart != "")},
		bson.E{Key: "boundary", Value: stringOrFalse(toBinaryString(n.Boundary), n.HasBoundary)},
		bson.E{Key: "lineCount", Value: n.LineCount},
		bson.E{Key: "size", Value: number(n.Size)},
	)
	if n.Message != nil {
		d = append(d, bson.E{Key: "message", Value: treeDoc(n.Message, nil)})
	}
	if n.AttachmentID != "" {
		d = append(d, bson.E{Key: "attachmentId", Value: n.AttachmentID})
	}
	if len(hashes) > 0 {
		d = append(d, bson.E{Key: "attachmentMap", Value: attachmentMap(n, hashes)})
	}
	return d
}

// attachmentMap lists the stored parts in walk order.
func attachmentMap(root *message.Node, hashes map[string][32]byte) bson.D {
	var d bson.D
	var walk func(n *message.Node)
	walk = func(n *message.Node) {
		if h, ok := hashes[n.AttachmentID]; ok && n.AttachmentID != "" {
			d = append(d, bson.E{Key: n.AttachmentID, Value: bson.Binary{Data: h[:]}})
		}
		for _, c := range n.Children {
			walk(c)
		}
		if n.Message != nil {
			walk(n.Message)
		}
	}
	walk(root)
	return d
}

func bodyValue(n *message.Node) any {
	if n.Body == nil && n.AttachmentID != "" {
		return false
	}
	return bson.Binary{Data: append([]byte{}, n.Body...)}
}

func stringOrFalse(s string, ok bool) any {
	if !ok {
		return false
	}
	return text(s)
}

func parsedHeaderDoc(h message.ParsedHeader) bson.D {
	d := make(bson.D, 0, len(h))
	for _, f := range h {
		if v := parsedValue(f.Value); v != nil && !strings.ContainsRune(f.Key, 0) {
			d = append(d, bson.E{Key: text(f.Key), Value: v})
		}
	}
	return d
}

func parsedValue(v any) any {
	switch v := v.(type) {
	case string:
		return text(v)
	case []string:
		out := make(bson.A, len(v))
		for i, s := range v {
			out[i] = text(s)
		}
		return out
	case *message.ContentValue:
		return contentDoc(v)
	case []message.Address:
		return addressDocs(v)
	}
	return nil
}

func contentDoc(v *message.ContentValue) bson.D {
	params := make(bson.D, 0, len(v.Params))
	seen := make(map[string]bool, len(v.Params))
	for _, p := range v.Params {
		// Keys of a document are unique and hold no NUL; the first one counts.
		if seen[p.Key] || p.Key == "" || strings.ContainsRune(p.Key, 0) {
			continue
		}
		seen[p.Key] = true
		params = append(params, bson.E{Key: text(p.Key), Value: text(p.Value)})
	}
	d := bson.D{
		{Key: "value", Value: text(v.Value)},
		{Key: "type", Value: text(v.Type)},
		{Key: "subtype", Value: text(v.Subtype)},
		{Key: "params", Value: params},
	}
	if v.HasParams {
		d = append(d, bson.E{Key: "hasParams", Value: true})
	}
	return d
}

func addressDocs(list []message.Address) bson.A {
	out := make(bson.A, len(list))
	for i, a := range list {
		if a.Group != nil {
			out[i] = bson.D{{Key: "name", Value: text(a.Name)}, {Key: "group", Value: addressDocs(a.Group)}}
			continue
		}
		out[i] = bson.D{{Key: "address", Value: text(a.Address)}, {Key: "name", Value: text(a.Name)}}
	}
	return out
}

// nested writes the arrays of ENVELOPE and BODYSTRUCTURE (schema 4.3, 4.4).
func nested(v any) any {
	switch v := v.(type) {
	case []any:
		out := make(bson.A, len(v))
		for i := range v {
			out[i] = nested(v[i])
		}
		return out
	case []byte:
		return bson.Binary{Data: v}
	case string:
		return text(v)
	case int64:
		return number(v)
	}
	return v
}

// readTree reads a MIME tree. hashes is the root's attachmentMap.
func readTree(raw bson.Raw, depth int) (n *message.Node, hashes map[string][]byte, err error) {
	if depth > maxTreeDepth {
		return nil, nil, errTree
	}
	elements, err := raw.Elements()
	if err != nil {
		return nil, nil, errTree
	}
	n = &message.Node{}
	for _, e := range elements {
		if e.Key() == "attachmentMap" {
			hashes = readHashes(e.Value())
			continue
		}
		if err := readTreeField(n, e.Key(), e.Value(), depth); err != nil {
			return nil, nil, err
		}
	}
	return n, hashes, nil
}

func readTreeField(n *message.Node, name string, v bson.RawValue, depth int) error {
	switch name {
	case "header":
		for _, line := range rawStrings(v) {
			raw, _ := fromBinaryString(line)
			n.Header = append(n.Header, raw)
		}
	case "parsedHeader":
		n.Parsed = readParsedHeader(v)
	case "body":
		n.Body = rawBytes(v)
	case "multipart":
		n.Multipart = rawString(v)
	case "boundary":
		var s string
		s, n.HasBoundary = v.StringValueOK()
		n.Boundary, _ = fromBinaryString(s)
	case "lineCount":
		n.LineCount = int(rawNumber(v))
	case "size":
		n.Size = rawNumber(v)
	case "attachmentId":
		n.AttachmentID = rawString(v)
	case "message":
		return readInner(n, v, depth)
	case "childNodes":
		return readChildren(n, v, depth)
	}
	return nil
}

func readInner(n *message.Node, v bson.RawValue, depth int) (err error) {
	if doc, ok := v.DocumentOK(); ok {
		n.Message, _, err = readTree(doc, depth+1)
	}
	return err
}

func readChildren(n *message.Node, v bson.RawValue, depth int) error {
	list, ok := v.ArrayOK()
	if !ok {
		return nil
	}
	values, err := list.Values()
	if err != nil {
		return errTree
	}
	for _, c := range values {
		doc, ok := c.DocumentOK()
		if !ok {
			return errTree
		}
		child, _, err := readTree(doc, depth+1)
		if err != nil {
			return err
		}
		n.Children = append(n.Children, child)
	}
	return nil
}

func readHashes(v bson.RawValue) map[string][]byte {
	out := map[string][]byte{}
	doc, ok := v.DocumentOK()
	if !ok {
		return out
	}
	elements, err := doc.Elements()
	if err != nil {
		return out
	}
	for _, e := range elements {
		if b := rawBytes(e.Value()); len(b) > 0 {
			out[e.Key()] = b
		}
	}
	return out
}

func readParsedHeader(v bson.RawValue) message.ParsedHeader {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	elements, err := doc.Elements()
	if err != nil {
		return nil
	}
	out := make(message.ParsedHeader, 0, len(elements))
	for _, e := range elements {
		if value := readParsedValue(e.Key(), e.Value()); value != nil {
			out = append(out, message.ParsedField{Key: e.Key(), Value: value})
		}
	}
	return out
}

func readParsedValue(name string, v bson.RawValue) any {
	switch v.Type {
	case bson.TypeString:
		return readable(rawString(v))
	case bson.TypeEmbeddedDocument:
		return readContent(v)
	case bson.TypeArray:
		switch name {
		case "from", "sender", "reply-to", "to", "cc", "bcc":
			return readAddresses(v, 0)
		}
		list := rawStrings(v)
		for i := range list {
			list[i] = readable(list[i])
		}
		return list
	default:
		return nil
	}
}

func readContent(v bson.RawValue) *message.ContentValue {
	doc, _ := v.DocumentOK()
	c := &message.ContentValue{
		Value: rawString(doc.Lookup("value")), Type: rawString(doc.Lookup("type")),
		Subtype: rawString(doc.Lookup("subtype")),
	}
	c.HasParams, _ = doc.Lookup("hasParams").BooleanOK()
	params, ok := doc.Lookup("params").DocumentOK()
	if !ok {
		return c
	}
	elements, err := params.Elements()
	if err != nil {
		return c
	}
	for _, e := range elements {
		c.Params = append(c.Params, message.Param{Key: e.Key(), Value: readable(rawString(e.Value()))})
	}
	return c
}

func readAddresses(v bson.RawValue, depth int) []message.Address {
	out := []message.Address{}
	list, ok := v.ArrayOK()
	if !ok || depth > 1 {
		return out
	}
	values, err := list.Values()
	if err != nil {
		return out
	}
	for _, e := range values {
		doc, ok := e.DocumentOK()
		if !ok {
			continue
		}
		a := message.Address{Name: readable(rawString(doc.Lookup("name"))), Address: readable(rawString(doc.Lookup("address")))}
		if group := doc.Lookup("group"); group.Type == bson.TypeArray {
			a.Group = readAddresses(group, depth+1)
		}
		out = append(out, a)
	}
	return out
}

// rawStrings reads an array of strings, or one string.
func rawStrings(v bson.RawValue) []string {
	if s, ok := v.StringValueOK(); ok {
		return []string{s}
	}
	list, ok := v.ArrayOK()
	if !ok {
		return nil
	}
	values, err := list.Values()
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(values))
	for _, e := range values {
		if s, ok := e.StringValueOK(); ok {
			out = append(out, s)
		}
	}
	return out
}

// rawBytes reads a binary or string value, nil for anything else.
func rawBytes(v bson.RawValue) []byte {
	if _, data, ok := v.BinaryOK(); ok {
		return append([]byte{}, data...)
	}
	if s, ok := v.StringValueOK(); ok {
		raw, _ := fromBinaryString(s)
		return []byte(raw)
	}
	return nil
}

// rawNumber reads int32, int64 and double alike.
func rawNumber(v bson.RawValue) int64 {
	n, _ := v.AsInt64OK()
	return n
}
