package message

import "strings"

// BodyStructure is the IMAP BODYSTRUCTURE of n (RFC 9051 7.5.2) as WildDuck's
// nested arrays: types and parameter keys in upper case, parameter values as
// []byte, sizes as int64, line counts as int, nil for NIL.
func (n *Node) BodyStructure() []any { return n.bodyStructure(DecodeHeader) }

func (n *Node) bodyStructure(f textForm) []any {
	ct := n.ContentType()
	switch {
	case ct.Type == "multipart" && n.HasBoundary, ct.Type == "multipart" && n.Size == 0:
		return n.multipartStructure(f)
	case ct.Type == "text":
		return append(append(n.basicFields(f), n.LineCount), n.extensionFields(f)...)
	case ct.Type == "message" && n.Message != nil:
		out := append(n.basicFields(f), n.Message.envelope(f), n.Message.bodyStructure(f), n.LineCount)
		return append(out, n.extensionFields(f)...)
	}
	return append(n.basicFields(f), n.extensionFields(f)...)
}

func (n *Node) multipartStructure(f textForm) []any {
	ct := n.ContentType()
	out := make([]any, 0, len(n.Children)+5)
	for _, c := range n.Children {
		out = append(out, c.bodyStructure(f))
	}
	if len(out) == 0 {
		// RFC 9051 9: body-type-mpart has at least one body. An empty text
		// stands for the part that is missing.
		out = append(out, []any{"TEXT", "PLAIN", nil, nil, nil, "7BIT", int64(0), 0, nil, nil, nil, nil})
	}
	sub := strings.ToUpper(n.Multipart)
	if sub == "" {
		sub = strings.ToUpper(ct.Subtype)
	}
	if sub == "" {
		sub = "MIXED"
	}
	out = append(out, sub, paramList(ct, f))
	return append(out, n.extensionFields(f)[1:]...) // a multipart has no MD5
}

func (n *Node) basicFields(f textForm) []any {
	ct := n.ContentType()
	typ, sub := ct.Type, ct.Subtype
	switch {
	case typ != "" && sub != "" && typ != "multipart":
	case typ == "text":
		sub = "plain"
	default:
		// A type that is missing, or a multipart in which no parts were found.
		typ, sub = "application", "octet-stream"
	}
	return []any{
		strings.ToUpper(typ), strings.ToUpper(sub), paramList(ct, f), orNil(n.Parsed.Get("content-id")),
		orNil(n.Parsed.Get("content-description")), strings.ToUpper(n.TransferEncoding()), n.Size,
	}
}

// extensionFields are MD5, disposition, language and location.
func (n *Node) extensionFields(f textForm) []any {
	var disposition any
	if d := n.Disposition(); d != nil && d.Value != "" {
		disposition = []any{strings.ToUpper(d.Value), paramList(d, f)}
	}
	return []any{orNil(n.Parsed.Get("content-md5")), disposition, languages(n.Parsed.Get("content-language")), orNil(n.Parsed.Get("content-location"))}
}

// languages is a list even for a single language, as in WildDuck.
func languages(s string) any {
	list := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	if len(list) == 0 {
		return nil
	}
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

func paramList(v *ContentValue, f textForm) any {
	if v == nil || len(v.Params) == 0 {
		return nil
	}
	out := make([]any, 0, 2*len(v.Params))
	for _, p := range v.Params {
		out = append(out, strings.ToUpper(p.Key), []byte(strings.TrimSpace(f(p.Value))))
	}
	return out
}
