package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	introSource = 4 << 10
	introLength = 250
)

// introGlances are how much of a page's text often, and mostly, decides the
// preview.
var introGlances = [...]int{512, 1536}

// makeIntro makes the preview of a text: from its first 4 KiB, without links
// in brackets, quoted lines, ruling lines and the message that is answered; at
// most 250 characters, cut at a space and marked with an ellipsis.
func makeIntro(text string) string {
	text = cutUTF8(text, introSource)
	if s, ok := glance(text); ok {
		return s
	}
	return wholeIntro(text)
}

// wholeIntro divides the text first.
func wholeIntro(text string) string {
	if own := SplitReply(text).Own; own != "" {
		text = own
	}
	var c introLines
	for line := range strings.SplitSeq(text, "\n") {
		if c.add(line) {
			break
		}
	}
	return c.String()
}

// introLines gathers the lines of a preview.
type introLines struct {
	kept  []string
	count int
}

// add takes the line, unless it is no part of the preview, and reports whether
// that is long enough.
func (c *introLines) add(line string) (full bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '>' || isRule(line) {
		return false
	}
	if line = collapse(cleanText(dropBrackets(line))); line == "" {
		return false
	}
	c.kept = append(c.kept, line)
	c.count += 1 + utf8.RuneCountInString(line)
	return c.count > introLength+1
}

func (c *introLines) String() string { return cutIntro(strings.Join(c.kept, " ")) }

// glance makes the preview without dividing the whole text (SplitReply), when
// its lines and the ones after them, which might belong to the line above a
// quote, have nothing that could be part of a reply.
func glance(text string) (intro string, ok bool) {
	var c introLines
	full, lines, size := false, 0, 0 // what follows the preview
	for lines <= attributionLines && size <= maxAttribution {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole || mayDivide(line) {
			return "", false
		}
		if text = rest; !full {
			full = c.add(line)
			continue
		}
		if line = strings.TrimSpace(line); line != "" {
			lines++
			size += len(line)
		}
	}
	return c.String(), true
}

// htmlIntro makes the preview of a page. Only as much of it is read as that
// takes.
func htmlIntro(page string) string {
	r := newTextRenderer(page, false, true)
	for _, size := range introGlances {
		if s, ok := glance(r.render(size)); ok {
			return s
		}
	}
	text := r.render(introSource)
	if text == "" {
		text = newTextRenderer(page, false, false).render(introSource)
	}
	return makeIntro(text)
}

// mayDivide reports whether SplitReply might take the line as one between the
// sender's text and a quote or signature.
func mayDivide(line string) bool {
	line = strings.TrimSpace(line)
	if line == "" {
		return false
	}
	return line[0] == '>' || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "___") ||
		strings.HasSuffix(line, ":") || strings.HasSuffix(line, "：") || hasHeaderWord(line)
}

// isRule reports a line of one repeated character.
func isRule(line string) bool {
	first, n := utf8.DecodeRuneInString(line)
	if len(line) == n || unicode.IsLetter(first) {
		return false
	}
	return strings.Trim(line, string(first)) == ""
}

// dropBrackets removes [image] and [https://...], and the target of
// [text](target).
func dropBrackets(s string) string {
	if strings.IndexByte(s, '[') < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		open := strings.IndexByte(s, '[')
		if open < 0 {
			break
		}
		size := strings.IndexByte(s[open:], ']')
		if size < 0 {
			break
		}
		b.WriteString(s[:open])
		inner, rest := s[open+1:open+size], s[open+size+1:]
		if strings.HasPrefix(rest, "(") {
			b.WriteString(inner)
			if end := strings.IndexByte(rest, ')'); end >= 0 {
				rest = rest[end+1:]
			}
		} else if !strings.Contains(inner, "://") && !strings.HasPrefix(inner, "cid:") && !strings.HasPrefix(inner, "image") {
			b.WriteString(s[open : open+size+1])
		}
		s = rest
	}
	b.WriteString(s)
	return b.String()
}

// cutIntro cuts at the last space, or between characters where there is none
// near: scripts without spaces are cut where no combining mark follows.
func cutIntro(s string) string {
	if utf8.RuneCountInString(s) <= introLength {
		return s
	}
	count, end, space := 0, 0, -1
	for i, r := range s {
		if count == introLength-1 {
			end = i
			break
		}
		if r == ' ' && count > introLength/2 {
			space = i
		}
		count++
	}
	if next, _ := utf8.DecodeRuneInString(s[end:]); next == ' ' {
		space = end
	}
	if space > 0 {
		end = space
	} else {
		end = clusterStart(s, end)
	}
	return strings.TrimRight(s[:end], " ") + "…"
}

// clusterStart moves a cut back so that it does not part a character from its
// marks, joiners, modifiers or the other half of a flag.
func clusterStart(s string, end int) int {
	for range 20 {
		next, _ := utf8.DecodeRuneInString(s[end:])
		prev, n := utf8.DecodeLastRuneInString(s[:end])
		if n == 0 || n == end {
			return end
		}
		extends := unicode.In(next, unicode.Mn, unicode.Mc, unicode.Me) || next == '\u200d' || prev == '\u200d' ||
			next >= 0x1f3fb && next <= 0x1f3ff || isFlagHalf(next) && flagHalves(s[:end])%2 == 1
		if !extends {
			return end
		}
		end -= n
	}
	return end
}

// flagHalves counts the regional indicators at the end of s; two make a flag.
func flagHalves(s string) int {
	n := 0
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		if !isFlagHalf(r) {
			break
		}
		n++
		s = s[:len(s)-size]
	}
	return n
}

func isFlagHalf(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// cutUTF8 cuts to at most n bytes between characters.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cleanText makes valid UTF-8 of s with control characters as spaces. Line
// ends and tabs count as control characters.
func cleanText(s string) string {
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
