package webmail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// contentFor is how long the address of an inline part holds. Addresses are
// made anew for each frame, to the hour, so that a cached part is found again.
const contentFor = 2 * time.Hour

// sanitised is sanitise by way of the cache.
func (p *pages) sanitised(c echo.Context, d *store.Detail, images bool) safeMessage {
	key := safeKey{
		user: userOf(c).ID, mailbox: d.Mailbox, message: d.ID, uid: d.UID, images: images, version: safehtml.Version,
	}
	if r, ok := p.safe.get(key); ok {
		return r
	}
	r := safeMessage{p.sanitise(c, d, images), message.LanguageOf(d.Root, d.Text)}
	p.safe.put(key, r)
	return r
}

// sanitise rebuilds the message's HTML for the frame. Inline parts get signed
// addresses, because the frame's opaque origin sends no cookie; remote images
// go through the proxy or are held back.
func (p *pages) sanitise(c echo.Context, d *store.Detail, images bool) safehtml.Result {
	user := userOf(c).ID
	parts := map[string]string{}
	for _, a := range d.Attachments {
		parts[a.ID] = a.ID
		if cid := strings.Trim(a.ContentID, "<>"); cid != "" && parts[cid] == "" {
			parts[cid] = a.ID
		}
	}
	o := safehtml.Options{
		Cid: func(cid string) (string, bool) {
			id, ok := parts[cid]
			if !ok {
				return "", false
			}
			return p.contentURL(user, d.Mailbox, d.UID, id), true
		},
	}
	if images {
		o.Image = func(src string) string { return p.Proxy.URL(user, src) }
	}
	return safehtml.Sanitize(d.HTML, o)
}

// frame is the document of the sandboxed frame, with the policy of its own
// that holds also when its address is opened by itself.
func (p *pages) frame(c echo.Context) error {
	uid, err := uidParam(c)
	if err != nil {
		return err
	}
	box, err := mail.ParseID(c.Param("mailbox"))
	if err != nil {
		return err
	}
	safe, subject, err := p.framed(c, box, uid)
	if err != nil {
		return err
	}
	n := nonce(c)
	h := c.Response().Header()
	// An opener policy and a sandbox together make browsers refuse the document
	// where its address is opened by itself.
	h.Del("Cross-Origin-Opener-Policy")
	h.Set("Content-Security-Policy", safehtml.FrameCSP(n, p.Guard.Origin(c)))
	h.Set("Cache-Control", "private, no-store")
	theme := userOf(c).Preferences.Theme
	doc := safehtml.Document(safe.Result, safehtml.DocumentOptions{
		Nonce: n, Title: subject, Lang: safe.lang,
		Dark: theme == templates.ThemeDark, Auto: theme == templates.ThemeSystem,
	})
	return c.HTMLBlob(http.StatusOK, doc)
}

// framed is the sanitised message: from the cache of the page around the frame,
// if the message is still there, or made anew.
func (p *pages) framed(c echo.Context, box mail.ID, uid mail.UID) (safeMessage, string, error) {
	user, images := userOf(c).ID, c.QueryParam("images") == "1"
	row, err := p.Store.Row(ctxOf(c), user, box, uid)
	if err != nil {
		return safeMessage{}, "", err
	}
	key := safeKey{user: user, mailbox: box, message: row.ID, uid: uid, images: images, version: safehtml.Version}
	if r, ok := p.safe.get(key); ok {
		return r, row.Subject, nil
	}
	d, err := p.Store.Message(ctxOf(c), user, box, uid)
	if err != nil {
		return safeMessage{}, "", err
	}
	return p.sanitised(c, &d, images), d.Subject, nil
}

// contentURL is the signed address of an inline part.
func (p *pages) contentURL(user, mailbox mail.ID, uid mail.UID, attachment string) string {
	until := p.Now().Truncate(time.Hour).Add(contentFor).Unix()
	path := "/content/" + user.String() + "/" + mailbox.String() + "/" +
		strconv.FormatUint(uint64(uid), 10) + "/" + attachment
	return path + "?until=" + strconv.FormatInt(until, 10) + "&sig=" + p.contentSignature(path, until)
}

func (p *pages) contentSignature(path string, until int64) string {
	mac := hmac.New(sha256.New, p.ContentKey)
	mac.Write([]byte(path + "\x00" + strconv.FormatInt(until, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// content serves an inline part to a message frame. Only images are; anything
// else a frame could load, it must not. The answers have no cookie and no page.
func (p *pages) content(c echo.Context) error {
	// The frame's origin is opaque, so its image requests count as cross-origin.
	bare(c)
	until, err := strconv.ParseInt(c.QueryParam("until"), 10, 64)
	want := p.contentSignature(c.Request().URL.Path, until)
	if err != nil || p.Now().Unix() > until || !hmac.Equal([]byte(want), []byte(c.QueryParam("sig"))) {
		return c.NoContent(http.StatusForbidden)
	}
	user, err := mail.ParseID(c.Param("user"))
	if err != nil {
		return c.NoContent(http.StatusNotFound)
	}
	err = p.serveAttachment(c, user, inlineImage)
	if err == nil || c.Response().Committed {
		return err
	}
	code := status(mail.CodeOf(err))
	if code >= http.StatusInternalServerError {
		p.Log.LogAttrs(ctxOf(c), slog.LevelError, "inline part failed",
			slog.String("request_id", p.RequestID(c)), slog.Any("error", err))
	}
	return c.NoContent(code)
}

// bare sets the headers of what a message frame loads.
func bare(c echo.Context) {
	h := c.Response().Header()
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	h.Del("Cross-Origin-Opener-Policy")
}

// image serves a remote image to a message frame, so many in a while for each
// account. Only an address that we signed counts.
func (p *pages) image(c echo.Context) error {
	bare(c)
	q := c.Request().URL.Query()
	if user, err := mail.ParseID(q.Get("a")); err == nil && signedBy(p.Proxy.URL(user, q.Get("u")), q.Get("s")) {
		if err := p.Limit.Take(ctxOf(c), limit.ImageProxy, user.String(), 1); mail.IsCode(err, mail.CodeLimited) {
			return c.NoContent(http.StatusTooManyRequests)
		}
	}
	p.Proxy.ServeHTTP(c.Response(), c.Request())
	return nil
}

// signedBy compares the signature of an address of ours with a given one.
func signedBy(address, signature string) bool {
	u, err := url.Parse(address)
	return err == nil && hmac.Equal([]byte(u.Query().Get("s")), []byte(signature))
}

// attachment downloads a part.
func (p *pages) attachment(c echo.Context) error {
	return p.serveAttachment(c, userOf(c).ID, download)
}
