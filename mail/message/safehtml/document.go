package safehtml

import (
	"html"
	"strings"
)

// DocumentOptions are the choices of one frame.
type DocumentOptions struct {
	// Nonce admits our sizing script; it is the one given to [FrameCSP], new for
	// every response. Empty leaves the script out: the frame then scrolls.
	Nonce string
	// Dark shows the message in a dark scheme. A message without dark colours
	// of its own gets its lightness inverted; hues and images stay.
	Dark bool
	// Auto follows the scheme of the page around the frame instead of Dark.
	Auto bool
	// Lang is the language tag of the document, empty for unknown.
	Lang string
	// Title is the document's title, for readers that announce frames.
	Title string
}

// SizeMessage is the value of the field "eider" in the object that the frame
// posts to its parent, {eider: "height", h: pixels}. The parent checks that
// event.source is the frame and clamps h.
const SizeMessage = "height"

// MaxHeight is the height, in CSS pixels, that a page gives a frame at most.
const MaxHeight = 200_000

// sizeScript tells the parent how high the content is. The parent's origin is
// not known to a frame with an opaque one, hence "*"; a height is no secret.
const sizeScript = `(()=>{const e=document.querySelector(".eider-mail"),p=()=>parent.postMessage({eider:"height",h:Math.ceil(Math.max(e.scrollHeight,e.offsetHeight))},"*");new ResizeObserver(p).observe(e);addEventListener("load",p,true);p()})()`

// baseStyle is what mail is shown with. The layer holds what a message may
// not override: important declarations of a layer win over those outside it.
const baseStyle = `@layer eider{` +
	`.eider-warn::after{content:" " attr(title) !important;display:inline !important;visibility:visible !important;` +
	`font:600 12px/1.4 system-ui,sans-serif !important;color:#8a4b00 !important;background:#fff3d6 !important;` +
	`letter-spacing:normal !important;text-indent:0 !important;border-radius:4px;padding:0 4px;margin-left:4px}` +
	`.eider-mail{position:relative !important}}` +
	`html,body{margin:0;padding:0;background:transparent}` +
	`.eider-mail{display:flow-root;box-sizing:border-box;overflow-x:auto;overflow-y:hidden;overflow-wrap:break-word;` +
	`font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif;color:#1c1e21;background:#fff}` +
	`.eider-body{display:flow-root}` +
	`img{max-width:100%}img:not(.eider-blocked){height:auto}` +
	`img.eider-blocked{display:inline-block;overflow:hidden;box-sizing:border-box;background:#8882;outline:1px dashed #8888;outline-offset:-1px}` +
	`table{max-width:100%}pre{white-space:pre-wrap;overflow-wrap:anywhere}a{color:#1a56c4}` +
	`blockquote{margin:.5em 0 .5em .4em;padding-left:.8em;border-left:2px solid #8886}`

// darkStyle inverts lightness and turns hues back; images and boxes with a
// picture behind them are inverted a second time, so they stay as they are.
const darkStyle = `.eider-mail{filter:invert(.9) hue-rotate(180deg)}` +
	`.eider-mail img:not(.eider-blocked),.eider-mail [style*="url("]{filter:invert(1) hue-rotate(180deg)}` +
	`.eider-mail [style*="url("] img:not(.eider-blocked){filter:none}`

// ownDarkStyle leaves the colours to the message.
const ownDarkStyle = `.eider-mail{color:#e6e7e9;background:#1b1c1f}a{color:#8ab4ff}`

// Document makes the complete document of a frame out of a result. It must be
// served with the header value of [FrameCSP]. A result that is TooBig gives
// an empty page.
func Document(r Result, o DocumentOptions) []byte {
	dark := darkStyle
	if r.OwnDark {
		dark = ownDarkStyle
	}
	class, schemes := "eider-light", "light"
	switch {
	case o.Auto:
		class, schemes = "eider-auto", "light dark"
		dark = "@media (prefers-color-scheme:dark){" + dark + "}"
	case o.Dark:
		class, schemes = "eider-dark", "dark"
	default:
		dark = ""
	}
	content := r.HTML
	if r.TooBig || content == "" {
		content = `<div class="` + classRoot + `"></div>`
	}
	var d strings.Builder
	d.Grow(len(content) + len(r.Style) + 4096)
	d.WriteString(`<!DOCTYPE html><html class="` + class + `"`)
	if o.Lang != "" {
		d.WriteString(` lang="` + html.EscapeString(o.Lang) + `"`)
	}
	d.WriteString(`><head><meta charset="utf-8"><meta name="color-scheme" content="` + schemes + `">` +
		`<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">` +
		`<meta http-equiv="x-dns-prefetch-control" content="off">` +
		`<title>` + html.EscapeString(o.Title) + `</title><base target="_blank">` +
		`<style>` + baseStyle + dark + `</style><style>` + r.Style + `</style></head><body>` + content)
	if nonce := safeNonce(o.Nonce); nonce != "" {
		d.WriteString(`<script nonce="` + nonce + `">` + sizeScript + `</script>`)
	}
	d.WriteString(`</body></html>`)
	return []byte(d.String())
}

// FrameCSP is the value of the Content-Security-Policy header (CSP Level 3)
// for a [Document]. imageSources are source expressions parted by spaces, as
// "https://mail.example" for the image proxy; data: is always added. The
// sandbox directive makes the origin opaque even when the address is opened
// outside our page, and the nonce admits the sizing script alone.
func FrameCSP(nonce, imageSources string) string {
	script := "'none'"
	if n := safeNonce(nonce); n != "" {
		script = "'nonce-" + n + "'"
	}
	var images strings.Builder
	for source := range strings.FieldsSeq(imageSources) {
		// A ; or , would start another directive or policy.
		if !strings.ContainsAny(source, ";,") && only(source, func(c byte) bool { return c > 0x20 && c < 0x7F }) {
			images.WriteString(source + " ")
		}
	}
	return "sandbox allow-popups allow-popups-to-escape-sandbox allow-scripts; default-src 'none'; script-src " + script +
		"; img-src " + images.String() + "data:; style-src 'unsafe-inline'; font-src 'none'; connect-src 'none'; form-action 'none'" +
		"; base-uri 'none'; frame-ancestors 'self'"
}

// safeNonce gives the nonce, or nothing when it is not of base64's alphabets.
func safeNonce(nonce string) string {
	if !only(nonce, func(c byte) bool { return letter(c) || digit(c) || strings.IndexByte("+/=-_", c) >= 0 }) {
		return ""
	}
	return nonce
}
