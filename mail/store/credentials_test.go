package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func samplePasskey(n int) store.Passkey {
	return store.Passkey{
		RawID: []byte{1, 2, 3, byte(n)}, PublicKey: "-----BEGIN PUBLIC KEY-----\n", Counter: 7, Description: fmt.Sprintf("Key %d", n),
		Origin: "https://mail.example", Attachment: "platform", Known: true, Flags: 0x1d, Transports: []string{"internal"},
		AAGUID: make([]byte, 16), AttestationType: "none", AttestationFormat: "none",
	}
}

func TestPasskeys(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	if list := must(s.Passkeys(ctx, u.ID))(t); len(list) != 0 {
		t.Fatalf("%d passkeys at first", len(list))
	}
	after := must(s.AddPasskey(ctx, u.ID, samplePasskey(1)))(t)
	if after.AuthVersion != u.AuthVersion+1 {
		t.Errorf("the first factor leaves the version at %d", after.AuthVersion)
	}
	if again := must(s.AddPasskey(ctx, u.ID, samplePasskey(2)))(t); again.AuthVersion != after.AuthVersion {
		t.Error("the second passkey raised the version")
	}
	_, err := s.AddPasskey(ctx, u.ID, samplePasskey(2))
	wantCode(t, err, mail.CodeExists)
	list := must(s.Passkeys(ctx, u.ID))(t)
	want := samplePasskey(1)
	want.ID, want.Created = list[0].ID, list[0].Created
	if diff := cmp.Diff(want, list[0]); diff != "" || want.Created.IsZero() || len(list) != 2 {
		t.Errorf("%d passkeys, the first differs:\n%s", len(list), diff)
	}
	wantFactors(t, s, u.ID, "webauthn")

	// The document is WildDuck's.
	var doc struct {
		WebAuthn struct{ Credentials []bson.M }
	}
	if err := env.Collection(t, "users").FindOne(ctx, bson.M{"_id": bson.ObjectID(u.ID)}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	c := doc.WebAuthn.Credentials[0]
	if created, ok := c["created"].(string); !ok || !strings.HasSuffix(created, "Z") || c["type"] != "public-key" {
		t.Errorf("credential %v", c)
	}

	removed := must(s.RemovePasskey(ctx, u.ID, list[0].ID))(t)
	if removed.Description != "Key 1" {
		t.Errorf("removed %+v", removed)
	}
	wantFactors(t, s, u.ID, "webauthn")
	_, err = s.RemovePasskey(ctx, u.ID, list[0].ID)
	wantCode(t, err, mail.CodeNotFound)
	must(s.RemovePasskey(ctx, u.ID, list[1].ID))(t)
	wantFactors(t, s, u.ID)
	_, err = s.AddPasskey(ctx, mail.NewID(), samplePasskey(1))
	wantCode(t, err, mail.CodeNoUser)
}

func wantFactors(t *testing.T, s *store.Store, user mail.ID, want ...string) {
	t.Helper()
	if got := must(s.Factors(context.Background(), user))(t); !slices.Equal(got, want) {
		t.Errorf("factors %q, want %q", got, want)
	}
}

// A database that WildDuck wrote long ago has true for totp, or nothing.
func TestPasskeyBesideOldFactors(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	users := env.Collection(t, "users")
	for i, c := range []struct {
		change  bson.M
		on, off []string
		raised  bool
	}{
		{bson.M{"$set": bson.M{"enabled2fa": true}}, []string{"totp", "webauthn"}, []string{"totp"}, false},
		{bson.M{"$set": bson.M{"enabled2fa": false}}, []string{"webauthn"}, nil, true},
		{bson.M{"$unset": bson.M{"enabled2fa": "", "webauthn": ""}}, []string{"webauthn"}, nil, true},
		{bson.M{"$set": bson.M{"enabled2fa": bson.A{"u2f"}}}, []string{"webauthn"}, nil, true},
		{bson.M{"$set": bson.M{"enabled2fa": bson.A{"custom", "totp"}}}, []string{"custom", "totp", "webauthn"}, []string{"custom", "totp"}, false},
	} {
		u := newUser(t, s, fmt.Sprintf("user%d", i))
		if _, err := users.UpdateByID(ctx, bson.ObjectID(u.ID), c.change); err != nil {
			t.Fatal(err)
		}
		after := must(s.AddPasskey(ctx, u.ID, samplePasskey(1)))(t)
		if raised := after.AuthVersion > u.AuthVersion; raised != c.raised {
			t.Errorf("%v: version raised %v", c.change, raised)
		}
		wantFactors(t, s, u.ID, c.on...)
		must(s.RemovePasskey(ctx, u.ID, must(s.Passkeys(ctx, u.ID))(t)[0].ID))(t)
		wantFactors(t, s, u.ID, c.off...)
	}
}

func TestPasskeysAreBounded(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	var wg sync.WaitGroup
	errs := make([]error, store.MaxPasskeys+4)
	for i := range errs {
		wg.Go(func() {
			// Who loses to the others comes again.
			for {
				if _, errs[i] = s.AddPasskey(ctx, u.ID, samplePasskey(i)); !mail.IsCode(errs[i], mail.CodeConflict) {
					return
				}
			}
		})
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			wantCode(t, err, mail.CodeInvalid)
			refused++
		}
	}
	after := must(s.User(ctx, u.ID))(t)
	if n := len(must(s.Passkeys(ctx, u.ID))(t)); n != store.MaxPasskeys || refused != 4 || after.AuthVersion != u.AuthVersion+1 {
		t.Errorf("%d passkeys, %d refused, version %d", n, refused, after.AuthVersion)
	}
}

func TestPasskeyCounter(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	still := samplePasskey(2)
	still.Counter = 0
	must(s.AddPasskey(ctx, u.ID, samplePasskey(1)))(t)
	must(s.AddPasskey(ctx, u.ID, still))(t)
	for _, c := range []struct {
		key     int
		counter uint32
		ok      bool
	}{
		{1, 8, true},
		{1, 8, false},
		{1, 7, false},
		{1, 0, false},
		{1, 1<<32 - 1, true},
		{1, 9, false},
		{2, 0, true},
		{2, 0, true},
		{2, 1, true},
		{2, 0, false},
		{3, 1, false},
	} {
		err := s.UsePasskey(ctx, u.ID, samplePasskey(c.key).RawID, c.counter, 0x05)
		if c.ok && err != nil || !c.ok && !mail.IsCode(err, mail.CodeConflict) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	list := must(s.Passkeys(ctx, u.ID))(t)
	if list[0].Counter != 1<<32-1 || list[0].Flags != 0x05 || list[0].Used.IsZero() || list[1].Counter != 1 {
		t.Errorf("passkeys %+v", list)
	}
}
