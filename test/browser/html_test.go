package browser

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail/message/safehtml/attacktest"
)

// onePixel is a picture that a browser shows.
const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// htmlLetter is an HTML message with related parts.
func htmlLetter(to, subject, html, related string) string {
	return "From: Shop <shop@elsewhere.example>\nTo: " + to + "\nSubject: " + subject + "\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/related; boundary=rel\n\n--rel\n" + part("text/html", html) + related + "--rel--\n"
}

// hostile puts every attack sample into one page. Samples that end the page
// early would hide the rest, so there are several letters.
func hostile(t *testing.T, number, of int) string {
	t.Helper()
	samples, err := attacktest.Load(attackDir, attacktest.Options{Canary: attackCanary, Remote: "http://evil.example/hit"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, s := range attackGroup(samples) {
		if i%of == number {
			b.WriteString("<div>" + strings.Join(s.Parts, "") + "</div>\n")
		}
	}
	return b.String()
}

// TestHostileMail delivers the attack corpus and opens it as a user does.
func TestHostileMail(t *testing.T) {
	t.Parallel()
	p := sit(t, "target")
	const letters = 8
	for i := range letters {
		p.server.Deliver(t, "evil@elsewhere.example", p.address, htmlLetter(p.address, fmt.Sprintf("Prize %d.", i), hostile(t, i, letters)+`<p style="margin-top:400px">The end.</p>`, ""))
	}
	p.open("/mail/inbox")
	p.wait(fmt.Sprintf(`document.querySelectorAll("#rows li.row").length===%d`, letters))
	p.run(`window.canary=0;addEventListener("message",e=>{if(e.data===7331)canary++});window.here=true`)
	p.asked()
	for i := range letters {
		p.run("(" + row(fmt.Sprintf("Prize %d.", i)) + `).querySelector("a").click()`)
		p.wait(fmt.Sprintf(`document.querySelector("#reader h2")?.textContent.includes("Prize %d.")`, i))
		p.wait(`document.querySelector("iframe[data-frame][data-sized]")`)
	}
	// What waits a moment before it acts has acted by then.
	<-time.After(500 * time.Millisecond)
	if !p.is(`window.here && location.origin===` + "`" + p.base + "`") {
		t.Error("the top went elsewhere: " + p.text("location.href"))
	}
	if n := p.number("window.canary"); n != 0 {
		t.Errorf("%v scripts of a message ran", n)
	}
	for _, call := range p.asked() {
		if !strings.HasPrefix(call, p.base+"/") && !strings.HasPrefix(call, "data:") {
			t.Errorf("a request to %.200s", call)
		}
	}
	if calls := callsTo("evil.example"); len(calls) != 0 {
		t.Errorf("connections left: %v", calls)
	}
	if sandbox := p.text(`document.querySelector("iframe[data-frame]").getAttribute("sandbox")`); strings.Contains(sandbox, "same-origin") {
		t.Errorf("the frame's sandbox is %s", sandbox)
	}
}

// TestRemoteImages are blocked, and on request come through the proxy alone.
func TestRemoteImages(t *testing.T) {
	t.Parallel()
	p := sit(t, "shopper")
	p.server.Deliver(t, "shop@elsewhere.example", p.address, htmlLetter(p.address, "Offer",
		`<p>Look:</p><img src="http://pictures.example/ship.png" width="300" height="200"><div style="background:url(http://pictures.example/back.png)">x</div><img src="http://pictures.example/open.gif" width="1" height="1">`, ""))
	p.open("/mail/inbox")
	p.asked()
	p.click("#rows li.row a")
	p.wait(`document.querySelector("iframe[data-frame][data-sized]")`)
	for _, call := range p.asked() {
		if strings.Contains(call, "/image") {
			t.Errorf("a picture was asked for unbidden: %s", call)
		}
	}
	p.click(".note.img a")
	p.wait(`!document.querySelector(".note.img") && document.querySelector("iframe[data-frame][data-sized]")`)
	proxied := 0
	deadline := time.Now().Add(stepTimeout)
	for proxied == 0 && time.Now().Before(deadline) {
		for _, call := range p.asked() {
			if strings.HasPrefix(call, p.base+"/image?") {
				proxied++
			} else if !strings.HasPrefix(call, p.base+"/") && !strings.HasPrefix(call, "data:") {
				t.Errorf("a request to %s", call)
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	if proxied == 0 {
		t.Error("no picture was asked for through the proxy")
	}
	if calls := callsTo("pictures.example"); len(calls) != 0 {
		t.Errorf("connections left: %v", calls)
	}
}

// TestInlineImages shows a picture that came with the message, in a frame
// whose origin has no cookie.
func TestInlineImages(t *testing.T) {
	t.Parallel()
	p := sit(t, "viewer")
	p.server.Deliver(t, "shop@elsewhere.example", p.address, htmlLetter(p.address, "Picture", `<p>Here:</p><img id="pic" src="cid:pic@x" width="240" height="240">`,
		"--rel\nContent-Type: image/png\nContent-ID: <pic@x>\nContent-Disposition: inline; filename=\"pic.png\"\nContent-Transfer-Encoding: base64\n\n"+onePixel+"\n"))
	p.open("/mail/inbox")
	p.click("#rows li.row a")
	p.wait(`Number(document.querySelector("iframe[data-frame][data-sized]")?.height)>200`)
	if !p.frameHas(`document.querySelector("img").complete && document.querySelector("img").naturalWidth>0`) {
		t.Error("the inline picture is not shown")
	}
	if p.is(`document.querySelector("#reader .files")`) {
		t.Error("the inline picture is listed as an attachment too")
	}
}

// TestAttachments are downloads whatever they call themselves.
func TestAttachments(t *testing.T) {
	t.Parallel()
	p := sit(t, "keeper")
	page := `<script>top.postMessage(7331,"*")</script>`
	p.server.Deliver(t, "x@elsewhere.example", p.address, "From: x@elsewhere.example\nSubject: Page\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"+part("text/plain", "See.")+
		"--b\nContent-Type: text/html\nContent-Disposition: inline; filename=\"page.html\"\nContent-Transfer-Encoding: base64\n\n"+base64.StdEncoding.EncodeToString([]byte(page))+
		"\n--b\nContent-Type: image/svg+xml\nContent-Disposition: attachment; filename=\"drawing.svg\"\n\n<svg xmlns='http://www.w3.org/2000/svg' onload='top.postMessage(7331)'/>\n--b--\n")
	p.open("/mail/inbox")
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader .files a")`)
	got := p.text(`Promise.all([...document.querySelectorAll("#reader .files a")].map(async a=>{const r=await fetch(a.href);
		return [a.hasAttribute("download"),r.status,r.headers.get("Content-Type"),r.headers.get("Content-Disposition"),r.headers.get("Content-Security-Policy"),r.headers.get("X-Content-Type-Options")].join(" | ")})).then(l=>l.join("\n"))`)
	for line := range strings.SplitSeq(got, "\n") {
		if !strings.HasPrefix(line, "true | 200 | application/octet-stream | attachment; filename=") || !strings.Contains(line, "sandbox") || !strings.HasSuffix(line, "nosniff") {
			t.Errorf("an attachment is served as %s", line)
		}
	}
	if !strings.Contains(got, "drawing.svg") {
		t.Errorf("the drawing is not listed: %s", got)
	}
}
