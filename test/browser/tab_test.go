package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// stepTimeout bounds one wait in a page. It is long because the machines are
// noisy; a step that works takes milliseconds.
const stepTimeout = 20 * time.Second

// chromium finds the browser. In CI its absence is a failure.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Chromium found")
	}
	t.Skip("no Chromium found: `make deps` installs it")
	return ""
}

// openBrowser starts a browser for the test.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("force-color-profile", "srgb"),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	// Starts the process; its life hangs on this context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start browser: %v", err)
	}
	return ctx
}

// tab is one browser window with cookies of its own.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string
}

// newTab opens a window that shares no cookie with the others.
func newTab(t testing.TB, browser context.Context, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	// Opens the window; its life hangs on this context, not on a step's.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open window: %v", err)
	}
	p := &tab{t: t, ctx: ctx, base: base}
	p.do(chromedp.EmulateViewport(1440, 900))
	return p
}

// do runs steps within the timeout.
func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.fail("step: %v", err)
	}
}

// fail ends the test with a picture of the page where one is wanted.
func (p *tab) fail(format string, args ...any) {
	p.t.Helper()
	if dir := os.Getenv("EIDER_TEST_FAILURES"); dir != "" {
		p.picture(filepath.Join(dir, "failure.png"))
	}
	p.t.Fatalf("%s\npage %s\n%s", fmt.Sprintf(format, args...), p.peek("location.href"), p.peek("document.body.innerText.slice(0,1500)"))
}

// peek evaluates an expression for a failure's text.
func (p *tab) peek(expr string) string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](expr))
	if err != nil {
		return err.Error()
	}
	return s
}

// open goes to a path.
func (p *tab) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base + path))
}

// wait waits until the expression is true.
func (p *tab) wait(expr string) {
	p.t.Helper()
	deadline := time.Now().Add(stepTimeout)
	for {
		ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expr+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.fail("waited for %s: %v", expr, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// text evaluates an expression that gives a string.
func (p *tab) text(expr string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](expr))
	if err != nil {
		p.fail("%s: %v", expr, err)
	}
	return s
}

// number evaluates an expression that gives a number.
func (p *tab) number(expr string) float64 {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	n, err := chromedp.Run(ctx, chromedp.Evaluate[float64](expr))
	if err != nil {
		p.fail("%s: %v", expr, err)
	}
	return n
}

// fill types into a field that may hold something.
func (p *tab) fill(selector, value string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	p.text(fmt.Sprintf(`(()=>{const e=document.querySelector(%s);e.focus();e.value="";return ""})()`, strconv.Quote(selector)))
	p.do(chromedp.SendKeys(chromedp.CSS(selector), value))
}

// click presses what the selector names.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// picture writes a screenshot.
func (p *tab) picture(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o755)
	}
	if err == nil {
		err = os.WriteFile(name, png, 0o644)
	}
	if err != nil {
		p.t.Errorf("screenshot %s: %v", name, err)
	}
}

// noScript switches scripts off in the window.
func (p *tab) noScript() {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// register makes an account in the browser and ends in its Inbox.
func (p *tab) register(name, username string) {
	p.t.Helper()
	p.open("/register")
	p.fill(`input[name=name]`, name)
	p.fill(`input[name=username]`, username)
	p.fill(`input[name=password]`, "seven calm eiders drift north")
	p.click(`form[action="/register"] button.primary`)
	p.wait(`location.pathname.startsWith("/mail/") && document.querySelector("#list")`)
}
