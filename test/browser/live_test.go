package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

const pillShown = `!document.querySelector("[data-pill]").hidden`

// stock delivers numbered letters and loads the list.
func (p *person) stock(n int) {
	p.t.Helper()
	for i := range n {
		p.post(fmt.Sprintf("Letter %d.", i))
	}
	p.open("/mail/inbox")
	p.wait(fmt.Sprintf(`document.querySelectorAll("#rows li.row").length===%d`, min(n, 50)))
}

// arrived waits for new mail and takes it from the pill where it offers itself there.
func (p *tab) arrived(subject string) {
	p.t.Helper()
	p.wait(row(subject) + "||" + pillShown)
	if !p.is(row(subject)) {
		p.click("[data-pill]")
		p.wait(row(subject))
	}
}

// TestLiveDisturbsNothing has new mail come while the user works in the list:
// it offers itself in the head, and the list stays as it is until asked.
func TestLiveDisturbsNothing(t *testing.T) {
	t.Parallel()
	p := sit(t, "calm")
	p.stock(30)

	// Rows selected.
	p.click("#" + p.ref(29) + " input.ck")
	p.click("#" + p.ref(27) + " input.ck")
	p.post("While selected")
	p.wait(pillShown)
	if n := p.number(`document.querySelectorAll("#rows input.ck:checked").length`); n != 2 {
		t.Errorf("%v rows are selected after new mail, not 2", n)
	}
	if p.is(row("While selected")) {
		t.Error("a row came in among selected ones")
	}
	p.wait(`document.title.startsWith("(31) ")`)
	// The bar of the selection stands where the pill is, until it is gone.
	p.keys("*n")
	p.wait(`!document.querySelector("#rows input.ck:checked")`)
	p.wait(`document.querySelector("[data-pill]").innerText.includes("1 new message")`)
	p.click("[data-pill]")
	p.wait(row("While selected"))

	// The list scrolled, a row focused.
	p.run(`document.activeElement.blur();document.querySelector("#rows").scrollTop=600`)
	top := p.number(`document.querySelector("#rows").scrollTop`)
	p.post("While scrolled")
	p.wait(pillShown)
	if now := p.number(`document.querySelector("#rows").scrollTop`); now != top {
		t.Errorf("the list moved from %v to %v", top, now)
	}
	p.click("[data-pill]")
	p.wait(row("While scrolled") + ` && document.querySelector("#rows").scrollTop===0`)

	p.run(`document.querySelectorAll("#rows li.row a")[3].focus()`)
	focused := p.text(`document.activeElement.getAttribute("href")`)
	p.post("While focused")
	p.wait(pillShown)
	if now := p.text(`document.activeElement.getAttribute("href")`); now != focused {
		t.Errorf("the focus went from %s to %s", focused, now)
	}
	p.run(`document.activeElement.blur()`)
	p.click("[data-pill]")
	p.wait(row("While focused"))

	// A filter that the new mail may not pass.
	p.click(".chips a[href*=starred]")
	p.wait(`location.search==="?filter=starred"`)
	p.post("While filtered")
	p.wait(pillShown)
	if p.is(row("While filtered")) {
		t.Error("mail without a star came in among the starred")
	}
	p.click("[data-pill]")
	p.wait(row("While filtered") + `&& location.search===""`)
}

// TestLiveBesideAnOpenMessage: the reader keeps its message, its scroll and
// its focus when mail comes.
func TestLiveBesideAnOpenMessage(t *testing.T) {
	t.Parallel()
	p := sit(t, "reading")
	p.server.Deliver(t, "mail@elsewhere.example", p.address, "From: a@elsewhere.example\nSubject: Long one\n\n"+strings.Repeat("A line of many.\n\n", 300))
	p.open("/mail/inbox")
	p.click("#" + p.ref(1) + " a")
	p.wait(`document.querySelector("#reader").dataset.id`)
	p.run(`const c=document.querySelector("#conversation");c.focus();c.scrollTop=500`)
	id := p.text(`document.querySelector("#reader").dataset.id`)
	p.post("Meanwhile")
	p.wait(row("Meanwhile") + "||" + pillShown)
	if !p.is(`document.querySelector("#conversation").scrollTop===500 && document.activeElement.id==="conversation"`) {
		t.Error("the reader moved or lost the focus")
	}
	if now := p.text(`document.querySelector("#reader").dataset.id`); now != id {
		t.Errorf("the reader shows %s instead of %s", now, id)
	}
}

// ref is the id of the Inbox row with a UID.
func (p *person) ref(uid int) string { return fmt.Sprintf("m-%s-%d", p.inbox, uid) }

// TestLiveFromElsewhere makes changes through the API and in a second window.
func TestLiveFromElsewhere(t *testing.T) {
	t.Parallel()
	p := sit(t, "elsewhere")
	p.stock(3)
	p.wait(`document.title.startsWith("(3) ")`)
	unseen := func(n string) string {
		return `document.querySelector('[data-folder="` + p.inbox + `"] [data-count]').textContent==="` + n + `"`
	}
	p.wait(unseen("3"))
	messages := "/mailboxes/" + p.inbox + "/messages"

	p.api(http.MethodPut, messages, map[string]any{"message": "1", "seen": true})
	p.wait("!(" + row("Letter 0.") + ").classList.contains('unread') && " + unseen("2"))
	p.wait(`document.title.startsWith("(2) ")`)
	p.api(http.MethodPut, messages, map[string]any{"message": "1", "flagged": true, "seen": false})
	p.wait("(" + row("Letter 0.") + ").querySelector('.star[aria-pressed=true]')")
	p.wait("(" + row("Letter 0.") + ").classList.contains('unread')")
	p.api(http.MethodDelete, messages+"/2", nil)
	p.wait("!" + row("Letter 1."))

	other := p.another()
	other.open("/mail/inbox")
	other.click("#" + p.ref(3) + " .star")
	p.wait("(" + row("Letter 2.") + ").querySelector('.star[aria-pressed=true]')")
	other.click("#" + p.ref(3) + " a")
	p.wait("!(" + row("Letter 2.") + ").classList.contains('unread')")
	if p.is(`document.querySelector("#reader").dataset.id`) {
		t.Error("the other window's message opened here")
	}
	other.wait(`document.querySelector("#reader").dataset.id`) // the key is for the message that is open
	other.keys("e")
	p.wait("!" + row("Letter 2."))
	p.click(`[data-folder][data-use=archive]`)
	p.wait(row("Letter 2."))
}

// TestLiveComesBack restarts the server under an open window, which says so,
// returns by itself and learns what it missed.
func TestLiveComesBack(t *testing.T) {
	t.Parallel()
	_, browser := enter(t)
	data := t.TempDir()
	s, err := harness.Launch(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	p := settle(t, s, browser, "patient")
	p.signIn("patient")
	p.post("Before")
	p.wait(row("Before"))
	web, lmtp, smtp, api := s.Web, s.LMTP, s.SMTP, s.API
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	p.wait(`!document.querySelector("[data-lost]").hidden`)
	s = harness.Start(t, data, "--web", web, "--api", api, "--lmtp", lmtp, "--smtp", smtp)
	p.server = s
	p.post("While away")
	// It may be back by now; then there is nothing to press.
	p.run(`document.querySelector("[data-reconnect]").click()`)
	p.wait(row("While away"))
	p.wait(`document.querySelector("[data-lost]").hidden`)
	p.post("After")
	p.wait(row("After"))
}
