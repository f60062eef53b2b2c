package message

import (
	"crypto/sha1" //nolint:gosec // the database's keys are SHA-1; nothing secret rests on them
	"encoding/base64"
	"slices"
	"strings"
)

const (
	maxReferences = 500
	maxThreadRefs = 10
	// threadIndexLength is the part of Thread-Index that a conversation shares.
	threadIndexLength = 22
)

// firstID is the first message identifier in angle brackets; a value without
// brackets gives its first word.
func firstID(s string) string {
	if ids := messageIDs(s, 1); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// messageIDs reads identifiers (RFC 5322 3.6.4): what stands in angle
// brackets, or words where there are none. Each gets its brackets.
func messageIDs(s string, limit int) []string {
	var out []string
	if strings.IndexByte(s, '<') < 0 {
		for _, word := range strings.Fields(s) {
			if word = strings.Trim(word, ">,;"); word != "" && len(out) < limit {
				out = append(out, "<"+word+">")
			}
		}
		return out
	}
	for len(out) < limit {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			break
		}
		end := strings.IndexAny(rest, "<>")
		if end < 0 {
			end = len(rest)
		}
		// A folded identifier has white space inside.
		if id := withoutSpace(rest[:end]); id != "" {
			out = append(out, "<"+id+">")
		}
		s = rest[end:]
	}
	return out
}

func withoutSpace(s string) string {
	if isCollapsed(s) && strings.IndexByte(s, ' ') < 0 {
		return s
	}
	return strings.Join(strings.Fields(s), "")
}

// angles removes angle brackets.
var angles = strings.NewReplacer("<", "", ">", "")

// ThreadRefs are the keys by which messages find their conversation: of each
// identifier in Message-ID, In-Reply-To, Thread-Index and References, at most 10.
func ThreadRefs(h ParsedHeader) []string {
	index := strings.TrimSpace(h.Get("thread-index"))
	if len(index) > threadIndexLength {
		index = index[:threadIndexLength]
	}
	var out []string
	seen := make([]string, 0, maxThreadRefs)
	for _, source := range []string{h.Get("message-id"), h.Get("in-reply-to"), index, h.Get("references")} {
		for _, word := range strings.Fields(source) {
			word = angles.Replace(word)
			if word == "" || slices.Contains(seen, word) {
				continue
			}
			if len(out) == maxThreadRefs {
				return out
			}
			seen = append(seen, word)
			sum := sha1.Sum([]byte(word)) //nolint:gosec // see the import
			out = append(out, base64.RawStdEncoding.EncodeToString(sum[:]))
		}
	}
	return out
}

// normaliseSubject removes what replies and forwards add: white space runs,
// Re:, Fw:, Fwd: and a [tag] in front, (fwd) at the end, repeatedly.
func normaliseSubject(s string) string {
	s = collapse(s)
	for {
		was := s
		s = strings.TrimSpace(cutReply(s))
		if strings.HasPrefix(s, "[") {
			if i := strings.IndexByte(s, ']'); i > 0 && strings.TrimSpace(s[i+1:]) != "" {
				s = strings.TrimSpace(s[i+1:])
			}
		}
		if n := len(s) - len("(fwd)"); n >= 0 && strings.EqualFold(s[n:], "(fwd)") {
			s = strings.TrimSpace(s[:n])
		}
		if s == was {
			return s
		}
	}
}

func cutReply(s string) string {
	for _, mark := range []string{"re", "fwd", "fw"} {
		if len(s) > len(mark) && strings.EqualFold(s[:len(mark)], mark) {
			if rest := strings.TrimLeft(s[len(mark):], " "); strings.HasPrefix(rest, ":") {
				return rest[1:]
			}
		}
	}
	return s
}

// ThreadSubject is the normalised subject of threading.
func ThreadSubject(subject string) string { return normaliseSubject(subject) }
