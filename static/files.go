package static

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

//go:embed dist/app.css favicon.svg js/*.js
var files embed.FS

// bundles are the scripts that pages ask for: files of js in the order of
// their imports. They are served as one, because the first view has five
// requests to spend. The pages of visitors get a short one.
var bundles = map[string][]string{
	"app.js": {
		"zone.js", "core.js", "nav.js", "select.js", "toast.js", "actions.js", "reader.js", "live.js", "recipients.js", "compose.js", "keys.js",
	},
	"visit.js":   {"zone.js", "register.js"},
	"passkey.js": {"zone.js", "passkey.js"},
}

// file is one served file.
type file struct {
	name, hash, mime string
	plain            []byte
	compress         sync.Once
	gzip, brotli     []byte
}

// library is every file, by logical and by served name.
type library struct {
	logical, served map[string]*file
}

var load = sync.OnceValue(func() library {
	lib := library{map[string]*file{}, map[string]*file{}}
	lib.add("app.css", "text/css; charset=utf-8", read("dist/app.css"))
	lib.add("favicon.svg", "image/svg+xml", read("favicon.svg"))
	for name, modules := range bundles {
		lib.add(name, "text/javascript; charset=utf-8", join(modules))
	}
	return lib
})

// read gives an embedded file. The names are constants of this package, so
// a missing one is a mistake of the build.
func read(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("static: %v", err))
	}
	return data
}

func (l library) add(name, mime string, data []byte) {
	sum := sha256.Sum256(data)
	f := &file{name: name, mime: mime, plain: data, hash: base64.RawURLEncoding.EncodeToString(sum[:9])}
	l.logical[name] = f
	base, ext, _ := strings.Cut(name, ".")
	l.served[base+"."+f.hash+"."+ext] = f
}

// URL is the path of a file: URL("app.css") is "/static/app.<hash>.css". An
// unknown name is a mistake in a template; its path answers 404.
func URL(name string) string {
	f, ok := load().logical[name]
	if !ok {
		return prefix + name
	}
	base, ext, _ := strings.Cut(name, ".")
	return prefix + base + "." + f.hash + "." + ext
}

var (
	importLine = regexp.MustCompile(`(?m)^import [^\n]* from "\./[a-z]+\.js";\n`)
	exportWord = regexp.MustCompile(`(?m)^export (function|const|let|async|class)`)
)

// join puts the modules into one. They import only each other and have no
// two top-level names alike (a test holds them to it), so that leaving out
// the import lines and the word export is all there is to do. Lines that are
// only comment go too; a line with code behind its comment stays.
func join(modules []string) []byte {
	var b strings.Builder
	for _, name := range modules {
		text := string(read("js/" + name))
		text = importLine.ReplaceAllString(text, "")
		text = exportWord.ReplaceAllString(text, "$1")
		uncomment(&b, text)
	}
	return []byte(b.String())
}

// uncomment copies the lines of a script but for those that are empty or only
// comment. A comment begins at the start of a line or stays with its code: no
// string of ours has lines that look like one (a test parses the result).
func uncomment(b *strings.Builder, text string) {
	inside := false
	for line := range strings.Lines(text) {
		code := strings.TrimSpace(line)
		if !inside {
			opened, ok := strings.CutPrefix(code, "/*")
			inside, code = ok, opened
		}
		if !inside {
			if code != "" && !strings.HasPrefix(code, "//") {
				b.WriteString(line)
			}
			continue
		}
		_, behind, ended := strings.Cut(code, "*/")
		inside = !ended
		if behind = strings.TrimSpace(behind); behind != "" {
			b.WriteString(behind + "\n")
		}
	}
}
