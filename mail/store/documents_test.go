package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// mark adds a field that only a later WildDuck knows; marked looks for it.
func markOf(t *testing.T, c *mongo.Collection, id mail.ID, path string) {
	t.Helper()
	res, err := c.UpdateOne(context.Background(), bson.D{{Key: "_id", Value: bson.ObjectID(id)}},
		bson.D{{Key: "$set", Value: bson.D{{Key: path, Value: "later"}}}})
	if err != nil || res.MatchedCount != 1 {
		t.Fatal(res, err)
	}
}

func wantMark(t *testing.T, c *mongo.Collection, id mail.ID, path ...string) bson.Raw {
	t.Helper()
	raw, err := c.FindOne(context.Background(), bson.D{{Key: "_id", Value: bson.ObjectID(id)}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := raw.Lookup(path...).StringValueOK(); v != "later" {
		t.Errorf("%v was lost: %v", path, raw)
	}
	return raw
}

func yes() *bool { v := true; return &v }

func TestFilters(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	box := must(s.CreateMailbox(ctx, u.ID, "Lists", mail.UseNone))(t)
	f := must(s.AddFilter(ctx, store.Filter{
		User: u.ID, Name: "lists", Query: store.FilterQuery{ListID: "dev.example", HasAttachments: yes(), Size: -100},
		Action: store.FilterAction{Mailbox: box.ID, Seen: yes(), Targets: []store.Target{{Type: "mail", Value: "x@example.net"}}},
	}))(t)
	_, err := s.AddFilter(ctx, store.Filter{User: u.ID, Action: store.FilterAction{Mailbox: mail.NewID()}})
	wantCode(t, err, mail.CodeNoMailbox)
	c := env.Collection(t, "filters")
	for _, path := range []string{"extra", "query.later", "action.later", "query.headers.x"} {
		markOf(t, c, f.ID, path)
	}
	must(s.EditFilter(ctx, u.ID, f.ID, func(f *store.Filter) error {
		f.Query.ListID, f.Query.From, f.Action.Seen, f.Action.Flag, f.Name = "", "ann", nil, yes(), ""
		return nil
	}))(t)
	got := must(s.Filters(ctx, u.ID))(t)[0]
	if got.Name != "" || got.Query.From != "ann" || got.Query.ListID != "" || got.Query.Size != -100 || got.Action.Seen != nil ||
		got.Action.Flag == nil || got.Action.Mailbox != box.ID || got.Action.Targets[0].ID != f.Action.Targets[0].ID {
		t.Errorf("filter %+v", got)
	}
	for _, path := range [][]string{{"extra"}, {"query", "later"}, {"action", "later"}, {"query", "headers", "x"}} {
		wantMark(t, c, f.ID, path...)
	}
	if list, _, err := s.AllFilters(ctx, "x@example.net", store.Paging{}); err != nil || len(list) != 1 {
		t.Errorf("by target: %v %v", list, err)
	}
	must(s.EditUser(ctx, u.ID, func(a *store.Account) error { a.Filters = 1; return nil }))(t)
	_, err = s.AddFilter(ctx, store.Filter{User: u.ID})
	wantCode(t, err, mail.CodeInvalid)
	if err := s.DeleteFilter(ctx, u.ID, f.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Filter(ctx, u.ID, f.ID)
	wantCode(t, err, mail.CodeNotFound)
}

func TestAutoreply(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	if a := must(s.Autoreply(ctx, u.ID))(t); a.Status {
		t.Errorf("%+v", a)
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	a := must(s.SetAutoreply(ctx, u.ID, func(a *store.Autoreply) error { a.Status, a.Subject, a.End = true, "away", end; return nil }))(t)
	c := env.Collection(t, "autoreplies")
	markOf(t, c, a.ID, "sess")
	must(s.SetAutoreply(ctx, u.ID, func(a *store.Autoreply) error { a.Text = "back soon"; return nil }))(t)
	raw := wantMark(t, c, a.ID, "sess")
	if created, _ := raw.Lookup("created").StringValueOK(); !strings.HasSuffix(created, ".000Z") {
		t.Errorf("created %q", created)
	}
	if v, ok := raw.Lookup("start").BooleanOK(); v || !ok {
		t.Error("no start is false")
	}
	got := must(s.Autoreply(ctx, u.ID))(t)
	if !got.Status || got.Subject != "away" || got.Text != "back soon" || !got.End.Equal(end) || !must(s.Account(ctx, u.ID))(t).Autoreply {
		t.Errorf("%+v", got)
	}
	if err := s.DeleteAutoreply(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if must(s.Account(ctx, u.ID))(t).Autoreply || count(t, env, "autoreplies") != 0 {
		t.Error("the autoreply stays")
	}
}

func TestAppPasswords(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, now := withClock(env)
	u := newUser(t, s, "ann")
	a := must(s.AddAppPassword(ctx, store.AppPassword{User: u.ID, Description: "phone", Scopes: []string{"SMTP", "imap", "x"}, Hash: "h", TTL: time.Hour}, "abcdefghijklmnop"))(t)
	all := must(s.AddAppPassword(ctx, store.AppPassword{User: u.ID, Scopes: []string{"smtp", "imap", "pop3"}, Hash: "h"}, "abcdefghijklmnop"))(t)
	if !slices.Equal(a.Scopes, []string{"imap", "smtp"}) || !slices.Equal(all.Scopes, []string{"*"}) {
		t.Errorf("scopes %v, %v", a.Scopes, all.Scopes)
	}
	raw := must(env.Collection(t, "asps").FindOne(ctx, bson.D{{Key: "_id", Value: bson.ObjectID(a.ID)}}).Raw())(t)
	// WildDuck 1.51.1 gives this selector for that password.
	if sel, _ := raw.Lookup("selector").StringValueOK(); sel != aspSelector {
		t.Errorf("selector %q", sel)
	}
	if used, ok := raw.Lookup("used").BooleanOK(); used || !ok {
		t.Error("never used is false")
	}
	now.add(50 * time.Minute)
	if err := s.UseAppPassword(ctx, u.ID, a.ID, mail.NewID(), "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	now.add(50 * time.Minute)
	if got := must(s.AppPasswordCandidates(ctx, u.ID, "abcdefghijklmnop"))(t); len(got) != 2 || got[0].IP != "192.0.2.1" {
		t.Errorf("candidates %+v", got)
	}
	now.add(time.Hour)
	if got := must(s.AppPasswordCandidates(ctx, u.ID, "abcdefghijklmnop"))(t); len(got) != 1 || got[0].ID != all.ID {
		t.Errorf("one has run out: %+v", got)
	}
	if got := must(s.AppPasswordCandidates(ctx, u.ID, "abcdefghijklmnoq"))(t); len(got) != 0 {
		t.Errorf("another password: %+v", got)
	}
	if err := s.DeleteAppPassword(ctx, u.ID, a.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.DeleteAppPassword(ctx, u.ID, a.ID), mail.CodeNotFound)
}

func pemKey(t *testing.T, key any) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)}))
}

func TestDKIM(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Secrets.DKIM = "a secret" })
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := pemKey(t, private)
	first := must(s.SetDKIM(ctx, "Example.com", "one", dkimRSA, "old"))(t)
	if first.PublicKeyDER != dkimRSADER || first.Fingerprint != dkimRSAPrint {
		t.Errorf("WildDuck says otherwise: %+v", first)
	}
	k := must(s.SetDKIM(ctx, "example.com", "two", text, ""))(t)
	if k.ID != first.ID || k.Description != "" || len(k.PublicKeyDER) != 44 {
		t.Errorf("replaced: %+v", k)
	}
	raw := must(env.Collection(t, "dkim").FindOne(ctx, bson.D{}).Raw())(t)
	if sealed, _ := raw.Lookup("privateKey").StringValueOK(); !strings.HasPrefix(sealed, "$wd01$") {
		t.Errorf("at rest: %q", sealed)
	}
	if got := must(s.DKIMSigner(ctx, "example.com"))(t); got.PrivateKey != text {
		t.Errorf("signer %+v", got)
	}
	_, err = s.DKIMSigner(ctx, "other.example")
	wantCode(t, err, mail.CodeNotFound)
	must(s.SetDKIM(ctx, "*", "all", text, ""))(t)
	if got := must(s.DKIMSigner(ctx, "other.example"))(t); got.Selector != "all" {
		t.Errorf("signer %+v", got)
	}
	_, err = env.Open(nil).DKIMSigner(ctx, "example.com")
	wantCode(t, err, mail.CodeInternal)
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", pemKey(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))} {
		_, err = s.SetDKIM(ctx, "example.com", "x", bad, "")
		wantCode(t, err, mail.CodeInvalid)
	}
	if name, txt := k.Record(); name != "two._domainkey.example.com" || txt != "v=DKIM1;t=s;p="+k.PublicKeyDER {
		t.Error(name, txt)
	}
	if err := s.DeleteDKIM(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
}

func TestCertificates(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Secrets.Certs = "a secret" })
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"}, DNSNames: []string{"mail.example.com", "*.example.org"}, NotAfter: until}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c := must(s.SetCertificate(ctx, store.Certificate{ServerName: "mail.example.com", Chain: chain, PrivateKey: pemKey(t, key)}))(t)
	if c.Version != 1 || !c.Expires.Equal(until) || len(c.AltNames) != 2 {
		t.Errorf("%+v", c)
	}
	markOf(t, env.Collection(t, "certs"), c.ID, "later")
	again := must(s.SetCertificate(ctx, store.Certificate{ServerName: "mail.example.com", Chain: chain, PrivateKey: pemKey(t, key)}))(t)
	wantMark(t, env.Collection(t, "certs"), c.ID, "later")
	if again.ID != c.ID || again.Version != 2 {
		t.Errorf("%+v", again)
	}
	for _, host := range []string{"MAIL.example.com", "www.example.org"} {
		if got := must(s.CertificateFor(ctx, host))(t); got.PrivateKey != pemKey(t, key) {
			t.Errorf("%s: %+v", host, got)
		}
	}
	_, err := s.CertificateFor(ctx, "a.b.example.org")
	wantCode(t, err, mail.CodeNotFound)
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	_, err = s.SetCertificate(ctx, store.Certificate{ServerName: "x.example.com", Chain: chain, PrivateKey: pemKey(t, other)})
	wantCode(t, err, mail.CodeInvalid)
	must(s.SetCertificate(ctx, store.Certificate{ServerName: "acme.example.com", ACME: true}))(t)
	list, _, err := s.Certificates(ctx, "example", store.Paging{})
	if err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.DeleteCertificate(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
}

func TestWebhooksSettingsRulesAudits(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Secrets.Settings = "a secret" })
	u := newUser(t, s, "ann")
	for _, w := range []store.Webhook{
		{Types: []string{"*"}, URL: "http://a.example"},
		{Types: []string{"user.delete.*"}, URL: "http://b.example", User: u.ID},
		{Types: []string{"user.created"}, URL: "http://c.example"},
	} {
		must(s.AddWebhook(ctx, w))(t)
	}
	if got := must(s.WebhooksFor(ctx, "user.delete.started", u.ID))(t); len(got) != 2 {
		t.Errorf("told: %+v", got)
	}
	if got := must(s.WebhooksFor(ctx, "user.created", mail.ID{}))(t); len(got) != 2 {
		t.Errorf("told: %+v", got)
	}
	list, _, err := s.Webhooks(ctx, "", u.ID, store.Paging{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if err := s.DeleteWebhook(ctx, list[0].ID); err != nil {
		t.Fatal(err)
	}

	if err := s.SetSetting(ctx, "const:max:storage", "5", store.SettingOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(ctx, "acme:account:x", `{"k":1}`, store.SettingOptions{Encrypt: true, Hidden: true}); err != nil {
		t.Fatal(err)
	}
	if got := must(s.Setting(ctx, "acme:account:x"))(t); got.Value != `{"k":1}` {
		t.Errorf("%+v", got)
	}
	if got := must(s.Settings(ctx, ""))(t); len(got) != 1 || got[0].Value != "5" {
		t.Errorf("%+v", got)
	}
	wantCode(t, s.SetSetting(ctx, "x", "no JSON", store.SettingOptions{}), mail.CodeInvalid)
	if err := s.DeleteSetting(ctx, "const:max:storage"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.DeleteSetting(ctx, "const:max:storage"), mail.CodeNotFound)

	r := must(s.AddDomainRule(ctx, "Gold", "Spam.example", store.DomainBlock))(t)
	if moved := must(s.AddDomainRule(ctx, "gold", "spam.example", store.DomainAllow))(t); moved.ID != r.ID || moved.Tag != "Gold" || moved.Action != store.DomainAllow {
		t.Errorf("%+v", moved)
	}
	if got := must(s.DomainRulesFor(ctx, []string{"GOLD"}, "spam.example"))(t); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if err := s.RemoveDomainRule(ctx, r.ID); err != nil {
		t.Fatal(err)
	}

	a := must(s.AddAudit(ctx, store.Audit{User: u.ID, Expires: time.Now().Add(time.Hour), Meta: `{"case":"7"}`}))(t)
	if got := must(s.Audit(ctx, a.ID))(t); got.Status != "queued" || got.Meta != `{"case":"7"}` {
		t.Errorf("%+v", got)
	}
	if got := must(s.ActiveAudits(ctx, u.ID, time.Now()))(t); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	// The task is WildDuck's; Eider's workers leave it alone.
	if n := count(t, env, "tasks"); n != 1 {
		t.Errorf("%d tasks", n)
	}
}
