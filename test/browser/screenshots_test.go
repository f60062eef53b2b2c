package browser

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// readmePictures are the pictures that the README shows.
var readmePictures = []string{"mailbox-1440-light", "message-1440-dark", "mailbox-390-light"}

// TestScreenshots takes pictures of every page at three widths, light and
// dark, into the folder that EIDER_TEST_SCREENSHOTS names. `make screenshots`
// runs it; the pictures are for people to look at. The README's go, with fewer
// colours, to the folder that EIDER_TEST_SCREENSHOTS_README names.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("EIDER_TEST_SCREENSHOTS")
	if dir == "" {
		t.Skip("EIDER_TEST_SCREENSHOTS is not set: `make screenshots` sets it")
	}
	dir = fromRoot(dir)
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
		{"search", lena, "/search?q=the+OR+-nothing&box=inbox", nil},
		{"nothing-found", lena, "/search?q=nothinglikethis", nil},
		{"html", lena, booking, func(p *tab) { p.wait(`document.querySelector("iframe[data-frame][data-sized]")`) }},
		{"selected", lena, "/mail/inbox", func(p *tab) {
			p.text(`(()=>{const c=document.querySelectorAll("#rows li.row input.ck");c[0].click();c[2].click();return ""})()`)
		}},
		{"headers", lena, newest + "/headers", nil},
		{"source", lena, newest + "/source", nil},
		{"compose", lena, "/compose?to=astrid@kystlinje.example&subject=Friday", nil},
		{"menu", lena, newest, func(p *tab) {
			p.run(`[...document.querySelectorAll("#reader a[href*='action=rewrite'], #dock a[href*='action=rewrite']")].map(e=>e.closest("details")).find(e=>e.checkVisibility()).open=true`)
		}},
		{"settings", lena, "/settings/profile", nil},
		{"security", lena, "/settings/security", nil},
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
	if to := os.Getenv("EIDER_TEST_SCREENSHOTS_README"); to != "" {
		for _, name := range readmePictures {
			if err := reduce(filepath.Join(dir, name+".png"), filepath.Join(fromRoot(to), name+".png")); err != nil {
				t.Error(err)
			}
		}
	}
}

// fromRoot reads a path as seen from the root of the project.
func fromRoot(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join("..", "..", path)
}

// reduce writes a picture with 256 colours, a third of its bytes: the most
// frequent of it, each other one as the nearest of them.
func reduce(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	area := full.Bounds()
	count := map[color.RGBA]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			r, g, b, _ := full.At(x, y).RGBA()
			count[color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}]++
		}
	}
	found := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	// Five bits of each channel are enough for the edges of letters; the areas
	// keep their exact colours.
	var palette color.Palette
	bins := map[[3]uint8]bool{}
	for _, c := range found {
		bin := [3]uint8{c.R >> 3, c.G >> 3, c.B >> 3}
		if len(palette) < 256 && (!bins[bin] || len(palette) < 32) {
			bins[bin] = true
			palette = append(palette, c)
		}
	}
	small := image.NewPaletted(area, palette)
	draw.Draw(small, area, full, area.Min, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
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
