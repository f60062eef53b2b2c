package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const chosen = `document.querySelectorAll("#rows input.ck:checked").length`

// TestUndo takes back archiving, deleting, moving and marking, by the button
// and by the key Z.
func TestUndo(t *testing.T) {
	t.Parallel()
	p := sit(t, "regret")
	p.stock(3)
	middle := row("Letter 1.")
	box := "#" + p.ref(2) + " input.ck"
	undo := func(byKey bool) {
		p.wait(`document.querySelector("#toast [data-undo]")`)
		if byKey {
			p.keys("z")
		} else {
			p.click("#toast [data-undo]")
		}
		p.wait(`document.querySelector("#toast").textContent.includes("Undone")`)
	}
	for i, verb := range []string{"archive", "delete", "junk", "read"} {
		choose := box
		if i > 0 {
			// Each way back gives the message a new number.
			choose = "#rows li.row:nth-child(2) input.ck"
		}
		p.click(choose)
		if verb == "read" {
			// One row alone shows its state in its place; two need words.
			p.click("#rows li.row:nth-child(1) input.ck")
		}
		if verb == "junk" {
			p.click("#bulk details:not([data-move]) summary")
		}
		p.click("#bulk button[value=" + verb + "]")
		if verb == "read" {
			p.wait("!(" + middle + ").classList.contains('unread')")
			undo(i%2 == 1)
			p.wait("(" + middle + ").classList.contains('unread')")
			continue
		}
		p.wait("!" + middle)
		undo(i%2 == 1)
		p.wait(middle)
		p.wait(`document.querySelectorAll("#rows li.row").length===3`)
	}
	// The two stay selected.
	p.wait(chosen + "===2")
	p.keys("*n")
	p.click("#rows li.row:nth-child(2) input.ck")
	p.keys("v")
	p.wait(`document.querySelector("#bulk [data-move]").open`)
	p.click(`#bulk [data-move] button[value="` + p.box("Junk") + `"]`)
	p.wait("!" + middle)
	undo(true)
	p.wait(middle)
}

// TestBulk marks, stars and removes several at once, also in Trash for ever.
func TestBulk(t *testing.T) {
	t.Parallel()
	p := sit(t, "sweeper")
	p.stock(5)
	p.click("[data-all]")
	p.wait(chosen + "===5")
	p.wait(`document.querySelector("[data-selected]").textContent.includes("5")`)
	p.click("#bulk button[value=read]")
	p.wait(`!document.querySelector("#rows .unread")`)
	p.keys("*a")
	p.click("#bulk details:not([data-move]) summary")
	p.click("#bulk button[value=star]")
	p.wait(`document.querySelectorAll("#rows .star[aria-pressed=true]").length===5`)
	p.wait(`document.querySelector("#toast [data-undo]") && document.querySelector("#toast").textContent.includes("tarred")`)
	p.open("/mail/inbox?filter=starred")
	p.wait(`document.querySelectorAll("#rows li.row").length===5 && !document.querySelector("#rows .unread")`)
	p.open("/mail/inbox")
	p.keys("*a")
	p.wait(chosen + "===5")
	p.click("#bulk button[value=delete]")
	p.wait(`document.querySelector("#rows.empty")`)
	p.wait(`document.querySelector("#toast").innerText.includes("5")`)
	p.open("/mail/trash")
	p.wait(`document.querySelectorAll("#rows li.row").length===5`)
	p.keys("*a")
	p.click("#bulk button[value=delete]")
	p.wait(`document.querySelector("#rows.empty")`)
	p.open("/mail/trash")
	p.wait(`document.querySelector("#rows.empty")`)
	if p.is(`document.querySelector("#toast [data-undo]")`) {
		t.Error("deleting for ever offers to be undone")
	}
}

// TestStar shows the star before the server has answered, and takes it back
// when the server refuses.
func TestStar(t *testing.T) {
	t.Parallel()
	p := sit(t, "gazer")
	p.stock(2)
	star := "document.querySelector('#" + p.ref(1) + " .star')"
	p.run(`window.ask=fetch;window.wait=new Promise(r=>window.go=r);window.fetch=(...a)=>wait.then(()=>ask(...a))`)
	p.click("#" + p.ref(1) + " .star")
	p.wait(star + ".getAttribute('aria-pressed')==='true'")
	p.run(`go()`)
	p.wait(`performance.getEntriesByType("resource").some(e=>e.name.includes("/mail/"))`)
	p.open("/mail/inbox")
	p.wait(star + ".getAttribute('aria-pressed')==='true'")
	p.run(`window.ask=fetch;window.fetch=(u,o)=>o&&o.method==="POST"?Promise.reject(new TypeError("away")):ask(u,o)`)
	p.click("#" + p.ref(1) + " .star")
	p.wait(`document.querySelector("#toast .bad") && ` + star + ".getAttribute('aria-pressed')==='true'")
}

// TestKeys walks through the keyboard map.
func TestKeys(t *testing.T) {
	t.Parallel()
	p := sit(t, "typist")
	p.stock(6)
	focused := func(text string) string {
		return `document.activeElement.closest(".row")?.textContent.includes("` + text + `")`
	}
	open := func(text string) string {
		return `document.querySelector("#reader[data-id] h2")?.textContent.includes("` + text + `")`
	}
	p.keys("j")
	p.wait(focused("Letter 5."))
	p.keys("jj")
	p.wait(focused("Letter 3."))
	p.keys("k")
	p.wait(focused("Letter 4."))
	p.keys("x")
	p.wait(chosen + "===1")
	p.keys("jX")
	p.wait(chosen + "===2")
	p.keys("s")
	p.wait(`document.querySelectorAll("#rows .star[aria-pressed=true]").length===2`)
	p.keys("*n")
	p.wait(chosen + "===0")
	p.keys("*s")
	p.wait(chosen + "===2")
	p.keys("*n")
	p.keys("o")
	p.wait(open("Letter 3.") + `&& location.pathname.split("/").length===4`)
	p.wait("!(" + row("Letter 3.") + ").classList.contains('unread')")
	p.keys("j")
	p.wait(open("Letter 2."))
	p.keys("U")
	p.wait("(" + row("Letter 2.") + ").classList.contains('unread')")
	p.keys("I")
	p.wait("!(" + row("Letter 2.") + ").classList.contains('unread')")
	// Archiving goes on to the next message.
	p.keys("e")
	p.wait("!" + row("Letter 2.") + " && " + open("Letter 1."))
	p.keys("u")
	p.wait(`!document.querySelector("#reader").dataset.id && location.pathname.split("/").length===3`)
	p.wait(focused("Letter 1."))
	p.keys("#")
	p.wait("!" + row("Letter 1."))
	p.keys("j")
	p.keys("!")
	p.wait(`document.querySelectorAll("#rows li.row:not(.going)").length===3`)

	p.keys("?")
	p.wait(`document.querySelector("dialog[open] kbd")`)
	p.keys(kb.Escape)
	p.wait(`!document.querySelector("dialog")`)
	p.click("#rows li.row:not(.going) a")
	p.wait(`document.querySelector("#reader").dataset.id`)
	for key, heading := range map[string]string{"r": "Reply", "a": "Reply", "f": "Forward", "c": "New message"} {
		p.keys(key)
		p.wait(`document.querySelector("#composer #compose-title")?.textContent.includes("` + heading + `")`)
		p.wait(`document.activeElement.closest("#compose")`)
		p.keys(kb.Escape)
		p.wait(`!document.querySelector("#compose")`)
	}
	p.keys("gt")
	p.wait(`document.querySelector("#list h2").textContent.includes("Sent")`)
	p.keys("gi")
	p.wait(`document.querySelector("#list h2").textContent.includes("Inbox")`)
	// Back and forward show what the address says.
	p.run("history.back()")
	p.wait(`document.querySelector("#list h2").textContent.includes("Sent")`)
	p.run("history.forward()")
	p.wait(`document.querySelector("#list h2").textContent.includes("Inbox")`)
}

// TestNextPage goes to older messages and back without loading the page anew.
func TestNextPage(t *testing.T) {
	t.Parallel()
	p := sit(t, "leafing")
	p.stock(60)
	p.run("window.here=true")
	p.keys("]")
	p.wait(row("Letter 9.") + ` && document.querySelectorAll("#rows li.row").length===10`)
	p.post("On the first page")
	p.keys("[")
	p.wait(row("Letter 59.") + ` && window.here`)
	p.keys("[")
	p.wait(row("On the first page") + ` && window.here && document.querySelectorAll("#rows li.row").length===50`)
}
