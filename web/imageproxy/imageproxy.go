// Package imageproxy loads the remote images of messages for a reader, so that
// the sender learns neither the reader's address nor the browser, and so that
// the reader's browser asks nobody but us.
//
// Every address is signed (HMAC-SHA-256, RFC 2104) for one account; the proxy
// fetches nothing that our own pages did not show. The fetch follows the HTTP
// rules of RFC 9110 within narrow bounds: public addresses only (the special
// purpose registries of RFC 6890), names resolved once and dialled by address,
// ports 80 and 443, three redirects, bounded time, size and dimensions, and
// raster images only, told by their content.
//
// The frame that shows mail has an opaque origin. Its requests carry no
// cookies, hence the account stands in the address, and the answer has to allow
// cross-origin embedding.
package imageproxy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/eidermail/eider/mail"
)

// Defaults of Options.
const (
	DefaultMaxBytes   = 10 << 20
	DefaultTimeout    = 5 * time.Second
	DefaultMaxAge     = 7 * 24 * time.Hour
	DefaultConcurrent = 16
	// MaxPixels is the greatest width and height of an image.
	MaxPixels = 8000
	// MaxRedirects is followed at most.
	MaxRedirects = 3
)

// userAgent is the same for every reader.
const userAgent = "Mozilla/5.0 (compatible; EiderImageProxy/1.0)"

// Options of a Proxy.
type Options struct {
	// Key signs addresses. At least 16 bytes; the same in every process.
	Key []byte
	// Path is where the proxy is mounted, as "/image", or an absolute URL.
	Path string
	Log  *slog.Logger
	// MaxBytes of one image, Timeout of one fetch with its redirects, MaxAge in
	// the browser's cache, Concurrent fetches at a time; 0 for the defaults.
	MaxBytes   int64
	Timeout    time.Duration
	MaxAge     time.Duration
	Concurrent int
	// Resolve finds a host's addresses; nil asks the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address that passed the checks; nil dials the network.
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
	// TLS configures https; nil for the system's roots.
	TLS *tls.Config
}

// Proxy fetches images. It is safe for concurrent use.
type Proxy struct {
	o      Options
	client *http.Client
	slots  chan struct{}
}

// New makes a proxy. It fails with CodeInvalid for a key under 16 bytes: a
// guessable key would make an open proxy.
func New(o Options) (*Proxy, error) {
	if len(o.Key) < 16 {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "make image proxy", Field: "key", Reason: "short"}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxBytes = orDefault(o.MaxBytes, DefaultMaxBytes)
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	o.MaxAge = orDefault(o.MaxAge, DefaultMaxAge)
	o.Concurrent = orDefault(o.Concurrent, DefaultConcurrent)
	if o.Resolve == nil {
		o.Resolve = resolve
	}
	if o.Dial == nil {
		o.Dial = dialNetwork
	}
	p := &Proxy{o: o, slots: make(chan struct{}, o.Concurrent)}
	p.client = p.newClient()
	return p, nil
}

func orDefault[T int | int64 | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// URL gives the address that shows src to the account.
func (p *Proxy) URL(user mail.ID, src string) string {
	return p.o.Path + "?" + url.Values{"a": {user.String()}, "u": {src}, "s": {p.sign(user, src)}}.Encode()
}

// sign binds the account and the address. The id has a fixed length, so no
// other pair gives the same input.
func (p *Proxy) sign(user mail.ID, src string) string {
	h := hmac.New(sha256.New, p.o.Key)
	h.Write([]byte("eider image\x00"))
	h.Write(user[:])
	h.Write([]byte(src))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// ServeHTTP serves the addresses that URL gives.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	user, err := mail.ParseID(q.Get("a"))
	if err != nil {
		p.refuse(w, http.StatusForbidden)
		return
	}
	p.ServeImage(w, r, user, q.Get("u"), q.Get("s"))
}

// ServeImage fetches src for the account and writes it. Failures are bare
// statuses: 403 for a wrong signature, 404 for an address or content that is
// refused, 502 and 504 when the other side fails, 503 when too many fetches
// are under way. Why, goes to the log.
func (p *Proxy) ServeImage(w http.ResponseWriter, r *http.Request, user mail.ID, src, sig string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p.refuse(w, http.StatusMethodNotAllowed)
		return
	}
	if !hmac.Equal([]byte(sig), []byte(p.sign(user, src))) {
		p.refuse(w, http.StatusForbidden)
		return
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		p.refuse(w, http.StatusServiceUnavailable)
		return
	}
	img, err := p.fetch(r.Context(), src)
	if err != nil {
		p.o.Log.LogAttrs(r.Context(), slog.LevelDebug, "remote image refused",
			slog.String("user", user.String()), slog.String("host", hostForLog(src)), slog.Any("error", err))
		p.refuse(w, status(err))
		return
	}
	p.headers(w)
	h := w.Header()
	h.Set("Content-Type", img.kind)
	h.Set("Content-Length", strconv.Itoa(len(img.data)))
	h.Set("Cache-Control", "private, max-age="+strconv.Itoa(int(p.o.MaxAge.Seconds()))+", immutable")
	if r.Method == http.MethodHead {
		return
	}
	// The reader went away when this fails; there is nobody to tell.
	_, _ = w.Write(img.data)
}

// headers are on every answer.
func (p *Proxy) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", "inline; filename=image")
	h.Set("Referrer-Policy", "no-referrer")
	// An opaque origin is cross-origin to everything, us included.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Del("Set-Cookie")
}

func (p *Proxy) refuse(w http.ResponseWriter, code int) {
	p.headers(w)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(code)
}

// errRefused is the root of every refusal that is ours.
var errRefused = errors.New("refused")

func status(err error) int {
	var timeout net.Error
	switch {
	case errors.Is(err, errRefused):
		return http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

func hostForLog(src string) string {
	if u, err := url.Parse(src); err == nil {
		return u.Hostname()
	}
	return ""
}

// picture is a checked image.
type picture struct {
	kind string
	data []byte
}

// fetch loads and checks one image.
func (p *Proxy) fetch(ctx context.Context, src string) (picture, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	u, err := url.Parse(src)
	if err != nil {
		return picture{}, refusef("not a URL: %w", err)
	}
	if err := checkURL(u); err != nil {
		return picture{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody) //nolint:gosec // the address is signed, and dial refuses private hosts
	if err != nil {
		return picture{}, refusef("not a request: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "image/avif,image/webp,image/png,image/jpeg,image/gif")
	resp, err := p.client.Do(req) //nolint:gosec // as above
	if err != nil {
		return picture{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return picture{}, refusef("status %d", resp.StatusCode)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return picture{}, refusef("content encoding that was not asked for")
	}
	if resp.ContentLength > p.o.MaxBytes {
		return picture{}, refusef("%d bytes", resp.ContentLength)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, p.o.MaxBytes+1))
	if err != nil {
		return picture{}, err
	}
	if int64(len(data)) > p.o.MaxBytes {
		return picture{}, refusef("more than %d bytes", p.o.MaxBytes)
	}
	kind, err := inspect(data)
	if err != nil {
		return picture{}, err
	}
	return picture{kind, data}, nil
}
