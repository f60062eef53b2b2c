package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// cookie gives the window's session cookie.
func (p *tab) cookie() *network.Cookie {
	p.t.Helper()
	var found *network.Cookie
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		all, err := cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{p.base}})
		for _, c := range all.Cookies {
			if c.Name == "eider" {
				found = c
			}
		}
		return chromedp.Void{}, err
	})
	return found
}

// TestSignIn tries a wrong password, signs in with and without being
// remembered, and out.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s, browser := enter(t)
	p := settle(t, s, browser, "vera")
	p.open("/mail/inbox?filter=unread")
	p.wait(`location.pathname==="/signin"`)
	p.fill("[name=username]", "vera")
	p.fill("[name=password]", "not this one")
	p.click("[name=remember]")
	p.submit("form button.primary")
	p.wait(`document.querySelector("#p-err")`)
	if !p.is(`document.querySelector("[name=username]").value==="vera" && document.querySelector("[name=remember]").checked && document.querySelector("[name=password]").value===""`) {
		t.Error("what was typed is not kept, or the password is")
	}
	wrong := p.text(`document.querySelector("#p-err").textContent`)
	p.fill("[name=username]", "nobody-of-this-name")
	p.fill("[name=password]", "not this one")
	p.submit("form button.primary")
	p.wait(`document.querySelector("#p-err") && document.querySelector("[name=username]").value==="nobody-of-this-name"`)
	if other := p.text(`document.querySelector("#p-err").textContent`); other != wrong {
		t.Errorf("a wrong name says %q, a wrong password %q", other, wrong)
	}
	p.fill("[name=username]", "vera")
	p.fill("[name=password]", password)
	p.submit("form button.primary")
	p.wait(`location.pathname.startsWith("/mail/") && location.search==="?filter=unread"`)

	c := p.cookie()
	switch {
	case c == nil:
		t.Fatal("no session cookie")
	case !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || strings.HasPrefix(c.Domain, "."):
		t.Errorf("the cookie is %+v", c)
	case c.Session || time.Until(time.Unix(int64(c.Expires), 0)) < 29*24*time.Hour:
		t.Errorf("the remembered cookie ends at %v", c.Expires)
	}

	second := p.another()
	second.open("/mail/inbox")
	p.click(`.top details summary`)
	p.click(`.top form[action="/signout"] button`)
	p.wait(`location.pathname==="/signed-out"`)
	if p.cookie() != nil {
		t.Error("the cookie is still there")
	}
	second.open("/mail/inbox")
	second.wait(`location.pathname==="/signin"`)
	second.signIn("vera")
	if c := second.cookie(); c == nil || !c.Session {
		t.Errorf("the cookie without remembering is %+v", c)
	}
	for _, call := range p.asked() {
		if !strings.HasPrefix(call, p.base) && !strings.HasPrefix(call, "data:") {
			t.Errorf("a request to %s", call)
		}
	}
}

// TestRegisterErrors: a name that is taken and a weak password are told in
// place, and what was typed is kept. The same without script.
func TestRegisterErrors(t *testing.T) {
	t.Parallel()
	s, browser := enter(t)
	s.AddUser(t, "taken", "taken@eider.localhost", password)
	for _, script := range []bool{true, false} {
		p := newTab(t, browser, "http://"+s.Web)
		if !script {
			p.noScript()
		}
		free := fmt.Sprintf("free-%t", script)
		fill := func(username, password string) {
			p.fill("[name=name]", "Ola Nordmann")
			p.fill("[name=username]", username)
			p.fill("[name=password]", password)
		}
		p.open("/register")
		fill("taken", password)
		p.submit("form button.primary")
		p.wait(`document.querySelector("#a-err")?.textContent.trim().length>10`)
		p.wait(`document.querySelector("[name=name]").value==="Ola Nordmann" && document.querySelector("[name=username]").value==="taken" && document.querySelector("[name=username]").ariaInvalid==="true"`)
		fill(free, "password1")
		if script {
			p.wait(`!document.querySelector("meter.pw").hidden && document.querySelector("meter.pw").value<2 && document.querySelector("#w-help").textContent.length>3`)
		}
		p.submit("form button.primary")
		p.wait(`document.querySelector("#w-err")?.textContent.trim().length>10 && document.querySelector("[name=username]").value===` + "`" + free + "`")
		fill("admin", password)
		p.submit("form button.primary")
		p.wait(`document.querySelector("#a-err")`)
		fill(free, password)
		p.submit("form button.primary")
		p.wait(`location.pathname.startsWith("/mail/") && document.querySelector("#list")`)
		p.click(`.top details summary`)
		p.wait(`document.querySelector(".who").innerText.includes("Ola Nordmann") && document.querySelector(".who").innerText.includes("` + free + `@eider.localhost")`)
	}
}
