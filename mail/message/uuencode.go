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
	// maxUUFiles is how many files are looked for in one text.
	maxUUFiles = 100
	// maxUUScan is how much of a text is looked at.
	maxUUScan = 64 << 20
)

// uuFile is one file in a text: where it stands, and where its lines do.
type uuFile struct {
	name string
	// start to end is all of it with its first and last line; from to to are
	// the lines of data.
	start, end, from, to int
	// whole: there is an "end" line.
	whole bool
	// base64: "begin-base64", ended by "====".
	base64 bool
}

// findUU lists the files in text, in order.
func findUU(text []byte) []uuFile {
	text = text[:min(len(text), maxUUScan)]
	var out []uuFile
	for at := 0; at < len(text) && len(out) < maxUUFiles; {
		i := beginLine(text, at)
		if i < 0 {
			break
		}
		f, next := readUU(text, i)
		if f.to > f.from {
			out = append(out, f)
		}
		at = next
	}
	return out
}

// beginLine finds the next line that starts with "begin".
func beginLine(text []byte, at int) int {
	for {
		i := bytes.Index(text[at:], []byte("begin"))
		if i < 0 {
			return -1
		}
		i += at
		if i == 0 || text[i-1] == '\n' {
			return i
		}
		at = i + len("begin")
	}
}

// readUU reads the file whose begin line is at start; nothing when it is none.
func readUU(text []byte, start int) (f uuFile, next int) {
	line, next := lineAt(text, start)
	name, isBase64, ok := uuBegin(line)
	if !ok {
		return uuFile{}, next
	}
	f = uuFile{name: name, start: start, from: next, to: next, end: next, base64: isBase64}
	for at := next; at < len(text); {
		line, after := lineAt(text, at)
		switch {
		case isBase64 && string(line) == "====", !isBase64 && string(line) == "end":
			f.whole, f.end = true, after
			return f, after
		case isBase64 && !isBase64Line(line), !isBase64 && !isUULine(line):
			return f, at // cut off
		}
		f.to, f.end = after, after
		at = after
	}
	return f, len(text)
}

// lineAt gives the line at i without its line end, and the next one's place.
func lineAt(text []byte, i int) (line []byte, next int) {
	n := bytes.IndexByte(text[i:], '\n')
	if n < 0 {
		return bytes.TrimRight(text[i:], "\r"), len(text)
	}
	return bytes.TrimRight(text[i:i+n], "\r"), i + n + 1
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

// decode gives the file's bytes.
func (f *uuFile) decode(text []byte) []byte {
	lines := text[f.from:f.to]
	if f.base64 {
		return appendBase64(make([]byte, 0, len(lines)/4*3+3), lines)
	}
	return appendUU(make([]byte, 0, len(lines)/4*3+3), lines)
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
	files := findUU(body)
	if len(files) == 0 {
		return nil
	}
	return files[0].decode(body)
}

// uuReader decodes the first file of a text while it is read.
type uuReader struct {
	src *bufio.Reader
	// begun: the begin line was read; empty: no data came after it yet.
	begun, empty, base64 bool
	// skip is how many files come before the wanted one.
	skip int

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
	case r.base64 && isBase64Line(line) && string(line) != "====":
		r.empty = false
		if r.skip == 0 {
			r.out = r.state.append(nil, line)
		}
	case !r.base64 && isUULine(line):
		r.empty = false
		if r.skip == 0 {
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
	isEnd := string(line) == "end" && !r.base64 || string(line) == "====" && r.base64
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

// cutUU is the text without the files in it.
func cutUU(text []byte, files []uuFile) []byte {
	if len(files) == 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	at := 0
	for i := range files {
		out = append(out, text[at:files[i].start]...)
		at = files[i].end
	}
	return append(out, text[at:]...)
}
