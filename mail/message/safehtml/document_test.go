package safehtml_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail/message/safehtml"
)

func TestFrameCSP(t *testing.T) {
	t.Parallel()
	const head = "sandbox allow-popups allow-popups-to-escape-sandbox allow-scripts; default-src 'none'; script-src "
	const tail = "data:; style-src 'unsafe-inline'; font-src 'none'; connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
	tests := []struct{ nonce, sources, want string }{
		{"abC1+/=-_", "https://mail.example", head + "'nonce-abC1+/=-_'; img-src https://mail.example " + tail},
		{"a", "", head + "'nonce-a'; img-src " + tail},
		{"", "'self' https://b.example:8080/image", head + "'none'; img-src 'self' https://b.example:8080/image " + tail},
		{"a' 'unsafe-inline", "x; script-src *", head + "'none'; img-src script-src * " + tail},
		{"a\r\nX: y", "a,b c\x00d https://ok.example", head + "'none'; img-src https://ok.example " + tail},
	}
	for _, tt := range tests {
		if got := safehtml.FrameCSP(tt.nonce, tt.sources); got != tt.want {
			t.Errorf("%q %q:\ngot  %s\nwant %s", tt.nonce, tt.sources, got, tt.want)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	r := safehtml.Sanitize([]string{"<style>p{color:red}</style><p>x</p>"}, safehtml.Options{})
	own := safehtml.Sanitize([]string{"<style>@media (prefers-color-scheme:dark){p{color:red}}</style><p>x</p>"}, safehtml.Options{})
	tests := []struct {
		name      string
		r         safehtml.Result
		o         safehtml.DocumentOptions
		has, lack []string
	}{
		{"plain", r, safehtml.DocumentOptions{}, []string{`<meta charset="utf-8">`, `content="light"`, `<base target="_blank">`, r.HTML, r.Style}, []string{"<script", "invert("}},
		{"script", r, safehtml.DocumentOptions{Nonce: "abc"}, []string{`<script nonce="abc">`, `eider:"height"`, "ResizeObserver"}, nil},
		{"bad nonce", r, safehtml.DocumentOptions{Nonce: `"><script>`}, nil, []string{"<script"}},
		{"dark", r, safehtml.DocumentOptions{Dark: true}, []string{`class="eider-dark"`, "invert(", `content="dark"`}, []string{"prefers-color-scheme"}},
		{"dark by itself", own, safehtml.DocumentOptions{Dark: true}, []string{`class="eider-dark"`}, []string{"invert("}},
		{"auto", r, safehtml.DocumentOptions{Auto: true}, []string{`class="eider-auto"`, "@media (prefers-color-scheme:dark){.eider-mail{filter", `content="light dark"`}, nil},
		{"language", r, safehtml.DocumentOptions{Lang: "de", Title: "a<b"}, []string{` lang="de"`, "<title>a&lt;b</title>"}, nil},
		{"too big", safehtml.Result{TooBig: true, HTML: "secret"}, safehtml.DocumentOptions{}, []string{`<div class="eider-mail"></div>`}, []string{"secret"}},
	}
	for _, tt := range tests {
		d := string(safehtml.Document(tt.r, tt.o))
		for _, s := range tt.has {
			if !strings.Contains(d, s) {
				t.Errorf("%s: no %s in %s", tt.name, s, d)
			}
		}
		for _, s := range tt.lack {
			if strings.Contains(d, s) {
				t.Errorf("%s: %s in %s", tt.name, s, d)
			}
		}
	}
}

// newsletter is about 100 kB of what such mail looks like.
func newsletter() string {
	row := `<tr><td align="center" valign="top" style="padding:10px 20px;font-family:Arial,sans-serif;font-size:14px;line-height:20px;color:#333333">` +
		`<a href="https://news.example/c/1?u=2" style="color:#0055aa;text-decoration:none"><img src="https://cdn.example/a/b.png" width="200" height="80" alt="Offer" style="display:block;border:0"></a>` +
		`<p class="copy" style="margin:0 0 10px 0">Some words of text &amp; more &ndash; for the reader.</p></td></tr>`
	return `<html><head><style>.copy{color:#111}@media only screen and (max-width:600px){.copy{width:100%!important}}</style></head><body bgcolor="#f4f4f4"><table width="600" cellpadding="0" cellspacing="0">` +
		strings.Repeat(row, 220) + `</table></body></html>`
}

// TestNewsletter: nothing of an ordinary mail's content and looks is lost.
func TestNewsletter(t *testing.T) {
	t.Parallel()
	r := safehtml.Sanitize([]string{newsletter()}, open())
	doc, err := html.Parse(strings.NewReader(r.HTML))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			count[n.Data]++
		}
	}
	if r.TooBig || count["img"] != 220 || count["a"] != 220 || count["p"] != 220 || r.Blocked+r.Trackers != 0 {
		t.Errorf("%v, blocked %d, trackers %d", count, r.Blocked, r.Trackers)
	}
	if n := strings.Count(r.HTML, "font-size:14px;line-height:20px;color:#333333"); n != 220 {
		t.Errorf("%d styles of 220", n)
	}
}

func BenchmarkSanitize(b *testing.B) {
	in := []string{newsletter()}
	b.SetBytes(int64(len(in[0])))
	b.ReportAllocs()
	for b.Loop() {
		safehtml.Sanitize(in, safehtml.Options{})
	}
}
