package message

import "strings"

// ParseAddressList reads an address list (RFC 5322 3.4) as senders write it
// and decodes the names. Where it is ambiguous an address in angle brackets
// wins, and text in quotes is never taken for an address. Excess beyond
// 2,000 addresses is dropped.
func ParseAddressList(s string) []Address {
	list, _ := parseAddresses(unfold(s), maxAddresses)
	return decodeAddresses(list)
}

// decodeAddresses decodes the names of a list. What decodes to nothing is left
// out.
func decodeAddresses(list []Address) []Address {
	if list == nil {
		return nil
	}
	out := make([]Address, 0, len(list))
	for _, a := range list {
		decoded := Address{Name: cleanText(DecodeHeader(a.Name)), Address: DecodeHeader(a.Address), Group: decodeAddresses(a.Group)}
		if decoded.Name != "" || decoded.Address != "" || decoded.Group != nil {
			out = append(out, decoded)
		}
	}
	return out
}

// parseAddresses reads up to limit addresses, names still encoded. cut says
// that there were more.
func parseAddresses(s string, limit int) (list []Address, cut bool) {
	p := addressParser{s: s, limit: limit, list: []Address{}}
	for p.pos < len(p.s) {
		if p.count >= p.limit {
			return p.list, true
		}
		p.step()
	}
	p.endAddress()
	p.endGroup()
	return p.list, false
}

// addressParser is one pass over a list. The parts of the address at hand
// are collected until a comma.
type addressParser struct {
	s            string
	pos          int
	limit, count int
	list         []Address

	// words are atoms and quoted strings outside angle brackets.
	words []addressWord
	// space: white space came before the next word.
	space   bool
	comment string
	angle   string
	// hasAngle: there was <...>, even if empty.
	hasAngle bool

	group   []Address
	inGroup bool
	name    string
}

type addressWord struct {
	text          string
	quoted, space bool
}

func (p *addressParser) step() {
	switch c := p.s[p.pos]; c {
	case ' ', '\t', '\r', '\n':
		p.space = true
		p.pos++
	case ',':
		p.endAddress()
		p.pos++
	case ';':
		p.endAddress()
		p.endGroup()
		p.pos++
	case ':':
		p.pos++
		p.colon()
	case '"':
		p.quoted()
	case '(':
		p.readComment()
	case '<':
		p.readAngle()
	default:
		p.atom()
	}
}

// colon begins a group, unless it is dirt inside an address.
func (p *addressParser) colon() {
	if p.inGroup || p.hasAngle || len(p.words) == 0 || p.hasBareAt() {
		p.word(":", false)
		return
	}
	p.name = joinWords(p.words)
	p.inGroup, p.group = true, []Address{}
	p.reset()
}

func (p *addressParser) hasBareAt() bool {
	for _, w := range p.words {
		if !w.quoted && strings.IndexByte(w.text, '@') >= 0 {
			return true
		}
	}
	return false
}

func (p *addressParser) word(text string, quoted bool) {
	if len(p.words) < maxWords {
		p.words = append(p.words, addressWord{text, quoted, p.space})
	}
	p.space = false
}

func (p *addressParser) quoted() {
	end := quotedEnd(p.s, p.pos)
	if end < 0 {
		// Never closed: take it as a letter, and no later quote either.
		end = len(p.s)
		if i := strings.IndexAny(p.s[p.pos:], "<,;"); i >= 0 {
			end = p.pos + i
		}
		p.word(strings.TrimSpace(p.s[p.pos+1:end]), true)
		p.s = p.s[:end] + strings.ReplaceAll(p.s[end:], `"`, " ")
		p.pos = end
		return
	}
	raw := p.s[p.pos:end]
	p.pos = end
	if end < len(p.s) && p.s[end] == '@' {
		p.word(raw, false) // a quoted local-part keeps its quotes
		return
	}
	p.word(unescape(raw[1:len(raw)-1]), true)
}

// unescape undoes quoted-pairs (RFC 5322 3.2.1).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func (p *addressParser) readComment() {
	depth, start := 0, p.pos+1
	for i := p.pos; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.comment, p.pos, p.space = unescape(p.s[start:i]), i+1, true
				return
			}
		}
	}
	p.comment, p.pos = strings.TrimSpace(p.s[start:]), len(p.s)
}

func (p *addressParser) readAngle() {
	rest := p.s[p.pos+1:]
	end := strings.IndexByte(rest, '>')
	if q := strings.IndexByte(rest, '"'); q >= 0 && q < end {
		// A quoted local-part may hold a '>'.
		if after := quotedEnd(rest, q); after > 0 {
			if i := strings.IndexByte(rest[after:], '>'); i >= 0 {
				end = after + i
			}
		}
	}
	if end < 0 {
		end = strings.IndexAny(rest, ",;")
		if end < 0 {
			end = len(rest)
		}
		p.pos += 1 + end
	} else {
		p.pos += 1 + end + 1
	}
	inner := strings.Trim(rest[:end], " \t<")
	if p.hasAngle && p.angle != "" {
		return // a second one is dirt
	}
	// RFC 5322 4.4: a route before the colon is dropped.
	if strings.HasPrefix(inner, "@") {
		if i := strings.IndexByte(inner, ':'); i >= 0 {
			inner = inner[i+1:]
		}
	}
	p.angle, p.hasAngle, p.space = inner, true, true
}

func (p *addressParser) atom() {
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n,;:\"(<", p.s[p.pos]) < 0 {
		p.pos++
		if p.s[p.pos-1] == '[' {
			// A domain literal may hold colons.
			if i := strings.IndexByte(p.s[p.pos:min(len(p.s), p.pos+60)], ']'); i >= 0 {
				p.pos += i + 1
			}
		}
	}
	p.word(p.s[start:p.pos], false)
}

// endAddress makes an address of what was collected.
func (p *addressParser) endAddress() {
	if len(p.words) == 0 && !p.hasAngle && p.comment == "" {
		return
	}
	a := Address{Address: p.angle}
	if !p.hasAngle || p.angle == "" {
		p.takeBare(&a)
	}
	a.Name = joinWords(p.words)
	if a.Name == "" {
		a.Name = p.comment
	}
	p.reset()
	p.count++ // empty ones count too: the limit bounds the work
	if a.Name == "" && a.Address == "" {
		return
	}
	if p.inGroup {
		p.group = append(p.group, a)
	} else {
		p.list = append(p.list, a)
	}
}

// takeBare takes the first unquoted words with an @ out of the name. A
// quoted local-part and words around a lone @ belong to it.
func (p *addressParser) takeBare(a *Address) {
	for i := range p.words {
		w := p.words[i]
		if w.quoted || strings.IndexByte(w.text, '@') < 0 {
			continue
		}
		from, to := i, i+1
		for from > 0 && !p.words[from].space && !p.words[from-1].quoted {
			from--
		}
		for to < len(p.words) && !p.words[to].space && !p.words[to].quoted {
			to++
		}
		var b strings.Builder
		for _, w := range p.words[from:to] {
			b.WriteString(w.text)
		}
		a.Address = strings.Trim(b.String(), ">")
		p.words = append(p.words[:from:from], p.words[to:]...)
		return
	}
}

func joinWords(words []addressWord) string {
	if len(words) == 1 {
		return strings.TrimSpace(words[0].text)
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.space {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return strings.TrimSpace(b.String())
}

func (p *addressParser) endGroup() {
	if !p.inGroup {
		return
	}
	p.list = append(p.list, Address{Name: p.name, Group: p.group})
	p.count++
	p.inGroup, p.group, p.name = false, nil, ""
}

func (p *addressParser) reset() {
	p.words, p.space, p.comment, p.angle, p.hasAngle = p.words[:0], false, "", "", false
}
