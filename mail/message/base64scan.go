package message

import "bytes"

// base64Scan judges base64 text while it passes by, in portions of any length:
// what is wrong with it, and whether it can be made again exactly from what it
// stands for.
type base64Scan struct {
	// chars counts characters of the alphabet, pads padding.
	chars, pads int64
	dirty       bool

	// What follows is about text that has lines of one length with CRLF between
	// them, and nothing else: the first line gives lineLen, column is the place
	// in the current one, broke where it stands in a line break. last is the
	// last character's value.
	lineLen, column int
	broke           lineBreakState
	first           []byte
	begun, uneven   bool
	last            byte
	size            int64
}

type lineBreakState byte

const (
	inBase64Line lineBreakState = iota
	behindCR
	behindCRLF
)

// Classes of bytes in base64 text.
const (
	classAlphabet byte = 1 << iota
	classURL           // - and _, which the alphabet for URLs has (RFC 4648 5)
	classPad
	classSpace
	classDirt
)

var base64Class = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c == '-' || c == '_':
			t[i] = classURL
		case base64Value(c) != 0xff:
			t[i] = classAlphabet
		case c == '=':
			t[i] = classPad
		case isSpace(c):
			t[i] = classSpace
		default:
			t[i] = classDirt
		}
	}
	return t
}()

// onlyAlphabet reports text without padding, spaces and dirt.
func onlyAlphabet(b []byte) bool {
	var have byte
	for len(b) >= 8 {
		c := (*[8]byte)(b)
		have |= base64Class[c[0]] | base64Class[c[1]] | base64Class[c[2]] | base64Class[c[3]] |
			base64Class[c[4]] | base64Class[c[5]] | base64Class[c[6]] | base64Class[c[7]]
		b = b[8:]
	}
	for _, c := range b {
		have |= base64Class[c]
	}
	return have&^classAlphabet == 0
}

// add takes the next portion.
func (s *base64Scan) add(b []byte) {
	s.size += int64(len(b))
	if !s.begun {
		b = s.begin(b)
	}
	for len(b) > 0 {
		if n := s.lines(b); n > 0 {
			b = b[n:]
			continue
		}
		n := min(len(b), s.oneByOne())
		for _, c := range b[:n] {
			s.one(c)
		}
		b = b[n:]
	}
}

// oneByOne is how many bytes are looked at singly before lines is asked again:
// in uneven text as many as it asks for at a time, else up to the next line.
func (s *base64Scan) oneByOne() int {
	if s.uneven {
		return 8
	}
	return 1
}

// Write implements io.Writer.
func (s *base64Scan) Write(b []byte) (int, error) {
	s.add(b)
	return len(b), nil
}

// begin gathers the first line, whose length that of all others must be. It
// gives what is to be looked at now.
func (s *base64Scan) begin(b []byte) []byte {
	n := min(len(b), maxLineLen+2-len(s.first))
	s.first = append(s.first, b[:n]...)
	if i := bytes.Index(s.first, crlf); i < 0 && len(s.first) < maxLineLen+2 {
		return nil
	}
	first := s.start()
	for _, c := range first {
		s.one(c)
	}
	return b[n:]
}

// start settles the length of lines once the first one is known, and gives
// what was held back for that.
func (s *base64Scan) start() []byte {
	first := s.first
	s.begun, s.first = true, nil
	s.lineLen = lineLength(first, s.size)
	s.uneven = s.lineLen == 0
	return first
}

// lines takes whole lines without anything odd, as many as there are, and gives
// their length.
func (s *base64Scan) lines(b []byte) (n int) {
	if s.uneven {
		return s.run(b)
	}
	if s.pads > 0 || s.column > 0 || s.broke == behindCR {
		return 0
	}
	step := s.lineLen + 2
	for len(b)-n >= step {
		line := b[n : n+step]
		if line[step-2] != '\r' || line[step-1] != '\n' || !onlyAlphabet(line[:s.lineLen]) {
			break
		}
		n += step
	}
	if n > 0 {
		s.chars += int64(n / step * s.lineLen)
		s.broke = behindCRLF
	}
	return n
}

// run takes characters of text that cannot be made again, in eights.
func (s *base64Scan) run(b []byte) (n int) {
	for len(b)-n >= 8 && onlyAlphabet(b[n:n+8]) {
		n += 8
	}
	s.chars += int64(n)
	s.dirty = s.dirty || n > 0 && s.pads > 0
	return n
}

func (s *base64Scan) one(c byte) {
	class := base64Class[c]
	s.uneven = s.uneven || !s.fits(c, class)
	switch class {
	case classAlphabet, classURL:
		s.dirty = s.dirty || s.pads > 0 // something after the padding
		s.chars++
		s.last = base64Value(c)
	case classPad:
		s.pads++
	case classDirt:
		s.dirty = true
	}
}

// fits reports whether the character is the next one of even lines.
func (s *base64Scan) fits(c, class byte) bool {
	switch {
	case s.broke == behindCR:
		s.broke, s.column = behindCRLF, 0
		return c == '\n'
	case c == '\r':
		s.broke = behindCR
		return s.column == s.lineLen && s.pads == 0
	case class == classAlphabet && s.pads == 0 || class == classPad && s.pads < 2:
		s.broke = inBase64Line
		s.column++
		return s.column <= s.lineLen
	}
	return false
}

// defects reports characters that have no place in base64, and text that is
// cut off in a group of four. The text must have ended.
func (s *base64Scan) defects() (dirty, cut bool) {
	s.end()
	return s.dirty, (s.chars+s.pads)%4 != 0
}

// even gives the length of the lines of text that EncodeReader makes again
// from the decoded bytes, and how many these are; 0 when it would not. The
// text must have ended.
func (s *base64Scan) even() (lineLen int, size int64) {
	s.end()
	// The bits that padding leaves over must be zero (RFC 4648 3.5).
	if s.uneven || s.broke != inBase64Line || (s.chars+s.pads)%4 != 0 || s.last<<(8-2*s.pads) != 0 && s.pads > 0 {
		return 0, 0
	}
	return s.lineLen, (s.chars+s.pads)/4*3 - s.pads
}

// end takes what begin still holds.
func (s *base64Scan) end() {
	if !s.begun {
		for _, c := range s.start() {
			s.one(c)
		}
	}
}
