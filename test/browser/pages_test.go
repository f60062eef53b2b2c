package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// frameHas waits for a condition inside the message's frame, which is another
// origin: it is asked in a world of its own there.
func (p *tab) frameHas(condition string) bool {
	p.t.Helper()
	ok := false
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		tree, err := cdp.Call(ctx, t, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return chromedp.Void{}, err
		}
		for _, child := range tree.FrameTree.ChildFrames {
			if ok, err = inFrame(ctx, t, child.Frame.ID, condition); ok || err != nil {
				return chromedp.Void{}, err
			}
		}
		return chromedp.Void{}, nil
	})
	return ok
}

// whole lists the pages of an account with two messages, newest first.
func (p *person) whole() []string {
	first := fmt.Sprintf("/mail/%s/1", p.inbox)
	return []string{
		"/mail/inbox", "/mail/inbox?filter=unread", "/mail/junk", "/mail/nowhere", first, first + "?text=1", first + "/headers", first + "/source",
		"/compose", "/compose?action=reply&ref=" + p.inbox + "-1", "/settings/profile", "/shortcuts", "/nowhere",
	}
}

// TestPhone looks at every page at 390 px: nothing is wider than the screen.
// The drawer opens without script, and back leads to the list.
func TestPhone(t *testing.T) {
	t.Parallel()
	p := sit(t, "pocket")
	p.server.Deliver(t, "x@elsewhere.example", p.address, world())
	p.post(strings.Repeat("Endless subject without a place to break it ", 4) + strings.Repeat("x", 120))
	p.do(chromedp.EmulateViewport(390, 844))
	visitor := newTab(t, p.browser(), p.base)
	visitor.do(chromedp.EmulateViewport(390, 844))
	fits := func(w *tab, path string) {
		w.open(path)
		w.wait(`document.readyState==="complete"`)
		if wide := w.number(`document.documentElement.scrollWidth`); wide > 390 {
			t.Errorf("%s is %v px wide", path, wide)
		}
	}
	for _, path := range []string{"/signin", "/register", "/signed-out", "/nowhere"} {
		fits(visitor, path)
	}
	for _, path := range append(p.whole(), fmt.Sprintf("/mail/%s/2", p.inbox)) {
		fits(p.tab, path)
	}
	// With script: a message takes the screen, back gives the list.
	p.open("/mail/inbox")
	p.click("#" + p.ref(1) + " a")
	shown := func(id string) string { return `document.querySelector("` + id + `").checkVisibility()` }
	p.wait(shown("#reader article") + ` && !` + shown("#rows"))
	p.click("#act [data-back]")
	p.wait(shown("#rows"))
	p.run("history.back()")
	p.wait(shown("#reader article"))
	p.run("history.back()")
	p.wait(shown("#rows"))

	plain := p.another()
	plain.noScript()
	plain.do(chromedp.EmulateViewport(390, 844))
	plain.open("/mail/inbox")
	inView := `(()=>{const r=document.querySelector("#sidebar").getBoundingClientRect();return r.width>0 && r.left>=0 && r.right<=390 && document.querySelector("#sidebar").checkVisibility({visibilityProperty:true})})()`
	if plain.is(inView) {
		t.Error("the drawer is open before it was asked for")
	}
	plain.click(`#dock a[href="#sidebar"]`)
	plain.wait(inView)
	plain.submit(`#sidebar [data-use=sent]`)
	plain.wait(`document.querySelector("#lt").textContent.includes("Sent") && !` + inView)
	plain.submit(`#dock a[href="/mail/inbox"]`)
	plain.submit("#" + p.ref(1) + " a")
	plain.wait(shown("#reader article") + ` && !` + shown("#rows"))
	plain.submit("#act [data-back]")
	plain.wait(shown("#rows"))
}

// browser is the context that new windows are opened in.
func (p *person) browser() context.Context {
	_, browser := enter(p.t)
	return browser
}

// TestArabic shows every page from right to left, and translated.
func TestArabic(t *testing.T) {
	t.Parallel()
	p := sit(t, "layla")
	p.server.Deliver(t, "x@elsewhere.example", p.address, world())
	p.post("Second")
	p.open("/settings/profile")
	p.run(`document.querySelector("[name=language]").value="ar"`)
	p.submit(`form[action="/settings/profile"] button.primary`)
	for _, path := range p.whole() {
		p.open(path)
		p.wait(`document.documentElement.dir==="rtl" && document.documentElement.lang==="ar"`)
		if wide := p.number(`document.documentElement.scrollWidth-innerWidth`); wide > 0 {
			t.Errorf("%s is %v px too wide", path, wide)
		}
		if raw := p.text(`(document.body.innerText.match(/\b(?:profile|error|keys|verb|js|note|done|compose)\.[a-z]+/)||[""])[0]`); raw != "" {
			t.Errorf("%s shows the key %s", path, raw)
		}
	}
}

// TestPolicyHolds opens every page and uses what script adds: the window's own
// check finds breaches of the content policy and uncaught errors. The policy
// itself is as strict as written down.
func TestPolicyHolds(t *testing.T) {
	t.Parallel()
	p := sit(t, "strict")
	p.server.Deliver(t, "x@elsewhere.example", p.address, world())
	p.server.Deliver(t, "x@elsewhere.example", p.address, htmlLetter(p.address, "Shop", newsletter, ""))
	visitor := newTab(t, p.browser(), p.base)
	for _, path := range []string{"/signin", "/register", "/signed-out", "/nowhere"} {
		visitor.open(path)
		visitor.wait(`document.readyState==="complete"`)
	}
	for _, path := range append(p.whole(), fmt.Sprintf("/mail/%s/2", p.inbox)) {
		p.open(path)
		p.wait(`document.readyState==="complete"`)
		if raw := p.text(`(document.body.innerText.match(/\b(?:profile|error|keys|verb|js|note|done|compose)\.[a-z]+/)||[""])[0]`); raw != "" {
			t.Errorf("%s shows the key %s", path, raw)
		}
	}
	policy := p.text(`fetch("/mail/inbox").then(r=>r.headers.get("Content-Security-Policy"))`)
	for _, directive := range []string{"default-src 'none'", "'strict-dynamic'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types eider"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy lacks %s: %s", directive, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	// That a breach would be noticed.
	visitor.open("/signin")
	visitor.run(`document.body.setAttribute("style","color:red")`)
	visitor.wait("true")
	visitor.mu.Lock()
	defer visitor.mu.Unlock()
	if len(visitor.faults) == 0 {
		t.Error("a breach of the policy goes unnoticed")
	}
	visitor.faults = nil
}

// weigh empties the cache, opens the page, and gives the bytes over the wire and
// the number of requests.
func (p *tab) weigh(path string) (bytes, requests float64) {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
		return chromedp.Void{}, err
	})
	p.open(path)
	const entries = `[...performance.getEntriesByType("navigation"),...performance.getEntriesByType("resource")]`
	p.wait(`document.readyState==="complete" && ` + entries + `.every(e=>e.responseEnd>0) && ` + entries + `.some(e=>e.name.endsWith(".svg"))`)
	return p.number(entries + `.reduce((n,e)=>n+e.transferSize,0)`), p.number(entries + `.length`)
}

// TestWeight holds the first views to their budgets.
func TestWeight(t *testing.T) {
	t.Parallel()
	p := sit(t, "feather")
	p.stock(60)
	visitor := newTab(t, p.browser(), p.base)
	if bytes, n := visitor.weigh("/signin"); bytes > 20_000 || n > 5 {
		t.Errorf("the sign-in page has %v bytes in %v requests", bytes, n)
	}
	bytes, n := p.weigh("/mail/inbox")
	if bytes > 70_000 || n > 5 {
		t.Errorf("the first mailbox view has %v bytes in %v requests", bytes, n)
	}
	if rows := p.number(`document.querySelectorAll("#rows li.row").length`); rows != 50 {
		t.Fatalf("%v rows", rows)
	}
	if elements := p.number(`document.querySelectorAll("*").length`); elements > 1500 {
		t.Errorf("50 rows make %v elements", elements)
	}
}
