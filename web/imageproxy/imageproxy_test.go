package imageproxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
)

var (
	key     = []byte("0123456789abcdef0123456789abcdef")
	someone = mail.NewID()
)

// world is a network of one server behind every public address.
type world struct {
	mu      sync.Mutex
	names   map[string][]string
	lookups map[string]int
	dialled []netip.AddrPort
	server  *httptest.Server
}

func newWorld(t *testing.T, h http.Handler) (*world, *Proxy) {
	t.Helper()
	w := &world{names: map[string][]string{"img.example.com": {"93.184.216.34"}}, lookups: map[string]int{}}
	w.server = httptest.NewServer(h)
	t.Cleanup(w.server.Close)
	p, err := New(Options{Key: key, Path: "/image", Resolve: w.resolve, Dial: w.dial, Timeout: time.Minute, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

func (w *world) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups[host]++
	var all []netip.Addr
	for _, a := range w.names[host] {
		all = append(all, netip.MustParseAddr(a))
	}
	if all == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, nil
}

func (w *world) dial(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, a)
	w.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, w.server.Listener.Addr().String())
}

func get(p *Proxy, src string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, p.URL(someone, src), http.NoBody))
	return rec
}

func pngOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.Black})); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func serve(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = w.Write(data)
	})
}

func TestImage(t *testing.T) {
	t.Parallel()
	data := pngOf(t, 3, 2)
	var asked http.Header
	w, p := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		if r.Host != "img.example.com" || r.URL.String() != "/a?b=c" {
			t.Errorf("asked for %s %s", r.Host, r.URL)
		}
		serve(data).ServeHTTP(rw, r)
	}))
	req := httptest.NewRequest(http.MethodGet, p.URL(someone, "http://img.example.com/a?b=c"), http.NoBody)
	req.Header.Set("Cookie", "session=secret")
	req.Header.Set("User-Agent", "the reader's")
	req.Header.Set("Referer", "https://mail.example/")
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK || !bytes.Equal(rec.Body.Bytes(), data) {
		t.Fatalf("%d, %d bytes", rec.Code, rec.Body.Len())
	}
	for k, want := range map[string]string{
		"Content-Type": "image/png", "Cache-Control": "private, max-age=604800, immutable", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; sandbox", "Cross-Origin-Resource-Policy": "cross-origin", "Set-Cookie": "",
	} {
		if got := rec.Header().Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if asked.Get("Cookie") != "" || asked.Get("Referer") != "" || asked.Get("User-Agent") != userAgent || asked.Get("Accept-Encoding") != "" {
		t.Errorf("the other side saw %v", asked)
	}
	if w.lookups["img.example.com"] != 1 || len(w.dialled) != 1 || w.dialled[0] != netip.MustParseAddrPort("93.184.216.34:80") {
		t.Errorf("looked up %v, dialled %v", w.lookups, w.dialled)
	}
	head := httptest.NewRecorder()
	p.ServeHTTP(head, httptest.NewRequest(http.MethodHead, p.URL(someone, "http://img.example.com/a?b=c"), http.NoBody))
	if head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", head.Code, head.Body.Len())
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, serve(pngOf(t, 1, 1)))
	good, err := url.Parse(p.URL(someone, "http://img.example.com/a"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(k, v string) string {
		q := good.Query()
		q.Set(k, v)
		return "/image?" + q.Encode()
	}
	for _, u := range []string{
		"/image", change("s", ""), change("s", "x"), change("u", "http://img.example.com/b"), change("a", mail.NewID().String()), change("a", "x"),
	} {
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, u, http.NoBody))
		if rec.Code != http.StatusForbidden || rec.Body.Len() != 0 {
			t.Errorf("%s: %d %q", u, rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, good.String(), http.NoBody))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", rec.Code)
	}
	other, err := New(Options{Key: []byte("another key of enough bytes"), Path: "/image"})
	if err != nil {
		t.Fatal(err)
	}
	if other.URL(someone, "x") == p.URL(someone, "x") {
		t.Error("the key does not matter")
	}
	if len(w.dialled) != 0 {
		t.Errorf("dialled %v", w.dialled)
	}
	if _, err := New(Options{Key: []byte("short")}); !mail.IsCode(err, mail.CodeInvalid) {
		t.Errorf("short key: %v", err)
	}
}

func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, serve(pngOf(t, 1, 1)))
	for name, addrs := range map[string]string{
		"private.example.com": "10.0.0.1", "mixed.example.com": "93.184.216.34 127.0.0.1", "six.example.com": "::1",
		"mapped.example.com": "::ffff:93.184.216.34", "nat64.example.com": "64:ff9b::7f00:1",
	} {
		w.names[name] = strings.Fields(addrs)
	}
	for _, host := range []string{
		"127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
		"0.0.0.0", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:93.184.216.34]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]",
		"[fd00:ec2::254]", "[ff02::1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[100::1]",
		"2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "1.2.3.0x4", "127.0.0.1.", "１２７.0.0.1",
		"localhost", "LOCALHOST", "a.localhost", "localhost.", "printer.local", "metadata.google.internal", "router.lan", "nas", "x.home.arpa", "x.onion",
		"private.example.com", "mixed.example.com", "six.example.com", "mapped.example.com", "nat64.example.com", "user@img.example.com",
		"user:pass@img.example.com", "img.example.com:8080", "img.example.com:22", "img.example.com:443", "img.example.com:", "", "..", "a..b.com",
	} {
		if rec := get(p, "http://"+host+"/x.png"); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", host, rec.Code)
		}
	}
	for _, u := range []string{"file:///etc/passwd", "ftp://img.example.com/", "gopher://img.example.com/", "//img.example.com/x", "x", "", "javascript:1", "data:image/png;base64,x", "http:img.example.com"} {
		if rec := get(p, u); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", u, rec.Code)
		}
	}
	if len(w.dialled) != 0 {
		t.Errorf("dialled %v", w.dialled)
	}
	for _, a := range []string{"93.184.216.34", "2606:4700::1111", "1.1.1.1", "172.32.0.1", "100.128.0.1"} {
		if !public(netip.MustParseAddr(a)) {
			t.Errorf("%s is refused", a)
		}
	}
}

// TestControl: the default dialler looks at the address itself as well.
func TestControl(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"127.0.0.1:80", "[::1]:443", "93.184.216.34:22"} {
		if _, err := dialNetwork(t.Context(), "tcp", netip.MustParseAddrPort(a)); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// TestRebinding: a name that changes its address between two requests is
// looked up for each connection, and only what was looked up is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, serve(pngOf(t, 1, 1)))
	if rec := get(p, "http://img.example.com/"); rec.Code != http.StatusOK {
		t.Fatal(rec.Code)
	}
	w.mu.Lock()
	w.names["img.example.com"] = []string{"127.0.0.1"}
	w.mu.Unlock()
	if rec := get(p, "http://img.example.com/"); rec.Code != http.StatusNotFound || len(w.dialled) != 1 {
		t.Errorf("%d, dialled %v", rec.Code, w.dialled)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	data := pngOf(t, 1, 1)
	var referer string
	w, p := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		referer += r.Header.Get("Referer")
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(rw, r, to, http.StatusFound)
			return
		}
		serve(data).ServeHTTP(rw, r)
	}))
	chain := func(n int) string {
		u := "http://img.example.com/"
		for range n {
			u = "http://img.example.com/?to=" + url.QueryEscape(u)
		}
		return u
	}
	for n, want := range map[int]int{1: 200, 3: 200, 4: 404} {
		if rec := get(p, chain(n)); rec.Code != want {
			t.Errorf("%d redirects: %d, want %d", n, rec.Code, want)
		}
	}
	before := len(w.dialled)
	bad := []string{
		"http://127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "http://localhost/", "http://img.example.com:8080/",
		"http://u@img.example.com/", "gopher://img.example.com/", "http://0x7f.1/", "http://[::1]/",
	}
	for _, to := range bad {
		if rec := get(p, "http://img.example.com/?to="+url.QueryEscape(to)); rec.Code != http.StatusNotFound {
			t.Errorf("to %s: %d", to, rec.Code)
		}
	}
	if got := len(w.dialled) - before; got != len(bad) {
		t.Errorf("%d connections for %d redirects", got, len(bad))
	}
	if referer != "" {
		t.Errorf("referer %q", referer)
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	var jpg, g bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 4, 4)), nil); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&g, image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black}), nil); err != nil {
		t.Fatal(err)
	}
	webp := func(chunk string, body []byte) []byte {
		b := append([]byte("RIFF\x00\x00\x00\x00WEBP"+chunk+"\x00\x00\x00\x00"), body...)
		return append(b, make([]byte, 16)...)
	}
	large := pngOf(t, 1, 1)
	binary.BigEndian.PutUint32(large[16:], 50_000)
	tests := []struct {
		name string
		data []byte
		kind string
	}{
		{"png", pngOf(t, 2, 2), "image/png"},
		{"jpeg", jpg.Bytes(), "image/jpeg"},
		{"gif", g.Bytes(), "image/gif"},
		{"webp extended", webp("VP8X", []byte{0, 0, 0, 0, 9, 0, 0, 9, 0, 0}), "image/webp"},
		{"webp lossy", webp("VP8 ", []byte{0, 0, 0, 0x9d, 1, 0x2a, 9, 0, 9, 0}), "image/webp"},
		{"webp lossless", webp("VP8L", []byte{0x2f, 9, 0, 1, 0}), "image/webp"},
		{"webp too wide", webp("VP8X", []byte{0, 0, 0, 0, 0, 0, 1, 9, 0, 0}), ""},
		{"webp of nothing", webp("XXXX", nil), ""},
		{"avif", avif(100, 50), "image/avif"},
		{"avif too high", avif(100, 50_000), ""},
		{"png too wide", pngOf(t, MaxPixels+1, 1), ""},
		{"png with a false header", large, ""},
		{"png cut", pngOf(t, 2, 2)[:20], ""},
		{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>`), ""},
		{"svg behind xml", []byte(`<?xml version="1.0"?><svg/>`), ""},
		{"html", []byte("<!DOCTYPE html><script>x</script>"), ""},
		{"html after a gif mark", []byte("GIF89a<script>"), ""},
		{"empty", nil, ""},
		{"too long", append(pngOf(t, 1, 1), make([]byte, 1<<20)...), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, p := newWorld(t, serve(tt.data))
			rec := get(p, "http://img.example.com/")
			want := http.StatusOK
			if tt.kind == "" {
				want = http.StatusNotFound
			}
			if rec.Code != want || rec.Header().Get("Content-Type") != tt.kind {
				t.Errorf("%d %s, want %d %s", rec.Code, rec.Header().Get("Content-Type"), want, tt.kind)
			}
			if tt.kind == "" && rec.Body.Len() != 0 {
				t.Errorf("says %q", rec.Body)
			}
		})
	}
}

// avif writes the boxes that give an image's size.
func avif(width, height uint32) []byte {
	box := func(name string, body []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
		return append(append(b, name...), body...)
	}
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(make([]byte, 4), width), height)
	meta := append(make([]byte, 4), box("iprp", box("ipco", box("ispe", size)))...)
	return append(box("ftyp", []byte("mif1\x00\x00\x00\x00avif")), box("meta", meta)...)
}

func TestFailures(t *testing.T) {
	t.Parallel()
	blocked := make(chan struct{})
	_, p := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			http.NotFound(w, r)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(pngOf(t, 1, 1))
		case "/slow":
			// The head comes at once, the body never.
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-blocked
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "x")
		}
	}))
	t.Cleanup(func() { close(blocked) })
	for path, want := range map[string]int{"/404": 404, "/gzip": 404, "/cut": 502, "/slow": 504} {
		p.o.Timeout = time.Minute
		if path == "/slow" {
			p.o.Timeout = 50 * time.Millisecond
		}
		if rec := get(p, "http://img.example.com"+path); rec.Code != want || rec.Body.Len() != 0 {
			t.Errorf("%s: %d %q, want %d", path, rec.Code, rec.Body, want)
		}
	}
	if rec := get(p, "http://nowhere.example.com/"); rec.Code != http.StatusBadGateway {
		t.Errorf("unknown host: %d", rec.Code)
	}
}

// TestBusy: fetches past the limit are refused, not queued.
func TestBusy(t *testing.T) {
	t.Parallel()
	_, p := newWorld(t, serve(pngOf(t, 1, 1)))
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	if rec := get(p, "http://img.example.com/"); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", rec.Code)
	}
	<-p.slots
	if rec := get(p, "http://img.example.com/"); rec.Code != http.StatusOK || len(p.slots) != cap(p.slots)-1 {
		t.Errorf("%d, %d slots taken", rec.Code, len(p.slots))
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(serve(pngOf(t, 1, 1)))
	t.Cleanup(server.Close)
	w := &world{names: map[string][]string{"example.com": {"93.184.216.34"}, "other.com": {"93.184.216.34"}}, lookups: map[string]int{}, server: server}
	p, err := New(Options{Key: key, Path: "/i", Resolve: w.resolve, Dial: w.dial, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	if rec := get(p, "https://example.com/"); rec.Code != http.StatusOK || w.dialled[0].Port() != 443 {
		t.Errorf("%d, dialled %v", rec.Code, w.dialled)
	}
	// The name is checked against the certificate although the address is dialled.
	if rec := get(p, "https://other.com/"); rec.Code != http.StatusBadGateway {
		t.Errorf("a foreign certificate: %d", rec.Code)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(pngOf(f, 2, 2))
	f.Add(avif(3, 3))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x09\x00\x00"))
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, err := inspect(data)
		if (kind == "") != (err != nil) {
			t.Errorf("%q and %v", kind, err)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"http://img.example.com/", "http://0x7f.1/", "http://[::ffff:1.2.3.4]/", "https://a.b:443/x?y#z", "http://１.1.1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || checkURL(u) != nil {
			return
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if a, err := netip.ParseAddr(host); err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Is4In6()) {
			t.Errorf("%q is accepted", s)
		}
		if !strings.ContainsAny(host, ".:\u3002\uff0e\uff61") || u.User != nil {
			t.Errorf("%q is accepted", s)
		}
	})
}

func TestSignatureIsFixed(t *testing.T) {
	t.Parallel()
	// Cached pages hold signed addresses: the form may not change unnoticed.
	p, err := New(Options{Key: key, Path: "/i"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := mail.ParseID("0102030405060708090a0b0c")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.URL(id, "https://a.example/x y"))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(u.Query().Get("s")); err != nil || len(raw) != 32 {
		t.Errorf("signature %q", u.Query().Get("s"))
	}
	if u.Path != "/i" || u.Query().Get("a") != id.String() || u.Query().Get("u") != "https://a.example/x y" {
		t.Errorf("%s", u)
	}
}
