package templates

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"github.com/eidermail/eider/static"
)

// mailServer serves the samples with the protocol of the partial updates, to
// try the script in a real browser under the real content policy.
type mailServer struct {
	*httptest.Server
	mu    sync.Mutex
	posts []url.Values
	gone  map[string]bool
	sock  chan *websocket.Conn
	greet chan string
}

const policy = "default-src 'none'; script-src 'nonce-bm9uY2U' 'strict-dynamic'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types eider"

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	s := &mailServer{gone: map[string]bool{}, sock: make(chan *websocket.Conn, 4), greet: make(chan string, 16)}
	mux := http.NewServeMux()
	mux.Handle("/static/", static.Handler())
	mux.HandleFunc("GET /mail/{mailbox}", func(w http.ResponseWriter, r *http.Request) { s.mailbox(w, r, false) })
	mux.HandleFunc("GET /mail/{mailbox}/{uid}", func(w http.ResponseWriter, r *http.Request) { s.mailbox(w, r, true) })
	mux.HandleFunc("POST /mail/{mailbox}", s.act)
	mux.HandleFunc("GET /compose", func(w http.ResponseWriter, r *http.Request) {
		p := samplePage()
		s.answer(w, r, ComposeDoc(ComposePage{Shell: sampleShell(p), Compose: sampleCompose()}), map[string]templ.Component{FragmentCompose: ComposeFragment(p, sampleCompose())})
	})
	mux.HandleFunc("POST /compose", s.compose)
	mux.HandleFunc("GET /shortcuts", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, ShortcutsPage(Shortcuts{Shell: sampleShell(samplePage())}), nil)
	})
	mux.HandleFunc("GET /live", s.live)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *mailServer) answer(w http.ResponseWriter, r *http.Request, page templ.Component, fragments map[string]templ.Component) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if f, ok := fragments[r.Header.Get(FragmentHeader)]; ok {
		w.Header().Set("Eider-Title", url.PathEscape("Fragment – Eider"))
		page = f
	}
	_ = page.Render(r.Context(), w)
}

func (s *mailServer) mailbox(w http.ResponseWriter, r *http.Request, open bool) {
	m := sampleMailbox(samplePage(), open)
	if !open {
		m.List.Here = r.URL.RequestURI()
	}
	s.mu.Lock()
	var rows []Row
	for _, row := range m.List.Rows {
		if !s.gone[row.ref()] {
			rows = append(rows, row)
		}
	}
	s.mu.Unlock()
	m.List.Rows = rows
	if open {
		uid, _ := strconv.ParseUint(r.PathValue("uid"), 10, 32)
		m.Reader.UID = uint32(uid)
	}
	s.answer(w, r, MailboxPage(m), map[string]templ.Component{
		FragmentMain: MailboxFragment(m), FragmentList: ListFragment(m), FragmentReader: ReaderFragment(m), FragmentToast: ToastFragment(m.Shell), FragmentDraft: ToastFragment(m.Shell),
	})
}

func (s *mailServer) act(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.posts = append(s.posts, r.PostForm)
	if r.PostForm.Get("do") == "archive" {
		for _, id := range r.PostForm["id"] {
			s.gone[id] = true
		}
	}
	s.mu.Unlock()
	if r.Header.Get("Eider-Quiet") != "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, r.PostForm.Get("back"), http.StatusSeeOther)
}

func (s *mailServer) compose(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseMultipartForm(1 << 20)
	s.mu.Lock()
	s.posts = append(s.posts, r.PostForm)
	s.mu.Unlock()
	if r.PostForm.Get("do") == "send" {
		http.Redirect(w, r, "/mail/a1", http.StatusSeeOther)
		return
	}
	c := sampleCompose()
	c.Version = "4"
	s.answer(w, r, nil, map[string]templ.Component{FragmentDraft: DraftFragment(samplePage(), c)})
}

func (s *mailServer) live(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.sock <- c
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		s.greet <- string(data)
	}
}

func (s *mailServer) posted(field, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.posts {
		if p.Get(field) == value {
			return true
		}
	}
	return false
}

type page struct {
	t   *testing.T
	ctx context.Context
}

func openPage(t *testing.T, address string) page {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium found")
		}
		t.Skip("no Chromium found")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := page{t, ctx}
	p.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(address))
	p.wait(`document.documentElement.classList.contains("js")`)
	return p
}

func (p page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// wait looks at each frame whether the expression holds.
func (p page) wait(expression string) {
	p.t.Helper()
	js := `new Promise((yes, no) => { const end = Date.now() + 20000; const look = () => { if (` + expression + `) yes(true); else if (Date.now() > end) no(new Error("waited in vain")); else requestAnimationFrame(look); }; look(); })`
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](js, chromedp.EvalAwaitPromise)); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.href + " " + document.title`))
		p.t.Fatalf("%s: %v (at %s)", expression, err, text)
	}
}

func (p page) run(js string) {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[chromedp.Void](js)(ctx, t)
		return chromedp.Void{}, err
	})
}

func (p page) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); p.wait(`true`) {
		if time.Now().After(end) {
			broken, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`JSON.stringify([window.broken, document.activeElement.outerHTML.slice(0, 60), document.activeElement.value, document.querySelector("[data-saved]")?.textContent, location.href])`))
			p.t.Fatalf("never: %s (%s)", what, broken)
		}
	}
}

// TestScript walks through the page as a user with script does.
func TestScript(t *testing.T) {
	s := newMailServer(t)
	p := openPage(t, s.URL+"/mail/a1")
	p.run(`window.kept = 1; window.broken = []; document.addEventListener("securitypolicyviolation", e => broken.push(e.violatedDirective)); addEventListener("error", e => broken.push(e.message)); addEventListener("unhandledrejection", e => broken.push(String(e.reason)))`)

	// The socket greets with the view; a new row comes in at the top.
	sock := <-s.sock
	if hello := <-s.greet; !strings.Contains(hello, `"mailbox":"a1"`) || !strings.Contains(hello, `"token":"livetoken"`) || !strings.Contains(hello, `"since":"6564"`) {
		t.Errorf("greeting %s", hello)
	}
	send := func(frame map[string]any) {
		t.Helper()
		if err := sock.WriteJSON(frame); err != nil {
			t.Fatal(err)
		}
	}
	fresh := func(uid uint32) map[string]any {
		return map[string]any{"op": "new", "mailbox": "a1", "uid": uid, "id": "77", "html": render(t, RowFragment(samplePage(), Row{Mailbox: "a1", UID: uid, Href: MessageURL("a1", uid), Name: "New", Subject: "Fresh", Date: sampleNow, Order: sampleOrder(uid), Unread: true}))}
	}
	send(fresh(901))
	p.wait(`document.querySelector("#rows ul > li:first-child").id === "m-a1-901"`)
	send(map[string]any{"op": "flags", "mailbox": "a1", "uid": 901, "flags": map[string]bool{"seen": true, "flagged": true}})
	p.wait(`!document.querySelector("#m-a1-901").classList.contains("unread") && document.querySelector("#m-a1-901 .star").name === "unstar"`)
	send(map[string]any{"op": "counters", "mailboxes": []map[string]any{{"id": "a1", "total": 300, "unseen": 13}}})
	p.wait(`document.title.startsWith("(13) ") && document.querySelector('[data-folder=a1] .n').textContent === "13"`)

	// What belongs on a later page is not new, also in the last row's second.
	send(fresh(1))
	send(map[string]any{"op": "counters", "mailboxes": []map[string]any{{"id": "a1", "total": 300, "unseen": 14}}})
	p.wait(`document.title.startsWith("(14) ") && document.querySelector("#m-a1-1") === null && document.querySelector("[data-pill]").hidden`)

	// With a selection nothing moves: the pill offers it.
	p.run(`document.querySelector("#m-a1-898 input").click()`)
	p.wait(`document.querySelector("[data-selected]").textContent === "1 selected"`)
	send(fresh(902))
	p.wait(`!document.querySelector("[data-pill]").hidden && !document.querySelector("#m-a1-902")`)
	p.do(chromedp.KeyEvent("*"), chromedp.KeyEvent("n"))
	p.run(`document.querySelector("[data-pill]").click()`)
	p.wait(`document.querySelector("#m-a1-902") !== null`)
	send(map[string]any{"op": "gone", "mailbox": "a1", "uid": 902})
	p.wait(`document.querySelector("#m-a1-902") === null`)

	// Star, archive and undo words without a page load.
	p.run(`document.querySelector("#m-a1-896 .star").click()`)
	p.wait(`document.querySelector("#m-a1-896 .star").getAttribute("aria-pressed") === "true"`)
	p.until("the star reached the server", func() bool { return s.posted("do", "star") })
	p.run(`document.querySelector("#m-a1-898 a").focus()`)
	p.do(chromedp.KeyEvent("e"))
	p.wait(`document.querySelector("#m-a1-898") === null`)
	p.until("archive reached the server", func() bool { return s.posted("do", "archive") })

	// What was asked for one page never covers the next one, however late it comes.
	p.run(`const real = fetch; window.fetch = async (...question) => {
		window.fetch = real;
		const answer = await real(...question), text = await answer.text();
		answer.text = () => new Promise((yes) => { window.release = () => yes(text); });
		return answer;
	}`)
	send(map[string]any{"op": "resync"})
	p.wait(`window.release !== undefined`)
	p.run(`document.querySelector('.pager [rel="next"]').click()`)
	p.wait(`document.querySelector("#list").dataset.here === "/mail/a1?older=k"`)
	p.run(`document.querySelector("#list").shown = 1; release(); window.settled = 0; setTimeout(() => window.settled = 1)`)
	p.wait(`window.settled === 1 && document.querySelector("#list").shown === 1`)
	p.run(`history.back()`)
	p.wait(`document.querySelector("#list").dataset.here === "/mail/a1"`)

	// The list comes anew and the focus stays on its row.
	p.run(`document.querySelector("#m-a1-896 a").focus(); document.querySelector("#list").old = 1`)
	send(map[string]any{"op": "resync"})
	p.wait(`!document.querySelector("#list").old && document.activeElement.closest(".row")?.id === "m-a1-896"`)

	// Open, read mark, back.
	p.run(`document.querySelector("#m-a1-899 a").click()`)
	p.wait(`document.querySelector("#reader").dataset.id === "a1-899" && document.querySelector("#m-a1-899.on") && location.pathname === "/mail/a1/899"`)
	p.until("read mark", func() bool { return s.posted("do", "read") })
	p.run(`history.back()`)
	p.wait(`document.querySelector("#reader.off") !== null && location.pathname === "/mail/a1"`)

	// Keys, composer, autosave, send.
	p.do(chromedp.KeyEvent("?"))
	p.wait(`document.querySelector("dialog[open] #keys") !== null`)
	p.run(`document.querySelector("dialog [data-close-keys]").click()`)
	p.wait(`document.querySelector("dialog") === null`)
	p.do(chromedp.KeyEvent("c"))
	p.wait(`document.querySelectorAll("#composer .chip").length === 3`)
	p.run(`document.querySelector("#compose-text").focus()`)
	p.do(chromedp.KeyEvent("x"))
	p.until("autosave", func() bool { return s.posted("do", "save") })
	p.wait(`document.querySelector("#compose-state [name=version]").value === "4"`)
	p.run(`document.querySelector("#compose button[value=send]").click()`)
	p.until("send", func() bool { return s.posted("do", "send") })
	p.wait(`document.querySelector("#composer").childElementCount === 0`)

	if !s.posted("to", "Astrid Holm <astrid@kystlinje.example>, андрис@уайлддак.орг, 山田 美咲 <misaki@kaigan.example>") {
		t.Error("the recipients did not travel whole")
	}
	broken, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`JSON.stringify([window.kept, window.broken])`))
	if err != nil || broken != "[1,[]]" {
		t.Errorf("page loads or errors: %s, %v", broken, err)
	}

	// A lost socket comes back with what it saw last.
	_ = sock.Close()
	<-s.sock
	for hello := range s.greet {
		if strings.Contains(hello, `"since":"77"`) {
			break
		}
	}
}
