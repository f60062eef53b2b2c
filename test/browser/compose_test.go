package browser

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// addressTo types recipients into a line of the composer.
func (p *tab) addressTo(line, addresses string) {
	p.t.Helper()
	p.fill(`#compose [data-recipients=`+line+`] input[data-typing]`, addresses+",")
}

// send presses Send and waits for the news.
func (p *tab) send() {
	p.t.Helper()
	p.click(`#compose-form button[value=send]`)
	p.wait(`!document.querySelector("#compose-form") && document.querySelector("#toast").innerText.includes("sent")`)
}

const saved = `document.querySelector("[data-saved]")?.textContent.startsWith("Saved") && document.querySelector("#compose [name=draft]").value`

// TestDraft is written, saved by itself, edited after a reload, and discarded.
func TestDraft(t *testing.T) {
	t.Parallel()
	p := sit(t, "drafter")
	p.click(".compose-btn")
	p.fill("#compose-text", "First thought.")
	p.wait(saved)
	p.addressTo("to", "Someone <someone@far.example>")
	p.fill("#compose-subject", "Thoughts")
	p.wait(`document.querySelector("[data-saved]").textContent==="Not saved yet" || ` + saved)
	p.wait(saved)
	p.wait(`document.querySelector('[data-folder][data-use=drafts] [data-count]').textContent==="1"`)
	p.open("/mail/drafts")
	p.wait(row("Thoughts"))
	p.click("#rows li.row a")
	p.click("#reader .reply a")
	p.wait(`document.querySelector("#compose-text")?.value==="First thought." && document.querySelector("#compose-subject").value==="Thoughts"`)
	p.wait(`document.querySelector("#compose .chip").textContent.includes("Someone")`)
	p.do(chromedp.SendKeys(chromedp.CSS("#compose-text"), " Second."))
	p.wait(saved)
	p.do(chromedp.Reload())
	p.open("/mail/drafts")
	p.wait(`document.querySelectorAll("#rows li.row").length===1`)
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader .prose")?.innerText.includes("Second.")`)
	p.click("#reader .reply a")
	p.wait(`document.querySelector("#compose-text")?.value.includes("Second.")`)
	p.click("#compose-form button[value=discard]")
	p.wait(`!document.querySelector("#compose-form")`)
	p.open("/mail/drafts")
	p.wait(`document.querySelector("#rows.empty")`)
}

// TestFiles attaches by the file input, removes, sends, and forwards: the bytes
// arrive as they were.
func TestFiles(t *testing.T) {
	t.Parallel()
	ada := sit(t, "ada")
	bob := sit(t, "bob")
	dir := t.TempDir()
	data := make([]byte, 300_000)
	noise := rand.NewChaCha8([32]byte{7})
	_, _ = noise.Read(data)
	big, small := filepath.Join(dir, "Übersicht 报告.bin"), filepath.Join(dir, "wrong.txt")
	for name, content := range map[string][]byte{big: data, small: bytes.Repeat([]byte("x"), 10)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ada.click(".compose-btn")
	ada.wait(`document.querySelector("#compose-files")`)
	ada.do(chromedp.SetUploadFiles(chromedp.CSS("#compose-files"), []string{big, small}))
	ada.wait(`document.querySelectorAll("#compose-state .file").length===2`)
	ada.run(`[...document.querySelectorAll("#compose-state .file")].find(e=>e.textContent.includes("wrong")).querySelector("button[name=remove]").click()`)
	ada.wait(`document.querySelectorAll("#compose-state .file").length===1`)
	ada.addressTo("to", ada.address)
	ada.fill("#compose-subject", "With a file")
	ada.send()
	ada.wait(row("With a file"))
	ada.click("#rows li.row a")
	ada.click(`#reader a[data-answer=forward]`)
	ada.wait(`document.querySelector("#compose-state .file")?.textContent.includes("bersicht")`)
	ada.wait(`document.querySelector("#compose-subject").value.startsWith("Fwd: With a file")`)
	ada.addressTo("to", bob.address)
	ada.fill("#compose-text", "For you.")
	ada.send()

	bob.wait(row("Fwd: With a file") + `.querySelector("svg")`)
	bob.click("#rows li.row a")
	bob.wait(`document.querySelector("#reader .files a")`)
	sum := sha256.Sum256(data)
	got := bob.text(`fetch(document.querySelector("#reader .files a").href).then(async r=>{
		const d=await crypto.subtle.digest("SHA-256",await r.arrayBuffer());
		return [r.headers.get("Content-Disposition"),r.headers.get("X-Content-Type-Options"),[...new Uint8Array(d)].map(b=>b.toString(16).padStart(2,"0")).join("")].join("\n")})`)
	parts := strings.Split(got, "\n")
	if !strings.HasPrefix(parts[0], "attachment;") || !strings.Contains(parts[0], "filename*=UTF-8''%C3%9Cbersicht%20%E6%8A%A5%E5%91%8A.bin") || parts[1] != "nosniff" {
		t.Errorf("download headers %q", parts[:2])
	}
	if parts[2] != hex.EncodeToString(sum[:]) {
		t.Error("the forwarded file has other bytes")
	}
}

// TestForwardWhole forwards a message as an attachment and writes it anew, from
// the menu of the reader.
func TestForwardWhole(t *testing.T) {
	t.Parallel()
	p := sit(t, "relayer")
	p.post("Minutes")
	p.wait(row("Minutes"))
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader").dataset.id`)
	item := func(action string) {
		p.run(`const menu=document.querySelector("#reader .bar a[href*='action=` + action + `']").closest("details");menu.open=true`)
		p.click("#reader .bar a[href*='action=" + action + "']")
	}
	item("attach")
	p.wait(`document.querySelector("#compose-state .file")?.textContent.includes("Minutes") && document.querySelector("#compose-subject").value==="Fwd: Minutes"`)
	p.addressTo("to", p.address)
	p.send()
	p.wait(row("Fwd: Minutes"))
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader .msg h3") && document.querySelector("#reader").textContent.includes("Minutes.eml")`)
	item("rewrite")
	p.wait(`document.querySelector("#compose-subject")?.value==="Fwd: Minutes" && document.querySelectorAll("#compose-state .file").length===1`)
	p.wait(`document.querySelector("#compose .chip").textContent.includes("relayer")`)
}

// TestRecipients answers all, keeps Bcc secret, and tells a wrong address in
// its place.
func TestRecipients(t *testing.T) {
	t.Parallel()
	eve := sit(t, "eve")
	fay := sit(t, "fay")
	gus := sit(t, "gus")
	eve.click(".compose-btn")
	eve.addressTo("to", "Fay <"+fay.address+">")
	eve.run(`[...document.querySelectorAll("#compose .fields ~ * button.add, #compose button.add")].find(e=>e.textContent==="Bcc").click()`)
	eve.addressTo("bcc", gus.address)
	eve.fill("#compose-subject", "Quietly")
	eve.send()
	for _, reader := range []*person{fay, gus} {
		reader.arrived("Quietly")
		reader.click("#rows li.row a")
		reader.wait(`document.querySelector("#reader").dataset.id`)
		source := reader.text(`fetch(location.pathname+"/message.eml").then(r=>r.text())`)
		head, _, _ := strings.Cut(source, "\r\n\r\n")
		if strings.Contains(strings.ToLower(head), "\nbcc:") || reader == fay && strings.Contains(head, gus.address) {
			t.Errorf("%s learns of the blind copy:\n%s", reader.name, head)
		}
	}

	eve.post("Ask all")
	fay.server.Deliver(t, "x@elsewhere.example", fay.address, "From: X <x@elsewhere.example>\nTo: "+fay.address+", "+gus.address+"\nCc: "+eve.address+"\nSubject: Round\nMessage-ID: <round@elsewhere.example>\n\nWhat do you think?\n")
	fay.arrived("Round")
	fay.click("#rows li.row a")
	fay.wait(`document.querySelector("#reader h2").textContent.includes("Round")`)
	fay.click(`#reader a[data-answer=replyall]`)
	fay.wait(`document.querySelector("#compose input[name=to]")?.value.includes("x@elsewhere.example")`)
	all := fay.text(`document.querySelector("#compose input[name=to]").value+" "+document.querySelector("#compose input[name=cc]").value`)
	if strings.Contains(all, fay.address) || !strings.Contains(all, gus.address) || !strings.Contains(all, eve.address) {
		t.Errorf("the answer to all goes to %s", all)
	}
	// Takes the outsider off; a wrong address stops the sending and is told.
	fay.click(`#compose [data-recipients=to] .chip button`)
	fay.addressTo("to", "not an address")
	fay.wait(`document.querySelector("#compose .chip.bad")`)
	fay.fill("#compose-text", "Yes.")
	fay.click(`#compose-form button[value=send]`)
	fay.wait(`document.querySelector("#compose [data-recipients=to] .err")?.textContent.includes("not an address")`)
	fay.wait(`document.querySelector("#compose-text").value==="Yes."`)
	fay.run(`document.querySelector("#compose .chip.bad button").click()`)
	fay.send()
	for _, reader := range []*person{eve, gus} {
		reader.arrived("Re: Round")
	}
}
