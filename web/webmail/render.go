package webmail

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/templates"
)

// nonceKey is the Echo context's key of the content policy's nonce.
const nonceKey = "eider.nonce"

// secure sets the headers of app pages: the content policy with a fresh nonce,
// no sniffing, no framing, no referrer, our own window group. Routes of another
// kind (static files, message frames, images) put their own in the place.
func (p *pages) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		var b [16]byte
		_, _ = rand.Read(b[:])
		nonce := base64.RawStdEncoding.EncodeToString(b[:])
		c.Set(nonceKey, nonce)
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"' 'strict-dynamic'; "+
			"style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; "+
			"require-trusted-types-for 'script'; trusted-types eider")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=(), "+
			"publickey-credentials-get=(self), publickey-credentials-create=(self)")
		h.Set("Cache-Control", "private, no-cache")
		if p.Guard.Secure(c) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

// nonce is the request's.
func nonce(c echo.Context) string {
	n, _ := c.Get(nonceKey).(string)
	return n
}

// render writes a component to a buffer first, so that a failure half way
// becomes an error page and not half a page.
func render(c echo.Context, status int, component templ.Component) error {
	var b bytes.Buffer
	if err := component.Render(ctxOf(c), &b); err != nil {
		return err
	}
	c.Response().Header().Add("Vary", templates.FragmentHeader)
	return c.HTMLBlob(status, b.Bytes())
}

// fragment is the part of a page that the script asks for, "" for all of it.
func fragment(c echo.Context) string {
	return c.Request().Header.Get(templates.FragmentHeader)
}

// title tells the script the window's title for a partial update.
func title(c echo.Context, page templates.Page) {
	c.Response().Header().Set("Eider-Title", url.PathEscape(templates.WindowTitle(page)))
}

// prefetch reports a request that nobody looks at yet: it must change nothing.
// Script cannot set Sec-Purpose, so ours says Eider-Purpose.
func prefetch(c echo.Context) bool {
	r := c.Request()
	return r.Method == http.MethodHead || r.Header.Get("Sec-Purpose") != "" ||
		r.Header.Get("Purpose") == "prefetch" || r.Header.Get("Eider-Purpose") == "prefetch"
}

func queryEscape(s string) string { return url.QueryEscape(s) }

// seeOther is the redirect after a form.
func seeOther(c echo.Context, to string) error {
	return c.Redirect(http.StatusSeeOther, to)
}
