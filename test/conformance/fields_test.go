package conformance

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eidermail/eider/mail/message"
)

// ours writes a message in the shape in which parse.js writes WildDuck's.
func ours(t *testing.T, m *message.Message) map[string]any {
	t.Helper()
	headers := make([]any, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = map[string]any{"key": h.Key, "value": h.Value}
	}
	attachments := make([]any, 0, len(m.Attachments))
	for i := range m.Attachments {
		if a := &m.Attachments[i]; !a.Inside { // WildDuck does not look into parts
			attachments = append(attachments, map[string]any{
				"id": a.ID, "filename": a.Filename, "contentType": a.ContentType, "disposition": orFalse(a.Disposition),
				"transferEncoding": a.TransferEncoding, "cid": orNull(a.ContentID), "related": a.Related, "sizeKb": a.SizeKb,
			})
		}
	}
	nodes := make([]any, 0, len(m.Attachments))
	for _, b := range m.Blobs() {
		nodes = append(nodes, map[string]any{"attachmentId": b.ID, "contentType": b.ContentType, "transferEncoding": b.TransferEncoding})
	}
	date := any(946684800000)
	if !m.Date.IsZero() {
		date = m.Date.UnixMilli()
	}
	v := map[string]any{
		"envelope": m.Root.Envelope(), "bodystructure": m.Root.BodyStructure(), "headers": headers, "subject": m.Subject, "hdate": date,
		"thread": map[string]any{"refs": orEmpty(m.ThreadRefs), "threadSubject": m.ThreadSubject},
		"tree":   tree(m.Root), "text": m.Text, "html": orEmpty(m.HTML), "attachments": attachments, "nodes": nodes, "intro": m.Intro,
		"list": list(m.Root.List()),
	}
	// Through JSON, so that both sides have its types.
	text, err := json.Marshal(bytesMarked(v))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// list is a mailing list's header as WildDuck's API gives it.
func list(l *message.List) any {
	if l == nil {
		return nil
	}
	entry := func(a message.Address) any { return map[string]any{"name": a.Name, "address": a.Address} }
	var id any
	if l.ID.Name != "" || l.ID.Address != "" {
		id = entry(l.ID)
	}
	unsubscribe := make([]any, len(l.Unsubscribe))
	for i, u := range l.Unsubscribe {
		unsubscribe[i] = entry(u)
	}
	return map[string]any{"id": id, "unsubscribe": unsubscribe}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func orFalse(s string) any {
	if s == "" {
		return false
	}
	return s
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// latin1 gives one code point for each byte, as the tree's strings are stored.
func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func tree(n *message.Node) map[string]any {
	header := make([]string, len(n.Header))
	for i := range n.Header {
		header[i] = latin1(n.Header[i])
	}
	parsed := make(map[string]any)
	for _, f := range n.Parsed {
		parsed[f.Key] = parsedValue(f.Value)
	}
	out := map[string]any{
		"header": header, "parsedHeader": parsed, "multipart": orFalse(n.Multipart), "boundary": false, "lineCount": n.LineCount, "size": n.Size,
		"body": any(n.Body),
	}
	if n.HasBoundary {
		out["boundary"] = latin1(n.Boundary)
	}
	if n.Body == nil {
		out["body"] = []byte{}
	}
	if n.AttachmentID != "" {
		out["body"], out["attachmentId"] = false, n.AttachmentID
	}
	if n.Message != nil {
		out["message"] = tree(n.Message)
	}
	if len(n.Children) > 0 {
		children := make([]any, len(n.Children))
		for i, c := range n.Children {
			children[i] = tree(c)
		}
		out["childNodes"] = children
	}
	return out
}

func parsedValue(v any) any {
	switch v := v.(type) {
	case *message.ContentValue:
		params := make(map[string]any)
		for _, p := range v.Params {
			params[p.Key] = p.Value
		}
		out := map[string]any{"value": v.Value, "type": v.Type, "subtype": v.Subtype, "params": params}
		if v.HasParams {
			out["hasParams"] = true
		}
		return out
	case []message.Address:
		return addresses(v)
	}
	return v
}

func addresses(list []message.Address) []any {
	out := make([]any, len(list))
	for i, a := range list {
		if a.Group != nil {
			out[i] = map[string]any{"name": a.Name, "group": addresses(a.Group)}
			continue
		}
		out[i] = map[string]any{"name": a.Name, "address": a.Address}
	}
	return out
}

// bytesMarked makes {b: base64 text} of byte slices, as parse.js does.
func bytesMarked(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{"b": v}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = bytesMarked(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = bytesMarked(v[key])
		}
		return out
	}
	return v
}

// fieldsOf lays the values out by path: the part's numbers, a slash, and the
// field. Extra or missing parts show as differences of their fields.
func fieldsOf(m map[string]any) map[string]string {
	out := make(map[string]string)
	for key, v := range m {
		switch key {
		case "tree":
			treeFields(out, "root", v)
		case "intro":
			// WildDuck's has 128 characters, ours 250.
			s, _ := v.(string)
			out[key] = comparableIntro(s)
		case "text":
			// Lines are WildDuck's business when it makes text of HTML: it breaks them at 80.
			s, _ := v.(string)
			out[key] = strings.Join(strings.Fields(s), " ")
		case "html":
			// Character references or characters: the same document.
			list, _ := v.([]any)
			for i := range list {
				if s, ok := list[i].(string); ok {
					list[i] = html.UnescapeString(s)
				}
			}
			out[key] = written(list)
		case "nodes":
			out[key] = written(withoutKey(v, "lineCount"))
		case "attachments":
			attachmentFields(out, v)
		case "envelope":
			list, _ := v.([]any)
			for i, name := range envelopeNames {
				if i < len(list) {
					out["envelope."+name] = written(list[i])
				}
			}
		default:
			out[key] = written(v)
		}
	}
	return out
}

var envelopeNames = []string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"}

// comparableIntro is what both have: about the first 100 characters.
func comparableIntro(s string) string {
	const most = 100
	s = strings.TrimSuffix(s, "…")
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most])
}

func treeFields(out map[string]string, path string, v any) {
	node, ok := v.(map[string]any)
	if !ok {
		return
	}
	for key, v := range node {
		switch key {
		case "rootNode", "attachmentMap":
		case "childNodes":
			children, _ := v.([]any)
			for i, c := range children {
				treeFields(out, fmt.Sprintf("%s.%d", path, i+1), c)
			}
			out[path+"/children"] = strconv.Itoa(len(children))
		case "message":
			treeFields(out, path+".message", v)
		case "parsedHeader":
			header, _ := v.(map[string]any)
			for key, v := range header {
				out[path+"/parsed."+key] = written(v)
			}
		default:
			out[path+"/"+key] = written(v)
		}
	}
}

// attachmentFields compares a list column by column. A name that was made up
// is random in WildDuck: only its extension counts.
func attachmentFields(out map[string]string, v any) {
	list, _ := v.([]any)
	columns := make(map[string][]string)
	for _, a := range list {
		entry, _ := a.(map[string]any)
		for key, v := range entry {
			if s, _ := v.(string); key == "filename" && len(s) > 9 && s[8] == '.' && strings.Trim(s[:8], "0123456789abcdef") == "" {
				v = "(made)" + s[8:]
			}
			columns[key] = append(columns[key], written(v))
		}
	}
	for key, values := range columns {
		out["attachments."+key] = strings.Join(values, " ")
	}
}

func withoutKey(v any, key string) any {
	list, _ := v.([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			delete(m, key)
		}
	}
	return list
}

// written is a value as text, keys in order, bytes as text.
func written(v any) string {
	switch v := v.(type) {
	case map[string]any:
		if b, ok := v["b"]; ok && len(v) == 1 {
			var raw []byte
			if text, err := json.Marshal(b); err == nil && json.Unmarshal(text, &raw) == nil {
				return fmt.Sprintf("b%q", raw)
			}
		}
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, key+": "+written(v[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = written(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
