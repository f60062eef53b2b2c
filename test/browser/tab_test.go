package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
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

// browserOptions start Chromium so that every name but 127.0.0.1 leads to the
// trap.
func browserOptions(path, profile, trap string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(profile),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("force-color-profile", "srgb"),
		// The browser's own errands are switched off or would land in the trap too.
		// A process for each frame would cost more than the test is about: the
		// frames' origins are opaque with and without.
		chromedp.Flag("disable-features", "IsolateSandboxedIframes,OptimizationHints,MediaRouter,Translate,AutofillServerCommunication,CertificateTransparencyComponentUpdater"),
		chromedp.Flag("host-resolver-rules", "MAP * "+trap+",EXCLUDE 127.0.0.1"),
		chromedp.Flag("no-proxy-server", true),
	)
}

// tab is one browser window with cookies of its own.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu sync.Mutex
	// faults are uncaught errors of scripts and breaches of the content policy.
	faults []string
	// requests are the addresses that the window asked for.
	requests []string
}

// newTab opens a window that shares no cookie with the others. A script's
// uncaught error or a breach of the content policy in it fails the test.
func newTab(t testing.TB, browser context.Context, base string) *tab {
	t.Helper()
	return openTab(t, base, browser, chromedp.WithNewBrowserContext())
}

// another opens a second window with the same cookies.
func (p *tab) another() *tab {
	p.t.Helper()
	return openTab(p.t, p.base, p.ctx)
}

func openTab(t testing.TB, base string, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	// Opens the window; its life hangs on this context, not on a step's.
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		t.Fatalf("open window: %v", err)
	}
	p := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatalf("listen to the window: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Errorf("in the window: %s", fault)
		}
	})
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		return chromedp.Void{}, err
	}, chromedp.EmulateViewport(1440, 900))
	return p
}

// note keeps what the window tells of itself.
func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && (strings.Contains(e.Entry.Text, "Content Security Policy") || strings.Contains(e.Entry.Text, "TrustedHTML")) {
			p.faults = append(p.faults, e.Entry.Text+" at "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		p.faults = append(p.faults, text+" at "+e.ExceptionDetails.URL)
	}
}

// asked gives the addresses that the window asked for since the last call.
func (p *tab) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.requests
	p.requests = nil
	return out
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
	p.t.Fatalf("%s\npage %s\n%s", fmt.Sprintf(format, args...), p.peek("location.href"), p.peek("document.body.innerText.slice(0,400)"))
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

// text evaluates an expression that gives a string, or a promise of one.
func (p *tab) text(expr string) string {
	p.t.Helper()
	return value[string](p, expr)
}

// number evaluates an expression that gives a number.
func (p *tab) number(expr string) float64 {
	p.t.Helper()
	return value[float64](p, expr)
}

// is evaluates a condition.
func (p *tab) is(expr string) bool {
	p.t.Helper()
	return value[bool](p, "!!("+expr+")")
}

// run evaluates statements.
func (p *tab) run(statements string) {
	p.t.Helper()
	value[string](p, "(()=>{"+statements+";return \"\"})()")
}

func value[T any](p *tab, expr string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fail("%s: %v", expr, err)
	}
	return v
}

// keys presses keys one after the other, wherever the focus is.
func (p *tab) keys(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// row is the expression for the row with a text.
func row(text string) string {
	return "[...document.querySelectorAll('#rows li.row:not(.going)')].find(e=>e.textContent.includes(" + strconv.Quote(text) + "))"
}

// fill types into a field that may hold something.
func (p *tab) fill(selector, value string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	p.run(fmt.Sprintf(`const e=document.querySelector(%s);e.focus();e.value=""`, strconv.Quote(selector)))
	p.do(chromedp.SendKeys(chromedp.CSS(selector), value))
}

// click presses what the selector names.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// submit presses what leads to another document and waits for that.
func (p *tab) submit(selector string) {
	p.t.Helper()
	p.run("window.stale=true")
	p.click(selector)
	p.wait(`!window.stale && document.readyState==="complete"`)
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

// inFrame evaluates a condition in a world of its own inside a frame.
func inFrame(ctx context.Context, t *chromedp.Target, frame cdp.FrameID, condition string) (bool, error) {
	world, err := cdp.Call(ctx, t, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frame})
	if err != nil {
		return false, err
	}
	got, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{Expression: "!!(" + condition + ")", ContextID: world.ExecutionContextID, ReturnByValue: new(true)})
	if err != nil || got.Result == nil {
		return false, err
	}
	return string(got.Result.Value) == "true", nil
}
