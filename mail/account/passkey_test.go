package account_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

const site = "https://mail.example.com"

// home is where the ceremonies of the tests happen.
var home = account.Place{Origin: site, Binding: "window", IP: "192.0.2.7", Session: "r1"}

func openPasskeys(t *testing.T) *fixture {
	t.Helper()
	return openPasskeysOn(t, storetest.New(t))
}

func openPasskeysOn(t *testing.T, env *storetest.Env) *fixture {
	t.Helper()
	f := &fixture{now: time.Now()}
	f.store = env.Open(nil)
	a, err := account.New(account.Options{
		Store: f.store, Signal: env.Signal, Log: env.Log, Domains: []string{"example.com"}, Registration: true,
		Limit: limit.New(env.Signal, limit.WithLog(env.Log), limit.WithRule(limit.AuthUser, limit.Rule{Limit: 4})),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Accounts = a
	return f
}

// key is a software authenticator with one credential (ES256).
type key struct {
	t       *testing.T
	private *ecdsa.PrivateKey
	id      []byte
	handle  []byte
	counter uint32
	origin  string
	flags   byte
}

// Flags of the authenticator data (WebAuthn 6.1).
const (
	present, verified, attested = 0x01, 0x04, 0x40
)

func newKey(t *testing.T) *key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &key{t: t, private: private, id: id, origin: site, flags: present | verified}
}

type b64 []byte

func (b b64) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

// asked is what of the options a browser acts on.
type asked struct {
	PublicKey struct {
		Challenge, RPID string
		RP              struct{ ID string }
		User            struct{ ID string }
	}
}

func (k *key) read(options any) (a asked) {
	k.t.Helper()
	text, err := json.Marshal(options)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return a
}

func (k *key) clientData(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

func (k *key) data(rp string, flags byte) []byte {
	k.counter++
	hash := sha256.Sum256([]byte(rp))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), k.counter)
}

func (k *key) answer(response map[string]any) []byte {
	out, err := json.Marshal(map[string]any{"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "response": response})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// make answers the options of a registration.
func (k *key) make(options any) []byte {
	a := k.read(options)
	handle, err := base64.RawURLEncoding.DecodeString(a.PublicKey.User.ID)
	if err != nil {
		k.t.Fatal(err)
	}
	k.handle = handle
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		k.t.Fatal(err)
	}
	data := k.data(a.PublicKey.RP.ID, k.flags|attested)
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		k.t.Fatal(err)
	}
	return k.answer(map[string]any{
		"clientDataJSON": b64(k.clientData("webauthn.create", a.PublicKey.Challenge)), "attestationObject": b64(object), "transports": []string{"internal"},
	})
}

// show answers the options of a sign-in.
func (k *key) show(options any) []byte {
	a := k.read(options)
	client := k.clientData("webauthn.get", a.PublicKey.Challenge)
	data := k.data(a.PublicKey.RPID, k.flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return k.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(k.handle),
	})
}

// enrol gives an account its passkey.
func (f *fixture) enrol(t *testing.T, u mail.User, k *key, name string) mail.User {
	t.Helper()
	options, err := f.BeginPasskey(context.Background(), u, home, name, good)
	if err != nil {
		t.Fatal(err)
	}
	after, err := f.FinishPasskey(context.Background(), u, home, k.make(options))
	if err != nil {
		t.Fatal(err)
	}
	return after
}

func (f *fixture) second(t *testing.T, u mail.User, k *key) (mail.User, error) {
	t.Helper()
	options, err := f.BeginSecond(context.Background(), u, home)
	if err != nil {
		t.Fatal(err)
	}
	return f.FinishSecond(context.Background(), u, home, k.show(options))
}

func (f *fixture) alone(t *testing.T, k *key) (mail.User, error) {
	t.Helper()
	options, err := f.BeginPasskeyLogin(context.Background(), home)
	if err != nil {
		t.Fatal(err)
	}
	return f.FinishPasskeyLogin(context.Background(), home, k.show(options))
}

func TestPasskey(t *testing.T) {
	ctx, f := context.Background(), openPasskeys(t)
	u := f.register(t, "ann")
	old, err := f.NewSession(ctx, u, account.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(t)
	after := f.enrol(t, u, k, " Laptop ")
	if after.AuthVersion != u.AuthVersion+1 {
		t.Errorf("version %d after %d", after.AuthVersion, u.AuthVersion)
	}
	_, err = f.Session(ctx, old)
	wantCode(t, err, mail.CodeNotFound)
	list, err := f.Passkeys(ctx, u.ID)
	if err != nil || len(list) != 1 || list[0].Description != "Laptop" || list[0].Origin != site || !strings.HasPrefix(list[0].PublicKey, "-----BEGIN PUBLIC KEY-----\n") {
		t.Fatalf("passkeys %+v, %v", list, err)
	}
	r, err := f.Authenticate(ctx, account.Login{Username: "ann", Password: good})
	if err != nil || !slices.Equal(r.Require2FA, []string{"webauthn"}) {
		t.Fatalf("the password alone: %+v, %v", r.Require2FA, err)
	}
	_, err = f.Authenticate(ctx, account.Login{Username: "ann", Password: good, Scope: "imap"})
	wantCode(t, err, mail.CodeAuth)
	for range 2 {
		if in, err := f.second(t, r.User, k); err != nil || in.ID != u.ID {
			t.Fatalf("second step: %v", err)
		}
		if in, err := f.alone(t, k); err != nil || in.ID != u.ID {
			t.Fatalf("passkey alone: %v", err)
		}
	}
	list, err = f.Passkeys(ctx, u.ID)
	if err != nil || list[0].Counter != k.counter || list[0].Used.IsZero() {
		t.Errorf("passkey %+v, counter %d, %v", list[0], k.counter, err)
	}

	// Another one leaves the sessions alone; removing needs the password.
	other := newKey(t)
	if again := f.enrol(t, after, other, "Key"); again.AuthVersion != after.AuthVersion {
		t.Error("the second passkey raised the version")
	}
	wantCode(t, f.RemovePasskey(ctx, u, home, list[0].ID, "wrong"), mail.CodeAuth)
	if err := f.RemovePasskey(ctx, u, home, list[0].ID, good); err != nil {
		t.Fatal(err)
	}
	_, err = f.alone(t, k)
	wantCode(t, err, mail.CodeAuth)
	if _, err := f.alone(t, other); err != nil {
		t.Error(err)
	}
	f.wantLog(t, u.ID, "register webauthn success", "remove webauthn success", "check 2fa webauthn success", "authentication success", "authentication fail")
}

func (f *fixture) wantLog(t *testing.T, user mail.ID, want ...string) {
	t.Helper()
	log, err := f.store.AuthEvents(context.Background(), user, mail.ID{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range want {
		if !slices.ContainsFunc(log, func(e store.AuthEvent) bool { return e.Action+" "+e.Result == line && e.IP == home.IP }) {
			t.Errorf("the log lacks %q", line)
		}
	}
}

func TestPasskeyRefusals(t *testing.T) {
	ctx, f := context.Background(), openPasskeys(t)
	u := f.register(t, "ann")
	for name, p := range map[string]account.Place{"description": home, "origin": {Origin: "https://192.0.2.1", Binding: "x"}} {
		title := map[string]string{"description": " ", "origin": "Key"}[name]
		_, err := f.BeginPasskey(ctx, u, p, title, good)
		if e := errorOf(t, err, mail.CodeInvalid); e.Field != name {
			t.Errorf("field %q, want %q", e.Field, name)
		}
	}
	_, err := f.BeginPasskey(ctx, u, home, "Key", "wrong")
	wantCode(t, err, mail.CodeAuth)

	// An answer to a registration: once, in the same window, for the same
	// account, from the same site.
	begin := func() any {
		options, err := f.BeginPasskey(ctx, u, home, "Key", good)
		if err != nil {
			t.Fatal(err)
		}
		return options
	}
	elsewhere, phished := home, newKey(t)
	elsewhere.Binding = "another window"
	_, err = f.FinishPasskey(ctx, u, elsewhere, newKey(t).make(begin()))
	wantCode(t, err, mail.CodeAuth)
	phished.origin = "https://mail.example.com.evil.example"
	_, err = f.FinishPasskey(ctx, u, home, phished.make(begin()))
	wantCode(t, err, mail.CodeAuth)
	_, err = f.FinishPasskey(ctx, f.register(t, "berta"), home, newKey(t).make(begin()))
	wantCode(t, err, mail.CodeAuth)
	for _, nonsense := range []string{"", "{}", "null", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`} {
		_, err = f.FinishPasskey(ctx, u, home, []byte(nonsense))
		wantCode(t, err, mail.CodeAuth)
	}
	k := newKey(t)
	made := k.make(begin())
	if u, err = f.FinishPasskey(ctx, u, home, made); err != nil {
		t.Fatal(err)
	}
	_, err = f.FinishPasskey(ctx, u, home, made)
	wantCode(t, err, mail.CodeAuth)
	_, err = f.FinishPasskey(ctx, u, home, k.make(begin()))
	wantCode(t, err, mail.CodeExists)
	if list, err := f.Passkeys(ctx, u.ID); err != nil || len(list) != 1 {
		t.Errorf("%d passkeys, %v", len(list), err)
	}
}

func TestPasskeyLoginRefusals(t *testing.T) {
	ctx := context.Background()
	for name, attack := range map[string]func(t *testing.T, f *fixture, k *key, u mail.User) error{
		"replay": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			options, err := f.BeginPasskeyLogin(ctx, home)
			if err != nil {
				t.Fatal(err)
			}
			answer := k.show(options)
			if _, err := f.FinishPasskeyLogin(ctx, home, answer); err != nil {
				t.Fatal(err)
			}
			_, err = f.FinishPasskeyLogin(ctx, home, answer)
			return err
		},
		"another window": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			options, err := f.BeginPasskeyLogin(ctx, home)
			if err != nil {
				t.Fatal(err)
			}
			p := home
			p.Binding = "another"
			_, err = f.FinishPasskeyLogin(ctx, p, k.show(options))
			return err
		},
		"second step's challenge": func(t *testing.T, f *fixture, k *key, u mail.User) error {
			options, err := f.BeginSecond(ctx, u, home)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.FinishPasskeyLogin(ctx, home, k.show(options))
			return err
		},
		"another site": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			k.origin = "http://mail.example.com"
			_, err := f.alone(t, k)
			return err
		},
		"holder not verified": func(t *testing.T, f *fixture, k *key, u mail.User) error {
			k.flags = present
			if _, err := f.second(t, u, k); err != nil {
				t.Errorf("a touch is enough after the password: %v", err)
			}
			_, err := f.alone(t, k)
			return err
		},
		"nobody there": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			k.flags = verified
			_, err := f.alone(t, k)
			return err
		},
		"copied authenticator": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			copied := *k
			k.counter += 5
			if _, err := f.alone(t, k); err != nil {
				t.Fatal(err)
			}
			_, err := f.alone(t, &copied)
			return err
		},
		"another key": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			k.private = newKey(t).private
			_, err := f.alone(t, k)
			return err
		},
		"another account's handle": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			other := f.register(t, "berta")
			f.enrol(t, other, newKey(t), "Key")
			k.handle = other.ID[:]
			_, err := f.alone(t, k)
			return err
		},
		"unknown handle": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			k.handle = []byte("nobody at all")
			_, err := f.alone(t, k)
			return err
		},
		"no handle": func(t *testing.T, f *fixture, k *key, _ mail.User) error {
			k.handle = nil
			_, err := f.alone(t, k)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := openPasskeys(t)
			k := newKey(t)
			u := f.enrol(t, f.register(t, "ann"), k, "Key")
			wantCode(t, attack(t, f, k, u), mail.CodeAuth)
		})
	}
}

func TestPasskeyOfDisabledAccount(t *testing.T) {
	ctx, f := context.Background(), openPasskeys(t)
	k := newKey(t)
	u := f.enrol(t, f.register(t, "ann"), k, "Key")
	if err := f.store.SetDisabled(ctx, u.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err := f.alone(t, k)
	wantCode(t, err, mail.CodeDisabled)
}

func TestPasskeyIsLimited(t *testing.T) {
	ctx, f := context.Background(), openPasskeys(t)
	k := newKey(t)
	u := f.enrol(t, f.register(t, "ann"), k, "Key")
	bad := *k
	bad.private = newKey(t).private
	for range 4 {
		_, err := f.second(t, u, &bad)
		wantCode(t, err, mail.CodeAuth)
	}
	_, err := f.second(t, u, k)
	wantCode(t, err, mail.CodeLimited)
	_, err = f.alone(t, k)
	wantCode(t, err, mail.CodeLimited)
	_, err = f.Authenticate(ctx, account.Login{Username: "ann", Password: good})
	wantCode(t, err, mail.CodeLimited)
}

// A passkey that WildDuck registered has none of our fields, and its client
// wrote the account's id in hexadecimal.
func TestPasskeyOfWildDuck(t *testing.T) {
	env := storetest.New(t)
	f := openPasskeysOn(t, env)
	k := newKey(t)
	k.flags |= 0x18 // kept with the account of a maker
	u := f.enrol(t, f.register(t, "ann"), k, "Key")
	_, err := env.Collection(t, "users").UpdateOne(context.Background(), map[string]any{"username": "ann"},
		map[string]any{"$unset": map[string]any{"webauthn.credentials.0.eider": ""}})
	if err != nil {
		t.Fatal(err)
	}
	k.handle = []byte(u.ID.String())
	if _, err := f.second(t, u, k); err != nil {
		t.Error(err)
	}
	if _, err := f.alone(t, k); err != nil {
		t.Error(err)
	}
}

func TestPasskeysNeedSignals(t *testing.T) {
	f := openPasskeys(t)
	a, err := account.New(account.Options{Store: f.store, Limit: limit.New(nil)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.BeginPasskeyLogin(context.Background(), home)
	wantCode(t, err, mail.CodeForbidden)
}

func TestPasskeyChallengesAreBounded(t *testing.T) {
	f := openPasskeys(t)
	for i := 0; ; i++ {
		_, err := f.BeginPasskeyLogin(context.Background(), home)
		if mail.IsCode(err, mail.CodeLimited) {
			if i < 100 {
				t.Errorf("only %d", i)
			}
			return
		}
		if err != nil || i > 1000 {
			t.Fatalf("%d challenges wait, %v", i, err)
		}
	}
}
