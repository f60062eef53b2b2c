package message

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"
)

// uuencode (POSIX.1): files in the text itself, between "begin MODE NAME" and
// "end", from before MIME; a few programs still write it. The files are listed
// as attachments and cut from the text that is shown; the body is kept.

// uuencoding is the transfer encoding of a part that is such a file whole.
const uuencoding = "x-uuencode"

const (
	// maxUUFiles is how many files are looked for in one text, maxUUAll in all
	// texts of a message. What follows the last one is text.
	maxUUFiles = 100
	maxUUAll   = 500
	// uuHead is how much of a file is kept to tell its type.
	uuHead = 1 << 10
	// uuLine is longer than any line of such a file.
	uuLine = 4 << 10
)

// uuFile is one file in a text.
type uuFile struct {
	name string
	// size is its decoded length in bytes, head its first bytes.
	size int64
	head []byte
	// whole: there is an "end" line.
	whole bool
}

// uuScan reads a text once, line by line, and parts its files from the rest of
// it. It holds no file: however long the text, only what is to be shown of it
// stays in memory.
type uuScan struct {
	// room bounds text: no more is added once it is longer. limit bounds files.
	room, limit int

	text  []byte
	files []uuFile

	// begin is a begin line that no line of data followed yet; file is the one
	// that is open, with state, while open.
	begin        []byte
	open, base64 bool
	file         uuFile
	state        base64State
	scratch      []byte
}

// read takes all of r. Errors are those of r.
func (s *uuScan) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, uuLine)
	inLine := false // in the middle of a line that is longer than any of a file
	for {
		raw, err := in.ReadSlice('\n')
		long := err == bufio.ErrBufferFull //nolint:errorlint // bufio returns it unwrapped
		switch {
		case inLine:
			s.keep(raw)
		case long:
			s.close(false)
			s.keep(raw)
		case len(raw) > 0:
			s.line(raw)
		}
		if inLine = long; err != nil && !long {
			s.close(false)
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// line takes one line with its line end.
func (s *uuScan) line(raw []byte) {
	line := bytes.TrimRight(bytes.TrimSuffix(raw, crlf[1:]), "\r")
	if s.open {
		switch {
		case isUUEnd(line, s.base64):
			if s.close(true) {
				return
			}
		case s.base64 && isBase64Line(line):
			s.data(s.state.append(s.scratch[:0], line))
			return
		case !s.base64 && isUULine(line):
			s.data(appendUU(s.scratch[:0], line))
			return
		default:
			s.close(false)
		}
	}
	name, isBase64, ok := uuBegin(line)
	if !ok || len(s.files) >= s.limit {
		s.keep(raw)
		return
	}
	s.begin = append(s.begin[:0], raw...)
	s.open, s.base64, s.file, s.state = true, isBase64, uuFile{name: name}, base64State{}
}

// data adds to the open file.
func (s *uuScan) data(b []byte) {
	s.begin, s.scratch = s.begin[:0], b
	s.file.size += int64(len(b))
	s.file.head = append(s.file.head, b[:min(len(b), uuHead-len(s.file.head))]...)
}

// close ends the open file, if there is one. One without a line of data was
// text that only began like a file.
func (s *uuScan) close(whole bool) (wasFile bool) {
	if !s.open {
		return false
	}
	s.open = false
	if len(s.begin) > 0 {
		s.keep(s.begin)
		s.begin = s.begin[:0]
		return false
	}
	s.data(s.state.finish(s.scratch[:0]))
	s.file.whole = whole
	s.files = append(s.files, s.file)
	return true
}

// keep adds to the text outside files.
func (s *uuScan) keep(raw []byte) {
	if len(s.text) <= s.room {
		s.text = append(s.text, raw...)
	}
}

// mayHoldUU reports a text with a line that starts like a file.
func mayHoldUU(text []byte) bool {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("begin"))
		if i < 0 {
			return false
		}
		if i += at; i == 0 || text[i-1] == '\n' {
			return true
		}
		at = i + len("begin")
	}
}

// lineAt gives the line at i without its line end, and the next one's place.
func lineAt(text []byte, i int) (line []byte, next int) {
	n := bytes.IndexByte(text[i:], '\n')
	if n < 0 {
		return bytes.TrimRight(text[i:], "\r"), len(text)
	}
	return bytes.TrimRight(text[i:i+n], "\r"), i + n + 1
}

// isUUEnd reports the line after a file.
func isUUEnd(line []byte, isBase64 bool) bool {
	if isBase64 {
		return string(line) == "===="
	}
	return string(line) == "end"
}

// uuBegin reads "begin 644 name".
func uuBegin(line []byte) (name string, isBase64, ok bool) {
	if len(line) > 1000 {
		return "", false, false
	}
	word, rest, _ := strings.Cut(string(line), " ")
	mode, name, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	name = strings.TrimSpace(name)
	if word != "begin" && word != "begin-base64" || len(mode) < 3 || len(mode) > 6 || name == "" {
		return "", false, false
	}
	if _, err := strconv.ParseUint(mode, 8, 32); err != nil {
		return "", false, false
	}
	return name, word == "begin-base64", true
}

// isUULine: a length character and at least as much data as it says, but for
// trailing blanks that a mailer took off.
func isUULine(line []byte) bool {
	if len(line) == 0 || len(line) > 90 {
		return false
	}
	n := int(line[0]-' ') & 0x3f
	for _, c := range line {
		if c < ' ' || c > '`' {
			return false
		}
	}
	want := (n + 2) / 3 * 4
	if n == 0 {
		return len(line) <= 2
	}
	return len(line)-1 <= want+2 && (len(line)-1 >= want || len(line) > 1 && len(line)-1 >= want/2)
}

func isBase64Line(line []byte) bool {
	if len(line) == 0 || len(line) > 1000 {
		return false
	}
	for _, c := range line {
		if c != '=' && base64Value(c) == 0xff {
			return false
		}
	}
	return true
}

// appendUU decodes lines of data.
func appendUU(dst, lines []byte) []byte {
	for at := 0; at < len(lines); {
		line, next := lineAt(lines, at)
		at = next
		if len(line) == 0 {
			continue
		}
		n := int(line[0]-' ') & 0x3f
		data := line[1:]
		for i := 0; n > 0; i += 4 {
			var group [4]byte
			for j := range group {
				if i+j < len(data) {
					group[j] = (data[i+j] - ' ') & 0x3f
				}
			}
			three := [3]byte{group[0]<<2 | group[1]>>4, group[1]<<4 | group[2]>>2, group[2]<<6 | group[3]}
			dst = append(dst, three[:min(3, n)]...)
			n -= 3
		}
	}
	return dst
}

// decodeUU decodes a body whose transfer encoding is uuencode: its first file.
func decodeUU(body []byte) []byte {
	out, _ := io.ReadAll(&uuReader{src: bufio.NewReaderSize(bytes.NewReader(body), uuLine)}) // memory does not fail
	return out
}

// uuReader decodes the first file of a text while it is read.
type uuReader struct {
	src *bufio.Reader
	// begun: the begin line was read; empty: no data came after it yet.
	begun, empty, base64 bool
	// skip is how many files come before the wanted one, which found says was
	// come to.
	skip  int
	found bool

	state base64State
	out   []byte
	err   error
}

func (r *uuReader) Read(p []byte) (int, error) {
	r.fill()
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill decodes lines until there is something to read, or no more.
func (r *uuReader) fill() {
	for len(r.out) == 0 && r.err == nil {
		line, err := r.src.ReadSlice('\n')
		if err == bufio.ErrBufferFull { //nolint:errorlint // bufio returns it unwrapped
			line, err = nil, r.skipLine() // no line of such a file is as long
		}
		r.err = err
		r.line(bytes.TrimRight(line, "\r\n"))
	}
}

func (r *uuReader) skipLine() error {
	for {
		if _, err := r.src.ReadSlice('\n'); err != bufio.ErrBufferFull { //nolint:errorlint // bufio returns it unwrapped
			return err
		}
	}
}

func (r *uuReader) line(line []byte) {
	switch {
	case !r.begun:
		_, r.base64, r.begun = uuBegin(line)
		r.empty = true
	case r.base64 && isBase64Line(line) && !isUUEnd(line, true):
		r.empty, r.found = false, r.skip == 0
		if r.found {
			r.out = r.state.append(nil, line)
		}
	case !r.base64 && isUULine(line):
		r.empty, r.found = false, r.skip == 0
		if r.found {
			r.out = appendUU(nil, line)
		}
	default:
		r.end(line)
	}
	if r.err != nil {
		r.out = r.state.finish(r.out)
	}
}

// end takes a line that is not data: the end of a file, or of what only began
// like one.
func (r *uuReader) end(line []byte) {
	r.begun = false
	isEnd := isUUEnd(line, r.base64)
	switch {
	case r.empty:
	case r.skip > 0:
		r.skip--
	default:
		if r.err == nil {
			r.err = io.EOF
		}
		return
	}
	if !isEnd {
		r.line(line)
	}
}
