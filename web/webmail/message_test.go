package webmail_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail"
)

func pixel(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func picture(t *testing.T, body string) string {
	return "From: Berta <berta@other.example>\nTo: anna@eider.example\nSubject: picture\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n" + body +
		"\n--b\nContent-Type: image/png\nContent-ID: <p@x>\nContent-Transfer-Encoding: base64\nContent-Disposition: inline; filename=p.png\n\n" +
		base64.StdEncoding.EncodeToString(pixel(t)) + "\n--b\nContent-Type: text/html\nContent-ID: <h@x>\nContent-Disposition: attachment\n\n<script>alert(1)</script>\n--b--\n"
}

func TestOpeningMarksRead(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, text("one"))
	seen := func() bool { return !w.row(u, m.Mailbox, m.UID).Unseen() }
	b.get(at(m), "Sec-Purpose", "prefetch").is(http.StatusOK).has(`data-mark="true"`)
	b.get(at(m), "Eider-Fragment", "reader").is(http.StatusOK).has(`data-mark="true"`)
	b.get(at(m), "Eider-Fragment", "main").is(http.StatusOK).has(`data-mark="true"`)
	b.get("/compose?action=reply&ref=" + ref(m)).is(http.StatusOK)
	if seen() {
		t.Fatal("marked read by a request that nobody looks at")
	}
	b.get(at(m)).is(http.StatusOK).has(`data-mark="false"`, "Hello from one.", "Berta Koch")
	if !seen() {
		t.Error("not marked read")
	}
}

func TestNeighbours(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	var path []string
	for i := range 3 {
		path = append(path, at(w.put(u, text(fmt.Sprint("m", i)))))
	}
	for _, fragment := range []string{"", "reader"} {
		b.get(path[1], "Eider-Fragment", fragment).has(`href="`+path[0]+`"`, `href="`+path[2]+`"`)
		b.get(path[2]+"?filter=unread", "Eider-Fragment", fragment).has(`href="` + path[0] + `?filter=unread"`)
	}
}

func TestConversation(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	first := w.put(u, text("talk"))
	reply := strings.Replace(strings.Replace(text("talk"), "Subject: talk", "Subject: Re: talk\nIn-Reply-To: <talk@other.example>", 1),
		"Message-ID: <talk@", "Message-ID: <answer@", 1)
	second := w.put(u, reply)
	page := b.get(at(second)).is(http.StatusOK).has("2 messages", `href="`+at(first)+`"`)
	if n := strings.Count(page.body, `class="folded"`); n != 1 {
		t.Errorf("%d folded", n)
	}
	b.get(at(first)).has(`href="` + at(second) + `"`)
}

func TestTextAndHTML(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, "From: b@other.example\nSubject: both\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n"+
		"--b\nContent-Type: text/plain\n\nplain words\n--b\nContent-Type: text/html\n\n<b>bold</b><script>alert(1)</script>\n--b--\n")
	b.get(at(m)).has("<iframe", at(m)+"/frame", "Show as text").lacks("plain words</p>")
	b.get(at(m)+"?text=1").has("plain words", "Show as designed").lacks("<iframe")
	frame := b.get(at(m) + "/frame").is(http.StatusOK).has("<b>bold</b>").lacks("alert(1)")
	csp := frame.Header.Get("Content-Security-Policy")
	for _, part := range []string{"sandbox allow-popups allow-popups-to-escape-sandbox allow-scripts;", "default-src 'none'", "frame-ancestors 'self'", "connect-src 'none'", "img-src " + w.server.URL + " data:"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the frame's policy lacks %q: %s", part, csp)
		}
	}
	nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(csp)
	if nonce == nil || !strings.Contains(frame.body, `nonce="`+nonce[1]+`"`) {
		t.Error("nonce")
	}
	if strings.Contains(csp, "allow-same-origin") || frame.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("headers %v", frame.Header)
	}
	// Text alone, and an attached page, have no frame.
	b.get(at(w.put(u, text("plain")))).lacks("<iframe")
	b.get(at(w.put(u, withFile("filed", "x.html", "text/html", "<script>alert(1)</script>")))).lacks("<iframe")
	w.browser(w.user("berta")).get(at(m) + "/frame").is(http.StatusNotFound)
}

func TestInlineImages(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, picture(t, `<img src="cid:p@x"><img src="cid:h@x"><img src="cid:none@x">`))
	b.get(at(m)).is(http.StatusOK)
	frame := b.get(at(m) + "/frame")
	srcs := regexp.MustCompile(`/content/[^"]+`).FindAllString(html.UnescapeString(frame.body), -1)
	if len(srcs) != 2 {
		t.Fatalf("sources %q", srcs)
	}
	v := w.visitor() // the frame sends no cookie
	a := v.get(srcs[0]).is(http.StatusOK)
	if a.body != string(pixel(t)) || a.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%s, %d bytes", a.Header.Get("Content-Type"), len(a.body))
	}
	check := func(a *answer) {
		t.Helper()
		if a.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" || len(a.Cookies()) > 0 ||
			a.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", a.Request.URL.Path, a.Header)
		}
	}
	check(a)
	check(v.get(srcs[1]).is(http.StatusUnsupportedMediaType)) // a page that calls itself an image
	check(v.get(strings.Replace(srcs[0], "sig=", "sig=A", 1)).is(http.StatusForbidden))
	check(v.get(strings.Replace(srcs[0], "ATT00001", "ATT00002", 1)).is(http.StatusForbidden))
	check(v.get("/content/x/y/z/w").is(http.StatusForbidden))
	check(v.do(http.MethodHead, srcs[0], "", nil).is(http.StatusOK))
	w.later(3 * time.Hour)
	check(v.get(srcs[0]).is(http.StatusForbidden))
	// A new frame has new addresses, not those of the cache.
	fresh := regexp.MustCompile(`/content/[^"]+`).FindString(html.UnescapeString(b.get(at(m) + "/frame").body))
	v.get(fresh).is(http.StatusOK)
	// A moved message's too.
	b.post("/mail/inbox", "do", "archive", "id", ref(m)).is(http.StatusSeeOther)
	check(v.get(fresh).is(http.StatusNotFound))
	archive := w.box(u, mail.UseArchive)
	moved := b.get("/mail/" + archive.ID.String() + "/1/frame").is(http.StatusOK)
	v.get(regexp.MustCompile(`/content/[^"]+`).FindString(html.UnescapeString(moved.body))).is(http.StatusOK)
}

func TestRemoteImages(t *testing.T) {
	w := newWorld(t)
	data := pixel(t)
	asked := 0
	far := http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		rw.Header().Set("Content-Type", "image/png")
		_, _ = rw.Write(data)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = far.Serve(l) }()
	defer func() { _ = far.Close(); <-done }()
	w.images = func(ctx context.Context, network string, _ netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, l.Addr().String())
	}
	u := w.user("anna")
	b := w.browser(u)
	m := w.put(u, "From: b@other.example\nSubject: far\nContent-Type: text/html\n\n<img src=\"http://far.example/a.png\" width=100 height=100>\n")
	b.get(at(m)).has("Remote images are blocked", at(m)+"?images=1")
	b.get(at(m)+"/frame").lacks("far.example/a", "/image?")
	b.get(at(m) + "?images=1").has(at(m) + "/frame?images=1").lacks("Remote images are blocked")
	frame := b.get(at(m) + "/frame?images=1")
	src := regexp.MustCompile(`/image\?[^"]+`).FindString(html.UnescapeString(frame.body))
	if src == "" {
		t.Fatalf("no proxied image:\n%s", frame.body)
	}
	v := w.visitor()
	a := v.get(src).is(http.StatusOK)
	if a.body != string(data) || a.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" || len(a.Cookies()) > 0 {
		t.Errorf("%v", a.Header)
	}
	a = v.get(strings.Replace(src, "far.example", "near.example", 1)).is(http.StatusForbidden)
	if a.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" || len(a.Cookies()) > 0 || asked != 1 {
		t.Errorf("%v, asked %d times", a.Header, asked)
	}
}

func TestRawSourceAndHeaders(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	raw := withFile("raw \xfe\xff", "a.bin", "application/octet-stream", "odd  \t\nlines\n") + "epilogue\xff"
	m := w.put(u, raw)
	a := b.get(at(m) + "/message.eml").is(http.StatusOK)
	if a.body != crlf(raw) {
		t.Error("not byte for byte")
	}
	if a.Header.Get("Content-Type") != "message/rfc822" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment;") ||
		a.ContentLength != int64(len(crlf(raw))) || a.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" {
		t.Errorf("%v", a.Header)
	}
	if h := b.do(http.MethodHead, at(m)+"/message.eml", "", nil).is(http.StatusOK); h.ContentLength != int64(len(crlf(raw))) {
		t.Errorf("HEAD says %d bytes", h.ContentLength)
	}
	b.get(at(m)+"/source").is(http.StatusOK).has("boundary=b", "epilogue\uFFFD")
	b.get(at(m)+"/headers").is(http.StatusOK).has("Content-Type", "multipart/mixed")
	big := w.put(u, text("big")+strings.Repeat("line of text\n", 30_000))
	b.get(at(big) + "/source").has("This is the beginning.")
	other := w.browser(w.user("berta"))
	for _, path := range []string{"", "/message.eml", "/source", "/headers", "/frame", "/attachments/ATT00001"} {
		other.get(at(m) + path).is(http.StatusNotFound)
	}
}

func TestAttachments(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for _, c := range []struct{ name, kind, data, want string }{
		{"a.html", "text/html", "<script>alert(1)</script>", "application/octet-stream"},
		{"a.svg", "image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "application/octet-stream"},
		{"a.png", "image/png", "<script>alert(1)</script>", "application/octet-stream"},
		{"a.exe", "text/html", "GIF89a;alert(1)", "image/gif"},
		{"a.pdf", "application/pdf", "%PDF-1.4", "application/octet-stream"},
	} {
		m := w.put(u, withFile("file", c.name, c.kind, c.data))
		b.get(at(m)).has(at(m)+"/attachments/ATT00001", "1 attachment")
		a := b.get(at(m) + "/attachments/ATT00001").is(http.StatusOK)
		if a.body != c.data || a.Header.Get("Content-Type") != c.want {
			t.Errorf("%s: %q as %s", c.name, a.body, a.Header.Get("Content-Type"))
		}
		if a.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || a.Header.Get("X-Content-Type-Options") != "nosniff" ||
			a.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s: %v", c.name, a.Header)
		}
		kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || params["filename"] != c.name {
			t.Errorf("%s: %q %v", c.name, a.Header.Get("Content-Disposition"), err)
		}
		b.get(at(m) + "/attachments/ATT00009").is(http.StatusNotFound)
		b.get(at(m) + "/attachments/..%2f..%2fx").is(http.StatusNotFound)
	}
}
