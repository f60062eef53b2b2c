package message

import "strings"

// AuthResults is one Authentication-Results field (RFC 8601): what a server
// found out about the sender. Only those of our own server may be trusted; the
// border server removes others that bear its name (RFC 8601 5).
type AuthResults struct {
	// Server is the authserv-id.
	Server  string
	Results []AuthResult
}

// AuthResult is one method's outcome.
type AuthResult struct {
	// Method is dkim, spf, dmarc and so on, Result pass, fail, none and so on;
	// both in lower case. Reason is free text, mostly "".
	Method, Result, Reason string
	// Properties are such as header.d=example.com, in order, keys in lower case.
	Properties []Param
}

// Property gives the first property of that name, "" for none.
func (r *AuthResult) Property(key string) string {
	for _, p := range r.Properties {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

const (
	maxAuthFields  = 20
	maxAuthResults = 50
)

// AuthResults reads the root's fields, the newest first.
func (n *Node) AuthResults() []AuthResults {
	var out []AuthResults
	for _, value := range n.Lookup("authentication-results") {
		if len(out) == maxAuthFields {
			break
		}
		out = append(out, parseAuthResults(value))
	}
	return out
}

func parseAuthResults(s string) AuthResults {
	s = DecodeHeader(stripAllComments(unfold(s)))
	server, rest := cutUnquoted(s, ';')
	server, _, _ = strings.Cut(strings.TrimSpace(server), " ") // a version may follow
	out := AuthResults{Server: lowerASCII(paramValue(server))}
	for rest != "" && len(out.Results) < maxAuthResults {
		var part string
		part, rest = cutUnquoted(rest, ';')
		if r, ok := parseAuthResult(part); ok {
			out.Results = append(out.Results, r)
		}
	}
	return out
}

// parseAuthResult reads method=result, reason="..." and properties.
func parseAuthResult(s string) (r AuthResult, ok bool) {
	for first := true; ; first = false {
		s = strings.TrimLeft(s, " \t\r\n")
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		key = lowerTrim(key)
		value = strings.TrimLeft(value, " \t\r\n")
		end := strings.IndexAny(value, " \t\r\n")
		if strings.HasPrefix(value, `"`) {
			end = quotedEnd(value, 0)
		}
		if end < 0 {
			end = len(value)
		}
		text := paramValue(value[:end])
		s = value[end:]
		switch {
		case first:
			method, _, _ := strings.Cut(key, "/")
			r.Method, r.Result = method, lowerTrim(text)
		case key == "reason":
			r.Reason = cleanText(text)
		case len(r.Properties) < maxParams:
			r.Properties = append(r.Properties, Param{key, cleanText(text)})
		}
	}
	return r, isToken(r.Method) && r.Result != ""
}

// stripAllComments removes comments outside quotes, nested ones as well; one
// that is not closed goes to the end.
func stripAllComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
			b.WriteByte(c)
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				b.WriteByte(' ')
			}
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
