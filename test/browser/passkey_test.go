package browser

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// authenticator gives the window one that has a fingerprint to show.
func (p *tab) authenticator() {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{})
		if err == nil {
			_, err = cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
				Options: &webauthn.VirtualAuthenticatorOptions{
					Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
					HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
				},
			})
		}
		return chromedp.Void{}, err
	})
}

// named opens a browser that knows the name localhost: passkeys need a name
// (WebAuthn 5.1.2), and the shared browser knows none.
func named(t *testing.T) context.Context {
	t.Helper()
	path := chromium(t)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), browserOptions(path, t.TempDir(), "127.0.0.1:9,EXCLUDE localhost")...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

const inbox = `location.pathname.startsWith("/mail/") && document.querySelector("#list")`

func (p *tab) signOut() {
	p.t.Helper()
	p.open("/settings/profile")
	p.click(`main form[action="/signout"] button`)
	p.wait(`location.pathname === "/signed-out"`)
}

// addPasskey makes one in the settings.
func (p *tab) addPasskey(name string) {
	p.t.Helper()
	p.open("/settings/profile")
	p.click(`#sidebar a[href="/settings/security"]`)
	p.wait(`location.pathname === "/settings/security" && !document.querySelector("[data-passkey]").hidden`)
	p.fill("#kn", name)
	p.fill("#kp", password)
	p.click("[data-passkey] button.primary")
}

// TestPasskey makes a passkey, signs in with it alone and after the password,
// and removes it.
func TestPasskey(t *testing.T) {
	t.Parallel()
	s, _ := enter(t)
	_, port, _ := strings.Cut(s.Web, ":")
	browser := named(t)
	p := newTab(t, browser, "http://localhost:"+port)
	p.authenticator()
	p.register("Pass Key", "passkeeper")
	other := newTab(t, browser, p.base)
	other.signIn("passkeeper")

	p.addPasskey("Laptop")
	p.wait(`location.search === "?added=1" && document.querySelector("#list .tag.ok") && document.querySelector("#list .it b").textContent === "Laptop"`)
	// The first one ends the other sessions.
	other.open("/mail/inbox")
	other.wait(`location.pathname === "/signin"`)
	// The same authenticator is not asked twice.
	p.addPasskey("Again")
	p.wait(`document.querySelector("[data-passkey-error]").innerText.includes("already")`)
	// A wrong password is told in words.
	p.open("/settings/security")
	p.fill("#kn", "Third")
	p.fill("#kp", "not my password")
	p.click("[data-passkey] button.primary")
	p.wait(`document.querySelector("[data-passkey-error]").innerText.includes("not your password")`)

	// The passkey alone.
	p.signOut()
	p.open("/signin?next=/settings/security")
	p.wait(`!document.querySelector("[data-passkey]").hidden`)
	p.click("[data-passkey]")
	p.wait(`location.pathname === "/settings/security" && document.querySelector("#list .it p").innerText.includes("Last used")`)

	// The password, then the passkey.
	p.signOut()
	p.open("/signin")
	p.fill("[name=username]", "passkeeper")
	p.fill("[name=password]", password)
	p.click("form button.primary")
	p.wait(`location.pathname === "/signin/second" && !document.querySelector("[data-passkey]").hidden`)
	p.open("/mail/inbox")
	p.wait(`location.pathname === "/signin"`)
	p.open("/signin/second")
	p.click("[data-passkey]")
	p.wait(inbox)
	p.open("/signin/second")
	p.wait(`location.pathname !== "/signin/second"`)

	p.signOut()
	p.forgePasskey()

	// Removing it needs the password; afterwards that is enough again.
	p.open("/settings/security")
	p.fill("#rp", password)
	p.keys("\r")
	p.fill("#rp", "not my password")
	p.click("[name=remove]")
	p.wait(`document.querySelector("#rp-err")`)
	p.fill("#rp", password)
	p.click("[name=remove]")
	p.wait(`!document.querySelector("[name=remove]") && document.querySelector("#toast").innerText.includes("removed")`)
	p.signOut()
	p.signIn("passkeeper")
}

// forgePasskey tries answers that do not hold, and ends signed in.
func (p *tab) forgePasskey() {
	p.t.Helper()
	p.open("/signin")
	p.wait(`!document.querySelector("[data-passkey]").hidden`)
	var got struct{ Forged, Replayed, Cross []int }
	text := p.text(`(async () => {
		const headers = {"Content-Type": "application/json", "Eider-Csrf": document.body.dataset.csrf};
		const send = (path, body, h = headers) => fetch(path, {method: "POST", headers: h, body: JSON.stringify(body)});
		const begin = async () => (await send("/signin/passkey/begin", {})).json();
		const show = (o) => navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(o.publicKey)});
		const finish = async (c, h) => (await send("/signin/passkey/finish", {credential: c.toJSON()}, h)).status;
		const forged = await begin();
		forged.publicKey.challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
		const out = {forged: [await finish(await show(forged))]};
		const good = await show(await begin());
		out.cross = [await finish(good, {"Content-Type": "application/json"}), await finish(good, {...headers, "Eider-Csrf": "x"})];
		out.replayed = await Promise.all([finish(good), finish(good), finish(good)]);
		return JSON.stringify(out);
	})()`)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		p.t.Fatal(err)
	}
	accepted := 0
	for _, status := range got.Replayed {
		if status == 200 {
			accepted++
		}
	}
	if got.Forged[0] != 422 || got.Cross[0] != 403 || got.Cross[1] != 403 || accepted != 1 {
		p.t.Fatalf("statuses %+v", got)
	}
}
