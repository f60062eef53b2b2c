package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// plain makes an account in a window without scripts.
func plain(t *testing.T, name string) *person {
	t.Helper()
	s, browser := enter(t)
	p := settle(t, s, browser, name)
	p.noScript()
	p.signIn(name)
	return p
}

// TestWithoutScript walks from registration to the answer with scripts
// switched off: every step is a link or a form.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	s, browser := enter(t)
	cleo := newTab(t, browser, "http://"+s.Web)
	cleo.noScript()
	cleo.register("Cleo Winter", "cleo")
	s.AddUser(t, "dan", "dan@eider.localhost", password)
	s.Deliver(t, "anna@elsewhere.example", "cleo@eider.localhost", world())
	cleo.open("/mail/inbox")
	cleo.wait(`document.querySelector("#rows li.row.unread")`)
	cleo.click("#rows li.row a")
	cleo.wait(`document.querySelector("#reader").innerText.includes("我们中午在码头见面。")`)
	cleo.wait(`!document.querySelector("#rows li.row.unread")`)

	cleo.click(`#reader a[data-answer=reply]`)
	cleo.wait(`document.querySelector("#compose-form")`)
	cleo.fill("input[name=to]", "dan@eider.localhost, someone@far.example")
	cleo.fill("#compose-text", "Plain and simple.")
	cleo.click(`#compose-form button[value=save]`)
	cleo.wait(`document.querySelector("[name=draft]").value !== ""`)
	cleo.wait(`document.querySelector("#compose-text").value === "Plain and simple."`)
	cleo.click(`#compose-form button[value=send]`)
	// Mail for another server waits in the queue, and the page says so.
	cleo.wait(`document.querySelector("#toast").innerText.includes("someone@far.example")`)

	cleo.open("/mail/inbox")
	cleo.click("#rows li.row button.star")
	cleo.wait(`document.querySelector("#rows li.row button.star[aria-pressed=true]")`)
	cleo.click("#rows li.row input.ck")
	cleo.click(`#bulk button[value=delete]`)
	cleo.wait(`!document.querySelector("#rows li.row")`)
	cleo.click(`#toast button`)
	cleo.wait(`document.querySelector("#rows li.row")`)
	cleo.open("/mail/sent")
	cleo.wait(`document.querySelector("#rows li.row")`)
	cleo.open("/mail/drafts")
	cleo.wait(`document.querySelector("#list") && !document.querySelector("#rows li.row")`)

	cleo.click(`.top details summary`)
	cleo.click(`.top form[action="/signout"] button`)
	cleo.wait(`location.pathname === "/signed-out"`)
	cleo.open("/mail/inbox")
	cleo.wait(`location.pathname === "/signin"`)
}

// TestWithoutScriptActions does by plain forms what the bars and menus offer.
func TestWithoutScriptActions(t *testing.T) {
	t.Parallel()
	p := plain(t, "forms")
	p.stock(3)
	unread := "(" + row("Letter 1.") + ").classList.contains('unread')"
	box := "#" + p.ref(2) + " input.ck"

	p.click(box)
	p.click(`#bulk button[value=read]`)
	p.wait("!" + unread)
	p.click(box)
	p.click(`#bulk details:not([data-move]) summary`)
	p.click(`#bulk button[value=unread]`)
	p.wait(unread)
	p.click("[data-all]")
	p.wait(`document.querySelectorAll("#rows input.ck:checked").length===3`)
	p.click(`#bulk [data-none]`)
	p.wait(`document.querySelectorAll("#rows input.ck:checked").length===0`)

	p.click(box)
	p.click(`#bulk [data-move] summary`)
	p.click(`#bulk button[name=to][value="` + p.box("Junk") + `"]`)
	p.wait("!" + row("Letter 1."))
	p.open("/mail/junk")
	p.click("#rows li.row a")
	p.click(`#act button[value=notjunk]`)
	p.wait(`location.pathname.endsWith("/" + ` + "`" + p.box("Junk") + "`" + `) && !document.querySelector("#rows li.row")`)
	p.open("/mail/inbox")
	p.wait(row("Letter 1."))

	p.click("#" + p.ref(1) + " a")
	p.click(`#act button[value=junk]`)
	p.wait("!" + row("Letter 0."))
	p.click(`#toast [data-undo]`)
	p.wait(row("Letter 0."))
	p.open("/mail/inbox?filter=unread")
	p.wait(row("Letter 2.") + "&& document.querySelector('.chip[aria-current]').textContent.includes('Unread')")
}

// TestWithoutScriptPaging goes through 120 messages and back.
func TestWithoutScriptPaging(t *testing.T) {
	t.Parallel()
	p := plain(t, "pages")
	p.stock(120)
	for _, step := range []struct{ rel, first, last string }{
		{"", "Letter 119.", "Letter 70."},
		{"next", "Letter 69.", "Letter 20."},
		{"next", "Letter 19.", "Letter 0."},
		{"prev", "Letter 69.", "Letter 20."},
		{"prev", "Letter 119.", "Letter 70."},
	} {
		if step.rel != "" {
			p.click(`.pager [rel=` + step.rel + `]`)
		}
		p.wait(fmt.Sprintf(`(()=>{const r=[...document.querySelectorAll("#rows li.row")];return r.length && r[0].textContent.includes(%q) && r.at(-1).textContent.includes(%q)})()`, step.first, step.last))
	}
	if p.is(`document.querySelector('.pager [rel=prev]')`) {
		t.Error("the first page has a newer one")
	}
}

// TestWithoutScriptFiles attaches, removes and sends a file, and discards a
// draft.
func TestWithoutScriptFiles(t *testing.T) {
	t.Parallel()
	p := plain(t, "paper")
	name := filepath.Join(t.TempDir(), "plan b.txt")
	if err := os.WriteFile(name, []byte("the plan"), 0o600); err != nil {
		t.Fatal(err)
	}
	attach := func() {
		p.do(chromedp.SetUploadFiles(chromedp.CSS("#compose-files"), []string{name}))
		p.click(`#compose-form button[value=attach]`)
		p.wait(`document.querySelector("#compose-state .file")?.textContent.includes("plan b")`)
	}
	p.open("/compose?subject=Plan")
	p.fill("input[name=to]", p.address)
	p.fill("#compose-text", "See the file.")
	attach()
	p.click(`#compose-state button[name=remove]`)
	p.wait(`document.querySelector("#compose-text").value==="See the file." && !document.querySelector("#compose-state .file")`)
	attach()
	p.click(`#compose-form button[value=send]`)
	p.wait(`document.querySelector("#toast").innerText.includes("sent")`)
	p.open("/mail/inbox")
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader .files a")?.textContent.includes("plan b")`)

	p.open("/compose?subject=Never")
	p.fill("#compose-text", "No.")
	p.click(`#compose-form button[value=save]`)
	p.wait(`document.querySelector("[name=draft]").value !== ""`)
	p.open("/mail/drafts")
	p.click("#rows li.row a")
	p.click(`#reader .reply a`)
	p.wait(`document.querySelector("#compose-text").value==="No."`)
	p.click(`#compose-form button[value=discard]`)
	p.wait(`document.querySelector("#toast").innerText.trim()!==""`)
	p.open("/mail/drafts")
	p.wait(`document.querySelector("#list") && !document.querySelector("#rows li.row")`)
}

// TestWithoutScriptSettings changes name, language and looks by the form.
func TestWithoutScriptSettings(t *testing.T) {
	t.Parallel()
	p := plain(t, "taste")
	p.open("/settings/profile")
	p.fill("[name=name]", "Tova Taste")
	p.run(`document.querySelector("[name=theme]").value="dark";document.querySelector("[name=density]").value="compact";document.querySelector("[name=language]").value="ar"`)
	p.click(`form[action="/settings/profile"] button.primary`)
	p.wait(`document.documentElement.lang==="ar" && document.documentElement.dir==="rtl"`)
	p.open("/mail/inbox")
	p.wait(`document.documentElement.dataset.theme==="dark" && document.documentElement.dataset.density==="compact"`)
	p.open("/settings/profile")
	p.wait(`document.querySelector("[name=name]").value==="Tova Taste"`)
	p.open("/shortcuts")
	p.wait(`document.querySelectorAll("#keys kbd").length>20`)
}
