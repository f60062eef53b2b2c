// Package browser drives a real Chromium against what Eider sends to it.
package browser

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/message/safehtml/attacktest"
)

const (
	attackDir = "../../mail/message/safehtml/testdata/attacks"
	// attackCanary reaches the host page from any depth of frames.
	attackCanary  = "top.postMessage(7331,String.fromCharCode(42))"
	attackSandbox = "allow-popups allow-popups-to-escape-sandbox allow-scripts"
	// attackPage is frames on one host page.
	attackPage = 60
)

// attackHost is a page as strict as the app's. It makes the frames, notes what
// they post, and reports when all have loaded and a moment has passed in which
// a late script or request would show.
const attackHost = `<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>host</title><main id="main"></main>
<script nonce="%s">
const n=%d, needHeights=%t, main=document.getElementById("main"), frames=[], canary=[], other=[], heights=new Set(), loads=new Set();
let ending=false, before="";
addEventListener("message",e=>{
  const i=frames.findIndex(f=>f.contentWindow===e.source);
  if(e.data===7331) canary.push(i);
  else if(e.data&&e.data.eider==="height"&&Number.isFinite(e.data.h)&&e.data.h>=0) heights.add(i);
  else other.push(i);
  check();
});
function check(){
  if(ending||loads.size<n||needHeights&&heights.size<n) return;
  ending=true;
  setTimeout(()=>fetch("/done",{method:"POST",body:JSON.stringify({canary,other,heights:[...heights],
    changed:document.documentElement.outerHTML!==before,address:location.pathname,names:Object.keys(window).filter(k=>k.startsWith("m-"))})}),300);
}
for(let i=0;i<n;i++){
  const f=document.createElement("iframe");
  f.setAttribute("sandbox","%s");
  f.addEventListener("load",()=>{loads.add(i);check()});
  f.src="/frame/"+i;
  frames.push(f); main.append(f);
}
before=document.documentElement.outerHTML;
</script>`

// attackReport is what a host page saw. Numbers are places of frames, -1 for
// a frame inside a frame.
type attackReport struct {
	Canary  []int    `json:"canary"`
	Other   []int    `json:"other"`
	Heights []int    `json:"heights"`
	Changed bool     `json:"changed"`
	Address string   `json:"address"`
	Names   []string `json:"names"`
}

// attackFrame is one document and the policy that it comes with, if any.
type attackFrame struct {
	name, policy string
	body         []byte
}

// attackServer serves host pages, frames and pictures, and notes every other request.
type attackServer struct {
	*httptest.Server
	mu          sync.Mutex
	frames      []attackFrame
	needHeights bool
	pictures    int
	hits        []string
	done        chan attackReport
	picture     []byte
}

func newAttackServer(t *testing.T) *attackServer {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 9, 9))); err != nil {
		t.Fatal(err)
	}
	s := &attackServer{done: make(chan attackReport, 1), picture: b.Bytes()}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *attackServer) hit(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hits = append(s.hits, what)
}

func (s *attackServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/host":
		s.host(w)
	case strings.HasPrefix(path, "/frame/"):
		s.frame(w, strings.TrimPrefix(path, "/frame/"))
	case path == "/image" || strings.HasPrefix(path, "/part/"):
		s.mu.Lock()
		s.pictures++
		s.mu.Unlock()
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(s.picture)
	case path == "/done" && r.Method == http.MethodPost:
		var report attackReport
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&report); err == nil {
			s.done <- report
		}
	default:
		s.hit("app " + r.Method + " " + r.URL.String())
		http.NotFound(w, r)
	}
}

func (s *attackServer) host(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; connect-src 'self'; frame-src 'self'; "+
		"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	_, _ = fmt.Fprintf(w, attackHost, nonce, len(s.frames), s.needHeights, attackSandbox)
}

func (s *attackServer) frame(w http.ResponseWriter, number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(s.frames) {
		s.hits = append(s.hits, "frame "+number)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if p := s.frames[i].policy; p != "" {
		w.Header().Set("Content-Security-Policy", p)
	}
	_, _ = w.Write(s.frames[i].body)
}

// attackTrap stands for the rest of the internet: every name leads to it, and
// it notes each connection, whether it asks for something or not.
func attackTrap(t *testing.T, s *attackServer) string {
	t.Helper()
	address, stop, err := setTrap(s.hit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return address
}

// setTrap listens for callers and tells of each.
func setTrap(hit func(string)) (address string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer func() { _ = conn.Close() }()
				if what := attackCaller(conn); what != "" {
					hit("internet " + what)
				}
			})
		}
	})
	return listener.Addr().String(), func() { _ = listener.Close(); served.Wait() }, nil
}

// attackCaller tells what a connection is for. It is empty for the errands
// that Chromium runs for itself, which no switch turns off entirely.
func attackCaller(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReader(conn)
	if first, err := in.Peek(1); err != nil {
		return "a connection without a word"
	} else if first[0] == 0x16 { // a TLS handshake
		name := "TLS without a name"
		_ = tls.Server(attackPeeked{conn, in}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if h.ServerName != "" {
				name = "TLS " + h.ServerName
			}
			return nil, io.EOF
		}}).Handshake()
		for _, own := range []string{".google.com", ".googleapis.com", ".gvt1.com"} {
			if strings.HasSuffix(name, own) {
				return ""
			}
		}
		return name
	}
	r, err := http.ReadRequest(in)
	if err != nil {
		return "a connection that is no HTTP"
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	return r.Host + r.URL.String()
}

// attackPeeked is a connection of which some bytes were read ahead.
type attackPeeked struct {
	net.Conn
	in *bufio.Reader
}

func (c attackPeeked) Read(p []byte) (int, error) { return c.in.Read(p) }

// attackBrowser starts Chromium, or skips the test where there is none.
func attackBrowser(t *testing.T, trap string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, browserOptions(chromium(t), t.TempDir(), trap)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// attackRun shows the frames on one host page and waits for its report.
func attackRun(ctx context.Context, t *testing.T, s *attackServer, frames []attackFrame, needHeights bool) (attackReport, []string) {
	t.Helper()
	s.mu.Lock()
	s.frames, s.needHeights, s.hits = frames, needHeights, nil
	s.mu.Unlock()
	// A top that navigates away never reports: the deadline then fails the test.
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(s.URL+"/host")); err != nil {
		t.Fatalf("open the host page: %v", err)
	}
	select {
	case report := <-s.done:
		address, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
		if err != nil || address != s.URL+"/host" {
			t.Errorf("the top is at %s: %v", address, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return report, slices.Clone(s.hits)
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		t.Fatalf("no report for frames from %s; hits %v", frames[0].name, s.hits)
		return attackReport{}, nil
	}
}

func attackNames(frames []attackFrame, places []int) (names []string) {
	for _, i := range places {
		if i < 0 {
			names = append(names, "(a frame inside a frame)")
		} else if !slices.Contains(names, frames[i].name) {
			names = append(names, frames[i].name)
		}
	}
	return names
}

func attackSamples(t *testing.T, trap string) []attacktest.Sample {
	t.Helper()
	samples, err := attacktest.Load(attackDir, attacktest.Options{Canary: attackCanary, Remote: "http://" + trap + "/hit"})
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) < 400 {
		t.Fatalf("%d samples: the corpus is not whole", len(samples))
	}
	return attackGroup(samples)
}

// attackGroup puts the handlers, which are many and alike, ten to a message.
func attackGroup(samples []attacktest.Sample) (grouped []attacktest.Sample) {
	var handlers []attacktest.Sample
	for _, s := range samples {
		if strings.HasPrefix(s.Name, "handler/") {
			handlers = append(handlers, s)
		} else {
			grouped = append(grouped, s)
		}
	}
	for ten := range slices.Chunk(handlers, 10) {
		var one attacktest.Sample
		for _, s := range ten {
			one.Name += s.Name + " "
			one.Parts = append(one.Parts, s.Parts...)
		}
		grouped = append(grouped, one)
	}
	return grouped
}

// TestAttacks shows every sample, sanitised, in the frame that the app uses.
func TestAttacks(t *testing.T) {
	t.Parallel()
	s := newAttackServer(t)
	trap := attackTrap(t, s)
	ctx := attackBrowser(t, trap)
	options := safehtml.Options{
		Cid:   func(cid string) (string, bool) { return s.URL + "/part/" + url.PathEscape(cid), true },
		Image: func(u string) string { return s.URL + "/image?u=" + url.QueryEscape(u) },
	}
	var frames []attackFrame
	for _, sample := range attackSamples(t, trap) {
		r := safehtml.Sanitize(sample.Parts, options)
		nonce := rand.Text()
		frames = append(frames, attackFrame{
			name: sample.Name, policy: safehtml.FrameCSP(nonce, s.URL),
			body: safehtml.Document(r, safehtml.DocumentOptions{Nonce: nonce, Dark: len(frames)%2 == 1}),
		})
	}
	for page := range slices.Chunk(frames, attackPage) {
		report, hits := attackRun(ctx, t, s, page, true)
		if len(report.Canary) != 0 {
			t.Errorf("a script ran in %v", attackNames(page, report.Canary))
		}
		if len(report.Other) != 0 {
			t.Errorf("an unknown message from %v", attackNames(page, report.Other))
		}
		if len(hits) != 0 {
			t.Errorf("from %s on: requests left: %v", page[0].name, hits)
		}
		if report.Changed || report.Address != "/host" || len(report.Names) != 0 {
			t.Errorf("from %s on: the host page changed: %+v", page[0].name, report)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pictures == 0 {
		t.Error("no picture was asked for: the frames show nothing")
	}
}

// TestAttacksSecondWall shows every sample as the sender wrote it. The frame's
// policy alone has to keep scripts from running and the top where it is.
func TestAttacksSecondWall(t *testing.T) {
	t.Parallel()
	s := newAttackServer(t)
	trap := attackTrap(t, s)
	ctx := attackBrowser(t, trap)
	var frames []attackFrame
	for _, sample := range attackSamples(t, trap) {
		frames = append(frames, attackFrame{
			name: sample.Name, policy: safehtml.FrameCSP(rand.Text(), s.URL), body: []byte(strings.Join(sample.Parts, "")),
		})
	}
	for page := range slices.Chunk(frames, attackPage) {
		report, _ := attackRun(ctx, t, s, page, false)
		if len(report.Canary) != 0 {
			t.Errorf("a script ran in %v", attackNames(page, report.Canary))
		}
		if report.Changed || report.Address != "/host" || len(report.Names) != 0 {
			t.Errorf("from %s on: the host page changed: %+v", page[0].name, report)
		}
	}
}

// TestAttacksControl shows samples without sanitiser and without policy. They
// have to do harm here, or the tests above would see none either.
func TestAttacksControl(t *testing.T) {
	t.Parallel()
	s := newAttackServer(t)
	trap := attackTrap(t, s)
	ctx := attackBrowser(t, trap)
	var frames []attackFrame
	harmful := []string{
		"01-script/plain", "02-handlers/no quotes", "05-svg/onload", "07-mutation/noembed", "07-mutation/textarea", "04-head/stylesheet",
		"10-remote/image",
	}
	for _, sample := range attackSamples(t, trap) {
		if slices.Contains(harmful, sample.Name) || strings.Contains(sample.Name, "handler/onerror ") || strings.Contains(sample.Name, "handler/ontoggle ") {
			frames = append(frames, attackFrame{name: sample.Name, body: []byte(strings.Join(sample.Parts, ""))})
		}
	}
	if len(frames) != len(harmful)+2 {
		t.Fatalf("%d control samples", len(frames))
	}
	report, hits := attackRun(ctx, t, s, frames, false)
	ran := attackNames(frames, report.Canary)
	for i, f := range frames {
		if loads := strings.HasPrefix(f.name, "04-") || strings.HasPrefix(f.name, "10-"); !loads && !slices.Contains(report.Canary, i) {
			t.Errorf("%s is harmless without walls, only %v ran", f.name, ran)
		}
	}
	for _, path := range []string{"/hit.png", "/hit.css"} {
		if !slices.ContainsFunc(hits, func(h string) bool { return strings.HasSuffix(h, path) }) {
			t.Errorf("no request for %s: %v", path, hits)
		}
	}
}
