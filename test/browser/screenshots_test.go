package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots takes pictures of every page at three widths, light and
// dark, into the folder that EIDER_TEST_SCREENSHOTS names. `make screenshots`
// runs it; the pictures are for people to look at.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("EIDER_TEST_SCREENSHOTS")
	if dir == "" {
		t.Skip("EIDER_TEST_SCREENSHOTS is not set: `make screenshots` sets it")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", dir)
	}
	s, browser := enter(t)
	fillMailbox(t, s)
	visitor := newTab(t, browser, "http://"+s.Web)
	lena := newTab(t, browser, "http://"+s.Web)
	lena.signIn("lena")
	lena.wait(`document.querySelectorAll("#rows li.row").length >= 10`)
	newest := lena.text(`document.querySelector("#rows li.row a").getAttribute("href")`)
	booking := lena.text(`[...document.querySelectorAll("#rows li.row")].find(e=>e.innerText.includes("KQ7-2291")).querySelector("a").getAttribute("href")`)
	shots := []struct {
		name string
		tab  *tab
		path string
		then func(*tab)
	}{
		{"signin", visitor, "/signin", nil},
		{"register", visitor, "/register", nil},
		{"notfound", visitor, "/nowhere", nil},
		{"mailbox", lena, "/mail/inbox", nil},
		{"empty", lena, "/mail/junk", nil},
		{"message", lena, newest, nil},
		{"html", lena, booking, func(p *tab) { p.wait(`document.querySelector("iframe[data-frame][data-sized]")`) }},
		{"selected", lena, "/mail/inbox", func(p *tab) {
			p.text(`(()=>{const c=document.querySelectorAll("#rows li.row input.ck");c[0].click();c[2].click();return ""})()`)
		}},
		{"headers", lena, newest + "/headers", nil},
		{"source", lena, newest + "/source", nil},
		{"compose", lena, "/compose?to=astrid@kystlinje.example&subject=Friday", nil},
		{"settings", lena, "/settings/profile", nil},
		{"shortcuts", lena, "/shortcuts", nil},
	}
	for _, size := range []struct{ w, h int64 }{{1440, 900}, {820, 1180}, {390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			for _, shot := range shots {
				shot.tab.do(chromedp.EmulateViewport(size.w, size.h), scheme(theme))
				shot.tab.open(shot.path)
				shot.tab.wait(`document.readyState === "complete"`)
				if shot.then != nil {
					shot.then(shot.tab)
				}
				shot.tab.picture(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", shot.name, size.w, theme)))
			}
		}
	}
}

// scheme makes the window prefer light or dark.
func scheme(theme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return chromedp.Void{}, err
	}
}
