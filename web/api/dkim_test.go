package api

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

func TestDKIMAPI(t *testing.T) {
	w := newWorldOn(t, func(o *store.Options) { o.Secrets.DKIM = "a secret" })
	made := w.json("POST", "/dkim", map[string]any{"domain": "Example.org", "selector": "one", "description": "first", "sess": "s", "ip": "192.0.2.1"}).ok()
	id, _ := made.at("id").(string)
	made.is("example.org", "domain")
	made.is("one._domainkey.example.org", "dnsTxt", "name")
	if value, _ := made.at("dnsTxt", "value").(string); !strings.HasPrefix(value, "v=DKIM1;t=s;p=MII") {
		t.Errorf("record %q", value)
	}
	if strings.Contains(string(made.raw), "PRIVATE") {
		t.Error("the private key is shown")
	}
	// The seed of RFC 8032 7.1, test 1.
	seed := []byte{
		0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
		0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
	}
	public, _ := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	again := w.json("POST", "/dkim", map[string]any{"domain": "example.org", "selector": "two", "privateKey": base64.StdEncoding.EncodeToString(seed)}).ok()
	again.is(id, "id")
	again.is("v=DKIM1;t=s;p="+base64.StdEncoding.EncodeToString(public), "dnsTxt", "value")
	got := w.get("/dkim/" + id).ok()
	got.is("two", "selector")
	got.is(again.at("fingerprint"), "fingerprint")
	w.get("/dkim/resolve/example.org").ok().is(id, "id")
	signer, err := w.store.DKIMSigner(t.Context(), "example.org")
	must(t, err)
	if !strings.HasPrefix(signer.PrivateKey, "-----BEGIN PRIVATE KEY-----") {
		t.Errorf("signer %+v", signer)
	}

	for _, domain := range []string{"a.example", "b.example", "*"} {
		w.json("POST", "/dkim", map[string]any{"domain": domain, "selector": "x", "privateKey": base64.StdEncoding.EncodeToString(seed)}).ok()
	}
	first := w.get("/dkim?limit=2&colour=1").ok()
	first.is(4, "total")
	first.is("*", "results", 0, "domain")
	first.is(false, "previousCursor")
	next, _ := first.at("nextCursor").(string)
	second := w.get("/dkim?limit=2&next=" + next).ok()
	second.is("b.example", "results", 0, "domain")
	second.is(2, "page")
	second.is(false, "nextCursor")
	previous, _ := second.at("previousCursor").(string)
	back := w.get("/dkim?limit=2&previous=" + previous).ok()
	back.is("*", "results", 0, "domain")
	back.is(1, "page")
	w.get("/dkim?query=B.EX").ok().is("b.example", "results", 0, "domain")

	w.do("DELETE", "/dkim/"+id, "", "").ok()
	w.get("/dkim/"+id).fails(404, "DkimNotFound")
	w.do("DELETE", "/dkim/"+id, "", "").fails(404, "DkimNotFound")
	w.get("/dkim/resolve/example.org").fails(404, "DkimNotFound")
	for _, body := range []map[string]any{
		{"selector": "x"},
		{"domain": "x.example"},
		{"domain": "a b", "selector": "x"},
		{"domain": "x.example", "selector": "x", "privateKey": "abc"},
		{"domain": "x.example", "selector": "x", "privateKey": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"},
		{"domain": "x.example", "selector": "a b"},
	} {
		w.json("POST", "/dkim", body).fails(400, "InputValidationError")
	}
	w.get("/dkim", w.token(w.user("anna").ID, "user")...).fails(403, "MissingPrivileges")
	w.get("/dkim", w.token(mail.ID{}, "manager")...).ok()
}
