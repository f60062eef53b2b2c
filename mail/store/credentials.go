package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// MaxPasskeys is how many passkeys one account may have.
const MaxPasskeys = 20

// FactorPasskey is the second factor that a passkey is (schema 2.1).
const FactorPasskey = "webauthn"

// Passkey is one WebAuthn credential of an account (schema 2.1).
type Passkey struct {
	ID mail.ID
	// RawID is the authenticator's name for it.
	RawID []byte
	// PublicKey is a PEM block of a SubjectPublicKeyInfo (RFC 5280 4.1).
	PublicKey string
	// Counter is the last one that the authenticator gave, 0 for one that does not count.
	Counter uint32
	// Description is the user's name for it. Origin is where it was made.
	// Attachment is platform or cross-platform, "" when not told.
	Description, Origin, Attachment string
	Created                         time.Time
	// Known says that the fields below were kept; a passkey that WildDuck
	// registered has none of them.
	Known bool
	// Flags are those of the authenticator data (WebAuthn 6.1).
	Flags             byte
	Transports        []string
	AAGUID            []byte
	AttestationType   string
	AttestationFormat string
	// Used is the last sign-in, zero for never.
	Used time.Time
}

// passkeyRecord is an element of users.webauthn.credentials.
type passkeyRecord struct {
	ID          bson.ObjectID `bson:"_id"`
	RawID       bson.Binary   `bson:"rawId"`
	PublicKey   string        `bson:"publicKey"`
	Counter     int64         `bson:"counter"`
	Type        string        `bson:"type"`
	Description string        `bson:"description"`
	Origin      string        `bson:"origin"`
	Attachment  string        `bson:"authenticatorAttachment"`
	Created     bson.RawValue `bson:"created"`
	// Eider is ours; WildDuck ignores it.
	Eider *passkeyOwn `bson:"eider,omitempty"`
}

type passkeyOwn struct {
	Flags      int32       `bson:"flags"`
	Transports []string    `bson:"transports"`
	AAGUID     bson.Binary `bson:"aaguid"`
	Type       string      `bson:"attestationType"`
	Format     string      `bson:"attestationFormat"`
	Used       time.Time   `bson:"used,omitempty"`
}

// isoTime is how WildDuck writes the date of a credential.
const isoTime = "2006-01-02T15:04:05.000Z07:00"

func (r *passkeyRecord) passkey() Passkey {
	p := Passkey{
		ID: mail.ID(r.ID), RawID: r.RawID.Data, PublicKey: r.PublicKey, Counter: uint32(min(max(r.Counter, 0), 1<<32-1)),
		Description: r.Description, Origin: r.Origin, Attachment: r.Attachment, Created: rawTime(r.Created),
	}
	if t, err := time.Parse(time.RFC3339, rawString(r.Created)); err == nil {
		p.Created = t.UTC()
	}
	if o := r.Eider; o != nil {
		p.Known, p.Flags, p.Transports, p.AAGUID = true, byte(o.Flags), o.Transports, o.AAGUID.Data //nolint:gosec // a byte was written
		p.AttestationType, p.AttestationFormat, p.Used = o.Type, o.Format, o.Used.UTC()
	}
	return p
}

// passkeyDoc is what is written for a passkey.
func passkeyDoc(p Passkey) bson.D {
	return bson.D{
		{Key: "_id", Value: oid(p.ID)},
		{Key: "rawId", Value: bson.Binary{Data: p.RawID}},
		{Key: "publicKey", Value: p.PublicKey},
		{Key: "counter", Value: number(int64(p.Counter))},
		{Key: "type", Value: "public-key"},
		{Key: "description", Value: text(p.Description)},
		{Key: "origin", Value: text(p.Origin)},
		{Key: "authenticatorAttachment", Value: text(p.Attachment)},
		{Key: "created", Value: p.Created.UTC().Format(isoTime)},
		{Key: "eider", Value: bson.D{
			{Key: "flags", Value: int32(p.Flags)},
			{Key: "transports", Value: stringArray(p.Transports)},
			{Key: "aaguid", Value: bson.Binary{Data: p.AAGUID}},
			{Key: "attestationType", Value: text(p.AttestationType)},
			{Key: "attestationFormat", Value: text(p.AttestationFormat)},
		}},
	}
}

// factorRecord is what of a user decides about second factors.
type factorRecord struct {
	Enabled2FA bson.RawValue `bson:"enabled2fa"`
	WebAuthn   struct {
		Credentials []passkeyRecord `bson:"credentials"`
	} `bson:"webauthn"`
}

func (f *factorRecord) factors() []string {
	return (&userRecord{Enabled2FA: f.Enabled2FA}).factors()
}

func (s *Store) factorRecord(ctx context.Context, op string, user mail.ID) (*factorRecord, error) {
	var f factorRecord
	err := s.users.FindOne(ctx, key("_id", oid(user)),
		options.FindOne().SetProjection(key("enabled2fa", 1, "webauthn.credentials", 1))).Decode(&f)
	if err != nil {
		return nil, missing(op, mail.CodeNoUser, err)
	}
	return &f, nil
}

// Factors lists an account's second factors: totp, webauthn, custom.
func (s *Store) Factors(ctx context.Context, user mail.ID) ([]string, error) {
	f, err := s.factorRecord(ctx, "read second factors", user)
	if err != nil {
		return nil, err
	}
	return f.factors(), nil
}

// Passkeys lists an account's passkeys in the order they were made. CodeNoUser
// when there is no such account.
func (s *Store) Passkeys(ctx context.Context, user mail.ID) ([]Passkey, error) {
	f, err := s.factorRecord(ctx, "read passkeys", user)
	if err != nil {
		return nil, err
	}
	out := make([]Passkey, len(f.WebAuthn.Credentials))
	for i := range f.WebAuthn.Credentials {
		out[i] = f.WebAuthn.Credentials[i].passkey()
	}
	return out, nil
}

// factorTries bounds how often a change of factors that lost to another one
// is tried again.
const factorTries = 8

// AddPasskey keeps a passkey and switches the factor on. When it is the
// account's first second factor, the authentication version rises, which voids
// sessions and tokens; the account comes back as it is then. ID and Created are
// set here. CodeExists for an authenticator's name that the account has,
// CodeInvalid with Reason "many" for more than MaxPasskeys.
func (s *Store) AddPasskey(ctx context.Context, user mail.ID, p Passkey) (mail.User, error) {
	const op = "add passkey"
	now := s.now()
	p.ID, p.Created = mail.NewIDAt(now), now
	for range factorTries {
		f, err := s.factorRecord(ctx, op, user)
		if err != nil {
			return mail.User{}, err
		}
		if err := mayAdd(op, f, p); err != nil {
			return mail.User{}, err
		}
		u, err := s.pushPasskey(ctx, user, f, p)
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return u, fail(op, err)
		}
	}
	return mail.User{}, &mail.Error{Code: mail.CodeConflict, Op: op}
}

func mayAdd(op string, f *factorRecord, p Passkey) error {
	if len(f.WebAuthn.Credentials) >= MaxPasskeys {
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "passkey", Reason: "many"}
	}
	for i := range f.WebAuthn.Credentials {
		if string(f.WebAuthn.Credentials[i].RawID.Data) == string(p.RawID) {
			return &mail.Error{Code: mail.CodeExists, Op: op}
		}
	}
	return nil
}

// pushPasskey is the one update. It holds only while the factors are as they
// were read; otherwise it gives mongo.ErrNoDocuments.
func (s *Store) pushPasskey(ctx context.Context, user mail.ID, f *factorRecord, p Passkey) (mail.User, error) {
	factors := f.factors()
	filter := append(key("_id", oid(user)), unchanged(f.Enabled2FA),
		bson.E{Key: "webauthn.credentials.rawId", Value: key("$ne", bson.Binary{Data: p.RawID})},
		bson.E{Key: "webauthn.credentials." + lastPasskey, Value: key("$exists", false)})
	change := bson.D{{Key: "$push", Value: key("webauthn.credentials", passkeyDoc(p))}}
	if !slices.Contains(factors, FactorPasskey) {
		change = append(change, bson.E{Key: "$set", Value: key("enabled2fa", stringArray(append(factors, FactorPasskey)))})
	}
	if len(factors) == 0 {
		change = append(change, bson.E{Key: "$inc", Value: key("authVersion", 1)})
	}
	var u userRecord
	err := s.users.FindOneAndUpdate(ctx, filter, change, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&u)
	if err != nil {
		return mail.User{}, err
	}
	return u.user(s.quota), nil
}

// lastPasskey is the index of the last passkey that fits (MaxPasskeys-1).
const lastPasskey = "19"

// unchanged holds while enabled2fa is what it was.
func unchanged(was bson.RawValue) bson.E {
	if was.Type == 0 {
		return bson.E{Key: "enabled2fa", Value: key("$exists", false)}
	}
	return bson.E{Key: "enabled2fa", Value: was}
}

// RemovePasskey removes one; with the last one the factor is switched off.
// CodeNotFound when the account has no such passkey. It gives what was removed.
func (s *Store) RemovePasskey(ctx context.Context, user, id mail.ID) (Passkey, error) {
	const op = "remove passkey"
	for range factorTries {
		f, err := s.factorRecord(ctx, op, user)
		if err != nil {
			return Passkey{}, err
		}
		list := f.WebAuthn.Credentials
		at := slices.IndexFunc(list, func(r passkeyRecord) bool { return mail.ID(r.ID) == id })
		if at < 0 {
			return Passkey{}, &mail.Error{Code: mail.CodeNotFound, Op: op}
		}
		filter := append(key("_id", oid(user)), unchanged(f.Enabled2FA), bson.E{Key: "webauthn.credentials._id", Value: oid(id)})
		change := bson.D{{Key: "$pull", Value: key("webauthn.credentials", key("_id", oid(id)))}}
		// Another one may be added or removed meanwhile: the update says which
		// case it is for.
		filter = append(filter, bson.E{Key: "webauthn.credentials.1", Value: key("$exists", len(list) > 1)})
		if len(list) == 1 {
			rest := slices.DeleteFunc(f.factors(), func(factor string) bool { return factor == FactorPasskey })
			change = append(change, bson.E{Key: "$set", Value: key("enabled2fa", stringArray(rest))})
		}
		res, err := s.users.UpdateOne(ctx, filter, change)
		if err != nil {
			return Passkey{}, fail(op, err)
		}
		if res.MatchedCount > 0 {
			return list[at].passkey(), nil
		}
	}
	return Passkey{}, &mail.Error{Code: mail.CodeConflict, Op: op}
}

// UsePasskey keeps the counter and the flags that an authenticator gave at a
// sign-in. A counter must rise, unless it is 0 and always was (WebAuthn 6.1.1):
// CodeConflict otherwise, which tells of a copied authenticator or of a reply
// that was used before.
func (s *Store) UsePasskey(ctx context.Context, user mail.ID, rawID []byte, counter uint32, flags byte) error {
	const op = "use passkey"
	before := key("$lt", number(int64(counter)))
	if counter == 0 {
		before = key("$in", bson.A{0, nil})
	}
	res, err := s.users.UpdateOne(ctx,
		key("_id", oid(user), "webauthn.credentials", key("$elemMatch", key("rawId", bson.Binary{Data: rawID}, "counter", before))),
		key("$set", key(
			"webauthn.credentials.$.counter", number(int64(counter)),
			"webauthn.credentials.$.eider.flags", int32(flags), "webauthn.credentials.$.eider.used", s.now(),
		)))
	if err != nil {
		return fail(op, err)
	}
	if res.MatchedCount == 0 {
		return &mail.Error{Code: mail.CodeConflict, Op: op}
	}
	return nil
}
