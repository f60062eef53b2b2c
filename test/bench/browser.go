package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/eidermail/eider/test/harness"
)

const appearances = 40

// inBrowser measures in a real Chromium: what the first view weighs, and how
// long a delivered message takes to show.
func inBrowser(ctx context.Context, r report) error {
	r.section("In Chromium")
	bin, err := findChromium()
	if err != nil {
		return err
	}
	s, done, err := launch(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := addUser(ctx, s, "ann"); err != nil {
		return err
	}
	for i := range 60 {
		if err := send(s.SMTP, fmt.Sprintf("Letter %d", i)); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "eider-chromium-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	alloc, cancel := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	tab, cancelTab := chromedp.NewContext(alloc)
	defer cancelTab()
	if err := chromedp.Do(tab, chromedp.EmulateViewport(1440, 900), chromedp.Navigate("http://"+s.Web+"/signin")); err != nil {
		return err
	}
	if err := weigh(tab, r, "sign-in page", "goal ≤ 20 kB"); err != nil {
		return err
	}
	if err := enter(tab, s); err != nil {
		return err
	}
	if err := weigh(tab, r, "first mailbox view", "goal ≤ 70 kB, ≤ 5 requests"); err != nil {
		return err
	}
	return appear(tab, s, r)
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no Chromium found: `make deps` installs it")
}

func enter(tab context.Context, s *harness.Server) error {
	err := chromedp.Do(tab,
		chromedp.SendKeys(chromedp.CSS("[name=username]"), "ann"),
		chromedp.SendKeys(chromedp.CSS("[name=password]"), password),
		chromedp.Click(chromedp.CSS("form button.primary")),
		chromedp.WaitReady(chromedp.CSS("#rows li.row")))
	if err != nil {
		return err
	}
	// Once more with an empty cache, so that everything is fetched.
	return chromedp.Do(tab, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.ClearBrowserCache, cdp.Empty{})
		return chromedp.Void{}, err
	}, chromedp.Navigate("http://"+s.Web+"/mail/inbox"), chromedp.WaitReady(chromedp.CSS("#rows li.row")))
}

// weigh sums what the browser fetched for the page, as it came over the wire.
func weigh(tab context.Context, r report, name, goal string) error {
	// Late modules and icons count as well.
	<-time.After(500 * time.Millisecond)
	text, err := chromedp.Run(tab, chromedp.Evaluate[string](`(()=>{
		const all=[...performance.getEntriesByType("navigation"),...performance.getEntriesByType("resource")];
		return all.length+" "+all.reduce((n,e)=>n+e.transferSize,0)+" "+all.map(e=>new URL(e.name).pathname).join(" ")})()`))
	if err != nil {
		return err
	}
	var n, bytes int
	if _, err := fmt.Sscan(text, &n, &bytes); err != nil {
		return err
	}
	r.line(name, fmt.Sprintf("%.1f kB in %d requests", float64(bytes)/1000, n), goal)
	return nil
}

// appear times from the server's 250 to the row in the open tab. Both clocks
// are this machine's.
func appear(tab context.Context, s *harness.Server, r report) error {
	err := chromedp.Do(tab, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[string](`(()=>{window.seen={};new MutationObserver(()=>{
			const now=performance.timeOrigin+performance.now();
			for(const e of document.querySelectorAll("#rows li.row .subj")) window.seen[e.textContent.trim()]??=now;
		}).observe(document.documentElement,{childList:true,subtree:true});return ""})()`)(ctx, t)
		return chromedp.Void{}, err
	})
	if err != nil {
		return err
	}
	var times sample
	for i := range appearances {
		subject := fmt.Sprintf("Appearing %d", i)
		if err := send(s.SMTP, subject); err != nil {
			return err
		}
		sent := float64(time.Now().UnixMicro()) / 1000
		at, err := chromedp.Run(tab, chromedp.Poll[float64](fmt.Sprintf("window.seen[%q]", subject), chromedp.WithPollingTimeout(5*time.Second)))
		if err != nil {
			return fmt.Errorf("%s did not appear: %w", subject, err)
		}
		times = append(times, max(time.Duration((at-sent)*float64(time.Millisecond)), 0))
	}
	r.line("delivery to row on the screen", times.String(), "goal p95 ≤ 250 ms")
	return nil
}

func send(addr, subject string) error {
	return harness.Send(addr, "load@elsewhere.example", "ann@eider.localhost",
		"From: Load <load@elsewhere.example>\nTo: ann@eider.localhost\nSubject: "+subject+"\n\nHello.\n")
}
