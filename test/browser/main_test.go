package browser

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/eidermail/eider/test/harness"
)

// house is the server and the browser that tests share: starting them costs
// more than most tests do. Each test has users of its own.
var house struct {
	sync.Once
	server  *harness.Server
	browser context.Context
	err     error
	close   []func() error

	mu sync.Mutex
	// calls are connections to anywhere but this machine.
	calls []string
}

func TestMain(m *testing.M) {
	code := m.Run()
	slices.Reverse(house.close)
	for _, stop := range house.close {
		if err := stop(); err != nil && code == 0 {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	harness.RemoveBinary()
	os.Exit(code)
}

// enter gives the shared server and browser.
func enter(t testing.TB) (*harness.Server, context.Context) {
	t.Helper()
	path := chromium(t)
	house.Do(func() { house.err = furnish(path) })
	if house.err != nil {
		t.Fatal(house.err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("EIDER_TEST_LOG") != "" {
			t.Logf("server log:\n%s", house.server.Log())
		}
	})
	return house.server, house.browser
}

// furnish starts both.
func furnish(chromium string) error {
	dir, err := os.MkdirTemp("", "eider-browser-")
	if err != nil {
		return err
	}
	house.close = append(house.close, func() error { return os.RemoveAll(dir) })
	if house.server, err = harness.Launch(context.Background(), dir+"/data"); err != nil {
		return err
	}
	house.close = append(house.close, house.server.Stop)
	trap, stop, err := setTrap(func(what string) {
		house.mu.Lock()
		defer house.mu.Unlock()
		house.calls = append(house.calls, what)
	})
	if err != nil {
		return err
	}
	house.close = append(house.close, func() error { stop(); return nil })
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), browserOptions(chromium, dir+"/profile", trap)...)
	ctx, cancel := chromedp.NewContext(alloc)
	house.browser = ctx
	house.close = append(house.close, func() error { cancel(); cancelAlloc(); return nil })
	// Starts the process; its life hangs on this context.
	return chromedp.Do(ctx)
}

// callsTo gives the connections that left for names with a part in them.
func callsTo(part string) (out []string) {
	house.mu.Lock()
	defer house.mu.Unlock()
	for _, call := range house.calls {
		if strings.Contains(call, part) {
			out = append(out, call)
		}
	}
	return out
}

const password = "seven calm eiders drift north"

// person is an account of a test with an open window.
type person struct {
	*tab
	server                   *harness.Server
	name, id, inbox, address string
}

// sit makes an account, signs it in and shows its Inbox.
func sit(t testing.TB, name string) *person {
	t.Helper()
	s, browser := enter(t)
	p := settle(t, s, browser, name)
	p.signIn(name)
	return p
}

// settle makes an account with a window that has not signed in.
func settle(t testing.TB, s *harness.Server, browser context.Context, name string) *person {
	t.Helper()
	p := &person{server: s, name: name, address: name + "@eider.localhost"}
	p.id = s.AddUser(t, name, p.address, password)
	p.inbox = p.box("INBOX")
	p.tab = newTab(t, browser, "http://"+s.Web)
	return p
}

// box gives the id of a mailbox by its path.
func (p *person) box(path string) string {
	var out struct{ Results []struct{ ID, Path string } }
	status, err := p.server.Call(context.Background(), http.MethodGet, "/users/"+p.id+"/mailboxes", nil, &out)
	if err == nil && status == http.StatusOK {
		for _, b := range out.Results {
			if b.Path == path {
				return b.ID
			}
		}
	}
	panic(errors.Join(errors.New("no mailbox "+path), err))
}

// api makes a request about the account that must succeed.
func (p *person) api(method, path string, in any) {
	p.t.Helper()
	status, err := p.server.Call(p.t.Context(), method, "/users/"+p.id+path, in, nil)
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, path, status, err)
	}
}

// post delivers a short message from outside.
func (p *person) post(subject string) {
	p.t.Helper()
	p.server.Deliver(p.t, "mail@elsewhere.example", p.address,
		"From: Else Where <mail@elsewhere.example>\nTo: "+p.address+"\nSubject: "+subject+"\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nAbout "+subject+".\n")
}

// signIn opens the Inbox through the sign-in page.
func (p *tab) signIn(name string) {
	p.t.Helper()
	p.open("/signin")
	p.fill("[name=username]", name)
	p.fill("[name=password]", password)
	p.click("form button.primary")
	p.wait(`location.pathname.startsWith("/mail/") && document.querySelector("#list")`)
}
