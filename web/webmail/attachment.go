package webmail

import (
	"bufio"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/templates"
)

// serving says in which role a part is served.
type serving int

const (
	download serving = iota
	inlineImage
)

// inert are the types that a browser shows without running anything. Whatever
// a part says of itself, its bytes must agree.
var inert = map[string]bool{
	"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/avif": true, "image/bmp": true,
}

// maxSourcePage is how much of a message the source page shows, in bytes.
const maxSourcePage = 256 << 10

// serveAttachment streams a decoded part under a policy that lets nothing run,
// as a download or, for an image, as itself.
func (p *pages) serveAttachment(c echo.Context, user mail.ID, as serving) error {
	uid, err := uidParam(c)
	if err != nil {
		return err
	}
	box, err := mail.ParseID(c.Param("mailbox"))
	if err != nil {
		return err
	}
	a, err := p.Store.Attachment(ctxOf(c), user, box, uid, c.Param("attachment"))
	if err != nil {
		return err
	}
	defer func() { _ = a.Decoded.Close() }()
	body := bufio.NewReaderSize(a.Decoded, 4<<10)
	kind := sniff(body)
	h := c.Response().Header()
	if as == inlineImage {
		if !inert[kind] {
			return c.NoContent(http.StatusUnsupportedMediaType)
		}
		h.Set("Cache-Control", "private, max-age=7200, immutable")
	} else {
		if !inert[kind] {
			kind = "application/octet-stream"
		}
		h.Set("Content-Disposition", contentDisposition(a.Filename))
		h.Set("Cache-Control", "private, no-store")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if a.DecodedSize >= 0 {
		h.Set(echo.HeaderContentLength, strconv.FormatInt(a.DecodedSize, 10))
	}
	if c.Request().Method == http.MethodHead {
		h.Set(echo.HeaderContentType, kind)
		return c.NoContent(http.StatusOK)
	}
	return c.Stream(http.StatusOK, kind, body)
}

// sniff names the type that the first bytes show.
func sniff(r *bufio.Reader) string {
	head, _ := r.Peek(512)
	if len(head) >= 12 && string(head[4:8]) == "ftyp" && strings.HasPrefix(string(head[8:12]), "avif") {
		return "image/avif"
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return kind
}

// contentDisposition asks the browser to save under the name, in both forms of
// RFC 6266 4.3 and appendix D.
func contentDisposition(name string) string {
	name = fileName(name)
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// maxFileName is the longest name of a download, in bytes. File systems take 255.
const maxFileName = 180

// fileName makes a sender's name harmless: one part of a path, no control or
// direction characters (which make exe.txt out of txt.exe), not too long. The
// extension stays.
func fileName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, name)
	name = strings.Trim(name, " .")
	if name == "" {
		return "attachment"
	}
	if len(name) <= maxFileName {
		return name
	}
	ext := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= 16 {
		ext = name[dot:]
	}
	return strings.ToValidUTF8(name[:maxFileName-len(ext)], "") + ext
}

// raw downloads the message byte for byte.
func (p *pages) raw(c echo.Context) error {
	uid, err := uidParam(c)
	if err != nil {
		return err
	}
	box, err := mail.ParseID(c.Param("mailbox"))
	if err != nil {
		return err
	}
	r, size, err := p.Store.Raw(ctxOf(c), userOf(c).ID, box, uid)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h := c.Response().Header()
	h.Set("Content-Disposition", contentDisposition(c.Param("uid")+".eml"))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set(echo.HeaderContentLength, strconv.FormatInt(size, 10))
	if c.Request().Method == http.MethodHead {
		h.Set(echo.HeaderContentType, "message/rfc822")
		return c.NoContent(http.StatusOK)
	}
	return c.Stream(http.StatusOK, "message/rfc822", r)
}

// source shows the beginning of the raw message as text.
func (p *pages) source(c echo.Context) error {
	uid, box, shell, subject, err := p.messageFrame(c)
	if err != nil {
		return err
	}
	r, size, err := p.Store.Raw(ctxOf(c), userOf(c).ID, box, uid)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	head, err := io.ReadAll(io.LimitReader(r, maxSourcePage))
	if err != nil {
		return err
	}
	text := string(head)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return render(c, http.StatusOK, templates.SourceDoc(templates.SourcePage{
		Shell: shell, Mailbox: box.String(), UID: uint32(uid), Subject: subject,
		Source: text, Cut: size > maxSourcePage, Size: size,
	}))
}

// headers lists all fields of the message's header.
func (p *pages) headers(c echo.Context) error {
	uid, box, shell, subject, err := p.messageFrame(c)
	if err != nil {
		return err
	}
	d, err := p.Store.Message(ctxOf(c), userOf(c).ID, box, uid)
	if err != nil {
		return err
	}
	vm := templates.HeadersPage{Shell: shell, Mailbox: box.String(), UID: uint32(uid), Subject: subject}
	for _, f := range d.Header {
		vm.Fields = append(vm.Fields, templates.HeaderField{Name: f.Key, Value: f.Value})
	}
	return render(c, http.StatusOK, templates.HeadersDoc(vm))
}

// messageFrame reads what the pages about a message have in common.
func (p *pages) messageFrame(c echo.Context) (mail.UID, mail.ID, templates.Shell, string, error) {
	fail := func(err error) (mail.UID, mail.ID, templates.Shell, string, error) {
		return 0, mail.ID{}, templates.Shell{}, "", err
	}
	uid, err := uidParam(c)
	if err != nil {
		return fail(err)
	}
	box, err := mail.ParseID(c.Param("mailbox"))
	if err != nil {
		return fail(err)
	}
	row, err := p.Store.Row(ctxOf(c), userOf(c).ID, box, uid)
	if err != nil {
		return fail(err)
	}
	shell, err := p.shellOf(ctxOf(c), c, row.Subject)
	return uid, box, shell, row.Subject, err
}

// mediaType is the type of a file that was uploaded: what the browser says, or
// what its name and bytes say.
func mediaType(given, name string, head []byte) string {
	if t, _, err := mime.ParseMediaType(given); err == nil && t != "" && t != "application/octet-stream" {
		return t
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		if t, _, err := mime.ParseMediaType(mime.TypeByExtension(name[i:])); err == nil && t != "" {
			return t
		}
	}
	t, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return t
}

// isHTML reports a leaf that the sender wrote as HTML.
func isHTML(n *message.Node) bool {
	ct := n.ContentType()
	if d := n.Disposition(); d != nil && d.Type != "" && d.Type != "inline" {
		return false
	}
	return ct.Type == "text" && ct.Subtype == "html"
}
