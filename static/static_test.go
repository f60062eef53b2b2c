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
	for name, limit := range map[string]int{"app.css": 15_000, "app.js": 25_000, "visit.js": 1_500, "passkey.js": 2_500, "favicon.svg": 1000} {
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
	used := map[string]bool{}
	for bundle, modules := range bundles {
		top := map[string]string{}
		for i, module := range modules {
			used[module] = true
			text := string(read("js/" + module))
			for _, found := range imports.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(modules[:i], found[1]) {
					t.Errorf("%s: %s imports %s, which is not joined before it", bundle, module, found[1])
				}
			}
			for _, found := range names.FindAllStringSubmatch(text, -1) {
				if other, ok := top[found[1]]; ok {
					t.Errorf("%s: %s and %s both name %s", bundle, other, module, found[1])
				}
				top[found[1]] = module
			}
		}
	}
	entries, err := files.ReadDir("js")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !used[e.Name()] {
			t.Errorf("%s is in no bundle", e.Name())
		}
	}
}

// TestScripts looks at what is served: it parses, it has no way around
// Trusted Types, and one policy at most.
func TestScripts(t *testing.T) {
	for name := range bundles {
		joined := load().logical[name].plain
		if _, err := js.Parse(parse.NewInputBytes(joined), js.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, word := range []string{"\nimport ", "\nexport ", "innerHTML", "insertAdjacentHTML", "eval(", "new Function", "\n/**", "\n * ", "\n//", "\n\n"} {
			if bytes.Contains(joined, []byte(word)) {
				t.Errorf("%s contains %q", name, word)
			}
		}
		if n := bytes.Count(joined, []byte("createPolicy(")); n > 1 {
			t.Errorf("%s: %d Trusted Types policies", name, n)
		}
	}
}

// A cast in a comment stands before code: such a line is no comment.
func TestUncommentKeepsCode(t *testing.T) {
	for in, want := range map[string]string{
		"a();\n// b\n\nc();\n":                             "a();\nc();\n",
		"/** one\n * two\n */\nf();\n":                     "f();\n",
		"/** @type {X} */ (a).b();\n":                      "(a).b();\n",
		"  x(/** @type {X} */ (a));\n":                     "  x(/** @type {X} */ (a));\n",
		"/**\n * @param {X} a */\ng(a); // why\n/* h */\n": "g(a); // why\n",
	} {
		var b strings.Builder
		if uncomment(&b, in); b.String() != want {
			t.Errorf("%q gives %q, want %q", in, b.String(), want)
		}
	}
}
