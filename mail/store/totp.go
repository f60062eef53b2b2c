package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// FactorTOTP is the second factor that a seed of codes is (RFC 6238).
const FactorTOTP = "totp"

const (
	// totpSeedSize is bytes of a seed, totpSetupTime how long one waits for its
	// first code; both are WildDuck's.
	totpSeedSize  = 20
	totpSetupTime = 6 * time.Hour
)

// totpRecord is what of a user decides about codes (schema 2.1).
type totpRecord struct {
	// State is exported for the decoder, which skips what is not.
	State          factorRecord  `bson:",inline"`
	Seed           string        `bson:"seed"`
	PendingSeed    string        `bson:"pendingSeed"`
	PendingChanged bson.RawValue `bson:"pendingSeedChanged"`
}

func (s *Store) totpRecord(ctx context.Context, op string, user mail.ID) (*totpRecord, error) {
	var r totpRecord
	err := s.users.FindOne(ctx, key("_id", oid(user)),
		options.FindOne().SetProjection(key("enabled2fa", 1, "seed", 1, "pendingSeed", 1, "pendingSeedChanged", 1))).Decode(&r)
	if err != nil {
		return nil, missing(op, mail.CodeNoUser, err)
	}
	return &r, nil
}

// SetupTOTP makes a seed for an account's codes and gives it in base32. It
// counts once EnableTOTP has seen a code of it, within six hours. It is kept as
// WildDuck keeps it, encrypted where a secret is configured. CodeExists when the
// account has codes already.
func (s *Store) SetupTOTP(ctx context.Context, user mail.ID) (seed string, err error) {
	const op = "set up codes"
	raw := make([]byte, totpSeedSize)
	_, _ = rand.Read(raw) // never fails
	seed = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	sealed, err := s.secrets.totp.Encrypt(seed)
	if err != nil {
		return "", fail(op, err)
	}
	r, err := s.totpRecord(ctx, op, user)
	if err != nil {
		return "", err
	}
	if slices.Contains(r.State.factors(), FactorTOTP) {
		return "", &mail.Error{Code: mail.CodeExists, Op: op}
	}
	res, err := s.users.UpdateOne(ctx, append(key("_id", oid(user)), unchanged(r.State.Enabled2FA)),
		key("$set", key("pendingSeed", sealed, "pendingSeedChanged", s.now())))
	if err == nil && res.MatchedCount == 0 {
		return "", &mail.Error{Code: mail.CodeConflict, Op: op}
	}
	return seed, fail(op, err)
}

// EnableTOTP switches codes on with the seed that was set up, if check accepts
// it: it is given the seed in base32 and looks at a code. When it is the first
// second factor the authentication version rises, which voids sessions and
// tokens; the account comes back as it is then. CodeNotFound where no seed waits
// or its time is over, CodeForbidden where check refuses, CodeExists when codes
// are on.
func (s *Store) EnableTOTP(ctx context.Context, user mail.ID, check func(seed string) bool) (mail.User, error) {
	const op = "enable codes"
	r, err := s.totpRecord(ctx, op, user)
	if err != nil {
		return mail.User{}, err
	}
	factors := r.State.factors()
	since := rawTime(r.PendingChanged)
	switch {
	case slices.Contains(factors, FactorTOTP):
		return mail.User{}, &mail.Error{Code: mail.CodeExists, Op: op}
	case r.PendingSeed == "" || !since.IsZero() && s.now().Sub(since) > totpSetupTime:
		return mail.User{}, &mail.Error{Code: mail.CodeNotFound, Op: op}
	}
	seed, err := s.secrets.totp.Decrypt(r.PendingSeed)
	if err != nil {
		return mail.User{}, fail(op, err)
	}
	if !check(seed) {
		return mail.User{}, &mail.Error{Code: mail.CodeForbidden, Op: op}
	}
	change := bson.D{{Key: "$set", Value: key("seed", r.PendingSeed, "pendingSeed", "", "pendingSeedChanged", false,
		"enabled2fa", stringArray(append(factors, FactorTOTP)))}}
	if len(factors) == 0 {
		change = append(change, bson.E{Key: "$inc", Value: key("authVersion", 1)})
	}
	var u userRecord
	err = s.users.FindOneAndUpdate(ctx, append(key("_id", oid(user), "pendingSeed", r.PendingSeed), unchanged(r.State.Enabled2FA)), change,
		options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&u)
	return u.user(s.quota), missing(op, mail.CodeConflict, err)
}

// TOTPSeed gives the seed of an account's codes in base32. CodeNotFound when it
// has none, CodeInternal when the secret does not open it.
func (s *Store) TOTPSeed(ctx context.Context, user mail.ID) (string, error) {
	const op = "read seed of codes"
	r, err := s.totpRecord(ctx, op, user)
	if err != nil {
		return "", err
	}
	if r.Seed == "" || !slices.Contains(r.State.factors(), FactorTOTP) {
		return "", &mail.Error{Code: mail.CodeNotFound, Op: op}
	}
	seed, err := s.secrets.totp.Decrypt(r.Seed)
	return seed, fail(op, err)
}

// DisableTOTP switches codes off and forgets the seed. CodeNotFound when they
// are not on.
func (s *Store) DisableTOTP(ctx context.Context, user mail.ID) error {
	const op = "disable codes"
	for range factorTries {
		r, err := s.totpRecord(ctx, op, user)
		if err != nil {
			return err
		}
		factors := r.State.factors()
		rest := slices.DeleteFunc(slices.Clone(factors), func(f string) bool { return f == FactorTOTP })
		if len(rest) == len(factors) {
			return &mail.Error{Code: mail.CodeNotFound, Op: op}
		}
		res, err := s.users.UpdateOne(ctx, append(key("_id", oid(user)), unchanged(r.State.Enabled2FA)),
			key("$set", key("seed", "", "pendingSeed", "", "pendingSeedChanged", false, "enabled2fa", stringArray(rest))))
		if err != nil {
			return fail(op, err)
		}
		if res.MatchedCount > 0 {
			return nil
		}
	}
	return &mail.Error{Code: mail.CodeConflict, Op: op}
}
