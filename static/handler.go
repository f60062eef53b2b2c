package static

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
)

const prefix = "/static/"

// Handler serves the files below /static/, each under its hashed name only.
// They may be kept for ever. Compressed forms are made at the first request
// for a file and kept.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	f, ok := load().served[strings.TrimPrefix(r.URL.Path, prefix)]
	if !ok || !strings.HasPrefix(r.URL.Path, prefix) {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	coding := negotiate(r.Header.Get("Accept-Encoding"))
	body := f.encoded(coding)
	tag := f.tag(coding)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Etag", tag)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.mime)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		// A client that went away is no news.
		_, _ = w.Write(body)
	}
}

// tag differs per coding: RFC 9110 8.8.3.
func (f *file) tag(coding string) string {
	if coding == "" {
		return `"` + f.hash + `"`
	}
	return `"` + f.hash + "-" + coding + `"`
}

func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}

// negotiate picks br, gzip or none (RFC 9110 12.5.3). A weight of 0 refuses.
func negotiate(accept string) string {
	weights := map[string]bool{}
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		_, weight, _ := strings.Cut(strings.ReplaceAll(params, " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		weights[strings.ToLower(strings.TrimSpace(coding))] = err != nil || q > 0
	}
	for _, coding := range []string{"br", "gzip"} {
		if weights[coding] {
			return coding
		}
	}
	return ""
}

func (f *file) encoded(coding string) []byte {
	if coding == "" {
		return f.plain
	}
	f.compress.Do(func() {
		f.gzip, f.brotli = compressed(f.plain)
	})
	if coding == "br" {
		return f.brotli
	}
	return f.gzip
}

// compressed gives both forms. Writers into memory do not fail.
func compressed(data []byte) (gz, br []byte) {
	var g, b bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&g, gzip.BestCompression)
	_, _ = zw.Write(data)
	_ = zw.Close()
	bw := brotli.NewWriterLevel(&b, brotli.BestCompression)
	_, _ = bw.Write(data)
	_ = bw.Close()
	return g.Bytes(), b.Bytes()
}
