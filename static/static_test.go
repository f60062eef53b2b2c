package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

func get(t *testing.T, method, path string, headers map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	var from io.Reader = r.Body
	switch r.Header.Get("Content-Encoding") {
	case "br":
		from = brotli.NewReader(from)
	case "gzip":
		var err error
		if from, err = gzip.NewReader(from); err != nil {
			t.Fatal(err)
		}
	}
	data, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestServesEachCodingWithTheSameBytes(t *testing.T) {
	for name, mime := range map[string]string{"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "favicon.svg": "image/svg+xml"} {
		want := load().logical[name].plain
		for accept, coding := range map[string]string{"": "", "identity": "", "gzip": "gzip", "gzip, deflate, br": "br", "br;q=0, gzip": "gzip", "br; q=0.000, gzip;q=0": "", "BR": "br"} {
			r := get(t, http.MethodGet, URL(name), map[string]string{"Accept-Encoding": accept})
			if r.StatusCode != http.StatusOK || r.Header.Get("Content-Encoding") != coding || r.Header.Get("Content-Type") != mime {
				t.Errorf("%s %q: status %d, coding %q, type %q", name, accept, r.StatusCode, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Type"))
			}
			if r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s: headers %v", name, r.Header)
			}
			if !bytes.Equal(body(t, r), want) {
				t.Errorf("%s %q: other bytes", name, accept)
			}
			again := get(t, http.MethodGet, URL(name), map[string]string{"Accept-Encoding": accept, "If-None-Match": `"x", W/` + r.Header.Get("Etag")})
			if again.StatusCode != http.StatusNotModified || len(body(t, &http.Response{Body: again.Body, Header: http.Header{}})) != 0 {
				t.Errorf("%s %q: %d for its own tag", name, accept, again.StatusCode)
			}
		}
	}
}

func TestRefusesWhatItHasNot(t *testing.T) {
	for path, status := range map[string]int{
		"/static/app.css": 404, "/static/app.AAAAAAAAAAAA.css": 404, "/static/": 404, "/static/../static.go": 404, "/other": 404, URL("none.css"): 404,
	} {
		if r := get(t, http.MethodGet, path, nil); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, status)
		}
	}
	if r := get(t, http.MethodPost, URL("app.css"), nil); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := get(t, http.MethodHead, URL("app.css"), nil); r.StatusCode != http.StatusOK || len(body(t, r)) != 0 || r.Header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, length %s", r.StatusCode, r.Header.Get("Content-Length"))
	}
}

func TestBudgets(t *testing.T) {
	for name, limit := range map[string]int{"app.css": 15_000, "app.js": 25_000, "favicon.svg": 1000} {
		f := load().logical[name]
		gz, br := f.encoded("gzip"), f.encoded("br")
		t.Logf("%s: %d bytes plain, %d gzip, %d br", name, len(f.plain), len(gz), len(br))
		if len(gz) > limit {
			t.Errorf("%s: %d bytes gzip, limit %d", name, len(gz), limit)
		}
	}
}

// TestModulesCanBeJoined holds the sources to what join relies on.
func TestModulesCanBeJoined(t *testing.T) {
	imports := regexp.MustCompile(`(?m)^import .* from "\./([a-z]+\.js)";$`)
	names := regexp.MustCompile(`(?m)^(?:export )?(?:async )?(?:function|const|let|class) (\w+)`)
	top := map[string]string{}
	for i, module := range modules {
		text := string(read("js/" + module))
		for _, found := range imports.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(modules[:i], found[1]) {
				t.Errorf("%s imports %s, which is not joined before it", module, found[1])
			}
		}
		for _, found := range names.FindAllStringSubmatch(text, -1) {
			if other, ok := top[found[1]]; ok {
				t.Errorf("%s and %s both name %s", other, module, found[1])
			}
			top[found[1]] = module
		}
	}
	entries, err := files.ReadDir("js")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(modules, e.Name()) {
			t.Errorf("%s is not among the modules", e.Name())
		}
	}
	joined := string(join())
	for _, word := range []string{"\nimport ", "\nexport ", "innerHTML", "insertAdjacentHTML", "eval(", "new Function"} {
		if strings.Contains(joined, word) {
			t.Errorf("the script contains %q", word)
		}
	}
	if n := strings.Count(joined, "createPolicy("); n != 1 {
		t.Errorf("%d Trusted Types policies, want 1", n)
	}
}

// A cast in a comment stands before code: such a line is no comment.
func TestJoinKeepsCodeBehindComments(t *testing.T) {
	joined := string(join())
	for _, name := range modules {
		for line := range strings.Lines(string(read("js/" + name))) {
			code := strings.TrimSpace(line)
			_, behind, ok := strings.Cut(code, "*/")
			if !ok || !strings.HasPrefix(code, "/*") || strings.TrimSpace(behind) == "" {
				continue
			}
			if !strings.Contains(joined, strings.TrimSpace(behind)) {
				t.Errorf("%s: %q is lost", name, code)
			}
		}
	}
}

// TestJoinedScriptsParse guards the joining: one line too few, and no page
// has a script.
func TestJoinedScriptsParse(t *testing.T) {
	joined := join()
	if _, err := js.Parse(parse.NewInputBytes(joined), js.Options{}); err != nil {
		t.Errorf("the joined script: %v", err)
	}
	for _, left := range []string{"\n/**", "\n * ", "\n//", "\n\n"} {
		if bytes.Contains(joined, []byte(left)) {
			t.Errorf("the joined script still has %q", left)
		}
	}
}
