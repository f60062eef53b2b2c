package webmail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// contentFor is how long the address of an inline part holds. Addresses are
// made anew for each frame, to the hour, so that a cached part is found again.
const contentFor = 2 * time.Hour

// sanitise rebuilds the message's HTML for the frame. Inline parts get signed
// addresses, because the frame's opaque origin sends no cookie; remote images
// go through the proxy or are held back.
func (p *pages) sanitise(c echo.Context, d *store.Detail, images bool) safehtml.Result {
	user := userOf(c).ID
	o := safehtml.Options{
		Cid: func(cid string) (string, bool) {
			for _, a := range d.Attachments {
				if a.ID == cid || strings.Trim(a.ContentID, "<>") == cid && cid != "" {
					return p.contentURL(user, d.Mailbox, d.UID, a.ID), true
				}
			}
			return "", false
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
	d, err := p.Store.Message(ctxOf(c), userOf(c).ID, box, uid)
	if err != nil {
		return err
	}
	safe := p.sanitise(c, &d, c.QueryParam("images") == "1")
	n := nonce(c)
	h := c.Response().Header()
	h.Set("Content-Security-Policy", safehtml.FrameCSP(n, p.Guard.Origin(c)))
	h.Set("Cache-Control", "private, no-store")
	theme := userOf(c).Preferences.Theme
	doc := safehtml.Document(safe, safehtml.DocumentOptions{
		Nonce: n, Title: d.Subject,
		Dark: theme == templates.ThemeDark, Auto: theme == templates.ThemeSystem,
	})
	return c.HTMLBlob(http.StatusOK, doc)
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
// else a frame could load, it must not.
func (p *pages) content(c echo.Context) error {
	until, err := strconv.ParseInt(c.QueryParam("until"), 10, 64)
	want := p.contentSignature(c.Request().URL.Path, until)
	if err != nil || p.Now().Unix() > until || !hmac.Equal([]byte(want), []byte(c.QueryParam("sig"))) {
		return c.NoContent(http.StatusForbidden)
	}
	user, err := mail.ParseID(c.Param("user"))
	if err != nil {
		return c.NoContent(http.StatusNotFound)
	}
	h := c.Response().Header()
	// The frame's origin is opaque, so its image requests count as cross-origin.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	return p.serveAttachment(c, user, inlineImage)
}

// image serves a remote image to a message frame.
func (p *pages) image(c echo.Context) error {
	p.Proxy.ServeHTTP(c.Response(), c.Request())
	return nil
}

// attachment downloads a part.
func (p *pages) attachment(c echo.Context) error {
	if session.Of(c) == nil {
		return echo.ErrForbidden
	}
	return p.serveAttachment(c, userOf(c).ID, download)
}
