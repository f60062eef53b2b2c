package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Lines are folded at 76 where a space allows it; an encoded word is at most
// 75 long (RFC 2047 2).
const (
	foldAt  = 76
	maxWord = 75
)

// oneLine makes spaces of line breaks and other control characters: the whole
// defence against header injection.
func oneLine(s string) string { return cleanText(s) }

// raw writes a field whose value is ASCII and needs no encoding.
func (b *builder) raw(key, value string) {
	value = oneLine(value)
	if !isASCII(value) && !b.utf8 {
		b.fail("value of %s is not ASCII", key)
		return
	}
	b.fold(key, strings.Split(value, " "))
}

// text writes an unstructured field, with encoded words where needed.
func (b *builder) text(key, value string) {
	value = strings.TrimSpace(oneLine(value))
	if value == "" {
		return
	}
	if needsEncoding(value) {
		b.fold(key, encodeWords(value, foldAt-len(key)-2))
		return
	}
	b.fold(key, strings.Split(value, " "))
}

// needsEncoding: beyond ASCII, looking like an encoded word, or with a word
// too long to fold.
func needsEncoding(s string) bool {
	if !isASCII(s) || strings.Contains(s, "=?") || strings.Contains(s, "  ") {
		return true
	}
	for word := range strings.SplitSeq(s, " ") {
		if len(word) > maxLineLen-100 {
			return true
		}
	}
	return false
}

// fold writes a field from words that may be put on lines of their own.
func (b *builder) fold(key string, words []string) {
	b.out.WriteString(key)
	b.out.WriteByte(':')
	column := len(key) + 1
	for i, w := range words {
		if column+1+len(w) > foldAt && i > 0 && w != "" {
			b.out.WriteString("\r\n")
			column = 0
		}
		if len(w) > maxLineLen-2 {
			b.fail("value of %s has a word longer than a line", key)
			return
		}
		b.out.WriteByte(' ')
		b.out.WriteString(w)
		column += 1 + len(w)
	}
	b.out.WriteString("\r\n")
}

// encodeWords makes encoded words of a text, each with whole characters. The
// encoding is Q for mostly ASCII text and B for other. first is the room on
// the first line.
func encodeWords(s string, first int) []string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	const overhead = len("=?utf-8?B??=")
	useB := countNonASCII(s)*3 > len(s)
	var words []string
	room := min(max(first, 30), maxWord) - overhead
	var chunk []byte
	used := 0
	flush := func() {
		if len(chunk) > 0 {
			words = append(words, encodeWord(chunk, useB))
		}
		chunk, used, room = chunk[:0], 0, maxWord-overhead-1
	}
	for _, r := range s {
		var enc [utf8.UTFMax]byte
		n := utf8.EncodeRune(enc[:], r)
		cost := wordCost(enc[:n], useB, len(chunk))
		if used+cost > room {
			flush()
			cost = wordCost(enc[:n], useB, 0)
		}
		chunk = append(chunk, enc[:n]...)
		used += cost
	}
	flush()
	return words
}

// wordCost is how much longer the encoded text becomes.
func wordCost(r []byte, useB bool, have int) int {
	if useB {
		return base64.StdEncoding.EncodedLen(have+len(r)) - base64.StdEncoding.EncodedLen(have)
	}
	n := 0
	for _, c := range r {
		n += len(appendQByte(nil, c))
	}
	return n
}

func encodeWord(data []byte, useB bool) string {
	if useB {
		return "=?utf-8?B?" + base64.StdEncoding.EncodeToString(data) + "?="
	}
	return encodedWordQ("utf-8", data)
}

func countNonASCII(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] >= 0x80 {
			n++
		}
	}
	return n
}

// ids writes message identifiers.
func (b *builder) ids(key string, ids []string) {
	const most = 100 // the oldest but the first are dropped
	var words []string
	for _, id := range ids {
		for _, one := range messageIDs(oneLine(id), most) {
			if one = bracketed(one); one != "" {
				words = append(words, one)
			}
		}
	}
	if len(words) > most {
		words = append(words[:1:1], words[len(words)-most+1:]...)
	}
	if len(words) > 0 {
		b.fold(key, words)
	}
}

// addresses writes an address list.
func (b *builder) addresses(key string, list []Address) {
	var words []string
	for _, a := range list {
		item := b.address(a)
		if len(item) == 0 {
			continue
		}
		if n := len(words); n > 0 {
			words[n-1] += ","
		}
		words = append(words, item...)
	}
	if len(words) > 0 {
		b.fold(key, words)
	}
}

// address gives the words of one address or group.
func (b *builder) address(a Address) []string {
	if a.Group != nil {
		words := phrase(a.Name)
		if len(words) == 0 {
			words = []string{"undisclosed-recipients"}
		}
		words[len(words)-1] += ":"
		for i, member := range a.Group {
			if i > 0 {
				words[len(words)-1] += ","
			}
			words = append(words, b.address(member)...)
		}
		words[len(words)-1] += ";"
		return words
	}
	spec, ok := b.addrSpec(a.Address)
	if !ok {
		return nil
	}
	if words := phrase(a.Name); len(words) > 0 {
		return append(words, "<"+spec+">")
	}
	return []string{spec}
}

// addrSpec writes an address: the domain in its ASCII form when the
// local-part is ASCII, all of it in UTF-8 when it is not (RFC 6531 3.3).
func (b *builder) addrSpec(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			b.fail("address with control characters")
			return "", false
		}
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 {
		b.fail("address %q has no local-part or no domain", s)
		return "", false
	}
	local, domain := s[:at], s[at+1:]
	if strings.ContainsAny(domain, " ,;:<>()\"\\@") && !strings.HasPrefix(domain, "[") {
		b.fail("address %q has a bad domain", s)
		return "", false
	}
	local = quoteLocal(local)
	if !isASCII(local) {
		b.utf8 = true
		return local + "@" + domain, true
	}
	ascii, ok := domainASCII(domain)
	if !ok {
		b.fail("address %q has a bad domain", s)
		return "", false
	}
	return local + "@" + ascii, true
}

func domainASCII(domain string) (string, bool) {
	if isASCII(domain) {
		return domain, !strings.ContainsAny(domain, " \t<>\"")
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	return ascii, err == nil
}

// quoteLocal quotes a local-part that is no dot-atom (RFC 5322 3.4.1).
func quoteLocal(s string) string {
	if len(s) >= 2 && s[0] == '"' && quotedEnd(s, 0) == len(s) {
		return s
	}
	plain := !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
	for i := range len(s) {
		plain = plain && (s[i] == '.' || s[i] >= 0x80 || isAtext(s[i]))
	}
	if plain {
		return s
	}
	return quote(s)
}

// isAtext: RFC 5322 3.2.3.
func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// phrase gives the words of a display name: atoms, a quoted string, or
// encoded words.
func phrase(name string) []string {
	name = collapse(oneLine(name))
	if name == "" {
		return nil
	}
	if needsEncoding(name) || len(name) > 500 {
		return encodeWords(name, foldAt-10)
	}
	for i := range len(name) {
		if c := name[i]; c != ' ' && !isAtext(c) {
			return []string{quote(name)}
		}
	}
	return strings.Split(name, " ")
}

// param gives a parameter as "; key=value" pieces for folding: a token, a
// quoted string, or RFC 2231 with continuations.
func param(key, value string) []string {
	value = strings.TrimSpace(oneLine(value))
	if isASCII(value) && len(value) <= 60 {
		for i := range len(value) {
			if !isAtext(value[i]) && value[i] != '.' || strings.IndexByte("*'%/=?", value[i]) >= 0 {
				return []string{key + "=" + quote(value)}
			}
		}
		return []string{key + "=" + value}
	}
	var enc []byte
	for i := range len(value) {
		c := value[i]
		if isAtext(c) && strings.IndexByte("*'%", c) < 0 || c == '.' {
			enc = append(enc, c)
		} else {
			enc = append(enc, '%', hexUpper[c>>4], hexUpper[c&15])
		}
	}
	const room = 50
	if len(enc) <= room {
		return []string{key + "*=utf-8''" + string(enc)}
	}
	var out []string
	for section := 0; len(enc) > 0; section++ {
		n := min(room, len(enc))
		for n < len(enc) && n > room-3 && (enc[n-1] == '%' || enc[n-2] == '%') {
			n-- // not inside an escape
		}
		prefix := ""
		if section == 0 {
			prefix = "utf-8''"
		}
		out = append(out, key+"*"+itoa(section)+"*="+prefix+string(enc[:n]))
		enc = enc[n:]
	}
	return out
}
