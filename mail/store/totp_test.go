package store_test

import (
	"context"
	"encoding/base32"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Seeds of codes lie encrypted, in WildDuck's fields and form.
func TestTOTPSeeds(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	clock := &clock{t: time.Now()}
	s := env.Open(func(o *store.Options) { o.Secrets.TOTP, o.Now = "correct horse", clock.now })
	u := newUser(t, s, "ann")
	users := env.Collection(t, "users")
	var doc struct {
		Seed    string        `bson:"seed"`
		Pending string        `bson:"pendingSeed"`
		Changed bson.RawValue `bson:"pendingSeedChanged"`
		Factors []string      `bson:"enabled2fa"`
		Version int           `bson:"authVersion"`
	}
	read := func() {
		t.Helper()
		if err := users.FindOne(ctx, bson.M{"_id": bson.ObjectID(u.ID)}).Decode(&doc); err != nil {
			t.Fatal(err)
		}
	}
	yes := func(string) bool { return true }
	wantCode(t, fails(s.TOTPSeed(ctx, u.ID)), mail.CodeNotFound)
	wantCode(t, fails(s.EnableTOTP(ctx, u.ID, yes)), mail.CodeNotFound)
	seed := must(s.SetupTOTP(ctx, u.ID))(t)
	if raw, err := base32.StdEncoding.DecodeString(seed); err != nil || len(raw) != 20 {
		t.Errorf("seed %q (%v)", seed, err)
	}
	if read(); !strings.HasPrefix(doc.Pending, "$wd01$aes-256-gcm$") || doc.Seed != "" || doc.Changed.Type != bson.TypeDateTime || len(doc.Factors) != 0 {
		t.Errorf("set up: %+v", doc)
	}
	wantCode(t, fails(s.EnableTOTP(ctx, u.ID, func(string) bool { return false })), mail.CodeForbidden)
	clock.add(7 * time.Hour)
	wantCode(t, fails(s.EnableTOTP(ctx, u.ID, yes)), mail.CodeNotFound)
	seed = must(s.SetupTOTP(ctx, u.ID))(t)
	must(s.EnableTOTP(ctx, u.ID, func(have string) bool { return have == seed }))(t)
	if read(); doc.Pending != "" || doc.Changed.Type != bson.TypeBoolean || !slices.Equal(doc.Factors, []string{"totp"}) || doc.Version != 2 {
		t.Errorf("enabled: %+v", doc)
	}
	if got := must(s.TOTPSeed(ctx, u.ID))(t); got != seed {
		t.Errorf("seed %q, want %q", got, seed)
	}
	wantCode(t, fails(s.SetupTOTP(ctx, u.ID)), mail.CodeExists)
	wantCode(t, fails(env.Open(nil).TOTPSeed(ctx, u.ID)), mail.CodeInternal)
	// What WildDuck 1.51.1 wrote: sealed with that secret, and clear.
	for sealed, clear := range map[string]string{
		"$wd01$aes-256-gcm$2868abe2d46a0b1a3dd719b87060f8b6$8e1c831eacc55059c9219ce8$73163eb7b97fa66f70ed6891a9a6adbd$f0ce407048fc7ca51d1ebd22276ff63b897150ce38": "seed JBSWY3DPEHPK3PXP",
		"JBSWY3DPEHPK3PXP": "JBSWY3DPEHPK3PXP",
	} {
		mustUpdate(t, users, bson.M{"_id": bson.ObjectID(u.ID)}, bson.M{"$set": bson.M{"seed": sealed, "enabled2fa": true}})
		if got := must(s.TOTPSeed(ctx, u.ID))(t); got != clear {
			t.Errorf("seed %q, want %q", got, clear)
		}
	}
	if err := s.DisableTOTP(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if read(); doc.Seed != "" || len(doc.Factors) != 0 {
		t.Errorf("disabled: %+v", doc)
	}
	wantCode(t, s.DisableTOTP(ctx, u.ID), mail.CodeNotFound)
}
