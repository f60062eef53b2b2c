package templates

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/static"
)

// TestPreview writes the samples as files that a browser can open, into the
// folder that EIDER_TEST_PREVIEW names, to be looked at.
func TestPreview(t *testing.T) {
	dir := os.Getenv("EIDER_TEST_PREVIEW")
	if dir == "" {
		t.Skip("EIDER_TEST_PREVIEW names no folder")
	}
	for _, look := range []struct {
		suffix string
		change func(*Page)
	}{
		{"light", func(p *Page) { p.Theme = ThemeLight }},
		{"dark", func(p *Page) { p.Theme = ThemeDark }},
		{"compact", func(p *Page) { p.Theme, p.Density = ThemeLight, DensityCompact }},
		{"ar", func(p *Page) { p.Lang, p.Theme = "ar", ThemeLight }},
		{"de", func(p *Page) { p.Lang, p.Theme = "de", ThemeLight }},
		{"ru", func(p *Page) { p.Lang, p.Theme = "ru", ThemeLight }},
	} {
		p := samplePage()
		look.change(&p)
		for _, s := range pages(p) {
			html := render(t, s.page)
			// Files have no server: name the static files beside them.
			html = regexp.MustCompile(`"/static/([a-z]+)\.[^".]+\.([a-z]+)"`).ReplaceAllString(html, `"$1.$2"`)
			html = strings.ReplaceAll(html, FrameURL("a1", 900), "frame.html")
			write(t, filepath.Join(dir, s.name+"-"+look.suffix+".html"), []byte(html))
		}
	}
	for _, name := range []string{"app.css", "app.js", "visit.js", "favicon.svg"} {
		w := httptest.NewRecorder()
		static.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, static.URL(name), nil))
		write(t, filepath.Join(dir, name), w.Body.Bytes())
	}
	write(t, filepath.Join(dir, "frame.html"), []byte(`<!doctype html><h1>The plan for 4 December</h1><p>Everyone meets at the east quay.<script>parent.postMessage({eider:"height",height:document.documentElement.scrollHeight},"*")</script>`))
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, bytes.TrimSpace(data), 0o600); err != nil {
		t.Fatal(err)
	}
}
