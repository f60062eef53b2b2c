package browser

import (
	"testing"
	"time"
	"context"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/eidermail/eider/test/harness"
)

func TestZZDebug(t *testing.T) {
	s := harness.Start(t, "")
	browser := openBrowser(t)
	ann := newTab(t, browser, "http://"+s.Web)
	_ = runtime.Enable
	ann.do(func(ctx context.Context, tt *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tt, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `window.log=[];{const W=WebSocket;window.WebSocket=class extends W{constructor(u){super(u);log.push("new "+u);this.addEventListener("message",e=>window.log.push("got "+e.data.slice(0,200)));this.addEventListener("close",e=>window.log.push("close "+e.code+e.reason));this.addEventListener("open",e=>log.push("open"))}send(d){log.push("send "+d);super.send(d)}}};addEventListener("error",e=>log.push("err "+e.message+e.filename+e.lineno));addEventListener("pageshow",()=>log.push("pageshow"));document.addEventListener("securitypolicyviolation",e=>log.push("csp "+e.violatedDirective+e.blockedURI+e.sourceFile+e.lineNumber));`})
		return chromedp.Void{}, err
	})
	ann.register("Ann Winter", "ann")
	time.Sleep(500*time.Millisecond)
	s.Deliver(t, "anna@elsewhere.example", "ann@eider.localhost", world())
	time.Sleep(2*time.Second)
	t.Log(ann.peek(`JSON.stringify(window.log)+document.documentElement.className+document.readyState`))
}
